//! The terms of a site and its routes as the file has them, and the gates that are made of them.

use super::{Gate, Shared};
use crate::config::{RouteConfig, SiteConfig};
use crate::error::Error;
use admission::{
    Access, BasicAuth, BasicAuthConfig, ClientLimits, Events, NetworkEntry, Signed, SignedConfig,
};
use std::path::Path;
use std::sync::Arc;

/// The gates of one site. Routes that ask the same have the very same one.
pub(crate) struct Gates<'a> {
    site: (&'a str, &'a SiteConfig),
    dir: &'a Path,
    shared: &'a Shared,
    registry: &'a telemetry::Registry,
    made: Vec<(Terms<'a>, Arc<Gate>)>,
}

/// What is asked.
#[derive(PartialEq)]
struct Terms<'a> {
    /// What limits count over.
    scope: String,
    allow: Option<&'a [NetworkEntry]>,
    deny: &'a [NetworkEntry],
    basic_auth: Option<&'a BasicAuthConfig>,
    signed: Option<&'a SignedConfig>,
    limit: &'a ClientLimits,
}

impl<'a> Gates<'a> {
    /// With the gate of the site's own terms.
    pub(crate) fn new(
        (name, config): (&'a str, &'a SiteConfig),
        dir: &'a Path,
        shared: &'a Shared,
        registry: &'a telemetry::Registry,
    ) -> Result<Self, Error> {
        let terms = Terms {
            scope: format!("site {name}"),
            allow: config.allow.as_deref(),
            deny: &config.deny,
            basic_auth: config.basic_auth.as_ref(),
            signed: config.signed.as_ref(),
            limit: &config.limit,
        };
        let mut gates = Self { site: (name, config), dir, shared, registry, made: Vec::new() };
        gates.gate_of(terms)?;
        Ok(gates)
    }

    /// The gate of a route: its site's terms, with those that the route says itself in their place.
    pub(crate) fn of_route(&mut self, path: &str, route: &'a RouteConfig) -> Result<Arc<Gate>, Error> {
        let (name, site) = self.site;
        let has_access = route.allow.is_some() || !route.deny.is_empty();
        let (allow, deny) = if has_access { (&route.allow, &route.deny) } else { (&site.allow, &site.deny) };
        self.gate_of(Terms {
            // A limit of the site's own counts over all its routes.
            scope: match route.limit {
                Some(_) => format!("site {name} route {path}"),
                None => format!("site {name}"),
            },
            allow: allow.as_deref(),
            deny,
            basic_auth: route.basic_auth.as_ref().or(site.basic_auth.as_ref()),
            signed: route.signed.as_ref().or(site.signed.as_ref()),
            limit: route.limit.as_ref().unwrap_or(&site.limit),
        })
    }

    fn gate_of(&mut self, terms: Terms<'a>) -> Result<Arc<Gate>, Error> {
        if let Some((_, gate)) = self.made.iter().find(|(made, _)| *made == terms) {
            return Ok(gate.clone());
        }
        let gate = Arc::new(self.compile(&terms)?);
        self.made.push((terms, gate.clone()));
        Ok(gate)
    }

    fn compile(&self, terms: &Terms<'_>) -> Result<Gate, Error> {
        let Terms { scope, allow, deny, basic_auth, signed, limit } = terms;
        let site = self.site.0;
        let has_access = allow.is_some() || !deny.is_empty();
        let access = has_access.then(|| Access::load(*allow, deny, self.dir)).transpose()?;
        let auth = |config| BasicAuth::load(config, site, self.dir, self.shared.verifiers.clone());
        Ok(Gate {
            access,
            auth: basic_auth.map(auth).transpose()?,
            signed: signed.map(|config| Signed::load(config, self.dir)).transpose()?,
            requests_at_once: limit.connections_per_client.map(|max| (scope.as_bytes().to_vec(), max)),
            rate: limit.rate(scope).map(|rate| (rate, limit.by.clone())),
            bytes_per_second: limit.bandwidth.map(notation::Size::get),
            events: Events::new(self.registry, "edge", &[("site", site)]),
        })
    }
}
