//! Relative paths of a file start from the file's own folder, wherever nines was started.

use crate::config::Topology;
use notation::{Name, Secret, TextOr};
use services::ServiceConfig;
use std::path::Path;

/// The secret with its file's path made whole.
pub(crate) fn secret_in(dir: &Path, secret: &Secret) -> Secret {
    match secret {
        Secret::File(path) => Secret::File(dir.join(path)),
        Secret::Env(name) => Secret::Env(name.clone()),
    }
}

/// The service with the paths of its secrets made whole.
pub(crate) fn service_in(dir: &Path, config: &ServiceConfig) -> ServiceConfig {
    let mut config = config.clone();
    for value in config.env.values_mut() {
        if let TextOr::Long(secret) = value {
            *secret = secret_in(dir, secret);
        }
    }
    config
}

/// A key for signatures in DNS, with its secret; or what is wrong with it.
pub(crate) fn dns_key(dir: &Path, name: &str, key: &dns::KeyConfig) -> Result<dns::Key, String> {
    let secret = secret_in(dir, &key.secret).reveal().map_err(|error| error.to_string())?;
    dns::Key::new(name, key.algorithm, &secret).map_err(|error| error.to_string())
}

/// The secrets of the edge, each with its keys in the file.
pub(crate) fn edge_secrets(topology: &Topology) -> impl Iterator<Item = (&'static [&'static str], &Secret)> {
    const TICKETS: &[&str] = &["edge", "tls", "tickets", "secret"];
    const ACCOUNT: &[&str] = &["edge", "acme", "external_account", "key"];
    let edge = topology.edge.as_ref();
    let tickets = edge.and_then(|edge| edge.tls.tickets.secret.as_ref()).map(|secret| (TICKETS, secret));
    let account = edge.and_then(|edge| edge.acme.as_ref()?.external_account.as_ref());
    tickets.into_iter().chain(account.map(|account| (ACCOUNT, &account.key)))
}

/// The store with the paths of its secrets made whole.
pub(crate) fn push_in(dir: &Path, config: &push::PushConfig) -> push::PushConfig {
    let mut config = config.clone();
    let keys = config.s3.iter_mut().flat_map(|s3| [&mut s3.access_key, &mut s3.secret_key]);
    for secret in config.token.iter_mut().chain(keys) {
        *secret = secret_in(dir, secret);
    }
    config
}

/// The keys of sites and routes that ask for signatures, each with the path of the route if it is a route's.
pub(crate) fn signing_keys(
    topology: &Topology,
) -> impl Iterator<Item = (&Name, Option<&Name>, &edge::SignedConfig)> {
    topology.site.iter().flat_map(|(host, site)| {
        let own = site.signed.iter().map(move |signed| (host, None, signed));
        let routes = site
            .route
            .iter()
            .flat_map(|(path, routes)| routes.as_slice().iter().map(move |route| (path, route)));
        own.chain(routes.filter_map(move |(path, route)| Some((host, Some(path), route.signed.as_ref()?))))
    })
}

/// The environment variables that hold the node's own secrets: no service inherits them.
pub(crate) fn secret_variables(topology: &Topology) -> Vec<String> {
    let node = [&topology.node.admin_token, &topology.node.secret].into_iter().flatten();
    let variable = |secret: &Secret| match secret {
        Secret::Env(name) => Some(name.clone()),
        Secret::File(_) => None,
    };
    let keys = topology.dns.iter().flat_map(|dns| dns.key.values()).map(|key| &key.secret);
    let pushes = topology.push.values().flat_map(push::PushConfig::secrets).map(|(_, secret)| secret);
    let signing = signing_keys(topology).flat_map(|(_, _, signed)| signed.keys.values());
    node.chain(keys)
        .chain(signing)
        .chain(pushes)
        .chain(edge_secrets(topology).map(|(_, secret)| secret))
        .filter_map(variable)
        .collect()
}
