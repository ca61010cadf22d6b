//! Look-ups that are under way: whoever asks for the same waits for the same answer.

use super::cache::Stored;
use super::key::Key;
use super::upstream::Failure;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What a look-up ends with.
pub(crate) type Landed = Result<Stored, Failure>;

/// Look-ups that are under way, of all cores.
#[derive(Default)]
pub(crate) struct Flights {
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    by_key: HashMap<Key, watch::Receiver<Option<Landed>>>,
    /// And so many that nobody joins any more.
    forgotten: usize,
}

impl UnderWay {
    fn len(&self) -> usize {
        self.by_key.len() + self.forgotten
    }
}

/// How to come by an answer.
pub(crate) enum Place {
    /// Look it up, and tell everybody by this.
    First(Landing),
    /// Somebody does so already.
    Follower(Ticket),
    /// Too many are under way.
    Full,
}

/// The duty to tell of an answer: when it is dropped, nobody waits any longer.
pub(crate) struct Landing {
    flights: Arc<Flights>,
    key: Key,
    sender: watch::Sender<Option<Landed>>,
}

/// A wait for an answer.
#[derive(Clone)]
pub(crate) struct Ticket(watch::Receiver<Option<Landed>>);

impl Flights {
    /// Joins those who wait for this answer, or begins, if no more than `flights_max` are under way.
    pub(crate) fn join(self: &Arc<Self>, key: &Key, flights_max: usize) -> Place {
        let mut under_way = self.lock();
        if let Some(receiver) = under_way.by_key.get(key) {
            return Place::Follower(Ticket(receiver.clone()));
        }
        if under_way.len() >= flights_max {
            return Place::Full;
        }
        let (sender, receiver) = watch::channel(None);
        under_way.by_key.insert(key.clone(), receiver);
        Place::First(Landing { flights: Arc::clone(self), key: key.clone(), sender })
    }

    /// Whoever asks for one of these names from now on is not told what was asked for before.
    pub(crate) fn forget(&self, is_meant: impl Fn(&[u8]) -> bool) {
        let mut under_way = self.lock();
        let before = under_way.by_key.len();
        under_way.by_key.retain(|key, _| !is_meant(&key.name));
        under_way.forgotten += before - under_way.by_key.len();
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Landing {
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket(self.sender.subscribe())
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) fn land(self, landed: Landed) {
        self.sender.send_replace(Some(landed));
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        let own = self.sender.subscribe();
        if under_way.by_key.get(&self.key).is_some_and(|known| known.same_channel(&own)) {
            under_way.by_key.remove(&self.key);
        } else {
            under_way.forgotten -= 1;
        }
    }
}

impl Ticket {
    pub(crate) async fn wait(mut self) -> Landed {
        match self.0.wait_for(Option::is_some).await {
            Ok(landed) => landed.clone().expect("it was waited for"),
            // Whoever looked it up has ended with its core.
            Err(_) => Err(Failure::Silence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolver::key::Asked;

    fn key(name: &str) -> Key {
        Key::new(
            &name.parse().unwrap(),
            Asked { rtype: 1, dnssec_ok: false, checking_disabled: false, subnet: None },
        )
    }

    #[tokio::test]
    async fn whoever_asks_for_the_same_hears_the_same() {
        let flights = Arc::new(Flights::default());
        let Place::First(landing) = flights.join(&key("a.test"), 2) else { panic!("it is the first") };
        let Place::Follower(ticket) = flights.join(&key("A.test"), 2) else { panic!("it is the second") };
        let own = landing.ticket();
        landing.land(Err(Failure::Refused));
        assert_eq!(ticket.wait().await, Err(Failure::Refused));
        assert_eq!(own.wait().await, Err(Failure::Refused));
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn one_that_is_forgotten_is_told_to_those_who_wait_and_joined_by_nobody() {
        let flights = Arc::new(Flights::default());
        let Place::First(old) = flights.join(&key("a.test"), 2) else { panic!("it is the first") };
        let waiting = old.ticket();
        flights.forget(|name| name == &*key("a.test").name);
        let Place::First(new) = flights.join(&key("a.test"), 2) else { panic!("the other is forgotten") };
        assert!(matches!(flights.join(&key("b.test"), 2), Place::Full), "it is still under way");
        old.land(Err(Failure::Refused));
        assert_eq!((waiting.wait().await, flights.len()), (Err(Failure::Refused), 1));
        assert!(matches!(flights.join(&key("a.test"), 2), Place::Follower(_)));
        drop(new);
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn they_are_bounded_and_one_that_is_dropped_frees_its_place() {
        let flights = Arc::new(Flights::default());
        let Place::First(first) = flights.join(&key("a.test"), 1) else { panic!("there is a place") };
        assert!(matches!(flights.join(&key("b.test"), 1), Place::Full));
        let Place::Follower(ticket) = flights.join(&key("a.test"), 1) else { panic!("it needs no place") };
        drop(first);
        assert_eq!(ticket.wait().await, Err(Failure::Silence));
        assert!(matches!(flights.join(&key("b.test"), 1), Place::First(_)));
    }
}
