//! What routes know of pools. `balance` decides who is alive; it is asked for each query, so that an answer is never behind it.

use arc_swap::ArcSwapOption;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// What a pool says about itself. All of it is asked by cores, while they answer: it takes no lock and does no I/O.
pub trait PoolHealth: Send + Sync {
    /// How many endpoints may be chosen for new clients: healthy ones, that are neither ejected nor draining.
    fn available(&self) -> usize;

    /// Shows the addresses of the endpoints that may be chosen, or of all that are known, each address once.
    fn addresses(&self, of: Which, look: &mut dyn FnMut(&[IpAddr]));

    /// What is the matter with the endpoints that may not be chosen: `2 unhealthy, 1 draining`. Not for cores.
    fn causes(&self) -> String;
}

/// Which endpoints of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that may be chosen.
    Available,
    /// All that are known, whatever is the matter with them.
    Known,
}

/// The pools that routes name, each a place for the pool itself: zones are loaded before there are pools, and outlive them.
#[derive(Clone, Default)]
pub struct Pools(Arc<Mutex<BTreeMap<String, Arc<Place>>>>);

/// The place of a pool. Without one it is down.
#[derive(Default)]
pub(crate) struct Place(ArcSwapOption<Arc<dyn PoolHealth>>);

impl Pools {
    /// Puts these pools into their places; the places of all others are empty from now on.
    pub fn bind<'p>(&self, pools: impl IntoIterator<Item = (&'p str, Arc<dyn PoolHealth>)>) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pools: BTreeMap<&str, Arc<dyn PoolHealth>> = pools.into_iter().collect();
        // A place that no route holds any more is forgotten.
        places.retain(|_, place| Arc::strong_count(place) > 1);
        for (name, place) in places.iter() {
            place.0.store(pools.remove(name.as_str()).map(Arc::new));
        }
        for (name, pool) in pools {
            places.insert(name.to_owned(), Arc::new(Place(ArcSwapOption::from_pointee(pool))));
        }
    }

    /// The place of the pool of this name.
    pub(crate) fn place(&self, name: &str) -> Arc<Place> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(name.to_owned()).or_default().clone()
    }
}

impl Place {
    #[inline]
    pub(crate) fn available(&self) -> usize {
        self.0.load().as_ref().map_or(0, |pool| pool.available())
    }

    #[inline]
    pub(crate) fn addresses(&self, of: Which, mut look: impl FnMut(&[IpAddr])) {
        match &*self.0.load() {
            Some(pool) => pool.addresses(of, &mut look),
            None => look(&[]),
        }
    }

    /// Why it is down.
    pub(crate) fn causes(&self) -> String {
        match &*self.0.load() {
            Some(pool) => pool.causes(),
            None => "there is no such pool".to_owned(),
        }
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        formatter.debug_list().entries(places.keys()).finish()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Place").field(&self.available()).finish()
    }
}
