//! An answer that is not there: asked for once, whoever waits for it, and kept.

use super::cache::{Meta, Stored};
use super::events::Validated;
use super::flights::{Landed, Landing, Place};
use super::freshness::{Age, FAILURE_TTL_S, RETRY_MS, State, Terms, clamp, signed_for, state};
use super::key::{Asked, Key};
use super::source::Judged;
use super::upstream::Failure;
use super::wire::{Written, write};
use super::{Resolver, extended};
use cores::Open;
use domain::base::iana::Rtype;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// An answer, and whether its time is over.
pub(crate) struct Got {
    pub(crate) stored: Stored,
    pub(crate) is_stale: bool,
}

impl Resolver {
    /// An answer of the cache, or one that is looked up. One whose time is over is used if there is no other, and if the other takes
    /// longer than a client waits (RFC 8767 §5).
    pub(super) async fn get(self: &Arc<Self>, key: &Key, owner: &Open) -> Result<Got, Failure> {
        let kept = self.kept_for(key);
        let of = |stored: &Stored| {
            let age = Age::between(stored.meta.stored_ms, self.now_ms());
            state(age, stored.meta.ttl_s, stored.meta.is_failure, &self.terms)
        };
        let old = match kept.map(|stored| (of(&stored), stored)) {
            Some((State::Fresh | State::Due, stored)) => return Ok(Got { stored, is_stale: false }),
            Some((State::Stale, stored)) => Some(stored),
            Some((State::Gone, _)) | None => None,
        };
        let ticket = match self.kept.flights.join(key, self.config.limit.lookups as usize) {
            Place::First(landing) => {
                let ticket = landing.ticket();
                self.depart(landing, owner);
                ticket
            }
            Place::Follower(ticket) => {
                self.kept.events.coalesced.inc();
                ticket
            }
            Place::Full => {
                self.kept.events.shed.inc();
                return old.map(|stored| Got { stored, is_stale: true }).ok_or(Failure::Silence);
            }
        };
        let landed = match &old {
            None => ticket.wait().await,
            Some(_) => match tokio::time::timeout(self.wait, ticket.wait()).await {
                Ok(landed) => landed,
                Err(_) => Err(Failure::Silence),
            },
        };
        match (landed, old) {
            (Ok(stored), _) => Ok(Got { stored, is_stale: false }),
            // RFC 8767 §6: what is forged is not a reason to use what is old.
            (Err(failure), Some(stored)) if failure != Failure::Bogus => Ok(Got { stored, is_stale: true }),
            (Err(failure), _) => Err(failure),
        }
    }

    /// What is kept for everybody, if it is for this client too, or for its network.
    fn kept_for(&self, key: &Key) -> Option<Stored> {
        let look = |key: &Key| self.kept.cache.get(&key.name, key.asked, key.hash());
        if key.asked.subnet.is_some() {
            let general = look(&key.for_subnet(None)).filter(|stored| stored.meta.for_all);
            return general.or_else(|| look(key));
        }
        look(key)
    }

    /// Asks for an answer anew, if nobody does.
    pub(crate) fn renew(self: &Arc<Self>, key: &Key, owner: &Open) {
        if let Place::First(landing) = self.kept.flights.join(key, self.config.limit.lookups as usize) {
            self.kept.events.prefetches.inc();
            self.depart(landing, owner);
        }
    }

    /// Looks up in a task of its own: it goes on when the client has had enough. The core that drains waits for it.
    fn depart(self: &Arc<Self>, landing: Landing, owner: &Open) {
        let (resolver, guard) = (Arc::clone(self), owner.enter());
        tokio::task::spawn_local(async move {
            let landed = resolver.look_up(landing.key()).await;
            landing.land(landed);
            drop(guard);
        });
    }

    async fn look_up(&self, key: &Key) -> Landed {
        let flushes = self.kept.flushes();
        let source = self.source.load_full();
        let judged = source.ask(&key.name, key.asked, self.manner).await;
        self.count_validation(&judged);
        let now = self.now_ms();
        let kept = judged.and_then(|judged| {
            stored(judged, (&key.name, key.asked), &self.terms, now).ok_or(Failure::Refused)
        });
        match &kept {
            Ok(stored) if stored.meta.ttl_s > 0 => {
                let key = if stored.meta.for_all { &key.for_subnet(None) } else { key };
                self.kept.put(key, stored.clone(), flushes);
            }
            Ok(_) => {}
            Err(failure) => self.remember_failure(key, *failure, (now, flushes)),
        }
        kept
    }

    /// RFC 9520 §3.2: for some seconds nobody is asked again. What is old, and may be used, is not given up for that; only what is over
    /// is not used in the place of what is forged.
    fn remember_failure(&self, key: &Key, failed: Failure, (now_ms, flushes): (u64, u64)) {
        let cache = &self.kept.cache;
        let old = cache.get(&key.name, key.asked, key.hash());
        let is_of_use = old.is_some_and(|old| {
            let age = Age::between(old.meta.stored_ms, now_ms);
            match state(age, old.meta.ttl_s, old.meta.is_failure, &self.terms) {
                State::Fresh | State::Due => true,
                State::Stale => failed != Failure::Bogus,
                State::Gone => false,
            }
        });
        if is_of_use {
            cache.failed(&key.name, key.asked, key.hash(), now_ms + RETRY_MS);
        } else {
            self.kept.put(key, failure(failed, now_ms), flushes);
        }
    }

    fn count_validation(&self, judged: &Result<Judged, Failure>) {
        match judged {
            Ok((_, Some(outcome))) => self.kept.events.validated(*outcome),
            Err(Failure::Bogus) => self.kept.events.validated(Validated::Bogus),
            Ok((_, None)) | Err(_) => {}
        }
    }
}

/// A reply as it is kept; `None` where it is too long.
pub(super) fn stored(
    (mut reply, worth): Judged,
    (name, asked): (&[u8], Asked),
    terms: &Terms,
    now_ms: u64,
) -> Option<Stored> {
    let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let signed = (signed_for(&reply, unix_s), worth == Some(Validated::Secure));
    if !asked.dnssec_ok {
        reply.records.retain(|record| !is_of_dnssec(record.rtype) || record.rtype == asked.rtype);
    }
    let ttl_s = clamp(&mut reply, asked.rtype, terms, signed).unwrap_or(0);
    let written = write(name, &reply.records)?;
    let scope = reply.scope.unwrap_or(0);
    let meta = Meta {
        stored_ms: now_ms,
        ttl_s,
        rcode: reply.rcode,
        authentic: worth == Some(Validated::Secure),
        is_failure: false,
        extended: None,
        scope,
        // RFC 7871 §7.3.1: one that is chosen by no bit is everybody's.
        for_all: asked.subnet.is_some() && scope == 0,
        counts: written.counts,
        ttls: written.ttls_at.len() as u16,
    };
    Some(Stored { meta, bytes: packed(&written) })
}

/// The places of TTLs, and then the records.
pub(super) fn packed(written: &Written) -> Arc<[u8]> {
    let places = written.ttls_at.iter().flat_map(|at| at.to_ne_bytes());
    places.chain(written.body.iter().copied()).collect()
}

fn failure(failed: Failure, now_ms: u64) -> Stored {
    let meta = Meta {
        stored_ms: now_ms,
        ttl_s: FAILURE_TTL_S,
        rcode: domain::base::iana::OptRcode::SERVFAIL.to_int(),
        authentic: false,
        is_failure: true,
        extended: Some(extended::of_failure(failed)),
        scope: 0,
        for_all: false,
        counts: [0; 3],
        ttls: 0,
    };
    Stored { meta, bytes: Arc::new([]) }
}

/// RFC 4035 §3.2.1: records that only those get who say that they understand them.
fn is_of_dnssec(rtype: u16) -> bool {
    [Rtype::RRSIG, Rtype::NSEC, Rtype::NSEC3].iter().any(|of| of.to_int() == rtype)
}

#[cfg(test)]
mod tests {
    use super::super::{Files, ResolverConfig};
    use super::*;
    use std::path::Path;
    use telemetry::Registry;

    fn world() -> (Resolver, Key) {
        let config: ResolverConfig = toml::from_str("forward = ['192.0.2.1']").unwrap();
        let files = Arc::new(Files::load(&config, Path::new("/")).unwrap());
        let resolver = Resolver::new(&config, files, &Registry::default(), None);
        let asked = Asked { rtype: 1, dnssec_ok: false, checking_disabled: false, subnet: None };
        (resolver, Key::new(&"www.test".parse().unwrap(), asked))
    }

    #[test]
    fn what_was_asked_for_before_a_flush_is_neither_kept_after_it_nor_waited_for() {
        let (resolver, key) = world();
        let is_kept = || resolver.kept.cache.get(&key.name, key.asked, key.hash()).is_some();
        let put = |flushes| resolver.kept.put(&key, failure(Failure::Silence, 0), flushes);
        let before = resolver.kept.flushes();
        put(before);
        let Place::First(_under_way) = resolver.kept.flights.join(&key, 9) else { panic!("it is the first") };
        assert_eq!(resolver.flush(&"test".parse().unwrap(), false), 0, "another name");
        assert!(matches!(resolver.kept.flights.join(&key, 9), Place::Follower(_)));
        assert_eq!(resolver.flush(&"test".parse().unwrap(), true), 1);
        put(before);
        assert!(!is_kept());
        assert!(matches!(resolver.kept.flights.join(&key, 9), Place::First(_)));
        put(resolver.kept.flushes());
        assert!(is_kept());
    }

    #[test]
    fn what_is_over_is_used_when_nobody_answers_and_not_when_somebody_forges() {
        let (resolver, key) = world();
        let asked = key.asked;
        let is_kept_after = |failed, age_ms| {
            let mut old = failure(Failure::Silence, 0);
            (old.meta.is_failure, old.meta.ttl_s) = (false, 10);
            resolver.kept.cache.put(&key.name, asked, key.hash(), old);
            resolver.remember_failure(&key, failed, (age_ms, 0));
            !resolver.kept.cache.get(&key.name, asked, key.hash()).unwrap().meta.is_failure
        };
        assert!(is_kept_after(Failure::Silence, 5000) && is_kept_after(Failure::Bogus, 5000));
        assert!(is_kept_after(Failure::Silence, 15_000));
        assert!(!is_kept_after(Failure::Bogus, 15_000));
    }
}
