//! Types that are rare, or have a notation of their own (SVCB, HTTPS, IPSECKEY): `domain` reads them.

use super::field::Origin;
use super::token::{Scanner, Token, Wrong};
use bytes::Bytes;
use domain::base::iana::{Class, Rtype};
use domain::base::{Name, rdata::ComposeRecordData};
use domain::rdata::ZoneRecordData;
use domain::zonefile::inplace::{Entry, Zonefile};

/// Types that `domain` reads as text.
const KNOWN: [Rtype; 3] = [Rtype::SVCB, Rtype::HTTPS, Rtype::IPSECKEY];

/// Appends the data of a record whose first token this is.
pub(super) fn rdata(
    rtype: Rtype,
    first: Token<'_>,
    scanner: &mut Scanner<'_>,
    origin: Origin<'_>,
    data: &mut Vec<u8>,
) -> Result<(), Wrong> {
    if !KNOWN.contains(&rtype) {
        return Err(first.wrong(format!("the data of {rtype} is written as `\\# length bytes` (RFC 3597)")));
    }
    // One entry of its own, on one line.
    let mut entry = format!(". 0 IN {rtype}").into_bytes();
    let mut token = Some(first);
    while let Some(own) = token {
        let quote: &[u8] = if own.is_quoted { b"\"" } else { b"" };
        entry.push(b' ');
        entry.extend_from_slice(&[quote, own.bytes, quote].concat());
        token = scanner.next()?;
    }
    entry.push(b'\n');
    let mut file = Zonefile::with_capacity(entry.len());
    file.extend_from_slice(&entry);
    file.set_default_class(Class::IN);
    if let Ok(origin) = Name::from_octets(Bytes::copy_from_slice(origin.0)) {
        file.set_origin(origin);
    }
    match file.next_entry() {
        Ok(Some(Entry::Record(record))) if !matches!(record.data(), ZoneRecordData::Unknown(_)) => {
            // A vector takes whatever there is.
            record.data().compose_rdata(data).map_err(|_| first.wrong("too large"))
        }
        Ok(_) => Err(first.wrong(format!("this is no {rtype}"))),
        Err(error) => Err(first.wrong(format!("this is no {rtype}: {}", reason(&error.to_string())))),
    }
}

/// What `domain` says, without its place: the entry is ours.
fn reason(text: &str) -> &str {
    text.split_once(": ").map_or(text, |(_, reason)| reason)
}
