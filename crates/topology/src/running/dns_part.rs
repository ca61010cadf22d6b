//! DNS as a part of a node: the only file that knows how it is started, changed and asked.

use super::{ReloadError, StartError, pools};
use crate::config::Topology;
use crate::file::Checked;
use crate::{node_secret, paths};
use arc_swap::ArcSwapOption;
use balance::Pool;
use cores::Socket;
use dns::{
    Dns, DnsParts, Explained, Follower, Keys, PoolHealth, Publisher, Question, ResolverStatus, RolledKey,
    Which, ZoneSet, ZoneStatus,
};
use edge::{DnsAnswered, DnsAnswers};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telemetry::Registry;
use thiserror::Error;

/// DNS, if the file names it.
#[derive(Default)]
pub(super) struct DnsPart(Option<Dns>, Arc<OverHttp>);

/// DNS as the edge sees it: it is there before DNS is, and stays when that goes.
#[derive(Default)]
pub(super) struct OverHttp(ArcSwapOption<dns::Answers>);

impl OverHttp {
    fn set(&self, dns: Option<&Dns>) {
        self.0.store(dns.map(|dns| Arc::new(dns.answers())));
    }
}

impl DnsAnswers for OverHttp {
    fn answer<'a>(
        &'a self,
        client: SocketAddr,
        message: &'a [u8],
    ) -> Pin<Box<dyn Future<Output = DnsAnswered> + 'a>> {
        let dns = self.0.load_full();
        Box::pin(async move {
            let Some(dns) = dns else { return DnsAnswered::Nobody };
            match dns.answer(client, message).await {
                Some(dns::Answered { message, ttl, is_private }) => {
                    DnsAnswered::Message { message, max_age: ttl, is_private }
                }
                None => DnsAnswered::NotAQuery,
            }
        })
    }
}

/// Why a question cannot be explained.
#[derive(Debug, Error)]
pub enum DnsExplainError {
    /// The file names no DNS, so that no query arrives.
    #[error("the file has no `[dns]`")]
    NoDns,
}

/// Why nothing can be forgotten.
#[derive(Debug, Error)]
pub enum DnsFlushError {
    /// Nothing is looked up elsewhere, and so nothing is kept.
    #[error("the file has no `[dns.resolver]`")]
    NoResolver,
    /// It is no name.
    #[error("{name:?} is no domain name: {cause}")]
    Name {
        /// What was given.
        name: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// Why a key cannot be replaced as it was wished.
#[derive(Debug, Error)]
pub enum DnsRollError {
    /// The file names no DNS.
    #[error("the file has no `[dns]`")]
    NoDns,
    /// It is no length of time.
    #[error("the TTL {0:?} is no length of time, such as 1d")]
    Ttl(String),
    /// Its zone says why.
    #[error(transparent)]
    Dns(#[from] dns::Error),
}

/// The zone above has the DS of the key that a zone waits for.
pub(super) async fn ds_seen(
    publisher: Option<Publisher>,
    zone: &str,
    ttl: Option<&str>,
) -> Result<RolledKey, DnsRollError> {
    let ttl = ttl.map(|text| {
        let parsed: Result<notation::Duration, _> = text.parse();
        parsed.map_err(|_| DnsRollError::Ttl(text.to_owned()))
    });
    let ttl = ttl.transpose()?.map(notation::Duration::get);
    Ok(publisher.ok_or(DnsRollError::NoDns)?.ds_seen(zone, ttl).await?)
}

/// Begins to replace the key that the zone above a zone points to.
pub(super) async fn roll_over(publisher: Option<Publisher>, zone: &str) -> Result<RolledKey, DnsRollError> {
    Ok(publisher.ok_or(DnsRollError::NoDns)?.roll_over(zone).await?)
}

/// A pool as routes of DNS see it.
struct Health(Arc<Pool>);

impl PoolHealth for Health {
    fn follow(&self, follower: Follower) {
        self.0.follow_available(move |available| follower.tell(available));
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
        dir: &Path,
        zones: &ZoneSet,
        secret: &[u8; 16],
        registry: &Registry,
        inherited: Vec<Socket>,
        over_http: Arc<OverHttp>,
    ) -> Result<Self, StartError> {
        let Some(parts) = parts(topology, dir, zones, secret)? else {
            return Ok(Self(None, over_http));
        };
        let dns = Dns::start(&parts, registry.clone(), inherited)?;
        over_http.set(Some(&dns));
        Ok(Self(Some(dns), over_http))
    }

    /// Everything of a reload that may fail.
    pub(super) fn prepare(
        &self,
        topology: &Topology,
        dir: &Path,
        zones: &ZoneSet,
        secret: &[u8; 16],
        registry: &Registry,
    ) -> Result<PreparedDns, ReloadError> {
        Ok(match (&self.0, parts(topology, dir, zones, secret)?) {
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
            PreparedDns::Removed => {
                self.1.set(None);
                return Some(Self(self.0.take(), Arc::default()));
            }
            PreparedDns::Added(dns) => {
                self.1.set(Some(&dns));
                self.0 = Some(dns);
            }
            PreparedDns::Changed(prepared) => {
                if let Some(dns) = &self.0 {
                    dns.commit(*prepared);
                }
            }
        }
        None
    }

    /// Who answers what comes to the edge.
    pub(super) fn over_http(&self) -> Arc<OverHttp> {
        Arc::clone(&self.1)
    }

    /// Who changes zones while they are served.
    pub(super) fn publisher(&self) -> Option<Publisher> {
        self.0.as_ref().map(Dns::publisher)
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

    /// What would be answered to a question.
    pub(super) fn explain(&self, question: &Question) -> Result<Explained, DnsExplainError> {
        Ok(self.0.as_ref().ok_or(DnsExplainError::NoDns)?.explain(question))
    }

    /// Forgets what the resolver keeps.
    pub(super) fn flush(&self, name: &str, below: bool) -> Result<u64, DnsFlushError> {
        let parsed = name.parse();
        let name = parsed.map_err(|error: dns::NameError| DnsFlushError::Name {
            name: name.into(),
            cause: error.to_string(),
        })?;
        self.0.as_ref().and_then(|dns| dns.flush(&name, below)).ok_or(DnsFlushError::NoResolver)
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

/// What [`super::Running::explain_dns`] would say of a file that does not run: endpoints of pools are those
/// that the file itself names.
pub fn explain_dns_file(checked: &Checked, question: &Question) -> Result<Explained, DnsExplainError> {
    if checked.topology.dns.is_none() {
        return Err(DnsExplainError::NoDns);
    }
    bind(&checked.zones, &pools::silent(checked));
    Ok(checked.zones.explain(question))
}

/// Signs the zones of a file before anything of it starts, on a thread that may wait.
pub(super) async fn signed(mut checked: Checked, dir: &Path) -> Result<Checked, StartError> {
    let dir = dir.to_owned();
    let signing = tokio::task::spawn_blocking(move || {
        sign(&checked.topology, &dir, &mut checked.zones, &ZoneSet::default())?;
        Ok(checked)
    });
    signing.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Signs the zones of a file that are to be. `dir` is the file's folder; what was signed `before` is taken over. A large zone takes a
/// minute, and so this is for a thread that may wait.
pub(super) fn sign(
    topology: &Topology,
    dir: &Path,
    zones: &mut ZoneSet,
    before: &ZoneSet,
) -> Result<(), dns::Error> {
    zones.sign(&data(topology, dir), SystemTime::now(), before)
}

/// Where what belongs to DNS is kept.
fn data(topology: &Topology, dir: &Path) -> PathBuf {
    dir.join(&topology.node.data).join("dns")
}

/// Whether everything that the file wants to listen on is free.
pub(super) fn check_free(topology: &Topology) -> Result<(), StartError> {
    for address in topology.dns.iter().flat_map(dns::DnsConfig::listeners) {
        cores::check_free(address).map_err(dns::Error::from)?;
    }
    Ok(())
}

/// `dir` is the file's folder, and `secret` the node's, of which comes what cookies are made with.
fn parts(
    topology: &Topology,
    dir: &Path,
    zones: &ZoneSet,
    secret: &[u8; 16],
) -> Result<Option<DnsParts>, dns::Error> {
    let Some(config) = topology.dns.clone() else { return Ok(None) };
    let keys = config.key.iter().map(|(name, key)| {
        let unusable = |cause: String| dns::Error::Key { name: name.to_string(), cause };
        paths::dns_key(dir, name, key).map_err(unusable)
    });
    Ok(Some(DnsParts {
        keys: Keys::new(keys.collect::<Result<Vec<_>, _>>()?),
        config,
        zones: zones.clone(),
        cookie_key: node_secret::dns_cookie_key(secret),
        data: data(topology, dir),
        dir: dir.to_owned(),
        node_data: dir.join(&topology.node.data),
        tls: topology.edge.as_ref().map(|edge| edge.tls.clone()).unwrap_or_default(),
    }))
}
