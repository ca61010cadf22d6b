//! Zones on their way to and from other servers (RFC 5936, RFC 1995): whole, or as the differences between two states. No I/O.

mod access;
mod difference;
mod history;
mod incoming;
mod outgoing;
mod overlay;
#[cfg(test)]
mod tests;

pub(crate) use access::Access;
pub(crate) use difference::{Difference, is_newer};
pub(crate) use history::History;
pub(crate) use incoming::{Asked, Incoming, IncomingFault, Received, applied};
pub(crate) use outgoing::{Outgoing, Plan};
pub(crate) use overlay::{Overlay, is_same};

use crate::policy::Kind;
use crate::protocol::Name;
use crate::zone::{Record, Zone};
use domain::base::iana::Rtype;
use std::sync::Arc;

/// What other servers get of a zone: its records, and in the place of routes all addresses that their candidates are known by. Other
/// servers cannot choose.
pub(crate) fn records_of_routes(zone: &Zone) -> Vec<Record> {
    let mut all = Vec::new();
    for (name, kind) in zone.routes() {
        let owner: Arc<[u8]> = name.as_wire().into();
        let mut add = |rtype: Rtype, ttl: u32, data: &[u8]| {
            let record = Record { owner: Arc::clone(&owner), rtype, ttl, data: data.into() };
            if !all.contains(&record) {
                all.push(record);
            }
        };
        match &**kind {
            Kind::Policy(policy) => policy.fixed_addresses(|rtype, data| add(rtype, policy.ttl, data)),
            Kind::Alias(target) => addresses_of(zone, target, &mut add),
        }
        let Some(signed) = zone.node_named(&name).and_then(|node| zone.signed_route(node)) else { continue };
        for (_, signatures) in [Rtype::A, Rtype::AAAA].into_iter().filter_map(|rtype| signed.copied(rtype)) {
            signatures.rdatas().for_each(|data| add(Rtype::RRSIG, signatures.ttl(), data));
        }
    }
    all.sort();
    all
}

/// Those of a name of the same zone. What an alias has from elsewhere changes without this zone's serial.
fn addresses_of(zone: &Zone, target: &Name, add: &mut impl FnMut(Rtype, u32, &[u8])) {
    let Some(node) = zone.node_named(target) else { return };
    if let Some(Kind::Policy(policy)) = zone.route(node) {
        policy.fixed_addresses(|rtype, data| add(rtype, policy.ttl, data));
    }
    for rrset in [Rtype::A, Rtype::AAAA].into_iter().filter_map(|rtype| node.rrset(rtype)) {
        for start in rrset.starts() {
            let mut data = Vec::new();
            zone.uncompress(rrset, start, &mut data);
            add(rrset.rtype, rrset.ttl(), &data);
        }
    }
}

/// The SOA of a zone that is there.
pub(crate) fn soa_of(zone: &Zone) -> Record {
    let rrset = zone.apex_node().rrset(Rtype::SOA).expect("a zone has an SOA");
    let mut data = Vec::new();
    zone.uncompress(rrset, 0, &mut data);
    Record { owner: zone.apex().as_wire().into(), rtype: Rtype::SOA, ttl: rrset.ttl(), data: data.into() }
}

/// One of the five numbers at the end of an SOA's data: serial, refresh, retry, expire, minimum.
pub(crate) fn soa_number(data: &[u8], nth: usize) -> Option<u32> {
    let numbers = data.last_chunk::<20>()?;
    Some(u32::from_be_bytes(*numbers.as_chunks::<4>().0.get(nth)?))
}

/// The zone that messages of a transfer make: all of it, or what is newer than this one. Their identifiers are zero. For tests from outside.
pub fn judge_transfer(zone: &Zone, is_whole: bool, messages: &[&[u8]]) -> Option<Zone> {
    let asked = if is_whole { Asked::Whole } else { Asked::Since(zone.figures().serial) };
    let mut incoming = Incoming::new(zone.apex().clone(), asked, 0, 1 << 20);
    for message in messages {
        if incoming.take(message).ok()? {
            break;
        }
    }
    match incoming.finish().ok()? {
        Received::Current => None,
        Received::Whole(zone) => Some(*zone),
        Received::Differences(differences) => applied(zone, &differences).ok(),
    }
}
