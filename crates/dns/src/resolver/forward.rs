//! `forward`: those who are asked, as the file has them.

use super::upstream::Address;
use notation::{Faults, Name, TextOr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tls::{ClientTable, ClientTls};

/// One who is asked: `"9.9.9.9"`, or `{ to = "tls://192.0.2.1#dns.example", ca = "ca.pem" }`.
pub type Forward = TextOr<ForwardTable>;

/// One who is asked, and whom to believe that it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForwardTable {
    /// Where it is: `tls://ADDRESS#NAME`, `https://ADDRESS/PATH#NAME`.
    pub to: Name,
    /// A PEM file with the certificate authorities that may vouch for it; the system's otherwise. It is read again when it changes.
    pub ca: Option<PathBuf>,
}

/// The text of an entry, and the authorities that it names.
fn parts(entry: &Forward) -> (&Name, Option<&PathBuf>) {
    match entry {
        TextOr::Text(to) => (to, None),
        TextOr::Long(table) => (&table.to, table.ca.as_ref()),
    }
}

/// Checks all entries.
pub(super) fn check(entries: &[Forward], faults: &mut Faults) {
    let mut known: Vec<(&str, Address)> = Vec::new();
    for (to, ca) in entries.iter().map(parts) {
        let mut add = |message: String| faults.add(to.span(), format!("dns.resolver: forward: {message}"));
        match to.as_str().parse::<Address>() {
            Err(error) => add(error.to_string()),
            Ok(address) if ca.is_some() && !address.transport.is_encrypted() => {
                add(format!(
                    "{to:?} is not asked over TLS, and shows nothing that `ca` could vouch for",
                    to = to.as_str()
                ));
            }
            Ok(address) => match known.iter().find(|(_, other)| *other == address) {
                Some((first, _)) => add(format!("{to:?} is {first:?} again", to = to.as_str())),
                None => known.push((to.as_str(), address)),
            },
        }
    }
}

/// One who is asked, and what TLS to it is made with.
pub(super) struct Forwarder {
    pub(super) address: Address,
    pub(super) ca: Option<PathBuf>,
    pub(super) tls: Option<Arc<tls::Client>>,
}

/// Those that were checked; paths start from `dir`.
///
/// # Errors
/// When a file cannot be used, or the machine has no authorities.
pub(super) fn load(entries: &[Forward], dir: &Path) -> Result<Vec<Forwarder>, tls::Error> {
    let entries = entries.iter().map(parts).filter_map(|(to, ca)| Some((to.as_str().parse().ok()?, ca)));
    let loaded = entries.map(|(address, ca): (Address, _)| {
        let transport = address.transport;
        let table = ClientTable { ca: ca.cloned(), ..ClientTable::default() };
        let load = || {
            let whose = format!("dns.resolver {address}");
            tls::Client::load(&ClientTls(table), &whose, dir, transport.alpn(), tls::system_time())
                .map(Arc::new)
        };
        let tls = transport.is_encrypted().then(load).transpose()?;
        Ok(Forwarder { address, ca: ca.map(|ca| dir.join(ca)), tls })
    });
    loaded.collect()
}

#[cfg(test)]
mod tests {
    use crate::check::tests::told;
    use crate::resolver::ResolverConfig;

    fn faults_of(text: &str) -> Vec<String> {
        told::<ResolverConfig>(text, crate::resolver::config::check)
    }

    #[test]
    fn what_cannot_be_asked_or_vouched_for_is_said() {
        let fine = "forward = ['9.9.9.9', 'tls://9.9.9.9#dns.quad9.net', { to = 'https://192.0.2.1#x.test', ca = 'ca.pem' }]";
        assert_eq!(faults_of(fine), [""; 0]);
        assert_eq!(
            faults_of("forward = ['tls://dns.test', 'nobody', { to = 'tcp://9.9.9.9', ca = 'ca.pem' }]"),
            [
                "dns.resolver: forward: \"tls://dns.test\": \"dns.test\" is a name that would have to be looked up; write the server's address, and the name of its certificate after `#`",
                "dns.resolver: forward: \"nobody\" is no server to forward to: an address, with a port or without, perhaps after `tcp://`, `tls://` or `https://`",
                "dns.resolver: forward: \"tcp://9.9.9.9\" is not asked over TLS, and shows nothing that `ca` could vouch for",
            ]
        );
    }

    #[test]
    fn one_that_is_written_twice_in_whatever_way_is_said() {
        assert_eq!(
            faults_of("forward = ['9.9.9.9', 'tcp://9.9.9.9', 'udp://9.9.9.9:53']"),
            ["dns.resolver: forward: \"udp://9.9.9.9:53\" is \"9.9.9.9\" again"]
        );
    }
}
