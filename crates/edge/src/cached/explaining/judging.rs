//! One request held against what is kept.

use super::words;
use super::{CacheExplanation, CacheOutcome, FetchExplanation, KeptExplanation, UnsharedExplanation};
use crate::cached::caching::Caching;
use crate::cached::fetch::{fits_from_disk, take_in, to_confirm};
use crate::cached::look_up::{How, Looked, Wanted, asked, lines, look_up, served};
use crate::core::Work;
use crate::explain::Query;
use cdn::fill::UnderWay;
use cdn::purge::Verdict;
use cdn::rules::{Forwarded, Serve, Stored, confirm, lifetime_by, matches, serve, stands_in_until};
use cdn::store::Object;
use cdn::{Seen, Tier};
use std::time::{Instant, SystemTime};

/// A request, and what is kept under its key.
pub(super) struct Judging<'a> {
    caching: &'a Caching,
    query: &'a Query,
    work: Work,
    seen: Vec<Seen>,
    now: SystemTime,
}

/// What was found of a request.
struct Found {
    outcome: CacheOutcome,
    why: Vec<String>,
    /// The response that answers, or that is to be confirmed.
    chosen: Option<Stored>,
    under_way: UnderWay,
}

impl Found {
    fn new(outcome: CacheOutcome, why: impl Into<String>) -> Self {
        Self { outcome, why: vec![why.into()], chosen: None, under_way: UnderWay::default() }
    }
}

impl<'a> Judging<'a> {
    /// `bytes` is the head of the request, which has been parsed before, and `path` its path, normalised.
    pub(super) fn new(
        caching: &'a Caching,
        query: &'a Query,
        bytes: &[u8],
        path: Vec<u8>,
        now: SystemTime,
    ) -> Self {
        let mut work = Work::new(Instant::now());
        let is_parsed = take_in(bytes, &mut work);
        assert!(is_parsed, "the route was found by the same head");
        work.is_secure = query.url.starts_with("https://");
        work.path = path;
        let seen = caching.engine.seen(&caching.key(&work));
        Self { caching, query, work, seen, now }
    }

    pub(super) fn explain(&self, at: Instant, explained: &mut CacheExplanation) {
        let key = self.caching.key(&self.work);
        let Found { outcome, why, chosen, under_way } = self.find(at);
        (explained.outcome, explained.why) = (outcome, why);
        explained.key = Some(String::from_utf8_lossy(&key.bytes).into_owned());
        explained.kept = self.kept(chosen.as_ref());
        explained.fetch = under_way.fetch.map(|fetch| FetchExplanation {
            has_head: fetch.has_head,
            received_bytes: fetch.received_bytes,
            readers: fetch.readers,
        });
        explained.unshared = under_way
            .unshared
            .map(|(why, left)| UnsharedExplanation { why: why.to_string(), for_seconds: left.as_secs() });
        let purges = self.caching.engine.purges().about(&key.bytes, &[], 0);
        explained.purges = purges.iter().map(ToString::to_string).collect();
    }

    fn find(&self, at: Instant) -> Found {
        let method = self.work.request.method_name.of_head(self.work.down.held());
        if method == b"PURGE" {
            return self.purging();
        }
        match look_up(self.caching, &self.work, self.now, How::See) {
            Looked::Hit { object, refresh, .. } => {
                let mut found = Found::new(CacheOutcome::Hit, self.served(&object));
                if refresh.is_some() {
                    found.why.push(words::REFRESHED.into());
                }
                Found { chosen: Some(object.stored.clone()), ..found }
            }
            Looked::Stale { object, .. } => {
                let why = self.served(&object);
                Found { chosen: Some(object.stored.clone()), ..Found::new(CacheOutcome::Stale, why) }
            }
            Looked::Missing(wanted) => self.missing(&wanted, at),
            Looked::Unavailable => Found::new(CacheOutcome::Unavailable, words::UNAVAILABLE),
            Looked::Bypass(_) => self.bypass(),
        }
    }

    fn purging(&self) -> Found {
        let why = match self.query.client {
            None => {
                "PURGE is heard from networks of `[cdn] purge`, and removes all variants of this URL".into()
            }
            Some(client) if self.caching.purgers.contains(client) => {
                format!("PURGE from {client} removes all variants of this URL")
            }
            Some(client) => {
                let why =
                    format!("403: PURGE is not heard from {client}, which is in no network of `[cdn] purge`");
                return Found::new(CacheOutcome::Pass, why);
            }
        };
        Found::new(CacheOutcome::Purge, why)
    }

    /// Why the cache has no part in it.
    fn bypass(&self) -> Found {
        let asked = asked(&self.work);
        let why = match asked.bypass(&self.caching.policy) {
            Some(bypass) => bypass.to_string(),
            None if self.work.request.upgrade.is_some() => "the request is to change the protocol".into(),
            None => "the request has a body, which may change what the answer is".into(),
        };
        let mut found = Found::new(CacheOutcome::Pass, why);
        if asked.method.is_unsafe() {
            found.why.push(words::INVALIDATES.into());
        }
        found
    }

    /// The origin is asked, unless it is on the disk.
    fn missing(&self, wanted: &Wanted, at: Instant) -> Found {
        let mut found = Found::new(CacheOutcome::Miss, self.why_missing(wanted));
        found.chosen = wanted.kept.as_ref().map(|kept| kept.stored.clone());
        if wanted.is_head && (wanted.kept.is_some() || asked(&self.work).is_authorized) {
            found.outcome = CacheOutcome::Pass;
            found.why.push(words::HEAD.into());
            return found;
        }
        found.under_way = self.caching.engine.flights().under_way(&wanted.key, wanted.variant, at);
        if let Some((why, left)) = &found.under_way.unshared {
            found.outcome = CacheOutcome::Pass;
            found
                .why
                .push(format!("for {}s more nobody waits for another's response: {why}", left.as_secs()));
        } else if found.under_way.fetch.is_some() {
            found.why.push(words::JOINS.into());
        } else if wanted.kept.is_none()
            && let Some(seen) = self.on_disk()
        {
            self.judge_record(seen, wanted.at, &mut found);
        } else {
            found.why.push(words::asked_for(found.chosen.as_ref()).into());
            found.why.extend(words::stands_in(wanted.stands_in_until(), self.now));
        }
        found
    }

    fn why_missing(&self, wanted: &Wanted) -> String {
        match (wanted.why, &wanted.kept) {
            (_, Some(kept)) => self.served(kept),
            (Forwarded::VaryMiss, None) => "what is kept for this URL answers other requests (`Vary`)".into(),
            (Forwarded::Partial, None) => "a part is kept, and not the one that is asked for".into(),
            _ if self.seen.iter().any(|seen| seen.tier == Tier::Memory) => {
                "what is kept for this URL is purged".into()
            }
            _ => "nothing is kept in memory for this URL".into(),
        }
    }

    /// Whether and why a stored response is served.
    fn served(&self, object: &Object) -> String {
        words::serves(served(self.caching, object, &asked(&self.work), object.stale_since(), self.now))
    }

    /// The record that a fetch would find.
    fn on_disk(&self) -> Option<&Seen> {
        let request = lines(&self.work);
        let fits = |seen: &&Seen| seen.tier == Tier::Disk && fits_from_disk(&seen.stored, &request);
        self.seen.iter().find(fits).filter(|seen| seen.verdict != Verdict::Hard)
    }

    fn judge_record(&self, seen: &Seen, at: SystemTime, found: &mut Found) {
        let stale_since = (seen.verdict == Verdict::Soft).then_some(at);
        let Caching { engine, policy, .. } = self.caching;
        let asked = asked(&self.work);
        let served = match engine.trusts(seen.asked, at) {
            true => serve(&seen.stored, &asked, policy, stale_since, at),
            false => confirm(&seen.stored, &asked, stale_since, at),
        };
        found.chosen = Some(seen.stored.clone());
        match to_confirm(served, || stands_in_until(&seen.stored, stale_since, at)) {
            None => {
                found.outcome = CacheOutcome::Hit;
                found.why.push("it is on the disk, and fresh".into());
            }
            Some(if_error_until) => {
                let why = match served {
                    Serve::Validate { why, .. } => why.to_string(),
                    _ => "the response is stale".into(),
                };
                found.why.push(format!("it is on the disk: {why}"));
                found.why.push(words::asked_for(found.chosen.as_ref()).into());
                found.why.extend(words::stands_in(if_error_until, self.now));
            }
        }
    }

    /// All that is kept, what is in both places once.
    fn kept(&self, chosen: Option<&Stored>) -> Vec<KeptExplanation> {
        let same = |one: &Stored, other: &Stored| {
            (one.received, &one.vary, one.range) == (other.received, &other.vary, other.range)
        };
        let mut kept: Vec<(&Stored, KeptExplanation)> = Vec::new();
        for seen in &self.seen {
            let place = match seen.tier {
                Tier::Memory => "memory",
                Tier::Disk => "disk",
            };
            if let Some((_, known)) = kept.iter_mut().find(|(stored, _)| same(stored, &seen.stored)) {
                known.places.push(place.into());
                continue;
            }
            let mut told = self.kept_one(seen);
            told.is_chosen = chosen.is_some_and(|chosen| same(chosen, &seen.stored));
            told.places.push(place.into());
            kept.push((&seen.stored, told));
        }
        kept.into_iter().map(|(_, told)| told).collect()
    }

    fn kept_one(&self, seen: &Seen) -> KeptExplanation {
        let stored = &seen.stored;
        let ttl = stored.ttl(self.now);
        KeptExplanation {
            is_chosen: false,
            matches: matches(stored, &lines(&self.work)),
            differs_by: stored.vary.iter().map(words::field).collect(),
            places: Vec::new(),
            status: stored.status,
            body_bytes: seen.body_bytes,
            range: stored.range,
            age_seconds: stored.age(self.now),
            lifetime_seconds: stored.lifetime,
            lifetime_by: lifetime_by(stored, &self.caching.policy),
            fresh_for_seconds: if seen.verdict == Verdict::Clean { ttl } else { ttl.min(0) },
            stale_while_revalidate_seconds: stored.stale_while_revalidate,
            stale_if_error_seconds: stored.stale_if_error,
            must_revalidate: stored.must_revalidate,
            no_cache: stored.no_cache,
            tags: stored.tags.iter().map(ToString::to_string).collect(),
            purged_by: seen.purges.iter().map(ToString::to_string).collect(),
            is_gone: seen.verdict == Verdict::Hard,
        }
    }
}
