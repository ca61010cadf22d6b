//! Permits, and a bounded line of those who wait for one.
//!
//! One word holds both figures, `waiting << 32 | inflight`. While nobody waits, entering and leaving are a
//! compare-and-swap on it. The line itself is behind a mutex, which is taken only by those who wait and by
//! those who leave while somebody waits.
//!
//! Rules that keep permits from being lost:
//! 1. `waiting` changes only under the mutex, together with the line.
//! 2. A permit is released without the mutex only by a swap that saw `waiting == 0`. Whoever joins the line
//!    does so by a swap that saw no room; of the two, one fails and looks again.
//! 3. A permit travels to a waiter inside its channel. If the waiter has gone, either the send fails and the
//!    permit goes to the next, or the channel drops it, which releases it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Permits for at most `inflight_max` pieces of work at once; `queue_max` more wait, for at most `wait`.
/// Clones share the same permits.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Shared>);

/// The right to do one piece of work. Dropping it hands the right to the first in line.
#[derive(Debug)]
#[must_use = "a permit that is dropped is given back at once"]
pub struct Permit {
    /// `None` only in a permit that came back from a waiter who had gone.
    gate: Option<Arc<Shared>>,
}

/// Why there was no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// All permits are out and the line has no room.
    #[error("full: {inflight} in flight of {inflight_max}, {waiting} waiting of {queue_max}")]
    Full {
        /// Permits that were out.
        inflight: usize,
        /// The limit of permits.
        inflight_max: usize,
        /// How many waited.
        waiting: usize,
        /// The limit of the line.
        queue_max: usize,
    },
    /// No permit came free in time.
    #[error("waited {waited:?} for one of {inflight_max} in flight")]
    TimedOut {
        /// How long it waited.
        waited: Duration,
        /// The limit of permits.
        inflight_max: usize,
    },
}

#[derive(Debug)]
struct Shared {
    /// `waiting << 32 | inflight`.
    state: AtomicU64,
    inflight_max: AtomicU32,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    queue_max: u32,
    wait: Duration,
    next_ticket: u64,
    /// First come, first served: tickets rise from front to back.
    waiters: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    permit: oneshot::Sender<Permit>,
}

/// A place in the line, left when dropped.
struct Place<'a> {
    gate: &'a Arc<Shared>,
    ticket: u64,
    permit: oneshot::Receiver<Permit>,
    is_in_line: bool,
}

#[derive(Clone, Copy)]
struct State {
    inflight: u32,
    waiting: u32,
}

enum Joined<'a> {
    Entered(Permit),
    Place(Place<'a>, Duration),
}

const ONE_INFLIGHT: u64 = 1;
const ONE_WAITING: u64 = 1 << 32;

fn unpack(state: u64) -> State {
    State { inflight: state as u32, waiting: (state >> 32) as u32 }
}

impl Gate {
    /// A gate with all its permits in. With no queue or no time to wait, what finds no permit is refused
    /// at once. Limits are capped at 2^32 - 1.
    pub fn new(inflight_max: usize, queue_max: usize, wait: Duration) -> Self {
        let line = Line { queue_max: capped(queue_max), wait, next_ticket: 0, waiters: VecDeque::new() };
        Self(Arc::new(Shared {
            state: AtomicU64::new(0),
            inflight_max: AtomicU32::new(capped(inflight_max)),
            line: Mutex::new(line),
        }))
    }

    /// Changes the limits. More permits go to those who wait; fewer are reached as permits come back, and
    /// nobody in line is sent away.
    pub fn set(&self, inflight_max: usize, queue_max: usize, wait: Duration) {
        let mut line = self.0.line();
        (line.queue_max, line.wait) = (capped(queue_max), wait);
        self.0.inflight_max.store(capped(inflight_max), Ordering::SeqCst);
        drop(line);
        self.0.admit();
    }

    /// A permit, if there is one and nobody waits for it.
    #[inline]
    pub fn try_enter(&self) -> Option<Permit> {
        let mut seen = self.0.state.load(Ordering::Relaxed);
        loop {
            let state = unpack(seen);
            if state.waiting > 0 || state.inflight >= self.0.inflight_max.load(Ordering::Relaxed) {
                return None;
            }
            match self.0.swap(seen, seen + ONE_INFLIGHT) {
                Ok(_) => return Some(Permit { gate: Some(Arc::clone(&self.0)) }),
                Err(current) => seen = current,
            }
        }
    }

    /// A permit, now or after waiting in line. Cancel safe: who drops the future leaves the line.
    pub async fn enter(&self) -> Result<Permit, Refused> {
        if let Some(permit) = self.try_enter() {
            return Ok(permit);
        }
        self.wait_in_line().await
    }

    /// How many permits are out.
    pub fn inflight(&self) -> usize {
        unpack(self.0.state.load(Ordering::Relaxed)).inflight as usize
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        unpack(self.0.state.load(Ordering::Relaxed)).waiting as usize
    }

    async fn wait_in_line(&self) -> Result<Permit, Refused> {
        let since = Instant::now();
        let permit = match self.0.join()? {
            Joined::Entered(permit) => return Ok(permit),
            Joined::Place(place, wait) => place.permit_within(wait).await,
        };
        permit.ok_or_else(|| Refused::TimedOut {
            waited: since.elapsed(),
            inflight_max: self.0.inflight_max.load(Ordering::Relaxed) as usize,
        })
    }
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn swap(&self, seen: u64, new: u64) -> Result<u64, u64> {
        self.state.compare_exchange_weak(seen, new, Ordering::AcqRel, Ordering::Relaxed)
    }

    /// Takes a permit that has just come free, or the last place in the line.
    fn join(self: &Arc<Self>) -> Result<Joined<'_>, Refused> {
        let mut line = self.line();
        let mut seen = self.state.load(Ordering::Relaxed);
        loop {
            let state = unpack(seen);
            let inflight_max = self.inflight_max.load(Ordering::SeqCst);
            if state.waiting == 0 && state.inflight < inflight_max {
                match self.swap(seen, seen + ONE_INFLIGHT) {
                    Ok(_) => return Ok(Joined::Entered(Permit { gate: Some(Arc::clone(self)) })),
                    Err(current) => seen = current,
                }
                continue;
            }
            if state.waiting >= line.queue_max || line.wait.is_zero() {
                return Err(Refused::Full {
                    inflight: state.inflight as usize,
                    inflight_max: inflight_max as usize,
                    waiting: state.waiting as usize,
                    queue_max: line.queue_max as usize,
                });
            }
            match self.swap(seen, seen + ONE_WAITING) {
                Ok(_) => break,
                Err(current) => seen = current,
            }
        }
        let (sender, permit) = oneshot::channel();
        let ticket = line.next_ticket;
        line.next_ticket += 1;
        line.waiters.push_back(Waiter { ticket, permit: sender });
        Ok(Joined::Place(Place { gate: self, ticket, permit, is_in_line: true }, line.wait))
    }

    /// Gives one permit back.
    fn release(self: &Arc<Self>) {
        let mut seen = self.state.load(Ordering::Relaxed);
        while unpack(seen).waiting == 0 {
            match self.swap(seen, seen - ONE_INFLIGHT) {
                Ok(_) => return,
                Err(current) => seen = current,
            }
        }
        // Nobody slips in between these two: `try_enter` sees that somebody waits.
        self.state.fetch_sub(ONE_INFLIGHT, Ordering::AcqRel);
        self.admit();
    }

    /// Hands what permits there are to those who wait, in order.
    fn admit(self: &Arc<Self>) {
        while let Some(waiter) = self.call_next() {
            // Outside the mutex, because it wakes a task.
            self.hand_to(waiter);
        }
    }

    /// Gives the permit that `call_next` set aside to the one who was called.
    fn hand_to(self: &Arc<Self>, waiter: Waiter) {
        if let Err(mut unwanted) = waiter.permit.send(Permit { gate: Some(Arc::clone(self)) }) {
            // It left after it was called. Given back by hand: `drop` would begin to admit once more.
            unwanted.gate = None;
            self.state.fetch_sub(ONE_INFLIGHT, Ordering::AcqRel);
        }
    }

    /// Turns the first in line into one in flight, if there is room.
    fn call_next(&self) -> Option<Waiter> {
        let mut line = self.line();
        let mut seen = self.state.load(Ordering::Relaxed);
        loop {
            let state = unpack(seen);
            if state.waiting == 0 || state.inflight >= self.inflight_max.load(Ordering::SeqCst) {
                return None;
            }
            match self.swap(seen, seen + ONE_INFLIGHT - ONE_WAITING) {
                Ok(_) => break,
                Err(current) => seen = current,
            }
        }
        Some(line.waiters.pop_front().expect("`waiting` is the length of the line while the mutex is held"))
    }
}

impl Place<'_> {
    /// Waits for a permit, but not longer than `wait`.
    async fn permit_within(mut self, wait: Duration) -> Option<Permit> {
        if let Ok(answer) = tokio::time::timeout(wait, &mut self.permit).await {
            self.is_in_line = false;
            return answer.ok();
        }
        self.give_up()
    }

    /// Leaves the line, unless somebody has called us at the last moment: then there is a permit.
    fn give_up(mut self) -> Option<Permit> {
        self.leave();
        // From here on the channel holds the permit, or its sender keeps it.
        self.permit.close();
        self.permit.try_recv().ok()
    }

    fn leave(&mut self) {
        if !std::mem::take(&mut self.is_in_line) {
            return;
        }
        let mut line = self.gate.line();
        // Not found: we were called, and a permit is on its way.
        if let Ok(index) = line.waiters.binary_search_by_key(&self.ticket, |waiter| waiter.ticket) {
            line.waiters.remove(index);
            self.gate.state.fetch_sub(ONE_WAITING, Ordering::AcqRel);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // The channel is dropped after this, without the mutex; a permit within then releases itself.
        self.leave();
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            gate.release();
        }
    }
}

fn capped(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    //! Moments that only two threads can meet in; `tests/` has the rest.

    use super::*;

    fn place(gate: &Gate) -> Place<'_> {
        match gate.0.join() {
            Ok(Joined::Place(place, _)) => place,
            Ok(Joined::Entered(_)) => panic!("there was a permit"),
            Err(refused) => panic!("{refused}"),
        }
    }

    /// A gate with its one permit out and a line of two.
    fn busy_gate() -> (Gate, Permit) {
        let gate = Gate::new(1, 2, Duration::from_secs(1));
        let permit = gate.try_enter().unwrap();
        (gate, permit)
    }

    #[test]
    fn between_a_release_and_the_call_nobody_slips_in() {
        let (gate, mut permit) = busy_gate();
        let first = place(&gate);
        // The first half of `release`.
        permit.gate = None;
        gate.0.state.fetch_sub(ONE_INFLIGHT, Ordering::AcqRel);
        assert!(gate.try_enter().is_none());
        let second = place(&gate);
        // The second half.
        gate.0.admit();
        assert!(second.give_up().is_none());
        assert!(first.give_up().is_some());
    }

    #[test]
    fn who_gives_up_after_being_called_and_before_the_permit_is_sent_leaves_it_to_the_next() {
        let (gate, mut permit) = busy_gate();
        let (first, second) = (place(&gate), place(&gate));
        permit.gate = None;
        gate.0.state.fetch_sub(ONE_INFLIGHT, Ordering::AcqRel);
        let called = gate.0.call_next().unwrap();
        assert!(first.give_up().is_none());
        gate.0.hand_to(called);
        assert_eq!((gate.inflight(), gate.waiting()), (0, 1));
        gate.0.admit();
        assert!(second.give_up().is_some());
        assert_eq!((gate.inflight(), gate.waiting()), (0, 0));
    }

    #[test]
    fn who_gives_up_after_the_permit_is_sent_has_it() {
        let (gate, permit) = busy_gate();
        let first = place(&gate);
        drop(permit);
        let permit = first.give_up();
        assert!(permit.is_some());
        assert_eq!(gate.inflight(), 1);
    }

    #[test]
    fn a_permit_freed_while_somebody_joins_is_theirs() {
        let (gate, permit) = busy_gate();
        // `try_enter` saw no room; then the permit came back.
        drop(permit);
        assert!(matches!(gate.0.join(), Ok(Joined::Entered(_))));
        assert_eq!((gate.inflight(), gate.waiting()), (0, 0));
    }
}
