//! How pools, services and sites may be called.

use crate::file::tree::Tree;
use notation::Faults;
use std::net::IpAddr;

/// A label of a DNS name, so that every name can become one.
const NAME_BYTES_MAX: usize = 63;

/// RFC 1035 §2.3.4, as text without the final dot.
const HOST_BYTES_MAX: usize = 253;

pub(super) fn check(tree: &Tree<'_>, faults: &mut Faults) {
    for table in ["pool", "service", "push", "tcp", "udp"] {
        for (name, span) in tree.entries(table) {
            if !is_plain(name) {
                faults.add_with_help(
                    Some(span),
                    format!("{name:?} cannot be the name of a {table}"),
                    format!("names are 1 to {NAME_BYTES_MAX} lower-case letters, digits and hyphens"),
                );
            }
        }
    }
    for (host, span) in tree.entries("site") {
        if let Err(help) = check_host(host) {
            faults.add_with_help(Some(span), format!("{host:?} is not a host"), help);
        }
    }
}

fn is_plain(name: &str) -> bool {
    let is_allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_allowed)
}

/// A site's name: a host as a client sends it, without a port; `*.` before it for all names one or more
/// labels below; `default` for every host that has no site of its own.
fn check_host(site: &str) -> Result<(), String> {
    const FORMS: &str = "a site is \"shop.test\", \"*.shop.test\" or \"default\"";
    if site == "*" {
        return Err("every host without a site of its own is `[site.default]`".into());
    }
    if site.bytes().any(|c| c.is_ascii_uppercase()) {
        return Err(format!("hosts are written in lower case: {:?}", site.to_ascii_lowercase()));
    }
    if let Some((_, rest)) = site.split_once("://") {
        return Err(format!("without the scheme: {rest:?}"));
    }
    let address = site.strip_prefix('[').and_then(|site| site.strip_suffix(']')).unwrap_or(site);
    if address.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4() || site.starts_with('[')) {
        return Ok(());
    }
    if address.parse::<IpAddr>().is_ok() {
        return Err(format!("an IPv6 address is written in brackets: \"[{site}]\""));
    }
    if let Some((host, port)) = site.rsplit_once(':')
        && port.parse::<u16>().is_ok()
    {
        return Err(format!("without the port: {host:?}; `[edge] http` says where nines listens"));
    }
    let host = site.strip_prefix("*.").unwrap_or(site);
    let is_allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
    let is_label = |label: &str| (1..=NAME_BYTES_MAX).contains(&label.len()) && label.bytes().all(is_allowed);
    if host.len() <= HOST_BYTES_MAX && host.split('.').all(is_label) { Ok(()) } else { Err(FORMS.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_what_clients_send() {
        for host in
            ["shop.test", "*.shop.test", "default", "localhost", "127.0.0.1", "[::1]", "_dmarc.x", "a-b.c"]
        {
            assert_eq!(check_host(host), Ok(()), "{host}");
        }
        for host in [
            "",
            "*",
            "Shop.test",
            "shop.test:80",
            "http://shop.test",
            "::1",
            "a..b",
            ".a",
            "a b",
            "*.*.a",
            "ä.test",
        ] {
            assert!(check_host(host).is_err(), "{host}");
        }
    }

    #[test]
    fn names_can_become_a_dns_label() {
        assert!(is_plain("shop-2") && is_plain("a"));
        assert!(!is_plain("") && !is_plain("Shop") && !is_plain("a_b") && !is_plain("a.b"));
        assert!(is_plain(&"a".repeat(63)) && !is_plain(&"a".repeat(64)));
    }
}
