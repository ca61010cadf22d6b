//! A part of the map from keys to responses.

use crate::Key;
use crate::store::object::Object;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::slice;
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Shard(HashMap<u128, Variants, BuildHasherDefault<Low>>);

/// Most keys have one variant, which then needs no list.
enum Variants {
    One(Arc<Object>),
    /// From the newest on.
    Many(Vec<Arc<Object>>),
}

impl Variants {
    #[inline]
    fn as_slice(&self) -> &[Arc<Object>] {
        match self {
            Self::One(object) => slice::from_ref(object),
            Self::Many(objects) => objects,
        }
    }
}

impl Shard {
    /// The responses of a key, from the newest on.
    #[inline]
    pub(super) fn variants(&self, key: &Key) -> &[Arc<Object>] {
        let all = self.all(key.hash);
        // All of one hash have the same key: whoever comes with another takes the place of those that are there.
        if all.first().is_some_and(|object| object.key.bytes == key.bytes) { all } else { &[] }
    }

    /// The responses of a hash.
    #[inline]
    pub(super) fn all(&self, hash: u128) -> &[Arc<Object>] {
        self.0.get(&hash).map(Variants::as_slice).unwrap_or_default()
    }

    /// Adds one, and takes out the least used of the others where there are more than `variants_max`.
    pub(super) fn insert(&mut self, object: &Arc<Object>, variants_max: usize) -> Option<Arc<Object>> {
        let mut entry = match self.0.entry(object.key.hash) {
            Entry::Vacant(vacant) => {
                vacant.insert(Variants::One(Arc::clone(object)));
                return None;
            }
            Entry::Occupied(entry) => entry,
        };
        let mut objects = vec![Arc::clone(object)];
        objects.extend_from_slice(entry.get().as_slice());
        // Of those that are used alike the oldest goes, which is the last.
        let surplus = (objects.len() > variants_max).then(|| {
            let others = objects.iter().enumerate().skip(1).rev();
            let least = others.min_by_key(|(_, object)| object.frequency()).map_or(0, |(at, _)| at);
            objects.remove(least)
        });
        entry.insert(Variants::Many(objects));
        surplus
    }

    /// Takes out what is condemned.
    pub(super) fn remove(
        &mut self,
        hash: u128,
        condemned: impl Fn(&Arc<Object>) -> bool,
    ) -> Vec<Arc<Object>> {
        let Some(variants) = self.0.get(&hash) else { return Vec::new() };
        let (removed, mut left): (Vec<_>, Vec<_>) = variants.as_slice().iter().cloned().partition(condemned);
        if removed.is_empty() {
            return removed;
        }
        if left.len() > 1 {
            self.0.insert(hash, Variants::Many(left));
        } else if let Some(last) = left.pop() {
            self.0.insert(hash, Variants::One(last));
        } else {
            self.0.remove(&hash);
        }
        removed
    }
}

/// Keys are hashed already, with a secret: half of that is enough to find a place.
#[derive(Default)]
struct Low(u64);

impl Hasher for Low {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("hashes of keys are numbers");
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}
