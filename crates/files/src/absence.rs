//! What was looked for a moment ago and is not there.

use encoding::Coding;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Names that are remembered; a further one takes the place of another.
const NAMES_MAX: usize = 2048;

/// Bits of a slot that hold the second; the others hold the name's hash.
const SECOND_BITS: u32 = 16;

/// Precompressed siblings that were not there when they were looked for, in this second or the one before.
///
/// Three looks that find nothing cost more than to open the file itself and to close it again
/// (`examples/lookup_cost.rs`), and most folders have no siblings. A sibling that is new is seen within two seconds.
/// A slot is one word, so that what several cores write at once is whole; what is lost is worth one look.
pub(crate) struct Absences {
    /// Keyed, so that nobody can choose names that push out each other.
    keys: RandomState,
    /// The name's hash and the second, modulo 2^16.
    slots: Box<[AtomicU64]>,
}

impl Absences {
    pub(crate) fn new() -> Self {
        let slots = (0..NAMES_MAX).map(|_| AtomicU64::new(0)).collect();
        Self { keys: RandomState::new(), slots }
    }

    /// Whether nothing was there when it was looked for, in this second or the one before.
    pub(crate) fn knows(&self, name: &[u8], coding: Coding, now: SystemTime) -> bool {
        let (slot, hash) = self.place(name, coding);
        let word = slot.load(Ordering::Relaxed);
        let age = second(now).wrapping_sub(word) & ((1 << SECOND_BITS) - 1);
        word >> SECOND_BITS == hash && age <= 1
    }

    /// Notes that nothing was there.
    pub(crate) fn note(&self, name: &[u8], coding: Coding, now: SystemTime) {
        let (slot, hash) = self.place(name, coding);
        slot.store(hash << SECOND_BITS | second(now), Ordering::Relaxed);
    }

    fn place(&self, name: &[u8], coding: Coding) -> (&AtomicU64, u64) {
        let hash = self.keys.hash_one((name, coding));
        // The slot is chosen by bits that it does not hold. A hash of 0 would be that of an empty slot.
        (&self.slots[hash as usize % NAMES_MAX], (hash >> SECOND_BITS).max(1))
    }
}

fn second(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) & ((1 << SECOND_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::Br;
    use std::time::Duration;

    #[test]
    fn an_absence_is_known_for_a_second_and_no_longer_than_two() {
        let absences = Absences::new();
        for start in [70, 65_535, 65_536, 1_800_000_000] {
            let start = UNIX_EPOCH + Duration::from_secs(start);
            absences.note(b"a.txt", Br, start);
            assert!(absences.knows(b"a.txt", Br, start));
            assert!(absences.knows(b"a.txt", Br, start + Duration::from_secs(1)));
            assert!(!absences.knows(b"a.txt", Br, start + Duration::from_secs(2)));
            assert!(!absences.knows(b"a.txt", Br, start - Duration::from_secs(1)), "the clock was set back");
            assert!(!absences.knows(b"b.txt", Br, start));
            assert!(!absences.knows(b"a.txt", Coding::Gzip, start));
        }
    }

    #[test]
    fn more_names_than_are_remembered_push_each_other_out_and_are_not_confused() {
        let (absences, now) = (Absences::new(), UNIX_EPOCH + Duration::from_secs(1000));
        for number in 0..10 * NAMES_MAX {
            absences.note(format!("there/{number}").as_bytes(), Br, now);
        }
        let known = (0..10 * NAMES_MAX)
            .filter(|number| absences.knows(format!("there/{number}").as_bytes(), Br, now));
        assert!(known.count() <= NAMES_MAX);
        let confused =
            (0..10 * NAMES_MAX).any(|number| absences.knows(format!("other/{number}").as_bytes(), Br, now));
        assert!(!confused);
    }
}
