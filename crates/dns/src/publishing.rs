//! What is served now, and how one zone of it is replaced: by a reload of the file, or without one.
//!
//! A zone that was published stays over reloads until its own text changes, or it is taken out of the file. Where it is made of more
//! than its text, it stays until whoever made it makes another.

use crate::dnssec::signing::SignedZone;
use crate::loading::ZoneSet;
use crate::protocol::Name;
use crate::snapshot::Snapshot;
use crate::zone::Zone;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
}

impl Publisher {
    pub(crate) fn new(first: Snapshot, loaded: ZoneSet, registry: Registry) -> Self {
        first.apply();
        let snapshots = watch::Sender::new(Arc::new(first));
        let zones = Zones { loaded, published: Vec::new() }.into();
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
        if let Some(signed) = zones.loaded.signed_at(zone.apex()).filter(|_| !zone.is_withdrawn()) {
            signed.replace_source(zone);
            zones.published.retain(|apex| apex != zone.apex());
            self.0.signing.notify_one();
            return true;
        }
        if !zones.published.contains(zone.apex()) {
            zones.published.push(zone.apex().clone());
        }
        self.send(now.with(zone, &self.0.registry));
        true
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
        let Zones { loaded: before, published } = &mut *zones;
        published
            .retain(|apex| before.is_same_in(&loaded, apex) || before.is_kept(apex) && loaded.is_kept(apex));
        for (_, signed) in loaded.signed() {
            let zone = signed.zone();
            let is_withdrawn = published.contains(zone.apex());
            if !is_withdrawn
                && snapshot.zones.get(zone.apex()).is_some_and(|known| !Arc::ptr_eq(known, &zone))
            {
                snapshot = snapshot.with(&zone, &self.0.registry);
            }
        }
        for zone in published.iter().filter_map(|apex| now.zones.get(apex)) {
            snapshot = snapshot.with(zone, &self.0.registry);
        }
        for zone in instead {
            if !published.contains(zone.apex()) {
                snapshot = snapshot.with(zone, &self.0.registry);
                published.push(zone.apex().clone());
            }
        }
        zones.loaded = loaded;
        self.send(snapshot);
        self.0.signing.notify_one();
    }

    /// Answers from a zone as it was signed last, if it is of what is loaded still.
    pub(crate) fn show_signed(&self, signed: &Arc<SignedZone>) {
        let zones = self.zones();
        let zone = signed.zone();
        let is_loaded = zones.loaded.signed_at(zone.apex()).is_some_and(|known| Arc::ptr_eq(known, signed));
        // One that was withdrawn stays so until there are other records.
        if is_loaded && !zones.published.contains(zone.apex()) {
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

    /// The zone of this apex as it was loaded.
    pub(crate) fn loaded_zone(&self, apex: &Name) -> Option<Arc<Zone>> {
        self.loaded().iter().find(|(_, zone)| zone.apex() == apex).map(|(_, zone)| zone)
    }

    fn send(&self, snapshot: Snapshot) {
        snapshot.apply();
        self.0.snapshots.send_replace(Arc::new(snapshot));
    }

    fn zones(&self) -> MutexGuard<'_, Zones> {
        self.0.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
