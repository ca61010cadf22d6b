//! How much a client has at once: connections, or requests in flight.

use crate::client::Key;
use crate::hashed::BuildHashed;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Locks; a power of two.
const SHARDS: usize = 32;

/// What each client has open. Only clients that have something open are known, so that it is bounded by whatever
/// bounds all that is open. Clones count together.
#[derive(Clone)]
pub struct PerClient {
    shards: Arc<[Shard; SHARDS]>,
}

type Shard = Mutex<HashMap<u64, u32, BuildHashed>>;

/// One of what a client has open, until it is dropped.
#[must_use = "it is given back when it is dropped"]
pub struct Held {
    shards: Arc<[Shard; SHARDS]>,
    key: Key,
}

impl PerClient {
    /// With nothing open.
    pub fn new() -> Self {
        Self { shards: Arc::new(std::array::from_fn(|_| Shard::default())) }
    }

    /// Opens one more for a client, unless it has `max` already.
    pub fn try_enter(&self, client: Key, max: u32) -> Option<Held> {
        let mut counts = shard(&self.shards, client).lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&client.0).copied().unwrap_or(0);
        if count >= max {
            return None;
        }
        counts.insert(client.0, count + 1);
        Some(Held { shards: Arc::clone(&self.shards), key: client })
    }

    /// How many a client has open.
    pub fn count(&self, client: Key) -> u32 {
        let counts = shard(&self.shards, client).lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&client.0).copied().unwrap_or(0)
    }
}

fn shard(shards: &[Shard; SHARDS], client: Key) -> &Shard {
    // The map within takes its buckets from the lower bits.
    &shards[(client.0 >> 40) as usize % SHARDS]
}

impl Default for PerClient {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut counts = shard(&self.shards, self.key).lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.key.0) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(&self.key.0);
            }
        }
        // A crowd that has left leaves no memory behind.
        if counts.is_empty() {
            counts.shrink_to(64);
        }
    }
}

impl fmt::Debug for PerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerClient").finish_non_exhaustive()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_and_no_more_until_one_is_given_back() {
        let (open, client) = (PerClient::new(), Key::of_value(b"a"));
        let first = open.try_enter(client, 2).unwrap();
        let _second = open.try_enter(client, 2).unwrap();
        assert!(open.try_enter(client, 2).is_none());
        assert!(open.clone().try_enter(client, 2).is_none(), "clones count together");
        assert!(open.try_enter(Key::of_value(b"b"), 2).is_some(), "another client");
        drop(first);
        assert!(open.try_enter(client, 2).is_some());
    }

    #[test]
    fn who_has_nothing_open_is_not_remembered() {
        let open = PerClient::new();
        let held: Vec<Held> = (0..1000u32)
            .map(|number| open.try_enter(Key::of_value(&number.to_be_bytes()), 1).unwrap())
            .collect();
        let known = || open.shards.iter().map(|shard| shard.lock().unwrap().len()).sum::<usize>();
        assert_eq!(known(), 1000);
        drop(held);
        assert_eq!(known(), 0);
    }
}
