//! What the types of the file cannot say.

use crate::config::{Cache, CacheConfig, CdnConfig, QueryConfig, StaleConfig};
use crate::rules::is_written_here;
use notation::{Duration, Faults, Name, Percent, Size, TextOr};

/// Fields that a route varies by: each is compared with every request.
const ROUTE_VARY_MAX: usize = 4;

/// What is asked for anew earlier than this is not kept for the time that it is fresh for.
const REFRESH_MAX: Percent = Percent::of(50.0);

/// Parameters that are named.
const PARAMETERS_MAX: usize = 64;

/// Less holds no response of a usual size.
const DISK_MIN: u64 = 4 << 20;

/// Nodes that keep the same: each speaks with each other.
const NODES_MAX: usize = 32;

/// Nodes speak once a second.
const SILENT_MIN: Duration = Duration::secs(3);

/// The one word that the short form of `cache` may be.
const SHORT: &str = "cdn";

/// Checks `[cdn]`.
pub fn check(cdn: &CdnConfig, faults: &mut Faults) {
    if cdn.memory.get() == 0 {
        faults.add_with_help(
            None,
            "cdn: `memory` is nothing",
            "what is on disk is served through memory: \"64MiB\"",
        );
    }
    if let Some(disk) = cdn.disk.filter(|disk| disk.get() < DISK_MIN) {
        faults.add(None, format!("cdn: `disk` is {disk}: from {}", Size::bytes(DISK_MIN)));
    }
    admission::check_networks(&cdn.purge, "[cdn] purge", None, faults);
    if cdn.nodes.len() > NODES_MAX {
        faults.add(None, format!("cdn: {} `nodes`, above {NODES_MAX}", cdn.nodes.len()));
    }
    if cdn.nodes_silent < SILENT_MIN {
        faults.add(None, format!("cdn: `nodes_silent` is {}: from {SILENT_MIN}", cdn.nodes_silent));
    }
    if let Some(shield) = cdn.shield.as_ref().filter(|_| cdn.nodes.is_empty()) {
        let help = "name the admin APIs of all nodes: `nodes = [\"10.0.0.1:9900\", \"10.0.1.1:9900\"]`";
        faults.add_with_help(shield.span(), "cdn: `shield` without `nodes`: purges would not reach it", help);
    }
    let mut report = |message: String| faults.add(None, format!("cdn: {message}"));
    check_stale(cdn.stale, &mut report);
    check_refresh(cdn.refresh, &mut report);
    check_whole("ttl_max", cdn.ttl_max, &mut report);
    check_whole("heuristic.max", cdn.heuristic.max, &mut report);
}

/// Checks `cache` of a route. `route` is its path as it stands in the file.
pub fn check_route(cache: &Cache, cdn: &CdnConfig, route: &Name, faults: &mut Faults) {
    let config = match cache {
        TextOr::Text(word) => {
            if word.as_str() != SHORT {
                faults.unknown(word.span().or_else(|| route.span()), "cache", word, [SHORT]);
            }
            return;
        }
        TextOr::Long(config) => config,
    };
    check_times(config, cdn, &mut |message| {
        faults.add(route.span(), format!("route {route}: {message}"));
    });
    if config.vary.len() > ROUTE_VARY_MAX {
        let message =
            format!("route {route}: `vary` has {} fields, above {ROUTE_VARY_MAX}", config.vary.len());
        faults.add(route.span(), message);
    }
    for name in config.vary.iter().filter(|name| is_written_here(name.as_str().as_bytes())) {
        let message = format!(
            "route {route}: `vary` {:?} is a field that nines writes itself, another for each client",
            name.as_str()
        );
        faults.add(name.span().or_else(|| route.span()), message);
    }
    for name in config.vary.iter().filter(|name| !is_token(name)) {
        let message = format!("route {route}: `vary` {:?} is no field's name", name.as_str());
        faults.add(name.span().or_else(|| route.span()), message);
    }
    check_query(config, route, faults);
}

fn check_times(config: &CacheConfig, cdn: &CdnConfig, report: &mut impl FnMut(String)) {
    let times = [
        ("ttl", config.ttl),
        ("ttl_default", config.ttl_default),
        ("negative_ttl", config.negative_ttl),
        ("ttl_min", config.ttl_min),
        ("ttl_max", config.ttl_max),
        ("client_ttl", config.client_ttl),
    ];
    for (key, time) in times {
        time.into_iter().for_each(|time| check_whole(key, time, report));
    }
    if let Some(stale) = config.stale {
        check_stale(stale, report);
    }
    if let Some(refresh) = config.refresh {
        check_refresh(refresh, report);
    }
    let max = config.ttl_max.unwrap_or(cdn.ttl_max);
    if let Some(min) = config.ttl_min.filter(|min| *min > max) {
        report(format!("`ttl_min` {min} is above `ttl_max` {max}"));
    }
    if config.ttl.is_some() && config.ttl_default.is_some() {
        report("`ttl` leaves nothing to `ttl_default`".into());
    }
}

fn check_stale(stale: StaleConfig, report: &mut impl FnMut(String)) {
    check_whole("stale.revalidate", stale.revalidate, report);
    check_whole("stale.error", stale.error, report);
}

fn check_refresh(refresh: Percent, report: &mut impl FnMut(String)) {
    if refresh > REFRESH_MAX {
        report(format!("`refresh` is {refresh}: up to {REFRESH_MAX}"));
    }
}

/// Ages of responses are whole seconds (RFC 9111 §1.2.2).
fn check_whole(key: &str, time: Duration, report: &mut impl FnMut(String)) {
    if time.get().subsec_nanos() != 0 {
        report(format!("`{key}` {time} is not in whole seconds"));
    }
}

fn check_query(config: &CacheConfig, route: &Name, faults: &mut Faults) {
    match &config.query {
        Some(TextOr::Text(word)) if !matches!(word.as_str(), "all" | "none" | "sorted") => {
            faults.unknown(word.span().or_else(|| route.span()), "query", word, ["all", "none", "sorted"]);
        }
        Some(TextOr::Long(QueryConfig { keep, drop })) => {
            if keep.is_empty() == drop.is_empty() {
                faults.add(route.span(), format!("route {route}: `query` has one of `keep` and `drop`"));
            }
            let count = keep.len() + drop.len();
            if count > PARAMETERS_MAX {
                let message =
                    format!("route {route}: `query` names {count} parameters, above {PARAMETERS_MAX}");
                faults.add(route.span(), message);
            }
            for name in keep.iter().filter(|name| name.ends_with('*')) {
                // A prefix would keep parameters that nobody has thought of: each makes another response.
                let message = format!("route {route}: `keep` {:?}: a `*` is for `drop`", name.as_str());
                faults.add(name.span().or_else(|| route.span()), message);
            }
        }
        _ => {}
    }
}

/// RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::QueryPolicy;
    use crate::rules::{Policy, SetCookie};
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        cdn: CdnConfig,
        cache: Cache,
    }

    fn read(text: &str) -> File {
        toml::from_str(text).unwrap()
    }

    fn faults(text: &str) -> Vec<String> {
        let file = read(text);
        let mut faults = Faults::default();
        check(&file.cdn, &mut faults);
        check_route(&file.cache, &file.cdn, &Name::new("/a"), &mut faults);
        faults.into_vec().into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn the_short_form_decides_nothing() {
        let file = read("cache = \"cdn\"");
        assert_eq!(CacheConfig::of(&file.cache).policy(&file.cdn), Policy::default());
        assert_eq!(CacheConfig::of(&file.cache).query_policy(), QueryPolicy::All);
        assert_eq!(faults("cache = \"cdn\""), [""; 0]);
    }

    #[test]
    fn a_route_goes_before_the_node() {
        let text = "cdn = { stale = { revalidate = \"30s\" }, set_cookie = \"strip\", client_control = \"ignore\", control_fields = \"pass\", refresh = \"20%\", heuristic = { share = \"12.5%\", max = \"1h\" }, ttl_max = \"1d\" }\n\
                    cache = { ttl = \"1m\", negative_ttl = \"5s\", ttl_min = \"2s\", set_cookie = \"refuse\", query = { drop = [\"utm_*\"] }, vary = [\"X-Device\"], stale = { error = \"1m\" } }";
        let file = read(text);
        let expected = Policy {
            ttl: Some(60),
            ttl_default: None,
            negative_ttl: Some(5),
            ttl_min: 2,
            ttl_max: 86_400,
            heuristic_permille: 125,
            heuristic_max: 3600,
            stale_while_revalidate: 0,
            stale_if_error: 60,
            refresh_permille: 200,
            set_cookie: SetCookie::Refuse,
            is_client_heard: false,
            is_control_passed: true,
            vary: ["x-device".into()].into(),
        };
        assert_eq!(CacheConfig::of(&file.cache).policy(&file.cdn), expected);
        assert_eq!(CacheConfig::of(&file.cache).query_policy(), QueryPolicy::Drop(["utm_*".into()].into()));
        assert_eq!(faults(text), [""; 0]);
    }

    #[test]
    fn faults_say_what_and_which_limit() {
        for (text, expected) in [
            ("cache = \"cnd\"", "unknown cache `cnd`"),
            ("cache = { query = \"some\" }", "unknown query `some`"),
            ("cache = { query = {} }", "route /a: `query` has one of `keep` and `drop`"),
            (
                "cache = { query = { keep = [\"a\"], drop = [\"b\"] } }",
                "route /a: `query` has one of `keep` and `drop`",
            ),
            ("cache = { query = { keep = [\"a*\"] } }", "route /a: `keep` \"a*\": a `*` is for `drop`"),
            (
                "cache = { vary = [\"X-Real-IP\"] }",
                "route /a: `vary` \"X-Real-IP\" is a field that nines writes itself, another for each client",
            ),
            ("cache = { vary = [\"a b\"] }", "route /a: `vary` \"a b\" is no field's name"),
            (
                "cache = { vary = [\"a\", \"b\", \"c\", \"d\", \"e\"] }",
                "route /a: `vary` has 5 fields, above 4",
            ),
            ("cache = { ttl = \"1500ms\" }", "route /a: `ttl` 1s500ms is not in whole seconds"),
            (
                "cache = { ttl_min = \"2m\", ttl_max = \"1m\" }",
                "route /a: `ttl_min` 2m is above `ttl_max` 1m",
            ),
            (
                "cache = { ttl = \"2m\", ttl_default = \"1m\" }",
                "route /a: `ttl` leaves nothing to `ttl_default`",
            ),
            ("cache = { refresh = \"60%\" }", "route /a: `refresh` is 60%: up to 50%"),
            ("cache = \"cdn\"\ncdn = { disk = \"1MiB\" }", "cdn: `disk` is 1MiB: from 4MiB"),
            ("cache = \"cdn\"\ncdn = { memory = \"0\" }", "cdn: `memory` is nothing"),
            (
                "cache = \"cdn\"\ncdn = { shield = \"inner\" }",
                "cdn: `shield` without `nodes`: purges would not reach it",
            ),
            ("cache = \"cdn\"\ncdn = { nodes_silent = \"1s\" }", "cdn: `nodes_silent` is 1s: from 3s"),
            (
                "cache = \"cdn\"\ncdn = { stale = { error = \"1ms\" } }",
                "cdn: `stale.error` 1ms is not in whole seconds",
            ),
        ] {
            assert_eq!(faults(text), [expected], "{text}");
        }
    }

    #[test]
    fn what_is_written_back_is_the_same_file() {
        let file = read("cache = { ttl = \"1m\", query = \"sorted\" }\ncdn = { disk = \"1GiB\" }");
        let again: CdnConfig = toml::from_str(&toml::to_string(&file.cdn).unwrap()).unwrap();
        assert_eq!(again, file.cdn);
        let TextOr::Long(config) = &file.cache else { panic!("the long form") };
        assert_eq!(&toml::from_str::<CacheConfig>(&toml::to_string(config).unwrap()).unwrap(), config);
    }
}
