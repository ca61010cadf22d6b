//! Everything that queries are answered by, made of the file, swapped whole on reload.

use crate::config::DnsLimits;
use crate::cookies::CookieKey;
use crate::events::{Events, ZoneEvents};
use crate::resolver::Resolver;
use crate::running::DnsParts;
use crate::zones::Zones;
use admission::PerClient;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Registry;

/// One state of the file.
pub(crate) struct Snapshot {
    pub(crate) zones: Zones,
    pub(crate) zone_events: ZoneEvents,
    pub(crate) identity: Option<String>,
    pub(crate) cookie_key: CookieKey,
    pub(crate) limit: DnsLimits,
    pub(crate) idle: Duration,
    pub(crate) resolver: Option<Arc<Resolver>>,
    pub(crate) live: Arc<Live>,
}

/// What outlives a reload.
pub(crate) struct Live {
    /// A place for each connection.
    pub(crate) gate: flow::Gate,
    pub(crate) clients: PerClient,
    pub(crate) events: Events,
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
        }
    }
}

impl Snapshot {
    /// `before` is the state that this one takes the place of, if there is one.
    pub(crate) fn new(parts: &DnsParts, live: Arc<Live>, registry: &Registry, before: Option<&Self>) -> Self {
        let (config, zones) = (&parts.config, parts.zones.zones());
        let resolver = config.resolver.as_ref().zip(parts.zones.resolver()).map(|(config, files)| {
            let before = before.and_then(|before| before.resolver.as_ref());
            Arc::new(Resolver::new(config, Arc::clone(files), registry, before))
        });
        Self {
            zone_events: ZoneEvents::new(registry, &zones),
            zones,
            identity: config.identity.clone(),
            cookie_key: parts.cookie_key,
            limit: config.limit.clone(),
            idle: config.timeout.idle.get(),
            resolver,
            live,
        }
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
        if let Some(resolver) = &self.resolver {
            resolver.refresh();
        }
    }
}
