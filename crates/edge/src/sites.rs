//! Sites and routes, compiled from the file: which route answers a request.
//!
//! A host is looked up exactly, then by its wildcards from the longest, then as `default`. A path is looked
//! up exactly, then by its prefixes from the longest. Among routes of one path the first whose `when` holds
//! wins; when none holds, the search goes on with shorter prefixes.

use crate::cached::{CacheEvents, Caching, CdnParts};
use crate::config::{
    EdgeConfig, HeaderEdits, Hsts, HstsPolicy, HttpsOnly, HttpsPort, Respond, Rewrite, RouteConfig,
    SiteConfig, redirect_parts,
};
use crate::error::Error;
use crate::events::SiteEvents;
use crate::gate::{self, Gate, Gates};
use crate::json_field::{JsonFields, JsonPath};
use crate::protocol::RequestHead;
use crate::when::Conditions;
use admission::Refreshed;
use balance::Pool;
use encoding::Compression;
use notation::{Name, Named};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// All sites of the file.
pub(crate) struct Sites {
    exact: HashMap<Box<[u8]>, Arc<Site>>,
    /// By what follows the star: `*.shop.test` is `.shop.test`.
    wildcard: HashMap<Box<[u8]>, Arc<Site>>,
    default: Option<Arc<Site>>,
}

/// One site.
pub(crate) struct Site {
    pub(crate) name: String,
    exact: HashMap<Box<[u8]>, Vec<Arc<Route>>>,
    prefix: HashMap<Box<[u8]>, Vec<Arc<Route>>>,
    /// Response headers that are not passed on, in lower case.
    hidden: Vec<Box<[u8]>>,
    pub(crate) body_bytes_max: u64,
    /// The port that clients of plain HTTP are sent to.
    pub(crate) https_port: Option<u16>,
    /// Clients show a certificate here, so that their connection must have been asked for one.
    pub(crate) asks_for_certificates: bool,
    /// Lines of responses over TLS: `Strict-Transport-Security`.
    pub(crate) secure_lines: Vec<u8>,
    compression: Option<Compression>,
    /// The fields of JSON bodies that its routes ask for.
    pub(crate) json: JsonFields,
    pub(crate) events: SiteEvents,
    /// Those of its routes, one for each way to make a key.
    pub(crate) caches: Arc<[Arc<Caching>]>,
    /// Where a route has a cache.
    pub(crate) cache_events: Option<CacheEvents>,
}

/// One route.
pub(crate) struct Route {
    /// As in the file.
    pub(crate) path: String,
    pub(crate) when: Conditions,
    pub(crate) action: Action,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) request_edits: Edits,
    pub(crate) response_edits: Edits,
    /// What is asked of clients.
    pub(crate) gate: Arc<Gate>,
    /// `Some(None)`: none, whatever the site says.
    compression: Option<Option<Compression>>,
    /// What of its responses is kept, if any is.
    pub(crate) caching: Option<Arc<Caching>>,
    /// The way to the shield, if fetches go there first.
    pub(crate) to_shield: Option<Arc<ToShield>>,
}

/// The way to the shield: a route that changes nothing, since the shield has the same routes.
pub(crate) struct ToShield {
    pub(crate) route: Route,
    pub(crate) pool: Arc<Pool>,
}

/// What a route does.
pub(crate) enum Action {
    Pool(Arc<Pool>),
    Redirect { to: String, status: u16 },
    Respond(Respond),
    Files(Arc<files::Root>),
    Push(Pushed),
    Dns,
}

/// What was pushed to a store.
pub(crate) struct Pushed {
    pub(crate) name: String,
    /// Absent where no request comes: the file alone is explained.
    pub(crate) assets: Option<Arc<push::Assets>>,
}

/// Headers to remove and to set.
#[derive(Default)]
pub(crate) struct Edits {
    /// Names in lower case: what is removed, and what is replaced.
    gone: Vec<Box<[u8]>>,
    /// Whole lines, `Name: value\r\n`.
    lines: Vec<u8>,
}

impl Edits {
    fn compile(edits: &HeaderEdits) -> Self {
        let gone = edits.remove.iter().chain(edits.set.keys());
        let mut lines = Vec::new();
        for (name, value) in &edits.set {
            lines.extend_from_slice(name.as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value.as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
        let gone: Vec<Box<[u8]>> = gone.map(|name| lowercase(name)).collect();
        Self { gone, lines }
    }

    /// Replaces all of this name.
    fn set(&mut self, name: &str, value: &str) {
        self.gone.push(lowercase(name));
        self.lines.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }

    /// Makes the edits to the lines that nines has added to a head, which start at `from`.
    pub(crate) fn apply_to_added(&self, out: &mut Vec<u8>, from: usize) {
        if !self.gone.is_empty() {
            let added = out.split_off(from);
            for line in added.split_inclusive(|byte| *byte == b'\n') {
                let name = &line[..memchr::memchr(b':', line).unwrap_or(0)];
                if !self.drops(name) {
                    out.extend_from_slice(line);
                }
            }
        }
        out.extend_from_slice(&self.lines);
    }

    /// Whether any is.
    pub(crate) fn drops_any(&self) -> bool {
        !self.gone.is_empty()
    }

    /// Whether a header of the message is dropped.
    pub(crate) fn drops(&self, name: &[u8]) -> bool {
        self.gone.iter().any(|gone| gone.eq_ignore_ascii_case(name))
    }
}

/// How a host's site was found, for `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FoundBy {
    Exact,
    Wildcard,
    Default,
}

impl Sites {
    pub(crate) fn compile(sites: &Named<SiteConfig>, parts: &SiteParts<'_>) -> Result<Self, Error> {
        let mut compiled = Self { exact: HashMap::new(), wildcard: HashMap::new(), default: None };
        for (name, config) in sites {
            let site = Arc::new(Site::compile(name, config, parts)?);
            match name.as_str() {
                "default" => compiled.default = Some(site),
                host => match host.strip_prefix('*') {
                    Some(suffix) => drop(compiled.wildcard.insert(lowercase(suffix), site)),
                    None => drop(compiled.exact.insert(lowercase(host), site)),
                },
            }
        }
        Ok(compiled)
    }

    /// The site for a host without its port, in lower case.
    pub(crate) fn find(&self, host: &[u8]) -> Option<(&Arc<Site>, FoundBy)> {
        // A name with its final dot is the same name (RFC 3986 §3.2.2).
        let host = host.strip_suffix(b".").unwrap_or(host);
        if let Some(site) = self.exact.get(host) {
            return Some((site, FoundBy::Exact));
        }
        if !self.wildcard.is_empty() {
            for dot in memchr::memchr_iter(b'.', host) {
                // A wildcard stands for at least one label.
                if dot > 0
                    && let Some(site) = self.wildcard.get(&host[dot..])
                {
                    return Some((site, FoundBy::Wildcard));
                }
            }
        }
        self.default.as_ref().map(|site| (site, FoundBy::Default))
    }

    /// All sites, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.exact.values().chain(self.wildcard.values()).chain(&self.default)
    }
}

/// What sites are compiled with.
pub(crate) struct SiteParts<'a> {
    pub(crate) pools: &'a HashMap<String, Arc<Pool>>,
    /// Absent where the file alone is explained.
    pub(crate) pushes: Option<&'a HashMap<String, Arc<push::Assets>>>,
    pub(crate) edge: &'a EdgeConfig,
    /// The folder that paths of the file start from.
    pub(crate) dir: &'a Path,
    pub(crate) admission: &'a gate::Shared,
    pub(crate) registry: &'a telemetry::Registry,
    pub(crate) cdn: Option<&'a CdnParts>,
}

impl Site {
    fn compile(name: &str, config: &SiteConfig, parts: &SiteParts<'_>) -> Result<Self, Error> {
        let SiteParts { edge, dir, admission, registry, .. } = *parts;
        let mut gates = Gates::new((name, config), dir, admission, registry)?;
        let mut paths = Vec::new();
        let mut site = Self {
            name: name.to_owned(),
            exact: HashMap::new(),
            prefix: HashMap::new(),
            hidden: config.hide_headers.iter().map(|name| lowercase(name)).collect(),
            body_bytes_max: config.body_max.map_or(edge.limit.body.get(), notation::Size::get),
            https_port: https_port(edge, config.https_only),
            asks_for_certificates: config.tls.as_ref().is_some_and(|tls| tls.0.clients.is_some()),
            secure_lines: config.hsts.as_ref().map(hsts_line).unwrap_or_default(),
            compression: config.compress.as_ref().and_then(Compression::new),
            json: JsonFields::default(),
            events: SiteEvents::new(registry, name),
            caches: Arc::default(),
            cache_events: None,
        };
        for (path, routes) in &config.route {
            let mut compiled = Vec::new();
            for route in routes.as_slice() {
                let gate = gates.of_route(path, route)?;
                compiled.push(Arc::new(Route::compile(path, route, gate, parts, &mut paths)?));
            }
            let map = if path.ends_with('/') { &mut site.prefix } else { &mut site.exact };
            map.insert(path.as_bytes().into(), compiled);
        }
        let routes = site.exact.values().chain(site.prefix.values()).flatten();
        let mut caches: Vec<Arc<Caching>> = Vec::new();
        for caching in routes.filter_map(|route| route.caching.as_ref()) {
            if caches.iter().all(|other| other.query != caching.query) {
                caches.push(Arc::clone(caching));
            }
        }
        if let Some(cdn) = parts.cdn.filter(|_| !caches.is_empty()) {
            site.cache_events = Some(CacheEvents::new(registry, name, cdn.misses(name)));
        }
        site.caches = caches.into();
        // Those that are no paths were faults of the file.
        site.json = JsonFields::new(paths.iter().filter_map(|path| JsonPath::parse(path).ok()));
        Ok(site)
    }

    /// How responses of a route are compressed, if they are.
    pub(crate) fn compression<'s>(&'s self, route: &'s Route) -> Option<&'s Compression> {
        match &route.compression {
            Some(own) => own.as_ref(),
            None => self.compression.as_ref(),
        }
    }

    /// Whether the site says this by itself, so that a backend's word would stand beside it: of two, clients take the
    /// first (RFC 6797 §8.1).
    pub(crate) fn says_itself(&self, name: &[u8]) -> bool {
        !self.secure_lines.is_empty() && name.eq_ignore_ascii_case(b"strict-transport-security")
    }

    /// Whether there are response headers that are not passed on, or that the site says itself.
    pub(crate) fn hides_any(&self) -> bool {
        !self.hidden.is_empty() || !self.secure_lines.is_empty()
    }

    /// Whether a response header is not passed on.
    pub(crate) fn hides(&self, name: &[u8]) -> bool {
        self.hidden.iter().any(|hidden| hidden.eq_ignore_ascii_case(name))
    }

    /// The route for a request by its head, which its body decides about if the route asks for that. `path` is
    /// normalised.
    pub(crate) fn find(&self, path: &[u8], request: &RequestHead, head: &[u8]) -> Option<&Arc<Route>> {
        self.candidates(path).find(|route| route.when.hold_of_head(request, head))
    }

    /// The routes that may answer a request by its head, of which the first does whose conditions on the body hold: all
    /// up to the one that has none.
    pub(crate) fn find_by_head(&self, path: &[u8], request: &RequestHead, head: &[u8]) -> Vec<&Arc<Route>> {
        let mut found = Vec::new();
        for route in self.candidates(path).filter(|route| route.when.hold_of_head(request, head)) {
            found.push(route);
            if !route.when.ask_for_body() {
                break;
            }
        }
        found
    }

    /// Looks for changed files.
    pub(crate) fn refresh(&self) -> Refreshed {
        let routes = self.exact.values().chain(self.prefix.values()).flatten();
        let mut gates: Vec<&Arc<Gate>> = routes.map(|route| &route.gate).collect();
        gates.sort_by_key(|gate| Arc::as_ptr(gate));
        gates.dedup_by_key(|gate| Arc::as_ptr(gate));
        gates.iter().map(|gate| gate.refresh()).fold(Refreshed::default(), Refreshed::and)
    }

    /// The routes that stand for a path, the most specific first.
    pub(crate) fn candidates<'s, 'p>(
        &'s self,
        path: &'p [u8],
    ) -> impl Iterator<Item = &'s Arc<Route>> + use<'s, 'p> {
        let exact = self.exact.get(path).into_iter().flatten();
        let prefixes =
            memchr::memrchr_iter(b'/', path).filter_map(|slash| self.prefix.get(&path[..=slash])).flatten();
        // `OPTIONS *` asks about the server as a whole, which the root stands for.
        let root = (path == b"*").then(|| self.prefix.get(&b"/"[..])).flatten().into_iter().flatten();
        exact.chain(prefixes).chain(root)
    }
}

impl Route {
    fn compile(
        path: &str,
        config: &RouteConfig,
        gate: Arc<Gate>,
        parts: &SiteParts<'_>,
        json: &mut Vec<Name>,
    ) -> Result<Self, Error> {
        let action = match (&config.pool, &config.redirect, &config.files) {
            (Some(pool), ..) => {
                let pool =
                    parts.pools.get(pool.as_str()).ok_or_else(|| Error::UnknownPool(pool.to_string()))?;
                Action::Pool(pool.clone())
            }
            (_, Some(redirect), _) => {
                let (to, status) = redirect_parts(redirect);
                Action::Redirect { to: to.to_string(), status }
            }
            (.., Some(folder)) => Action::Files(Arc::new(files::Root::open(folder, parts.dir)?)),
            _ if config.dns => Action::Dns,
            _ if config.push.is_some() => {
                Action::Push(pushed(config.push.as_deref().unwrap_or_default(), parts)?)
            }
            _ => Action::Respond(config.respond.clone().unwrap_or_default()),
        };
        let mut response_edits = Edits::compile(&config.response_headers);
        if !config.clear_site_data.is_empty() {
            let quoted = config.clear_site_data.iter().map(|data| format!("\"{}\"", data.name()));
            response_edits.set("Clear-Site-Data", &quoted.collect::<Vec<_>>().join(", "));
        }
        // A signature stays at this door, so that the shield would let in nobody.
        let shield = config.cache.as_ref().and(parts.cdn).and_then(|cdn| cdn.shield());
        let to_shield = match shield.filter(|_| gate.signed().is_none()) {
            Some(shield) => Some(Arc::new(Self::to_shield(shield, &gate, parts)?)),
            None => None,
        };
        Ok(Self {
            path: path.to_owned(),
            when: Conditions::compile(config.when.as_ref(), json),
            gate,
            action,
            rewrite: config.rewrite.clone(),
            request_edits: Edits::compile(&config.request_headers),
            response_edits,
            compression: config.compress.as_ref().map(Compression::new),
            caching: config.cache.as_ref().zip(parts.cdn).map(|(cache, cdn)| Arc::new(cdn.caching(cache))),
            to_shield,
        })
    }

    fn to_shield(shield: &Name, gate: &Arc<Gate>, parts: &SiteParts<'_>) -> Result<ToShield, Error> {
        let pool = parts.pools.get(shield.as_str()).ok_or_else(|| Error::UnknownPool(shield.to_string()))?;
        let route = Self {
            path: "/".into(),
            when: Conditions::compile(None, &mut Vec::new()),
            gate: Arc::clone(gate),
            action: Action::Pool(Arc::clone(pool)),
            rewrite: None,
            request_edits: Edits::default(),
            response_edits: Edits::default(),
            compression: Some(None),
            caching: None,
            to_shield: None,
        };
        Ok(ToShield { route, pool: Arc::clone(pool) })
    }

    /// The path within the folder that the route shows.
    pub(crate) fn path_in_folder<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        let start = match self.path.ends_with('/') {
            true => self.path.len() - 1,
            false => memchr::memrchr(b'/', path).unwrap_or(0),
        };
        path.get(start..).unwrap_or(b"/")
    }

    /// The path that goes to the pool.
    pub(crate) fn write_path(&self, path: &[u8], out: &mut Vec<u8>) {
        match &self.rewrite {
            None => out.extend_from_slice(if path.is_empty() { b"/" } else { path }),
            Some(Rewrite::Path(to)) => out.extend_from_slice(to.as_bytes()),
            Some(Rewrite::Prefix(to)) => {
                let rest = path.get(self.path.len()..).unwrap_or_default();
                out.extend_from_slice(to.as_bytes());
                out.extend_from_slice(rest);
            }
        }
    }
}

fn pushed(name: &str, parts: &SiteParts<'_>) -> Result<Pushed, Error> {
    let find = |pushes: &HashMap<String, Arc<push::Assets>>| {
        pushes.get(name).cloned().ok_or_else(|| Error::UnknownPush(name.to_owned()))
    };
    Ok(Pushed { name: name.to_owned(), assets: parts.pushes.map(find).transpose()? })
}

fn https_port(edge: &EdgeConfig, https_only: HttpsOnly) -> Option<u16> {
    match https_only {
        HttpsOnly::Switch(false) => None,
        HttpsOnly::Switch(true) => edge.https.first().map(std::net::SocketAddr::port),
        HttpsOnly::Port(HttpsPort { port }) => Some(port),
    }
}

/// RFC 6797 §6.1.
fn hsts_line(hsts: &Hsts) -> Vec<u8> {
    let (max_age, subdomains, preload) = match hsts {
        Hsts::For(max_age) => (max_age, false, false),
        Hsts::Policy(HstsPolicy { max_age, subdomains, preload }) => (max_age, *subdomains, *preload),
    };
    let mut line = format!("Strict-Transport-Security: max-age={}", max_age.get().as_secs());
    line.push_str(if subdomains { "; includeSubDomains" } else { "" });
    line.push_str(if preload { "; preload" } else { "" });
    line.push_str("\r\n");
    line.into_bytes()
}

fn lowercase(text: &str) -> Box<[u8]> {
    text.to_ascii_lowercase().into_bytes().into()
}
