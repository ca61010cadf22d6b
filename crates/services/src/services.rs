//! All services of a file.

use crate::{Error, ServiceConfig, ServiceStatus};
use balance::Instance;
use notation::Named;
use std::path::PathBuf;
use tokio::sync::watch;

/// What services need to know of their surroundings.
#[derive(Clone)]
pub struct ServicesContext {
    /// The folder of the file: the working directory of services, and what relative paths in it start from.
    pub dir: PathBuf,
    /// This binary, for `$NINES` and for the guard.
    pub nines: PathBuf,
    /// Environment variables that no service inherits: those that hold the secrets of other parts.
    pub hidden_env: Vec<String>,
    /// Where the figures go.
    pub registry: telemetry::Registry,
}

/// The running services.
pub struct Services {}

/// Services that are known to be startable: see [`Services::prepare`].
pub struct Prepared {}

/// What a reload does to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added(String),
    /// It is no longer in the file.
    Removed(String),
    /// It is started in another way: its instances are replaced one by one.
    Replaced(String),
    /// It has another number of instances.
    Scaled(String, u32, u32),
    /// Only how it is watched over has changed: its processes stay.
    Adjusted(String),
}

impl Services {
    /// Starts all services.
    pub fn start(_context: ServicesContext, _configs: Named<ServiceConfig>) -> Result<Self, Error> {
        Ok(Self {})
    }
    /// Everything of a reload that may fail.
    pub fn prepare(&self, _configs: Named<ServiceConfig>) -> Result<Prepared, Error> {
        Ok(Prepared {})
    }
    /// Applies it; cannot fail.
    pub fn commit(&self, _prepared: Prepared) -> Vec<Change> {
        Vec::new()
    }
    /// Both.
    pub fn reload(&self, configs: Named<ServiceConfig>) -> Result<Vec<Change>, Error> {
        Ok(self.commit(self.prepare(configs)?))
    }
    /// Where the instances of a service are.
    pub fn instances(&self, _service: &str) -> Option<watch::Receiver<Vec<Instance>>> {
        None
    }
    /// All services.
    pub fn status(&self) -> Vec<ServiceStatus> {
        Vec::new()
    }
    /// Ends all.
    pub async fn stop(&self) {}
}
