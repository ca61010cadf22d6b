//! `[dns.resolver]`: for whom names are looked up, and where.

use super::forward::{self, Forward};
use admission::{NetworkEntry, check_networks};
use notation::{Duration, Faults, Name, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A resolver: names that are in none of the file's zones are looked up elsewhere, and the answers are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResolverConfig {
    /// Who may ask: `["192.168.0.0/16", { file = "clients.txt" }]`. Without it only this machine may; everybody else is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<NetworkEntry>>,
    /// Resolvers that are asked: `["9.9.9.9", "tls://9.9.9.9#dns.quad9.net"]`; the fastest first. Without it names are looked up from
    /// the root on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forward: Vec<Forward>,
    /// Whether signatures are validated (DNSSEC). Without `forward` they are, unless this says no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validate: Option<bool>,
    /// A zone file with the addresses of root servers, in place of the world's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_hints: Option<PathBuf>,
    /// A zone file with DNSKEY records of the root, in place of the world's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_anchor: Option<PathBuf>,
    /// Servers in these networks are asked although they are private or loopback, when names are looked up from the root on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private_servers: Vec<Name>,
    /// Memory for answers.
    pub memory: Size,
    /// How long answers are kept.
    pub ttl: ResolverTtl,
    /// Answers that are used beyond their time.
    pub stale: ResolverStale,
    /// Whether an answer that is asked for in the last tenth of its time is asked for anew, before it is over.
    pub prefetch: bool,
    /// How much at once.
    pub limit: ResolverLimits,
    /// How long a name may take to be looked up.
    pub timeout: Duration,
    /// Whether letters of questions are large or small by chance, which answers must repeat: harder to guess, but some servers
    /// do not repeat them.
    pub random_case: bool,
    /// Whether the subnet that a client tells (EDNS client subnet) is told to those who are asked, and answers are kept by it.
    pub client_subnet: bool,
    /// Whether names that are nobody's (`localhost`, `invalid`, addresses of private networks) are answered here.
    pub special_names: bool,
    /// Lists of names that are not looked up: one name a line, or the lines of a hosts file. They are read again when they change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub block: Vec<PathBuf>,
    /// What is answered for names on such a list.
    pub block_answer: BlockAnswer,
}

/// What is answered for names that are blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BlockAnswer {
    /// That there is no such name.
    #[default]
    Nxdomain,
    /// The addresses `0.0.0.0` and `::`.
    Zero,
}

/// How long answers are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResolverTtl {
    /// At least so long.
    pub min: Duration,
    /// At most so long.
    pub max: Duration,
    /// That something is not there, at most so long.
    pub negative: Duration,
}

/// Answers that are used beyond their time (RFC 8767).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResolverStale {
    /// For so long beyond their time, when no other can be got; `"0s"` never.
    #[serde(rename = "for")]
    pub lasting: Duration,
    /// A client waits so long for a new one.
    pub wait: Duration,
}

/// How much at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResolverLimits {
    /// Names that are being looked up.
    #[schemars(range(min = 1))]
    pub lookups: u32,
    /// Queries of clients that wait; more hear SERVFAIL.
    #[schemars(range(min = 1))]
    pub waiting: u32,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        Self {
            allow: None,
            forward: Vec::new(),
            validate: None,
            root_hints: None,
            trust_anchor: None,
            private_servers: Vec::new(),
            memory: Size::bytes(64 << 20),
            ttl: ResolverTtl::default(),
            stale: ResolverStale::default(),
            prefetch: true,
            limit: ResolverLimits::default(),
            timeout: Duration::secs(5),
            random_case: false,
            client_subnet: false,
            special_names: true,
            block: Vec::new(),
            block_answer: BlockAnswer::default(),
        }
    }
}

impl Default for ResolverTtl {
    fn default() -> Self {
        Self { min: Duration::secs(0), max: Duration::secs(86_400), negative: Duration::secs(3600) }
    }
}

impl Default for ResolverStale {
    fn default() -> Self {
        Self { lasting: Duration::secs(86_400), wait: Duration::millis(1800) }
    }
}

impl Default for ResolverLimits {
    fn default() -> Self {
        Self { lookups: 1024, waiting: 4096 }
    }
}

impl ResolverConfig {
    /// Whether signatures are validated.
    pub(super) fn validates(&self) -> bool {
        self.validate.unwrap_or(self.forward.is_empty())
    }
}

/// RFC 8767 §4 and RFC 2181 §8: a week, and whole seconds.
const SECONDS_MAX: u64 = 7 * 86_400;
/// Less holds no more than some hundred answers.
const MEMORY_MIN: usize = 256 << 10;

/// Checks `[dns.resolver]`, all but what is in its files.
pub(crate) fn check(config: &ResolverConfig, faults: &mut Faults) {
    if let Some(allow) = &config.allow {
        check_networks(allow, "dns.resolver: allow", None, faults);
    }
    forward::check(&config.forward, faults);
    check_recursion(config, faults);
    check_times(config, faults);
    if config.memory.as_usize() < MEMORY_MIN {
        faults.add(None, format!("dns.resolver: memory is {}, of 256KiB or more", config.memory));
    }
    let zeroes = [
        ("timeout", config.timeout.get().is_zero()),
        ("limit.lookups", config.limit.lookups == 0),
        ("limit.waiting", config.limit.waiting == 0),
    ];
    for (key, _) in zeroes.iter().filter(|(_, is_zero)| *is_zero) {
        faults.add(None, format!("dns.resolver: {key} is zero: nothing would ever be looked up"));
    }
    if config.block.iter().any(|path| path.as_os_str().is_empty()) {
        faults.add(None, "dns.resolver: block: a file without a name");
    }
}

/// What concerns only those who ask from the root on, and those who do not.
fn check_recursion(config: &ResolverConfig, faults: &mut Faults) {
    for network in &config.private_servers {
        if let Err(error) = network.as_str().parse::<admission::Network>() {
            faults.add(network.span(), format!("dns.resolver: private_servers: {error}"));
        }
    }
    if config.trust_anchor.is_some() && !config.validates() {
        faults.add(None, "dns.resolver: trust_anchor needs `validate = true`");
    }
    if config.client_subnet && config.validates() {
        faults.add(
            None,
            "dns.resolver: client_subnet needs `validate = false`: keys are not asked for by subnet",
        );
    }
    if config.forward.is_empty() {
        if config.client_subnet {
            faults.add(None, "dns.resolver: client_subnet needs `forward`: others are not told of clients");
        }
        return;
    }
    let useless = [
        ("root_hints", config.root_hints.is_some()),
        ("private_servers", !config.private_servers.is_empty()),
    ];
    for (key, _) in useless.iter().filter(|(_, is_set)| *is_set) {
        faults.add(
            None,
            format!("dns.resolver: {key} is for looking up from the root on, and `forward` is not"),
        );
    }
}

fn check_times(config: &ResolverConfig, faults: &mut Faults) {
    let times = [
        ("ttl.min", config.ttl.min),
        ("ttl.max", config.ttl.max),
        ("ttl.negative", config.ttl.negative),
        ("stale.for", config.stale.lasting),
    ];
    for (key, time) in times {
        let of = time.get();
        if of.subsec_nanos() != 0 || of.as_secs() > SECONDS_MAX {
            faults.add(None, format!("dns.resolver: {key} is {time}, of whole seconds up to a week"));
        }
    }
    if config.ttl.min.get() > config.ttl.max.get() {
        faults.add(None, format!("dns.resolver: ttl.min is {}, more than ttl.max", config.ttl.min));
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
    fn what_cannot_be_looked_up_is_said() {
        assert_eq!(faults_of(""), [""; 0]);
        assert_eq!(
            faults_of("forward = ['9.9.9.9', 'tcp://[2001:db8::1]:5353']\nclient_subnet = true"),
            [""; 0]
        );
        assert_eq!(
            faults_of("memory = '1KiB'\ntimeout = '0s'\nlimit = { lookups = 0, waiting = 0 }"),
            [
                "dns.resolver: memory is 1KiB, of 256KiB or more",
                "dns.resolver: timeout is zero: nothing would ever be looked up",
                "dns.resolver: limit.lookups is zero: nothing would ever be looked up",
                "dns.resolver: limit.waiting is zero: nothing would ever be looked up",
            ]
        );
        assert_eq!(
            faults_of("ttl = { min = '1500ms', max = '1s', negative = '8d' }"),
            [
                "dns.resolver: ttl.min is 1s500ms, of whole seconds up to a week",
                "dns.resolver: ttl.negative is 8d, of whole seconds up to a week",
                "dns.resolver: ttl.min is 1s500ms, more than ttl.max",
            ]
        );
    }

    #[test]
    fn what_does_not_go_together_is_said() {
        let of = |text: &str| faults_of(text).len();
        assert_eq!(of("forward = ['9.9.9.9']\nroot_hints = 'a'\nprivate_servers = ['10.0.0.0/8']"), 2);
        assert_eq!(of("forward = ['9.9.9.9']\ntrust_anchor = 'a'"), 1);
        assert_eq!(of("forward = ['9.9.9.9']\ntrust_anchor = 'a'\nvalidate = true"), 0);
        assert_eq!(of("forward = ['9.9.9.9']\nvalidate = true\nclient_subnet = true"), 1);
        assert_eq!(of("client_subnet = true\nvalidate = false"), 1);
        assert_eq!(of("private_servers = ['nowhere']"), 1);
        assert_eq!(of("root_hints = 'a'\ntrust_anchor = 'b'\nprivate_servers = ['127.0.0.0/8']"), 0);
    }
}
