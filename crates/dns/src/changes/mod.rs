//! Zones that change while they are served, and servers that copy them.
//!
//! The file says who may do what ([`Rules`], one a snapshot). What arrives and is no plain query is understood in `listener::special`.
//! All that takes time, or touches the disk, is done beside the cores by one thread ([`Keeper`]): it tells other servers of changes
//! (`notifier`) and remembers differences for them.
//!
//! Invariant: what is served is changed by a [`Publisher`](crate::Publisher) alone, whole zones at a time.

mod check;
mod config;
mod events;
mod keeper;
mod notifier;

pub(crate) use check::check_changes;
pub use config::{KeyConfig, Peer, TransferConfig};
pub(crate) use events::{ChangeEvents, Direction, TransferKind, TransferOutcome};
pub(crate) use keeper::Keeper;

use crate::config::DnsConfig;
use crate::protocol::Name;
use crate::transfer::{Access, History};
use crate::tsig::{Key, Keys};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use telemetry::Registry;
use tokio::sync::Semaphore;

/// Transfers to other servers that are under way at once.
const TRANSFERS_MAX: usize = 32;

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
}

impl Rules {
    pub(crate) fn new(config: &DnsConfig, keys: &Keys) -> Self {
        let zones = config.zone.iter().filter_map(|(name, zone)| {
            let apex: Name = name.parse().ok()?;
            let transfer = zone.transfer.as_ref().map(|transfer| Access {
                networks: transfer.to.iter().filter_map(|network| network.parse().ok()).collect(),
                key: transfer.key.as_ref().and_then(|key| key.parse().ok()),
            });
            let rules = ZoneRules {
                transfer,
                notify: zone
                    .transfer
                    .iter()
                    .flat_map(|transfer| &transfer.notify)
                    .map(|peer| peer.0)
                    .collect(),
                notify_key: zone
                    .transfer
                    .as_ref()
                    .and_then(|transfer| keys.named(transfer.key.as_ref()?).cloned()),
            };
            Some((apex.as_wire().into(), rules))
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

/// What outlives a snapshot of zones that change.
pub(crate) struct Changing {
    histories: Mutex<HashMap<Box<[u8]>, History>>,
    /// A place for each transfer to another server.
    pub(crate) transfers: Arc<Semaphore>,
    pub(crate) events: ChangeEvents,
}

impl Changing {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            histories: Mutex::default(),
            transfers: Arc::new(Semaphore::new(TRANSFERS_MAX)),
            events: ChangeEvents::new(registry),
        }
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
