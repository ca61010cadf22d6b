//! DNS as a part of a node: the only file that knows how it is started, changed and asked.

use super::{ReloadError, StartError};
use crate::config::Topology;
use crate::node_secret;
use balance::Pool;
use cores::Socket;
use dns::{Dns, DnsParts, PoolHealth, ResolverStatus, Which, ZoneSet, ZoneStatus};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Registry;

/// DNS, if the file names it.
#[derive(Default)]
pub(super) struct DnsPart(Option<Dns>);

/// A pool as routes of DNS see it.
struct Health(Arc<Pool>);

impl PoolHealth for Health {
    fn available(&self) -> usize {
        self.0.available()
    }

    fn addresses(&self, of: Which, look: &mut dyn FnMut(&[IpAddr])) {
        self.0
            .with_addresses(|available, known| look(if of == Which::Available { available } else { known }));
    }

    fn causes(&self) -> String {
        self.0.causes().to_string()
    }
}

/// Lets the routes of zones see these pools and no others.
pub(super) fn bind(zones: &ZoneSet, pools: &HashMap<String, Arc<Pool>>) {
    zones.bind(pools.iter().map(|(name, pool)| {
        let health: Arc<dyn PoolHealth> = Arc::new(Health(Arc::clone(pool)));
        (name.as_str(), health)
    }));
}

/// The pools that the routes of DNS name.
pub(super) fn pools(topology: &Topology) -> impl Iterator<Item = &str> {
    let zones = topology.dns.iter().flat_map(|dns| dns.zone.values());
    zones.flat_map(|zone| zone.route.values()).flat_map(dns::RouteConfig::pools).map(notation::Name::as_str)
}

/// A change of DNS that is known to work.
pub(super) enum PreparedDns {
    /// There was none and there is none.
    Absent,
    /// It is not in the file any more.
    Removed,
    /// It is new, and serves already.
    Added(Dns),
    /// It stays.
    Changed(Box<dns::Prepared>),
}

impl PreparedDns {
    /// Undoes a change that is not made after all.
    pub(super) async fn discard(self) {
        if let Self::Added(dns) = self {
            dns.drain(Duration::ZERO).await;
        }
    }
}

impl DnsPart {
    /// Starts DNS; it serves at once.
    pub(super) fn start(
        topology: &Topology,
        zones: &ZoneSet,
        secret: &[u8; 16],
        registry: &Registry,
        inherited: Vec<Socket>,
    ) -> Result<Self, StartError> {
        let Some(parts) = parts(topology, zones, secret) else { return Ok(Self(None)) };
        Ok(Self(Some(Dns::start(&parts, registry.clone(), inherited)?)))
    }

    /// Everything of a reload that may fail.
    pub(super) fn prepare(
        &self,
        topology: &Topology,
        zones: &ZoneSet,
        secret: &[u8; 16],
        registry: &Registry,
    ) -> Result<PreparedDns, ReloadError> {
        Ok(match (&self.0, parts(topology, zones, secret)) {
            (None, None) => PreparedDns::Absent,
            (Some(_), None) => PreparedDns::Removed,
            (None, Some(parts)) => PreparedDns::Added(Dns::start(&parts, registry.clone(), Vec::new())?),
            (Some(dns), Some(parts)) => PreparedDns::Changed(Box::new(dns.prepare(&parts)?)),
        })
    }

    /// Applies a change. A DNS that goes comes back, to be drained.
    pub(super) fn commit(&mut self, prepared: PreparedDns) -> Option<Self> {
        match prepared {
            PreparedDns::Absent => {}
            PreparedDns::Removed => return Some(std::mem::take(self)),
            PreparedDns::Added(dns) => self.0 = Some(dns),
            PreparedDns::Changed(prepared) => {
                if let Some(dns) = &self.0 {
                    dns.commit(*prepared);
                }
            }
        }
        None
    }

    /// The zones that are served, as they were loaded.
    pub(super) fn zones(&self) -> ZoneSet {
        self.0.as_ref().map(Dns::zones).unwrap_or_default()
    }

    /// Copies of the listening sockets, to be handed over.
    pub(super) fn sockets(&self) -> io::Result<Vec<Socket>> {
        self.0.as_ref().map_or_else(|| Ok(Vec::new()), Dns::sockets)
    }

    /// Takes nothing new.
    pub(super) fn stop_accepting(&self) {
        if let Some(dns) = &self.0 {
            dns.stop_accepting();
        }
    }

    /// Waits for what is under way, at most `deadline`. `true` when all of it ended by itself.
    pub(super) async fn drain(self, deadline: Duration) -> bool {
        match self.0 {
            Some(dns) => dns.drain(deadline).await,
            None => true,
        }
    }

    /// Open client connections.
    pub(super) fn connections(&self) -> usize {
        self.0.as_ref().map_or(0, Dns::connections)
    }

    /// Where queries arrive.
    pub(super) fn addresses(&self) -> Vec<cores::Address> {
        self.0.as_ref().map_or_else(Vec::new, Dns::addresses)
    }

    /// The resolver, if there is one.
    pub(super) fn resolver(&self) -> Option<ResolverStatus> {
        self.0.as_ref().and_then(Dns::resolver)
    }

    pub(super) fn status(&self) -> Vec<ZoneStatus> {
        self.0.as_ref().map_or_else(Vec::new, Dns::status)
    }
}

/// Whether everything that the file wants to listen on is free.
pub(super) fn check_free(topology: &Topology) -> Result<(), StartError> {
    for address in topology.dns.iter().flat_map(dns::DnsConfig::listeners) {
        cores::check_free(address).map_err(dns::Error::from)?;
    }
    Ok(())
}

/// `secret` is the node's, of which comes what cookies are made with.
fn parts(topology: &Topology, zones: &ZoneSet, secret: &[u8; 16]) -> Option<DnsParts> {
    let cookie_key = node_secret::dns_cookie_key(secret);
    Some(DnsParts { config: topology.dns.clone()?, zones: zones.clone(), cookie_key })
}
