//! What is served now, and how one zone of it is replaced: by a reload of the file, or without one.
//!
//! A zone that was published stays over reloads until its own text changes, or it is taken out of the file. Where it is made of more
//! than its text, it stays until whoever made it makes another.

use crate::loading::ZoneSet;
use crate::protocol::Name;
use crate::snapshot::Snapshot;
use crate::zone::Zone;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use telemetry::Registry;
use tokio::sync::watch;

/// Replaces zones of a running server, one at a time. Clones are for the same server.
#[derive(Clone)]
pub struct Publisher(Arc<Stage>);

struct Stage {
    registry: Registry,
    snapshots: watch::Sender<Arc<Snapshot>>,
    /// Held while another snapshot is made, so that none is lost.
    zones: Mutex<Zones>,
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
        Self(Arc::new(Stage { registry, snapshots, zones }))
    }

    /// Answers from this zone in the place of the one with the same apex, from the next query on. `false`, and nothing changes, if
    /// no zone of the file has this apex (any more).
    pub fn replace(&self, zone: &Arc<Zone>) -> bool {
        let mut zones = self.zones();
        let now = self.snapshot();
        if now.zones.get(zone.apex()).is_none() {
            return false;
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
        self.loaded().iter().find(|(_, zone)| zone.apex() == apex).map(|(_, zone)| Arc::clone(zone))
    }

    fn send(&self, snapshot: Snapshot) {
        snapshot.apply();
        self.0.snapshots.send_replace(Arc::new(snapshot));
    }

    fn zones(&self) -> MutexGuard<'_, Zones> {
        self.0.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
