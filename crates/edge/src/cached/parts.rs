//! Parts of responses: what is fetched where some of one is wanted, and how it becomes one run of bytes with what is kept.

use super::Cached;
use super::caching::Caching;
use super::filler::{Filler, Wants, remembered};
use super::look_up::Wanted;
use cdn::fill::{Failure, Lead, Place, Way};
use cdn::rules::{
    Ask, Asked, Came, Fits, Hole, Lines, Method, NotStored, Span, Stored, Times, freshened, matches,
    merged_lines, passing, plan,
};
use cdn::store::{Object, Pieces};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::sync::Arc;
use std::time::Instant;

impl Wanted {
    /// What those have in common who share its fetch: the values that responses differ by, and the blocks that are wanted.
    pub(super) fn shared_by(&self) -> u64 {
        match self.part.and_then(Span::rounded) {
            None => self.variant,
            Some(span) => {
                BuildHasherDefault::<DefaultHasher>::default().hash_one((self.variant, span)).max(1)
            }
        }
    }
}

impl Cached<'_> {
    /// Joins those who wait for what is wanted, or begins to fetch it.
    pub(super) fn join(&self, wanted: &mut Wanted) -> Place {
        let (engine, now) = (&self.caching.engine, Instant::now());
        if let Some(span) = wanted.part.and_then(Span::rounded) {
            match engine.flights().way_to_part(&wanted.key, wanted.variant, span.start(), now) {
                Way::Whole => wanted.part = None,
                Way::Part => {}
                Way::Alone => return Place::Alone,
            }
        }
        engine.join(&wanted.key, wanted.shared_by(), now)
    }
}

/// A part that the origin is asked for.
pub(super) struct Asking {
    ask: Ask,
    /// Parts that are kept, to be filled up by what comes.
    parts: Vec<Arc<Object>>,
    /// It is what the client asks for, to the byte.
    is_exact: bool,
}

/// Bytes that are still to come of a part, between those that are here.
#[derive(Default)]
pub(super) struct Filling {
    before: Option<Pieces>,
    left: Option<u64>,
    after: Option<Pieces>,
}

/// Pieces of what is kept that are put before or after others without a pause.
const PIECES_AT_ONCE: usize = 32;

/// What becomes of a head that has come.
pub(super) enum Taken {
    /// It is taken like that of any other response.
    Asis(Lead),
    /// It is passed on as it is, and not kept: it is no answer to what was asked.
    Unasked(Lead),
    /// All is done.
    Done(Wants),
}

impl Asking {
    /// What to ask for. The request was made after the fetch was begun: what is kept is held against all purges before that.
    pub(super) fn of(caching: &Caching, wanted: &Wanted, lines: &[u8]) -> Option<Self> {
        let (engine, lines) = (&caching.engine, Lines::of(lines));
        if wanted.part.is_none() && wanted.kept.is_some() {
            return None;
        }
        let parts = engine.kept(&wanted.key, |stored| stored.range.is_some() && matches(stored, &lines));
        // What the origin may confirm is enough by itself.
        let bytes_max = if wanted.kept.is_some() { 0 } else { engine.joined_bytes_max() };
        let ask = plan(wanted.part, &heads(&parts), bytes_max)?;
        let is_exact = ask.hole.is_none() && wanted.part == Some(ask.span);
        Some(Self { ask, parts, is_exact })
    }

    /// Writes the lines that ask for it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.ask.write(&heads(&self.parts), out);
    }

    fn beside(&self, hole: &Hole) -> &Arc<Object> {
        let at = hole.before.or(hole.after).expect("a hole is beside a part");
        &self.parts[at]
    }

    /// The bytes around a hole.
    fn around(&self, hole: &Hole) -> Filling {
        let of = |at: Option<usize>, start: u64, end: u64| {
            let part = &self.parts[at?];
            let (first, _) = part.stored.range?;
            Some(part.body.pieces(start - first..end - first))
        };
        Filling {
            before: of(hole.before, hole.filled.start, hole.missing.start),
            left: Some(hole.missing.end - hole.missing.start),
            after: of(hole.after, hole.missing.end, hole.filled.end),
        }
    }
}

fn heads(parts: &[Arc<Object>]) -> Vec<&Stored> {
    parts.iter().map(|part| &part.stored).collect()
}

impl Filler {
    /// The head of a response to what was asked in part.
    pub(super) fn take_part(
        &mut self,
        mut lead: Lead,
        asking: &Asking,
        came: &Came<'_>,
        lines: &Lines<'_>,
        times: Times,
    ) -> Taken {
        match asking.ask.fits(&heads(&asking.parts), came) {
            Fits::Part(length) => {
                self.filling.left = Some(length);
                Taken::Asis(lead)
            }
            Fits::Rest(_) => match &asking.ask.hole {
                Some(hole) => self.take_rest(lead, asking, hole, came, lines, times),
                None => Taken::Asis(lead),
            },
            Fits::Unfit if asking.is_exact => Taken::Unasked(lead),
            Fits::Unfit => give_up(lead),
            Fits::Whole if self.wanted.part.is_some() => {
                if !lead.take_whole(self.wanted.variant) {
                    return Taken::Done(Wants::Nothing);
                }
                if asking.ask.hole.is_none() {
                    lead.remember_unranged(remembered());
                }
                Taken::Asis(lead)
            }
            Fits::Whole | Fits::Other => Taken::Asis(lead),
        }
    }

    /// What was missing has come: one run of bytes, if it is of the version that is kept (RFC 9111 §3.4).
    fn take_rest(
        &mut self,
        mut lead: Lead,
        asking: &Asking,
        hole: &Hole,
        came: &Came<'_>,
        lines: &Lines<'_>,
        times: Times,
    ) -> Taken {
        let beside = asking.beside(hole);
        let (policy, range) = (&self.caching.policy, (hole.filled.start, hole.filled.end));
        let request = Lines::of(&self.request);
        let asked = Asked::of(Method::Get, request.clone());
        match freshened(&beside.stored, &asked, &request, came, lines.clone(), policy, times) {
            // A purge by a tag that it has no longer would miss it, while its bytes are those of before.
            Ok(stored) if stored.tags != beside.stored.tags => return give_up(lead),
            Ok(stored) => lead.keep(stored.of_range(range), Instant::now()),
            Err(reason) => {
                if !reason.is_of_request() {
                    self.caching.engine.remove(beside);
                }
                let lines = merged_lines(&beside.stored, came, lines.clone(), policy).into();
                let stored = Stored { lines, not_stored: Some(reason), ..beside.stored.clone() };
                lead.pass(stored.of_range(range), None);
            }
        }
        self.filling = asking.around(hole);
        self.begin(lead);
        Taken::Done(Wants::Body)
    }

    /// A part that is not what was asked for.
    pub(super) fn pass_unasked(&self, lead: &mut Lead, came: &Came<'_>, lines: Lines<'_>, times: Times) {
        let stored = passing(came, lines, &self.caching.policy, times, NotStored::Partial);
        lead.pass(stored, None);
    }
}

fn give_up(lead: Lead) -> Taken {
    lead.give_up(remembered());
    Taken::Done(Wants::Nothing)
}

impl Filling {
    /// Some of what was asked for, after what stands before it. More than there is room for is no part of the response.
    pub(super) async fn push(&mut self, lead: &mut Lead, data: &[u8]) -> io::Result<()> {
        push_all(self.before.take(), lead).await?;
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(data.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
        }
        lead.push(data, Instant::now()).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// All of it has come.
    pub(super) async fn end(&mut self, lead: &mut Lead) -> io::Result<()> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        push_all(self.after.take(), lead).await
    }
}

async fn push_all(pieces: Option<Pieces>, lead: &mut Lead) -> io::Result<()> {
    for (nth, piece) in pieces.into_iter().flatten().enumerate() {
        if nth % PIECES_AT_ONCE == PIECES_AT_ONCE - 1 {
            // All of this is in memory: nothing else makes way for other exchanges.
            tokio::task::yield_now().await;
        }
        lead.push_shared(&piece, Instant::now()).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
    }
    Ok(())
}

/// How a fetch is told of whose body is not as long as it said.
pub(super) fn failure_of(error: &io::Error) -> Option<Failure> {
    (error.kind() == io::ErrorKind::InvalidData).then_some(Failure::Length)
}
