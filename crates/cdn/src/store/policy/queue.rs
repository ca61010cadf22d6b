//! Two queues over one table of slots: a place stays what it is while its item moves from one queue to the other.

/// No slot.
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Small,
    Main,
}

struct Slot<T> {
    item: Option<T>,
    weight: u64,
    which: Which,
    newer: u32,
    older: u32,
}

#[derive(Clone, Copy)]
struct Queue {
    oldest: u32,
    newest: u32,
    bytes: u64,
}

pub(super) struct Queues<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    queues: [Queue; 2],
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        let empty = Queue { oldest: NONE, newest: NONE, bytes: 0 };
        Self { slots: Vec::new(), free: Vec::new(), queues: [empty; 2] }
    }
}

impl<T> Queues<T> {
    pub(super) fn bytes(&self, which: Which) -> u64 {
        self.queues[which as usize].bytes
    }

    pub(super) fn is_empty(&self, which: Which) -> bool {
        self.queues[which as usize].oldest == NONE
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.item.as_ref())
    }

    pub(super) fn weight(&self, place: u32) -> u64 {
        self.slots[place as usize].weight
    }

    pub(super) fn oldest(&self, which: Which) -> (u32, &T) {
        let place = self.queues[which as usize].oldest;
        let slot =
            self.slots.get(place as usize).expect("whoever takes from a queue has seen that it is not empty");
        (place, slot.item.as_ref().expect("what stands in a queue is there"))
    }

    /// Adds to the new end.
    pub(super) fn push(&mut self, which: Which, item: T, weight: u64) -> u32 {
        let slot = Slot { item: Some(item), weight, which, newer: NONE, older: NONE };
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place as usize] = slot;
                place
            }
            None => {
                assert!(self.slots.len() < NONE as usize, "a place is a number of 32 bits");
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.link(which, place);
        place
    }

    /// To the new end of a queue, from wherever it stands.
    pub(super) fn move_to(&mut self, which: Which, place: u32) {
        self.unlink(place);
        self.link(which, place);
    }

    pub(super) fn remove(&mut self, place: u32) -> (T, Which) {
        self.unlink(place);
        self.free.push(place);
        let slot = &mut self.slots[place as usize];
        (slot.item.take().expect("it is removed once"), slot.which)
    }

    fn link(&mut self, which: Which, place: u32) {
        let queue = &mut self.queues[which as usize];
        let slot = &mut self.slots[place as usize];
        (slot.which, slot.newer, slot.older) = (which, NONE, queue.newest);
        queue.bytes += slot.weight;
        match std::mem::replace(&mut queue.newest, place) {
            NONE => queue.oldest = place,
            last => self.slots[last as usize].newer = place,
        }
    }

    fn unlink(&mut self, place: u32) {
        let Slot { weight, which, newer, older, .. } = self.slots[place as usize];
        let queue = &mut self.queues[which as usize];
        queue.bytes -= weight;
        match older {
            NONE => queue.oldest = newer,
            older => self.slots[older as usize].newer = newer,
        }
        match newer {
            NONE => queue.newest = older,
            newer => self.slots[newer as usize].older = older,
        }
    }
}
