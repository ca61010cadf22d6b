//! What routes know of pools. `balance` decides who is alive, and tells it the moment that it changes: each place keeps the last word,
//! so that to ask sixteen candidates costs sixteen loads, and no answer is behind it.

use arc_swap::ArcSwapOption;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What a pool says about itself.
pub trait PoolHealth: Send + Sync {
    /// Tells a follower how many endpoints may be chosen for new clients: healthy ones, that are neither ejected nor draining. It is
    /// told before this returns, and at every change, until it says that it has followed enough.
    fn follow(&self, follower: Follower);

    /// Shows the addresses of the endpoints that may be chosen, or of all that are known, each address once. It is asked by cores,
    /// while they answer: it takes no lock and does no I/O.
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
pub(crate) struct Place {
    pool: ArcSwapOption<Arc<dyn PoolHealth>>,
    state: State,
}

/// How many endpoints the pool has that may be chosen; and the number of the binding that this is known by, in the upper half: a pool
/// that has lost its place to another has no say any more.
#[derive(Default)]
struct State(AtomicU64);

/// Somebody who wants to know how many endpoints of a pool may be chosen.
pub struct Follower {
    place: Weak<Place>,
    binding: u32,
}

impl Follower {
    /// Tells it. `false`: it need not be told again.
    pub fn tell(&self, available: usize) -> bool {
        self.place.upgrade().is_some_and(|place| place.state.tell(self.binding, available))
    }
}

impl State {
    #[inline]
    fn available(&self) -> u32 {
        self.0.load(Relaxed) as u32
    }

    fn tell(&self, binding: u32, available: usize) -> bool {
        let available = u32::try_from(available).unwrap_or(u32::MAX);
        let told = state(binding, available);
        let is_own = |before: u64| ((before >> 32) as u32 == binding).then_some(told);
        self.0.fetch_update(Relaxed, Relaxed, is_own).is_ok()
    }

    /// Another pool has the place. What was known of the one before holds until it speaks.
    fn next(&self) -> u32 {
        let next = |before: u64| ((before >> 32) as u32).wrapping_add(1);
        let before = self.0.fetch_update(Relaxed, Relaxed, |before| Some(state(next(before), before as u32)));
        next(before.unwrap_or_else(|same| same))
    }
}

fn state(binding: u32, available: u32) -> u64 {
    u64::from(binding) << 32 | u64::from(available)
}

impl Pools {
    /// Puts these pools into their places; the places of all others are empty from now on.
    pub fn bind<'p>(&self, pools: impl IntoIterator<Item = (&'p str, Arc<dyn PoolHealth>)>) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pools: BTreeMap<&str, Arc<dyn PoolHealth>> = pools.into_iter().collect();
        // A place that no route holds any more is forgotten.
        places.retain(|_, place| Arc::strong_count(place) > 1);
        for (name, place) in places.iter() {
            place.bind(pools.remove(name.as_str()));
        }
        for (name, pool) in pools {
            let place: Arc<Place> = Arc::default();
            place.bind(Some(pool));
            places.insert(name.to_owned(), place);
        }
    }

    /// The place of the pool of this name.
    pub(crate) fn place(&self, name: &str) -> Arc<Place> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(name.to_owned()).or_default().clone()
    }
}

impl Place {
    fn bind(self: &Arc<Self>, pool: Option<Arc<dyn PoolHealth>>) {
        self.pool.store(pool.clone().map(Arc::new));
        let binding = self.state.next();
        match pool {
            Some(pool) => pool.follow(Follower { place: Arc::downgrade(self), binding }),
            None => {
                self.state.tell(binding, 0);
            }
        }
    }

    #[inline]
    pub(crate) fn available(&self) -> usize {
        self.state.available() as usize
    }

    #[inline]
    pub(crate) fn addresses(&self, of: Which, mut look: impl FnMut(&[IpAddr])) {
        match &*self.pool.load() {
            Some(pool) => pool.addresses(of, &mut look),
            None => look(&[]),
        }
    }

    /// Why it is down.
    pub(crate) fn causes(&self) -> String {
        match &*self.pool.load() {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A pool that says what it is told to say.
    #[derive(Default)]
    struct Told(Mutex<Vec<Follower>>);

    impl Told {
        fn say(&self, available: usize) {
            self.0.lock().expect("no test panics here").retain(|follower| follower.tell(available));
        }

        fn followers(&self) -> usize {
            self.0.lock().expect("no test panics here").len()
        }
    }

    impl PoolHealth for Told {
        fn follow(&self, follower: Follower) {
            assert!(follower.tell(1));
            self.0.lock().expect("no test panics here").push(follower);
        }

        fn addresses(&self, _: Which, look: &mut dyn FnMut(&[IpAddr])) {
            look(&[]);
        }

        fn causes(&self) -> String {
            String::new()
        }
    }

    fn bind(pools: &Pools, pool: Option<&Arc<Told>>) {
        pools.bind(pool.map(|pool| ("shop", Arc::clone(pool) as Arc<dyn PoolHealth>)));
    }

    #[test]
    fn a_place_knows_at_once_what_its_pool_says() {
        let (pools, pool) = (Pools::default(), Arc::new(Told::default()));
        let place = pools.place("shop");
        assert_eq!(place.available(), 0, "there is no pool yet");
        bind(&pools, Some(&pool));
        assert_eq!(place.available(), 1);
        pool.say(7);
        assert_eq!(place.available(), 7);
        pool.say(0);
        assert_eq!(place.available(), 0);
        assert_eq!(pool.followers(), 1);
    }

    #[test]
    fn a_pool_that_has_lost_its_place_has_no_say_and_is_followed_no_more() {
        let (pools, before, after) = (Pools::default(), Arc::new(Told::default()), Arc::new(Told::default()));
        let place = pools.place("shop");
        bind(&pools, Some(&before));
        bind(&pools, Some(&after));
        after.say(3);
        before.say(0);
        assert_eq!((place.available(), before.followers()), (3, 0));
        bind(&pools, None);
        assert_eq!(place.available(), 0);
        after.say(3);
        assert_eq!((place.available(), after.followers()), (0, 0));
    }

    #[test]
    fn a_pool_that_is_bound_anew_is_followed_once() {
        let (pools, pool) = (Pools::default(), Arc::new(Told::default()));
        let place = pools.place("shop");
        (0..3).for_each(|_| bind(&pools, Some(&pool)));
        pool.say(5);
        assert_eq!((place.available(), pool.followers()), (5, 1));
    }

    #[test]
    fn a_place_that_no_route_holds_is_not_kept_by_its_pool() {
        let (pools, pool) = (Pools::default(), Arc::new(Told::default()));
        let place = pools.place("shop");
        bind(&pools, Some(&pool));
        let watched = Arc::downgrade(&place);
        drop((place, pools));
        assert!(watched.upgrade().is_none());
        pool.say(1);
        assert_eq!(pool.followers(), 0);
    }
}
