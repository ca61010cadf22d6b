//! What a response that goes by the cache means to it: one to an unsafe method invalidates what is kept, one to HEAD tells of it, one to
//! GET may show that responses can be shared again.

use super::caching::{Caching, target_of};
use super::look_up::copied_lines;
use crate::core::Work;
use crate::protocol::{ResponseHead, normalized_path};
use crate::sites::{Route, Site};
use cdn::Key;
use cdn::key::Target;
use cdn::rules::{
    Asked, Came, HeadSays, Lines, Method, Times, head_says, invalidated, matches, may_store, variant,
};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// What is remembered of the request until its response comes.
pub(crate) struct Aftermath {
    /// Of the route; what an unsafe method changes may be kept by others of the site.
    caching: Option<Arc<Caching>>,
    all: Arc<[Arc<Caching>]>,
    method: Method,
    scheme: &'static [u8],
    host: Box<[u8]>,
    path: Box<[u8]>,
    query: Box<[u8]>,
    /// The header lines.
    lines: Vec<u8>,
    requested: SystemTime,
    sequence: u64,
}

impl Aftermath {
    /// Of a request to a route with a cache; of one with an unsafe method to any route of a site with one.
    pub(crate) fn of(site: &Site, route: &Route, work: &Work) -> Option<Box<Self>> {
        let any = site.caches.first()?;
        let method = Method::of(work.request.method_name.of_head(work.down.held()));
        if method == Method::Safe || (method.is_answered() && route.caching.is_none()) {
            return None;
        }
        let lines = if method.is_answered() { copied_lines(work) } else { Vec::new() };
        let target = target_of(work);
        Some(Box::new(Self {
            method,
            scheme: if work.is_secure { b"https" } else { b"http" },
            host: target.host.into(),
            path: target.path.into(),
            query: target.query.into(),
            lines,
            requested: SystemTime::now(),
            sequence: any.engine.purges().sequence(),
            caching: route.caching.clone(),
            all: Arc::clone(&site.caches),
        }))
    }

    /// The final head has come, and nobody has it yet.
    pub(crate) fn hear(&self, response: &ResponseHead, head: &[u8]) {
        let received = SystemTime::now();
        let status_line = memchr::memchr(b'\n', head).map_or(head.len(), |end| end + 1);
        let response_lines = Lines::of(&head[status_line..]);
        let came = Came::of(response.status, response_lines.clone(), received);
        let request = Lines::of(&self.lines);
        let asked = Asked::of(self.method, request.clone());
        let times = Times { requested: self.requested, received };
        match (self.method, &self.caching) {
            (Method::Head, Some(caching)) => {
                self.hear_head(caching, &asked, &request, &came, response_lines, times);
            }
            (Method::Get, Some(caching)) => {
                let policy = &caching.policy;
                if let Ok(stored) = may_store(&asked, &request, &came, response_lines, policy, times) {
                    let (engine, key) = (&caching.engine, caching.key_of(&self.target()));
                    engine.flights().forget_pass(&key, variant(&stored, &request));
                    engine.flights().forget_pass(&key, 0);
                }
            }
            _ => self.invalidate(&asked, &came),
        }
    }

    fn target(&self) -> Target<'_> {
        Target { scheme: self.scheme, host: &self.host, path: &self.path, query: &self.query }
    }

    /// RFC 9111 §4.4: before the client hears that something has changed; under each key that a route of the site may have made of it.
    fn invalidate(&self, asked: &Asked<'_>, came: &Came<'_>) {
        let mut done: Vec<Key> = Vec::new();
        for url in invalidated(asked, &self.target(), came) {
            let path = normalized_path(&url.path);
            let target = Target { path: &path, query: &url.query, ..self.target() };
            for caching in self.all.iter() {
                let key = caching.key_of(&target);
                if done.contains(&key) {
                    continue;
                }
                if let Err(error) = caching.engine.invalidate(&key) {
                    tracing::error!(target: "edge", %error, "an invalidation may not survive a restart");
                }
                done.push(key);
            }
        }
    }

    /// RFC 9111 §4.3.5.
    fn hear_head<'a, 'b>(
        &self,
        caching: &Caching,
        asked: &Asked<'_>,
        request: &Lines<'a>,
        came: &Came<'b>,
        response: Lines<'b>,
        times: Times,
    ) {
        // The origin was asked with all of the query: where the key leaves some of it out, this client alone chose what it heard.
        if !caching.is_whole_query_kept(&self.query) {
            return;
        }
        let engine = &caching.engine;
        let key = caching.key_of(&self.target());
        let Some(kept) = engine.find(&key, |object| matches(&object.stored, request)) else { return };
        match head_says(&kept.stored, asked, request, came, response, &caching.policy, times) {
            HeadSays::Same(stored) => drop(engine.update(&kept, *stored, self.sequence)),
            HeadSays::Changed => drop(engine.remove(&kept)),
            HeadSays::Nothing => {}
        }
    }
}

/// How long it is remembered that a URL's responses cannot be kept: until then nobody waits for another's.
pub(super) fn remembered_until() -> Instant {
    const REMEMBERED_FOR: std::time::Duration = std::time::Duration::from_secs(60);
    Instant::now() + REMEMBERED_FOR
}
