//! How the cache fares, as text: a line of `nines status`, and the page of `nines status --cache`.

use crate::print::{Paint, Table, memory};
use topology::{CdnNodeStatus, CdnStatus, SiteCacheStatus};

/// One line on all of it.
pub(super) fn summary(cdn: &CdnStatus, paint: Paint) -> String {
    let mut table = Table::new(["CACHE", "BY BYTES", "OBJECTS", "MEMORY", "ON DISK", "DISK", "EVICTED"]);
    let has_disk = cdn.disk_objects > 0 || cdn.disk_bytes > 0;
    table.row([
        format!("{} hits", share(cdn.hit_ratio)),
        share(cdn.byte_hit_ratio),
        cdn.memory_objects.to_string(),
        bytes(cdn.memory_bytes),
        if has_disk { cdn.disk_objects.to_string() } else { String::new() },
        if has_disk { bytes(cdn.disk_bytes) } else { String::new() },
        cdn.evicted.to_string(),
    ]);
    table.render(paint)
}

/// The whole page: each site, and what the origin was asked for most.
pub(super) fn page(cdn: &CdnStatus, paint: Paint) -> String {
    let mut text = summary(cdn, paint);
    let mut fetches = Table::new(["FETCHES", "COALESCED", "REFRESHES", "PURGES"]);
    fetches.row([cdn.fills, cdn.coalesced, cdn.refreshes, cdn.purges].map(|figure| figure.to_string()));
    text += &format!("\n{}", fetches.render(paint));
    if !cdn.nodes.is_empty() {
        text += &format!("\n{}", nodes(&cdn.nodes, paint));
    }
    let mut sites =
        Table::new(["SITE", "HITS", "BY BYTES", "HIT", "STALE", "MISS", "COLLAPSED", "PASS", "SENT"]);
    for site in &cdn.sites {
        let (requests, sent) = (site.requests, site.sent_bytes);
        sites.row([
            site.site.clone(),
            share(site.hit_ratio),
            share(site.byte_hit_ratio),
            requests.hit.to_string(),
            requests.stale.to_string(),
            requests.miss.to_string(),
            requests.collapsed.to_string(),
            requests.pass.to_string(),
            bytes(sent.hit + sent.stale + sent.miss + sent.collapsed + sent.pass),
        ]);
    }
    text += &format!("\n{}", sites.render(paint));
    let missed = cdn.sites.iter().filter(|site| !site.top_misses.is_empty());
    missed.for_each(|site| text += &format!("\n{}", misses(site, paint)));
    text
}

fn nodes(nodes: &[CdnNodeStatus], paint: Paint) -> String {
    let mut table = Table::new(["NODE", "STATE", "HEARD", "PENDING", "FAILED"]);
    for node in nodes {
        let heard = node.heard_seconds.map_or_else(|| "never".into(), |ago| format!("{ago:.1}s ago"));
        let (pending, failures) = (node.pending.to_string(), node.failures.to_string());
        table.row([node.address.to_string(), node.state.clone(), heard, pending, failures]);
    }
    table.render(paint)
}

fn misses(site: &SiteCacheStatus, paint: Paint) -> String {
    let mut table = Table::new(["MISSES", "URL", "THE LAST TIME"]);
    for miss in &site.top_misses {
        let count = match miss.misses_min == miss.misses {
            true => miss.misses.to_string(),
            false => format!("{} to {}", miss.misses_min, miss.misses),
        };
        table.row([count, miss.url.clone(), miss.why.clone()]);
    }
    format!("missed most of {}\n{}", paint.strong(&site.site), table.render(paint))
}

fn share(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.1}%", ratio * 100.0))
}

fn bytes(bytes: u64) -> String {
    memory(usize::try_from(bytes).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology::{CacheCounts, MissStatus};

    #[test]
    fn ratios_and_misses_are_shown() {
        let requests = CacheCounts { hit: 7, stale: 1, miss: 2, ..CacheCounts::default() };
        let miss = |url: &str, misses, misses_min| MissStatus {
            url: url.into(),
            misses,
            misses_min,
            why: "it was not kept".into(),
        };
        let site = SiteCacheStatus {
            site: "shop.test".into(),
            hit_ratio: Some(0.8),
            byte_hit_ratio: None,
            requests,
            sent_bytes: CacheCounts { hit: 2048, ..CacheCounts::default() },
            top_misses: vec![miss("http://shop.test/a", 7, 7), miss("http://shop.test/b", 5, 2)],
        };
        let cdn = CdnStatus {
            hit_ratio: Some(0.8),
            byte_hit_ratio: None,
            memory_bytes: 4096,
            memory_objects: 2,
            disk_bytes: 0,
            disk_objects: 0,
            evicted: 1,
            fills: 3,
            coalesced: 0,
            refreshes: 0,
            purges: 0,
            sites: vec![site],
            nodes: vec![CdnNodeStatus {
                address: ([192, 0, 2, 7], 9900).into(),
                state: "silent".into(),
                heard_seconds: Some(12.34),
                pending: 3,
                failures: 4,
            }],
        };
        let text = page(&cdn, Paint::new(false));
        for shown in ["80.0% hits", "shop.test", "2.0KiB", "2 to 5", "http://shop.test/a", "it was not kept"]
            .into_iter()
            .chain(["192.0.2.7:9900", "silent", "12.3s ago"])
        {
            assert!(text.contains(shown), "{shown}: {text}");
        }
        assert!(!text.contains("ON DISK"), "there is none: {text}");
        assert_eq!(summary(&cdn, Paint::new(false)).lines().count(), 2);
    }
}
