//! What `up` prints once it listens: what is where, and a command to try for each.

use crate::node::reachable;
use crate::print::{Paint, Table, counted};
use std::net::SocketAddr;
use topology::{Layer4Status, ListenerStatus, SiteStatus, Status};

/// More sites than this are counted, not listed.
const SITES_MAX: usize = 12;

/// A store that files are pushed to.
pub(super) struct Pushed {
    pub(super) store: String,
    /// A file of the release that is served, as a URL writes it.
    pub(super) file: Option<String>,
}

/// The table, to be written in one go, so that no log line gets between.
pub(super) fn listing(status: &Status, pushed: &[Pushed], token: Token<'_>, paint: Paint) -> String {
    let mut table = Table::new(["WHAT", "LISTENS AT", "TRY"]);
    let first_of_edge = status.listeners.iter().find(|listener| listener.tier == "edge");
    for listener in &status.listeners {
        if listener.tier == "admin" {
            let header = token.header();
            let metrics = format!("curl {header}http://{}/metrics", reachable(listener.address));
            table.row(["admin".into(), listener.address.to_string(), metrics]);
        } else if listener.tier == "layer4" {
            layer4(status, listener, &mut table);
        } else if listener.tier == "dns" {
            let zone = status.zones.first().map(|zone| zone.name.as_str());
            dns(&status.listeners, zone, listener, &mut table);
        } else {
            sites(&status.sites, listener, &mut table);
            if first_of_edge == Some(listener) {
                stores(&status.sites, pushed, listener, &mut table);
            }
        }
    }
    let name = format!("{} {}", paint.strong("nines"), status.version);
    let tiers = [
        (status.sites.len(), "site"),
        (status.zones.len(), "zone"),
        (status.pools.len(), "pool"),
        (status.services.len(), "service"),
    ];
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

/// DNS, once for each address: those of UDP, if TCP is there as well. What is TCP alone is TLS.
fn dns(all: &[ListenerStatus], zone: Option<&str>, listener: &ListenerStatus, table: &mut Table) {
    let at = reachable(listener.address);
    let is_twin =
        |one: &ListenerStatus| one.tier == "dns" && one.protocol == "udp" && one.address == listener.address;
    if listener.protocol == "tcp" && all.iter().any(is_twin) {
        return;
    }
    let options = if listener.protocol == "tcp" { " +tls" } else { "" };
    let asked = zone.unwrap_or("id.server ch txt");
    table.row([
        format!("dns {}", zone.unwrap_or_default()).trim_end().to_owned(),
        listener.address.to_string(),
        format!("dig @{} -p {}{options} {asked}", at.ip(), at.port()),
    ]);
}

fn sites(sites: &[SiteStatus], listener: &ListenerStatus, table: &mut Table) {
    let scheme = Scheme::of(&listener.protocol);
    // Over TLS those are there that have a certificate; that of the default site does for all.
    let is_any = scheme == Scheme::Http || sites.iter().any(|site| site.host == "default" && site.tls);
    let here: Vec<&SiteStatus> = sites.iter().filter(|site| is_any || site.tls).collect();
    for (nth, site) in here.iter().take(SITES_MAX).enumerate() {
        let listens = match scheme {
            _ if nth > 0 => String::new(),
            Scheme::Http3 => format!("{} UDP", listener.address),
            Scheme::Http | Scheme::Https => listener.address.to_string(),
        };
        table.row([
            format!("site {}", site.host),
            listens,
            example(site, front(site), reachable(listener.address), scheme),
        ]);
    }
    if here.len() > SITES_MAX {
        table.row([format!("{} more sites", here.len() - SITES_MAX), String::new(), "nines status".into()]);
    }
}

/// Stores, each with a file of it, or how it comes by one.
fn stores(sites: &[SiteStatus], pushed: &[Pushed], listener: &ListenerStatus, table: &mut Table) {
    let scheme = Scheme::of(&listener.protocol);
    for Pushed { store, file } in pushed {
        let action = format!("files of push {store}");
        let route = |site: &'_ SiteStatus| {
            site.routes.iter().find(|route| route.action == action).map(|route| route.path.clone())
        };
        let site = sites.iter().find_map(|site| Some((site, route(site)?)));
        let command = match (site, file) {
            (Some((site, route)), Some(file)) => {
                let path = if route.ends_with('/') { format!("{route}{file}") } else { route };
                example(site, &path, reachable(listener.address), scheme)
            }
            _ => format!("nines push DIR {store}"),
        };
        table.row([format!("push {store}"), String::new(), command]);
    }
}

/// How a site is spoken to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    Http3,
}

impl Scheme {
    fn of(protocol: &str) -> Self {
        match protocol {
            "https" => Self::Https,
            "http3" => Self::Http3,
            _ => Self::Http,
        }
    }
}

/// A `curl` command that reaches the site at this address. Over TLS the host is part of the handshake, so that a header
/// does not do; `-k`, as the certificate of a first try is hardly one that this machine believes.
fn example(site: &SiteStatus, path: &str, address: SocketAddr, scheme: Scheme) -> String {
    let host = match site.host.as_str() {
        "default" => None,
        host => Some(host.replacen("*.", "www.", 1)),
    };
    let (ip, port) = (address.ip(), address.port());
    let ip = if address.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    let mut command = "curl ".to_owned();
    let at = match (scheme, host) {
        (Scheme::Http, Some(host)) => {
            command += &format!("-H 'Host: {host}' ");
            ip
        }
        (Scheme::Https | Scheme::Http3, Some(host)) => {
            command += &format!("--resolve '{host}:{port}:{ip}' ");
            host
        }
        (_, None) => ip,
    };
    command += match scheme {
        Scheme::Http => "",
        Scheme::Https => "-k ",
        Scheme::Http3 => "-k --http3-only ",
    };
    let (word, usual) = if scheme == Scheme::Http { ("http", 80) } else { ("https", 443) };
    let port = if port == usual { String::new() } else { format!(":{port}") };
    let url = format!("{word}://{at}{port}{path}");
    // Brackets of an address are a pattern to curl, a few other characters are one to the shell.
    if at.starts_with('[') {
        format!("{command}-g '{url}'")
    } else if path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-~%".contains(c)) {
        format!("{command}{url}")
    } else {
        format!("{command}'{url}'")
    }
}

/// The front page, or when the site has none the first path that it has.
fn front(site: &SiteStatus) -> &str {
    let front = site.routes.iter().find(|route| route.path == "/").or(site.routes.first());
    front.map_or("/", |route| route.path.as_str())
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

    fn example(site: &SiteStatus, address: SocketAddr, scheme: Scheme) -> String {
        super::example(site, front(site), address, scheme)
    }

    fn site(host: &str, paths: &[&str]) -> SiteStatus {
        let route =
            |path: &&str| RouteStatus { path: (*path).into(), conditional: false, action: "pool x".into() };
        SiteStatus { host: host.into(), tls: host != "plain.test", routes: paths.iter().map(route).collect() }
    }

    #[test]
    fn a_command_names_the_host_unless_any_host_will_do() {
        let at = "127.0.0.1:8080".parse().unwrap();
        assert_eq!(example(&site("default", &["/"]), at, Scheme::Http), "curl http://127.0.0.1:8080/");
        let shop = example(&site("shop.test", &["/"]), at, Scheme::Http);
        assert_eq!(shop, "curl -H 'Host: shop.test' http://127.0.0.1:8080/");
        let any = example(&site("*.shop.test", &["/"]), at, Scheme::Http);
        assert_eq!(any, "curl -H 'Host: www.shop.test' http://127.0.0.1:8080/");
    }

    #[test]
    fn a_command_asks_for_a_path_that_the_site_has() {
        let at = "127.0.0.1:80".parse().unwrap();
        assert_eq!(example(&site("default", &["/a/", "/b"]), at, Scheme::Http), "curl http://127.0.0.1/a/");
        assert_eq!(example(&site("default", &["/a&b"]), at, Scheme::Http), "curl 'http://127.0.0.1/a&b'");
    }

    #[test]
    fn over_tls_a_command_resolves_the_host_and_believes_any_certificate() {
        let at = "127.0.0.1:8443".parse().unwrap();
        let default = site("default", &["/"]);
        assert_eq!(example(&default, at, Scheme::Https), "curl -k https://127.0.0.1:8443/");
        assert_eq!(example(&default, at, Scheme::Http3), "curl -k --http3-only https://127.0.0.1:8443/");
        let shop = example(&site("*.shop.test", &["/a"]), at, Scheme::Https);
        assert_eq!(shop, "curl --resolve 'www.shop.test:8443:127.0.0.1' -k https://www.shop.test:8443/a");
        let at = "[::1]:443".parse().unwrap();
        let shop = example(&site("shop.test", &["/"]), at, Scheme::Https);
        assert_eq!(shop, "curl --resolve 'shop.test:443:[::1]' -k https://shop.test/");
    }

    #[test]
    fn over_tls_those_are_listed_that_have_a_certificate() {
        let listener = |protocol: &str| ListenerStatus {
            tier: "edge".into(),
            protocol: protocol.into(),
            address: "127.0.0.1:8443".parse().unwrap(),
        };
        let listed = |protocol: &str| {
            let mut table = Table::new(["WHAT", "LISTENS AT", "TRY"]);
            sites(&[site("plain.test", &["/"]), site("shop.test", &["/"])], &listener(protocol), &mut table);
            table.render(Paint::new(false))
        };
        assert!(listed("http").contains("plain.test"));
        assert!(!listed("https").contains("plain.test") && listed("https").contains("shop.test"));
        assert!(listed("http3").contains("127.0.0.1:8443 UDP"));
    }

    #[test]
    fn a_store_is_listed_with_a_file_of_it_or_with_how_it_comes_by_one() {
        let mut shop = site("default", &["/", "/assets/"]);
        shop.routes[1].action = "files of push assets".into();
        let listener = ListenerStatus {
            tier: "edge".into(),
            protocol: "http".into(),
            address: "127.0.0.1:8080".parse().unwrap(),
        };
        let listed = |store: &str, file: Option<&str>| {
            let mut table = Table::new(["WHAT", "LISTENS AT", "TRY"]);
            let pushed = [Pushed { store: store.into(), file: file.map(Into::into) }];
            stores(std::slice::from_ref(&shop), &pushed, &listener, &mut table);
            table.render(Paint::new(false))
        };
        let served = listed("assets", Some("a%20b.css"));
        assert!(
            served.contains("push assets") && served.contains("curl http://127.0.0.1:8080/assets/a%20b.css")
        );
        assert!(listed("assets", None).contains("nines push DIR assets"));
        assert!(listed("other", Some("a.css")).contains("nines push DIR other"));
    }

    #[test]
    fn dns_is_listed_once_for_each_address_with_a_zone_to_ask_for() {
        let listener = |protocol: &str, address: &str| ListenerStatus {
            tier: "dns".into(),
            protocol: protocol.into(),
            address: address.parse().unwrap(),
        };
        let listeners =
            [listener("tcp", "0.0.0.0:53"), listener("udp", "0.0.0.0:53"), listener("tcp", "[::1]:54")];
        let listed = |zone: Option<&str>| {
            let mut table = Table::new(["WHAT", "LISTENS AT", "TRY"]);
            listeners.iter().for_each(|one| dns(&listeners, zone, one, &mut table));
            table.render(Paint::new(false))
        };
        let shop = listed(Some("shop.test"));
        assert!(shop.contains("dig @127.0.0.1 -p 53 shop.test"), "{shop}");
        assert!(shop.contains("dig @::1 -p 54 +tls shop.test"), "{shop}");
        assert_eq!(shop.matches("dns shop.test").count(), 2);
        assert!(listed(None).contains("dig @127.0.0.1 -p 53 id.server ch txt"));
    }

    #[test]
    fn an_ipv6_address_is_quoted_and_no_pattern() {
        let at = "[::1]:8080".parse().unwrap();
        assert_eq!(example(&site("default", &["/"]), at, Scheme::Http), "curl -g 'http://[::1]:8080/'");
    }

    #[test]
    fn a_token_is_named_and_not_shown() {
        assert_eq!(Token::Env("T").header(), "-H \"Authorization: Bearer $T\" ");
    }
}
