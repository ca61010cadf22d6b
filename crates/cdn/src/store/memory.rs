//! Responses in memory, shared by all cores.
//!
//! A look-up takes the read lock of one of many shards, for as long as it takes to clone an `Arc`. Everything that changes what
//! is kept does so under the lock of the policy, of which there is one: so the bound is one number that holds at every moment, and a
//! large object needs no room in a single shard. Lock order: policy, then shard, then what purges are kept in.

mod shard;
#[cfg(test)]
mod tests;

use super::object::Object;
use super::policy::{Admission, Policy};
use shard::Shard;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

const SHARDS: usize = 256;
/// Variants of one key. Where there are more, the least used goes.
pub const VARIANTS_MAX: usize = 32;

/// Responses that are in memory.
pub struct Memory {
    shards: Box<[Aligned]>,
    policy: Mutex<Policy<Arc<Object>>>,
    object_bytes_max: AtomicU64,
    counts: Counts,
}

/// Locks of different cores do not share a cache line.
#[repr(align(64))]
#[derive(Default)]
struct Aligned(RwLock<Shard>);

#[derive(Default)]
struct Counts {
    evicted: AtomicU64,
    variants: AtomicU64,
    deferred: AtomicU64,
    too_large: AtomicU64,
}

/// How full it is, and what has happened since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryFigures {
    /// Memory that is counted for what is kept.
    pub bytes: u64,
    /// Responses that are kept.
    pub objects: u64,
    /// Had to go for others.
    pub evicted: u64,
    /// Had to go because their key had more than [`VARIANTS_MAX`].
    pub evicted_variants: u64,
    /// Were not kept at their first request, being large.
    pub deferred: u64,
    /// Were not kept, being larger than anything may be.
    pub too_large: u64,
}

impl Memory {
    /// With room for `bytes_max` bytes; what weighs more than `object_bytes_max` is never kept.
    pub fn new(bytes_max: u64, object_bytes_max: u64) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Aligned::default()).collect(),
            policy: Mutex::new(Policy::new(bytes_max)),
            object_bytes_max: AtomicU64::new(object_bytes_max),
            counts: Counts::default(),
        }
    }

    /// The first variant, from the newest on, that is chosen. It counts as used.
    #[inline]
    pub fn find(&self, key: &crate::Key, mut choose: impl FnMut(&Object) -> bool) -> Option<Arc<Object>> {
        let shard = self.shard(key.hash).read().unwrap_or_else(PoisonError::into_inner);
        let found = shard.variants(key).iter().find(|object| choose(object))?;
        found.mark();
        Some(Arc::clone(found))
    }

    /// The same, and it does not count as used: for whoever asks why.
    pub fn see(&self, key: &crate::Key, mut choose: impl FnMut(&Object) -> bool) -> Option<Arc<Object>> {
        self.variants(key).into_iter().find(|object| choose(object))
    }

    /// All variants of a key, the newest first. None of them counts as used.
    pub fn variants(&self, key: &crate::Key) -> Vec<Arc<Object>> {
        let shard = self.shard(key.hash).read().unwrap_or_else(PoisonError::into_inner);
        shard.variants(key).to_vec()
    }

    /// Keeps a response, in place of what it replaces: the variant of the same fields, unless it has more of the body.
    /// Returns it where there was room for it.
    pub fn put(&self, object: Object) -> Option<Arc<Object>> {
        let object = Arc::new(object);
        self.put_shared(&object).then_some(object)
    }

    /// The same, for one that is shared already.
    pub fn put_shared(&self, object: &Arc<Object>) -> bool {
        let mut gone = Vec::new();
        let mut policy = self.policy();
        let replaced = self.replaced_by(object);
        let kept = self.admit(&mut policy, object, replaced, &mut gone);
        drop(policy);
        // Bodies are freed here, where nobody waits for a lock.
        drop(gone);
        kept
    }

    /// Keeps a response that comes back from the disk, unless a newer one is there by now.
    pub fn put_back(&self, object: &Arc<Object>) -> bool {
        let mut gone = Vec::new();
        let mut policy = self.policy();
        let kept =
            self.replaced_by(object).is_empty() && self.admit(&mut policy, object, Vec::new(), &mut gone);
        drop(policy);
        drop(gone);
        kept
    }

    /// Whether a body of this length is worth its room that stands on the disk, for who asks for it there.
    pub fn takes_back(&self, key: &crate::Key, body_bytes: u64) -> bool {
        let takes = body_bytes < self.object_bytes_max.load(Ordering::Relaxed)
            && self.policy().takes_back(key.hash as u64, body_bytes);
        if !takes {
            self.counts.deferred.fetch_add(1, Ordering::Relaxed);
        }
        takes
    }

    /// Puts a response in place of one that is kept, with its use: its head was updated. False if that one is
    /// no longer there, or the new one has no room.
    pub fn update(&self, old: &Arc<Object>, new: &Arc<Object>) -> bool {
        let mut gone = Vec::new();
        let kept = {
            let mut policy = self.policy();
            let shard = self.shard(old.key.hash).read().unwrap_or_else(PoisonError::into_inner);
            let is_there = shard.variants(&old.key).iter().any(|object| Arc::ptr_eq(object, old));
            drop(shard);
            is_there && self.admit(&mut policy, new, vec![Arc::clone(old)], &mut gone)
        };
        drop(gone);
        kept
    }

    /// Whether there is a response that this one would take the place of.
    pub fn has_other(&self, object: &Object) -> bool {
        !self.replaced_by(object).is_empty()
    }

    /// Removes one response.
    pub fn remove(&self, object: &Arc<Object>) -> bool {
        self.remove_where(&object.key, |other| Arc::ptr_eq(object, other)) > 0
    }

    /// Removes one response, and what of it was read from the disk by another: all that came no later.
    pub fn remove_upto(&self, object: &Arc<Object>) -> bool {
        let is_older =
            |other: &Object| other.stored.received <= object.stored.received && object.replaces(other);
        self.remove_where(&object.key, |other| Arc::ptr_eq(object, other) || is_older(other)) > 0
    }

    /// Removes all variants of a key, and says how many there were.
    pub fn remove_key(&self, key: &crate::Key) -> usize {
        self.remove_where(key, |_| true)
    }

    /// Removes what is condemned, and says how many there were. It looks at all that is kept: for a thread beside the cores.
    pub fn sweep(&self, condemned: impl Fn(&Object) -> bool) -> usize {
        let all: Vec<Arc<Object>> = self.policy().items().cloned().collect();
        let removed = all.iter().filter(|object| condemned(object) && self.remove(object)).count();
        drop(all);
        removed
    }

    /// Sets other bounds; what has no room goes.
    pub fn resize(&self, bytes_max: u64, object_bytes_max: u64) {
        self.object_bytes_max.store(object_bytes_max, Ordering::Relaxed);
        let mut gone = Vec::new();
        let mut policy = self.policy();
        policy.resize(bytes_max, &mut gone);
        self.unlink(&gone);
        drop(policy);
    }

    /// How full it is, and what has happened.
    pub fn figures(&self) -> MemoryFigures {
        let policy = self.policy();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MemoryFigures {
            bytes: policy.bytes(),
            objects: policy.len() as u64,
            evicted: count(&self.counts.evicted),
            evicted_variants: count(&self.counts.variants),
            deferred: count(&self.counts.deferred),
            too_large: count(&self.counts.too_large),
        }
    }

    fn replaced_by(&self, object: &Object) -> Vec<Arc<Object>> {
        let shard = self.shard(object.key.hash).read().unwrap_or_else(PoisonError::into_inner);
        let same = |other: &&Arc<Object>| object.replaces(other) || other.key.bytes != object.key.bytes;
        shard.all(object.key.hash).iter().filter(same).cloned().collect()
    }

    /// Makes room, and shows the object. What is replaced leaves with the same lock that the new one comes with.
    fn admit(
        &self,
        policy: &mut Policy<Arc<Object>>,
        object: &Arc<Object>,
        replaced: Vec<Arc<Object>>,
        gone: &mut Vec<Arc<Object>>,
    ) -> bool {
        let mut replaced = replaced.into_iter();
        let mut leaving = Vec::new();
        let admission = if object.weight() > self.object_bytes_max.load(Ordering::Relaxed) {
            Admission::Never
        } else if let Some(first) = replaced.next() {
            let (old, admission) = policy.replace(first.place(), Arc::clone(object), object.weight(), gone);
            leaving.push(old);
            admission
        } else {
            policy.admit(Arc::clone(object), object.weight(), gone)
        };
        // Not one that has had to go for the new one.
        let still_there = |old: &Arc<Object>| !gone.iter().any(|evicted| Arc::ptr_eq(evicted, old));
        leaving.extend(replaced.filter(still_there).map(|old| policy.remove(old.place())));
        self.unlink(gone);
        let surplus = self.show(object, admission, &leaving);
        gone.extend(leaving);
        if let Some(surplus) = surplus {
            gone.push(policy.remove(surplus.place()));
        }
        matches!(admission, Admission::Kept(_))
    }

    /// Swaps the new one for those that leave, and says which variant is too many.
    fn show(
        &self,
        object: &Arc<Object>,
        admission: Admission,
        leaving: &[Arc<Object>],
    ) -> Option<Arc<Object>> {
        let mut shard = self.shard(object.key.hash).write().unwrap_or_else(PoisonError::into_inner);
        for old in leaving {
            shard.remove(old.key.hash, |other| Arc::ptr_eq(old, other));
        }
        let counter = match admission {
            Admission::Kept(place) => {
                object.set_place(place);
                let surplus = shard.insert(object, VARIANTS_MAX);
                self.counts.variants.fetch_add(u64::from(surplus.is_some()), Ordering::Relaxed);
                return surplus;
            }
            Admission::Later => &self.counts.deferred,
            Admission::Never => &self.counts.too_large,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Takes out of the map what the policy has let go.
    fn unlink(&self, evicted: &[Arc<Object>]) {
        for object in evicted {
            let mut shard = self.shard(object.key.hash).write().unwrap_or_else(PoisonError::into_inner);
            shard.remove(object.key.hash, |other| Arc::ptr_eq(object, other));
        }
        self.counts.evicted.fetch_add(evicted.len() as u64, Ordering::Relaxed);
    }

    fn remove_where(&self, key: &crate::Key, condemned: impl Fn(&Arc<Object>) -> bool) -> usize {
        let mut policy = self.policy();
        let mut shard = self.shard(key.hash).write().unwrap_or_else(PoisonError::into_inner);
        let removed = shard.remove(key.hash, |object| object.key.bytes == key.bytes && condemned(object));
        drop(shard);
        for object in &removed {
            policy.remove(object.place());
        }
        drop(policy);
        removed.len()
    }

    #[inline]
    fn shard(&self, hash: u128) -> &RwLock<Shard> {
        // The map within goes by the lower half.
        &self.shards[(hash >> 64) as usize % SHARDS].0
    }

    fn policy(&self) -> MutexGuard<'_, Policy<Arc<Object>>> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
