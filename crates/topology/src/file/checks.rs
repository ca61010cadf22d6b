//! What needs more than one value of the file: references, names, addresses, and each tier's own rules.

use super::Found;
use super::tree::Tree;
use crate::config::Topology;
use notation::Faults;
use std::collections::BTreeSet;

mod addresses;
mod names;

/// Checks a topology whose shape is right. `is_whole` says that no part of the file was left out of it for
/// a fault of its shape; only then can something be called unused or missing.
pub(super) fn check(topology: &Topology, tree: &Tree<'_>, is_whole: bool, found: &mut Found) {
    names::check(tree, &mut found.errors);
    references(tree, &mut found.errors);
    addresses::check(tree, &mut found.errors);
    tiers(topology, tree, is_whole, &mut found.errors);
    if is_whole {
        unused(topology, tree, &mut found.warnings);
    }
}

/// Every name that a part of the file refers to must be there, whether either part is sound or not.
fn references(tree: &Tree<'_>, faults: &mut Faults) {
    let (pools, services) = (names(tree, "pool"), names(tree, "service"));
    for pool in &pools {
        if let Some((service, span)) = tree.text(&["pool", pool, "service"])
            && !services.contains(service)
        {
            faults.unknown(Some(span), "service", service, services.iter().copied());
        }
    }
    let pushes = names(tree, "push");
    for (push, span) in tree.used_pushes() {
        if !pushes.contains(push) {
            faults.unknown(Some(span), "push", push, pushes.iter().copied());
        }
    }
    for (pool, span) in tree.used_pools() {
        if !pools.contains(pool) {
            faults.unknown(Some(span), "pool", pool, pools.iter().copied());
        }
    }
}

fn names<'t>(tree: &'t Tree<'_>, table: &str) -> BTreeSet<&'t str> {
    tree.entries(table).map(|(name, _)| name).collect()
}

/// Each tier's own rules. What a tier says of a part as a whole is shown at the part's name.
fn tiers(topology: &Topology, tree: &Tree<'_>, is_whole: bool, faults: &mut Faults) {
    for (name, pool) in &topology.pool {
        balance::check(pool, name, faults);
    }
    for (name, service) in &topology.service {
        services::check(service, name, faults);
    }
    for (name, store) in &topology.push {
        push::check(store, name, faults);
    }
    for (name, tcp) in &topology.tcp {
        layer4::check_tcp(tcp, name, faults);
    }
    for (name, udp) in &topology.udp {
        layer4::check_udp(udp, name, faults);
    }
    if let Some(config) = &topology.dns {
        let mut of_dns = Faults::default();
        dns::check(config, &mut of_dns);
        for mut fault in of_dns.into_vec() {
            fault.span = fault.span.or_else(|| tree.key("dns"));
            super::add(faults, fault);
        }
    }
    if is_whole && topology.dns.is_none() {
        routes_without_dns(topology, faults);
    }
    cache(topology, tree, is_whole, faults);
    let mut of_edge = Faults::default();
    let config = topology.edge.clone().unwrap_or_default();
    edge::check(&config, &topology.site, &mut of_edge);
    if is_whole {
        edge::check_doors(&config, &topology.site, &mut of_edge);
    }
    for mut fault in of_edge.into_vec() {
        fault.span = fault.span.or_else(|| tree.key("edge"));
        super::add(faults, fault);
    }
}

/// `[cdn]`, and what routes keep by it.
fn cache(topology: &Topology, tree: &Tree<'_>, is_whole: bool, faults: &mut Faults) {
    let default = cdn::CdnConfig::default();
    let config = topology.cdn.as_ref().unwrap_or(&default);
    let mut of_cdn = Faults::default();
    cdn::check(config, &mut of_cdn);
    for mut fault in of_cdn.into_vec() {
        fault.span = fault.span.or_else(|| tree.key("cdn"));
        super::add(faults, fault);
    }
    if topology.node.admin_token.is_none()
        && let Some(node) = config.nodes.iter().find(|node| !node.ip().is_loopback())
    {
        let message = format!("cdn: the node {node} is reached over a network, and there is no token");
        let help = "set `[node] admin_token = { env = \"NINES_ADMIN_TOKEN\" }`, the same at all nodes";
        faults.add_with_help(tree.value(&["cdn", "nodes"]), message, help);
    }
    let routes = topology.site.values().flat_map(|site| &site.route);
    for (path, route) in
        routes.flat_map(|(path, routes)| routes.as_slice().iter().map(move |one| (path, one)))
    {
        let Some(cache) = &route.cache else { continue };
        cdn::check_route(cache, config, path, faults);
        if is_whole && topology.cdn.is_none() {
            let message = format!("route {path} keeps responses, and the file has no `[cdn]`");
            faults.add_with_help(path.span(), message, "add `[cdn]` with `memory = \"256MiB\"`");
        }
    }
}

/// Routes that answer queries of DNS, where nobody does.
fn routes_without_dns(topology: &Topology, faults: &mut Faults) {
    let routes = topology.site.values().flat_map(|site| &site.route);
    for (path, _) in routes.filter(|(_, routes)| routes.as_slice().iter().any(|route| route.dns)) {
        let message = format!("route {path} answers queries of DNS, and the file has no `[dns]`");
        faults.add_with_help(
            path.span(),
            message,
            "add `[dns]` with `listen = \"127.0.0.1:5300\"` and a zone",
        );
    }
}

fn unused(topology: &Topology, tree: &Tree<'_>, warnings: &mut Faults) {
    let used: BTreeSet<&str> = tree.used_pools().map(|(pool, _)| pool).collect();
    for name in topology.pool.keys() {
        if !used.contains(name.as_str()) {
            warnings.add_with_help(
                name.span(),
                format!("pool {name} is not used"),
                format!("a route sends requests to it: `\"/\" = {{ pool = \"{name}\" }}`"),
            );
        }
    }
    let used: BTreeSet<&str> = tree.used_pushes().map(|(push, _)| push).collect();
    for name in topology.push.keys().filter(|name| !used.contains(name.as_str())) {
        warnings.add_with_help(
            name.span(),
            format!("push {name} is not used"),
            format!("a route serves what is pushed to it: `\"/assets/\" = {{ push = \"{name}\" }}`"),
        );
    }
    let has_cache = |site: &edge::SiteConfig| {
        site.route.values().flat_map(notation::OneOrMany::as_slice).any(|route| route.cache.is_some())
    };
    if topology.cdn.is_some() && !topology.site.values().any(has_cache) {
        let help = "a route keeps responses of its pool: `\"/img/\" = { pool = \"shop\", cache = \"cdn\" }`";
        warnings.add_with_help(tree.key("cdn"), "cdn is not used", help);
    }
    match (&topology.edge, topology.site.keys().next()) {
        (None, Some(site)) => warnings.add_with_help(
            site.span(),
            format!("site {site} is never served, the file has no `[edge]`"),
            "add `[edge]` with `http = [\"127.0.0.1:8080\"]`",
        ),
        (Some(_), None) => warnings.add(None, "the edge has no site: every request is refused"),
        _ => {}
    }
    let answers_nothing =
        |dns: &dns::DnsConfig| dns.zone.is_empty() && dns.services.is_none() && dns.resolver.is_none();
    if topology.dns.as_ref().is_some_and(answers_nothing) {
        warnings.add_with_help(
            tree.key("dns"),
            "dns has no zone: every query is refused",
            "add `[dns.zone.\"shop.test\"]` with `file = \"shop.test.zone\"`",
        );
    }
    if topology.edge.is_none()
        && topology.dns.is_none()
        && topology.site.is_empty()
        && topology.pool.is_empty()
        && topology.push.is_empty()
        && topology.service.is_empty()
        && topology.tcp.is_empty()
        && topology.udp.is_empty()
    {
        warnings.add(None, "the file names no tier: only the admin API is served");
    }
}
