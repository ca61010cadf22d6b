//! The thread beside the cores that looks after zones that change.

use super::notifier::Notifier;
use super::{Changing, ZoneRules};
use crate::protocol::Name;
use crate::publishing::Publisher;
use crate::snapshot::Snapshot;
use crate::transfer::{Difference, is_newer};
use crate::zone::Zone;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// The thread. It ends when this is dropped.
pub(crate) struct Keeper {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(crate) fn start(publisher: Publisher) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("dns-zones".into()).spawn(move || {
            LocalSet::new().block_on(&runtime, async move {
                tokio::select! {
                    _ = stopped => {}
                    () = Keeping::new(publisher).run() => {}
                }
            });
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Ends it, and waits for that.
    pub(crate) async fn stop(mut self) {
        self.stop.take();
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
}

impl Keeping {
    fn new(publisher: Publisher) -> Self {
        let notifier = Notifier::new(Arc::clone(&publisher.snapshot().live));
        Self { publisher, seen: HashMap::new(), notifier }
    }

    /// Looks at each snapshot; those that are replaced meanwhile are passed over.
    async fn run(mut self) {
        let mut snapshots = self.publisher.subscribe();
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            self.look(&snapshot).await;
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    async fn look(&mut self, snapshot: &Snapshot) {
        self.seen.retain(|apex, _| {
            let rules = Name::from_wire(apex).ok().and_then(|apex| snapshot.rules.of(&apex));
            rules.is_some_and(|rules| rules.transfer.is_some())
        });
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
    let (old, new) = (before.figures().serial, now.figures().serial);
    let zone = now.apex();
    if is_newer(new, old) {
        let (before, now) = (Arc::clone(before), Arc::clone(now));
        // A large zone takes a while.
        let found = tokio::task::spawn_blocking(move || Difference::between(&before, &now)).await;
        if let Ok(difference) = found {
            changing.histories().entry(zone.as_wire().into()).or_default().push(difference);
        }
        return;
    }
    changing.histories().remove(zone.as_wire());
    if new == old {
        tracing::warn!(target: "dns", %zone, serial = new, "the zone has changed, but its serial number has not: servers that copy it will not notice");
    } else {
        tracing::warn!(target: "dns", %zone, serial = new, before = old, "the zone's serial number went back: servers that copy it will not notice");
    }
}
