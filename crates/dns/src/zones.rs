//! All zones of a server: an immutable snapshot. The zone of a name is the one whose apex is its longest suffix.

use crate::protocol::Name;
use crate::zone::Zone;
use crate::zone::hash::{Hash, Key};
use crate::zone::table::Table;
use std::sync::Arc;

/// A snapshot of zones.
#[derive(Debug, Clone, Default)]
pub struct Zones {
    zones: Vec<Arc<Zone>>,
    by_apex: Table,
    /// Whether there is an apex with this many labels.
    depths: u128,
    /// Whether any of them signs what it answers.
    sign_on_demand: bool,
}

/// Where the search for a name's zone ended.
pub(crate) struct Located<'z> {
    pub(crate) zone: &'z Arc<Zone>,
    /// The hash of the zone's apex.
    pub(crate) apex: Hash,
    /// The zone above it, if that is here too.
    pub(crate) above: Option<(&'z Arc<Zone>, Hash)>,
}

impl Zones {
    /// A snapshot of these zones; of several with the same apex the last counts.
    pub fn new(zones: impl IntoIterator<Item = Arc<Zone>>) -> Self {
        let mut all = Self::default();
        for zone in zones {
            all.put(zone);
        }
        all
    }

    /// This snapshot with one zone more, or another in the place of the one with the same apex. The others are shared.
    #[must_use]
    pub fn with(&self, zone: Arc<Zone>) -> Self {
        let mut all = self.clone();
        all.put(zone);
        all
    }

    /// This snapshot without the zone of this apex.
    #[must_use]
    pub fn without(&self, apex: &Name) -> Self {
        Self::new(self.zones.iter().filter(|zone| zone.apex() != apex).cloned())
    }

    /// The zone with this apex.
    pub fn get(&self, apex: &Name) -> Option<&Arc<Zone>> {
        self.at(Key::of_process().name(apex), apex, apex.labels())
    }

    /// The zone that this name is in.
    pub fn find(&self, name: &Name) -> Option<&Arc<Zone>> {
        self.locate(name).0.map(|located| located.zone)
    }

    /// All zones, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.zones.iter()
    }

    /// Whether any of them signs what it answers, and so has to know the time. `true` may be out of date.
    #[inline]
    pub(crate) fn sign_on_demand(&self) -> bool {
        self.sign_on_demand
    }

    /// How many zones there are.
    pub fn len(&self) -> usize {
        self.zones.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }

    /// The zone that `name` is in, and the hash of the name.
    #[inline]
    pub(crate) fn locate(&self, name: &Name) -> (Option<Located<'_>>, Hash) {
        let key = Key::of_process();
        let mut hash = key.root();
        let mut located: Option<Located<'_>> = None;
        let labels = name.labels();
        for depth in 0..=labels {
            if depth > 0 {
                hash = key.below(hash, name, depth);
            }
            if self.depths >> depth & 1 == 1
                && let Some(zone) = self.at(hash, name, depth)
            {
                let above = located.map(|above| (above.zone, above.apex));
                located = Some(Located { zone, apex: hash, above });
            }
        }
        (located, hash)
    }

    /// The zone whose apex is the last `depth` labels of `name`.
    #[inline]
    fn at(&self, hash: Hash, name: &Name, depth: usize) -> Option<&Arc<Zone>> {
        let apex = &name.as_wire()[name.suffix_start(depth)..];
        let found = self.by_apex.find(hash, |at| self.zones[at as usize].apex().as_wire() == apex)?;
        Some(&self.zones[found as usize])
    }

    fn put(&mut self, zone: Arc<Zone>) {
        self.sign_on_demand |= zone.on_demand().is_some();
        let hash = Key::of_process().name(zone.apex());
        let same = self.by_apex.find(hash, |at| self.zones[at as usize].apex() == zone.apex());
        if let Some(at) = same {
            self.zones[at as usize] = zone;
        } else {
            self.depths |= 1 << zone.apex().labels();
            self.by_apex.insert(hash, self.zones.len() as u32);
            self.zones.push(zone);
        }
    }
}
