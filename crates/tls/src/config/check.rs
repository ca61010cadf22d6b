//! What the types of the file cannot say about TLS.

use super::{Automatic, ClientTls, EdgeTls, TlsConfig};
use notation::{Faults, Name};
use rustls::pki_types::ServerName;

/// The longest life of a ticket (RFC 8446 §4.6.1); one lives for two rotations at most.
const TICKET_DAYS_MAX: u64 = 7;
/// The shortest rotation: below it a node's clock decides who resumes.
const ROTATE_SECS_MIN: u64 = 60;

/// Checks `tls` of a site or a listener. `whose` says in a fault whose it is, `"site shop.test"`; `name` is its
/// name in the file.
pub fn check_server(config: &TlsConfig, whose: &str, name: &Name, faults: &mut Faults) {
    let table = &config.0;
    let given = [table.auto.is_some(), table.cert.is_some() || table.key.is_some(), !table.certs.is_empty()];
    match given.into_iter().filter(|given| *given).count() {
        0 => faults.add_with_help(
            name.span(),
            format!("{whose}: `tls` does not say which certificate it shows"),
            "give `cert` and `key`, or `tls = \"self-signed\"`",
        ),
        1 => {}
        _ => faults.add(name.span(), format!("{whose}: `tls` takes one of `auto`, `cert` and `certs`")),
    }
    let mut whole = |one: bool, other: bool, message: &str| {
        if one && !other {
            faults.add(name.span(), format!("{whose}: {message}"));
        }
    };
    whole(table.cert.is_some(), table.key.is_some(), "`tls.cert` is without its `key`");
    whole(table.key.is_some(), table.cert.is_some(), "`tls.key` is without its `cert`");
    whole(table.ocsp.is_some(), table.cert.is_some(), "`tls.ocsp` is without the `cert` it speaks of");
    if table.auto == Some(Automatic::Acme) && name.as_str() == "default" {
        faults.add_with_help(
            name.span(),
            format!("{whose}: `tls = \"acme\"` wants a name to ask a certificate for"),
            "name the site by its host, or give `default` a `cert` and `key`",
        );
    }
}

/// Checks `[edge.tls]`.
pub fn check_edge(config: &EdgeTls, faults: &mut Faults) {
    if config.versions.is_empty() {
        faults.add_with_help(None, "[edge.tls] versions is empty", "both are `[\"1.2\", \"1.3\"]`");
    }
    let rotate = config.tickets.rotate;
    let secs = rotate.get().as_secs();
    if secs < ROTATE_SECS_MIN || secs * 2 > TICKET_DAYS_MAX * 86_400 {
        faults.add(
            None,
            format!(
                "[edge.tls] tickets.rotate is {rotate}: from 1m to 3d12h, as a ticket lives for two of it"
            ),
        );
    }
}

/// Checks `tls` of a pool; `name` is the pool's.
pub fn check_client(config: &ClientTls, name: &Name, faults: &mut Faults) {
    let table = &config.0;
    let mut add = |message: &str| faults.add(name.span(), format!("pool `{name}`: {message}"));
    if table.cert.is_some() != table.key.is_some() {
        add("`tls.cert` and `tls.key` go together");
    }
    if !table.verify && table.ca.is_some() {
        add("`tls.ca` says whom to believe, and `tls.verify = false` to believe anybody");
    }
    if let Some(server_name) = &table.server_name
        && ServerName::try_from(server_name.as_str()).is_err()
    {
        add(&format!("`tls.server_name` is {server_name:?}, which is no host name"));
    }
}
