//! What a response that goes by the cache means to it: one to an unsafe method invalidates what is kept, one to HEAD tells of it, one to
//! GET may show that responses can be shared again.

use super::caching::{Caching, target_of};
use super::look_up::lines;
use crate::core::Work;
use crate::protocol::ResponseHead;
use crate::sites::Route;
use cdn::key::Target;
use cdn::rules::{
    Asked, Came, HeadSays, Lines, Method, Times, head_says, invalidated, matches, may_store, variant,
};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// What is remembered of the request until its response comes.
pub(crate) struct Aftermath {
    caching: Arc<Caching>,
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
    /// Of a request to a route with a cache.
    pub(crate) fn of(route: &Route, work: &Work) -> Option<Box<Self>> {
        let caching = route.caching.as_ref()?;
        let method = Method::of(work.request.method_name.of_head(work.down.held()));
        if method == Method::Safe {
            return None;
        }
        let mut kept = Vec::new();
        if method.is_answered() {
            for (name, value) in lines(work) {
                kept.extend_from_slice(name);
                kept.extend_from_slice(b": ");
                kept.extend_from_slice(value);
                kept.extend_from_slice(b"\r\n");
            }
        }
        let target = target_of(work);
        Some(Box::new(Self {
            method,
            scheme: if work.is_secure { b"https" } else { b"http" },
            host: target.host.into(),
            path: target.path.into(),
            query: target.query.into(),
            lines: kept,
            requested: SystemTime::now(),
            sequence: caching.engine.purges().sequence(),
            caching: Arc::clone(caching),
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
        match self.method {
            Method::Head => self.hear_head(&asked, &request, &came, response_lines, times),
            Method::Get => {
                let policy = &self.caching.policy;
                if let Ok(stored) = may_store(&asked, &request, &came, response_lines, policy, times) {
                    let (engine, key) = (&self.caching.engine, self.caching.key_of(&self.target()));
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

    /// RFC 9111 §4.4: before the client hears that something has changed.
    fn invalidate(&self, asked: &Asked<'_>, came: &Came<'_>) {
        for url in invalidated(asked, &self.target(), came) {
            let target = Target { path: &url.path, query: &url.query, ..self.target() };
            let key = self.caching.key_of(&target);
            if let Err(error) = self.caching.engine.invalidate(&key) {
                tracing::error!(target: "edge", %error, "an invalidation may not survive a restart");
            }
        }
    }

    /// RFC 9111 §4.3.5.
    fn hear_head<'a, 'b>(
        &self,
        asked: &Asked<'_>,
        request: &Lines<'a>,
        came: &Came<'b>,
        response: Lines<'b>,
        times: Times,
    ) {
        let engine = &self.caching.engine;
        let key = self.caching.key_of(&self.target());
        let Some(kept) = engine.find(&key, |object| matches(&object.stored, request)) else { return };
        match head_says(&kept.stored, asked, request, came, response, &self.caching.policy, times) {
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
