//! Pools and what keeps them up to date: their checks, and the services whose instances they hold.

use crate::config::Topology;
use crate::file::Checked;
use balance::{Instance, Pool, PoolConfig, PoolContext, Settings, SettingsError};
use flow::Drain;
use services::Services;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use telemetry::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A pool with its tasks.
pub(super) struct PoolPart {
    pub(super) pool: Arc<Pool>,
    config: PoolConfig,
    stop: Drain,
    checks: Option<JoinHandle<()>>,
    feed: Option<JoinHandle<()>>,
}

/// What pools are made with.
pub(super) struct PoolMaker {
    /// The folder that paths of the file start from.
    pub(super) dir: PathBuf,
    pub(super) at: Option<String>,
    pub(super) secret: [u8; 16],
    pub(super) registry: Registry,
}

impl PoolMaker {
    /// A pool that nothing runs yet.
    pub(super) fn make(&self, name: &str, config: &PoolConfig) -> Result<PoolPart, SettingsError> {
        Ok(self.make_of(name, config, self.settings(name, config)?))
    }

    /// A pool that only tells who its endpoints are: nothing is sent to them, and no file is read.
    fn make_silent(&self, name: &str, config: &PoolConfig) -> PoolPart {
        let config = PoolConfig { tls: None, ..config.clone() };
        self.make_of(name, &config, config.clone())
    }

    fn make_of(&self, name: &str, config: &PoolConfig, settings: impl Into<Settings>) -> PoolPart {
        let context = PoolContext {
            name: name.to_owned(),
            at: self.at.clone(),
            secret: secret_of(&self.secret, name),
            registry: self.registry.clone(),
        };
        let pool = Pool::new(context, settings);
        PoolPart { pool, config: config.clone(), stop: Drain::new(), checks: None, feed: None }
    }

    /// A pool's configuration with its certificates.
    pub(super) fn settings(&self, name: &str, config: &PoolConfig) -> Result<Settings, SettingsError> {
        Settings::load(config.clone(), name, &self.dir)
    }
}

/// A secret of the pool's own, so that a cookie of one pool says nothing in another.
fn secret_of(secret: &[u8; 16], pool: &str) -> [u8; 16] {
    let half =
        |nth: u8| balance::hash_key(&[secret.as_slice(), &[nth], pool.as_bytes()].concat()).to_be_bytes();
    let mut out = [0; 16];
    out[..8].copy_from_slice(&half(0));
    out[8..].copy_from_slice(&half(1));
    out
}

/// The pools of a file as they run: over a service that says how its health is checked, a pool checks the
/// same way unless it says otherwise.
pub(super) fn configs(topology: &Topology) -> BTreeMap<String, PoolConfig> {
    let config = |pool: &PoolConfig| {
        let mut config = pool.clone();
        if config.health.is_none() {
            let service = pool.service.as_deref().and_then(|service| topology.service.get(service));
            config.health = service.and_then(|service| service.health.clone());
        }
        config
    };
    topology.pool.iter().map(|(name, pool)| (name.to_string(), config(pool))).collect()
}

impl PoolPart {
    /// Starts what keeps the pool up to date. Starting twice replaces the feed: after a reload a service's
    /// instances may come from elsewhere.
    pub(super) fn run(&mut self, services: &Services) {
        if self.checks.is_none() {
            self.checks = Some(tokio::spawn(Arc::clone(&self.pool).run(self.stop.watch())));
        }
        if let Some(feed) = self.feed.take() {
            feed.abort();
        }
        let instances = self.config.service.as_deref().and_then(|service| services.instances(service));
        self.feed = instances.map(|instances| tokio::spawn(feed(Arc::clone(&self.pool), instances)));
    }

    /// The service whose instances it has, if it is one's.
    pub(super) fn service(&self) -> Option<&str> {
        self.config.service.as_deref()
    }

    /// Whether a configuration is another than the one it follows.
    pub(super) fn is_changed_by(&self, config: &PoolConfig) -> bool {
        self.config != *config
    }

    /// Follows another configuration.
    pub(super) fn apply(&mut self, config: &PoolConfig, settings: Settings) {
        self.pool.apply(settings);
        self.config = config.clone();
    }

    /// Ends the tasks and waits for them.
    pub(super) async fn stop(mut self) {
        self.stop.start();
        if let Some(feed) = self.feed.take() {
            feed.abort();
        }
        if let Some(checks) = self.checks.take()
            && let Err(error) = checks.await
        {
            tracing::error!(target: "topology", pool = self.pool.name(), %error, "the pool's checks ended badly");
        }
    }
}

/// Hands a service's instances to a pool as they come and go, until the service is gone.
async fn feed(pool: Arc<Pool>, mut instances: watch::Receiver<Vec<Instance>>) {
    loop {
        let now = instances.borrow_and_update().clone();
        pool.set_instances(now);
        if instances.changed().await.is_err() {
            return;
        }
    }
}

/// The pools of a file that does not run, by name.
pub(super) fn silent(checked: &Checked) -> HashMap<String, Arc<Pool>> {
    let maker = PoolMaker {
        dir: checked.dir().to_owned(),
        at: checked.topology.node.at.clone(),
        secret: [0; 16],
        registry: Registry::new(),
    };
    let configs = configs(&checked.topology);
    configs.iter().map(|(name, config)| (name.clone(), maker.make_silent(name, config).pool)).collect()
}

/// The pools by name, as the edge wants them.
pub(super) fn by_name(parts: &BTreeMap<String, PoolPart>) -> HashMap<String, Arc<Pool>> {
    parts.iter().map(|(name, part)| (name.clone(), Arc::clone(&part.pool))).collect()
}
