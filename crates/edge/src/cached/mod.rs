//! Answers from the cache, and what fills it.
//!
//! [`run`] looks a request up ([`look_up`]) and answers with what is kept ([`send`]), or joins a fetch: an exchange with the pool in a
//! task of its own ([`fetch`]), whose client is the cache ([`filler`]). All who wait for the same read it as it comes; none of them is needed
//! for it to go on. What cannot be shared goes through the pool as it would without a cache.

mod aftermath;
mod caching;
mod events;
mod explaining;
mod fetch;
mod filler;
mod head;
mod look_up;
mod parts;
mod purging;
mod send;
mod several;
mod tiers;

pub(crate) use aftermath::Aftermath;
pub use caching::Cdn;
pub(crate) use caching::{Caching, CdnParts};
pub(crate) use events::CacheEvents;
pub use events::{CacheCounts, MissStatus, SiteCacheStatus};
pub use explaining::{
    CacheExplainer, CacheExplanation, CacheOutcome, FetchExplanation, FieldExplanation, KeptExplanation,
    UnsharedExplanation,
};
pub(crate) use filler::{Filler, Wants};
pub use purging::PURGE_TOLD_WAIT;

use crate::core::{Core, CoreSnapshot, Work};
use crate::error::Refusal;
use crate::exchange::{self, Ended, Exchange};
use crate::request::{After, Client, Report};
use crate::sites::{Route, Site};
use crate::wire::{Coding, Part};
use balance::Pool;
use cdn::Missed;
use cdn::fill::{Begun, Failure, Lead, Place, Reader};
use cdn::rules::{CacheStatus, Forwarded, Serve};
use cdn::store::Object;
use fetch::Fetch;
use look_up::{How, Looked, Wanted};
use send::Content;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::SystemTime;
use tiers::Arrived;

/// A request of a route with a cache.
pub(crate) struct Cached<'a> {
    pub(crate) core: &'a Rc<Core>,
    pub(crate) snapshot: &'a CoreSnapshot,
    pub(crate) site: &'a Arc<Site>,
    pub(crate) route: &'a Arc<Route>,
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) caching: &'a Arc<Caching>,
    pub(crate) client: &'a mut Client,
    pub(crate) work: &'a mut Work,
    pub(crate) report: &'a mut Report,
}

/// Serves the request.
pub(crate) async fn run(mut cached: Cached<'_>) -> Ended {
    if cached.work.request.method_name.of_head(cached.work.down.held()) == b"PURGE" {
        return Box::pin(purging::run(&mut cached)).await;
    }
    match tiers::arrive(&mut cached) {
        Ok(Arrived::Welcome) => {}
        Ok(Arrived::Ahead) => {
            cached.report.cache = Some(CacheUse::Pass);
            return Box::pin(cached.alone(Forwarded::Bypass)).await;
        }
        Err(refusal) => return Ended::Refused(refusal),
    }
    match look_up::look_up(cached.caching, cached.work, SystemTime::now(), How::Use) {
        Looked::Hit { object, status, refresh } => {
            cached.report.cache = Some(CacheUse::Hit);
            if let Some(wanted) = refresh
                && let Some(lead) = cached.caching.engine.refresh(&object, wanted.variant)
            {
                cached.fetch(lead, wanted);
            }
            cached.send_object(&object, status).await
        }
        Looked::Stale { object, status, wanted } => {
            cached.report.cache = Some(CacheUse::Stale);
            // One asks anew beside those who are served; it does not wait for them.
            if !object.is_left_alone(SystemTime::now())
                && let Some(lead) = cached.caching.engine.flights().lead(&wanted.key, wanted.shared_by())
            {
                cached.fetch(lead, wanted);
            }
            cached.send_object(&object, status).await
        }
        Looked::Missing(wanted) => Box::pin(cached.come_by(wanted)).await,
        Looked::Unavailable => Ended::Refused(Refusal::NotKept),
        Looked::Bypass(reason) => {
            cached.report.cache = Some(CacheUse::Pass);
            Box::pin(cached.alone(reason)).await
        }
    }
}

/// What of a response a reader has found.
enum Found {
    /// It answers the request.
    Answer(Ended),
    /// It is another's: it varies by what differs, of which this is known now.
    Other(u64),
    /// A part was fetched, and all of it is needed.
    Whole,
    /// Everybody goes on its own.
    Alone,
    /// It took too long.
    Late(Reader),
}

impl Cached<'_> {
    /// Asks the origin, with all who want the same.
    async fn come_by(&mut self, mut wanted: Wanted) -> Ended {
        if wanted.is_head && (wanted.kept.is_some() || look_up::asked(self.work).is_authorized) {
            // What the origin says of it tells of what is kept (RFC 9111 §4.3.5), which costs no body; and what is one client's own is
            // seldom kept.
            self.report.cache = Some(CacheUse::Pass);
            return match self.alone(wanted.why).await {
                Ended::Refused(refusal) if refusal.status() >= 500 => self.stand_in(&wanted, refusal).await,
                ended => ended,
            };
        }
        let flights = Arc::clone(self.caching.engine.flights());
        let mut place = self.join(&mut wanted);
        // Once for what it is known to vary by, once in place of a fetch that takes too long, and once for all of what came in part.
        for _ in 0..4 {
            let (reader, is_own) = match place {
                Place::Lead(lead) => {
                    let reader = lead.own_reader();
                    self.fetch(lead, wanted.clone());
                    (reader, true)
                }
                Place::Follow(reader) => (reader, false),
                Place::Alone => break,
            };
            place = match self.read(reader, &wanted, is_own).await {
                Found::Answer(ended) => return ended,
                Found::Alone => break,
                Found::Other(variant) => {
                    wanted.variant = variant;
                    self.join(&mut wanted)
                }
                Found::Whole => {
                    wanted.part = None;
                    self.join(&mut wanted)
                }
                Found::Late(reader) => flights.pass_over(&reader, &wanted.key, wanted.shared_by()),
            };
        }
        self.report.cache = Some(CacheUse::Pass);
        self.missed(&wanted, Missed::Unshared);
        self.alone(wanted.why).await
    }

    /// Counts a request that the origin is asked for.
    fn missed(&self, wanted: &Wanted, why: Missed) {
        self.site.cache_events.iter().for_each(|events| events.misses.note(&wanted.key, why));
    }

    /// Reads what is fetched, if it is an answer to this request.
    async fn read(&mut self, mut reader: Reader, wanted: &Wanted, is_own: bool) -> Found {
        let begun = loop {
            match self.wait(&mut reader, is_own).await {
                Waited::Begun(Begun::Interim(head)) => {
                    if self.pass_interim(&head).await.is_err() {
                        return self.client_left();
                    }
                }
                Waited::Begun(begun) => break begun,
                Waited::Late => return Found::Late(reader),
                Waited::ClientGone => return self.client_left(),
            }
        };
        self.report.cache = Some(if is_own { CacheUse::Miss } else { CacheUse::Collapsed });
        let status =
            CacheStatus { forwarded: Some(wanted.why), collapsed: !is_own, ..CacheStatus::default() };
        match begun {
            Begun::Elsewhere => Found::Whole,
            Begun::Head(stored) if wanted.part.is_some() && look_up::lacks(&stored, self.work) => {
                Found::Whole
            }
            Begun::Head(stored) if is_own || look_up::answers(&stored, self.work) => {
                let is_stored = stored.not_stored.is_none() && self.has_room_for(&stored);
                let ttl = is_stored.then(|| stored.ttl(SystemTime::now()));
                let forwarded_status = (is_own && wanted.kept.is_some()).then_some(stored.status);
                let not_stored = stored.not_stored;
                if is_own {
                    self.missed(wanted, Missed::Asked(wanted.why, not_stored));
                }
                let status = CacheStatus { ttl, stored: is_stored, not_stored, forwarded_status, ..status };
                Found::Answer(self.send(&stored, Content::Arriving(reader), status).await)
            }
            Begun::Confirmed(object)
                if !is_own && look_up::demands_newer(self.caching, &object, self.work, wanted.at) =>
            {
                Found::Alone
            }
            Begun::Confirmed(object) if is_own || look_up::answers(&object.stored, self.work) => {
                let status = self.status_of_confirmed(&object, wanted, status);
                Found::Answer(self.send_object(&object, status).await)
            }
            Begun::Head(stored) if stored.not_stored.is_none() => self.other(&stored, wanted),
            Begun::Confirmed(object) => self.other(&object.stored, wanted),
            Begun::Failed(Failure::Origin(status)) => {
                if is_own {
                    self.missed(wanted, Missed::Asked(wanted.why, None));
                }
                let refusal = match status {
                    504 => Refusal::EndpointTimeout,
                    503 => Refusal::Busy("the fetch was not served".into()),
                    _ => Refusal::Endpoint("the fetch failed"),
                };
                Found::Answer(self.stand_in(wanted, refusal).await)
            }
            Begun::Interim(_) => unreachable!("interim heads were passed on"),
            Begun::Head(_) | Begun::Alone | Begun::Failed(_) => Found::Alone,
        }
    }

    /// Whether a response is kept once it is whole, as far as its length tells.
    fn has_room_for(&self, stored: &cdn::rules::Stored) -> bool {
        let length = stored.range.map(|(start, end)| end - start).or(stored.length);
        length.is_none_or(|length| length <= self.caching.engine.object_bytes_max())
    }

    fn client_left(&mut self) -> Found {
        self.core.events.client_gone.inc();
        self.report.status = exchange::CLIENT_GONE;
        self.report.cause = Some("client left".into());
        Found::Answer(Ended::Answered(After::Close))
    }

    /// Passes on an interim head of the fetch that this client has begun.
    async fn pass_interim(&mut self, head: &[u8]) -> std::io::Result<()> {
        let idle = self.snapshot.config.timeout.body_idle.get();
        let (_, mut sink) = self.client.wire.split();
        let part = Part { head, data: b"", end: None };
        sink.write(part, Coding::Identity, &mut self.work.timer, idle).await
    }

    fn other(&self, stored: &cdn::rules::Stored, wanted: &Wanted) -> Found {
        match cdn::rules::variant(stored, &look_up::lines(self.work)) {
            variant if variant != wanted.variant => Found::Other(variant),
            _ => Found::Alone,
        }
    }

    /// What has come by another way than as a response: from the disk, by a confirmation, or in place of one that failed.
    fn status_of_confirmed(&mut self, object: &Object, wanted: &Wanted, status: CacheStatus) -> CacheStatus {
        let ttl = Some(object.stored.ttl(SystemTime::now()));
        if object.stored.received >= wanted.at {
            if !status.collapsed {
                self.missed(wanted, Missed::Asked(wanted.why, None));
            }
            return CacheStatus { ttl, forwarded_status: Some(304), ..status };
        }
        // From the disk it comes to who found nothing in memory, fresh or in place of an answer that failed.
        let is_fresh = || {
            let (caching, stale_since) = (self.caching, object.stale_since());
            let asked = look_up::asked(self.work);
            let now = SystemTime::now();
            matches!(look_up::served(caching, object, &asked, stale_since, now), Serve::Fresh)
        };
        if wanted.kept.is_none() && is_fresh() {
            self.report.cache = Some(CacheUse::Hit);
            return CacheStatus { ttl, ..CacheStatus::default() };
        }
        self.report.cache = Some(CacheUse::Stale);
        CacheStatus { ttl, ..status }
    }

    /// Answers with what is kept where the origin has failed, if it may (RFC 5861 §4).
    async fn stand_in(&mut self, wanted: &Wanted, refusal: Refusal) -> Ended {
        let Some(kept) = wanted.stands_in(SystemTime::now()) else { return Ended::Refused(refusal) };
        self.report.cache = Some(CacheUse::Stale);
        self.work.extra.clear();
        let ttl = Some(kept.stored.ttl(SystemTime::now()));
        let status = CacheStatus { forwarded: Some(wanted.why), ttl, ..CacheStatus::default() };
        self.send_object(kept, status).await
    }

    /// Waits for the head of what is fetched.
    async fn wait(&mut self, reader: &mut Reader, is_own: bool) -> Waited {
        let (_, mut sink) = self.client.wire.split();
        let waiting = poll_fn(|cx| match reader.poll_head(cx) {
            Poll::Ready(begun) => Poll::Ready(Waited::Begun(begun)),
            Poll::Pending => sink.poll_gone(cx).map(|()| Waited::ClientGone),
        });
        if is_own {
            return waiting.await;
        }
        // Who waits for another's fetch does so for a while, then asks anew.
        tokio::time::timeout(self.caching.wait, waiting).await.unwrap_or(Waited::Late)
    }

    /// Fetches for all who ask, in a task of its own.
    fn fetch(&self, lead: Lead, wanted: Wanted) {
        Fetch {
            core: Rc::clone(self.core),
            snapshot: Rc::clone(self.snapshot),
            site: Arc::clone(self.site),
            route: Arc::clone(self.route),
            pool: Arc::clone(self.pool),
            caching: Arc::clone(self.caching),
            peer: Rc::clone(&self.client.peer),
        }
        .spawn(lead, wanted, self.work);
    }

    /// Goes through the pool as if there were no cache.
    async fn alone(&mut self, why: Forwarded) -> Ended {
        let status = CacheStatus { forwarded: Some(why), ..CacheStatus::default() };
        status.write(&mut self.work.extra);
        if self.work.is_for_node {
            tiers::write_answered(&mut self.work.extra);
        }
        let mark = self.work.down.mark();
        let exchange = Exchange {
            core: self.core,
            snapshot: self.snapshot,
            site: self.site,
            route: self.route,
            client: &mut *self.client,
            work: &mut *self.work,
            report: &mut *self.report,
            mark,
        };
        let ended = exchange::run(exchange, self.pool).await;
        if self.work.is_for_node && matches!(ended, Ended::Refused(_)) {
            // It is no answer that was made for a node: that asks the origin itself.
            self.work.extra.clear();
        }
        ended
    }

    async fn send_object(&mut self, object: &Arc<Object>, status: CacheStatus) -> Ended {
        let content = Content::Kept(object.body.clone());
        self.send(&object.stored, content, status).await
    }
}

/// What a wait for a head has come to.
enum Waited {
    Begun(Begun),
    Late,
    ClientGone,
}

/// What the cache was to a request, for the log and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheUse {
    /// It answered.
    Hit,
    /// It answered with what is stale.
    Stale,
    /// The origin was asked for all.
    Miss,
    /// The fetch of another answered.
    Collapsed,
    /// It had no part in it.
    Pass,
}

impl CacheUse {
    pub(crate) const ALL: [Self; 5] = [Self::Hit, Self::Stale, Self::Miss, Self::Collapsed, Self::Pass];

    /// As a label, and in the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Pass => "pass",
        }
    }
}
