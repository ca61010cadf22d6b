//! What verifying passwords may cost a node, and what has been verified lately.

use aws_lc_rs::{hmac, rand};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Credentials that are known to be right at once; a further one takes the place of the oldest.
const VERIFIED_MAX: usize = 8192;
/// How long they are, before the password is verified again.
const VERIFIED_FOR: Duration = Duration::from_secs(300);

/// Verifies passwords for all sites of a node: so many at once, because each takes a thread for as long as it was
/// made to take. Remembers which were right: not them, but a hash with a key that is never told.
pub struct Verifiers {
    key: hmac::Key,
    verified: Mutex<Verified>,
    running: AtomicUsize,
    running_max: usize,
}

/// What identifies a user, its password and the stored hash together. Whoever changes a password changes the hash.
pub(super) type Tag = [u8; 32];

#[derive(Default)]
struct Verified {
    until: HashMap<Tag, Instant>,
    /// The oldest first. All are kept for equally long, so that it is the order in which they end as well.
    order: VecDeque<Tag>,
}

/// The right to verify one password, until it is dropped.
pub(super) struct Permit(Arc<Verifiers>);

impl Verifiers {
    /// Of which so many run at once, at least one: as many as there are cores, or fewer.
    pub fn new(running_max: usize) -> Arc<Self> {
        let mut key = [0; 32];
        rand::fill(&mut key).expect("the operating system has random numbers");
        Arc::new(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            verified: Mutex::default(),
            running: AtomicUsize::new(0),
            running_max: running_max.max(1),
        })
    }

    pub(super) fn tag(&self, user: &str, password: &str, hash: &str) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [user, password, hash] {
            // With its length, so that no two triples are one text.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    /// Whether it was verified lately. How long the comparison takes tells something of the tag, of which nobody
    /// outside can choose a byte.
    pub(super) fn knows(&self, tag: &Tag, now: Instant) -> bool {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.until.get(tag).is_some_and(|until| now < *until)
    }

    pub(super) fn learn(&self, tag: Tag, now: Instant) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let Verified { until, order } = &mut *verified;
        // Known again is known for longer: its place in the order is a new one.
        if until.insert(tag, now + VERIFIED_FOR).is_some() {
            order.retain(|known| *known != tag);
        }
        order.push_back(tag);
        while let Some(oldest) = order.front() {
            if until.len() <= VERIFIED_MAX && until.get(oldest).is_some_and(|until| now < *until) {
                break;
            }
            until.remove(oldest);
            order.pop_front();
        }
    }

    /// The right to verify one password; `None` while too many are being verified.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Permit> {
        let more = |running: usize| (running < self.running_max).then_some(running + 1);
        self.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Permit(Arc::clone(self)))
    }
}

impl Permit {
    pub(super) fn verifiers(&self) -> &Verifiers {
        &self.0
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Verifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifiers").field("running_max", &self.running_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_verified_is_known_for_a_while() {
        let (verifiers, now) = (Verifiers::new(1), Instant::now());
        let tag = verifiers.tag("a", "b", "c");
        assert!(!verifiers.knows(&tag, now));
        verifiers.learn(tag, now);
        assert!(verifiers.knows(&tag, now + VERIFIED_FOR / 2));
        assert!(!verifiers.knows(&tag, now + VERIFIED_FOR));
        verifiers.learn(tag, now + VERIFIED_FOR / 2);
        assert!(verifiers.knows(&tag, now + VERIFIED_FOR), "known again is known for longer");
        assert_eq!(verifiers.verified.lock().unwrap().order.len(), 1);
    }

    #[test]
    fn user_password_and_hash_are_kept_apart() {
        let (one, other) = (Verifiers::new(1), Verifiers::new(1));
        let tag = one.tag("a", "b", "c");
        for (user, password, hash) in [("ab", "", "c"), ("a", "bc", ""), ("a", "b", "d"), ("b", "a", "c")] {
            assert_ne!(tag, one.tag(user, password, hash));
        }
        assert_ne!(tag, other.tag("a", "b", "c"), "each process has its key");
    }

    #[test]
    fn so_many_are_known_and_the_oldest_goes_first() {
        let (verifiers, now) = (Verifiers::new(1), Instant::now());
        let tag = |number: usize| verifiers.tag("a", &number.to_string(), "c");
        for number in 0..=VERIFIED_MAX {
            verifiers.learn(tag(number), now);
        }
        assert!(!verifiers.knows(&tag(0), now));
        assert!(verifiers.knows(&tag(1), now));
        assert!(verifiers.knows(&tag(VERIFIED_MAX), now));
        verifiers.learn(tag(0), now + VERIFIED_FOR);
        assert_eq!(verifiers.verified.lock().unwrap().until.len(), 1, "what has ended is gone");
    }
}
