//! What is to be said to the other process, and what it has acknowledged.

use super::message::{Message, Told};
use crate::purge::{Entry, Mode, Target};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Purges that wait to be sent. Beyond it they are taken together, for one of everything.
pub(super) const QUEUE_MAX: usize = 4096;

/// What has become of a purge that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It holds there, or there is nothing there that it could be about.
    Holds,
    /// The other process is gone.
    Gone,
    /// It has not answered in time; `is_first`: until now it had.
    Late { is_first: bool },
}

#[derive(Default)]
struct State {
    greeting: Option<Message>,
    purges: VecDeque<Told>,
    /// Purges up to this one are to be acknowledged.
    acknowledged: Option<u64>,
    is_disk_free: bool,
    /// The number of the last purge that was told.
    told: u64,
    /// Purges up to this one hold there.
    held: u64,
    /// Up to here the purges of the old process are numbered, as it has said.
    welcome: Option<u64>,
    /// It keeps something, or is about to.
    is_listening: bool,
    is_late: bool,
    is_gone: bool,
}

#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// There is more to be sent.
    more: Condvar,
    /// The other has said something.
    news: Condvar,
}

impl Outbox {
    /// Purges are told from now on; the other has asked for it, or is asked with this.
    pub(super) fn greet(&self, greeting: impl FnOnce() -> Message) {
        let mut state = self.state();
        state.is_listening = true;
        // Made within the lock: a purge that was not told has a number that is known by then.
        state.greeting = Some(greeting());
        drop(state);
        self.more.notify_all();
    }

    /// Tells of purges, and returns the number of the last; `None` where nobody has to know. Of one that is gone nobody will hear.
    pub(super) fn tell(&self, entries: &[Arc<Entry>], is_news: bool) -> Option<u64> {
        let mut state = self.state();
        if !state.is_listening {
            return None;
        }
        if state.is_gone {
            state.told += entries.len() as u64;
            return Some(state.told);
        }
        for entry in entries {
            state.told += 1;
            let mut told = Told { number: state.told, is_news, entry: Arc::clone(entry) };
            if state.purges.len() >= QUEUE_MAX {
                let is_news = is_news || state.purges.iter().any(|purge| purge.is_news);
                state.purges.clear();
                told = Told { is_news, entry: Arc::new(Entry::new(Target::Everything, Mode::Hard)), ..told };
            }
            state.purges.push_back(told);
        }
        let number = state.told;
        drop(state);
        self.more.notify_all();
        Some(number)
    }

    /// Waits until a purge holds there; for whoever has not answered the last time there is no wait.
    pub(super) fn until_held(&self, number: u64, wait: Duration) -> Heard {
        let end = Instant::now() + wait;
        let mut state = self.state();
        loop {
            if state.held >= number {
                return Heard::Holds;
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.is_gone {
                return Heard::Gone;
            }
            if state.is_late || left.is_zero() {
                return Heard::Late { is_first: !std::mem::replace(&mut state.is_late, true) };
            }
            state = self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Purges up to this one hold here.
    pub(super) fn acknowledge(&self, number: u64) {
        self.state().acknowledged = Some(number);
        self.more.notify_all();
    }

    /// The disk may be opened by the other process.
    pub(super) fn disk_is_free(&self) {
        self.state().is_disk_free = true;
        self.more.notify_all();
    }

    /// What is to be sent next, all that there is; waits for it. `None`: the other process is gone.
    pub(super) fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.state();
        loop {
            if state.is_gone {
                return None;
            }
            let mut bytes = Vec::new();
            // What was purged before the disk came free is in the log that is found there, or is said before.
            let greeting = state.greeting.take().into_iter();
            let acknowledged = state.acknowledged.take().map(|number| Message::Held { number });
            let purges = std::mem::take(&mut state.purges).into_iter().map(Message::Purge);
            let disk = std::mem::take(&mut state.is_disk_free).then_some(Message::DiskIsFree);
            greeting
                .chain(acknowledged)
                .chain(purges)
                .chain(disk)
                .for_each(|message| message.write(&mut bytes));
            if !bytes.is_empty() {
                return Some(bytes);
            }
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Purges up to this one hold there. False where there are no such purges.
    pub(super) fn held(&self, number: u64) -> bool {
        let mut state = self.state();
        if number > state.told || number < state.held {
            return false;
        }
        state.held = number;
        state.is_late &= number < state.told;
        drop(state);
        self.news.notify_all();
        true
    }

    /// The old process waits for what is acknowledged from now on. False where it has said so before.
    pub(super) fn welcomed(&self, sequence: u64) -> bool {
        let is_first = self.state().welcome.replace(sequence).is_none();
        self.news.notify_all();
        is_first
    }

    /// Waits for the welcome.
    pub(super) fn until_welcomed(&self, wait: Duration) -> bool {
        let is_open = |state: &mut State| state.welcome.is_none() && !state.is_gone;
        let state = self.news.wait_timeout_while(self.state(), wait, is_open);
        state.unwrap_or_else(PoisonError::into_inner).0.welcome.is_some()
    }

    /// Whether purges are told.
    pub(super) fn is_listening(&self) -> bool {
        let state = self.state();
        state.is_listening && !state.is_gone
    }

    /// The number of the last purge that was told.
    pub(super) fn told(&self) -> u64 {
        self.state().told
    }

    /// The other process is gone: nobody waits for it any longer.
    pub(super) fn end(&self) {
        self.state().is_gone = true;
        self.more.notify_all();
        self.news.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::read;
    use super::*;

    /// Whoever waits so long fails.
    const LONG: Duration = Duration::from_secs(3600);

    fn entries(count: usize) -> Vec<Arc<Entry>> {
        (0..count).map(|nth| Arc::new(Entry::new(Target::Tag(&nth.to_string()), Mode::Soft))).collect()
    }

    fn messages(outbox: &Outbox) -> Vec<Message> {
        let bytes = outbox.next().unwrap();
        let mut rest = &bytes[..];
        let mut messages = Vec::new();
        while let Some((message, after)) = read(rest).unwrap() {
            messages.push(message);
            rest = after;
        }
        messages
    }

    #[test]
    fn nobody_is_told_who_keeps_nothing_yet() {
        let outbox = Outbox::default();
        assert_eq!(outbox.tell(&entries(1), true), None);
        outbox.greet(|| Message::Hello);
        assert_eq!(outbox.tell(&entries(1), true), Some(1));
        assert_eq!(messages(&outbox)[0], Message::Hello, "it comes first");
    }

    #[test]
    fn more_than_can_wait_becomes_a_purge_of_everything() {
        let outbox = Outbox::default();
        outbox.greet(|| Message::Hello);
        outbox.tell(&entries(1), true);
        assert_eq!(outbox.tell(&entries(QUEUE_MAX), false), Some(QUEUE_MAX as u64 + 1));
        let everything = Arc::new(Entry::new(Target::Everything, Mode::Hard));
        let told = Told { number: QUEUE_MAX as u64 + 1, is_news: true, entry: everything };
        assert_eq!(messages(&outbox), [Message::Hello, Message::Purge(told)]);
    }

    #[test]
    fn who_is_late_is_waited_for_again_once_it_has_caught_up() {
        let outbox = Outbox::default();
        outbox.greet(|| Message::Hello);
        let first = outbox.tell(&entries(1), true).unwrap();
        assert_eq!(outbox.until_held(first, Duration::ZERO), Heard::Late { is_first: true });
        let second = outbox.tell(&entries(1), true).unwrap();
        assert_eq!(outbox.until_held(second, LONG), Heard::Late { is_first: false });
        assert!(outbox.held(second));
        assert_eq!(outbox.until_held(second, Duration::ZERO), Heard::Holds);
        let third = outbox.tell(&entries(1), true).unwrap();
        assert_eq!(outbox.until_held(third, Duration::ZERO), Heard::Late { is_first: true });
        outbox.end();
        assert_eq!(outbox.until_held(third, LONG), Heard::Gone);
        let fourth = outbox.tell(&entries(1), true).unwrap();
        assert_eq!(outbox.until_held(fourth, LONG), Heard::Gone, "it has not acknowledged it");
    }

    #[test]
    fn what_was_never_told_cannot_be_acknowledged() {
        let outbox = Outbox::default();
        outbox.greet(|| Message::Hello);
        outbox.tell(&entries(2), true);
        assert!(!outbox.held(3));
        assert!(outbox.held(2));
        assert!(!outbox.held(1), "nor taken back");
    }
}
