//! `[service.NAME]`: a program that nines runs, how many of it, and how it is started and stopped.

use balance::HealthConfig;
use notation::{Duration, Secret, TextOr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A supervised service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// The program and its arguments, run without a shell. `$PORT` is the instance's port, `$INSTANCE` its
    /// name, `$NINES` the running nines binary; in its environment it finds `PORT` and `INSTANCE` too.
    #[schemars(length(min = 1))]
    pub run: Vec<String>,
    /// How many run at once.
    #[serde(default = "one")]
    #[schemars(range(max = 1000))]
    pub instances: u32,
    /// The working directory; the file's own otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Variables added to its environment: a plain value, or a secret by reference.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, TextOr<Secret>>,
    /// How an instance shows that it is healthy; a pool over this service uses it unless it has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthConfig>,
    /// What happens after an instance ends by itself.
    #[serde(default)]
    pub restart: RestartConfig,
    /// How an instance is ended.
    #[serde(default)]
    pub stop: StopConfig,
}

fn one() -> u32 {
    1
}

/// Restarts, with a growing pause so that a broken program does not spin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RestartConfig {
    /// The pause before the first restart in a row; each further one doubles it.
    pub after: Duration,
    /// The longest pause.
    pub after_max: Duration,
    /// A run this long ends the row.
    pub stable: Duration,
}

impl Default for RestartConfig {
    fn default() -> Self {
        Self { after: Duration::millis(200), after_max: Duration::secs(30), stable: Duration::secs(10) }
    }
}

/// An instance is taken out of its pools, told SIGTERM after `drain`, and killed after `wait`; both signals go
/// to its whole process group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StopConfig {
    /// Time for the requests that it has, between leaving its pools and SIGTERM. When nines itself ends there
    /// are none left, and this time is not taken.
    pub drain: Duration,
    /// Time between SIGTERM and SIGKILL.
    pub wait: Duration,
}

impl Default for StopConfig {
    fn default() -> Self {
        Self { drain: Duration::secs(1), wait: Duration::secs(10) }
    }
}
