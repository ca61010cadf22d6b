//! Everything that connections and datagrams are decided by, made of the file, swapped whole on reload.

use crate::config::{TcpConfig, UdpConfig};
use crate::error::Error;
use crate::events::{TcpEvents, UdpEvents};
use crate::routes::Routes;
use crate::running::Layer4Parts;
use acme::Stapler;
use admission::{Access, NetworkEntry, Networks, PerClient, Refreshed};
use balance::{KeySource, Pool, hash_key};
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use telemetry::Registry;

/// One state of the file.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) tcp: HashMap<Arc<str>, Arc<TcpPart>>,
    pub(crate) udp: HashMap<Arc<str>, Arc<UdpPart>>,
    /// Who fetches OCSP responses, if anybody does.
    pub(crate) stapler: Option<Arc<Stapler>>,
}

/// One `[tcp.NAME]`.
pub(crate) struct TcpPart {
    pub(crate) name: Arc<str>,
    pub(crate) config: TcpConfig,
    pub(crate) access: Access,
    /// Those whose connections begin with a PROXY header.
    pub(crate) proxies: Option<Networks>,
    pub(crate) routes: Routes<Arc<Pool>>,
    pub(crate) tls: Option<TlsPart>,
    pub(crate) live: Arc<TcpLive>,
}

/// TLS that ends here.
pub(crate) struct TlsPart {
    pub(crate) server: Arc<tls::Server>,
    tickets: Arc<tls::Tickets>,
}

/// What outlives a reload of one `[tcp.NAME]`.
pub(crate) struct TcpLive {
    /// A place for each connection.
    pub(crate) gate: flow::Gate,
    pub(crate) clients: PerClient,
    pub(crate) events: TcpEvents,
    pub(crate) open: AtomicUsize,
}

/// One `[udp.NAME]`.
pub(crate) struct UdpPart {
    pub(crate) name: Arc<str>,
    pub(crate) config: UdpConfig,
    pub(crate) access: Access,
    pub(crate) pool: Arc<Pool>,
    pub(crate) live: Arc<UdpLive>,
}

/// What outlives a reload of one `[udp.NAME]`.
pub(crate) struct UdpLive {
    pub(crate) events: UdpEvents,
    pub(crate) open: AtomicUsize,
}

/// Accept loops that wait for a place; there are as many as sockets.
const WAITING_MAX: usize = 1 << 20;
/// They wait as long as it takes.
const WAIT: Duration = Duration::from_secs(365 * 86_400);

impl Snapshot {
    /// Compiles the file; `before` is what it replaces.
    pub(crate) fn compile(
        parts: &Layer4Parts,
        registry: &Registry,
        before: Option<&Self>,
    ) -> Result<Self, Error> {
        let certificates = parts.tcp.values().filter_map(|config| config.tls.as_ref());
        let stapler = before.and_then(|before| before.stapler.as_ref());
        let stapler = Stapler::succeed(stapler, &parts.tls, certificates, registry);
        let mut snapshot = Self { stapler, ..Self::default() };
        for (name, config) in &parts.tcp {
            let before = before.and_then(|before| before.tcp.get(name.as_str()));
            let part = TcpPart::compile(name, config, parts, registry, snapshot.stapler.as_ref(), before)?;
            snapshot.tcp.insert(part.name.clone(), Arc::new(part));
        }
        for (name, config) in &parts.udp {
            let before = before.and_then(|before| before.udp.get(name.as_str()));
            let part = UdpPart::compile(name, config, parts, registry, before)?;
            snapshot.udp.insert(part.name.clone(), Arc::new(part));
        }
        Ok(snapshot)
    }

    /// Lets the limits hold that outlive a snapshot.
    pub(crate) fn apply_limits(&self) {
        for part in self.tcp.values() {
            part.live.gate.set(part.config.limit.connections as usize, WAITING_MAX, WAIT);
        }
    }

    /// Looks for files that have changed; reads them, and so is not for a core.
    pub(crate) fn refresh(&self) {
        for part in self.tcp.values() {
            told(&part.name, part.access.refresh());
            if let Some(proxies) = &part.proxies {
                told(&part.name, proxies.refresh());
            }
            if let Some(tls) = &part.tls {
                tls.server.refresh();
            }
        }
        for part in self.udp.values() {
            told(&part.name, part.access.refresh());
        }
    }
}

fn told(name: &str, refreshed: Refreshed) {
    if refreshed.is_changed {
        tracing::info!(target: "layer4", listener = name, "a list of networks was read again");
    }
    for error in refreshed.errors {
        tracing::error!(target: "layer4", listener = name, %error, "a changed list cannot be used, the one before stays");
    }
}

impl TcpPart {
    fn compile(
        name: &str,
        config: &TcpConfig,
        parts: &Layer4Parts,
        registry: &Registry,
        stapler: Option<&Arc<Stapler>>,
        before: Option<&Arc<Self>>,
    ) -> Result<Self, Error> {
        let whose = format!("tcp {name}");
        let pool = |pool: &str| find(&parts.pools, &whose, pool);
        let named: Result<Vec<_>, Error> =
            config.sni.iter().map(|(name, to)| Ok((name.as_str(), pool(to)?))).collect();
        let default = config.pool.as_ref().map(|name| pool(name)).transpose()?;
        let proxies = (!config.proxy_protocol.is_empty())
            .then(|| Networks::load(&config.proxy_protocol, &parts.dir))
            .transpose()
            .map_err(|source| Error::Networks { whose: whose.clone(), source })?;
        let tls = config.tls.as_ref().map(|_| {
            let before = before.and_then(|before| before.tls.as_ref());
            TlsPart::load(&whose, config, parts, registry, stapler, before)
        });
        let live = before.map(|before| before.live.clone());
        Ok(Self {
            access: access(config.allow.as_deref(), &config.deny, &whose, &parts.dir)?,
            proxies,
            routes: Routes::new(named?.into_iter(), default),
            tls: tls.transpose()?,
            live: live.unwrap_or_else(|| {
                Arc::new(TcpLive {
                    gate: flow::Gate::new(config.limit.connections as usize, WAITING_MAX, WAIT),
                    clients: PerClient::new(),
                    events: TcpEvents::new(registry, name),
                    open: AtomicUsize::new(0),
                })
            }),
            name: name.into(),
            config: config.clone(),
        })
    }
}

impl TlsPart {
    fn load(
        whose: &str,
        config: &TcpConfig,
        parts: &Layer4Parts,
        registry: &Registry,
        stapler: Option<&Arc<Stapler>>,
        before: Option<&Self>,
    ) -> Result<Self, Error> {
        let common = &parts.tls;
        // Tickets go on being good over a change.
        let tickets = match before {
            Some(before) => before.tickets.reload(&common.tickets, &parts.dir)?,
            None => tls::Tickets::load(&common.tickets, &parts.dir, tls::system_time())?,
        };
        let context = tls::ServerContext {
            listener: whose.to_owned(),
            dir: parts.dir.clone(),
            data: parts.data.clone(),
            // What is spoken within is between the client and the endpoint.
            alpn: Vec::new(),
            versions: common.versions.clone(),
            tickets: tickets.clone(),
            challenges: None,
            issued: None,
            staples: stapler.cloned().map(|stapler| stapler as Arc<dyn tls::Staples>),
            time: tls::system_time(),
            registry: registry.clone(),
        };
        let site = config.tls.iter().map(|tls| ("default", tls));
        Ok(Self { server: tls::Server::load(context, site)?, tickets })
    }
}

impl UdpPart {
    fn compile(
        name: &str,
        config: &UdpConfig,
        parts: &Layer4Parts,
        registry: &Registry,
        before: Option<&Arc<Self>>,
    ) -> Result<Self, Error> {
        let whose = format!("udp {name}");
        let live = before.map(|before| before.live.clone());
        Ok(Self {
            access: access(config.allow.as_deref(), &config.deny, &whose, &parts.dir)?,
            pool: find(&parts.pools, &whose, config.pool.as_deref().unwrap_or_default())?,
            live: live.unwrap_or_else(|| {
                Arc::new(UdpLive { events: UdpEvents::new(registry, name), open: AtomicUsize::new(0) })
            }),
            name: name.into(),
            config: config.clone(),
        })
    }
}

fn access(
    allow: Option<&[NetworkEntry]>,
    deny: &[NetworkEntry],
    whose: &str,
    dir: &Path,
) -> Result<Access, Error> {
    Access::load(allow, deny, dir).map_err(|source| Error::Networks { whose: whose.to_owned(), source })
}

fn find(pools: &HashMap<String, Arc<Pool>>, whose: &str, pool: &str) -> Result<Arc<Pool>, Error> {
    let unknown = || Error::UnknownPool { whose: whose.to_owned(), pool: pool.to_owned() };
    pools.get(pool).cloned().ok_or_else(unknown)
}

/// What a pool hashes of a client: there is nothing but its address here, of IPv6 the /64 that one subscriber has.
pub(crate) fn hash_of(pool: &Pool, client: IpAddr) -> Option<u64> {
    if pool.key_source() == KeySource::None {
        return None;
    }
    Some(match client.to_canonical() {
        IpAddr::V4(address) => hash_key(&address.octets()),
        IpAddr::V6(address) => hash_key(&address.octets()[..8]),
    })
}
