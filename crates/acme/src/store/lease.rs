//! Who orders now: a file with an owner and an end. Of several nodes one orders at a time, and when that one is
//! killed another one may after a minute.
//!
//! The clocks of the nodes must agree to within that minute. If they do not, or in the moment in which two nodes
//! find the same lease ended, both may order: the server issues twice, and the later certificate stays. That is
//! wasteful and harmless, so no stronger promise is asked of the file system.

use super::{Store, files};
use crate::Error;
use crate::clock::unix_seconds;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How long a lease lasts without being renewed.
const LEASE: Duration = Duration::from_secs(60);

/// A lease is renewed when less than this is left of it.
const RENEW_BELOW: Duration = Duration::from_secs(40);

/// The right to order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    /// The node, for people, and a random text that makes it this process alone.
    owner: String,
    until_unix_s: u64,
}

impl Store {
    fn lease_path(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The lease, unless another node has it.
    pub(crate) fn lease(&self, owner: &str, now: SystemTime) -> Result<Option<Lease>, Error> {
        // Reading comes first: a node that waits asks every second, and should not write each time.
        if let Some(theirs) = self.lease_content()? {
            if theirs.as_ref().is_some_and(|theirs| theirs.owner != owner && is_running(theirs, now)) {
                return Ok(None);
            }
            self.take_away(theirs.as_ref())?;
        }
        let mine = Lease::until(owner, now + LEASE);
        Ok(files::create(&self.lease_path(), &mine.text())?.then_some(mine))
    }

    /// Makes the lease last, if it is still ours; `false` when another node has taken it.
    pub(crate) fn keep(&self, lease: &mut Lease, now: SystemTime) -> Result<bool, Error> {
        if lease.content.until_unix_s > unix_seconds(now + RENEW_BELOW) {
            return Ok(true);
        }
        if self.lease_content()?.flatten().as_ref() != Some(&lease.content) {
            return Ok(false);
        }
        *lease = Lease::until(&lease.content.owner, now + LEASE);
        files::replace(&self.lease_path(), &lease.text())?;
        Ok(true)
    }

    /// Gives the lease back.
    pub(crate) fn release(&self, lease: &Lease) -> Result<(), Error> {
        if self.lease_content()?.flatten().as_ref() == Some(&lease.content) {
            files::remove(&self.lease_path())?;
        }
        Ok(())
    }

    /// `None` when there is no file, `Some(None)` when it is broken.
    fn lease_content(&self) -> Result<Option<Option<Content>>, Error> {
        Ok(files::read(&self.lease_path())?.map(|text| serde_json::from_str(&text).ok()))
    }

    /// Takes an ended lease away. It is renamed first, so that of several nodes one takes it; and if what was
    /// renamed is not what had ended, its owner gets it back.
    fn take_away(&self, ended: Option<&Content>) -> Result<(), Error> {
        let aside = self.root.join(format!(".nines-{}", files::random_text()));
        if files::rename(&self.lease_path(), &aside).is_err() {
            return Ok(());
        }
        let text = files::read(&aside)?.unwrap_or_default();
        let taken: Option<Content> = serde_json::from_str(&text).ok();
        if taken.as_ref() != ended {
            files::create(&self.lease_path(), &text)?;
        }
        files::remove(&aside)
    }
}

impl Lease {
    fn until(owner: &str, end: SystemTime) -> Self {
        Self { content: Content { owner: owner.into(), until_unix_s: unix_seconds(end) } }
    }

    fn text(&self) -> String {
        serde_json::to_string(&self.content).expect("a text and a number are JSON")
    }
}

/// Whether a lease has not ended. One that ends later than any that is given now has a wrong clock's time.
fn is_running(content: &Content, now: SystemTime) -> bool {
    let now = unix_seconds(now);
    (now + 1..=now + 2 * LEASE.as_secs()).contains(&content.until_unix_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix_seconds;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().into()).unwrap();
        (dir, store)
    }

    fn at(seconds: u64) -> SystemTime {
        from_unix_seconds(1_000_000 + seconds)
    }

    #[test]
    fn one_node_at_a_time_has_the_lease() {
        let (_dir, store) = store();
        let lease = store.lease("a", at(0)).unwrap().unwrap();
        assert!(store.lease("b", at(1)).unwrap().is_none());
        store.release(&lease).unwrap();
        assert!(store.lease("b", at(1)).unwrap().is_some());
    }

    #[test]
    fn the_lease_of_a_dead_node_ends() {
        let (_dir, store) = store();
        let mut dead = store.lease("a", at(0)).unwrap().unwrap();
        assert!(store.lease("b", at(59)).unwrap().is_none());
        let lease = store.lease("b", at(60)).unwrap().unwrap();
        // Should it come back, it finds that it has nothing to keep or to release.
        assert!(!store.keep(&mut dead, at(61)).unwrap());
        store.release(&dead).unwrap();
        assert!(store.lease("c", at(61)).unwrap().is_none());
        store.release(&lease).unwrap();
    }

    #[test]
    fn a_lease_that_is_kept_does_not_end() {
        let (_dir, store) = store();
        let mut lease = store.lease("a", at(0)).unwrap().unwrap();
        for second in 1..200 {
            assert!(store.keep(&mut lease, at(second)).unwrap());
            assert!(store.lease("b", at(second)).unwrap().is_none(), "after {second} s");
        }
    }

    #[test]
    fn a_broken_lock_and_one_from_the_far_future_do_not_stop_everything() {
        let (_dir, store) = store();
        std::fs::write(store.lease_path(), "{").unwrap();
        assert!(store.lease("b", at(0)).unwrap().is_some());
        std::fs::write(store.lease_path(), Lease::until("a", at(1_000_000)).text()).unwrap();
        assert!(store.lease("b", at(0)).unwrap().is_some());
    }

    #[test]
    fn a_lease_that_was_renewed_meanwhile_goes_back_to_its_owner() {
        let (_dir, store) = store();
        let mut lease = store.lease("a", at(0)).unwrap().unwrap();
        let seen = lease.content.clone();
        assert!(store.keep(&mut lease, at(30)).unwrap());
        store.take_away(Some(&seen)).unwrap();
        assert!(store.keep(&mut lease, at(80)).unwrap());
    }

    #[test]
    fn of_many_that_want_an_ended_lease_one_gets_it() {
        let (_dir, store) = store();
        store.lease("dead", at(0)).unwrap().unwrap();
        let barrier = std::sync::Barrier::new(8);
        let got = std::thread::scope(|scope| {
            let wait = |number: usize| {
                let (store, barrier) = (&store, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    store.lease(&number.to_string(), at(100)).unwrap()
                })
            };
            let threads: Vec<_> = (0..8).map(wait).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let kept: Vec<_> = got
            .into_iter()
            .filter_map(|mut lease| store.keep(&mut lease, at(130)).unwrap().then_some(lease))
            .collect();
        assert_eq!(kept.len(), 1, "{kept:?}");
    }
}
