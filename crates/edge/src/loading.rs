//! From the file's types to what requests are decided by: everything that is read, and so may fail.

use crate::cached::CdnParts;
use crate::config::{AccessLogTarget, EdgeConfig, SiteConfig};
use crate::core::{Snapshot, TlsDoor};
use crate::error::Error;
use crate::gate;
use crate::http3;
use crate::protocol::RequestLimits;
use crate::running::EdgeParts;
use crate::sites::{SiteParts, Sites};
use acme::{Acme, AcmeContext, Stapler};
use admission::{Access, Networks, Trust};
use notation::Named;
use std::path::PathBuf;
use std::sync::Arc;
use telemetry::{AccessLog, Registry};
use tls::Tickets;

/// Who orders certificates from now on.
pub(crate) enum Ordering {
    /// Nobody, or somebody who begins now.
    Anew(Option<Arc<Acme>>),
    /// Who did before, with what the file says now.
    Changed(Arc<Acme>, acme::Prepared),
}

impl Ordering {
    pub(crate) fn acme(&self) -> Option<&Arc<Acme>> {
        match self {
            Self::Anew(acme) => acme.as_ref(),
            Self::Changed(acme, _) => Some(acme),
        }
    }
}

/// Where certificates come from besides files, and OCSP responses.
#[derive(Default)]
pub(crate) struct Origins<'a> {
    pub(crate) acme: Option<&'a Arc<Acme>>,
    pub(crate) stapler: Option<Arc<Stapler>>,
}

pub(crate) fn compile(
    parts: EdgeParts,
    registry: &Registry,
    admission: &gate::Shared,
    origins: Origins<'_>,
    before: Option<&Snapshot>,
) -> Result<Snapshot, Error> {
    let EdgeParts { config, sites, pools, pushes, dir, data, cdn, dns } = parts;
    let access_log = match before {
        Some(before) if before.config.access_log == config.access_log => before.access_log.clone(),
        _ => open_access_log(&config.access_log)?,
    };
    let limits = RequestLimits {
        head_bytes_max: config.limit.head.as_usize(),
        fields_max: config.limit.headers as usize,
    };
    let tls = match config.https.is_empty() {
        true => None,
        false => Some(load_tls(&config, &sites, dir.clone(), data, registry, &origins, before)?),
    };
    let has_access = config.allow.is_some() || !config.deny.is_empty();
    let access = has_access.then(|| Access::load(config.allow.as_deref(), &config.deny, &dir)).transpose()?;
    let has_proxies = !config.proxy_protocol.is_empty();
    let proxies = has_proxies.then(|| Networks::load(&config.proxy_protocol, &dir)).transpose()?;
    let trust = Trust::load(&config.trust_forwarded, &dir)?;
    let cdn = cdn.map(|cdn| CdnParts::load(cdn, &dir)).transpose()?;
    let with = SiteParts {
        pools: &pools,
        pushes: pushes.as_ref(),
        edge: &config,
        dir: &dir,
        admission,
        registry,
        cdn: cdn.as_ref(),
    };
    let sites = Sites::compile(&sites, &with)?;
    let quic = tls.as_ref().map(|tls: &TlsDoor| http3::config(&config, &tls.server)).transpose()?.flatten();
    let alt_svc_line = http3::alt_svc_line(&config);
    let Origins { acme, stapler } = origins;
    let acme = acme.map(|acme| acme.lookups());
    Ok(Snapshot {
        acme,
        stapler,
        quic,
        alt_svc_line,
        config,
        sites,
        limits,
        access_log,
        tls,
        access,
        proxies,
        trust,
        cdn,
        dns,
    })
}

/// Who fetches OCSP responses from now on, if anybody is to.
pub(crate) fn stapler(
    parts: &EdgeParts,
    registry: &Registry,
    before: Option<&Snapshot>,
) -> Option<Arc<Stapler>> {
    // Where no door ends TLS, nobody shows a certificate.
    let shown = parts.sites.values().filter(|_| !parts.config.https.is_empty());
    let certificates = shown.filter_map(|site| site.tls.as_ref());
    let before = before.and_then(|before| before.stapler.as_ref());
    Stapler::succeed(before, &parts.config.tls, certificates, registry)
}

/// Begins to order the certificates that sites want, or goes on with what the file says now.
pub(crate) fn start_ordering(
    parts: &EdgeParts,
    registry: &Registry,
    stapler: Option<Arc<Stapler>>,
    before: Option<&Arc<Acme>>,
) -> Result<Ordering, Error> {
    let wanted = parts.sites.iter().filter(|(_, site)| site.wants_acme());
    let names: Vec<String> = wanted.map(|(name, _)| name.to_string()).collect();
    let Some(config) = parts.config.acme.as_ref().filter(|_| !names.is_empty()) else {
        return Ok(Ordering::Anew(None));
    };
    if let Some(acme) = before {
        return Ok(Ordering::Changed(acme.clone(), acme.prepare(config, names, stapler)?));
    }
    let context = AcmeContext::new(parts.dir.clone(), parts.data.clone(), registry.clone());
    Ok(Ordering::Anew(Some(Arc::new(Acme::start(context, config, names, stapler)?))))
}

/// The certificates of the sites that have one. Tickets go on being good over a change.
fn load_tls(
    config: &EdgeConfig,
    sites: &Named<SiteConfig>,
    dir: PathBuf,
    data: PathBuf,
    registry: &Registry,
    origins: &Origins<'_>,
    before: Option<&Snapshot>,
) -> Result<TlsDoor, Error> {
    let tickets = match before.and_then(|before| before.tls.as_ref()) {
        Some(before) => before.tickets.reload(&config.tls.tickets, &dir)?,
        None => Tickets::load(&config.tls.tickets, &dir, tls::system_time())?,
    };
    let context = tls::ServerContext {
        listener: "edge".into(),
        dir,
        data,
        alpn: [&b"h2"[..], b"http/1.1"].map(<[u8]>::to_vec).to_vec(),
        versions: config.tls.versions.clone(),
        tickets: tickets.clone(),
        challenges: origins.acme.map(|acme| acme.lookups() as Arc<dyn tls::Challenges>),
        issued: origins.acme.map(|acme| acme.lookups() as Arc<dyn tls::Issued>),
        staples: origins.stapler.clone().map(|stapler| stapler as Arc<dyn tls::Staples>),
        time: tls::system_time(),
        registry: registry.clone(),
    };
    let with_tls = sites.iter().filter_map(|(name, site)| Some((name.as_str(), site.tls.as_ref()?)));
    Ok(TlsDoor { server: tls::Server::load(context, with_tls)?, tickets })
}

pub(crate) fn compile_offline(parts: &EdgeParts) -> Result<Snapshot, Error> {
    let mut silent = EdgeParts {
        config: parts.config.clone(),
        sites: parts.sites.clone(),
        pools: parts.pools.clone(),
        pushes: None,
        dir: parts.dir.clone(),
        data: parts.data.clone(),
        cdn: parts.cdn.clone(),
        dns: None,
    };
    silent.config.access_log = AccessLogTarget::Off;
    // What is said of a request does not depend on certificates, which may not be on this machine.
    silent.config.https.clear();
    silent.config.http3.clear();
    silent.config.acme = None;
    let registry = Registry::new();
    compile(silent, &registry, &gate::Shared::new(&registry), Origins::default(), None)
}

fn open_access_log(target: &AccessLogTarget) -> Result<Option<AccessLog>, Error> {
    let target = match target {
        AccessLogTarget::Off => return Ok(None),
        AccessLogTarget::Stdout => telemetry::Target::Stdout,
        AccessLogTarget::Stderr => telemetry::Target::Stderr,
        AccessLogTarget::File(path) => telemetry::Target::File(path.clone()),
    };
    let path = match &target {
        telemetry::Target::File(path) => path.display().to_string(),
        _ => String::new(),
    };
    AccessLog::open(target).map(Some).map_err(|source| Error::AccessLog { path, source })
}
