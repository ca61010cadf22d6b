//! What a fetch and its readers share.

use super::Failure;
use crate::rules::Stored;
use crate::store::Object;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// How a response ends.
#[derive(Debug, Clone)]
pub(super) enum End {
    Whole,
    Failed(Failure),
    /// What was kept is confirmed, or another had put it there: this is it.
    Confirmed(Arc<Object>),
    /// Another fetch brings it.
    Elsewhere,
}

/// Whom a response is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// All who wait, and those who come later.
    All,
    /// Those who wait.
    Present,
    /// The one that it was fetched for.
    Own,
}

pub(super) struct State {
    pub(super) head: Option<Arc<Stored>>,
    pub(super) end: Option<End>,
    pub(super) is_for: For,
    /// By where they begin.
    pieces: VecDeque<(u64, Bytes)>,
    /// Bytes of the pieces that are here.
    retained: u64,
    /// Bytes of all pieces.
    total: u64,
    seats: Vec<Option<Seat>>,
    fetch: Option<Waker>,
    /// Interim heads that the one whom this is fetched for has not heard yet.
    interim: VecDeque<Bytes>,
    /// Lines that came after the body.
    pub(super) trailers: Bytes,
}

/// Interim heads that wait for their reader. What comes beyond is left out, as any of them may be (RFC 9110 §15.2).
const INTERIM_MAX: usize = 8;

/// The place of a reader.
struct Seat {
    is_own: bool,
    /// The next byte that it reads.
    at: u64,
    is_cut: bool,
    waker: Option<Waker>,
}

/// A fetch, as it is shared.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Bytes of all fetches that are kept.
    filling: Arc<AtomicU64>,
}

impl Shared {
    pub(super) fn new(filling: Arc<AtomicU64>) -> Self {
        let state = State {
            head: None,
            end: None,
            is_for: For::All,
            pieces: VecDeque::new(),
            retained: 0,
            total: 0,
            seats: Vec::new(),
            fetch: None,
            interim: VecDeque::new(),
            trailers: Bytes::new(),
        };
        Self { state: Mutex::new(state), filling }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn filling_bytes(&self) -> u64 {
        self.filling.load(Ordering::Relaxed)
    }

    /// Adds a piece, and wakes those who wait for it.
    pub(super) fn push(&self, piece: Bytes) {
        self.filling.fetch_add(piece.len() as u64, Ordering::Relaxed);
        let woken = self.state().push(piece);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Puts one piece in the place of the last ones, which have the same bytes. Who reads from now on reads them at once.
    pub(super) fn seal(&self, chunk: Bytes) {
        let sealed = self.state().seal(chunk);
        drop(sealed);
    }

    /// Changes something that all wait for.
    pub(super) fn tell<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (result, woken) = {
            let mut state = self.state();
            let result = change(&mut state);
            (result, state.wakers())
        };
        woken.into_iter().for_each(Waker::wake);
        result
    }

    /// Moves a reader on, and frees what nobody else will read.
    pub(super) fn poll_piece(
        &self,
        seat: usize,
        context: &Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Failure>> {
        let mut state = self.state();
        let polled = state.poll_piece(seat, context);
        self.shrink(state);
        polled
    }

    pub(super) fn leave(&self, seat: usize) {
        let mut state = self.state();
        state.seats[seat] = None;
        self.shrink(state);
    }

    /// Lets go of what has been read by all; tells the fetch that there is room.
    pub(super) fn shrink(&self, mut state: MutexGuard<'_, State>) {
        let (freed, waker) = state.shrink();
        drop(state);
        let bytes: usize = freed.iter().map(Bytes::len).sum();
        self.filling.fetch_sub(bytes as u64, Ordering::Relaxed);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let retained = self.state().retained;
        self.filling.fetch_sub(retained, Ordering::Relaxed);
    }
}

impl State {
    pub(super) fn seat(&mut self, is_own: bool) -> usize {
        let seat = Some(Seat { is_own, at: 0, is_cut: false, waker: None });
        match self.seats.iter().position(Option::is_none) {
            Some(free) => {
                self.seats[free] = seat;
                free
            }
            None => {
                self.seats.push(seat);
                self.seats.len() - 1
            }
        }
    }

    /// Whether one that comes now would read it from its start.
    pub(super) fn is_open(&self) -> bool {
        self.is_for == For::All && !matches!(self.end, Some(End::Failed(_) | End::Elsewhere))
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn readers(&self) -> usize {
        self.seats.iter().flatten().filter(|seat| !seat.is_cut).count()
    }

    /// Whether a window of this size has room, once it has become one.
    pub(super) fn has_room(&self, window_bytes: u64) -> bool {
        self.is_for == For::All || self.retained < window_bytes
    }

    /// To be woken when there may be room.
    pub(super) fn wait_for_room(&mut self, context: &Context<'_>) {
        self.fetch = Some(context.waker().clone());
    }

    /// All pieces that are here: the whole body, where it is for all.
    pub(super) fn pieces(&self) -> Vec<Bytes> {
        self.pieces.iter().map(|(_, piece)| piece.clone()).collect()
    }

    /// An interim head: for the one that this is fetched for, as it is not known yet whether the response is for others.
    pub(super) fn inform(&mut self, head: &[u8]) {
        let is_heard = self.seats.iter().flatten().any(|seat| seat.is_own);
        if is_heard && self.interim.len() < INTERIM_MAX {
            self.interim.push_back(Bytes::copy_from_slice(head));
        }
    }

    /// Sets the head. Whoever it is not for holds up nobody.
    pub(super) fn begin(&mut self, stored: Stored, is_for: For) {
        assert!(self.head.is_none(), "a response has one head");
        (self.head, self.is_for) = (Some(Arc::new(stored)), is_for);
        for seat in self.seats.iter_mut().flatten() {
            seat.is_cut = is_for == For::Own && !seat.is_own;
        }
    }

    /// Cuts off the slowest reader if another has read all that is there, and says whether there was one.
    pub(super) fn cut_slowest(&mut self) -> bool {
        let present = || self.seats.iter().flatten().filter(|seat| !seat.is_cut);
        if !present().any(|seat| seat.at == self.total) {
            return false;
        }
        let Some(slowest) = present().map(|seat| seat.at).min() else { return false };
        for seat in self.seats.iter_mut().flatten().filter(|seat| seat.at == slowest) {
            seat.is_cut = true;
        }
        true
    }

    /// What a reader hears before any of the body: nothing yet, or how it begins.
    pub(super) fn poll_head(&mut self, seat: usize, context: &Context<'_>) -> Poll<Heard> {
        let is_own = self.at(seat).is_own;
        if is_own && let Some(interim) = self.interim.pop_front() {
            return Poll::Ready(Heard::Interim(interim));
        }
        let heard = match (&self.end, &self.head) {
            (Some(End::Confirmed(object)), _) => Heard::Confirmed(Arc::clone(object)),
            (Some(End::Elsewhere), _) => Heard::Elsewhere,
            (_, Some(_)) if self.is_for == For::Own && !is_own => Heard::Alone,
            (_, Some(stored)) => Heard::Head(Arc::clone(stored)),
            (Some(End::Failed(failure)), None) => Heard::Failed(*failure),
            (Some(End::Whole), None) => unreachable!("no response is whole without its head"),
            (None, None) => {
                self.at(seat).waker = Some(context.waker().clone());
                return Poll::Pending;
            }
        };
        Poll::Ready(heard)
    }

    fn poll_piece(&mut self, seat: usize, context: &Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        let Seat { at, is_cut, .. } = *self.at(seat);
        if is_cut {
            return Poll::Ready(Err(Failure::TooSlow));
        }
        if let Some(piece) = self.from(at) {
            self.at(seat).at += piece.len() as u64;
            return Poll::Ready(Ok(Some(piece)));
        }
        match self.end {
            Some(End::Failed(failure)) => Poll::Ready(Err(failure)),
            Some(End::Whole | End::Confirmed(_) | End::Elsewhere) => Poll::Ready(Ok(None)),
            None => {
                self.at(seat).waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// What is here of the piece that has this byte, from it on.
    fn from(&self, at: u64) -> Option<Bytes> {
        let place = self.pieces.partition_point(|(start, _)| *start <= at).checked_sub(1)?;
        let (start, piece) = &self.pieces[place];
        let skipped = (at - start) as usize;
        (skipped < piece.len()).then(|| piece.slice(skipped..))
    }

    fn push(&mut self, piece: Bytes) -> Vec<Waker> {
        let start = self.total;
        self.total += piece.len() as u64;
        self.retained += piece.len() as u64;
        self.pieces.push_back((start, piece));
        self.wakers()
    }

    fn seal(&mut self, chunk: Bytes) -> Vec<(u64, Bytes)> {
        let start = self.total - chunk.len() as u64;
        let first = self.pieces.partition_point(|(at, _)| *at < start);
        let sealed = self.pieces.split_off(first);
        // A window may have let go of some of them by now.
        if sealed.front().is_some_and(|(at, _)| *at == start) {
            self.pieces.push_back((start, chunk));
            sealed.into()
        } else {
            self.pieces.extend(sealed);
            Vec::new()
        }
    }

    fn wakers(&mut self) -> Vec<Waker> {
        self.seats.iter_mut().flatten().filter_map(|seat| seat.waker.take()).collect()
    }

    /// Pieces that all have read go, where nobody will come to read them from the start.
    fn shrink(&mut self) -> (Vec<Bytes>, Option<Waker>) {
        if self.is_for == For::All {
            // Whoever fetches may want to know that nobody reads any longer.
            return (Vec::new(), None);
        }
        let present = self.seats.iter().flatten().filter(|seat| !seat.is_cut);
        let needed = present.map(|seat| seat.at).min().unwrap_or(u64::MAX);
        let count = self.pieces.partition_point(|(start, piece)| start + piece.len() as u64 <= needed);
        let freed: Vec<Bytes> = self.pieces.drain(..count).map(|(_, piece)| piece).collect();
        self.retained -= freed.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let is_news = !freed.is_empty() || needed == u64::MAX;
        (freed, self.fetch.take_if(|_| is_news))
    }

    fn at(&mut self, seat: usize) -> &mut Seat {
        self.seats[seat].as_mut().expect("a reader keeps its seat until it leaves")
    }
}

/// How a response begins, for one reader.
pub(super) enum Heard {
    Interim(Bytes),
    Head(Arc<Stored>),
    Confirmed(Arc<Object>),
    Elsewhere,
    Alone,
    Failed(Failure),
}
