//! From what a zone consists of to what is served: the one place between both.

use crate::publishing::Publisher;
use crate::zone::{Zone, ZoneBuilder};
use domain::base::iana::Rtype;
use std::sync::Arc;
use std::time::SystemTime;

/// What whoever signs a zone makes.
const MADE_BY_SIGNERS: [Rtype; 7] =
    [Rtype::RRSIG, Rtype::NSEC, Rtype::NSEC3, Rtype::NSEC3PARAM, Rtype::DNSKEY, Rtype::CDS, Rtype::CDNSKEY];

/// Serves the content of a zone, wherever that came from: a transfer, or a file with a journal; it is signed first, if it is to be. Says
/// whether that could be done: what cannot be signed for the moment, as the disk is full, is tried again. Not for a core.
pub(crate) fn serve(publisher: &Publisher, content: &Arc<Zone>) -> bool {
    match publisher.serve(content, SystemTime::now()) {
        Ok(_) => true,
        Err(error) => {
            tracing::error!(target: "dns", zone = %content.apex(), %error, "what has changed of the zone cannot be signed for the moment");
            false
        }
    }
}

/// What of a zone from elsewhere is signed here: all but what its signer made (as BIND's `inline-signing` and Knot DNS do). DS records are of
/// other zones' keys, and stay.
pub(crate) fn unsigned(content: &Arc<Zone>) -> Arc<Zone> {
    let is_made = |rtype: Rtype| MADE_BY_SIGNERS.contains(&rtype);
    let nodes = content.nodes().flat_map(|(_, node)| node.rrsets());
    if !nodes.map(|rrset| rrset.rtype).any(is_made) {
        return Arc::clone(content);
    }
    let mut builder = ZoneBuilder::new(content.apex().clone());
    builder.routes_of(content);
    for record in content.records().filter(|record| !is_made(record.rtype)) {
        let owner = crate::protocol::Name::from_wire(&record.owner).expect("a zone has whole names");
        builder.record(&owner, record.rtype, record.ttl, &record.data);
    }
    // It has an SOA and NS as before, and nothing that it had not.
    Arc::new(builder.finish().expect("a zone with less in it is one").zone)
}
