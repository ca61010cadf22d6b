//! Whoever fetches a response for all who wait.

use super::flights::{Flights, Pass, Slot};
use super::state::{End, For, Shared, State};
use super::under_way::Unshared;
use super::{Failure, Reader};
use crate::rules::{Lines, Stored, tells_outcome};
use crate::store::{Body, CHUNK_BYTES, Object};
use bytes::{Bytes, BytesMut};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long a key is remembered whose body was too long to be kept.
const LONG_REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// The duty to fetch a response: when it is dropped, nobody waits any longer.
pub struct Lead {
    flights: Arc<Flights>,
    shared: Arc<Shared>,
    slot: Slot,
    asked: u64,
    /// What the head said of the body's length.
    length: Option<u64>,
    /// Memory for what comes next.
    block: BytesMut,
    /// Pieces of the chunk that is not full yet.
    open: Vec<Bytes>,
    open_bytes: usize,
}

/// Nobody reads what is fetched, and it is not kept: the fetch should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abandoned;

/// A response that has come whole and is to be kept. As long as this is held, those who ask for the same read it from here.
pub struct Finished {
    /// Its head.
    pub stored: Arc<Stored>,
    /// Its body.
    pub body: Body,
    /// The purges that were known when it was asked for.
    pub asked: u64,
    _landing: Landing,
}

/// Takes the fetch out of the table once what it has brought is where it is looked up.
struct Landing {
    flights: Arc<Flights>,
    shared: Arc<Shared>,
    slot: Slot,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.remove(&self.slot, &self.shared);
    }
}

impl Lead {
    pub(super) fn new(flights: &Arc<Flights>, shared: &Arc<Shared>, slot: Slot, asked: u64) -> Self {
        let (flights, shared) = (Arc::clone(flights), Arc::clone(shared));
        Self {
            flights,
            shared,
            slot,
            asked,
            length: None,
            block: BytesMut::new(),
            open: Vec::new(),
            open_bytes: 0,
        }
    }

    /// The purges that were known when this began: the request is to be sent after that.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// A reader for the request that this is fetched for: it gets the response whether that is shared or not.
    pub fn own_reader(&self) -> Reader {
        Reader::own(&self.shared)
    }

    /// How many read, or wait to.
    pub fn readers(&self) -> usize {
        self.shared.state().readers()
    }

    /// Bytes of the body so far.
    pub fn received(&self) -> u64 {
        self.shared.state().total()
    }

    /// An interim head has come, for the request that this is fetched for.
    pub fn inform(&self, head: &[u8]) {
        self.shared.tell(|state| state.inform(head));
    }

    /// Lines have come after the body, for all who read it as it arrives. A response that says by them how it went is not kept.
    pub fn trail(&mut self, lines: &[u8]) {
        let is_needed = tells_outcome(Lines::of(lines));
        self.shared.tell(|state| {
            state.trailers = Bytes::copy_from_slice(lines);
            if is_needed && state.is_for == For::All {
                state.is_for = For::Present;
            }
        });
    }

    /// The head has come, and the response is to be kept: all who wait have it now.
    pub fn keep(&mut self, stored: Stored, now: Instant) {
        // Of a part (206) the length is that of the part.
        self.length = stored.range.map(|(start, end)| end.saturating_sub(start)).or(stored.length);
        let is_long = self.length.is_some_and(|length| length > self.flights.object_bytes_max());
        self.begin(stored, if is_long { For::Present } else { For::All });
        if is_long {
            self.close(Some(too_long(now)));
        }
    }

    /// The head has come, and the response is for its own request alone: whoever else waits goes on its own, as will
    /// whoever asks for the same until `remembered`. The response says why it is not stored: what has no reason is not remembered.
    pub fn pass(&mut self, stored: Stored, remembered: Option<Instant>) {
        self.length = stored.range.map(|(start, end)| end.saturating_sub(start)).or(stored.length);
        let reason = stored.not_stored;
        self.begin(stored, For::Own);
        let pass = |(until, reason)| Pass { until, why: Unshared::NotStored(reason) };
        self.close(remembered.zip(reason).map(pass));
    }

    /// A part was asked for, and all of the response comes: from now on this is the fetch for all of it, of `variant`. `false`: that is
    /// under way already, and all who wait join that.
    pub fn take_whole(&mut self, variant: u64) -> bool {
        let Some(slot) = self.flights.take_whole(&self.slot, &self.shared, variant) else {
            self.flights.remove(&self.slot, &self.shared);
            self.shared.tell(|state| end(state, End::Elsewhere));
            return false;
        };
        self.slot = slot;
        true
    }

    /// The origin has no parts of this: until then, who wants one fetches all.
    pub fn remember_unranged(&self, until: Instant) {
        self.flights.remember(&self.slot, Pass { until, why: Unshared::Unranged });
    }

    /// What has come is no use to anybody: all who wait go on their own, as will who asks for the same until then.
    pub fn give_up(self, until: Instant) {
        self.close(Some(Pass { until, why: Unshared::Unusable }));
    }

    /// What is kept was confirmed, or has come some other way: all who wait have it now.
    pub fn confirm(self, object: Arc<Object>) {
        self.shared.tell(|state| state.end = Some(End::Confirmed(object)));
    }

    /// Some of the body. Waits while a window has no room.
    pub async fn push(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Abandoned> {
        while !bytes.is_empty() {
            self.room(now).await?;
            if self.block.capacity() == self.block.len() {
                self.block = BytesMut::with_capacity(self.block_bytes(bytes.len()));
            }
            let (fits, later) = bytes.split_at(bytes.len().min(self.block.capacity() - self.block.len()));
            self.block.extend_from_slice(fits);
            let piece = self.block.split().freeze();
            self.add(piece);
            bytes = later;
        }
        Ok(())
    }

    /// The same of bytes that are in memory anyhow: a chunk that comes to stand where a chunk begins is shared.
    pub async fn push_shared(&mut self, piece: &Bytes, now: Instant) -> Result<(), Abandoned> {
        if self.open_bytes > 0 || piece.len() < CHUNK_BYTES {
            return self.push(piece, now).await;
        }
        self.room(now).await?;
        self.shared.push(piece.clone());
        Ok(())
    }

    /// How much memory to take for what comes next, of which this much is here: what is said to be left, and never beyond a chunk.
    fn block_bytes(&self, here: usize) -> usize {
        let expected = self.length.map_or(here as u64 * 2, |length| length.saturating_sub(self.received()));
        let chunk = CHUNK_BYTES - self.open_bytes;
        expected.clamp(here.min(chunk) as u64, chunk as u64) as usize
    }

    fn add(&mut self, piece: Bytes) {
        let is_kept = self.shared.state().is_for == For::All;
        self.open_bytes += piece.len();
        self.shared.push(piece.clone());
        if is_kept {
            self.open.push(piece);
        } else {
            self.open.clear();
        }
        if self.open_bytes == CHUNK_BYTES {
            self.seal();
        }
    }

    /// Makes one piece of those of a chunk, which takes exactly the memory of its bytes: chunk by chunk as they come, so that no core
    /// stands still for a whole body at its end.
    fn seal(&mut self) {
        let (open, bytes) = (std::mem::take(&mut self.open), std::mem::take(&mut self.open_bytes));
        let is_exact = open.len() == 1 && self.block.capacity() == 0;
        if open.is_empty() || is_exact || self.shared.state().is_for != For::All {
            return;
        }
        let mut chunk = BytesMut::with_capacity(bytes);
        open.iter().for_each(|piece| chunk.extend_from_slice(piece));
        self.shared.seal(chunk.freeze());
    }

    /// The body is whole. Returned is what is to be kept, if it is: put it where it is looked up before it is dropped.
    pub fn finish(mut self) -> Result<Option<Finished>, Failure> {
        let total = self.received();
        if self.length.is_some_and(|length| length != total) {
            self.shared.tell(|state| end(state, End::Failed(Failure::Length)));
            return Err(Failure::Length);
        }
        self.seal();
        let is_current = self.flights.is_current(&self.slot, &self.shared);
        self.shared.tell(|state| end(state, End::Whole));
        let state = self.shared.state();
        let stored = state.head.clone().expect("a body follows its head");
        if state.is_for != For::All || !is_current {
            return Ok(None);
        }
        let pieces = state.pieces();
        drop(state);
        let body = Body::of_chunks(pieces);
        let landing = Landing {
            flights: Arc::clone(&self.flights),
            shared: Arc::clone(&self.shared),
            slot: self.slot.clone(),
        };
        let asked = self.asked;
        Ok(Some(Finished { stored, body, asked, _landing: landing }))
    }

    /// It has failed: all who wait hear it.
    pub fn fail(self, failure: Failure) {
        self.shared.tell(|state| end(state, End::Failed(failure)));
    }

    fn begin(&mut self, stored: Stored, is_for: For) {
        self.shared.tell(|state| state.begin(stored, is_for));
    }

    /// Nobody joins any longer.
    fn close(&self, remembered: Option<Pass>) {
        self.flights.remove(&self.slot, &self.shared);
        if let Some(pass) = remembered {
            self.flights.remember(&self.slot, pass);
        }
    }

    /// Waits for room; makes a window of what becomes too large.
    async fn room(&self, now: Instant) -> Result<(), Abandoned> {
        let limits = self.flights.limits();
        if self.is_too_large() {
            self.shared.tell(|state| state.is_for = For::Present);
            self.close(Some(too_long(now)));
            self.shared.shrink(self.shared.state());
        }
        loop {
            let wait = poll_fn(|context| self.poll_room(Some(&*context)));
            // A timer is set only where there is something to wait for.
            if let Poll::Ready(room) = self.poll_room(None) {
                return room;
            }
            if let Ok(room) = timeout(limits.patience, wait).await {
                return room;
            }
            if self.shared.tell(State::cut_slowest) {
                self.shared.shrink(self.shared.state());
            }
        }
    }

    fn poll_room(&self, context: Option<&Context<'_>>) -> Poll<Result<(), Abandoned>> {
        let mut state = self.shared.state();
        if state.is_for != For::All && state.readers() == 0 {
            return Poll::Ready(Err(Abandoned));
        }
        if state.has_room(self.flights.limits().window_bytes) {
            return Poll::Ready(Ok(()));
        }
        if let Some(context) = context {
            state.wait_for_room(context);
        }
        Poll::Pending
    }

    fn is_too_large(&self) -> bool {
        let state = self.shared.state();
        state.is_for == For::All
            && (state.total() > self.flights.object_bytes_max()
                || self.shared.filling_bytes() > self.flights.filling_bytes_max())
    }
}

/// A key whose body was too long.
fn too_long(now: Instant) -> Pass {
    Pass { until: now + LONG_REMEMBERED_FOR, why: Unshared::TooLong }
}

/// Sets how it ends, if that is not known yet.
fn end(state: &mut State, end: End) {
    state.end.get_or_insert(end);
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.shared.tell(|state| end(state, End::Failed(Failure::Dropped)));
        let is_to_land = {
            let state = self.shared.state();
            state.is_for == For::All && matches!(state.end, Some(End::Whole))
        };
        // What is whole and kept leaves the table when it has landed.
        if !is_to_land {
            self.flights.remove(&self.slot, &self.shared);
        }
    }
}
