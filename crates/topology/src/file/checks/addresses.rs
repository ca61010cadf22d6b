//! Who listens where: no address twice, and nothing open to the network without a token.

use crate::config::Topology;
use crate::file::tree::Tree;
use notation::Faults;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;

pub(super) fn check(topology: &Topology, tree: &Tree<'_>, faults: &mut Faults) {
    let mut taken: BTreeMap<SocketAddr, String> = BTreeMap::new();
    for (address, who, span) in listeners(topology, tree) {
        // The kernel chooses a port for 0, a different one each time.
        if address.port() == 0 {
            continue;
        }
        match taken.get(&address) {
            Some(first) => {
                faults.add(span, format!("{who} cannot listen on {address}: {first} does"));
            }
            None => {
                taken.insert(address, who.to_owned());
            }
        }
    }
    let admin = topology.node.admin;
    if !admin.ip().is_loopback() && topology.node.admin_token.is_none() {
        faults.add_with_help(
            tree.value(&["node", "admin"]),
            format!("the admin API on {admin} is open to the network and has no token"),
            "set `admin_token = { env = \"NINES_ADMIN_TOKEN\" }`, or listen on 127.0.0.1",
        );
    }
}

/// Every address of the file, the default one of the admin API before the rest: what collides with it was
/// written by the user.
fn listeners<'t>(
    topology: &'t Topology,
    tree: &'t Tree<'_>,
) -> impl Iterator<Item = (SocketAddr, &'static str, Option<Range<usize>>)> + 't {
    let admin = (topology.node.admin, "the admin API", tree.value(&["node", "admin"]));
    let edge = topology.edge.iter().flat_map(|edge| edge.http.iter().enumerate());
    std::iter::once(admin)
        .chain(edge.map(|(nth, address)| (*address, "the edge", tree.item(&["edge", "http"], nth))))
}
