//! Names are found by a keyed hash that is rolled from the root towards the leaf, a label at a time: the state after each label
//! is the hash of that suffix. So one pass over a question's name finds its zone and its node.

use crate::protocol::Name;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// Known to nobody outside the process: whoever chooses names cannot choose where they collide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    label: u64,
    state: u64,
}

static KEY: LazyLock<Key> = LazyLock::new(|| {
    let random = RandomState::new();
    Key { label: random.hash_one(1), state: random.hash_one(2) | 1 }
});

impl Key {
    /// The process's.
    #[inline]
    pub(crate) fn of_process() -> Self {
        *KEY
    }

    /// The root's hash.
    #[inline]
    pub(crate) fn root(self) -> Hash {
        Hash(self.label ^ self.state.rotate_left(32))
    }

    /// The hash of all of a name.
    pub(crate) fn name(self, name: &Name) -> Hash {
        let mut hash = self.root();
        for labels in 1..=name.labels() {
            hash = self.below(hash, name, labels);
        }
        hash
    }

    /// From the hash of the last `labels - 1` labels of a name to that of the last `labels`.
    #[inline]
    pub(crate) fn below(self, hash: Hash, name: &Name, labels: usize) -> Hash {
        self.label(hash, name.padded_from(name.suffix_start(labels)))
    }

    /// From the hash of a name to that of its child; the label begins with its length, is lower-cased, and lies in at least
    /// eight octets more than it has.
    #[inline]
    fn label(self, hash: Hash, padded: &[u8]) -> Hash {
        let mut state = hash.0;
        let mut left = usize::from(padded[0]) + 1;
        let mut words = padded.as_chunks::<8>().0.iter();
        while left >= 8 {
            let Some(word) = words.next() else { break };
            state = self.mixed(state, u64::from_le_bytes(*word));
            left -= 8;
        }
        if left > 0
            && let Some(word) = words.next()
        {
            let mask = (1 << (8 * left)) - 1;
            state = self.mixed(state, u64::from_le_bytes(*word) & mask);
        }
        Hash(state)
    }

    /// The hash of the wildcard below a name.
    #[inline]
    pub(crate) fn wildcard(self, hash: Hash) -> Hash {
        self.label(hash, b"\x01*\0\0\0\0\0\0")
    }

    /// Both halves of a product, folded: what `wyhash` is made of.
    #[inline]
    fn mixed(self, state: u64, word: u64) -> u64 {
        let product = u128::from(word ^ self.label) * u128::from(state ^ self.state);
        (product as u64) ^ (product >> 64) as u64
    }
}

/// The hash of a name, and the state from which its children's are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash(u64);

impl Hash {
    /// All of it.
    #[inline]
    pub(crate) fn whole(self) -> u64 {
        self.0
    }

    /// What a table keeps: the half that also says where.
    #[inline]
    pub(crate) fn tag(self) -> u32 {
        (self.0 >> 32) as u32 ^ self.0 as u32
    }
}
