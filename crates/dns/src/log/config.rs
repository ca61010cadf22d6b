//! `[dns.log]`: what is told of queries, and where.

use notation::{Faults, LogTarget, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What is told of queries and their answers. What a reader is too slow for is dropped and counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "DnsLog")]
pub struct LogConfig {
    /// One line of JSON for each query: `"off"`, `"stdout"`, `"stderr"`, or a file, which is opened anew on reload.
    pub queries: LogTarget,
    /// Of which share of all queries, by chance: `"1%"`.
    pub sample: Percent,
    /// The messages themselves, in the format of dnstap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dnstap: Option<DnstapConfig>,
}

/// Where dnstap's frames go: to a reader on a socket, or into a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Dnstap")]
pub struct DnstapConfig {
    /// The Unix socket that the reader listens on. It is asked again each second while nobody is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// A file, begun anew with each start and each change of this table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Whether queries are told.
    pub queries: bool,
    /// Whether answers are told.
    pub responses: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { queries: LogTarget::Off, sample: Percent::of(100.0), dnstap: None }
    }
}

impl Default for DnstapConfig {
    fn default() -> Self {
        Self { socket: None, file: None, queries: true, responses: true }
    }
}

impl LogConfig {
    /// Whether anything is told at all.
    pub(super) fn is_on(&self) -> bool {
        self.queries != LogTarget::Off || self.dnstap.is_some()
    }

    /// With paths that start from `dir`.
    pub(super) fn within(&self, dir: &Path) -> Self {
        let mut whole = self.clone();
        if let LogTarget::File(path) = &mut whole.queries {
            *path = dir.join(&*path);
        }
        if let Some(tap) = &mut whole.dnstap {
            for path in [&mut tap.socket, &mut tap.file].into_iter().flatten() {
                *path = dir.join(&*path);
            }
        }
        whole
    }
}

/// What types cannot say of `[dns.log]`.
pub(crate) fn check(config: &LogConfig, faults: &mut Faults) {
    if config.queries == LogTarget::File(PathBuf::new()) {
        faults.add(None, "dns: log.queries is a file without a name");
    }
    if config.sample.ratio() <= 0.0 {
        faults.add(None, "dns: log.sample is 0%: nothing would ever be told");
    }
    let Some(tap) = &config.dnstap else { return };
    match (&tap.socket, &tap.file) {
        (None, None) => {
            let help = "add `socket = \"/run/dnstap.sock\"` or `file = \"queries.tap\"`";
            faults.add_with_help(None, "dns: log.dnstap goes nowhere", help);
        }
        (Some(_), Some(_)) => faults.add(None, "dns: log.dnstap goes to a socket or to a file, not to both"),
        _ => {}
    }
    if !tap.queries && !tap.responses {
        faults.add(None, "dns: log.dnstap tells neither queries nor responses");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::told;

    fn faults_of(text: &str) -> Vec<String> {
        told(text, check)
    }

    #[test]
    fn a_log_that_could_tell_nothing_is_a_fault() {
        assert_eq!(faults_of("queries = 'a.log'\nsample = '0.1%'\ndnstap = { file = 'a.tap' }"), [""; 0]);
        assert_eq!(
            faults_of("queries = ''\nsample = '0%'\ndnstap = { queries = false, responses = false }"),
            [
                "dns: log.queries is a file without a name",
                "dns: log.sample is 0%: nothing would ever be told",
                "dns: log.dnstap goes nowhere",
                "dns: log.dnstap tells neither queries nor responses",
            ]
        );
        let both = faults_of("dnstap = { file = 'a', socket = 'b' }");
        assert_eq!(both, ["dns: log.dnstap goes to a socket or to a file, not to both"]);
    }
}
