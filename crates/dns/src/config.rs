//! `[dns]`: where queries arrive, and the zones that are answered for.

use crate::changes::{KeyConfig, SecondaryConfig, TransferConfig, UpdateConfig};
use crate::dnssec::signing::config::Sign;
use crate::log::LogConfig;
use crate::policy::{LatencyConfig, PlaceConfig, PlacesConfig, RoutesConfig};
use crate::resolver::ResolverConfig;
use crate::services::ServicesConfig;
use notation::{Duration, Listen, Name, Named, Rate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tls::TlsConfig;

/// DNS: the zones of this file are answered for; everything else is refused, or looked up by the resolver.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// Where queries arrive, over UDP and TCP both: one address, or an array of them.
    pub listen: Listen,
    /// Where queries arrive over TLS (DoT, RFC 7858), usually on port 853: one address, or an array of them.
    #[serde(skip_serializing_if = "is_nowhere")]
    pub dot: Listen,
    /// The certificates that are shown there: `"self-signed"`, or a table with files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
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
    /// How many connections of TCP, and how many answers.
    pub limit: DnsLimits,
    /// What is told of queries.
    pub log: LogConfig,
    /// How long a client may take.
    pub timeout: DnsTimeouts,
    /// Names of the services that run here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<ServicesConfig>,
    /// Where clients and candidates are, for `nearest`: a name for each place.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub place: Named<PlaceConfig>,
    /// Keys for TSIG, by the name that both sides call them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub key: Named<KeyConfig>,
    /// Looks up names that are in none of the zones, for those who may ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolver: Option<ResolverConfig>,
    /// The zones, by the name of their apex: `"shop.test"`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub zone: Named<ZoneConfig>,
}

/// How many connections of TCP, and how many answers.
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
    /// Answers over UDP that are alike, to one network (/24 of IPv4, /56 of IPv6): so many at most, however many queries come
    /// from there, or seem to. Clients with a cookie of this server, and connections, are not limited. Without it nobody is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responses_per_client: Option<Rate>,
    /// Of so many answers that are too many, one is sent all the same, cut off: whoever is really there asks again over TCP.
    /// 0: none.
    #[schemars(range(max = 10))]
    pub slip: u8,
    /// Networks whose answers are not limited: `["10.0.0.0/8"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exempt: Vec<Name>,
}

fn is_nowhere(listen: &Listen) -> bool {
    listen.0.is_empty()
}

impl Default for DnsLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_client: 64,
            responses_per_client: None,
            slip: 2,
            exempt: Vec::new(),
        }
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
    /// Whether the zone is signed here (DNSSEC): `true`, or a table that says how.
    #[serde(skip_serializing_if = "Sign::is_off")]
    pub sign: Sign,
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
            sign: Sign::default(),
            route: RoutesConfig::new(),
        }
    }
}
