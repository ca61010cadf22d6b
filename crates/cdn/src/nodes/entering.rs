//! How purges get into the ledger: those that begin here, and those that others tell of.

use super::file::LedgerFile;
use super::ledger::{Item, Ledger, NodeId, Vector};
use super::message::Message;
use super::{Nodes, failed};
use crate::Error;
use crate::purge::{Entry, Mode, Target};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

impl Nodes {
    /// A purge is about to be in the cache: until it is entered, nothing is settled.
    pub(crate) fn begin(&self) {
        self.queue.begin();
    }

    /// A purge is in the cache. It is entered later.
    pub(crate) fn queue(&self, entry: Entry) {
        self.queue.push(Arc::new(entry));
        self.changed();
    }

    /// Enters all that has begun. Waits for the disk: what cannot be written there gets no number, and waits on.
    pub fn settle(&self) -> Result<(), Error> {
        let file = self.file();
        // Where that fails, the old numbers are not given: others have them for something else.
        self.renew(&file)?;
        let queued = self.queue.take();
        if queued.is_empty() {
            return Ok(());
        }
        let items: Vec<Item> = {
            let ledger = self.ledger();
            queued.iter().zip(0..).map(|(entry, ahead)| ledger.begin(Arc::clone(entry), ahead)).collect()
        };
        if let Err(error) = self.write(&file, &items) {
            self.queue.put_back(queued);
            return Err(failed(error));
        }
        self.enter(&file, &items);
        self.queue.settle(items.len());
        self.changed();
        Ok(())
    }

    /// Whether all that has taken effect here is in the ledger. To be asked after the number of purges was read.
    pub fn is_settled(&self) -> bool {
        self.queue.is_settled()
    }

    /// Enters what others have told, once it is in the cache; also where it cannot be written, since they would tell it again and again.
    /// It is in the log of purges, and told once more after a restart.
    pub(super) fn take(&self, items: &[Item]) -> Result<(), Error> {
        if items.is_empty() {
            return Ok(());
        }
        let file = self.file();
        let fresh: Vec<Item> = {
            // Against a copy, so that what follows one another is next in turn.
            let ledger = self.ledger();
            let mut upto = Vector::new();
            items.iter().filter(|item| is_next_after(&ledger, &mut upto, item)).cloned().collect()
        };
        if fresh.is_empty() {
            return Ok(());
        }
        self.begin();
        let applied = self.engine.upgrade().map_or(Ok(()), |engine| engine.apply(&fresh));
        if let Err(error) = applied {
            self.queue.settle(1);
            return Err(error);
        }
        let written = self.write(&file, &fresh);
        self.enter(&file, &fresh);
        self.queue.settle(1);
        self.changed();
        written.map_err(failed)
    }

    /// What was remembered here is older than what others have heard from here: numbers would be given twice. It goes on as another node, and
    /// everything is purged, since nobody knows what is missing.
    pub(super) fn renew_if_behind(&self, message: &Message) -> Result<(), Error> {
        if !self.ledger().is_behind_itself(&message.vector) {
            return Ok(());
        }
        let file = self.file();
        if self.ledger().is_behind_itself(&message.vector) {
            self.is_behind_itself.store(true, Ordering::Relaxed);
        }
        self.renew(&file)
    }

    fn renew(&self, file: &LedgerFile) -> Result<(), Error> {
        if !self.is_behind_itself.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.begin();
        let renewed = self.renew_by(file);
        self.queue.settle(1);
        self.changed();
        renewed
    }

    fn renew_by(&self, file: &LedgerFile) -> Result<(), Error> {
        let (own, entry) = (NodeId(rand::random()), Arc::new(Entry::new(Target::Everything, Mode::Hard)));
        let all = Item::Purge { origin: own, number: 1, entry };
        // First, so that no process begins as the new node and has not purged; and once, however long the ledger cannot be written.
        if !self.has_purged_all.load(Ordering::Relaxed) {
            let engine = self.engine.upgrade();
            engine.map_or(Ok(()), |engine| engine.apply(std::slice::from_ref(&all)))?;
            self.has_purged_all.store(true, Ordering::Relaxed);
        }
        let mut items: Vec<Item> = self.ledger().all().collect();
        items.push(all.clone());
        file.rewrite(own, &items).map_err(failed)?;
        {
            let mut ledger = self.ledger();
            ledger.renew(own);
            ledger.enter(&all);
        }
        self.has_purged_all.store(false, Ordering::Relaxed);
        self.is_behind_itself.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// On the disk by the time that this returns. A file that nobody can rely on is written anew, first or once this fails: without the items.
    fn write(&self, file: &LedgerFile, items: &[Item]) -> io::Result<()> {
        if file.is_broken() {
            self.rewrite(file)?;
        }
        file.append(items).or_else(|_| {
            self.rewrite(file)?;
            file.append(items)
        })
    }

    fn enter(&self, file: &LedgerFile, items: &[Item]) {
        {
            let mut ledger = self.ledger();
            items.iter().for_each(|item| ledger.enter(item));
        }
        if file.is_due() {
            // Where this fails, the old one goes on, or is written anew before the next number is given.
            let _ = self.rewrite(file);
        }
    }

    /// Cores ask the ledger: it is not held while the disk is waited for.
    fn rewrite(&self, file: &LedgerFile) -> io::Result<()> {
        let (own, items) = {
            let ledger = self.ledger();
            (ledger.own(), ledger.all().collect::<Vec<Item>>())
        };
        file.rewrite(own, &items)
    }

    pub(super) fn file(&self) -> MutexGuard<'_, LedgerFile> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an item is the next one after those of a list that were.
fn is_next_after(ledger: &Ledger, upto: &mut Vector, item: &Item) -> bool {
    let (origin, number, is_next) = match item {
        Item::Purge { origin, number, .. } => {
            let known = upto.get(origin).copied().unwrap_or_else(|| ledger.upto(*origin));
            (*origin, *number, *number == known.saturating_add(1))
        }
        Item::All { origin, upto: all } => {
            let known = upto.get(origin).copied().unwrap_or_else(|| ledger.upto(*origin));
            (*origin, *all, *all > known)
        }
    };
    if is_next {
        upto.insert(origin, number);
    }
    is_next
}
