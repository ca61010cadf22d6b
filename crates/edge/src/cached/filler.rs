//! What the cache is to an exchange: a client that keeps what it is sent.

use super::caching::Caching;
use super::look_up::Wanted;
use crate::error::Refusal;
use crate::exchange::Ended;
use crate::protocol::ResponseHead;
use crate::wire::Part;
use cdn::fill::{Failure, Lead};
use cdn::rules::{
    Asked, Came, Lines, Method, NotStored, Stored, Times, freshened, is_failure, may_store, merged_lines, passing,
};
use cdn::store::{Body, Object};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

/// How long it is remembered that a URL's responses cannot be kept: until then nobody waits for another's.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// Takes a response in.
pub(crate) struct Filler {
    caching: Arc<Caching>,
    wanted: Wanted,
    /// The header lines that were asked with.
    request: Box<[u8]>,
    requested: SystemTime,
    lead: Option<Lead>,
    /// What answers the one who asked and is not kept: a confirmed response that is not to be stored any longer.
    last: Option<Body>,
}

/// Whether the body of a response is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    Body,
    Nothing,
}

impl Filler {
    pub(super) fn new(caching: Arc<Caching>, wanted: Wanted, request: Box<[u8]>, lead: Lead) -> Self {
        Self { caching, wanted, request, requested: SystemTime::now(), lead: Some(lead), last: None }
    }

    /// The final head of the response has come.
    pub(crate) fn take_head(&mut self, response: &ResponseHead, head: &[u8]) -> Wants {
        let received = SystemTime::now();
        let status_line = memchr::memchr(b'\n', head).map_or(head.len(), |end| end + 1);
        let lines = Lines::of(&head[status_line..]);
        let request = Lines::of(&self.request);
        let asked = Asked::of(Method::Get, request.clone());
        let came = Came::of(response.status, lines.clone(), received);
        let times = Times { requested: self.requested, received };
        let Some(mut lead) = self.lead.take() else { return Wants::Nothing };
        let policy = &self.caching.policy;
        if let Some(kept) = &self.wanted.kept {
            if response.status == 304 {
                let fresh = freshened(&kept.stored, &asked, request, &came, lines.clone(), policy, times);
                match fresh {
                    Ok(stored) => {
                        let cache = &self.caching.cache;
                        let object = cache.update(kept, stored.clone(), lead.asked()).unwrap_or_else(|| {
                            Arc::new(Object::new(kept.key.clone(), stored, kept.body.clone(), lead.asked()))
                        });
                        lead.confirm(object);
                    }
                    Err(reason) => {
                        self.caching.cache.remove(kept);
                        let lines = merged_lines(&kept.stored, &came, lines, policy).into();
                        let stored = Stored { lines, not_stored: Some(reason), ..kept.stored.clone() };
                        self.last = Some(kept.body.clone());
                        lead.pass(stored, None);
                        self.lead = Some(lead);
                    }
                }
                return Wants::Nothing;
            }
            if is_failure(response.status) && self.stands_in(received) {
                lead.confirm(Arc::clone(kept));
                return Wants::Nothing;
            }
        }
        match may_store(&asked, request, &came, lines.clone(), policy, times) {
            Ok(stored) => lead.keep(stored, Instant::now()),
            Err(reason) => {
                let remembered = is_lasting(reason, response.status).then(|| Instant::now() + REMEMBERED_FOR);
                lead.pass(passing(&came, lines, policy, times, reason), remembered);
            }
        }
        self.lead = Some(lead);
        Wants::Body
    }

    /// A part of the body.
    pub(crate) async fn write(&mut self, part: Part<'_>) -> io::Result<()> {
        let Some(lead) = &mut self.lead else { return Err(io::ErrorKind::BrokenPipe.into()) };
        if !part.data.is_empty() {
            lead.push(part.data, Instant::now()).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        if part.end.is_some()
            && let Some(lead) = self.lead.take()
        {
            let finished = lead.finish().map_err(|_| io::ErrorKind::InvalidData)?;
            if let Some(finished) = finished {
                self.caching.cache.keep(self.wanted.key.clone(), &finished);
            }
        }
        Ok(())
    }

    /// It never leaves by itself: a fetch that nobody reads is still worth to be kept, and one that is not ends with its next part.
    pub(crate) fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// The exchange is over: whoever still waits hears how.
    pub(super) async fn conclude(mut self, ended: Ended) {
        let Some(mut lead) = self.lead.take() else { return };
        if let Some(body) = self.last.take() {
            for piece in body.chunks() {
                if lead.push(piece, Instant::now()).await.is_err() {
                    return;
                }
            }
            // Nobody is left to tell where it fails.
            let _ = lead.finish();
            return;
        }
        let failure = match ended {
            Ended::Refused(refusal) => refusal.status(),
            Ended::Answered(_) | Ended::Switched(_) => Refusal::Endpoint("").status(),
        };
        match &self.wanted.kept {
            Some(kept) if lead.received() == 0 && self.stands_in(SystemTime::now()) => {
                lead.confirm(Arc::clone(kept));
            }
            _ => lead.fail(Failure::Origin(failure)),
        }
    }

    /// Whether what is kept stands in for an origin that fails.
    fn stands_in(&self, now: SystemTime) -> bool {
        self.wanted.if_error_until.is_some_and(|until| now < until)
    }
}

/// Whether the next request would fare the same.
fn is_lasting(reason: NotStored, status: u16) -> bool {
    !is_failure(status) && !matches!(reason, NotStored::Authorized | NotStored::RequestNoStore | NotStored::Method)
}
