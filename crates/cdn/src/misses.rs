//! Which URLs the origin is asked for most, by site, and why: within a bound, whatever is asked for.

mod sketch;

use crate::Key;
use crate::rules::{Forwarded, NotStored};
use sketch::Sketch;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Of a URL no more is remembered, in bytes: two that begin alike are still two.
const URL_BYTES_MAX: usize = 512;

/// Why the origin was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// For this reason; and where what came was not stored, why not.
    Asked(Forwarded, Option<NotStored>),
    /// It is known not to be shared.
    Unshared,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(_, Some(reason)) => write!(f, "not stored: {reason}"),
            Self::Asked(forwarded, None) => f.write_str(match forwarded {
                Forwarded::Bypass | Forwarded::Method => "it goes by the cache",
                Forwarded::UriMiss => "it was not kept",
                Forwarded::VaryMiss => "what was kept answers other requests (`Vary`)",
                Forwarded::Request => "the request demanded it",
                Forwarded::Stale => "it was stale, or confirmed before each use",
                Forwarded::Partial => "a part was kept, and not enough",
            }),
            Self::Unshared => f.write_str("it is known not to be shared"),
        }
    }
}

/// The misses of all sites. A site's are forgotten with it.
#[derive(Default)]
pub struct Misses(Mutex<BTreeMap<Box<str>, Weak<SiteMisses>>>);

impl Misses {
    /// Those of a site; the same as long as somebody holds them, which outlives a file.
    pub fn of_site(&self, site: &str) -> Arc<SiteMisses> {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sites.get(site).and_then(Weak::upgrade) {
            return known;
        }
        sites.retain(|_, misses| misses.strong_count() > 0);
        let misses = Arc::new(SiteMisses::default());
        sites.insert(site.into(), Arc::downgrade(&misses));
        misses
    }
}

/// The misses of a site.
#[derive(Default)]
pub struct SiteMisses(Mutex<Sketch<u128, About>>);

/// What is remembered of a URL.
struct About {
    url: Box<str>,
    why: Missed,
}

/// A URL that was missed often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopMiss {
    /// What it is kept under: scheme, host, path and query.
    pub url: String,
    /// How often it was missed, at most.
    pub misses_max: u64,
    /// How often it was missed, at least.
    pub misses_min: u64,
    /// Why it was, the last time.
    pub why: Missed,
}

impl SiteMisses {
    /// Counts a request that the origin was asked for.
    pub fn note(&self, key: &Key, why: Missed) {
        let mut sketch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let about = sketch.note(key.hash, || About { url: shortened(&key.bytes), why });
        // That it is not shared says less than what was found before.
        if why != Missed::Unshared {
            about.why = why;
        }
    }

    /// Those that were missed most, at most so many.
    pub fn top(&self, count: usize) -> Vec<TopMiss> {
        let sketch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<TopMiss> = sketch
            .entries()
            .map(|entry| TopMiss {
                url: entry.about.url.to_string(),
                misses_max: entry.count,
                misses_min: entry.count - entry.error,
                why: entry.about.why,
            })
            .collect();
        all.sort_by(|one, other| other.misses_max.cmp(&one.misses_max).then_with(|| one.url.cmp(&other.url)));
        all.truncate(count);
        all
    }
}

fn shortened(url: &[u8]) -> Box<str> {
    match url.get(..URL_BYTES_MAX) {
        Some(start) if url.len() > URL_BYTES_MAX => format!("{}…", String::from_utf8_lossy(start)).into(),
        _ => String::from_utf8_lossy(url).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples::key;

    #[test]
    fn what_was_missed_most_comes_first_with_the_last_reason_that_says_something() {
        let misses = Misses::default();
        let site = misses.of_site("a.test");
        let stale = Missed::Asked(Forwarded::Stale, None);
        let private = Missed::Asked(Forwarded::UriMiss, Some(NotStored::Private));
        for (name, why) in [("a", stale), ("b", stale), ("b", private), ("b", Missed::Unshared)] {
            site.note(&key(name), why);
        }
        let told =
            |url: &str, count, why| TopMiss { url: url.into(), misses_max: count, misses_min: count, why };
        assert_eq!(site.top(9), [told("b", 3, private), told("a", 1, stale)]);
        assert_eq!(site.top(1).len(), 1);
        assert_eq!(private.to_string(), "not stored: the response says `private`");
    }

    #[test]
    fn a_site_s_misses_last_as_long_as_it_does() {
        let misses = Misses::default();
        let site = misses.of_site("a.test");
        site.note(&key("a"), Missed::Unshared);
        assert_eq!(misses.of_site("a.test").top(9).len(), 1, "a file takes over from the one before");
        assert_eq!(misses.of_site("b.test").top(9), []);
        drop(site);
        assert_eq!(misses.of_site("a.test").top(9), []);
    }

    #[test]
    fn a_long_url_is_shortened() {
        let site = SiteMisses::default();
        for end in ["x", "y"] {
            site.note(&key(&format!("{}{end}", "é".repeat(URL_BYTES_MAX))), Missed::Unshared);
        }
        let top = site.top(9);
        assert_eq!(top.len(), 2, "they are two");
        assert!(top.iter().all(|miss| miss.url.len() < URL_BYTES_MAX + 8 && miss.url.ends_with('…')));
    }
}
