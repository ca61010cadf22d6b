//! `[edge]` and `[site.HOST]`: where clients arrive, and what is done with their requests.

use acme::AcmeConfig;
use admission::{BasicAuthConfig, ClientLimits, NetworkEntry, SignedConfig, TrustConfig};
use encoding::CompressConfig;
use files::Files;
use notation::{Duration, Name, Named, OneOrMany, Rate, Size, TextOr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tls::{EdgeTls, TlsConfig};

/// The listeners and what holds for all sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeConfig {
    /// Addresses for plain HTTP: HTTP/1.1, and HTTP/2 from clients that know that it is spoken.
    pub http: Vec<SocketAddr>,
    /// Addresses for HTTP over TLS: HTTP/1.1 and HTTP/2, as the client prefers. The sites' `tls` has the certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub https: Vec<SocketAddr>,
    /// Addresses for HTTP/3 (UDP). Answers over HTTPS tell clients of the first one's port.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http3: Vec<SocketAddr>,
    /// What holds for TLS on all sites.
    pub tls: EdgeTls,
    /// Where the certificates of sites with `tls = "acme"` come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<AcmeConfig>,
    /// Cores that serve, each with a runtime and a listener of its own; all the machine's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub cores: Option<u32>,
    /// One JSON line a request: `"off"`, `"stdout"`, `"stderr"` or a file's path.
    pub access_log: AccessLogTarget,
    /// What a client may send.
    pub limit: EdgeLimits,
    /// How long a client may take.
    pub timeout: EdgeTimeouts,
    /// What a client of HTTP/2 or HTTP/3 may do on one connection.
    pub http2: Http2Config,
    /// Whose `X-Forwarded-*` and `Forwarded` are believed, kept and extended: those of proxies in front, as
    /// networks, or `true` for everybody's. Those of all others are replaced. The lists and limits of sites and
    /// routes see the address that a believed proxy names; those of the edge are asked before a request is there.
    #[serde(skip_serializing_if = "TrustConfig::is_nobody")]
    pub trust_forwarded: TrustConfig,
    /// Networks whose connections begin with a PROXY protocol header (versions 1 and 2), which says who the client
    /// is. Those of all others never do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proxy_protocol: Vec<NetworkEntry>,
    /// Networks that may connect; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<NetworkEntry>>,
    /// Networks that may not: their connections are closed unanswered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<NetworkEntry>,
    /// The name in `Via` (RFC 9110 §7.6.3).
    pub via: String,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            http: Vec::new(),
            https: Vec::new(),
            http3: Vec::new(),
            tls: EdgeTls::default(),
            acme: None,
            cores: None,
            access_log: AccessLogTarget::Off,
            limit: EdgeLimits::default(),
            timeout: EdgeTimeouts::default(),
            http2: Http2Config::default(),
            trust_forwarded: TrustConfig::default(),
            proxy_protocol: Vec::new(),
            allow: None,
            deny: Vec::new(),
            via: "nines".into(),
        }
    }
}

impl EdgeConfig {
    /// Every address that connections come to.
    pub fn listeners(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.http.iter().chain(&self.https).copied()
    }

    /// The same, to be changed.
    pub fn listeners_mut(&mut self) -> impl Iterator<Item = &mut SocketAddr> {
        self.http.iter_mut().chain(&mut self.https)
    }
}

impl SiteConfig {
    /// Whether its certificate is ordered.
    pub(crate) fn wants_acme(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.0.auto == Some(tls::Automatic::Acme))
    }
}

/// Where access log lines go.
pub use notation::LogTarget as AccessLogTarget;

/// What a client may send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeLimits {
    /// Open client connections over all listeners; what exceeds them waits in the kernel's backlog.
    #[schemars(range(min = 1))]
    pub connections: u32,
    /// Open connections of one client address (of IPv6: of one /64); more are closed at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub connections_per_client: Option<u32>,
    /// How much of a body is read before its route is chosen, where routes ask for JSON fields.
    pub json_prefix: Size,
    /// A request's line and headers together; more hears 431 (the target alone: 414).
    pub head: Size,
    /// Headers of one request.
    #[schemars(range(min = 1, max = 1000))]
    pub headers: u32,
    /// A request's body; more hears 413.
    pub body: Size,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            connections_per_client: None,
            json_prefix: Size::bytes(64 << 10),
            head: Size::bytes(32 << 10),
            headers: 100,
            body: Size::bytes(1 << 30),
        }
    }
}

/// What a client of HTTP/2 may do on one connection. One that does more is told ENHANCE_YOUR_CALM, and its
/// connection ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http2Config {
    /// Requests at once; of HTTP/3 as well. More are refused, and the client may send them again.
    #[schemars(range(min = 1, max = 10_000))]
    pub streams: u32,
    /// Requests that it may cancel, with two seconds' worth at once.
    pub resets: Rate,
    /// SETTINGS, PING, PRIORITY and empty DATA frames, with two seconds' worth at once.
    pub control_frames: Rate,
}

impl Default for Http2Config {
    fn default() -> Self {
        Self { streams: 128, resets: Rate::per_second_of(100.0), control_frames: Rate::per_second_of(200.0) }
    }
}

/// How long a client may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeTimeouts {
    /// To send a whole request head, from its first byte (a new connection: from its opening).
    pub head: Duration,
    /// Between two parts of a body, either way.
    pub body_idle: Duration,
    /// Between two requests of one connection.
    pub idle: Duration,
    /// A whole request with its answer; off when absent. Tunnels are not bound by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Duration>,
    /// Without traffic in an upgraded connection (WebSocket).
    pub tunnel_idle: Duration,
    /// To finish what is under way when nines stops.
    pub drain: Duration,
}

impl Default for EdgeTimeouts {
    fn default() -> Self {
        Self {
            head: Duration::secs(10),
            body_idle: Duration::secs(30),
            idle: Duration::secs(75),
            request: None,
            tunnel_idle: Duration::secs(3600),
            drain: Duration::secs(30),
        }
    }
}

/// A site: the requests for one host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SiteConfig {
    /// What is done with a request, by its path. A path that ends in `/` stands for all below it, any other
    /// for itself alone; the longest match wins. Several routes for one path are an array, told apart by
    /// `when`: the first that holds wins, `[{ when = { method = ["POST"] }, pool = "orders" }, { pool = "shop" }]`.
    pub route: Named<OneOrMany<RouteConfig>>,
    /// Response headers of the backends that are not passed on, for example `server` and `x-powered-by`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hide_headers: Vec<Name>,
    /// A request's body, instead of `[edge] limit.body`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_max: Option<Size>,
    /// The site's certificate: `"self-signed"`, `"acme"`, or `{ cert = "c.pem", key = "k.pem" }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Send clients of plain HTTP to HTTPS, with 308: `true`, or `{ port = 443 }` where the port that clients see is
    /// not that of `[edge] https`.
    #[serde(skip_serializing_if = "HttpsOnly::is_off")]
    pub https_only: HttpsOnly,
    /// Tell clients to come by HTTPS alone from now on (RFC 6797): `"365d"`, or `{ max_age = "365d", subdomains = true }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Hsts>,
    /// Compress responses: `true`, or which and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<CompressConfig>,
    /// Networks whose clients are served; all when absent. Others hear 403.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<NetworkEntry>>,
    /// Networks whose clients hear 403.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<NetworkEntry>,
    /// Ask for a user and a password (RFC 7617).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuthConfig>,
    /// Serve only who shows a signed URL or cookie; others hear 403.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedConfig>,
    /// What one client may have of this site. A connection counts while it has a request under way, as does each
    /// request of HTTP/2.
    #[serde(skip_serializing_if = "is_unlimited")]
    pub limit: ClientLimits,
}

fn is_unlimited(limits: &ClientLimits) -> bool {
    *limits == ClientLimits::default()
}

/// Whether clients of plain HTTP are sent to HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "`true`, `false` or `{ port = 443 }`")]
pub enum HttpsOnly {
    /// To the first port of `[edge] https`, or not.
    Switch(bool),
    /// To this port.
    Port(HttpsPort),
}

/// The port that clients see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpsPort {
    /// The port; 443 is not written into the target.
    #[schemars(range(min = 1))]
    pub port: u16,
}

impl Default for HttpsOnly {
    fn default() -> Self {
        Self::Switch(false)
    }
}

impl HttpsOnly {
    /// Whether nobody is sent anywhere.
    pub fn is_off(&self) -> bool {
        *self == Self::Switch(false)
    }
}

/// HTTP Strict Transport Security (RFC 6797): how long, or more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a duration like \"365d\", or `{ max_age = \"365d\", subdomains = true }`")]
pub enum Hsts {
    /// How long, for this host alone.
    For(Duration),
    /// With all of it said.
    Policy(HstsPolicy),
}

/// What `Strict-Transport-Security` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HstsPolicy {
    /// How long clients remember it; `"0s"` makes them forget.
    pub max_age: Duration,
    /// For all hosts below this one as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub subdomains: bool,
    /// Browsers may build it in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preload: bool,
}

/// A route: exactly one of `pool`, `redirect`, `respond`, `files`, `push` and `dns`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteConfig {
    /// Further conditions; all must hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// Pass the request to a `[pool.NAME]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Name>,
    /// Send the client elsewhere: a target, with 308, or `{ to = "…", status = 301 }`. In the target `{host}` stands
    /// for the request's host without the port, `{path}` for its path, `{query}` for its query with the `?`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<TextOr<RedirectConfig>>,
    /// Answer with a fixed response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond: Option<Respond>,
    /// Answer with files of a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
    /// Answer with what was pushed to a `[push.NAME]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<Name>,
    /// Answer queries of DNS (DoH, RFC 8484), as `[dns]` does.
    #[serde(skip_serializing_if = "is_off")]
    pub dns: bool,
    /// Keep responses of the pool for all clients: `"cdn"`, or what of it and for how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<cdn::Cache>,
    /// Change the path before it goes to the pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// Headers of the request to the pool.
    #[serde(skip_serializing_if = "HeaderEdits::is_empty")]
    pub request_headers: HeaderEdits,
    /// Headers of the response to the client.
    #[serde(skip_serializing_if = "HeaderEdits::is_empty")]
    pub response_headers: HeaderEdits,
    /// Compress responses, instead of what the site says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<CompressConfig>,
    /// Networks whose clients are served, instead of the site's `allow` and `deny`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<NetworkEntry>>,
    /// Networks whose clients hear 403, instead of the site's `allow` and `deny`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<NetworkEntry>,
    /// Ask for a user and a password, instead of what the site asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuthConfig>,
    /// Serve only who shows a signed URL or cookie, by these keys instead of the site's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedConfig>,
    /// Have browsers forget what they keep of this origin: `["cache", "cookies", "storage"]`, said as `Clear-Site-Data` with
    /// each response of the route.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clear_site_data: Vec<SiteData>,
    /// What one client may have of this route, instead of what it may have of the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<ClientLimits>,
}

fn is_off(switch: &bool) -> bool {
    !switch
}

/// What browsers keep of an origin (Clear Site Data §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SiteData {
    /// Responses in its cache.
    #[serde(rename = "cache")]
    Cache,
    /// Cookies of the whole domain, and what else logs a client in.
    #[serde(rename = "cookies")]
    Cookies,
    /// Storage of scripts, and service workers.
    #[serde(rename = "storage")]
    Storage,
    /// Pages that are open: they are loaded anew.
    #[serde(rename = "executionContexts")]
    ExecutionContexts,
    /// Which client hints it sends.
    #[serde(rename = "clientHints")]
    ClientHints,
    /// Pages that were fetched before they are asked for.
    #[serde(rename = "prefetchCache")]
    PrefetchCache,
    /// Pages that were made before they are asked for.
    #[serde(rename = "prerenderCache")]
    PrerenderCache,
    /// All of it, with what is named later.
    #[serde(rename = "*")]
    All,
}

impl SiteData {
    /// As the field says it, within its quotes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Cookies => "cookies",
            Self::Storage => "storage",
            Self::ExecutionContexts => "executionContexts",
            Self::ClientHints => "clientHints",
            Self::PrefetchCache => "prefetchCache",
            Self::PrerenderCache => "prerenderCache",
            Self::All => "*",
        }
    }
}

/// Conditions on a request. A header, cookie or query value of `"*"` asks only that it is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// One of these methods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub method: Vec<Name>,
    /// Request headers with these values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header: Named<String>,
    /// Cookies with these values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cookie: Named<String>,
    /// Query parameters with these values, compared after percent-decoding.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub query: Named<String>,
    /// Fields of a JSON body with these values, by their paths: `{ "order.kind" = "express" }`. They are looked for in
    /// the first `[edge] limit.json_prefix` of it; what is not there, or is there twice, has no value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub json: Named<String>,
}

/// A redirect with its status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedirectConfig {
    /// The target, with `{host}`, `{path}` and `{query}`.
    pub to: Name,
    /// 301, 302, 303, 307 or 308.
    #[serde(default = "permanent_redirect")]
    #[schemars(range(min = 301, max = 308))]
    pub status: u16,
}

/// The target and the status of a redirect, however it is written.
pub(crate) fn redirect_parts(redirect: &TextOr<RedirectConfig>) -> (&Name, u16) {
    match redirect {
        TextOr::Text(to) => (to, permanent_redirect()),
        TextOr::Long(RedirectConfig { to, status }) => (to, *status),
    }
}

fn permanent_redirect() -> u16 {
    308
}

/// A fixed response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// The status, 200 to 599.
    #[serde(default = "ok")]
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// The body.
    #[serde(default)]
    pub body: String,
    /// Its `Content-Type`.
    #[serde(default = "plain_text")]
    pub content_type: Name,
}

impl Default for Respond {
    fn default() -> Self {
        Self { status: ok(), body: String::new(), content_type: plain_text() }
    }
}

fn ok() -> u16 {
    200
}

fn plain_text() -> Name {
    Name::new("text/plain; charset=utf-8")
}

/// A change of the path: exactly one of `prefix` and `path`. The query stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rewrite {
    /// Put this in place of the route's own path: with `"/api/" = { rewrite = { prefix = "/" } }`, `/api/x` becomes `/x`.
    Prefix(Name),
    /// Put this in place of the whole path.
    Path(Name),
}

/// Headers to remove, then to set (replacing all of that name).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderEdits {
    /// Headers with their new values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: Named<String>,
    /// Headers to remove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<Name>,
}

impl HeaderEdits {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}
