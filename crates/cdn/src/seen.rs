//! What is kept of a key, for whoever asks why: nothing of it counts as a use, and nothing is changed.

use crate::purge::{About, Purges, Verdict};
use crate::rules::Stored;
use crate::store::Object;

/// Where something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// In memory.
    Memory,
    /// On the disk.
    Disk,
}

/// A response that is kept, its body aside.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its head, and what was decided about it.
    pub stored: Stored,
    /// The length of what is kept of the body.
    pub body_bytes: u64,
    /// Where it is.
    pub tier: Tier,
    /// The purges that were known when it was asked for.
    pub asked: u64,
    /// What purges say of it.
    pub verdict: Verdict,
    /// The purges that are about it, the last first.
    pub purges: Vec<About>,
}

impl Seen {
    pub(crate) fn of(object: &Object, body_bytes: u64, tier: Tier, purges: &Purges) -> Self {
        let (key, tags) = (&object.key.bytes, &object.stored.tags);
        Self {
            stored: object.stored.clone(),
            body_bytes,
            tier,
            asked: object.asked(),
            verdict: object.check(purges),
            purges: purges.about(key, tags, object.asked()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purge::{Mode, Target};
    use crate::store::samples::{key, stored, tagged};
    use crate::store::{Body, DiskConfig};
    use crate::{Engine, EngineConfig};

    #[test]
    fn what_is_kept_is_told_with_the_purges_that_are_about_it_and_not_used_by_that() {
        let engine = Engine::open(&EngineConfig::of_memory(1 << 20)).unwrap();
        let key = engine.key(b"http://a.test/img/1");
        let kept = engine.put(Object::new(key.clone(), tagged(&["red"]), Body::copy_of(b"body"), 0)).unwrap();
        let told = || {
            let seen = engine.seen(&key).remove(0);
            let purges: Vec<String> = seen.purges.iter().map(ToString::to_string).collect();
            (seen.tier, seen.body_bytes, seen.verdict, purges)
        };
        assert_eq!(told(), (Tier::Memory, 4, Verdict::Clean, vec![]));
        engine.purge(Target::Tag("blue"), Mode::Hard).unwrap();
        engine.purge(Target::Tag("red"), Mode::Soft).unwrap();
        assert_eq!(told(), (Tier::Memory, 4, Verdict::Soft, vec!["soft purge 2 of tag red".into()]));
        engine.purge(Target::Prefix(b"http://a.test/img/"), Mode::Hard).unwrap();
        let purges = vec!["purge 3 of all below http://a.test/img/".into(), "soft purge 2 of tag red".into()];
        assert_eq!(told(), (Tier::Memory, 4, Verdict::Hard, purges));
        assert!(engine.see(&key, |_| true).is_none(), "it is gone");
        assert_eq!(kept.frequency(), 0);
        assert!(engine.seen(&engine.key(b"http://a.test/img/2")).is_empty());
    }

    #[test]
    fn records_on_the_disk_are_told_too_with_the_length_of_their_bodies() {
        let home = tempfile::tempdir().unwrap();
        let disk = DiskConfig::behind(64 << 20, home.path().join("cdn"), 64 << 20);
        let engine =
            Engine::open(&EngineConfig { disk: Some(disk), ..EngineConfig::of_memory(1 << 20) }).unwrap();
        let key = engine.key(b"a");
        engine.put(Object::new(key.clone(), stored(), Body::copy_of(b"the body"), 0)).unwrap();
        engine.flush();
        let seen = engine.seen(&key);
        let told: Vec<_> = seen.iter().map(|seen| (seen.tier, seen.body_bytes, &seen.stored)).collect();
        assert_eq!(told, [(Tier::Memory, 8, &stored()), (Tier::Disk, 8, &stored())]);
        assert_eq!(engine.figures().disk.read, 0);
        let other = self::key("a");
        assert!(engine.seen(&other).is_empty(), "the key of another cache is another key");
    }
}
