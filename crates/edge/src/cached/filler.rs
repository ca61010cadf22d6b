//! What the cache is to an exchange: a client that keeps what it is sent.

pub(super) use super::aftermath::remembered_until as remembered;
use super::caching::Caching;
use super::look_up::Wanted;
use super::parts::{Asking, Filling, Taken, failure_of};
use crate::core::Core;
use crate::error::Refusal;
use crate::exchange::Ended;
use crate::protocol::ResponseHead;
use crate::wire::Part;
use cdn::fill::{Failure, Lead};
use cdn::nodes::ANSWERED;
use cdn::rules::{
    Asked, Came, Lines, Method, NotStored, Stored, Times, freshened, is_failure, may_store, merged_lines,
    passing,
};
use cdn::store::{Body, Object};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

/// Takes a response in.
pub(crate) struct Filler {
    core: Rc<Core>,
    pub(super) caching: Arc<Caching>,
    pub(super) wanted: Wanted,
    /// The header lines that were asked with.
    pub(super) request: Box<[u8]>,
    requested: SystemTime,
    /// What was asked for, if it is a part.
    asking: Option<Asking>,
    pub(super) filling: Filling,
    lead: Option<Lead>,
    /// Whoever waits has the head.
    has_begun: bool,
    /// The shield is asked, not the origin.
    is_from_shield: bool,
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
    pub(super) fn new(
        core: &Rc<Core>,
        caching: &Arc<Caching>,
        wanted: Wanted,
        request: Box<[u8]>,
        asking: Option<Asking>,
        lead: Lead,
    ) -> Self {
        let requested = SystemTime::now();
        Self {
            core: Rc::clone(core),
            caching: Arc::clone(caching),
            wanted,
            request,
            requested,
            asking,
            filling: Filling::default(),
            lead: Some(lead),
            has_begun: false,
            is_from_shield: false,
            last: None,
        }
    }

    /// All who wait have the head; the body follows.
    pub(super) fn begin(&mut self, lead: Lead) {
        self.has_begun = true;
        self.lead = Some(lead);
    }

    /// An interim head has come (RFC 9110 §15.2).
    pub(crate) fn inform(&self, head: &[u8]) {
        if let Some(lead) = &self.lead {
            lead.inform(head);
        }
    }

    /// Whether the shield is asked from now on, or the origin.
    pub(super) fn ask_shield(&mut self, is_from_shield: bool) {
        self.is_from_shield = is_from_shield;
    }

    /// Whether nothing has come that answers anybody.
    pub(super) fn is_untouched(&self) -> bool {
        self.lead.is_some() && !self.has_begun
    }

    /// The final head of the response has come.
    pub(crate) fn take_head(&mut self, response: &ResponseHead, head: &[u8]) -> Wants {
        let received = SystemTime::now();
        let status_line = memchr::memchr(b'\n', head).map_or(head.len(), |end| end + 1);
        let lines = Lines::of(&head[status_line..]);
        let came = Came::of(response.status, lines.clone(), received);
        let times = Times { requested: self.requested, received };
        let is_for_node = || lines.clone().any(|(name, _)| name.eq_ignore_ascii_case(ANSWERED.as_bytes()));
        if self.is_from_shield && !is_for_node() {
            return Wants::Nothing;
        }
        let Some(mut lead) = self.lead.take() else { return Wants::Nothing };
        if let Some(kept) = self.wanted.kept.clone().filter(|_| response.status == 304) {
            self.take_confirmation(lead, &kept, &came, lines, times);
            return Wants::Nothing;
        }
        if is_failure(response.status) || is_for_now(response.status) {
            self.leave_alone(received);
            if let Some(kept) = self.wanted.stands_in(received).filter(|_| is_failure(response.status)) {
                lead.confirm(Arc::clone(kept));
                return Wants::Nothing;
            }
        }
        if let Some(asking) = self.asking.take() {
            lead = match self.take_part(lead, &asking, &came, &lines, times) {
                Taken::Asis(lead) => lead,
                Taken::Unasked(mut lead) => {
                    self.pass_unasked(&mut lead, &came, lines, times);
                    self.begin(lead);
                    return Wants::Body;
                }
                Taken::Done(wants) => return wants,
            };
        }
        let request = Lines::of(&self.request);
        let asked = Asked::of(Method::Get, request.clone());
        let policy = &self.caching.policy;
        match may_store(&asked, &request, &came, lines.clone(), policy, times) {
            Ok(stored) => lead.keep(stored, Instant::now()),
            Err(reason) => {
                let is_lasting = is_lasting(reason, response.status);
                let is_public = is_lasting && !matches!(response.status, 401 | 403);
                // What is fresh answers others still, whatever this one was told.
                let is_over = |kept: &&Arc<Object>| {
                    kept.is_purged_softly() || kept.stored.no_cache || kept.stored.ttl(received) <= 0
                };
                if let Some(kept) = self.wanted.kept.as_ref().filter(is_over).filter(|_| is_public) {
                    // It is not as it was, and what it is now is nothing to keep.
                    self.caching.engine.remove(kept);
                }
                let remembered = is_lasting.then(remembered);
                lead.pass(passing(&came, lines, policy, times, reason), remembered);
            }
        }
        self.begin(lead);
        Wants::Body
    }

    /// RFC 9111 §4.3.3: what is kept is as it was.
    fn take_confirmation<'a>(
        &mut self,
        mut lead: Lead,
        kept: &Arc<Object>,
        came: &Came<'a>,
        lines: Lines<'a>,
        times: Times,
    ) {
        let (engine, policy) = (&self.caching.engine, &self.caching.policy);
        let request = Lines::of(&self.request);
        let asked = Asked::of(Method::Get, request.clone());
        match freshened(&kept.stored, &asked, &request, came, lines.clone(), policy, times) {
            Ok(stored) => {
                let updated = engine.update(kept, stored.clone(), lead.asked());
                let object = updated.unwrap_or_else(|| {
                    Arc::new(Object::new(kept.key.clone(), stored, kept.body.clone(), lead.asked()))
                });
                lead.confirm(object);
            }
            Err(reason) => {
                if !reason.is_of_request() {
                    engine.remove(kept);
                }
                let lines = merged_lines(&kept.stored, came, lines, policy).into();
                let stored = Stored { lines, not_stored: Some(reason), ..kept.stored.clone() };
                lead.pass(stored, None);
                self.last = Some(kept.body.clone());
                self.begin(lead);
            }
        }
    }

    /// The origin has failed to confirm what is kept.
    fn leave_alone(&self, now: SystemTime) {
        if let Some(kept) = &self.wanted.kept {
            kept.leave_alone(now);
        }
    }

    /// A part of the body.
    pub(crate) async fn write(&mut self, part: Part<'_>) -> io::Result<()> {
        let Some(lead) = &mut self.lead else { return Err(io::ErrorKind::BrokenPipe.into()) };
        // A core that drains waits for whoever reads, and for nobody else.
        if self.core.is_draining() && lead.readers() == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut written = Ok(());
        if !part.data.is_empty() {
            written = self.filling.push(lead, part.data).await;
        }
        if let (Some(trailers), Ok(())) = (part.end, &written) {
            written = self.filling.end(lead).await;
            if !trailers.is_empty() {
                lead.trail(trailers);
            }
        }
        if let Err(error) = written {
            if let Some((failure, lead)) = failure_of(&error).zip(self.lead.take()) {
                lead.fail(failure);
            }
            return Err(error);
        }
        if part.end.is_some()
            && let Some(lead) = self.lead.take()
        {
            let finished = lead.finish().map_err(|_| io::ErrorKind::InvalidData)?;
            if let Some(finished) = finished {
                self.caching.engine.keep(self.wanted.key.clone(), &finished);
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
            for piece in body.pieces(0..u64::MAX) {
                if lead.push_shared(&piece, Instant::now()).await.is_err() {
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
        let now = SystemTime::now();
        self.leave_alone(now);
        match self.wanted.stands_in(now) {
            Some(kept) if !self.has_begun => lead.confirm(Arc::clone(kept)),
            _ => lead.fail(Failure::Origin(failure)),
        }
    }
}

/// Whether the next request would fare the same.
fn is_lasting(reason: NotStored, status: u16) -> bool {
    !is_failure(status) && !is_for_now(status) && !reason.is_of_request()
}

/// Whether an answer says nothing of what was asked for, only that it should be asked for later: too slow, too early, too often
/// (RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4).
fn is_for_now(status: u16) -> bool {
    matches!(status, 408 | 425 | 429)
}
