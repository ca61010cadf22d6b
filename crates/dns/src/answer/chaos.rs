//! Class CH: what this server is, if it tells (RFC 4892).

use super::{Facts, Kind, Outcome, SignedNow, error};
use crate::protocol::response::{Response, Section};
use crate::protocol::{HEADER_BYTES, Query};
use domain::base::iana::{OptRcode, Rtype};

/// Class CH, TTL 0.
const TXT: [u8; 8] = [0, 16, 0, 3, 0, 0, 0, 0];

pub(super) fn answer(query: &Query<'_>, facts: &Facts<'_>, mut response: Response<'_>) -> Outcome<'static> {
    let told = match query.name.as_wire() {
        b"\x07version\x04bind\0" | b"\x07version\x06server\0" => facts.version,
        b"\x02id\x06server\0" | b"\x08hostname\x04bind\0" => facts.identity,
        _ => None,
    };
    let Some(text) = told.filter(|_| matches!(query.rtype, Rtype::TXT | Rtype::ANY)) else {
        return error(query, facts, response, OptRcode::REFUSED);
    };
    // One character string: what is longer than it can hold is cut.
    let text = &text.as_bytes()[..text.len().min(255)];
    let rdata = [&[text.len() as u8], text].concat();
    response.authoritative = true;
    response.truncated = response.add_made(Section::Answer, HEADER_BYTES, TXT, &rdata).is_err();
    let truncated = response.truncated;
    response.finish(query.edns.as_ref(), facts);
    Outcome {
        kind: Kind::Positive,
        rcode: OptRcode::NOERROR,
        zone: None,
        rtype: Some(query.rtype),
        class: Some(query.class),
        truncated,
        about: 0,
        signed: SignedNow::default(),
    }
}
