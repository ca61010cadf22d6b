//! A query and the zones become a response: RFC 1034 §4.3.2, with wildcards (RFC 4592), DNAME (RFC 6672), negative answers
//! (RFC 2308, RFC 8020) and truncation (RFC 2181 §9, RFC 9471).
//!
//! Responses are minimal: a positive answer carries no authority section, and what is additional is only the addresses of names in
//! the answer, or of a referral's servers.

mod chaos;
mod facts;
mod on_demand;
mod outcome;
mod resolution;
mod signed;
#[cfg(test)]
pub(crate) mod tests;

use crate::protocol::response::Response;
use crate::protocol::{Query, Rejection};
use crate::zones::{Located, Zones};
use domain::base::iana::{Class, OptRcode, Rtype};
use resolution::{Asked, Resolution};

pub(crate) use resolution::ALIASES_MAX;

pub use facts::Facts;
pub use outcome::{Kind, Outcome, SignedNow};

/// Writes the response to a query into `out`, whose content is replaced.
pub fn answer<'z>(zones: &'z Zones, query: &Query<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Outcome<'z> {
    let response = Response::begin(query.head, query.edns.as_ref(), facts, out);
    match query.class {
        Class::IN | Class::ANY => match query.rtype {
            // Transfers are no matter of one message, and are asked for elsewhere.
            Rtype::AXFR | Rtype::IXFR => error(query, facts, response, OptRcode::REFUSED),
            Rtype::MAILA | Rtype::MAILB => error(query, facts, response, OptRcode::NOTIMP),
            _ => from_zones(zones, query, facts, response),
        },
        Class::CH => chaos::answer(query, facts, response),
        _ => error(query, facts, response, OptRcode::REFUSED),
    }
}

/// Writes a response without records, for a query that is refused, fails, or has a bad cookie.
pub fn refuse(query: &Query<'_>, rcode: OptRcode, facts: &Facts<'_>, out: &mut Vec<u8>) -> Outcome<'static> {
    error(query, facts, Response::begin(query.head, query.edns.as_ref(), facts, out), rcode)
}

/// Writes an empty response that sends the client to a stream (TC), as for a flood that is answered now and then.
pub fn truncate(query: &Query<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Outcome<'static> {
    let mut response = Response::begin(query.head, query.edns.as_ref(), facts, out);
    response.truncated = true;
    error(query, facts, response, OptRcode::NOERROR)
}

/// Writes the response to what is no query, if it gets one.
pub fn reject(rejection: &Rejection<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Option<Outcome<'static>> {
    out.clear();
    let mut response = Response::begin(rejection.head?, rejection.edns.as_ref(), facts, out);
    response.rcode = rejection.rcode;
    response.finish(rejection.edns.as_ref(), facts);
    let rcode = rejection.rcode;
    Some(Outcome {
        kind: Kind::Error,
        rcode,
        zone: None,
        rtype: None,
        class: None,
        truncated: false,
        about: 0,
        signed: SignedNow::default(),
    })
}

fn from_zones<'z>(
    zones: &'z Zones,
    query: &Query<'_>,
    facts: &Facts<'_>,
    mut response: Response<'_>,
) -> Outcome<'z> {
    let (located, hash) = zones.locate(&query.name);
    let Some(Located { mut zone, mut apex, above }) = located else {
        return error(query, facts, response, OptRcode::REFUSED);
    };
    // RFC 4035 §3.1.4.1: DS stands in the zone above the cut.
    if query.rtype == Rtype::DS
        && zone.apex().labels() == query.name.labels()
        && let Some(above) = above
    {
        (zone, apex) = above;
    }
    if zone.is_withdrawn() {
        return error(query, facts, response, OptRcode::SERVFAIL);
    }
    response.apex_at = crate::protocol::HEADER_BYTES + query.name.wire_len() - zone.apex().wire_len();
    response.authoritative = true;
    let kind =
        Resolution::new(Asked { zones, query, facts }, zone, apex, &mut response).run(&query.name, hash);
    // RFC 1035 §6.2: an answer that is to hold for any class does not speak for all of them.
    response.authoritative &= query.class != Class::ANY;
    let outcome = Outcome {
        kind,
        rcode: response.rcode,
        zone: Some(zone),
        rtype: Some(query.rtype),
        class: Some(query.class),
        truncated: response.truncated,
        about: response.about,
        signed: response.signed,
    };
    response.finish(query.edns.as_ref(), facts);
    outcome
}

fn error(
    query: &Query<'_>,
    facts: &Facts<'_>,
    mut response: Response<'_>,
    rcode: OptRcode,
) -> Outcome<'static> {
    response.rcode = rcode;
    let truncated = response.truncated;
    response.finish(query.edns.as_ref(), facts);
    Outcome {
        kind: Kind::Error,
        rcode,
        zone: None,
        rtype: Some(query.rtype),
        class: Some(query.class),
        truncated,
        about: 0,
        signed: SignedNow::default(),
    }
}
