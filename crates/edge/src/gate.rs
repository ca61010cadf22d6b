//! Whether a request that has found its route is served: everything that is asked before it costs anybody anything.

use crate::arrival::Secure;
use crate::config::{RouteConfig, SiteConfig};
use crate::core::{Core, Snapshot, Work};
use crate::error::{Error, Refusal};
use crate::protocol::{FieldKind, Version};
use crate::request::Client;
use crate::sites::{Route, Site};
use admission::{
    Access, BasicAuth, By, Denied, Events, Held, Judged, Key, Limited, PerClient, RateLimit, RateTable,
    Refreshed, Verifiers,
};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Passwords that are verified at once, each on a thread of its own.
const VERIFYING_MAX: usize = 4;

/// How long a request waits while too many passwords are being verified, and how often it looks.
const PASSWORD_WAIT: Duration = Duration::from_secs(1);
const PASSWORD_LOOK_EVERY: Duration = Duration::from_millis(20);

/// What all cores and all files of a node's life share: who has come how often, and what is known of them.
pub(crate) struct Shared {
    rates: RateTable,
    /// Connections and requests at once.
    per_client: PerClient,
    verifiers: Arc<Verifiers>,
}

impl Shared {
    pub(crate) fn new(registry: &telemetry::Registry) -> Arc<Self> {
        Arc::new(Self {
            rates: RateTable::new(RateTable::ENTRIES, Instant::now(), registry),
            per_client: PerClient::new(),
            verifiers: Verifiers::new(VERIFYING_MAX),
        })
    }

    /// A connection of a client, unless it has `max` already.
    pub(crate) fn connection(&self, client: std::net::IpAddr, max: u32) -> Option<Held> {
        self.per_client.try_enter(Key::of_client(client), max)
    }
}

/// What a site or a route asks of its clients.
pub(crate) struct Gate {
    access: Option<Access>,
    auth: Option<BasicAuth>,
    requests_at_once: Option<(Vec<u8>, u32)>,
    rate: Option<(RateLimit, By)>,
    pub(crate) bytes_per_second: Option<u64>,
    events: Events,
}

impl Gate {
    /// What a site asks.
    pub(crate) fn of_site(
        name: &str,
        config: &SiteConfig,
        dir: &Path,
        shared: &Shared,
        registry: &telemetry::Registry,
    ) -> Result<Arc<Self>, Error> {
        let SiteConfig { allow, deny, basic_auth, limit, .. } = config;
        let asked = Asked { allow: allow.as_deref(), deny, basic_auth: basic_auth.as_ref(), limit };
        asked.compile(name, &format!("site {name}"), dir, shared, registry).map(Arc::new)
    }

    /// What a route asks: its site's terms, with those that the route says itself in their place.
    pub(crate) fn of_route(
        (site_name, site): (&str, &SiteConfig),
        (path, route): (&str, &RouteConfig),
        dir: &Path,
        shared: &Shared,
        registry: &telemetry::Registry,
    ) -> Result<Arc<Self>, Error> {
        let has_access = route.allow.is_some() || !route.deny.is_empty();
        let (allow, deny) = if has_access { (&route.allow, &route.deny) } else { (&site.allow, &site.deny) };
        let asked = Asked {
            allow: allow.as_deref(),
            deny,
            basic_auth: route.basic_auth.as_ref().or(site.basic_auth.as_ref()),
            limit: route.limit.as_ref().unwrap_or(&site.limit),
        };
        // A limit of the site's own counts over all its routes.
        let scope = match route.limit {
            Some(_) => format!("site {site_name} route {path}"),
            None => format!("site {site_name}"),
        };
        asked.compile(site_name, &scope, dir, shared, registry).map(Arc::new)
    }

    /// Who may come by address, in words.
    pub(crate) fn explain_access(&self, client: std::net::IpAddr) -> Option<String> {
        let denied = self.access.as_ref()?.judge(client).err()?;
        Some(self.access.as_ref()?.explain(client).unwrap_or_else(|| denied.to_string()))
    }

    /// Whether a user and a password are asked for.
    pub(crate) fn asks_for_users(&self) -> bool {
        self.auth.is_some()
    }

    /// Looks for changed files.
    pub(crate) fn refresh(&self) -> Refreshed {
        let access = self.access.as_ref().map(Access::refresh).unwrap_or_default();
        access.and(self.auth.as_ref().map(BasicAuth::refresh).unwrap_or_default())
    }
}

/// The terms as the file has them.
struct Asked<'a> {
    allow: Option<&'a [admission::NetworkEntry]>,
    deny: &'a [admission::NetworkEntry],
    basic_auth: Option<&'a admission::BasicAuthConfig>,
    limit: &'a admission::ClientLimits,
}

impl Asked<'_> {
    fn compile(
        &self,
        site: &str,
        scope: &str,
        dir: &Path,
        shared: &Shared,
        registry: &telemetry::Registry,
    ) -> Result<Gate, Error> {
        let Self { allow, deny, basic_auth, limit } = self;
        let has_access = allow.is_some() || !deny.is_empty();
        let access = has_access.then(|| Access::load(*allow, deny, dir)).transpose()?;
        let auth = |config| BasicAuth::load(config, site, dir, shared.verifiers.clone());
        Ok(Gate {
            access,
            auth: basic_auth.map(auth).transpose()?,
            requests_at_once: limit.connections_per_client.map(|max| (scope.as_bytes().to_vec(), max)),
            rate: limit.rate(scope).map(|rate| (rate, limit.by.clone())),
            bytes_per_second: limit.bandwidth.map(notation::Size::get),
            events: Events::new(registry, "edge", &[("site", site)]),
        })
    }
}

/// What a route asks. What is held counts the request until it is dropped.
pub(crate) async fn pass(core: &Core, work: &mut Work, route: &Route) -> Result<Option<Held>, Refusal> {
    let gate = &*route.gate;
    if let Some(Err(denied)) = gate.access.as_ref().map(|access| access.judge(work.client)) {
        gate.events.denied();
        return Err(denied_by(&denied));
    }
    if let Some((rate, by)) = &gate.rate {
        gate.count(core, rate, by, work)?;
    }
    let held = match &gate.requests_at_once {
        None => None,
        Some((scope, max)) => match core.admission.per_client.try_enter(key_within(scope, work.client), *max)
        {
            Some(held) => Some(held),
            None => {
                gate.events.limited(Limited::Connections);
                let cause = "too many requests of this client at once";
                return Err(Refusal::TooMany { cause, retry_after_secs: Some(1) });
            }
        },
    };
    if let Some(auth) = &gate.auth {
        gate.authenticate(auth, work).await?;
    }
    Ok(held)
}

/// What a site asks before a route is looked for, and before a body is read for that. Notes the lines that the answer
/// gets, whatever that is.
pub(crate) fn enter(
    core: &Core,
    snapshot: &Snapshot,
    client: &Client,
    work: &mut Work,
    site: &Site,
) -> Result<(), Refusal> {
    // Who came by a proxy that is believed was not judged when the connection was.
    let is_named = work.client != client.peer.address;
    if is_named && snapshot.access.as_ref().is_some_and(|access| access.judge(work.client).is_err()) {
        core.events.admission.denied();
        return Err(Refusal::Denied("may not come to this edge".into()));
    }
    let secure = client.peer.secure.as_ref();
    if work.is_secure {
        work.extra.extend_from_slice(&site.secure_lines);
    }
    // RFC 9114 §3.1.1: who is there already need not be told.
    if secure.is_some() && work.request.version != Version::Http3 && !site.asks_for_certificates {
        work.extra.extend_from_slice(&snapshot.alt_svc_line);
    }
    if let (false, Some(port)) = (work.is_secure, site.https_port) {
        return Err(Refusal::HttpsOnly(port));
    }
    // RFC 9110 §7.4: who was asked for nothing, or for another certificate, has not come to this site.
    if site.asks_for_certificates {
        let host = std::str::from_utf8(&work.host).unwrap_or_default();
        let was_asked =
            |secure: &Secure| snapshot.tls.as_ref().is_some_and(|tls| tls.server.allows(&secure.terms, host));
        if !secure.is_some_and(was_asked) {
            return Err(Refusal::Certificate);
        }
    }
    Ok(())
}

impl Gate {
    fn count(&self, core: &Core, rate: &RateLimit, by: &By, work: &mut Work) -> Result<(), Refusal> {
        let head = work.down.held();
        let value = by.header().and_then(|name| work.request.value_of(head, name.as_bytes()));
        let decision = core.admission.rates.check(rate, by.key(work.client, value), Instant::now());
        rate.write_lines(&decision, &mut work.extra);
        if decision.is_allowed {
            return Ok(());
        }
        self.events.limited(Limited::Requests);
        Err(Refusal::TooMany { cause: "this client sends requests too often", retry_after_secs: None })
    }

    async fn authenticate(&self, auth: &BasicAuth, work: &mut Work) -> Result<(), Refusal> {
        let began = Instant::now();
        let refusal = loop {
            let given = work.request.value(work.down.held(), FieldKind::Authorization);
            match judge(auth, given).await {
                Ok(()) => return Ok(()),
                // A page's parts come all at once with one password, which is known once the first was verified.
                Err(admission::Refusal::Busy) if began.elapsed() < PASSWORD_WAIT => {
                    tokio::time::sleep(PASSWORD_LOOK_EVERY).await;
                }
                Err(refusal) => break refusal,
            }
        };
        if refusal == admission::Refusal::Busy {
            self.events.limited(Limited::Passwords);
            return Err(Refusal::Busy(refusal.as_str().into()));
        }
        self.events.auth_failed();
        work.extra.extend_from_slice(auth.challenge_line());
        Err(Refusal::Unauthorized(refusal.as_str()))
    }
}

/// Verifying takes a processor for as long as it was made to take, which nobody else waits for.
async fn judge(auth: &BasicAuth, given: Option<&[u8]>) -> Result<(), admission::Refusal> {
    match auth.judge(given, Instant::now()) {
        Judged::User(_) => Ok(()),
        Judged::Refused(refusal) => Err(refusal),
        Judged::Verify(verification) => {
            let now = Instant::now();
            let verified = tokio::task::spawn_blocking(move || verification.run(now)).await;
            verified.map_err(|_| admission::Refusal::Busy)?.map(drop)
        }
    }
}

fn denied_by(denied: &Denied) -> Refusal {
    Refusal::Denied(denied.to_string())
}

/// A client within a site or a route.
fn key_within(scope: &[u8], client: std::net::IpAddr) -> Key {
    let mut text = scope.to_vec();
    match admission::client_key(client) {
        std::net::IpAddr::V4(address) => text.extend_from_slice(&address.octets()),
        std::net::IpAddr::V6(address) => text.extend_from_slice(&address.octets()),
    }
    Key::of_value(&text)
}
