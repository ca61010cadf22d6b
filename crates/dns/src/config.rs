//! `[dns]`: where queries arrive, and the zones that are answered for.

use crate::changes::{KeyConfig, SecondaryConfig, TransferConfig, UpdateConfig};
use crate::policy::{LatencyConfig, PlaceConfig, PlacesConfig, RoutesConfig};
use notation::{Duration, Listen, Name, Named};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Authoritative DNS: the zones of this file are answered for, everything else is refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// Where queries arrive, over UDP and TCP both: one address, or an array of them.
    pub listen: Listen,
    /// Cores that serve, each with a runtime and sockets of its own; all the machine's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub cores: Option<u32>,
    /// What this server is called, for those who ask which of several answers them: by NSID (RFC 5001), or by a TXT
    /// query for `id.server` in class CH (RFC 4892). Without it nothing is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// A database in MaxMind's format that tells where clients are, for `nearest`; relative to this file. None comes with nines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub geo: Option<PathBuf>,
    /// How long it takes between places, for `nearest`: `[{ from = "asia", to = "us", rtt = "120ms" }]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub latency: Vec<LatencyConfig>,
    /// How many connections of TCP.
    pub limit: DnsLimits,
    /// How long a client may take.
    pub timeout: DnsTimeouts,
    /// Where clients and candidates are, for `nearest`: a name for each place.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub place: Named<PlaceConfig>,
    /// Keys for TSIG, by the name that both sides call them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub key: Named<KeyConfig>,
    /// The zones, by the name of their apex: `"shop.test"`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub zone: Named<ZoneConfig>,
}

/// How many connections of TCP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsLimits {
    /// Connections served at once; what exceeds them waits in the kernel's backlog. From half of them on, idle ones are
    /// closed ten times sooner.
    #[schemars(range(min = 1))]
    pub connections: u32,
    /// Connections of one client address (of IPv6: of one /64); more are reset.
    #[schemars(range(min = 1))]
    pub connections_per_client: u32,
}

impl Default for DnsLimits {
    fn default() -> Self {
        Self { connections: 4096, connections_per_client: 64 }
    }
}

/// How long a client may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsTimeouts {
    /// From one query of a connection to the whole of the next, and to take its answers.
    pub idle: Duration,
}

impl Default for DnsTimeouts {
    fn default() -> Self {
        Self { idle: Duration::secs(10) }
    }
}

/// A zone: the records of a zone file, those that are written here, or both together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ZoneConfig {
    /// A zone file (RFC 1035), relative to this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Records as in a zone file: `["@ NS ns1", "www 300 A 192.0.2.1"]`. Names are relative to the zone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<Name>,
    /// The TTL of those `records` that say none.
    pub ttl: Duration,
    /// From where the zone comes, in the place of a file and records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary: Option<SecondaryConfig>,
    /// Who may change which records while the zone is served: `[{ key = "dhcp", names = ["*.dyn"] }]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub update: Vec<UpdateConfig>,
    /// Who may copy the zone, and who is told when it changes. Nobody, without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferConfig>,
    /// Names whose addresses are chosen for each query, relative to the zone; `"@"` is its apex, `"*"` a wildcard.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub route: RoutesConfig,
}

impl DnsConfig {
    /// What is known of places.
    pub(crate) fn places(&self) -> PlacesConfig<'_> {
        PlacesConfig { place: &self.place, latency: &self.latency, geo: self.geo.as_ref() }
    }
}

impl Default for ZoneConfig {
    fn default() -> Self {
        Self {
            file: None,
            records: Vec::new(),
            ttl: Duration::secs(3600),
            secondary: None,
            update: Vec::new(),
            transfer: None,
            route: RoutesConfig::new(),
        }
    }
}
