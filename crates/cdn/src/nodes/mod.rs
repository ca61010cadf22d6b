//! Several nodes that keep the same responses: a purge at one holds at all.
//!
//! Each node has a [`Ledger`] of the purges that it knows, its own and those of others, and exchanges with each other node what the
//! one has and the other lacks ([`Message`]): at once where a purge begins, and regularly, so that what was missed is made up for, also
//! over a third node. [`Contact`] says of each when it was heard; while one was not for too long, what is kept is confirmed with the
//! origin before it is served, since purges may be missing.
//!
//! Nothing here knows a wire: who sends messages is given them as bytes.
//!
//! Invariants:
//! - A purge is in the cache, and on the disk, before the ledger says that it is known.
//! - A fetch that was begun after a purge took effect here either knows from the ledger that there is one, or that something is not
//!   entered yet ([`Nodes::is_settled`]).
//! - A purge has its number from a node once that is on the disk, so that none is given twice.
//! - No lock that a core takes is held while the disk is waited for.

mod contact;
mod entering;
mod fetched;
mod file;
mod ledger;
mod message;
mod moment;
mod queue;
#[cfg(test)]
mod tests;

pub use contact::{Contact, State, Trust, trust};
pub use fetched::{ANSWERED, FETCHED, Fetched, LOOP, is_loop, write_loop};
pub use ledger::{Item, Ledger, LedgerLimits, NodeId, Vector};
pub(crate) use message::check_any;
pub use message::{MESSAGE_BYTES_MAX, Message};
pub use moment::Moment;

use crate::growing::{FileSystem, Host};
use crate::{Engine, Error};
use file::LedgerFile;
use message::MESSAGE_ITEMS_BYTES;
use queue::Queue;
use rand::Rng;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// A node among others.
pub struct Nodes {
    engine: Weak<Engine>,
    ledger: Mutex<Ledger>,
    /// Held while purges are entered, and the disk is waited for: not by a core.
    file: Mutex<LedgerFile>,
    /// Purges that began here and are not entered yet.
    queue: Queue,
    /// Others have heard of more from here than is remembered.
    is_behind_itself: AtomicBool,
    contacts: Mutex<Contacts>,
    is_leaving: AtomicBool,
    changes: watch::Sender<u64>,
}

struct Contacts {
    all: Vec<Contact>,
    silent: Duration,
}

/// Who has heard of a purge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// How many other nodes have acknowledged it.
    pub acknowledged: usize,
    /// Those that have not.
    pub pending: Vec<SocketAddr>,
}

/// What is known of another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its admin API.
    pub address: SocketAddr,
    /// Who it is, if it was met.
    pub id: Option<NodeId>,
    /// How it is.
    pub state: State,
    /// How long ago everything was known here that it knew.
    pub heard_ago: Option<Duration>,
    /// Purges that it has not acknowledged.
    pub pending: u64,
    /// Exchanges that failed.
    pub failed: u64,
}

/// What has come of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchanged {
    /// Both know the same.
    Level,
    /// There is more to be told, or to hear.
    More,
    /// It was this node itself.
    Itself,
}

impl Nodes {
    /// A node that remembers what is in `folder`, or nothing beyond its process. `fresh` is who it is if it remembers nothing. Waits for the disk.
    pub fn open(
        engine: &Arc<Engine>,
        folder: Option<&Path>,
        limits: LedgerLimits,
        fresh: NodeId,
        silent: Duration,
    ) -> Result<Arc<Self>, Error> {
        Self::open_in(Arc::new(Host), engine, folder, limits, fresh, silent)
    }

    fn open_in(
        file_system: Arc<dyn FileSystem>,
        engine: &Arc<Engine>,
        folder: Option<&Path>,
        limits: LedgerLimits,
        fresh: NodeId,
        silent: Duration,
    ) -> Result<Arc<Self>, Error> {
        let (ledger, file, is_damaged) = match folder {
            None => (Ledger::new(fresh, limits), LedgerFile::none(), false),
            Some(folder) => {
                let opened = LedgerFile::open(file_system, folder, limits, fresh).map_err(failed)?;
                (opened.ledger, opened.file, opened.is_damaged)
            }
        };
        let nodes = Arc::new(Self {
            engine: Arc::downgrade(engine),
            ledger: Mutex::new(ledger),
            file: Mutex::new(file),
            queue: Queue::default(),
            is_behind_itself: AtomicBool::new(false),
            contacts: Mutex::new(Contacts { all: Vec::new(), silent }),
            is_leaving: AtomicBool::new(false),
            changes: watch::Sender::new(0),
        });
        engine.join_nodes(Some(Arc::clone(&nodes)));
        if is_damaged {
            engine.apply(&[Item::All { origin: nodes.own(), upto: 1 }])?;
        }
        Ok(nodes)
    }

    /// Who this node is.
    pub fn own(&self) -> NodeId {
        self.ledger().own()
    }

    /// Names the other nodes; those that are known stay as they are known. How long one may be silent.
    pub fn set_contacts(&self, addresses: &[SocketAddr], silent: Duration, now: Moment) {
        let mut contacts = self.contacts();
        let before = std::mem::take(&mut contacts.all);
        let contact = |address: &SocketAddr| {
            let known = before.iter().find(|contact| contact.address == *address);
            known.cloned().unwrap_or_else(|| Contact::new(*address))
        };
        contacts.all = addresses.iter().map(contact).collect();
        contacts.silent = silent;
        self.publish(&contacts, now);
        drop(contacts);
        self.changed();
    }

    /// Told whenever something has come that others may lack, or somebody has acknowledged something.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Who has acknowledged all purges that have begun here until now, or does within a time.
    pub async fn told(&self, wait: Duration) -> Told {
        let (own, upto) = {
            let ledger = self.ledger();
            (ledger.own(), ledger.upto(ledger.own()))
        };
        let told = || {
            let contacts = self.contacts();
            let has = |contact: &&Contact| {
                contact
                    .vector
                    .as_ref()
                    .is_some_and(|known| known.get(&own).is_some_and(|known| *known >= upto))
            };
            let pending: Vec<_> =
                contacts.all.iter().filter(|one| !has(one)).map(|contact| contact.address).collect();
            Told { acknowledged: contacts.all.len() - pending.len(), pending }
        };
        let mut changes = self.changes.subscribe();
        let all = async { while !told().pending.is_empty() && changes.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(wait, all).await;
        told()
    }

    // --- exchanges ---

    /// What is said to a node. `None`: it is no longer one.
    pub fn message(&self, to: SocketAddr, now: Moment) -> Option<Message> {
        let vector = self.contacts().find(to)?.vector.clone();
        // Whoever has not said yet what it knows is told nothing else: it says it in its answer.
        Some(self.say(vector.as_ref(), now))
    }

    /// What is known here, for whoever has said nothing.
    pub fn describe(&self, now: Moment) -> Message {
        self.say(None, now)
    }

    /// Takes what a node says, and answers it. Waits for the disk. Where that fails, nothing is answered, as what has begun here cannot
    /// be told: whoever does not hear of it must not take this node for heard.
    pub fn answer(&self, message: &Message, now: Moment) -> Result<Message, Error> {
        self.renew_if_behind(message)?;
        self.take(&message.items)?;
        if message.is_leaving && self.ledger().covers(&message.vector) {
            let mut contacts = self.contacts();
            contacts.of(message.from).for_each(|contact| contact.left(now));
            self.publish(&contacts, now);
        }
        let mut contacts = self.contacts();
        contacts.of(message.from).for_each(|contact| contact.vector = Some(message.vector.clone()));
        if !message.is_leaving {
            // Where nobody is known by that name, it may be any that was never met.
            let is_met = contacts.of(message.from).next().is_some();
            let speaks = |contact: &&mut Contact| {
                contact.id == Some(message.from) || (!is_met && contact.id.is_none())
            };
            contacts.all.iter_mut().filter(speaks).for_each(Contact::speaks);
        }
        self.publish(&contacts, now);
        drop(contacts);
        self.changed();
        self.settle()?;
        Ok(self.say(Some(&message.vector), now))
    }

    /// Takes what a node has answered to what was `sent`. Waits for the disk.
    pub fn take_answer(
        &self,
        from: SocketAddr,
        answer: &Message,
        sent: Moment,
        now: Moment,
    ) -> Result<Exchanged, Error> {
        if answer.from == self.own() {
            let mut contacts = self.contacts();
            contacts.all.retain(|contact| contact.address != from);
            self.publish(&contacts, now);
            drop(contacts);
            self.changed();
            return Ok(Exchanged::Itself);
        }
        self.renew_if_behind(answer)?;
        self.take(&answer.items)?;
        let (covers, lacks) = {
            let ledger = self.ledger();
            (ledger.covers(&answer.vector), ledger.lacks(&answer.vector))
        };
        let mut contacts = self.contacts();
        if let Some(contact) = contacts.find(from) {
            contact.id = Some(answer.from);
            contact.vector = Some(answer.vector.clone());
            contact.met();
            if covers && answer.is_leaving {
                contact.left(now);
            } else if covers {
                contact.heard(sent, now, true);
            }
        }
        if covers {
            for (address, ago) in &answer.heard {
                let (Some(contact), Some(then)) = (contacts.find(*address), sent.checked_sub(*ago)) else {
                    continue;
                };
                contact.heard(then, now, false);
            }
        }
        self.publish(&contacts, now);
        drop(contacts);
        self.changed();
        Ok(if covers && lacks == 0 { Exchanged::Level } else { Exchanged::More })
    }

    /// A node was not reached; its machine said that it does not run, or nothing.
    pub fn missed(&self, at: SocketAddr, is_refused: bool, now: Moment) {
        let mut contacts = self.contacts();
        if let Some(contact) = contacts.find(at) {
            if is_refused {
                contact.refused(now, || self.engine.upgrade().map_or(0, |engine| engine.purges().advance()));
            } else {
                contact.fail();
            }
        }
        self.publish(&contacts, now);
    }

    /// When a node is to be asked next, and whether news must wait until then.
    pub fn wait(&self, to: SocketAddr, rng: &mut impl Rng) -> Option<(Duration, bool)> {
        let mut contacts = self.contacts();
        let silent = contacts.silent;
        contacts.find(to).map(|contact| (contact.wait(silent, rng), contact.has_failed()))
    }

    /// Whether a node is known to lack something.
    pub fn is_behind(&self, address: SocketAddr) -> bool {
        let vector = self.contacts().find(address).and_then(|contact| contact.vector.clone());
        vector.is_some_and(|vector| self.ledger().lacks(&vector) > 0)
    }

    /// From now on it says that it ends, once it has told all.
    pub fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    // --- what others see ---

    /// The other nodes.
    pub fn seen(&self, now: Moment) -> Vec<Seen> {
        let contacts = self.contacts();
        let ledger = self.ledger();
        let nobody = Vector::new();
        let seen = |contact: &Contact| Seen {
            address: contact.address,
            id: contact.id,
            state: contact.state(now, contacts.silent),
            heard_ago: contact.heard_ago(now),
            pending: ledger.lacks(contact.vector.as_ref().unwrap_or(&nobody)),
            failed: contact.failed_total,
        };
        contacts.all.iter().map(seen).collect()
    }

    /// Purges that are known here and not acknowledged by every other node: what a node must know that is asked for a response on
    /// behalf of a client here.
    pub fn unshared(&self) -> Vector {
        let vectors: Vec<Vector> = {
            let contacts = self.contacts();
            contacts.all.iter().map(|contact| contact.vector.clone().unwrap_or_default()).collect()
        };
        let mut vector = self.ledger().vector();
        vector.retain(|id, upto| vectors.iter().any(|known| known.get(id).is_none_or(|known| known < upto)));
        vector
    }

    /// What a fetch of this node says to another one; `None` where that may not serve it, since not all that has taken effect here is told
    /// yet, or it is too much. To be asked once the number of purges was read that the response will be held against.
    pub fn fetched(&self) -> Option<Fetched> {
        let is_settled = self.is_settled();
        let fetched = Fetched { from: self.own(), vector: self.unshared() };
        (is_settled && fetched.vector.len() <= fetched::VECTOR_MAX).then_some(fetched)
    }

    /// Whether this is another node of the file, and was met.
    pub fn is_one(&self, id: NodeId) -> bool {
        self.contacts().of(id).next().is_some()
    }

    /// Whether all is known here that a vector says.
    pub fn covers(&self, vector: &Vector) -> bool {
        self.ledger().covers(vector)
    }

    fn say(&self, to: Option<&Vector>, now: Moment) -> Message {
        // Before the vector is read: what was heard is in there.
        let heard = {
            let contacts = self.contacts();
            let heard =
                contacts.all.iter().filter_map(|contact| Some((contact.address, contact.heard_ago(now)?)));
            heard.collect()
        };
        let ledger = self.ledger();
        Message {
            from: ledger.own(),
            is_leaving: self.is_leaving.load(Ordering::Relaxed) && self.is_settled(),
            vector: ledger.vector(),
            items: to.map(|vector| ledger.lacking(vector, MESSAGE_ITEMS_BYTES)).unwrap_or_default(),
            heard,
        }
    }

    fn publish(&self, contacts: &Contacts, now: Moment) {
        let Some(engine) = self.engine.upgrade() else { return };
        let trust = trust(&contacts.all, now, contacts.silent);
        engine.trust(self, Some((now.wall(), trust)).filter(|_| !contacts.all.is_empty()));
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn contacts(&self) -> MutexGuard<'_, Contacts> {
        self.contacts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contacts {
    fn find(&mut self, address: SocketAddr) -> Option<&mut Contact> {
        self.all.iter_mut().find(|contact| contact.address == address)
    }

    fn of(&mut self, id: NodeId) -> impl Iterator<Item = &mut Contact> {
        self.all.iter_mut().filter(move |contact| contact.id == Some(id))
    }
}

fn failed(source: io::Error) -> Error {
    Error::Ledger { source }
}
