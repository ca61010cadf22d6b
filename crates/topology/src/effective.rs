//! The whole file as nines understands it: every default written out, secrets as their references.

use crate::config::Topology;

/// The topology as a file that loads again to an equal one.
pub fn effective(topology: &Topology) -> String {
    toml::to_string_pretty(topology).expect("every type of the topology has a form in TOML")
}
