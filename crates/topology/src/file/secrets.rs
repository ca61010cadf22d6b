//! Whether every secret of a file can be read. The values are dropped at once.

use super::tree::Tree;
use crate::config::Topology;
use crate::{node_secret, paths};
use notation::{Faults, TextOr};
use std::path::Path;

pub(super) fn check(topology: &Topology, tree: &Tree<'_>, dir: &Path, faults: &mut Faults) {
    if let Some(secret) = &topology.node.admin_token
        && let Err(error) = paths::secret_in(dir, secret).reveal()
    {
        faults.add(tree.value(&["node", "admin_token"]), error.to_string());
    }
    if let Some(secret) = &topology.node.secret
        && let Err(error) = node_secret::reveal(&paths::secret_in(dir, secret))
    {
        faults.add(tree.value(&["node", "secret"]), error.to_string());
    }
    for (path, secret) in paths::edge_secrets(topology) {
        if let Err(error) = paths::secret_in(dir, secret).reveal() {
            faults.add(tree.value(path), error.to_string());
        }
    }
    for (name, key) in topology.dns.iter().flat_map(|dns| &dns.key) {
        if let Err(error) = paths::dns_key(dir, name, key) {
            faults.add(tree.value(&["dns", "key", name, "secret"]), format!("key {name}: {error}"));
        }
    }
    for (name, config) in &topology.push {
        for (keys, secret) in config.secrets() {
            if let Err(error) = paths::secret_in(dir, secret).reveal() {
                faults.add(tree.value(&[&["push", name], keys].concat()), error.to_string());
            }
        }
    }
    for (host, route, signed) in paths::signing_keys(topology) {
        if let Err(error) = edge::check_keys(signed, dir) {
            let whose =
                route.map_or_else(|| format!("site {host}"), |path| format!("site {host} route {path}"));
            faults.add(route.unwrap_or(host).span(), format!("{whose}: {error}"));
        }
    }
    for (service, config) in &topology.service {
        for (variable, value) in &config.env {
            if let TextOr::Long(secret) = value
                && let Err(error) = paths::secret_in(dir, secret).reveal()
            {
                faults.add(tree.value(&["service", service, "env", variable]), error.to_string());
            }
        }
    }
}
