//! A key that the zone above is asked to point to: what is known of that, and what operators say of it.

use super::key::Key;
use super::rollover::KeyState;
use super::store::HeldKey;
use super::zone::SignedZone;
use crate::error::Error;
use crate::protocol::Name;
use crate::publishing::Publisher;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// RFC 2181 §8.
const TTL_MAX: u64 = i32::MAX as u64;

/// A key that waits for its DS.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    pub(crate) key: Arc<Key>,
    /// In seconds since 1970.
    pub(crate) since: u64,
    /// Who is asked for the DS. Without any, nobody.
    pub(crate) parents: Vec<SocketAddr>,
}

/// The key that the zone above points to, or is to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RolledKey {
    /// The zone that it is of.
    pub zone: String,
    /// The number that signatures name it by.
    pub tag: u16,
    /// From when on everybody knows its DS, in seconds since 1970: then it takes the place of the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_at: Option<u64>,
}

impl Publisher {
    /// The zone above has the DS of the key that a zone waits for; it may be remembered for `ttl`, or if nothing is said for as long as the
    /// file has it.
    ///
    /// # Errors
    /// When the zone is not signed here, no key of it waits, or that cannot be kept.
    pub async fn ds_seen(&self, zone: &str, ttl: Option<Duration>) -> Result<RolledKey, Error> {
        let seen = move |zone: &SignedZone, now| {
            let (tag, trusted) = zone.ds_seen(ttl.map(|ttl| ttl.as_secs().min(TTL_MAX)), now)?;
            Ok((tag, Some(trusted)))
        };
        self.tell(zone, seen).await
    }

    /// Begins to replace the key of a zone that the zone above points to.
    ///
    /// # Errors
    /// When the zone is not signed here, that is under way already, or the new key cannot be kept.
    pub async fn roll_over(&self, zone: &str) -> Result<RolledKey, Error> {
        self.tell(zone, |zone, now| Ok((zone.roll_over(now)?, None))).await
    }

    /// Does something to a zone, and what follows from it.
    async fn tell(
        &self,
        name: &str,
        act: impl FnOnce(&SignedZone, u64) -> Result<(u16, Option<u64>), Error> + Send + 'static,
    ) -> Result<RolledKey, Error> {
        let apex: Name = name.parse()?;
        let unknown =
            || Error::Rolling { zone: apex.to_string(), why: "it is no zone that is signed here".to_owned() };
        let zone = self.loaded().signed_at(&apex).cloned().ok_or_else(unknown)?;
        let acting = Arc::clone(&zone);
        let done = tokio::task::spawn_blocking(move || {
            let now = SystemTime::now();
            let done = act(&acting, now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))?;
            acting.step(now)?;
            Ok(done)
        });
        let done: Result<_, Error> =
            done.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let (tag, trusted_at) = done?;
        self.show_signed(&zone);
        self.sign_soon();
        Ok(RolledKey { zone: apex.to_string(), tag, trusted_at })
    }
}

impl SignedZone {
    /// The key that the zone above was not seen to point to yet.
    pub(crate) fn submission(&self) -> Option<Submission> {
        let served = self.served();
        let held = served.signed.as_ref()?.keys.iter().find(|held| is_waiting(held))?;
        let parents = self.config.parent.iter().map(|peer| peer.0).collect();
        Some(Submission { key: Arc::clone(&held.key), since: held.since, parents })
    }

    /// The zone above points to the key that was submitted, and its DS may be remembered for `ttl` seconds: the time that is given where
    /// nothing is known. Says which key it is, and from when on everybody knows.
    ///
    /// # Errors
    /// When no key waits for that, or it cannot be kept.
    pub(crate) fn ds_seen(&self, ttl: Option<u64>, now: u64) -> Result<(u16, u64), Error> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let _locked = store.lock()?;
        let mut state = store.read(now)?;
        let waiting = state.keys.iter_mut().find(|held| is_waiting(held));
        let held = waiting.ok_or_else(|| self.fault("no key of it waits for its DS"))?;
        let trusted = now + ttl.unwrap_or(self.config.ds_ttl.get().as_secs());
        held.trusted = Some(trusted);
        let tag = held.key.tag();
        store.write(&state)?;
        let mut served = self.served();
        served.due = 0;
        if let Some(signed) = &mut served.signed {
            signed
                .keys
                .iter_mut()
                .filter(|held| is_waiting(held))
                .for_each(|held| held.trusted = Some(trusted));
        }
        Ok((tag, trusted))
    }

    /// Begins to replace the key that the zone above points to, whatever its age. Says which is the new one.
    ///
    /// # Errors
    /// When another one is on its way already, or it cannot be kept.
    pub(crate) fn roll_over(&self, now: u64) -> Result<u16, Error> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let _locked = store.lock()?;
        let mut state = store.read(now)?;
        let is_next = |held: &&HeldKey| {
            held.key.is_entry() && matches!(held.state, KeyState::Published | KeyState::Submitted)
        };
        if let Some(next) = state.keys.iter().find(is_next) {
            let (tag, state) = (next.key.tag(), next.state.as_str());
            return Err(self.fault(&format!("its key {tag} is on its way already: {state}")));
        }
        let apex = self.zone().apex().clone();
        let made = self.made(&state.keys, &apex, (true, KeyState::Published), now)?;
        let tag = made.key.tag();
        state.keys.push(made);
        store.write(&state)?;
        self.served().due = 0;
        Ok(tag)
    }

    fn fault(&self, why: &str) -> Error {
        Error::Rolling { zone: self.served().source.apex().to_string(), why: why.to_owned() }
    }
}

fn is_waiting(held: &HeldKey) -> bool {
    held.key.is_entry() && held.state == KeyState::Submitted && held.trusted.is_none()
}
