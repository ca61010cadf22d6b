//! Starting, from nothing or from a running nines.

use super::cdn_part::CdnPart;
use super::dns_part::{self, DnsPart};
use super::edge_part::{self, EdgePart, Kept};
use super::events::Events;
use super::handover::{self, Previous};
use super::home::Home;
use super::layer4_part::{self, Layer4Part};
use super::listen::Inherited;
use super::pools::{self, PoolMaker, PoolPart};
use super::push_part::PushPart;
use super::service_names::ServiceNames;
use super::{Live, Phase, Running, StartError, StartOptions, TakeoverError, reload, report};
use crate::config::Topology;
use crate::file::Checked;
use crate::{node_secret, paths};
use balance::PoolStatus;
use services::{Services, ServicesContext};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use telemetry::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long the pools of a new process may take before it gives up taking over.
const READY_WAIT: Duration = Duration::from_secs(30);

/// How long the pools that DNS answers with may take to be checked. Before that all of them would be down.
const CHECKED_WAIT: Duration = Duration::from_secs(5);

/// How often it looks.
const READY_EVERY: Duration = Duration::from_millis(50);

pub(super) async fn start(checked: Checked, options: StartOptions) -> Result<Arc<Running>, StartError> {
    if let Err(error) = sys::raise_open_files() {
        tracing::warn!(target: "topology", %error, "the limit of open files stays as it is");
    }
    let dir = absolute(checked.dir());
    let home = Home::open(dir.join(&checked.topology.node.data))?;
    let previous = if options.takeover { Previous::find(&home.socket()).await? } else { None };
    let checked = dns_part::signed(checked, &dir).await?;
    match previous {
        None => start_alone(checked, options, dir, home).await,
        Some(previous) => take_over(checked, options, dir, home, previous).await,
    }
}

async fn start_alone(
    checked: Checked,
    options: StartOptions,
    dir: PathBuf,
    home: Home,
) -> Result<Arc<Running>, StartError> {
    home.lock()?;
    let mut inherited = Inherited::default();
    let admin = inherited.admin(checked.topology.node.admin)?;
    // A taken port is found before any program is started.
    edge_part::check_free(&checked.topology)?;
    layer4_part::check_free(&checked.topology)?;
    dns_part::check_free(&checked.topology)?;
    let backends = Backends::start(&checked, &options, &dir, &home)?;
    backends.until_checked(&checked.topology, CHECKED_WAIT).await;
    let fronts = match open_pushes(&checked.topology, &dir, &backends.registry).await {
        Ok(pushes) => backends.start_fronts(&checked, &dir, pushes, &mut inherited).await,
        Err(error) => Err(error.into()),
    };
    finish(checked, dir, home, admin, backends, fronts).await
}

async fn take_over(
    checked: Checked,
    options: StartOptions,
    dir: PathBuf,
    home: Home,
    mut previous: Previous,
) -> Result<Arc<Running>, StartError> {
    tracing::info!(target: "topology", from_pid = previous.pid, "taking over");
    let backends = Backends::start(&checked, &options, &dir, &home)?;
    let begun = async {
        backends.until_ready(&previous, READY_WAIT).await?;
        let mut inherited = previous.listeners().await?;
        let admin = inherited.admin(checked.topology.node.admin)?;
        let pushes = open_pushes(&checked.topology, &dir, &backends.registry).await?;
        let fronts = backends.start_fronts(&checked, &dir, pushes, &mut inherited).await?;
        // From here on both serve, until the old one hears that this one does.
        match previous.serving(&home).await {
            Ok(()) => Ok((admin, fronts)),
            Err(error) => {
                fronts.stop().await;
                Err(error)
            }
        }
    };
    match begun.await {
        Ok((admin, fronts)) => finish(checked, dir, home, admin, backends, Ok(fronts)).await,
        Err(error) => {
            backends.stop().await;
            Err(error)
        }
    }
}

/// The stores that files are pushed to, with what the file's own folders have.
async fn open_pushes(topology: &Topology, dir: &Path, registry: &Registry) -> Result<PushPart, push::Error> {
    let pushes = PushPart::open(topology, dir, registry, &HashMap::new()).await?;
    pushes.take_in().await?.release().await?;
    Ok(pushes)
}

/// What clients meet.
struct Fronts {
    pushes: PushPart,
    cdn: CdnPart,
    edge: EdgePart,
    layer4: Layer4Part,
    dns: DnsPart,
}

impl Fronts {
    /// Ends what has just begun.
    async fn stop(self) {
        self.edge.stop_accepting();
        self.layer4.stop_accepting();
        self.dns.stop_accepting();
        // Before the process that goes on hears that this one does not: it keeps its disk.
        close(self.cdn).await;
        self.edge.drain(Duration::ZERO).await;
        self.layer4.drain(Duration::ZERO).await;
        self.dns.drain(Duration::ZERO).await;
    }
}

/// It waits for the disk.
async fn close(cdn: CdnPart) {
    let _ = tokio::task::spawn_blocking(move || cdn.close()).await;
}

/// What runs behind the edge and layer 4.
struct Backends {
    services: Services,
    pools: BTreeMap<String, PoolPart>,
    /// How many instances the services of pools should have, by pool.
    instances: BTreeMap<String, usize>,
    registry: Registry,
    secret: [u8; 16],
    token: Option<String>,
}

impl Backends {
    fn start(checked: &Checked, options: &StartOptions, dir: &Path, home: &Home) -> Result<Self, StartError> {
        let topology = &checked.topology;
        let token = topology.node.admin_token.as_ref().map(|token| paths::secret_in(dir, token).reveal());
        let token = token.transpose().map_err(StartError::Token)?;
        let secret = match &topology.node.secret {
            Some(secret) => node_secret::sticky_key(&paths::secret_in(dir, secret))?,
            None => home.sticky_secret()?,
        };
        let registry = Registry::new();
        let context = ServicesContext {
            dir: dir.to_owned(),
            nines: options.nines.clone(),
            hidden_env: paths::secret_variables(topology),
            registry: registry.clone(),
        };
        let maker = PoolMaker {
            dir: dir.to_owned(),
            at: topology.node.at.clone(),
            secret,
            registry: registry.clone(),
        };
        // A certificate that cannot be used is found before any program is started.
        let mut pools = BTreeMap::new();
        for (name, config) in pools::configs(topology) {
            let part = maker.make(&name, &config)?;
            pools.insert(name, part);
        }
        let services = Services::start(context, reload::services_in(topology, dir))?;
        pools.values_mut().for_each(|part| part.run(&services));
        let instances = topology.pool.iter().filter_map(|(name, pool)| {
            let service = topology.service.get(pool.service.as_deref()?)?;
            Some((name.to_string(), service.instances as usize))
        });
        Ok(Self { services, pools, instances: instances.collect(), registry, secret, token })
    }

    async fn start_fronts(
        &self,
        checked: &Checked,
        dir: &Path,
        pushes: PushPart,
        inherited: &mut Inherited,
    ) -> Result<Fronts, StartError> {
        let topology = &checked.topology;
        let sockets = std::mem::take(&mut inherited.layer4);
        let dns_sockets = std::mem::take(&mut inherited.dns);
        // An edge that is dropped again, where this fails, ends by itself.
        let over_http = Arc::<dns_part::OverHttp>::default();
        let pools = pools::by_name(&self.pools);
        let cdn = CdnPart::start(topology, dir, &self.registry, inherited.purges.take())?;
        let started = (|| -> Result<_, StartError> {
            let kept = Kept { pushes: Some(pushes.by_name()), cdn: cdn.of_edge(topology) };
            let edge =
                EdgePart::start(topology, dir, pools, kept, over_http.clone(), &self.registry, inherited)?;
            let layer4 =
                Layer4Part::start(topology, dir, pools::by_name(&self.pools), &self.registry, sockets)?;
            dns_part::bind(&checked.zones, &pools::by_name(&self.pools));
            let dns = DnsPart::start(
                topology,
                dir,
                &checked.zones,
                &self.secret,
                &self.registry,
                dns_sockets,
                over_http,
            )?;
            Ok((edge, layer4, dns))
        })();
        match started {
            Ok((edge, layer4, dns)) => Ok(Fronts { pushes, cdn, edge, layer4, dns }),
            Err(error) => {
                // As in [`Fronts::stop`].
                close(cdn).await;
                Err(error)
            }
        }
    }

    /// Waits until the pools that DNS answers with have been checked once, whatever was found.
    async fn until_checked(&self, topology: &Topology, wait: Duration) {
        let end = tokio::time::Instant::now() + wait;
        let is_ready = |name: &str| self.pools.get(name).is_none_or(|part| part.pool.is_ready());
        while tokio::time::Instant::now() < end && !dns_part::pools(topology).all(is_ready) {
            tokio::time::sleep(READY_EVERY).await;
        }
    }

    /// Waits until every pool can do here what it can do in the previous process.
    async fn until_ready(&self, previous: &Previous, wait: Duration) -> Result<(), TakeoverError> {
        let end = tokio::time::Instant::now() + wait;
        loop {
            let pools: Vec<(PoolStatus, usize)> = self
                .pools
                .iter()
                .map(|(name, part)| (part.pool.status(), self.instances.get(name).copied().unwrap_or(0)))
                .collect();
            let missing = previous.better_at(&pools);
            if missing.is_empty() {
                return Ok(());
            }
            if tokio::time::Instant::now() >= end {
                return Err(TakeoverError::NotReady {
                    waited_s: wait.as_secs(),
                    waiting: missing.join("; "),
                });
            }
            tokio::time::sleep(READY_EVERY).await;
        }
    }

    async fn stop(self) {
        self.services.stop().await;
        for (_, pool) in self.pools {
            pool.stop().await;
        }
    }
}

async fn finish(
    checked: Checked,
    dir: PathBuf,
    home: Home,
    admin: std::net::TcpListener,
    backends: Backends,
    fronts: Result<Fronts, StartError>,
) -> Result<Arc<Running>, StartError> {
    let Fronts { mut pushes, cdn, edge, layer4, dns } = match fronts {
        Ok(fronts) => fronts,
        Err(error) => {
            backends.stop().await;
            return Err(error);
        }
    };
    CdnPart::forget_unused(&checked.topology, &dir);
    let topology = Arc::new(checked.topology);
    let service_names = ServiceNames::follow(&topology, &dns, &backends.services, &backends.pools);
    pushes.run();
    let leaving = JoinSet::new();
    let live = Live {
        topology,
        ending: None,
        pools: backends.pools,
        pushes,
        cdn,
        edge,
        layer4,
        dns,
        service_names,
        leaving,
    };
    let running = Arc::new(Running {
        path: checked.path,
        dir,
        started: Instant::now(),
        events: Events::new(&backends.registry),
        registry: backends.registry,
        home,
        secret: backends.secret,
        admin,
        admin_token: backends.token,
        services: backends.services,
        live: Mutex::new(live),
        reloading: tokio::sync::Mutex::default(),
        phase: watch::Sender::new(Phase::Serving),
        successor: Mutex::default(),
    });
    handover::await_successor(&running);
    let status = report::status(&running);
    tracing::info!(target: "topology", file = %running.path.display(), tiers = status.tiers.join(" "), "started");
    Ok(running)
}

/// The folder with its whole path, so that nothing depends on the working directory later.
fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
}
