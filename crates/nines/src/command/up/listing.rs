//! What `up` prints once it listens: what is where, and a command to try for each.

use crate::node::reachable;
use crate::print::{Paint, Table, counted};
use std::net::SocketAddr;
use topology::{Layer4Status, ListenerStatus, SiteStatus, Status};

/// More sites than this are counted, not listed.
const SITES_MAX: usize = 12;

/// The table, to be written in one go, so that no log line gets between.
pub(super) fn listing(status: &Status, token: Token<'_>, paint: Paint) -> String {
    let mut table = Table::new(["WHAT", "LISTENS AT", "TRY"]);
    for listener in &status.listeners {
        if listener.tier == "admin" {
            let header = token.header();
            let metrics = format!("curl {header}http://{}/metrics", reachable(listener.address));
            table.row(["admin".into(), listener.address.to_string(), metrics]);
        } else if listener.tier == "layer4" {
            layer4(status, listener, &mut table);
        } else {
            sites(&status.sites, listener.address, &mut table);
        }
    }
    let name = format!("{} {}", paint.strong("nines"), status.version);
    let tiers =
        [(status.sites.len(), "site"), (status.pools.len(), "pool"), (status.services.len(), "service")];
    let tiers = tiers.iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(*count, what));
    let has = tiers.collect::<Vec<_>>().join(", ");
    format!("\n{name} runs {}: {has}\n\n{}\n", status.file.display(), table.render(paint))
}

/// A listener of TCP or UDP by its name. What is spoken there is between clients and endpoints: the command opens it.
fn layer4(status: &Status, listener: &ListenerStatus, table: &mut Table) {
    let is_it =
        |one: &&Layer4Status| one.protocol == listener.protocol && one.addresses.contains(&listener.address);
    let name = status.layer4.iter().find(is_it).map_or("", |one| one.name.as_str());
    let at = reachable(listener.address);
    let options = if listener.protocol == "udp" { "-u " } else { "" };
    table.row([
        format!("{} {name}", listener.protocol),
        listener.address.to_string(),
        format!("nc {options}{} {}", at.ip(), at.port()),
    ]);
}

fn sites(sites: &[SiteStatus], address: SocketAddr, table: &mut Table) {
    for (nth, site) in sites.iter().take(SITES_MAX).enumerate() {
        let listens = if nth == 0 { address.to_string() } else { String::new() };
        table.row([format!("site {}", site.host), listens, example(site, reachable(address))]);
    }
    if sites.len() > SITES_MAX {
        table.row([format!("{} more sites", sites.len() - SITES_MAX), String::new(), "nines status".into()]);
    }
}

/// A `curl` command that reaches the site at this address.
fn example(site: &SiteStatus, address: SocketAddr) -> String {
    let at = match address.port() {
        80 if address.is_ipv6() => format!("[{}]", address.ip()),
        80 => address.ip().to_string(),
        _ => address.to_string(),
    };
    let host = match site.host.as_str() {
        "default" => String::new(),
        host => format!("-H 'Host: {}' ", host.replacen("*.", "www.", 1)),
    };
    // The front page, or when the site has none the first path that it has.
    let front = site.routes.iter().find(|route| route.path == "/").or(site.routes.first());
    let path = front.map_or("/", |route| route.path.as_str());
    // Brackets of an address are a pattern to curl, a few other characters are one to the shell.
    let globoff = if address.is_ipv6() { "-g " } else { "" };
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-~%".contains(c)) && !address.is_ipv6();
    let url = if plain { format!("http://{at}{path}") } else { format!("'http://{at}{path}'") };
    format!("curl {globoff}{host}{url}")
}

/// How the admin API's token is given on a command line, without printing it.
#[derive(Clone, Copy)]
pub(super) enum Token<'a> {
    /// No token is needed.
    None,
    /// It is in this environment variable.
    Env(&'a str),
    /// It is in this file.
    File(&'a std::path::Path),
}

impl Token<'_> {
    fn header(self) -> String {
        match self {
            Self::None => String::new(),
            Self::Env(name) => format!("-H \"Authorization: Bearer ${name}\" "),
            Self::File(path) => format!("-H \"Authorization: Bearer $(cat '{}')\" ", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology::RouteStatus;

    fn site(host: &str, paths: &[&str]) -> SiteStatus {
        let route =
            |path: &&str| RouteStatus { path: (*path).into(), conditional: false, action: "pool x".into() };
        SiteStatus { host: host.into(), routes: paths.iter().map(route).collect() }
    }

    #[test]
    fn a_command_names_the_host_unless_any_host_will_do() {
        let at = "127.0.0.1:8080".parse().unwrap();
        assert_eq!(example(&site("default", &["/"]), at), "curl http://127.0.0.1:8080/");
        let shop = example(&site("shop.test", &["/"]), at);
        assert_eq!(shop, "curl -H 'Host: shop.test' http://127.0.0.1:8080/");
        let any = example(&site("*.shop.test", &["/"]), at);
        assert_eq!(any, "curl -H 'Host: www.shop.test' http://127.0.0.1:8080/");
    }

    #[test]
    fn a_command_asks_for_a_path_that_the_site_has() {
        let at = "127.0.0.1:80".parse().unwrap();
        assert_eq!(example(&site("default", &["/a/", "/b"]), at), "curl http://127.0.0.1/a/");
        assert_eq!(example(&site("default", &["/a&b"]), at), "curl 'http://127.0.0.1/a&b'");
    }

    #[test]
    fn an_ipv6_address_is_quoted_and_no_pattern() {
        let at = "[::1]:8080".parse().unwrap();
        assert_eq!(example(&site("default", &["/"]), at), "curl -g 'http://[::1]:8080/'");
    }

    #[test]
    fn a_token_is_named_and_not_shown() {
        assert_eq!(Token::Env("T").header(), "-H \"Authorization: Bearer $T\" ");
    }
}
