//! `[cdn]`, and `cache` of a route: what their owners decide.

use crate::key::QueryPolicy;
use crate::rules::{Policy, SetCookie};
use admission::NetworkEntry;
use notation::{Duration, Name, Percent, Size, TextOr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The cache of a node, and what its routes decide alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CdnConfig {
    /// Bytes of responses that are kept in memory.
    pub memory: Size,
    /// Bytes of responses that are kept on disk, below the node's `data`. Nothing is without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Size>,
    /// For how long responses are served that are no longer fresh, where the origin has no word on it and does not forbid it.
    pub stale: StaleConfig,
    /// In the last part of the time that a response is fresh for, one that is used often is asked for anew beside those who are served:
    /// nobody waits where its time ends. `"0%"`: none is.
    pub refresh: Percent,
    /// What is guessed of responses that do not say for how long they are fresh.
    pub heuristic: HeuristicConfig,
    /// No response is fresh for longer.
    pub ttl_max: Duration,
    /// Whether requests may demand that the origin is asked (`Cache-Control: no-cache`, `max-age`, `min-fresh`, `no-store`), and take
    /// stale responses (`max-stale`).
    pub client_control: ClientControl,
    /// What becomes of responses that set cookies.
    pub set_cookie: SetCookie,
    /// How long a request waits for the fetch of another before it asks the origin on its own.
    pub wait: Duration,
    /// Networks whose clients may purge a URL by the method PURGE; nobody when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub purge: Vec<NetworkEntry>,
    /// Whether clients get `Surrogate-Control`, `CDN-Cache-Control` and the tags of responses: `"pass"` where clients are caches
    /// themselves.
    pub control_fields: ControlFields,
    /// The admin APIs of all nodes that keep the same responses, this one's among them or not: a purge at one of them holds at all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<SocketAddr>,
    /// How long one of `nodes` may be silent. After that, and before all were heard for the first time, what is kept is confirmed with
    /// the origin before it is served, since purges may be missing.
    pub nodes_silent: Duration,
    /// A pool of some of `nodes`, by where their edges listen: fetches of the other nodes go to it, so that the origin is asked once for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shield: Option<Name>,
}

impl Default for CdnConfig {
    fn default() -> Self {
        Self {
            memory: Size::bytes(256 << 20),
            disk: None,
            stale: StaleConfig::default(),
            refresh: Percent::of(10.0),
            heuristic: HeuristicConfig::default(),
            ttl_max: Duration::secs(365 * 86_400),
            client_control: ClientControl::default(),
            set_cookie: SetCookie::default(),
            wait: Duration::secs(5),
            purge: Vec::new(),
            control_fields: ControlFields::default(),
            nodes: Vec::new(),
            nodes_silent: Duration::secs(10),
            shield: None,
        }
    }
}

/// For how long stale responses are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StaleConfig {
    /// While they are asked for anew (`stale-while-revalidate`, RFC 5861 §3).
    pub revalidate: Duration,
    /// Where the origin fails (`stale-if-error`, RFC 5861 §4).
    pub error: Duration,
}

impl Default for StaleConfig {
    fn default() -> Self {
        Self { revalidate: Duration::secs(0), error: Duration::secs(86_400) }
    }
}

/// What is guessed of a response that says when it was changed last (RFC 9111 §4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeuristicConfig {
    /// It stays as it is for this share of the time that it has been so. `"0%"` guesses nothing.
    pub share: Percent,
    /// But no longer than this.
    pub max: Duration,
}

impl Default for HeuristicConfig {
    fn default() -> Self {
        Self { share: Percent::of(10.0), max: Duration::secs(86_400) }
    }
}

/// What requests may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientControl {
    /// What RFC 9111 §5.2.1 gives them.
    #[default]
    Heed,
    /// `only-if-cached` alone: no client makes the origin work for what is stored.
    Ignore,
}

/// What becomes of fields that are for caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ControlFields {
    /// They end here.
    #[default]
    Strip,
    /// They go on.
    Pass,
}

/// `"cdn"`, or with what the route decides for itself.
pub type Cache = TextOr<CacheConfig>;

/// What a route decides for itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// For how long responses are fresh, whatever the origin says of time. `no-store`, `private` and `no-cache` are obeyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// For how long they are fresh where the origin says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_default: Option<Duration>,
    /// For how long 404, 405, 410, 414 and 501 are fresh where the origin says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_ttl: Option<Duration>,
    /// No response that is stored is fresh for less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_min: Option<Duration>,
    /// No response is fresh for longer; that of `[cdn]` otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_max: Option<Duration>,
    /// For how long clients use a response without asking, counted from when they get it, whatever the origin tells them and the
    /// cache goes by. `no-store` and `no-cache` are obeyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ttl: Option<Duration>,
    /// In place of that of `[cdn]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<StaleConfig>,
    /// In place of that of `[cdn]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Percent>,
    /// In place of that of `[cdn]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_control: Option<ClientControl>,
    /// In place of that of `[cdn]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_cookie: Option<SetCookie>,
    /// What of the query makes another response: `"all"` of it, as it stands; `"none"`; `"sorted"`, all but the order of its
    /// parameters; `{ keep = ["id"] }`, these parameters alone; `{ drop = ["utm_*"] }`, all but these. The origin gets what makes
    /// another response, and no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<TextOr<QueryConfig>>,
    /// Request fields that responses differ by, beside those that `Vary` names: `["X-Device"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vary: Vec<Name>,
}

/// Parameters of the query by name. A name in `drop` that ends in `*` stands for all that begin so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueryConfig {
    /// These alone count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<Name>,
    /// All but these count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<Name>,
}

impl CacheConfig {
    /// The long form of what may be written short.
    pub fn of(cache: &Cache) -> Self {
        match cache {
            TextOr::Text(_) => Self::default(),
            TextOr::Long(config) => config.clone(),
        }
    }

    /// What is decided for the route, together with what is for all.
    pub fn policy(&self, cdn: &CdnConfig) -> Policy {
        let stale = self.stale.unwrap_or(cdn.stale);
        Policy {
            ttl: self.ttl.map(seconds),
            ttl_default: self.ttl_default.map(seconds),
            negative_ttl: self.negative_ttl.map(seconds),
            ttl_min: self.ttl_min.map_or(0, seconds),
            ttl_max: seconds(self.ttl_max.unwrap_or(cdn.ttl_max)),
            heuristic_permille: permille(cdn.heuristic.share),
            heuristic_max: seconds(cdn.heuristic.max),
            stale_while_revalidate: seconds(stale.revalidate),
            stale_if_error: seconds(stale.error),
            refresh_permille: permille(self.refresh.unwrap_or(cdn.refresh)),
            set_cookie: self.set_cookie.unwrap_or(cdn.set_cookie),
            is_client_heard: self.client_control.unwrap_or(cdn.client_control) == ClientControl::Heed,
            is_control_passed: cdn.control_fields == ControlFields::Pass,
            vary: self.vary.iter().map(|name| name.to_ascii_lowercase().into()).collect(),
        }
    }

    /// For how long clients use a response, in seconds.
    pub fn client_ttl_s(&self) -> Option<u32> {
        self.client_ttl.map(seconds)
    }

    /// What of the query is part of the key.
    pub fn query_policy(&self) -> QueryPolicy {
        match &self.query {
            None => QueryPolicy::All,
            Some(TextOr::Text(word)) => match word.as_str() {
                "none" => QueryPolicy::None,
                "sorted" => QueryPolicy::Sorted,
                _ => QueryPolicy::All,
            },
            Some(TextOr::Long(config)) if !config.keep.is_empty() => QueryPolicy::Keep(texts(&config.keep)),
            Some(TextOr::Long(config)) => QueryPolicy::Drop(texts(&config.drop)),
        }
    }
}

fn texts(names: &[Name]) -> Box<[Box<str>]> {
    names.iter().map(|name| name.as_str().into()).collect()
}

/// A share is 1 at most.
fn permille(share: Percent) -> u32 {
    (share.ratio() * 1000.0).round() as u32
}

/// A duration is a hundred years at most.
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.get().as_secs()).unwrap_or(u32::MAX)
}
