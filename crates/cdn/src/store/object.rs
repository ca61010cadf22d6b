//! A response that is kept.

use super::body::Body;
use super::policy::{Frequency, Kept, Place};
use crate::Key;
use crate::purge::{Purges, Verdict};
use crate::rules::Stored;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Memory of an object beside its head and body: itself, its places in the map and the queues, its share of the ghost, and
/// what an allocator adds.
const OVERHEAD_BYTES: u64 = size_of::<Object>() as u64 + 256;
/// Of each chunk: its handle, and what shares it.
const CHUNK_OVERHEAD_BYTES: u64 = 64;

/// Uses, since it came or was confirmed, that make a response one that is asked for anew before its time is over.
const USES_POPULAR: u8 = 2;
/// It is asked for anew.
const USES_CLAIMED: u8 = USES_POPULAR + 1;

/// For how long a stale response is served without that the origin is asked anew, once the origin has failed, in seconds.
const ALONE_S: u32 = 2;

/// A response that is kept, whole or in part.
#[derive(Debug)]
pub struct Object {
    /// What it answers.
    pub key: Key,
    /// Its head, and what was decided about it.
    pub stored: Stored,
    /// Its body.
    pub body: Body,
    /// The purges that were known when it was asked for.
    asked: u64,
    /// The purges that it was held against, doubled; odd once one of them made it stale.
    checked: AtomicU64,
    /// In seconds since 1970: when it was first found that it is stale by a purge; 0 as long as it is not.
    soft_since: AtomicU64,
    frequency: Frequency,
    /// Since it came or was confirmed, up to [`USES_POPULAR`]; then [`USES_CLAIMED`].
    uses: AtomicU8,
    place: AtomicU32,
    /// In seconds since 1970.
    alone_until: AtomicU32,
    weight: u64,
}

impl Object {
    /// `asked` is what [`Purges::sequence`] said before the request was sent that this answers.
    pub fn new(key: Key, stored: Stored, body: Body, asked: u64) -> Self {
        let weight = OVERHEAD_BYTES
            + key.bytes.len() as u64
            + head_bytes(&stored)
            + body.len()
            + body.chunks().len() as u64 * CHUNK_OVERHEAD_BYTES;
        Self {
            key,
            stored,
            body,
            asked,
            checked: AtomicU64::new(asked << 1),
            soft_since: AtomicU64::new(0),
            frequency: Frequency::default(),
            uses: AtomicU8::new(0),
            place: AtomicU32::new(Place::MAX),
            alone_until: AtomicU32::new(0),
            weight,
        }
    }

    /// Bytes of memory that are counted for it.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// The purges that were known when it was asked for.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// The purges that it was held against by now, and whether one of these made it stale.
    pub(crate) fn held(&self) -> (u64, bool) {
        let checked = self.checked.load(Ordering::Relaxed);
        (checked >> 1, checked & 1 == 1)
    }

    /// How often it was used lately: 0 to 3.
    pub fn frequency(&self) -> u8 {
        self.frequency.get()
    }

    /// Whether it was used twice since it came or was confirmed, and nobody asks for it anew before its time is over.
    #[inline]
    pub fn is_popular(&self) -> bool {
        self.uses.load(Ordering::Relaxed) == USES_POPULAR
    }

    /// Makes the caller the one who asks for it anew. One try is made: where it fails, the response stays for the time it has.
    pub(crate) fn claim_refresh(&self) -> bool {
        let order = Ordering::Relaxed;
        self.uses.compare_exchange(USES_POPULAR, USES_CLAIMED, order, order).is_ok()
    }

    /// The origin could not be asked whether it is as it was: for a while nobody tries again in the background.
    pub fn leave_alone(&self, now: SystemTime) {
        self.alone_until.store(seconds(now).saturating_add(ALONE_S), Ordering::Relaxed);
    }

    /// Whether that while is not over.
    pub fn is_left_alone(&self, now: SystemTime) -> bool {
        // A clock that was set back must not make it longer.
        let left = self.alone_until.load(Ordering::Relaxed).saturating_sub(seconds(now));
        (1..=ALONE_S).contains(&left)
    }

    /// A soft purge was about it: it is stale, however fresh it says it is. True of what [`crate::Engine::find`] has returned.
    #[inline]
    pub fn is_purged_softly(&self) -> bool {
        self.checked.load(Ordering::Relaxed) & 1 == 1
    }

    /// Marks it as stale: it was so when it was written to the disk.
    pub(crate) fn soften(&self) {
        self.note_softened();
        self.checked.fetch_or(1, Ordering::Relaxed);
    }

    /// Before it is known to be stale, it is known since when.
    fn note_softened(&self) {
        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs().max(1);
        // Whoever was first has seen it first.
        let _ = self.soft_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Since when it is known that a soft purge was about it.
    #[inline]
    pub fn stale_since(&self) -> Option<SystemTime> {
        if !self.is_purged_softly() {
            return None;
        }
        let since = self.soft_since.load(Ordering::Relaxed);
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(since))
    }

    /// What purges say of it. Where there was none since it was looked at last, that is one comparison.
    #[inline]
    pub(crate) fn check(&self, purges: &Purges) -> Verdict {
        let checked = self.checked.load(Ordering::Relaxed);
        if checked >> 1 == purges.sequence() {
            return if checked & 1 == 1 { Verdict::Soft } else { Verdict::Clean };
        }
        self.check_anew(purges, checked)
    }

    #[cold]
    fn check_anew(&self, purges: &Purges, checked: u64) -> Verdict {
        let (verdict, upto) = purges.verdict(&self.key.bytes, &self.stored.tags, checked >> 1);
        if verdict == Verdict::Hard {
            return Verdict::Hard;
        }
        let is_soft = verdict == Verdict::Soft || checked & 1 == 1;
        if is_soft {
            self.note_softened();
        }
        // Somebody else may have looked further meanwhile. What is odd is larger, so a mark is never lost.
        self.checked.fetch_max(upto << 1 | u64::from(is_soft), Ordering::Relaxed);
        if is_soft {
            self.checked.fetch_or(1, Ordering::Relaxed);
            return Verdict::Soft;
        }
        Verdict::Clean
    }

    /// Whether this takes the place of another variant: it was asked for with the same fields, and has as much of the body.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        crate::rules::replaces(&self.stored, &other.stored)
    }

    pub(super) fn place(&self) -> Place {
        self.place.load(Ordering::Relaxed)
    }

    pub(super) fn set_place(&self, place: Place) {
        self.place.store(place, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn mark(&self) {
        self.frequency.mark();
        // As with the frequency, a use that meets another may be lost.
        let uses = self.uses.load(Ordering::Relaxed);
        if uses < USES_POPULAR {
            self.uses.store(uses + 1, Ordering::Relaxed);
        }
    }
}

fn seconds(time: SystemTime) -> u32 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

impl Kept for Arc<Object> {
    fn frequency(&self) -> &Frequency {
        &self.frequency
    }

    fn fingerprint(&self) -> u64 {
        self.key.hash as u64
    }
}

fn head_bytes(stored: &Stored) -> u64 {
    let vary: usize = stored.vary.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    let tags: usize = stored.tags.iter().map(|tag| tag.len() + 16).sum();
    (stored.lines.len() + stored.unsent.len() + vary + tags) as u64
}

#[cfg(test)]
mod tests {
    use crate::store::samples::object;
    use std::time::{Duration, SystemTime};

    #[test]
    fn what_could_not_be_confirmed_is_left_alone_for_a_while_even_if_the_clock_is_set() {
        let object = object("a", b"body", 0);
        let now = SystemTime::now();
        let is_left = |later: f64| object.is_left_alone(now + Duration::from_secs_f64(later));
        assert!(!is_left(0.0));
        object.leave_alone(now);
        assert_eq!([0.0, 0.9, 2.0].map(is_left), [true, true, false]);
        assert!(!object.is_left_alone(now - Duration::from_secs(3600)));
    }
}
