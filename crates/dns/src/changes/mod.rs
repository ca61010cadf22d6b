//! Zones that change while they are served, and servers that copy them.
//!
//! The file says who may do what ([`Rules`], one a snapshot). What arrives and is no plain query is understood in `listener::special`.
//! All that takes time, or touches the disk, is done beside the cores by one thread ([`Keeper`]): it tells other servers of changes
//! (`notifier`), remembers differences for them, and follows the servers that zones come from (`secondary`).
//!
//! Invariant: what is served is changed by a [`Publisher`](crate::Publisher) alone, whole zones at a time.

mod check;
mod config;
mod content;
mod events;
mod keeper;
mod notifier;

pub(crate) use check::check_changes;
pub use config::{KeyConfig, Peer, SecondaryConfig, TransferConfig, UpdateConfig};
pub(crate) use content::{serve, unsigned};
pub(crate) use events::{ChangeEvents, Direction, TransferKind, TransferOutcome};
pub(crate) use keeper::Keeper;

use crate::config::{DnsConfig, ZoneConfig};
use crate::protocol::Name;
use crate::secondary::{Notified, Secondary};
use crate::transfer::{Access, History};
use crate::tsig::{Key, Keys};
use crate::update::{Pattern, Update, UpdateRule, UpdateRules};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use telemetry::Registry;
use tokio::sync::{Semaphore, mpsc};

/// Transfers to other servers that are under way at once.
const TRANSFERS_MAX: usize = 32;
/// Zones that are asked for at other servers at once.
const FETCHES_MAX: usize = 64;
/// Notifications that wait for their answer at once: each has a socket.
const NOTIFICATIONS_MAX: usize = 256;

/// Who may do what with which zone.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) keys: Keys,
    zones: HashMap<Box<[u8]>, ZoneRules>,
}

/// Who may do what with a zone.
#[derive(Debug, Clone, Default)]
pub(crate) struct ZoneRules {
    /// Who may copy it.
    pub(crate) transfer: Option<Access>,
    /// Who is told of changes.
    pub(crate) notify: Vec<SocketAddr>,
    /// What notifications are signed with.
    pub(crate) notify_key: Option<Arc<Key>>,
    /// From where it comes.
    pub(crate) secondary: Option<Secondary>,
    /// Who may change what of it.
    pub(crate) update: Option<Arc<UpdateRules>>,
}

impl Rules {
    pub(crate) fn new(config: &DnsConfig, keys: &Keys) -> Self {
        let zones = config.zone.iter().filter_map(|(name, zone)| {
            let apex: Name = name.parse().ok()?;
            Some((apex.as_wire().into(), ZoneRules::new(&apex, zone, keys)))
        });
        Self { keys: keys.clone(), zones: zones.collect() }
    }

    /// Those of the zone with this apex.
    pub(crate) fn of(&self, apex: &Name) -> Option<&ZoneRules> {
        self.zones.get(apex.as_wire())
    }

    /// All zones with their rules.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Name, &ZoneRules)> {
        self.zones.iter().filter_map(|(apex, rules)| Some((Name::from_wire(apex).ok()?, rules)))
    }
}

impl ZoneRules {
    fn new(apex: &Name, zone: &ZoneConfig, keys: &Keys) -> Self {
        let key = |name: &Option<notation::Name>| keys.named(name.as_ref()?).cloned();
        let transfer = zone.transfer.as_ref();
        Self {
            transfer: transfer.map(|transfer| Access {
                networks: transfer.to.iter().filter_map(|network| network.parse().ok()).collect(),
                key: transfer.key.as_ref().and_then(|key| key.parse().ok()),
            }),
            notify: transfer.into_iter().flat_map(|transfer| &transfer.notify).map(|peer| peer.0).collect(),
            notify_key: transfer.and_then(|transfer| key(&transfer.key)),
            secondary: zone.secondary.as_ref().map(|secondary| Secondary {
                primaries: secondary.primaries.iter().map(|peer| peer.0).collect(),
                key: key(&secondary.key),
            }),
            update: (!zone.update.is_empty()).then(|| {
                Arc::new(UpdateRules(zone.update.iter().map(|update| update_rule(apex, update)).collect()))
            }),
        }
    }
}

/// What a key may change. What is written wrong was told where the file was checked.
fn update_rule(apex: &Name, update: &UpdateConfig) -> UpdateRule {
    let access = Access {
        networks: update.from.iter().filter_map(|network| network.parse().ok()).collect(),
        key: update.key.parse().ok(),
    };
    let names = update.names.iter().filter_map(|name| Pattern::parse(name, apex).ok());
    let types = update.types.iter().filter_map(|rtype| rtype.parse().ok());
    UpdateRule::new(access, names.collect(), types.collect())
}

/// Where whoever looks after a zone hears of things.
#[derive(Debug, Clone)]
pub(crate) enum Mailbox {
    /// A zone from elsewhere: it has changed there. One is as good as many.
    Secondary(mpsc::Sender<Notified>),
    /// A zone that is updated.
    Update(mpsc::Sender<Update>),
}

/// What outlives a snapshot of zones that change.
pub(crate) struct Changing {
    histories: Mutex<HashMap<Box<[u8]>, History>>,
    /// Where those who look after zones hear of things, by apex.
    mailboxes: Mutex<HashMap<Box<[u8]>, Mailbox>>,
    /// A place for each transfer to another server.
    pub(crate) transfers: Arc<Semaphore>,
    /// A place for each zone that is asked for elsewhere.
    pub(crate) fetches: Semaphore,
    /// A place for each notification that is under way.
    pub(crate) notifications: Semaphore,
    pub(crate) events: ChangeEvents,
    /// The second in which a refusal was logged last.
    told: AtomicU64,
}

impl Changing {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            histories: Mutex::default(),
            mailboxes: Mutex::default(),
            transfers: Arc::new(Semaphore::new(TRANSFERS_MAX)),
            fetches: Semaphore::new(FETCHES_MAX),
            notifications: Semaphore::new(NOTIFICATIONS_MAX),
            events: ChangeEvents::new(registry),
            told: AtomicU64::new(0),
        }
    }

    /// Whether a refusal may be logged: one a second, whoever asks how often. All are counted.
    pub(crate) fn tells_refusal(&self) -> bool {
        let now = unix_now();
        self.told.swap(now, Ordering::Relaxed) != now
    }

    /// Where those who look after zones hear of things.
    pub(crate) fn mailboxes(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Mailbox>> {
        self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last differences of all zones.
    pub(crate) fn histories(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, History>> {
        self.histories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// A number that nobody foresees.
pub(crate) fn random_u64() -> u64 {
    let mut octets = [0; 8];
    aws_lc_rs::rand::fill(&mut octets).expect("the system has random numbers");
    u64::from_be_bytes(octets)
}
