//! A topology that runs: started in one order, changed as a whole, stopped in the reverse order.
//!
//! start:  data folder and its lock ─► admin listener ─► services ─► pools ─► edge, layer 4, DNS ─► the takeover socket
//! reload: read, check, prepare all that may fail ─► commit, which cannot
//! stop:   edge, layer 4, DNS (accepting, then what is under way) ─► services ─► pools
//!
//! Invariants: after a failed start nothing is left running, after a failed reload nothing has changed, and
//! whatever a file leaves as it was keeps its connections, its figures and its processes.
//! A new process takes over without a gap: see [`handover`].

use crate::changes::Changes;
use crate::config::Topology;
use crate::file::Checked;
use crate::status::{CdnStatus, Readiness, Status};
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use telemetry::Registry;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

mod cdn_part;
mod dns_part;
mod edge_part;
mod endpoints;
mod error;
mod events;
mod handover;
mod home;
mod layer4_part;
mod listen;
mod nodes_part;
mod pools;
mod push_part;
mod reload;
mod report;
mod service_names;
mod start;
mod stop;

pub use cdn::nodes::{MESSAGE_BYTES_MAX as EXCHANGE_BYTES_MAX, Told};
pub use cdn::purge::Mode as PurgeMode;
pub use cdn_part::{ExchangeError, Purge, PurgeError};
pub use dns_part::{DnsExplainError, DnsFlushError, DnsRollError, explain_dns_file};
pub use edge_part::{ExplainError, explain_file, sign_url};
pub use error::{EndpointError, ReloadError, StartError, TakeoverError};
pub use layer4_part::explain_layer4_file;

use cdn_part::CdnPart;
use dns_part::DnsPart;
use edge_part::EdgePart;
use home::Home;
use layer4_part::Layer4Part;
use pools::PoolPart;
use push_part::PushPart;
use service_names::ServiceNames;

/// How a node starts.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// Take over from the nines that runs on the same data folder, without a gap. When none runs, this is
    /// an ordinary start.
    pub takeover: bool,
    /// The nines binary, which services find as `$NINES`.
    pub nines: PathBuf,
}

/// A running node. Made by [`Running::start`], ended by [`Running::stop`].
pub struct Running {
    path: PathBuf,
    dir: PathBuf,
    started: Instant,
    registry: Registry,
    events: events::Events,
    home: Home,
    /// What cookies of sticky pools are made with.
    secret: [u8; 16],
    admin: TcpListener,
    admin_token: Option<String>,
    services: services::Services,
    live: Mutex<Live>,
    /// Held while a file is read and applied: one reload at a time, and the last one wins.
    reloading: tokio::sync::Mutex<()>,
    phase: watch::Sender<Phase>,
    /// Waits for a new process to take over.
    successor: Mutex<Option<JoinHandle<()>>>,
}

/// What the last file that was applied is made of.
struct Live {
    topology: Arc<Topology>,
    pools: BTreeMap<String, PoolPart>,
    pushes: PushPart,
    cdn: CdnPart,
    /// The cache among other nodes, which hear it until it is gone.
    ending: Option<Arc<cdn::nodes::Nodes>>,
    edge: EdgePart,
    layer4: Layer4Part,
    dns: DnsPart,
    service_names: ServiceNames,
    /// Parts that a reload took out, on their way to an end.
    leaving: JoinSet<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// A new process serves.
    HandedOver,
    Stopping,
}

impl Running {
    /// Starts everything that the file names; on an error nothing is left running. Must be called within a
    /// tokio runtime, which then runs health checks and supervision.
    pub async fn start(checked: Checked, options: StartOptions) -> Result<Arc<Self>, StartError> {
        Box::pin(start::start(checked, options)).await
    }

    /// Reads the file again and applies what changed; new pools are given some time to become ready first.
    /// On an error nothing has changed. A reload that nobody waits for any more is still done to its end.
    pub async fn reload(self: &Arc<Self>) -> Result<Changes, ReloadError> {
        let running = Arc::clone(self);
        let reload = tokio::spawn(async move { reload::reload(&running).await });
        reload.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(_) => Err(ReloadError::Stopping),
        })
    }

    /// Stops: no new connection, at most `deadline` for what is under way, then the services.
    /// `true` when everything that was under way has ended by itself.
    pub async fn stop(&self, deadline: Duration) -> bool {
        stop::stop(self, deadline).await
    }

    /// Resolves once a new process serves in place of this one, which is then to be stopped.
    pub async fn handed_over(&self) {
        let mut phase = self.phase.subscribe();
        // The sender lives as long as `self`.
        let _ = phase.wait_for(|phase| *phase == Phase::HandedOver).await;
    }

    /// Takes no new work to an endpoint: `"shop/shop-1"`, `"shop-1"` or an address. Returns its full name.
    pub fn drain(&self, endpoint: &str) -> Result<String, EndpointError> {
        endpoints::set_draining(self, endpoint, true)
    }

    /// Ends a [`Running::drain`]. Returns the endpoint's full name.
    pub fn undrain(&self, endpoint: &str) -> Result<String, EndpointError> {
        endpoints::set_draining(self, endpoint, false)
    }

    /// Purges what the cache has, and returns the purge's number: it holds for every request from now on, and over a restart. Of other nodes
    /// it says who has acknowledged it; it waits for them for a moment.
    pub async fn purge(&self, purge: Purge, mode: PurgeMode) -> Result<(u64, Option<Told>), PurgeError> {
        let purger = {
            let live = self.live();
            live.cdn.purger(&live.topology)?
        };
        // It waits for the disk.
        let purging = tokio::task::spawn_blocking(move || {
            let sequence = purger.purge(&purge, mode);
            (sequence, purger, purge)
        });
        let (sequence, purger, purge) = match purging.await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        if sequence.is_ok() && mode == PurgeMode::Hard && !matches!(purge, Purge::Url(_)) {
            // Whoever asked does not wait for memory to be freed.
            tokio::task::spawn_blocking(move || purger.tend());
        }
        let sequence = sequence?;
        let nodes = {
            let live = self.live();
            live.cdn.nodes().or_else(|| live.ending.clone())
        };
        let told = match nodes {
            Some(nodes) => Some(nodes.told(edge::PURGE_TOLD_WAIT).await),
            None => None,
        };
        Ok((sequence, told))
    }

    /// Answers what another node of the cache says.
    ///
    /// # Errors
    /// When the file names no other nodes, or it is no message.
    pub async fn exchange(&self, message: &[u8]) -> Result<Vec<u8>, ExchangeError> {
        let nodes = self.live().cdn.nodes();
        cdn_part::exchange(nodes, message).await
    }

    /// Everything that runs, with live figures.
    pub fn status(&self) -> Status {
        report::status(self)
    }

    /// The cache, if there is one, with the URLs that were missed most: at most so many of each site.
    pub fn cdn(&self, misses: usize) -> Option<CdnStatus> {
        report::cdn(self, misses)
    }

    /// Whether the node can serve, and what it waits for if not.
    pub fn readiness(&self) -> Readiness {
        report::readiness(self)
    }

    /// Why a request would be answered the way it would be, and by whom. Changes no state.
    pub fn explain(&self, query: &edge::Query) -> Result<edge::Explanation, ExplainError> {
        self.live().edge.explain(query)
    }

    /// What the cache would do with a request, and why. Changes no state.
    pub async fn explain_cache(&self, query: edge::Query) -> Result<edge::CacheExplanation, ExplainError> {
        let explainer = self.live().edge.cache_explainer()?;
        // It waits for the disk.
        match tokio::task::spawn_blocking(move || explainer.explain(&query)).await {
            Ok(explained) => Ok(explained?),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Why a connection of TCP or a datagram would go where it would go. Changes no state.
    pub fn explain_layer4(
        &self,
        question: &layer4::Question,
    ) -> Result<layer4::Explanation, layer4::ExplainError> {
        self.live().layer4.explain(question)
    }

    /// What would be answered to a question of DNS, and why. Changes no state.
    pub fn explain_dns(&self, question: &dns::Question) -> Result<dns::Explained, DnsExplainError> {
        self.live().dns.explain(question)
    }

    /// Forgets what the resolver keeps of a name, and of those below it if they are meant too. How many answers that were.
    ///
    /// # Errors
    /// When there is no resolver, or no such name can be.
    pub fn flush_dns(&self, name: &str, below: bool) -> Result<u64, DnsFlushError> {
        self.live().dns.flush(name, below)
    }

    /// The zone above has the DS of the key that a zone waits for; it may be remembered for `ttl`, as the file writes it.
    pub async fn dns_ds_seen(&self, zone: &str, ttl: Option<&str>) -> Result<dns::RolledKey, DnsRollError> {
        let publisher = self.live().dns.publisher();
        dns_part::ds_seen(publisher, zone, ttl).await
    }

    /// Begins to replace the key that the zone above a zone points to.
    pub async fn dns_roll_over(&self, zone: &str) -> Result<dns::RolledKey, DnsRollError> {
        let publisher = self.live().dns.publisher();
        dns_part::roll_over(publisher, zone).await
    }

    /// The metrics.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The topology that runs.
    pub fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.live().topology)
    }

    /// The listener for the admin API, non-blocking: bound before anything else was started, or inherited.
    pub fn admin_listener(&self) -> io::Result<TcpListener> {
        self.admin.try_clone()
    }

    /// The token that the admin API demands.
    pub fn admin_token(&self) -> Option<String> {
        self.admin_token.clone()
    }

    /// How long what is under way may take when the node stops: `edge.timeout.drain`.
    pub fn drain_deadline(&self) -> Duration {
        self.drain_deadline_of(&self.topology())
    }

    fn drain_deadline_of(&self, topology: &Topology) -> Duration {
        let default = edge::EdgeTimeouts::default().drain;
        topology.edge.as_ref().map_or(default, |edge| edge.timeout.drain).get()
    }

    /// Nothing panics while it holds this lock but for a broken invariant of a tier; what is in there is
    /// whole either way, and a node that still serves is worth more than one that does not.
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn phase(&self) -> Phase {
        *self.phase.borrow()
    }
}
