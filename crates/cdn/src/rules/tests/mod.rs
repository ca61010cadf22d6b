//! The rules together: a shelf of stored responses, an origin's answers, and what becomes of the next request.

mod any;
mod conditions;
mod freshness;
mod ranges;
mod refreshing;
mod serving;
mod storing;
mod telling;
mod updates;

use super::*;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A Monday in 2026.
pub(crate) const NOW: u64 = 1_790_000_000;

pub(crate) fn at(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

pub(crate) fn stored() -> Stored {
    Stored {
        status: 200,
        lines: Box::default(),
        unsent: Box::default(),
        requested: at(NOW),
        received: at(NOW),
        initial_age: 0,
        lifetime: 60,
        stale_while_revalidate: 0,
        stale_if_error: 0,
        must_revalidate: false,
        no_cache: false,
        vary: Box::default(),
        tags: Box::default(),
        length: None,
        range: None,
        not_stored: None,
    }
}

/// Header lines from `A: 1 | B: 2`; `{-30}` becomes the date 30 seconds before `now`.
pub(crate) fn lines(text: &str, now: u64) -> String {
    let mut lines = String::new();
    for line in text.split('|').map(str::trim).filter(|line| !line.is_empty()) {
        let mut line = line.to_owned();
        while let Some(start) = line.find('{') {
            let end = line.find('}').expect("a date that is closed");
            let offset: i64 = line[start + 1..end].parse().expect("seconds");
            let date = httpdate::fmt_http_date(at(now.saturating_add_signed(offset)));
            line.replace_range(start..=end, &date);
        }
        lines += &line;
        lines += "\r\n";
    }
    lines
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Became {
    /// It was answered from the shelf.
    Cached(Selected),
    /// The origin is asked, without a condition.
    Fetched,
    /// The origin is asked with these lines.
    Validated(String),
    /// 504.
    Unavailable,
}

/// A cache of one URL.
pub(crate) struct Shelf {
    pub(crate) policy: Policy,
    pub(crate) stored: Vec<Stored>,
    pub(crate) now: u64,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self { policy: Policy::default(), stored: Vec::new(), now: NOW }
    }

    /// A shelf with the response of this head.
    pub(crate) fn with(response: &str) -> Self {
        let mut shelf = Self::new();
        shelf.put("", 200, response).unwrap_or_else(|reason| panic!("{response}: {reason}"));
        shelf
    }

    pub(crate) fn put(&mut self, request: &str, status: u16, response: &str) -> Result<(), NotStored> {
        self.put_by("GET", request, status, response)
    }

    pub(crate) fn put_by(
        &mut self,
        method: &str,
        request: &str,
        status: u16,
        response: &str,
    ) -> Result<(), NotStored> {
        let (request, response) = (lines(request, self.now), lines(response, self.now));
        let (request, response) = (Lines::of(request.as_bytes()), Lines::of(response.as_bytes()));
        let asked = Asked::of(Method::of(method.as_bytes()), request.clone());
        let came = Came::of(status, response.clone(), at(self.now));
        let stored = may_store(&asked, &request, &came, response, &self.policy, self.times())?;
        self.stored.push(stored);
        Ok(())
    }

    pub(crate) fn times(&self) -> Times {
        Times { requested: at(self.now), received: at(self.now) }
    }

    pub(crate) fn wait(&mut self, secs: u64) {
        self.now += secs;
    }

    pub(crate) fn ask(&self, request: &str) -> Became {
        self.ask_by("GET", request)
    }

    pub(crate) fn ask_by(&self, method: &str, request: &str) -> Became {
        let request = lines(request, self.now);
        let request = Lines::of(request.as_bytes());
        let asked = Asked::of(Method::of(method.as_bytes()), request.clone());
        if asked.bypass(&self.policy).is_some() {
            return Became::Fetched;
        }
        let Some(stored) = chosen(&self.stored, &request) else {
            return if asked.control.only_if_cached {
                Became::Unavailable
            } else {
                self.validated(&self.stored)
            };
        };
        match serve(stored, &asked, &self.policy, None, at(self.now)) {
            Serve::Fresh | Serve::StaleAndRefresh | Serve::StaleAsAsked => match select(stored, &asked) {
                Selected::NotHere => Became::Fetched,
                selected => Became::Cached(selected),
            },
            Serve::Validate { .. } => self.validated([stored]),
            Serve::Unavailable => Became::Unavailable,
        }
    }

    fn validated<'s>(&self, stored: impl IntoIterator<Item = &'s Stored>) -> Became {
        let mut out = Vec::new();
        let about = write_conditions(stored, &mut out);
        assert_eq!(about.is_conditional(), !out.is_empty());
        if out.is_empty() {
            Became::Fetched
        } else {
            Became::Validated(String::from_utf8(out).expect("ASCII"))
        }
    }

    /// The origin answers 304, or a HEAD, with this head.
    pub(crate) fn freshen(&mut self, request: &str, response: &str) -> Result<(), NotStored> {
        let (request, response) = (lines(request, self.now), lines(response, self.now));
        let (request, response) = (Lines::of(request.as_bytes()), Lines::of(response.as_bytes()));
        let asked = Asked::of(Method::Get, request.clone());
        let came = Came::of(304, response.clone(), at(self.now));
        let stored = confirmed(&self.stored, &came).expect("one that is confirmed").clone();
        let place = self.stored.iter().position(|one| *one == stored).expect("it is one of them");
        self.stored[place] =
            freshened(&stored, &asked, &request, &came, response, &self.policy, self.times())?;
        Ok(())
    }

    /// The value of a line that is sent with the first response.
    pub(crate) fn sent(&self, name: &str) -> Option<String> {
        let found: Vec<_> = Lines::of(&self.stored[0].lines)
            .filter(|(line, _)| line.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect();
        assert!(found.len() < 2, "{name} stands twice: {found:?}");
        found.into_iter().next()
    }
}

pub(crate) const CACHED: Became = Became::Cached(Selected::Whole);
pub(crate) const NOT_MODIFIED: Became = Became::Cached(Selected::NotModified);
