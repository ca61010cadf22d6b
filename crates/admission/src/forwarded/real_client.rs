//! The client behind trusted proxies.

use super::node::Node;
use super::parse::parse_forwarded;
use crate::networks::Trust;
use std::net::IpAddr;

/// No chain of proxies is longer; what stands further left is not looked at.
const HOPS_MAX: usize = 32;

/// Who the client is. A proxy that is believed has named whom it was sent the request by, at the right end of the
/// list; if that is a proxy that is believed in turn, it has named somebody left of it, and so on: the first that is
/// not believed is the client. Where nobody is named, or nobody that has an address, it is the last one who was named.
///
/// Of [`Trust::Everybody`] it is only known that whoever connects is believed: the client is whom that one names.
///
/// `forwarded_for` are the values of `X-Forwarded-For` and `forwarded` those of `Forwarded`, each in the order of the
/// message. Where there is any `X-Forwarded-For`, `Forwarded` is not read: a proxy that knows only the one passes the
/// other on as its client has made it up, and the one that all of them know is the former.
pub fn real_client<'v, F, X>(peer: IpAddr, trust: &Trust, forwarded_for: X, forwarded: F) -> IpAddr
where
    X: IntoIterator<Item = &'v [u8], IntoIter: DoubleEndedIterator>,
    F: IntoIterator<Item = &'v [u8], IntoIter: DoubleEndedIterator>,
{
    let peer = peer.to_canonical();
    if !trust.believes(peer) {
        return peer;
    }
    let mut lines = forwarded_for.into_iter().rev().peekable();
    if lines.peek().is_some() {
        let entries = lines.flat_map(|line| line.rsplit(|byte| *byte == b','));
        let entries = entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
        walk(peer, trust, entries.map(Node::parse_loosely))
    } else {
        let nodes = forwarded.into_iter().rev().flat_map(|line| {
            match parse_forwarded(line) {
                Ok(nodes) => nodes,
                // One that names nobody, at which the walk ends.
                Err(_) => vec![None],
            }
            .into_iter()
            .rev()
        });
        walk(peer, trust, nodes)
    }
}

/// From the right to the left. `None` is a proxy that has named nobody.
fn walk(peer: IpAddr, trust: &Trust, nodes: impl Iterator<Item = Option<Node>>) -> IpAddr {
    let mut client = peer;
    for node in nodes.take(HOPS_MAX) {
        let Some(Node::Address(address)) = node else { break };
        client = address;
        if !matches!(trust, Trust::Networks(networks) if networks.contains(address)) {
            break;
        }
    }
    client
}
