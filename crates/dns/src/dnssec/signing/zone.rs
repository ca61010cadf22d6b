//! A zone that is signed here: what it is made of, and as what it is served.
//!
//! Each step reads the keys from their folder, lets those come and go whose time it is, and signs the zone again if its records, its
//! keys, or the time make it necessary. The serial number rises with whatever is served, and is kept before it is.

use super::bind;
use super::config::{DenialConfig, SignConfig};
use super::kept::{self, Kept};
use super::key::Key;
use super::plan::Plan;
use super::rollover::{self, Action, KeyState, KeyTimes, Later, Outlook, Timing};
use super::status::{KeyStatus, SigningStatus};
use super::store::{HeldKey, State, Store};
use crate::error::Error;
use crate::protocol::Name;
use crate::zone::Zone;
use crate::zone::sign;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Signatures that would have to be made anew within this time are made together.
const BATCH: Duration = Duration::from_secs(3600);
/// It is looked at least so often whether something is to be done.
const LOOK_EVERY: u64 = 86_400;
/// Keys with the same tag can be told apart only by trying: others are made instead.
const TRIES: usize = 16;

/// Where signatures are kept, beside the keys.
const KEPT: &str = "signatures";
/// So many that are not kept are made again after a crash, in an instant;
const UNKEPT_MAX: usize = 1024;
/// or this part of all of them.
const UNKEPT_PART: usize = 8;

/// A zone that is signed here.
#[derive(Debug)]
pub(crate) struct SignedZone {
    pub(super) config: SignConfig,
    /// Held while it is signed: one lock for all that was ever loaded with this name.
    pub(super) store: Arc<Mutex<Store>>,
    /// Held while signatures are kept.
    keeping: Mutex<()>,
    is_copied: AtomicBool,
    state: Mutex<Served>,
}

#[derive(Debug)]
pub(super) struct Served {
    pub(super) source: Arc<Zone>,
    /// The longest TTL of the source.
    ttl_max: u64,
    /// `None` before the first time.
    pub(super) signed: Option<SignedNow>,
    /// Nothing is known of the source, or was until the step that comes next: that is what is served.
    is_withdrawn: bool,
    /// What is served in its place is newer: it is signed again, whatever has changed.
    is_overtaken: bool,
    /// What comes of its keys.
    pub(super) later: Vec<Later>,
    /// When something is to be done next, in seconds since 1970.
    pub(super) due: u64,
}

#[derive(Debug, Clone)]
pub(super) struct SignedNow {
    zone: Arc<Zone>,
    source: Arc<Zone>,
    pub(super) keys: Vec<HeldKey>,
    first_end: u32,
    signatures: usize,
    /// Signatures that are not kept.
    unkept: usize,
    /// Some are.
    is_kept: bool,
}

impl SignedZone {
    /// Signs a zone, whose keys are in a folder below this one, and made if there are none. `before` is the zone of this name that was
    /// signed until now.
    pub(crate) fn new(
        config: SignConfig,
        folder: &Path,
        source: Arc<Zone>,
        before: Option<&Self>,
        now: SystemTime,
    ) -> Result<Self, Error> {
        let store = before.map_or_else(
            || Arc::new(Mutex::new(Store::new(folder, source.apex()))),
            |before| Arc::clone(&before.store),
        );
        let ttl_max = ttl_max(&source);
        let state = Served {
            source,
            ttl_max,
            signed: None,
            is_withdrawn: true,
            is_overtaken: false,
            later: Vec::new(),
            due: 0,
        };
        let state = state.into();
        let zone =
            Self { config, store, keeping: Mutex::default(), is_copied: AtomicBool::new(false), state };
        zone.step_after(before.and_then(|before| before.served().signed.clone()), now)?;
        Ok(zone)
    }

    /// Whether it would be the same if it were made of this.
    pub(crate) fn is_of(&self, config: &SignConfig, folder: &Path) -> bool {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        self.config == *config && store.folder.starts_with(folder)
    }

    /// As what it is served.
    pub(crate) fn zone(&self) -> Arc<Zone> {
        let served = self.served();
        match &served.signed {
            Some(signed) if !served.is_withdrawn => Arc::clone(&signed.zone),
            _ if served.source.is_withdrawn() => Arc::clone(&served.source),
            _ => Arc::new(Zone::withdrawn(served.source.apex().clone())),
        }
    }

    /// Whether it is served as what it is made of: neither is withdrawn, and there is nothing newer to sign.
    pub(crate) fn is_settled(&self) -> bool {
        let served = self.served();
        let is_newest = |signed: &SignedNow| Arc::ptr_eq(&signed.source, &served.source);
        !served.is_withdrawn && !served.is_overtaken && served.signed.as_ref().is_some_and(is_newest)
    }

    /// Something newer is served in its place: it is to be signed again, with a serial number above that.
    pub(crate) fn overtake(&self) {
        let mut served = self.served();
        (served.is_overtaken, served.due) = (true, 0);
    }

    /// Of what it is made.
    pub(crate) fn source(&self) -> Arc<Zone> {
        Arc::clone(&self.served().source)
    }

    /// Whether it could be made of this.
    pub(crate) fn check(&self, source: &Zone) -> Result<(), Error> {
        check(source, &self.config, self.is_copied.load(Ordering::Relaxed))
    }

    /// Whether other servers may copy it.
    pub(crate) fn set_copied(&self, is_copied: bool) {
        self.is_copied.store(is_copied, Ordering::Relaxed);
    }

    /// Takes other records, which are signed with the next step. Those of a zone that is withdrawn are gone at once.
    pub(crate) fn replace_source(&self, source: &Arc<Zone>) {
        if self.source().is_same_as(source) {
            return;
        }
        let ttl_max = ttl_max(source);
        let mut served = self.served();
        served.is_withdrawn |= source.is_withdrawn();
        // What was removed is remembered as long as what is there.
        served.ttl_max = served.ttl_max.max(ttl_max);
        served.source = match &served.signed {
            Some(signed) if signed.source.is_same_as(source) => Arc::clone(&signed.source),
            _ => Arc::clone(source),
        };
        served.due = 0;
    }

    /// When something is to be done next, in seconds since 1970.
    pub(crate) fn due(&self) -> u64 {
        self.served().due
    }

    /// Looks again at this time if not earlier.
    pub(crate) fn put_off(&self, until: u64) {
        self.served().due = until;
    }

    /// When the first of its signatures ends, in seconds since 1970.
    pub(crate) fn first_end(&self) -> u32 {
        self.served().signed.as_ref().map_or(0, |signed| signed.first_end)
    }

    /// When its keys change next by themselves, in seconds since 1970.
    pub(crate) fn keys_change(&self) -> Option<u64> {
        self.served().later.iter().map(|later| later.at).min()
    }

    /// As people see it.
    pub(crate) fn status(&self) -> SigningStatus {
        let served = self.served();
        let (keys, first_end) =
            served.signed.as_ref().map_or((&[][..], 0), |signed| (&signed.keys, signed.first_end));
        let apex = served.source.apex();
        let entries = entries(keys);
        let keys = keys.iter().enumerate().map(|(nth, held)| {
            let later = served.later.iter().find(|later| later.key == nth);
            let is_entry = entries.iter().any(|entry| Arc::ptr_eq(entry, &held.key));
            KeyStatus::of(apex, held, self.config.keys, is_entry, later)
        });
        SigningStatus { signatures_end: first_end.into(), keys: keys.collect() }
    }

    /// Does what is to be done at this time. Says whether there is another zone to serve.
    pub(crate) fn step(&self, now: SystemTime) -> Result<bool, Error> {
        self.step_after(None, now)
    }

    fn step_after(&self, before: Option<SignedNow>, now: SystemTime) -> Result<bool, Error> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (source, ttl_max, signed, is_overtaken) = {
            let served = self.served();
            (Arc::clone(&served.source), served.ttl_max, served.signed.clone(), served.is_overtaken)
        };
        if source.is_withdrawn() {
            self.served().due = now + LOOK_EVERY;
            return Ok(false);
        }
        let locked = store.lock()?;
        let mut state = store.read(now)?;
        let outlook = self.roll(&mut state, &source, ttl_max, now)?;
        if let Some(signed) = &signed
            && !is_overtaken
            && !self.is_due(signed, &source, &state.keys, now)
        {
            let mut served = self.served();
            served.due = self.next_due(signed.first_end, outlook.first(), now);
            served.later = outlook.later;
            if let Some(signed) = &mut served.signed {
                signed.keys = state.keys;
            }
            // What was withdrawn is as it was.
            let is_back = served.is_withdrawn && Arc::ptr_eq(&served.source, &source);
            served.is_withdrawn &= !is_back;
            return Ok(is_back);
        }
        let previous = signed.or(before);
        let kept = if previous.is_none() { kept(&store) } else { None };
        let is_same =
            kept.as_ref().is_some_and(|kept| is_as_kept(kept, &source, &state, &self.plan(&state, now)));
        if !is_same {
            state.serial = Some(next_serial(source.figures().serial, state.serial));
        }
        // Before anybody sees it: a serial number that was seen is not used again, even after a crash.
        store.write(&state)?;
        drop(locked);
        let plan = self.plan(&state, now);
        let zone = previous.as_ref().map(|before| &*before.zone);
        let made = sign::sign(&source, sign::Previous { zone, kept: kept.as_ref() }, &plan)?;
        let unkept = made.made + previous.as_ref().map_or(0, |before| before.unkept);
        let is_kept = kept.is_some() || previous.is_some_and(|before| before.is_kept);
        let mut served = self.served();
        let is_newest = Arc::ptr_eq(&served.source, &source);
        served.due = if is_newest { self.next_due(made.first_end, outlook.first(), now) } else { 0 };
        served.later = outlook.later;
        served.is_withdrawn &= !is_newest;
        served.is_overtaken = false;
        let zone = Arc::new(made.zone);
        let (first_end, signatures) = (made.first_end, made.signatures);
        let keys = state.keys;
        served.signed = Some(SignedNow { zone, source, keys, first_end, signatures, unkept, is_kept });
        Ok(true)
    }

    /// Whether there are so many signatures that are not kept that it is worth to write them all; at the end a single one.
    pub(crate) fn has_to_keep(&self, is_end: bool) -> bool {
        self.served().signed.as_ref().is_some_and(|signed| {
            let many = UNKEPT_MAX.max(signed.signatures / UNKEPT_PART);
            signed.unkept > 0 && (is_end || !signed.is_kept || signed.unkept >= many)
        })
    }

    /// Keeps signatures for the next start, if there is need to. Not while somebody waits: those of a large zone are large.
    pub(crate) fn keep(&self, is_end: bool) -> Result<(), Error> {
        let _keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.has_to_keep(is_end) {
            return Ok(());
        }
        let Some(signed) = self.served().signed.clone() else { return Ok(()) };
        let path = {
            let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
            if store.read(0)?.serial != Some(signed.zone.figures().serial) {
                // It was signed again meanwhile, perhaps by the process that has taken over.
                return Ok(());
            }
            store.folder.join(KEPT)
        };
        let state = State { keys: signed.keys.clone(), ..State::default() };
        let origin = kept::origin(&signed.source, &self.plan(&state, 0));
        kept::write(&path, &signed.zone, signed.first_end, &origin)
            .map_err(|error| Error::Keys { path, why: error.to_string() })?;
        if let Some(now) = &mut self.served().signed {
            now.unkept = now.unkept.saturating_sub(signed.unkept);
            now.is_kept = true;
        }
        Ok(())
    }

    fn is_due(&self, signed: &SignedNow, source: &Arc<Zone>, keys: &[HeldKey], now: u64) -> bool {
        let same = |one: &HeldKey, other: &HeldKey| one.stem == other.stem && one.state == other.state;
        let is_same = signed.keys.len() == keys.len()
            && keys.iter().all(|key| signed.keys.iter().any(|known| same(known, key)));
        !is_same
            || !Arc::ptr_eq(&signed.source, source)
            || u64::from(signed.first_end) <= now + self.config.refresh().as_secs()
    }

    fn next_due(&self, first_end: u32, keys: Option<u64>, now: u64) -> u64 {
        let renewed = u64::from(first_end).saturating_sub(self.config.refresh().as_secs());
        renewed.min(keys.unwrap_or(u64::MAX)).clamp(now + 1, now + LOOK_EVERY)
    }

    /// Lets keys come and go. Says what there is next.
    fn roll(&self, state: &mut State, source: &Zone, ttl_max: u64, now: u64) -> Result<Outlook, Error> {
        let apex = source.apex();
        if let Some(other) = state.keys.iter().find(|held| held.key.algorithm != self.config.algorithm) {
            let why = format!(
                "its key {} is of algorithm {}, not of {}: let `algorithm` say what its keys are",
                other.stem,
                other.key.algorithm.number(),
                self.config.algorithm.number()
            );
            return Err(Error::Signing { zone: apex.to_string(), why });
        }
        let timing = Timing {
            keys: self.config.keys,
            roll_over: self.config.roll_over.map(|age| age.get().as_secs()),
            dnskey_ttl: u64::from(soa_ttl(source)),
            ttl_max,
            entry_roll_over: self.config.entry_roll_over().map(|age| age.as_secs()),
            propagation: self.config.propagation.get().as_secs(),
        };
        // What follows from what was done is done as well.
        let mut outlook = Outlook::default();
        for _ in 0..8 {
            let times: Vec<KeyTimes> = state.keys.iter().map(HeldKey::times).collect();
            outlook = rollover::next(&times, &timing, now);
            if outlook.actions.is_empty() {
                break;
            }
            self.act(state, &outlook.actions, apex, now)?;
        }
        Ok(outlook)
    }

    fn act(&self, state: &mut State, actions: &[Action], apex: &Name, now: u64) -> Result<(), Error> {
        let mut removed = Vec::new();
        for action in actions {
            match *action {
                Action::Make { is_entry, state: first } => {
                    state.keys.push(self.made(&state.keys, apex, (is_entry, first), now)?);
                }
                Action::Become(nth, next) => {
                    let held = &mut state.keys[nth];
                    tracing::info!(target: "dns", zone = %apex, tag = held.key.tag(), from = ?held.state, to = ?next, "a key rolls over");
                    (held.state, held.since, held.trusted) = (next, now, None);
                }
                Action::Remove(nth) => removed.push(nth),
            }
        }
        removed.sort_unstable();
        for nth in removed.into_iter().rev() {
            let held = state.keys.remove(nth);
            tracing::info!(target: "dns", zone = %apex, tag = held.key.tag(), "a key was removed");
            state.gone.push(held.stem);
        }
        Ok(())
    }

    /// A new key.
    pub(super) fn made(
        &self,
        others: &[HeldKey],
        apex: &Name,
        (is_entry, state): (bool, KeyState),
        now: u64,
    ) -> Result<HeldKey, Error> {
        let key = Arc::new(self.make(others, is_entry)?);
        tracing::info!(target: "dns", zone = %apex, tag = key.tag(), is_entry, "a key was made");
        Ok(HeldKey { stem: bind::stem(apex, &key), key, state, since: now, trusted: None })
    }

    /// A key with a tag of its own.
    fn make(&self, others: &[HeldKey], is_entry: bool) -> Result<Key, Error> {
        for _ in 0..TRIES {
            let key = Key::generate(self.config.algorithm, is_entry).map_err(|_| Error::Sign)?;
            if others.iter().all(|other| other.key.tag() != key.tag()) {
                return Ok(key);
            }
        }
        Err(Error::Sign)
    }

    fn plan(&self, state: &State, now: u64) -> Plan {
        let keys = |wanted: fn(&HeldKey) -> bool| -> Vec<Arc<Key>> {
            state.keys.iter().filter(|held| wanted(held)).map(|held| Arc::clone(&held.key)).collect()
        };
        let active = keys(|held| held.key.is_entry() && held.state == KeyState::Active);
        let zone_keys = keys(|held| !held.key.is_entry() && held.state == KeyState::Active);
        let (validity, refresh) = (self.config.validity.get(), self.config.refresh());
        let batch = BATCH.min((validity - refresh) / 8);
        Plan {
            published: keys(|_| true),
            key_signers: keys(|held| held.key.is_entry() && held.state != KeyState::Retired),
            zone_signers: if zone_keys.is_empty() { active } else { zone_keys },
            entries: entries(&state.keys),
            denial: self.config.denial,
            serial: state.serial.unwrap_or_default(),
            now: now as u32,
            validity: validity.as_secs() as u32,
            refresh: (refresh + batch).as_secs() as u32,
        }
    }

    pub(super) fn served(&self) -> MutexGuard<'_, Served> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the zone that this would make is what was kept, serial number included.
fn is_as_kept(kept: &Kept, source: &Zone, state: &State, plan: &Plan) -> bool {
    state.serial == Some(kept.serial)
        // Signatures of what routes answer are not kept, but transferred.
        && source.routes().next().is_none()
        && kept.first_end > plan.now.saturating_add(plan.refresh)
        && kept.origin == kept::origin(source, plan)
}

/// The signatures that were kept in a store. Those that cannot be read are only to be made again.
fn kept(store: &Store) -> Option<Kept> {
    let path = store.folder.join(KEPT);
    Kept::read(&path).unwrap_or_else(|error| {
        tracing::warn!(target: "dns", path = %path.display(), %error, "signatures that were kept cannot be used, and are made again");
        None
    })
}

/// Those that the zone above is to point to (RFC 7344 §4): one that it is asked for takes the place of all others.
fn entries(keys: &[HeldKey]) -> Vec<Arc<Key>> {
    let of = |state| {
        let found = keys.iter().filter(move |held| held.key.is_entry() && held.state == state);
        found.map(|held| Arc::clone(&held.key)).collect::<Vec<_>>()
    };
    let submitted = of(KeyState::Submitted);
    if submitted.is_empty() { of(KeyState::Active) } else { submitted }
}

fn soa_ttl(zone: &Zone) -> u32 {
    zone.apex_node().rrset(domain::base::iana::Rtype::SOA).map_or(0, crate::zone::node::RrSet::ttl)
}

/// The longest TTL of a zone, that of routes (a day at most) included.
fn ttl_max(zone: &Zone) -> u64 {
    let ttls = zone.nodes().flat_map(|(_, node)| node.rrsets()).map(|rrset| u64::from(rrset.ttl()));
    let routed = if zone.routes().next().is_some() { u64::from(super::routes::TTL_MAX) } else { 0 };
    ttls.max().unwrap_or(0).max(routed)
}

/// RFC 1982: the serial number of the source, if it is above what was served last; else the one after that.
fn next_serial(source: u32, last: Option<u32>) -> u32 {
    match last {
        Some(last) if source.wrapping_sub(last) as i32 <= 0 => last.wrapping_add(1),
        _ => source,
    }
}

/// Whether a zone can be signed here; `is_copied` by other servers.
pub(crate) fn check(source: &Zone, config: &SignConfig, is_copied: bool) -> Result<(), Error> {
    use domain::base::iana::Rtype;
    let why = |why: &str| Error::Signing { zone: source.apex().to_string(), why: why.to_owned() };
    if source.denial().is_some() {
        return Err(why("it is signed already: give it without signatures, or leave `sign` out"));
    }
    let added = |rtype| matches!(rtype, Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3 | Rtype::NSEC3PARAM);
    if source.nodes().any(|(_, node)| node.rrsets().any(|rrset| added(rrset.rtype))) {
        return Err(why("it has RRSIG, NSEC, NSEC3 or NSEC3PARAM records, which are made here"));
    }
    // RFC 4592 §4.2: what it means is undefined, and whether it would be signed follows from what it means.
    let is_delegated = |node: crate::zone::node::Node<'_>| {
        node.relative_name().starts_with(b"\x01*") && node.rrset(Rtype::NS).is_some()
    };
    if source.nodes().any(|(_, node)| is_delegated(node)) {
        return Err(why("it has NS at a wildcard"));
    }
    if config.denial == DenialConfig::Nsec3
        && source.apex().labels() > 0
        && source.apex().wire_len() > 255 - 33
    {
        return Err(why("its name is too long for hashes of names below it: use denial = \"nsec\""));
    }
    if is_copied { super::routes::check_copied(source) } else { super::routes::check(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serial_number_rises_whatever_the_source_says() {
        assert_eq!(next_serial(2026, None), 2026);
        assert_eq!(next_serial(2026, Some(2025)), 2026);
        assert_eq!(next_serial(2026, Some(2026)), 2027);
        assert_eq!(next_serial(2026, Some(2040)), 2041);
        assert_eq!(next_serial(3, Some(u32::MAX)), 3);
        assert_eq!(next_serial(u32::MAX, Some(u32::MAX)), 0);
    }
}
