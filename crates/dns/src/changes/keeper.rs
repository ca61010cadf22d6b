//! The thread beside the cores that looks after zones that change.

use super::notifier::Notifier;
use super::{Changing, Mailbox, ZoneRules};
use crate::protocol::Name;
use crate::publishing::Publisher;
use crate::secondary::{self, Secondary};
use crate::snapshot::Snapshot;
use crate::transfer::{Difference, is_newer};
use crate::update::{self, Update};
use crate::zone::Zone;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, LocalSet, spawn_local};

/// Updates of a zone that wait. More are answered SERVFAIL.
const UPDATES_MAX: usize = 1024;

/// The thread. It ends when this is dropped.
pub(crate) struct Keeper {
    stop: Mutex<Option<oneshot::Sender<()>>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Serves at once what is on disk of zones from elsewhere. `data` is the folder for what must outlive a restart.
    pub(crate) fn start(publisher: Publisher, data: PathBuf) -> io::Result<Self> {
        let snapshot = publisher.snapshot();
        for (apex, _) in snapshot.rules.iter().filter(|(_, rules)| rules.secondary.is_some()) {
            secondary::restored(&apex, &publisher, &secondary::store::path(&data, &apex));
        }
        let (stop, stopped) = oneshot::channel();
        let (begun, has_begun) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("dns-zones".into()).spawn(move || {
            LocalSet::new().block_on(&runtime, async move {
                tokio::select! {
                    _ = stopped => {}
                    () = Keeping::new(publisher, data).run(begun) => {}
                }
            });
        })?;
        // From the first query on, updates and notifications have somebody to go to. A thread that has ended has said why.
        let _ = has_begun.recv();
        Ok(Self { stop: Some(stop).into(), thread: Some(thread) })
    }

    /// Ends it soon.
    pub(crate) fn end(&self) {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Ends it, and waits for that.
    pub(crate) async fn stop(mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// What it has in hand.
struct Keeping {
    publisher: Publisher,
    /// The zones that others copy, as they were looked at last.
    seen: HashMap<Box<[u8]>, Arc<Zone>>,
    notifier: Notifier,
    data: PathBuf,
    /// Zones from elsewhere, each with the task that follows its primaries.
    secondaries: HashMap<Box<[u8]>, (Secondary, AbortHandle)>,
    /// Zones that are updated, each as it was loaded, with the task that does it.
    updated: HashMap<Box<[u8]>, (Arc<Zone>, AbortHandle)>,
}

impl Keeping {
    fn new(publisher: Publisher, data: PathBuf) -> Self {
        let notifier = Notifier::new(Arc::clone(&publisher.snapshot().live));
        Self {
            publisher,
            seen: HashMap::new(),
            notifier,
            data,
            secondaries: HashMap::new(),
            updated: HashMap::new(),
        }
    }

    /// Looks at each snapshot; those that are replaced meanwhile are passed over. Says when the first has been looked at.
    async fn run(mut self, begun: std::sync::mpsc::Sender<()>) {
        let mut snapshots = self.publisher.subscribe();
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            self.follow(&snapshot);
            self.update(&snapshot);
            // Nobody waits for it a second time.
            let _ = begun.send(());
            self.look(&snapshot).await;
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    /// Begins to follow the primaries of zones from elsewhere, and ends it for those that are not in the file any more.
    fn follow(&mut self, snapshot: &Snapshot) {
        let mut mailboxes = snapshot.live.changing.mailboxes();
        self.secondaries.retain(|apex, (secondary, task)| {
            let rules = Name::from_wire(apex).ok().and_then(|apex| snapshot.rules.of(&apex));
            let is_same = rules.is_some_and(|rules| rules.secondary.as_ref() == Some(secondary));
            if !is_same {
                task.abort();
                mailboxes.remove(apex);
            }
            is_same
        });
        for (apex, rules) in snapshot.rules.iter() {
            let Some(secondary) = &rules.secondary else { continue };
            let Entry::Vacant(vacant) = self.secondaries.entry(apex.as_wire().into()) else { continue };
            let (sender, receiver) = mpsc::channel(1);
            mailboxes.insert(vacant.key().clone(), Mailbox::Secondary(sender));
            let (publisher, data) = (self.publisher.clone(), self.data.clone());
            let task = spawn_local(secondary::run(apex, secondary.clone(), publisher, data, receiver));
            vacant.insert((secondary.clone(), task.abort_handle()));
        }
    }

    /// Begins to take updates of zones, and ends it for those that take none any more.
    fn update(&mut self, snapshot: &Snapshot) {
        let mut mailboxes = snapshot.live.changing.mailboxes();
        self.updated.retain(|apex, (_, task)| {
            let rules = Name::from_wire(apex).ok().and_then(|apex| snapshot.rules.of(&apex));
            let is_kept = rules.is_some_and(|rules| rules.update.is_some());
            if !is_kept {
                task.abort();
                // It may have become that of a zone from elsewhere.
                if matches!(mailboxes.get(apex), Some(Mailbox::Update(_))) {
                    mailboxes.remove(apex);
                }
            }
            is_kept
        });
        for (apex, _) in snapshot.rules.iter().filter(|(_, rules)| rules.update.is_some()) {
            let Some(base) = self.publisher.loaded_zone(&apex) else { continue };
            let place: Box<[u8]> = apex.as_wire().into();
            if let Some((known, _)) = self.updated.get_mut(&place) {
                if !Arc::ptr_eq(known, &base)
                    && let Some(Mailbox::Update(mailbox)) = mailboxes.get(&place)
                {
                    // One that is full makes it look by itself.
                    let _ = mailbox.try_send(Update::Loaded);
                    *known = base;
                }
                continue;
            }
            let (sender, receiver) = mpsc::channel(UPDATES_MAX);
            mailboxes.insert(place.clone(), Mailbox::Update(sender));
            let task = spawn_local(update::run(apex, self.publisher.clone(), self.data.clone(), receiver));
            self.updated.insert(place, (base, task.abort_handle()));
        }
    }

    async fn look(&mut self, snapshot: &Snapshot) {
        self.seen.retain(|apex, _| {
            let rules = Name::from_wire(apex).ok().and_then(|apex| snapshot.rules.of(&apex));
            rules.is_some_and(|rules| rules.transfer.is_some())
        });
        snapshot.live.changing.histories().retain(|apex, _| self.seen.contains_key(apex));
        for (apex, rules) in snapshot.rules.iter().filter(|(_, rules)| rules.transfer.is_some()) {
            let Some(zone) = snapshot.zones.get(&apex) else { continue };
            let before = self.seen.insert(apex.as_wire().into(), Arc::clone(zone));
            if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, zone)) || zone.is_withdrawn() {
                continue;
            }
            if let Some(before) = before.filter(|before| !before.is_withdrawn()) {
                changed(&snapshot.live.changing, &before, zone).await;
                if before.figures().serial == zone.figures().serial {
                    continue;
                }
            }
            self.tell(zone, rules);
        }
    }

    /// Tells those who copy the zone.
    fn tell(&mut self, zone: &Arc<Zone>, rules: &ZoneRules) {
        for peer in &rules.notify {
            self.notifier.notify(zone, *peer, rules.notify_key.as_ref());
        }
    }
}

/// Remembers what is different, for those who have the state before.
async fn changed(changing: &Changing, before: &Arc<Zone>, now: &Arc<Zone>) {
    let (old, new) = (Arc::clone(before), Arc::clone(now));
    // A large zone takes a while.
    let found = tokio::task::spawn_blocking(move || Difference::between(&old, &new)).await;
    let Ok(difference) = found else { return };
    let (old, new) = (before.figures().serial, now.figures().serial);
    let zone = now.apex();
    if is_newer(new, old) {
        changing.histories().entry(zone.as_wire().into()).or_default().push(difference);
    } else if new != old {
        changing.histories().remove(zone.as_wire());
        tracing::warn!(target: "dns", %zone, serial = new, before = old, "the zone's serial number went back: servers that copy it will not notice");
    } else if !difference.is_empty() {
        changing.histories().remove(zone.as_wire());
        tracing::warn!(target: "dns", %zone, serial = new, "the zone has changed, but its serial number has not: servers that copy it will not notice");
    }
}
