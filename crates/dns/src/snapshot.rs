//! Everything that queries are answered by, made of the file, swapped whole on reload.

use crate::changes::{Changing, Rules};
use crate::config::DnsLimits;
use crate::cookies::CookieKey;
use crate::error::Error;
use crate::events::{Events, ZoneEvents};
use crate::limit::{Limiter, Table};
use crate::listener::tls::TlsDoor;
use crate::log::QueryLog;
use crate::resolver::Resolver;
use crate::running::DnsParts;
use crate::zone::Zone;
use crate::zones::Zones;
use admission::PerClient;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use telemetry::Registry;

/// One state of the file.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) zones: Zones,
    pub(crate) zone_events: ZoneEvents,
    pub(crate) identity: Option<String>,
    pub(crate) cookie_key: CookieKey,
    /// Who may do what with which zone.
    pub(crate) rules: Arc<Rules>,
    pub(crate) limit: DnsLimits,
    pub(crate) idle: Duration,
    pub(crate) limiter: Option<Limiter>,
    pub(crate) log: Option<Arc<QueryLog>>,
    pub(crate) tls: Option<TlsDoor>,
    /// Whether anything is answered to each client on its own.
    pub(crate) has_routes: bool,
    pub(crate) resolver: Option<Arc<Resolver>>,
    pub(crate) live: Arc<Live>,
}

/// What outlives a reload.
pub(crate) struct Live {
    /// A place for each connection.
    pub(crate) gate: flow::Gate,
    pub(crate) clients: PerClient,
    pub(crate) events: Events,
    /// Made when there is first a limit.
    rates: OnceLock<Arc<Table>>,
    pub(crate) changing: Changing,
}

/// Accept loops that wait for a place; there are as many as sockets.
const WAITING_MAX: usize = 1 << 20;
/// They wait as long as it takes.
const WAIT: Duration = Duration::from_secs(365 * 86_400);

impl Live {
    pub(crate) fn new(limit: &DnsLimits, registry: &Registry) -> Self {
        Self {
            gate: flow::Gate::new(limit.connections as usize, WAITING_MAX, WAIT),
            clients: PerClient::new(),
            events: Events::new(registry),
            rates: OnceLock::new(),
            changing: Changing::new(registry),
        }
    }
}

impl Live {
    fn rates(&self) -> Arc<Table> {
        self.rates.get_or_init(|| Arc::new(Table::new(Table::ENTRIES, Instant::now()))).clone()
    }
}

impl Snapshot {
    /// `before` is the state that this one takes the place of, if there is one.
    ///
    /// # Errors
    /// When a log cannot be written, or a certificate not be used.
    pub(crate) fn new(
        parts: &DnsParts,
        live: Arc<Live>,
        registry: &Registry,
        before: Option<&Self>,
    ) -> Result<Self, Error> {
        let (config, zones) = (&parts.config, parts.zones.zones());
        let resolver = config.resolver.as_ref().zip(parts.zones.resolver()).map(|(config, files)| {
            let before = before.and_then(|before| before.resolver.as_ref());
            Arc::new(Resolver::new(config, Arc::clone(files), registry, before))
        });
        let log = before.and_then(|before| before.log.as_ref());
        let tls = before.and_then(|before| before.tls.as_ref());
        Ok(Self {
            tls: TlsDoor::load(parts, registry, tls)?,
            has_routes: config.zone.values().any(|zone| !zone.route.is_empty()),
            log: QueryLog::open(&config.log, &parts.dir, config.identity.as_deref(), log, registry)?,
            zone_events: ZoneEvents::new(registry, &zones),
            zones,
            identity: config.identity.clone(),
            cookie_key: parts.cookie_key,
            rules: Arc::new(Rules::new(config, &parts.keys)),
            limit: config.limit.clone(),
            idle: config.timeout.idle.get(),
            limiter: Limiter::new(&config.limit, || live.rates()),
            resolver,
            live,
        })
    }

    /// Whether anybody wants to know when a message came.
    #[inline]
    pub(crate) fn wants_time(&self) -> bool {
        self.limiter.is_some() || self.log.is_some()
    }

    /// The same with another zone in the place of the one with its apex.
    #[must_use]
    pub(crate) fn with(&self, zone: &Arc<Zone>, registry: &Registry) -> Self {
        let zone_events = self.zone_events.with(self.zones.get(zone.apex()), zone, registry);
        Self { zones: self.zones.with(Arc::clone(zone)), zone_events, ..self.clone() }
    }

    /// Lets the limits hold that outlive a snapshot, and tells what is served from now on.
    pub(crate) fn apply(&self) {
        self.zone_events.show();
        self.live.gate.set(self.limit.connections as usize, WAITING_MAX, WAIT);
        if let Some(resolver) = &self.resolver {
            resolver.apply();
        }
    }

    /// Looks for changed files. Not for a core.
    pub(crate) fn refresh(&self) {
        if let Some(tls) = &self.tls {
            tls.refresh();
        }
        if let Some(resolver) = &self.resolver {
            resolver.refresh();
        }
    }
}
