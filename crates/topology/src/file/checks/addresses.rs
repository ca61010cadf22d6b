//! Who listens where: no address twice, and nothing open to the network without a token.

use crate::config::ADMIN_DEFAULT;
use crate::file::tree::Tree;
use notation::Faults;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;

/// An address that is no address is a fault of the file's shape, and passed over here.
pub(super) fn check(tree: &Tree<'_>, faults: &mut Faults) {
    clashes(listeners(tree), faults);
    clashes(datagram_listeners(tree), faults);
    let (admin, span) = admin(tree);
    if !admin.ip().is_loopback() && tree.value(&["node", "admin_token"]).is_none() {
        faults.add_with_help(
            span,
            format!("the admin API on {admin} is open to the network and has no token"),
            "set `admin_token = { env = \"NINES_ADMIN_TOKEN\" }`, or listen on 127.0.0.1",
        );
    }
}

/// Who listens, where, and where that stands in the file.
type Listening = (SocketAddr, &'static str, Option<Range<usize>>);

fn clashes(listeners: Vec<Listening>, faults: &mut Faults) {
    let mut taken: BTreeMap<SocketAddr, &str> = BTreeMap::new();
    for (address, who, span) in listeners {
        // The kernel chooses a port for 0, a different one each time.
        if address.port() == 0 {
            continue;
        }
        match taken.get(&address) {
            Some(first) => {
                let first =
                    if *first == who { "it stands there twice".into() } else { format!("{first} does") };
                faults.add(span, format!("{who} cannot listen on {address}: {first}"));
            }
            None => {
                taken.insert(address, who);
            }
        }
    }
}

/// Every address of TCP in the file. The admin API comes last: where it only has its default, whoever wrote that
/// address for the edge is shown it.
fn listeners(tree: &Tree<'_>) -> Vec<Listening> {
    let edge = tree.texts(&["edge", "http"]).chain(tree.texts(&["edge", "https"]));
    let mut all: Vec<_> =
        edge.filter_map(|(text, span)| Some((text.parse().ok()?, "the edge", Some(span)))).collect();
    all.extend(layer4_listeners(tree, "tcp", "a listener of TCP"));
    all.extend(dns_listeners(tree));
    all.extend(dot_listeners(tree));
    let (address, span) = admin(tree);
    let admin = (address, "the admin API", span);
    match admin.2 {
        Some(_) => all.push(admin),
        None => all.insert(0, admin),
    }
    all
}

/// Every address of UDP, whose ports are its own.
fn datagram_listeners(tree: &Tree<'_>) -> Vec<Listening> {
    let http3 = tree.texts(&["edge", "http3"]);
    let mut all: Vec<Listening> =
        http3.filter_map(|(text, span)| Some((text.parse().ok()?, "the edge", Some(span)))).collect();
    all.extend(layer4_listeners(tree, "udp", "a listener of UDP"));
    all.extend(dns_listeners(tree));
    all
}

fn layer4_listeners<'t>(
    tree: &'t Tree<'_>,
    kind: &'static str,
    who: &'static str,
) -> impl Iterator<Item = Listening> + 't {
    let listeners = tree.entries(kind).map(|(name, _)| name);
    listeners.flat_map(move |name| {
        let texts: Vec<_> = tree.one_or_many(&[kind, name, "listen"]).collect();
        texts.into_iter().filter_map(move |(text, span)| Some((text.parse().ok()?, who, Some(span))))
    })
}

/// DNS has each of its addresses over UDP and TCP.
fn dns_listeners(tree: &Tree<'_>) -> Vec<Listening> {
    let texts = tree.one_or_many(&["dns", "listen"]);
    texts.filter_map(|(text, span)| Some((text.parse().ok()?, "dns", Some(span)))).collect()
}

/// Under TLS it is TCP alone.
fn dot_listeners(tree: &Tree<'_>) -> Vec<Listening> {
    let texts = tree.one_or_many(&["dns", "dot"]);
    texts.filter_map(|(text, span)| Some((text.parse().ok()?, "dns", Some(span)))).collect()
}

fn admin(tree: &Tree<'_>) -> (SocketAddr, Option<Range<usize>>) {
    match tree.text(&["node", "admin"]) {
        Some((text, span)) => (text.parse().unwrap_or(ADMIN_DEFAULT), Some(span)),
        None => (ADMIN_DEFAULT, None),
    }
}
