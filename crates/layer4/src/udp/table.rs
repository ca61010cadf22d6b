//! Sessions by client, and in the order in which they were last heard of. Pure: the moment is given.
//!
//! There are two lines: sessions that were never answered, and those that were. Each is in the order of the last
//! datagram, so that the one that has been silent longest is always in front: what is idle is found there, and so is the
//! one that goes when there is no room. Who was answered has a real address and stays; a flood of invented ones only
//! drives out its like. Connection tracking of gateways does it so.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Who a session is with, and which address of ours it has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
}

/// A session's place, never given twice in a short time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    slot: u32,
    generation: u32,
}

pub(super) struct Table<V> {
    by_key: HashMap<Key, u32>,
    slots: Vec<Slot<V>>,
    free: Vec<u32>,
    unanswered: Line,
    answered: Line,
}

struct Slot<V> {
    generation: u32,
    /// `None` in a slot that is free.
    held: Option<(Key, V)>,
    is_answered: bool,
    last: Instant,
    before: u32,
    after: u32,
}

/// The ends of a line through the slots.
#[derive(Clone, Copy)]
struct Line {
    front: u32,
    back: u32,
}

const NOBODY: u32 = u32::MAX;

impl<V> Table<V> {
    pub(super) fn new() -> Self {
        let empty = Line { front: NOBODY, back: NOBODY };
        Self {
            by_key: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            unanswered: empty,
            answered: empty,
        }
    }

    pub(super) fn find(&self, key: &Key) -> Option<Id> {
        let slot = *self.by_key.get(key)?;
        Some(Id { slot, generation: self.slots[slot as usize].generation })
    }

    pub(super) fn get(&self, id: Id) -> Option<&V> {
        let slot = self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        slot.held.as_ref().map(|(_, value)| value)
    }

    /// Adds a session that is not there yet.
    pub(super) fn insert(&mut self, key: Key, now: Instant, make: impl FnOnce(Id) -> V) -> Id {
        let slot = self.free.pop().unwrap_or_else(|| {
            let number = u32::try_from(self.slots.len()).expect("the configured number of sessions is below");
            self.slots.push(Slot {
                generation: 0,
                held: None,
                is_answered: false,
                last: now,
                before: NOBODY,
                after: NOBODY,
            });
            number
        });
        let id = Id { slot, generation: self.slots[slot as usize].generation };
        let value = make(id);
        let place = &mut self.slots[slot as usize];
        (place.held, place.is_answered, place.last) = (Some((key, value)), false, now);
        let known = self.by_key.insert(key, slot);
        assert!(known.is_none(), "a session is looked for before it is added");
        self.join(slot);
        id
    }

    /// Takes a session out.
    pub(super) fn remove(&mut self, id: Id) -> Option<V> {
        self.get(id)?;
        self.leave(id.slot);
        let place = &mut self.slots[id.slot as usize];
        place.generation = place.generation.wrapping_add(1);
        let (key, value) = place.held.take()?;
        self.by_key.remove(&key);
        self.free.push(id.slot);
        Some(value)
    }

    /// A datagram has come from the client.
    pub(super) fn heard(&mut self, id: Id, now: Instant) {
        self.moved(id, now, false);
    }

    /// A datagram has come from the endpoint.
    pub(super) fn answered(&mut self, id: Id, now: Instant) {
        self.moved(id, now, true);
    }

    /// Takes out the session that goes when there is no room for another one.
    pub(super) fn evict(&mut self) -> Option<V> {
        self.front_of(self.unanswered).and_then(|id| self.remove(id))
    }

    /// Takes out a session of which nothing was heard for `idle`, if there is one.
    pub(super) fn expire(&mut self, now: Instant, idle: Duration) -> Option<V> {
        let fronts = [self.front_of(self.unanswered), self.front_of(self.answered)];
        let is_idle = |id: &Id| now.saturating_duration_since(self.slots[id.slot as usize].last) >= idle;
        let id = fronts.into_iter().flatten().find(is_idle)?;
        self.remove(id)
    }

    /// All sessions, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &V> {
        self.slots.iter().filter_map(|slot| slot.held.as_ref().map(|(_, value)| value))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    fn front_of(&self, line: Line) -> Option<Id> {
        let slot = self.slots.get(line.front as usize)?;
        Some(Id { slot: line.front, generation: slot.generation })
    }

    fn moved(&mut self, id: Id, now: Instant, is_answer: bool) {
        if self.get(id).is_none() {
            return;
        }
        self.leave(id.slot);
        let slot = &mut self.slots[id.slot as usize];
        slot.last = now;
        slot.is_answered |= is_answer;
        self.join(id.slot);
    }

    fn line(&mut self, slot: u32) -> &mut Line {
        match self.slots[slot as usize].is_answered {
            true => &mut self.answered,
            false => &mut self.unanswered,
        }
    }

    /// To the back of its line.
    fn join(&mut self, slot: u32) {
        let before = std::mem::replace(&mut self.line(slot).back, slot);
        match self.slots.get_mut(before as usize) {
            Some(last) => last.after = slot,
            None => self.line(slot).front = slot,
        }
        let place = &mut self.slots[slot as usize];
        (place.before, place.after) = (before, NOBODY);
    }

    /// Out of its line.
    fn leave(&mut self, slot: u32) {
        let (before, after) = (self.slots[slot as usize].before, self.slots[slot as usize].after);
        match self.slots.get_mut(before as usize) {
            Some(place) => place.after = after,
            None => self.line(slot).front = after,
        }
        match self.slots.get_mut(after as usize) {
            Some(place) => place.before = before,
            None => self.line(slot).back = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(number: u16) -> Key {
        Key { client: ([192, 0, 2, 1], number).into(), local: ([127, 0, 0, 1], 53).into() }
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn who_was_never_answered_goes_first_and_of_them_the_longest_silent() {
        let now = Instant::now();
        let mut table = Table::new();
        let ids: Vec<Id> = (0..3).map(|number| table.insert(key(number), now, |_| number)).collect();
        table.answered(ids[0], now + seconds(1));
        table.heard(ids[1], now + seconds(2));
        assert_eq!(table.evict(), Some(2));
        assert_eq!(table.evict(), Some(1));
        assert_eq!(table.evict(), None, "who was answered stays");
        assert_eq!((table.len(), table.find(&key(0))), (1, Some(ids[0])));
    }

    #[test]
    fn what_is_silent_for_too_long_expires_and_nothing_else() {
        let now = Instant::now();
        let mut table = Table::new();
        let first = table.insert(key(1), now, |_| 1);
        let second = table.insert(key(2), now, |_| 2);
        table.answered(second, now + seconds(5));
        let expired = |table: &mut Table<i32>, at| table.expire(now + seconds(at), seconds(10));
        assert_eq!(expired(&mut table, 9), None);
        assert_eq!(expired(&mut table, 10), Some(1));
        assert_eq!(expired(&mut table, 10), None);
        assert_eq!(expired(&mut table, 15), Some(2));
        assert_eq!(table.get(first), None);
    }

    #[test]
    fn a_place_that_was_given_again_is_not_taken_for_the_old_one() {
        let now = Instant::now();
        let mut table = Table::new();
        let old = table.insert(key(1), now, |_| 1);
        assert_eq!(table.remove(old), Some(1));
        let new = table.insert(key(1), now, |_| 2);
        assert_eq!(table.get(old), None);
        assert_eq!(table.remove(old), None);
        assert_eq!(table.get(new), Some(&2));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u16),
        Remove(u16),
        Heard(u16),
        Answered(u16),
        Evict,
        Expire,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let key = || 0..8u16;
        let step = prop_oneof![
            key().prop_map(Step::Insert),
            key().prop_map(Step::Remove),
            key().prop_map(Step::Heard),
            key().prop_map(Step::Answered),
            Just(Step::Evict),
            Just(Step::Expire),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// Against a list that is searched from end to end.
        #[test]
        fn the_lines_are_in_order_whatever_happens(steps in steps()) {
            let begun = Instant::now();
            let mut table = Table::new();
            let mut model: Vec<(u16, bool, u64)> = Vec::new();
            for (at, step) in steps.into_iter().enumerate() {
                let (at, now) = (at as u64, begun + seconds(at as u64));
                match step {
                    Step::Insert(number) if table.find(&key(number)).is_none() => {
                        table.insert(key(number), now, |_| number);
                        model.push((number, false, at));
                    }
                    Step::Insert(_) => {}
                    Step::Remove(number) => {
                        let removed = table.find(&key(number)).and_then(|id| table.remove(id));
                        prop_assert_eq!(removed.is_some(), model.iter().any(|held| held.0 == number));
                        model.retain(|held| held.0 != number);
                    }
                    Step::Heard(number) | Step::Answered(number) => {
                        let is_answer = matches!(step, Step::Answered(_));
                        if let Some(id) = table.find(&key(number)) {
                            table.moved(id, now, is_answer);
                        }
                        for held in model.iter_mut().filter(|held| held.0 == number) {
                            (held.1, held.2) = (held.1 || is_answer, at);
                        }
                    }
                    Step::Evict => {
                        let wanted = model.iter().filter(|held| !held.1).min_by_key(|held| held.2).map(|held| held.0);
                        prop_assert_eq!(table.evict(), wanted);
                        model.retain(|held| Some(held.0) != wanted);
                    }
                    Step::Expire => {
                        let mut gone: Vec<u16> = std::iter::from_fn(|| table.expire(now, seconds(10))).collect();
                        gone.sort_unstable();
                        let mut wanted: Vec<u16> =
                            model.iter().filter(|held| at - held.2 >= 10).map(|held| held.0).collect();
                        wanted.sort_unstable();
                        prop_assert_eq!(gone, wanted);
                        model.retain(|held| at - held.2 < 10);
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.all().count(), model.len());
            }
        }
    }
}
