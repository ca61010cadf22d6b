//! Open challenges: every node that shares the store answers them, whichever of them the server asks.

use super::{Store, files};
use crate::clock::unix_seconds;
use crate::names::is_token;
use crate::{ChallengeKind, Error, check_name};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Challenges that are read; a store with more is somebody's mistake.
const CHALLENGES_MAX: usize = 1000;

/// A challenge this old was left by a process that was killed. Orders end long before.
const CHALLENGE_AGE_MAX: Duration = Duration::from_secs(3600);

/// What the server will ask for, and the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenChallenge {
    pub(crate) kind: ChallengeKind,
    /// The name that it shows to be ours.
    pub(crate) name: String,
    pub(crate) token: String,
    /// RFC 8555 §8.1.
    pub(crate) key_authorization: String,
    /// When it was put here, in seconds of the Unix epoch.
    pub(crate) placed_unix_s: u64,
}

/// A challenge in the store, which is taken out when this is dropped.
#[derive(Debug)]
pub(crate) struct Placed {
    store: Store,
    token: String,
}

impl Store {
    pub(super) fn challenges_dir(&self) -> PathBuf {
        self.root.join("challenges")
    }

    /// Puts a challenge where every node finds it, instead of one of the same kind for the same name, which a
    /// node that was killed has left. Its token has passed [`is_token`].
    pub(crate) fn place(&self, challenge: &OpenChallenge) -> Result<Placed, Error> {
        assert!(is_token(&challenge.token), "a token was checked when it came from the server");
        let path = self.challenge_path(&challenge.token);
        let text =
            serde_json::to_string(challenge).map_err(|error| Error::content(&path, error.to_string()))?;
        for left in self.challenges()? {
            if (left.kind, &left.name) == (challenge.kind, &challenge.name) {
                files::remove(&self.challenge_path(&left.token))?;
            }
        }
        files::replace(&path, &text)?;
        let placed = Placed { store: self.clone(), token: challenge.token.clone() };
        self.changed()?;
        Ok(placed)
    }

    /// All open ones. What is no challenge of ours is passed over.
    pub(crate) fn challenges(&self) -> Result<Vec<OpenChallenge>, Error> {
        let folder = self.challenges_dir();
        let mut challenges = Vec::new();
        for entry in fs::read_dir(&folder).map_err(Error::store(&folder))?.take(CHALLENGES_MAX) {
            let entry = entry.map_err(Error::store(&folder))?;
            let name = entry.file_name();
            let Some(token) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            let Some(text) = files::read(&entry.path())? else { continue };
            let challenge: Result<OpenChallenge, _> = serde_json::from_str(&text);
            challenges.extend(challenge.ok().filter(|it| it.token == token && it.is_sound()));
        }
        Ok(challenges)
    }

    /// Takes away what processes that were killed have left.
    pub(crate) fn sweep(&self, now: SystemTime) -> Result<(), Error> {
        let before = unix_seconds(now).saturating_sub(CHALLENGE_AGE_MAX.as_secs());
        for challenge in self.challenges()? {
            if challenge.placed_unix_s < before {
                files::remove(&self.challenge_path(&challenge.token))?;
            }
        }
        files::sweep(&self.challenges_dir(), now)?;
        files::sweep(&self.root, now)
    }

    fn challenge_path(&self, token: &str) -> PathBuf {
        self.challenges_dir().join(format!("{token}.json"))
    }
}

impl OpenChallenge {
    /// Whether it may be answered: the store may be another node's, of another version.
    fn is_sound(&self) -> bool {
        let key = self.key_authorization.strip_prefix(&self.token).and_then(|rest| rest.strip_prefix('.'));
        is_token(&self.token) && key.is_some_and(is_token) && check_name(&self.name).is_ok()
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        let removed =
            files::remove(&self.store.challenge_path(&self.token)).and_then(|()| self.store.changed());
        if let Err(error) = removed {
            tracing::warn!(target: "acme", %error, "a challenge stays in the store for an hour");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix_seconds;

    fn challenge(token: &str, placed_unix_s: u64) -> OpenChallenge {
        OpenChallenge {
            kind: ChallengeKind::Http01,
            name: "shop.test".into(),
            token: token.into(),
            key_authorization: format!("{token}.thumb"),
            placed_unix_s,
        }
    }

    #[test]
    fn a_challenge_is_there_until_its_holder_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) =
            (Store::open(dir.path().into()).unwrap(), Store::open(dir.path().into()).unwrap());
        let placed = here.place(&challenge("abc", 5)).unwrap();
        assert_eq!(there.challenges().unwrap(), [challenge("abc", 5)]);
        let stamp = there.stamp().unwrap();
        drop(placed);
        assert!(there.challenges().unwrap().is_empty());
        assert_ne!(there.stamp().unwrap(), stamp);
    }

    #[test]
    fn a_name_has_one_open_challenge_of_a_kind() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().into()).unwrap();
        let dead = store.place(&challenge("old", 5)).unwrap();
        let other = OpenChallenge { name: "other.test".into(), ..challenge("other", 5) };
        let _other = store.place(&other).unwrap();
        let _new = store.place(&challenge("new", 5)).unwrap();
        let mut open = store.challenges().unwrap();
        open.sort_by(|one, other| one.token.cmp(&other.token));
        assert_eq!(open, [challenge("new", 5), other]);
        drop(dead);
        assert_eq!(store.challenges().unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_challenge_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().into()).unwrap();
        let folder = store.challenges_dir();
        let text = |challenge: &OpenChallenge| serde_json::to_string(challenge).unwrap();
        fs::write(folder.join("a.json"), "{").unwrap();
        fs::write(folder.join("b.json"), text(&challenge("c", 0))).unwrap();
        fs::write(folder.join("d.txt"), text(&challenge("d", 0))).unwrap();
        fs::write(folder.join("e.json"), text(&OpenChallenge { name: "../e".into(), ..challenge("e", 0) }))
            .unwrap();
        let forged = OpenChallenge { key_authorization: "f.<script>".into(), ..challenge("f", 0) };
        fs::write(folder.join("f.json"), text(&forged)).unwrap();
        assert!(store.challenges().unwrap().is_empty());
    }

    #[test]
    fn a_challenge_of_a_killed_process_goes_after_an_hour() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().into()).unwrap();
        std::mem::forget(store.place(&challenge("abc", 10_000)).unwrap());
        store.sweep(from_unix_seconds(10_000 + 3600)).unwrap();
        assert_eq!(store.challenges().unwrap().len(), 1);
        store.sweep(from_unix_seconds(10_000 + 3601)).unwrap();
        assert!(store.challenges().unwrap().is_empty());
    }
}
