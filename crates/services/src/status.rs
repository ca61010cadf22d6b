//! Services as people and programs see them from outside: the admin API serves these types as they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A service with its instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceStatus {
    /// The service's name.
    pub name: String,
    /// How many instances the file asks for.
    pub instances_wanted: u32,
    /// Those that there are, by name. While one is being replaced, both have the same name.
    pub instances: Vec<InstanceStatus>,
}

/// One instance: a process, or the pause before the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceStatus {
    /// Its name, `shop-1`, which it keeps through restarts.
    pub name: String,
    /// What it is doing.
    pub state: InstanceState,
    /// Since when, in milliseconds of the Unix epoch.
    pub since_unix_ms: u64,
    /// The process, which leads a process group of the same number; absent between two runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its port on 127.0.0.1; absent between two runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How often it was started again after it ended by itself.
    pub restarts: u64,
    /// How the run before this one ended: `exited with status 3 after 1.2s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<String>,
}

/// What an instance is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Its process lives and does not accept connections yet.
    Starting,
    /// It accepts connections.
    Running,
    /// It ended; the next run waits for its turn.
    BackingOff,
    /// It was told to end.
    Stopping,
}

impl InstanceState {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 4] = [Self::Starting, Self::Running, Self::BackingOff, Self::Stopping];

    /// The state in one lower-case word, as in the metrics' label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::BackingOff => "backing-off",
            Self::Stopping => "stopping",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
