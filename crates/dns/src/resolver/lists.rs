//! Names that are not looked up: lists of domains, and hosts files.
//!
//! A name is kept as a keyed hash of 64 bits: a million names take some 10 MiB, and of names that are on no list one in some ten
//! million millions is taken for one that is.

use crate::protocol::Name;
use crate::zone::hash::Key;
use admission::BuildHashed;
use std::collections::HashSet;
use std::net::IpAddr;

/// The names of all lists.
#[derive(Default)]
pub(crate) struct Blocked {
    /// Names of hosts files.
    exact: Hashes,
    /// Domains: with every name below them.
    domains: Hashes,
}

type Hashes = HashSet<u64, BuildHashed>;

/// What is wrong with a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListFault {
    /// The line, from 1.
    pub(crate) line: u32,
    pub(crate) message: String,
}

/// Names of hosts files that say where this machine is, and block nothing.
const OWN: [&str; 9] = [
    "localhost",
    "localhost.localdomain",
    "local",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
];

impl Blocked {
    /// Reads one more list: a line is a domain (`*.` and a dot before it say nothing more), or an address and names.
    pub(crate) fn read(&mut self, text: &str) -> Result<(), ListFault> {
        for (line, text) in (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()) {
            let text = text.split('#').next().unwrap_or_default().trim();
            let mut words = text.split_whitespace();
            let Some(first) = words.next() else { continue };
            // Lists of other kinds have comments of this sort.
            if first.starts_with('!') {
                continue;
            }
            let fault = |message| ListFault { line, message };
            if first.parse::<IpAddr>().is_ok() {
                for name in words.filter(|name| !OWN.contains(name)) {
                    // Some write addresses in the place of names.
                    if name.parse::<IpAddr>().is_err() {
                        self.exact.insert(hash(name).map_err(fault)?);
                    }
                }
                continue;
            }
            if words.next().is_some() {
                return Err(fault(format!("{text:?} is neither a domain nor an address with names")));
            }
            let domain = first.strip_prefix("*.").or_else(|| first.strip_prefix('.')).unwrap_or(first);
            self.domains.insert(hash(domain).map_err(fault)?);
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.domains.is_empty()
    }

    /// Whether a name is on a list, or below one that is.
    #[inline]
    pub(crate) fn has(&self, name: &Name) -> bool {
        let key = Key::of_process();
        let mut hash = key.root();
        for depth in 1..=name.labels() {
            hash = key.below(hash, name, depth);
            if self.domains.contains(&hash.whole()) {
                return true;
            }
        }
        self.exact.contains(&hash.whole())
    }
}

fn hash(name: &str) -> Result<u64, String> {
    let name: Name = name.parse().map_err(|error| format!("{name:?} is no domain: {error}"))?;
    if name.labels() == 0 {
        return Err("the root would block everything".into());
    }
    Ok(Key::of_process().name(&name).whole())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Blocked, ListFault> {
        let mut blocked = Blocked::default();
        blocked.read(text).map(|()| blocked)
    }

    fn has(blocked: &Blocked, name: &str) -> bool {
        blocked.has(&name.parse().unwrap())
    }

    #[test]
    fn a_domain_is_blocked_with_all_below_and_a_host_alone() {
        let text = "\u{feff}# ours\r\nAds.example # a comment\n\n*.track.test\n0.0.0.0 host.test other.test\n\
                    127.0.0.1 localhost\n::1 ip6-localhost six.test\n0.0.0.0 0.0.0.0\n! written by a machine\n";
        let blocked = read(text).unwrap();
        for name in [
            "ads.example",
            "A.b.ADS.example",
            "track.test",
            "x.track.test",
            "host.test",
            "other.test",
            "six.test",
        ] {
            assert!(has(&blocked, name), "{name}");
        }
        for name in ["example", "bads.example", "a.host.test", "localhost", "."] {
            assert!(!has(&blocked, name), "{name}");
        }
    }

    #[test]
    fn what_is_no_list_is_told_with_its_line() {
        let fault = |text: &str| read(text).err().unwrap();
        assert_eq!(fault("a.test\nb.test c.test").line, 2);
        assert_eq!(fault("a..test").message, "\"a..test\" is no domain: the name has an empty label");
        assert_eq!(fault(".").message, "\"\" is no domain: the name is empty");
        assert!(read("").unwrap().is_empty());
    }
}
