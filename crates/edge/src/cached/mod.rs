//! Answers from the cache, and what fills it.
//!
//! [`run`] looks a request up ([`look_up`]) and answers with what is kept ([`send`]), or joins a fetch: an exchange with the pool in a
//! task of its own ([`fetch`]), whose client is the cache ([`filler`]). All who wait for the same read it as it comes; none of them is needed
//! for it to go on. What cannot be shared goes through the pool as it would without a cache.

mod caching;
mod fetch;
mod filler;
mod head;
mod look_up;
mod purging;
mod send;

pub(crate) use caching::Caching;
pub(crate) use filler::{Filler, Wants};

use crate::core::{Core, CoreSnapshot, Work};
use crate::error::Refusal;
use crate::exchange::{self, Ended, Exchange};
use crate::request::{Client, Report};
use crate::sites::{Route, Site};
use balance::Pool;
use cdn::fill::{Begun, Failure, Place, Reader};
use cdn::rules::{CacheStatus, Forwarded};
use cdn::store::Object;
use fetch::Fetch;
use look_up::{Looked, Wanted};
use send::Content;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Instant, SystemTime};

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
    if let Some(ended) = purging::run(&mut cached).await {
        return ended;
    }
    match look_up::look_up(cached.caching, cached.work, SystemTime::now()) {
        Looked::Hit { object, status } => cached.send_object(&object, status).await,
        Looked::Stale { object, status, wanted } => {
            // One asks anew beside those who are served; it does not wait for them.
            if let Some(lead) = cached.caching.cache.flights().lead(&wanted.key, wanted.variant) {
                cached.fetch(lead, wanted);
            }
            cached.send_object(&object, status).await
        }
        Looked::Missing(wanted) => Box::pin(cached.join(wanted)).await,
        Looked::Unavailable => Ended::Refused(Refusal::NotKept),
        Looked::Bypass(reason) => cached.alone(reason).await,
    }
}

impl Cached<'_> {
    /// Waits for a response with all who want the same, or begins to fetch it.
    async fn join(&mut self, wanted: Wanted) -> Ended {
        let why = wanted.why;
        let status = CacheStatus { forwarded: Some(why), ..CacheStatus::default() };
        let cache = &self.caching.cache;
        if wanted.is_head {
            // It fetches no body for others.
            return self.alone(why).await;
        }
        let (mut reader, is_own) = match cache.join(&wanted.key, wanted.variant, Instant::now()) {
            Place::Lead(lead) => {
                let reader = lead.own_reader();
                self.fetch(lead, wanted);
                (reader, true)
            }
            Place::Follow(reader) => (reader, false),
            Place::Alone => return self.alone(why).await,
        };
        let begun = match self.wait(&mut reader, is_own).await {
            Some(begun) => begun,
            None => {
                self.core.events.client_gone.inc();
                self.report.status = exchange::CLIENT_GONE;
                self.report.cause = Some("client left".into());
                return Ended::Answered(crate::request::After::Close);
            }
        };
        let status = CacheStatus { collapsed: !is_own, ..status };
        match begun {
            Begun::Head(stored) if is_own || look_up::answers(&stored, self.work) => {
                let forwarded_status = (wanted_validates(why) && is_own).then_some(stored.status);
                let (stored_here, not_stored) = (stored.not_stored.is_none(), stored.not_stored);
                let ttl = stored_here.then(|| stored.ttl(SystemTime::now()));
                let status = CacheStatus { ttl, stored: stored_here, not_stored, forwarded_status, ..status };
                self.send(&stored, Content::Arriving(reader), status).await
            }
            Begun::Confirmed(object) if is_own || look_up::answers(&object.stored, self.work) => {
                let ttl = Some(object.stored.ttl(SystemTime::now()));
                self.send_object(&object, CacheStatus { ttl, ..status }).await
            }
            Begun::Failed(Failure::Origin(504)) => Ended::Refused(Refusal::EndpointTimeout),
            Begun::Failed(Failure::Origin(503)) => Ended::Refused(Refusal::Busy("the origin is".into())),
            Begun::Failed(Failure::Origin(_)) => Ended::Refused(Refusal::Endpoint("the fetch failed")),
            Begun::Head(_) | Begun::Confirmed(_) | Begun::Alone | Begun::Failed(_) => {
                drop(reader);
                self.alone(why).await
            }
        }
    }

    /// Waits for the head of what is fetched; `None`: the client left.
    async fn wait(&mut self, reader: &mut Reader, is_own: bool) -> Option<Begun> {
        let (_, mut sink) = self.client.wire.split();
        let patience = self.caching.patience;
        let waiting = poll_fn(|cx| match reader.poll_head(cx) {
            Poll::Ready(begun) => Poll::Ready(Some(begun)),
            Poll::Pending => sink.poll_gone(cx).map(|()| None),
        });
        if is_own {
            return waiting.await;
        }
        // Who waits for another's fetch does so for a while, then asks on its own.
        match tokio::time::timeout(patience, pin!(waiting)).await {
            Ok(begun) => begun,
            Err(_) => Some(Begun::Alone),
        }
    }

    /// Fetches for all who ask, in a task of its own.
    fn fetch(&self, lead: cdn::fill::Lead, wanted: Wanted) {
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
        exchange::run(exchange, self.pool).await
    }

    async fn send_object(&mut self, object: &Arc<Object>, status: CacheStatus) -> Ended {
        let content = Content::Kept(object.body.clone());
        self.send(&object.stored, content, status).await
    }
}

/// Whether something that is kept was asked about.
fn wanted_validates(why: Forwarded) -> bool {
    matches!(why, Forwarded::Stale | Forwarded::Request)
}
