//! `[dns.zone.NAME.route]` and `[dns.place]`: names that follow health, place and weight.

use admission::Network;
use notation::{Duration, Name, Named};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// The TTL of routes: what is cached is not asked for, and a change is seen so much later.
const TTL: Duration = Duration::secs(20);
/// RFC 1035 §4.2.1 leaves room for many more; clients try few of them.
pub(super) const VALUES: u8 = 8;

/// A name whose addresses (A and AAAA) are chosen for each query. Other records of the name come from the zone; its own A
/// and AAAA, if the zone has any, are not used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "DnsRoute")]
pub struct RouteConfig {
    /// How long resolvers may keep an answer, from 1s to 1d.
    pub ttl: Duration,
    /// The steps of the choice. Each sees the candidates that the one before left: `healthy` drops those whose pool is down,
    /// `nearest` keeps those at the place nearest to the client, and one at the end chooses: `weighted` one by its weight,
    /// `failover` the first of the file, `multivalue` several. Without one at the end, all that are left are answered.
    pub choose: Vec<StepName>,
    /// The candidates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<AnswerConfig>,
    /// What `healthy` does when no candidate is up: `serve-all` goes on as if all were, `servfail` gives no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_down: Option<WhenDown>,
    /// How many candidates `multivalue` answers with at most; 8 unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub values: Option<u8>,
    /// Whether `weighted` gives clients of one subnet (/24 of IPv4, /56 of IPv6) the same candidate each time, as long as it
    /// is up; true unless it is said. With `false` each query is a new draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<bool>,
    /// In place of candidates: the name whose A and AAAA are answered here, as if they were this name's own. For the apex, which
    /// cannot have a CNAME. Relative to the zone unless it ends with a dot, and in one of the zones of this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<Name>,
}

impl Default for RouteConfig {
    fn default() -> Self {
        Self {
            ttl: TTL,
            choose: vec![StepName::Healthy],
            answers: Vec::new(),
            when_down: None,
            values: None,
            sticky: None,
            alias: None,
        }
    }
}

/// A step of a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepName {
    /// Drops candidates whose pool has no endpoint for new clients: all are down, ejected or draining.
    Healthy,
    /// Keeps the candidates at the place that is nearest to the client. Where it is not known, all.
    Nearest,
    /// Chooses one candidate, each as often as its weight says.
    Weighted,
    /// Chooses the first candidate of the file.
    Failover,
    /// Chooses several candidates by chance.
    Multivalue,
}

impl StepName {
    /// As it is written in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Nearest => "nearest",
            Self::Weighted => "weighted",
            Self::Failover => "failover",
            Self::Multivalue => "multivalue",
        }
    }

    /// Whether nothing is left to choose after it.
    pub(super) fn is_last(self) -> bool {
        matches!(self, Self::Weighted | Self::Failover | Self::Multivalue)
    }
}

/// What is answered when everything is down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenDown {
    /// As if everything were up: perhaps the checks are wrong.
    #[default]
    ServeAll,
    /// SERVFAIL: resolvers ask another server, or go on with what they have (RFC 8767).
    Servfail,
}

/// A candidate: what is answered if it is chosen, and what says whether it is up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "DnsAnswer")]
pub struct AnswerConfig {
    /// The pool whose health it has. Without one it is always up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Name>,
    /// What is answered, IPv4 and IPv6: mostly the public addresses of the nodes in front of the pool. Without them it is the
    /// addresses of the pool's own endpoints, of those that may be chosen, so that clients reach them directly.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Where it is, for `nearest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Name>,
    /// Its share against the others', for `weighted`; 1 unless it is said. 0 takes it out for maintenance: it is used only when no
    /// other is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 65535))]
    pub weight: Option<u16>,
}

/// A place of candidates and clients. What lies near to it is said by `near`, and of what that does not name by `latency`, and of what
/// that does not name by distance between `coordinates`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "DnsPlace")]
pub struct PlaceConfig {
    /// Clients of these networks are here, whatever the `geo` database says: `["10.1.0.0/16", "2001:db8::/32"]`. Of networks within
    /// each other the innermost counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Name>,
    /// Clients that the `geo` database has in these countries are here: `["DE", "AT"]` (ISO 3166-1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<Name>,
    /// Clients that the `geo` database has on these continents are here, unless their country is elsewhere: `AF`, `AN`, `AS`,
    /// `EU`, `NA`, `OC`, `SA`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub continents: Vec<Name>,
    /// Degrees north and east: `[50.1, 8.7]`. Clients of whom the `geo` database knows coordinates, but neither country nor
    /// continent is named, are at the place that is nearest to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<[f64; 2]>,
    /// The other places, the nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<Name>,
}

/// How long it takes from one place to another and back, as it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DnsLatency")]
pub struct LatencyConfig {
    /// Where clients are.
    pub from: Name,
    /// Where candidates are. It holds the other way round too, unless that is said on its own.
    pub to: Name,
    /// The round trip: `"90ms"`.
    pub rtt: Duration,
}

/// What is known of places, as `[dns]` has it.
#[derive(Debug, Clone, Copy)]
pub struct Places<'c> {
    /// `[dns.place.NAME]`.
    pub place: &'c Named<PlaceConfig>,
    /// `latency = […]`.
    pub latency: &'c [LatencyConfig],
    /// `geo = "FILE"`.
    pub geo: Option<&'c PathBuf>,
}

impl RouteConfig {
    /// The pools that it names.
    pub fn pools(&self) -> impl Iterator<Item = &Name> {
        self.answers.iter().filter_map(|answer| answer.pool.as_ref())
    }

    pub(super) fn has(&self, step: StepName) -> bool {
        self.choose.contains(&step)
    }
}

impl PlaceConfig {
    /// The networks that were written well.
    pub(super) fn networks(&self) -> impl Iterator<Item = Network> {
        self.networks.iter().filter_map(|network| network.parse().ok())
    }
}

/// The routes of a zone, by name: relative to it, `"@"` for its apex.
pub type RoutesConfig = BTreeMap<Name, RouteConfig>;
