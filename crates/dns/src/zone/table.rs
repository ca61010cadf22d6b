//! An open-addressing table from the hash of a name to 32 bits: eight bytes a slot, four thirds of a slot a name.

use super::hash::Hash;

/// The high half is the tag of the hash, the low half the value and one; 0 is empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    slots: Box<[u64]>,
    used: usize,
}

const SLOTS_MIN: usize = 8;

impl Table {
    /// Room for `names` names.
    pub(crate) fn for_names(names: usize) -> Self {
        Self { slots: vec![0; (names + names / 3 + 1).max(SLOTS_MIN)].into(), used: 0 }
    }

    /// The value of the name with this hash for which `is_it` holds.
    #[inline]
    pub(crate) fn find(&self, hash: Hash, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = hash.tag();
        let mut at = place(tag, self.slots.len());
        // There is always an empty slot.
        loop {
            let slot = *self.slots.get(at)?;
            if slot == 0 {
                return None;
            }
            if (slot >> 32) as u32 == tag && is_it(slot as u32 - 1) {
                return Some(slot as u32 - 1);
            }
            at += 1;
            if at == self.slots.len() {
                at = 0;
            }
        }
    }

    /// Adds a name that is not there yet; grows when three quarters are full.
    pub(crate) fn insert(&mut self, hash: Hash, value: u32) {
        assert!(value < u32::MAX, "a value leaves room for the mark of an empty slot");
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.resize((self.slots.len() * 2).max(SLOTS_MIN));
        }
        self.place(u64::from(hash.tag()) << 32 | u64::from(value + 1));
    }

    fn place(&mut self, entry: u64) {
        let mut at = place((entry >> 32) as u32, self.slots.len());
        while self.slots[at] != 0 {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        self.slots[at] = entry;
        self.used += 1;
    }

    /// A slot's place follows from its tag, so that no name has to be hashed again.
    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![0; slots].into());
        self.used = 0;
        for entry in old.into_iter().filter(|entry| *entry != 0) {
            self.place(entry);
        }
    }

    /// The table of the same names in as few slots as are good, with other values, and without those that have none.
    pub(crate) fn into_compact(mut self, value: impl Fn(u32) -> Option<u32>) -> Self {
        let slots = Self::for_names(self.used).slots.len();
        for slot in self.slots.iter_mut().filter(|slot| **slot != 0) {
            *slot = match value(*slot as u32 - 1) {
                Some(value) => {
                    assert!(value < u32::MAX, "a value leaves room for the mark of an empty slot");
                    *slot >> 32 << 32 | u64::from(value + 1)
                }
                None => 0,
            };
        }
        self.resize(slots);
        self
    }

    /// Octets it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.len() * 8
    }
}

/// Spreads the tag over the slots, whose number is no power of two.
#[inline]
fn place(tag: u32, slots: usize) -> usize {
    ((u64::from(tag) * slots as u64) >> 32) as usize
}
