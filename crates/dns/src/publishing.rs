//! What is served now, and how one zone of it is replaced: by a reload of the file, or without one.
//!
//! A zone that was published stays over reloads until its own text changes, or it is taken out of the file. Where it is made of more
//! than its text, it stays until whoever made it makes another.

use crate::dnssec::signing::SignedZone;
use crate::error::Error;
use crate::loading::ZoneSet;
use crate::protocol::Name;
use crate::snapshot::Snapshot;
use crate::transfer::is_newer;
use crate::zone::Zone;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use telemetry::Registry;
use tokio::sync::{Notify, watch};

/// Replaces zones of a running server, one at a time. Clones are for the same server.
#[derive(Clone)]
pub struct Publisher(Arc<Stage>);

struct Stage {
    registry: Registry,
    snapshots: watch::Sender<Arc<Snapshot>>,
    /// Held while another snapshot is made, so that none is lost.
    zones: Mutex<Zones>,
    /// There is something to sign.
    signing: Notify,
}

struct Zones {
    /// As they were loaded.
    loaded: ZoneSet,
    /// Those that something else is served for.
    published: Vec<Name>,
    /// Those that are signed here without what another signer has made of them, as they came, by their apex.
    came: HashMap<Box<[u8]>, Arc<Zone>>,
}

impl Publisher {
    pub(crate) fn new(first: Snapshot, loaded: ZoneSet, registry: Registry) -> Self {
        first.apply();
        let snapshots = watch::Sender::new(Arc::new(first));
        let zones = Zones { loaded, published: Vec::new(), came: HashMap::new() }.into();
        Self(Arc::new(Stage { registry, snapshots, zones, signing: Notify::new() }))
    }

    /// Answers from this zone in the place of the one with the same apex, from the next query on; if it is to be signed here, as soon
    /// as it is. `false`, and nothing changes, if
    /// no zone of the file has this apex (any more).
    pub fn replace(&self, zone: &Arc<Zone>) -> bool {
        let mut zones = self.zones();
        let now = self.snapshot();
        if now.zones.get(zone.apex()).is_none() {
            return false;
        }
        if let Some(signed) = zones.loaded.signed_at(zone.apex()).cloned() {
            let signable = zones.loaded.signable(zone);
            remember(&mut zones.came, zone, &signable);
            signed.replace_source(&signable);
            if zone.is_withdrawn() {
                self.send(now.with(&signed.zone(), &self.0.registry));
            }
            self.0.signing.notify_one();
            return true;
        }
        if !zones.published.contains(zone.apex()) {
            zones.published.push(zone.apex().clone());
        }
        self.send(now.with(zone, &self.0.registry));
        true
    }

    /// The same, but that it is answered from once this returns, signed if it is to be; a large zone takes its time, and so this is not
    /// for a core.
    ///
    /// # Errors
    /// When it cannot be signed for the moment. It is as soon as it can be.
    pub(crate) fn serve(&self, zone: &Arc<Zone>, now: SystemTime) -> Result<bool, Error> {
        if !self.replace(zone) {
            return Ok(false);
        }
        let mut next = self.signed_at(zone.apex());
        while let Some(signed) = next {
            signed.step(now)?;
            self.show_signed(&signed);
            // A reload may have put another one in its place meanwhile.
            next = self.signed_at(zone.apex()).filter(|loaded| !Arc::ptr_eq(loaded, &signed));
        }
        Ok(true)
    }

    /// The zone of this apex, if it is signed here.
    pub(crate) fn signed_at(&self, apex: &Name) -> Option<Arc<SignedZone>> {
        self.zones().loaded.signed_at(apex).cloned()
    }

    /// Fails whatever is asked of this zone, until there is another one. `false` as [`Publisher::replace`].
    pub fn withdraw(&self, apex: &Name) -> bool {
        self.replace(&Arc::new(Zone::withdrawn(apex.clone())))
    }

    /// The zone with this apex that queries are answered from.
    pub fn served(&self, apex: &Name) -> Option<Arc<Zone>> {
        self.snapshot().zones.get(apex).cloned()
    }

    /// Makes a change of all: these zones were loaded, and the snapshot made of them. What was published meanwhile stays.
    /// In the place of some others are served, unless something is already that is made of them.
    pub(crate) fn commit(&self, mut snapshot: Snapshot, loaded: ZoneSet, instead: &[Arc<Zone>]) {
        let mut zones = self.zones();
        let now = self.snapshot();
        let Zones { loaded: before, published, came } = &mut *zones;
        let mut plainly: Vec<Name> = Vec::new();
        published
            .retain(|apex| before.is_same_in(&loaded, apex) || before.is_kept(apex) && loaded.is_kept(apex));
        for (_, signed) in loaded.signed() {
            let apex = signed.source().apex().clone();
            // What has changed since it was signed.
            if before.is_kept_in(&loaded, &apex) {
                let newest = before.signed_at(&apex).map(|signed| signed.source());
                let newest =
                    newest.or_else(|| now.zones.get(&apex).filter(|_| published.contains(&apex)).cloned());
                if let Some(newest) = newest {
                    let signable = loaded.signable(&newest);
                    match signed.check(&signable) {
                        Ok(()) => {
                            if before.signed_at(&apex).is_none() {
                                remember(came, &newest, &signable);
                            }
                            signed.replace_source(&signable);
                        }
                        Err(error) => {
                            tracing::error!(target: "dns", zone = %apex, %error, "what is served of the zone cannot be signed");
                            // Once it is not to be signed any more, it is served again.
                            came.insert(apex.as_wire().into(), newest);
                        }
                    }
                }
            }
            published.retain(|published| *published != apex);
            let served = now.zones.get(&apex).filter(|_| before.signed_at(&apex).is_some());
            let zone = served.filter(|served| has_overtaken(served, signed)).cloned();
            let zone = zone.unwrap_or_else(|| signed.zone());
            if snapshot.zones.get(&apex).is_some_and(|known| !Arc::ptr_eq(known, &zone)) {
                snapshot = snapshot.with(&zone, &self.0.registry);
            }
        }
        // What is signed no longer is served as it is made, or as it came.
        let plain = before.signed().map(|(_, signed)| {
            let source = signed.source();
            came.get(source.apex().as_wire()).cloned().unwrap_or(source)
        });
        for zone in plain.filter(|zone| loaded.signed_at(zone.apex()).is_none()) {
            if before.is_kept_in(&loaded, zone.apex()) && !published.contains(zone.apex()) {
                snapshot = snapshot.with(&zone, &self.0.registry);
                plainly.push(zone.apex().clone());
            }
        }
        for zone in published.iter().filter_map(|apex| now.zones.get(apex)) {
            snapshot = snapshot.with(zone, &self.0.registry);
        }
        for zone in instead {
            if !published.contains(zone.apex()) && !plainly.contains(zone.apex()) {
                snapshot = snapshot.with(zone, &self.0.registry);
                published.push(zone.apex().clone());
            }
        }
        published.extend(plainly);
        came.retain(|_, zone| loaded.signed_at(zone.apex()).is_some());
        zones.loaded = loaded;
        self.send(snapshot);
        self.0.signing.notify_one();
    }

    /// Answers from a zone as it was signed last, if it is of what is loaded still.
    pub(crate) fn show_signed(&self, signed: &Arc<SignedZone>) {
        let zones = self.zones();
        let zone = signed.zone();
        let is_loaded = zones.loaded.signed_at(zone.apex()).is_some_and(|known| Arc::ptr_eq(known, signed));
        if is_loaded {
            self.send(self.snapshot().with(&zone, &self.0.registry));
        }
    }

    /// Waits until there may be something to sign.
    pub(crate) async fn something_to_sign(&self) {
        self.0.signing.notified().await;
    }

    /// There may be something to sign.
    pub(crate) fn sign_soon(&self) {
        self.0.signing.notify_one();
    }

    /// Where is counted.
    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// What queries are answered from.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshots.borrow().clone()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.0.snapshots.subscribe()
    }

    /// The zones as they were loaded.
    pub(crate) fn loaded(&self) -> ZoneSet {
        self.zones().loaded.clone()
    }

    /// The zone of this apex as its text has it.
    pub(crate) fn loaded_zone(&self, apex: &Name) -> Option<Arc<Zone>> {
        self.zones().loaded.text_of(apex).cloned()
    }

    fn send(&self, snapshot: Snapshot) {
        snapshot.apply();
        self.0.snapshots.send_replace(Arc::new(snapshot));
    }

    fn zones(&self) -> MutexGuard<'_, Zones> {
        self.0.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a zone as it came, if less of it is signed.
fn remember(came: &mut HashMap<Box<[u8]>, Arc<Zone>>, zone: &Arc<Zone>, signable: &Arc<Zone>) {
    if Arc::ptr_eq(zone, signable) {
        came.remove(zone.apex().as_wire());
    } else {
        came.insert(zone.apex().as_wire().into(), Arc::clone(zone));
    }
}

/// Whether what is served has been signed of something newer, or later, than what is now to be served: that follows once it is signed again,
/// so that neither what was changed meanwhile nor a serial number is taken back.
fn has_overtaken(served: &Zone, by: &SignedZone) -> bool {
    let source = by.source();
    if served.is_withdrawn() || source.is_withdrawn() {
        return false;
    }
    let zone = by.zone();
    let is_later = !zone.is_withdrawn() && is_newer(served.figures().serial, zone.figures().serial);
    if is_later {
        by.overtake();
    }
    is_later || !by.is_settled()
}
