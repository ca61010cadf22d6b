//! Relative paths of a file start from the file's own folder, wherever nines was started.

use crate::config::Topology;
use notation::{Secret, TextOr};
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

/// The environment variables that hold the node's own secrets: no service inherits them.
pub(crate) fn secret_variables(topology: &Topology) -> Vec<String> {
    match &topology.node.admin_token {
        Some(Secret::Env(name)) => vec![name.clone()],
        _ => Vec::new(),
    }
}
