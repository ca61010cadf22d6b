//! What a running node says about itself.

use super::{Live, Phase, Running};
use crate::config::Topology;
use crate::status::{CdnStatus, ListenerStatus, PoolWaiting, Readiness, RouteStatus, SiteStatus, Status};
use balance::{PoolStatus, State};
use cores::Transport;
use edge::RouteConfig;
use notation::TextOr;

pub(super) fn status(running: &Running) -> Status {
    let live = running.live();
    let pools: Vec<PoolStatus> = live.pools.values().map(|part| part.pool.status()).collect();
    let millis = running.started.elapsed().as_millis();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_ms: u64::try_from(millis).unwrap_or(u64::MAX),
        file: running.path.clone(),
        at: live.topology.node.at.clone(),
        readiness: readiness_of(running.phase(), &pools),
        tiers: tiers(&live.topology),
        listeners: listeners(running, &live),
        connections: live.edge.status().map_or(0, |edge| edge.connections)
            + live.layer4.connections()
            + live.dns.connections(),
        layer4: live.layer4.status(),
        zones: live.dns.status(),
        resolver: live.dns.resolver(),
        cdn: live.cdn.status(live.edge.caching(0)),
        sites: live
            .topology
            .site
            .iter()
            .map(|(host, site)| SiteStatus {
                host: host.to_string(),
                tls: site.tls.is_some(),
                routes: site
                    .route
                    .iter()
                    .flat_map(|(path, routes)| {
                        routes.as_slice().iter().map(|route| route_status(path, route))
                    })
                    .collect(),
            })
            .collect(),
        pools,
        services: running.services.status(),
    }
}

/// The cache with what was missed most, at most so many of each site.
pub(super) fn cdn(running: &Running, misses: usize) -> Option<CdnStatus> {
    let live = running.live();
    live.cdn.status(live.edge.caching(misses))
}

pub(super) fn readiness(running: &Running) -> Readiness {
    let pools: Vec<PoolStatus> = running.live().pools.values().map(|part| part.pool.status()).collect();
    readiness_of(running.phase(), &pools)
}

fn readiness_of(phase: Phase, pools: &[PoolStatus]) -> Readiness {
    let waiting = waiting(pools);
    let stopping = phase != Phase::Serving;
    Readiness { ready: !stopping && waiting.is_empty(), stopping, waiting }
}

/// Whether a pool need not be waited for: it can serve, or it is known that it cannot. A pool that serves
/// stays ready when one more instance comes whose first check is still to be made.
pub(super) fn is_ready(pool: &PoolStatus) -> bool {
    pool.ready || pool.available > 0
}

/// The pools that are not ready, and why not.
pub(super) fn waiting(pools: &[PoolStatus]) -> Vec<PoolWaiting> {
    let not_ready = pools.iter().filter(|pool| !is_ready(pool));
    not_ready.map(|pool| PoolWaiting { pool: pool.name.clone(), why: why_not_ready(pool) }).collect()
}

fn why_not_ready(pool: &PoolStatus) -> String {
    let names = |state: State| {
        let names: Vec<&str> =
            pool.endpoints.iter().filter(|one| one.state == state).map(|one| one.name.as_str()).collect();
        names.join(", ")
    };
    let causes = [
        (State::Unresolved, "name not resolved"),
        (State::NotReady, "instance not ready"),
        (State::Unknown, "first health check not made"),
    ];
    let found: Vec<String> = causes
        .into_iter()
        .map(|(state, what)| (what, names(state)))
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {names}"))
        .collect();
    if found.is_empty() { "no endpoints yet".into() } else { found.join("; ") }
}

fn tiers(topology: &Topology) -> Vec<String> {
    let named = [
        ("services", !topology.service.is_empty()),
        ("balance", !topology.pool.is_empty()),
        ("edge", topology.edge.is_some()),
        ("cdn", topology.cdn.is_some()),
        ("layer4", !topology.tcp.is_empty() || !topology.udp.is_empty()),
        ("dns", topology.dns.is_some()),
    ];
    named.iter().filter(|(_, is_named)| *is_named).map(|(tier, _)| (*tier).to_owned()).collect()
}

fn listeners(running: &Running, live: &Live) -> Vec<ListenerStatus> {
    let listener = |tier: &str, protocol: &str, address| ListenerStatus {
        tier: tier.into(),
        protocol: protocol.into(),
        address,
    };
    let edge = live.edge.status().map(|edge| edge.listeners).unwrap_or_default();
    let edge = edge.into_iter().map(|one| listener("edge", &one.protocol, one.address));
    let layer4 = live.layer4.status().into_iter().flat_map(|one| {
        let protocol = one.protocol;
        one.addresses.into_iter().map(move |address| ListenerStatus {
            tier: "layer4".into(),
            protocol: protocol.clone(),
            address,
        })
    });
    let dns = live.dns.addresses().into_iter().map(|address| {
        let protocol = match address.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        listener("dns", protocol, address.at)
    });
    edge.chain(layer4)
        .chain(dns)
        .chain(running.admin.local_addr().ok().map(|address| listener("admin", "http", address)))
        .collect()
}

fn route_status(path: &str, route: &RouteConfig) -> RouteStatus {
    let action = if let Some(pool) = &route.pool {
        format!("pool {pool}")
    } else if let Some(redirect) = &route.redirect {
        let to = match redirect {
            TextOr::Text(to) => to,
            TextOr::Long(redirect) => &redirect.to,
        };
        format!("redirect to {to}")
    } else if let Some(files) = &route.files {
        let dir = match files {
            TextOr::Text(dir) => dir,
            TextOr::Long(files) => &files.dir,
        };
        format!("files of {dir}")
    } else if let Some(push) = &route.push {
        format!("files of push {push}")
    } else if route.dns {
        "answer DNS queries".to_owned()
    } else {
        let status = route.respond.as_ref().map_or(404, |respond| respond.status);
        format!("respond {status}")
    };
    RouteStatus { path: path.to_owned(), conditional: route.when.is_some(), action }
}

#[cfg(test)]
mod tests {
    use super::*;
    use balance::{Pool, PoolConfig, PoolContext};

    fn status(servers: &str) -> PoolStatus {
        let context = PoolContext {
            name: "shop".into(),
            at: None,
            secret: [0; 16],
            registry: telemetry::Registry::new(),
        };
        let config: PoolConfig = toml::from_str(servers).unwrap();
        Pool::new(context, config).status()
    }

    #[test]
    fn a_pool_is_waited_for_until_it_can_serve_and_says_what_is_missing() {
        assert_eq!(waiting(&[status("servers = ['127.0.0.1:1']")]), []);
        let missing = |servers: &str| waiting(&[status(servers)]).remove(0).why;
        let checked = "servers = ['127.0.0.1:1', '127.0.0.1:2']\nhealth = { tcp = true }";
        assert_eq!(missing(checked), "first health check not made: 127.0.0.1:1, 127.0.0.1:2");
        assert_eq!(missing("servers = ['shop.test:80']"), "name not resolved: shop.test:80");
        assert_eq!(missing("service = 'shop'"), "no endpoints yet");

        let mut half_checked = status(checked);
        half_checked.available = 1;
        assert_eq!(waiting(&[half_checked]), [], "one endpoint serves, another is new");
    }
}
