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
mod exchange;
mod fetched;
mod file;
mod ledger;
mod message;
mod moment;
mod queue;
mod seen;
#[cfg(test)]
mod tests;

pub use contact::{Contact, State, Trust, trust};
pub use exchange::Exchanged;
pub use fetched::{ANSWERED, FETCHED, Fetched, LOOP, is_loop, write_loop};
pub use ledger::{Item, Ledger, LedgerLimits, NodeId, Vector};
pub(crate) use message::check_any;
pub use message::{MESSAGE_BYTES_MAX, Message};
pub use moment::Moment;
pub use seen::{Seen, Told};

use crate::growing::{FileSystem, Host};
use crate::{Engine, Error};
use file::LedgerFile;
use queue::Queue;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicBool;
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
    /// Everything is purged because of that, which is not in the ledger yet.
    has_purged_all: AtomicBool,
    contacts: Mutex<Contacts>,
    is_leaving: AtomicBool,
    changes: watch::Sender<u64>,
}

struct Contacts {
    all: Vec<Contact>,
    silent: Duration,
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
        let (ledger, file, damaged) = match folder {
            None => (Ledger::new(fresh, limits), LedgerFile::none(), Vec::new()),
            Some(folder) => {
                let opened = LedgerFile::open(file_system, folder, limits, fresh).map_err(failed)?;
                (opened.ledger, opened.file, opened.damaged)
            }
        };
        let nodes = Arc::new(Self {
            engine: Arc::downgrade(engine),
            ledger: Mutex::new(ledger),
            file: Mutex::new(file),
            queue: Queue::default(),
            is_behind_itself: AtomicBool::new(false),
            has_purged_all: AtomicBool::new(false),
            contacts: Mutex::new(Contacts { all: Vec::new(), silent }),
            is_leaving: AtomicBool::new(false),
            changes: watch::Sender::new(0),
        });
        engine.join_nodes(Some(Arc::clone(&nodes)));
        let purged = match damaged.is_empty() {
            true => Ok(()),
            // Before the ledger says so.
            false => engine.apply(&[Item::All { origin: nodes.own(), upto: 1 }]).and_then(|()| {
                let file = nodes.file();
                let items: Vec<Item> = nodes.ledger().all().collect();
                file.mend(nodes.own(), &items, &damaged).map_err(failed)
            }),
        };
        if purged.is_err() {
            engine.join_nodes(None);
        }
        purged.map(|()| nodes)
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
