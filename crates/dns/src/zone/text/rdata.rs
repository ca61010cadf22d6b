//! The data of a record: fields as its type has them, or octets as RFC 3597 writes them.

use super::field::{Origin, field};
use super::rare;
use super::schema::{Field, fields};
use super::token::{Scanner, Token, Wrong};
use crate::protocol::Name;
use crate::protocol::message::uncompress_name;
use domain::base::iana::Rtype;
use domain::utils::base16;

/// RFC 1035 §3.2.1: its length has 16 bits.
const DATA_BYTES_MAX: usize = 65535;

/// Appends the data of a record to `data`, which is empty. `before` is the token before it, for faults that have no other place.
#[inline]
pub(super) fn rdata(
    rtype: Rtype,
    before: &Token<'_>,
    scanner: &mut Scanner<'_>,
    origin: Origin<'_>,
    data: &mut Vec<u8>,
) -> Result<(), Wrong> {
    let Some(first) = scanner.next()? else {
        return Err(before.wrong(format!("{rtype} has no data")));
    };
    if first.bytes == b"\\#" && !first.is_quoted {
        generic(rtype, &first, scanner, data)?;
    } else if let Some(fields) = fields(rtype) {
        by_fields(rtype, fields, first, scanner, origin, data)?;
    } else {
        rare::rdata(rtype, first, scanner, origin, data)?;
    }
    if data.len() > DATA_BYTES_MAX {
        return Err(before.wrong(format!("{} bytes of data (max {DATA_BYTES_MAX})", data.len())));
    }
    Ok(())
}

#[inline]
fn by_fields(
    rtype: Rtype,
    fields: &[Field],
    first: Token<'_>,
    scanner: &mut Scanner<'_>,
    origin: Origin<'_>,
    data: &mut Vec<u8>,
) -> Result<(), Wrong> {
    let mut token = Some(first);
    let mut last = first;
    for (number, kind) in fields.iter().enumerate() {
        let Some(own) = token else {
            // An empty non-terminal has a hash and no types (RFC 5155 §7.1).
            if *kind == Field::Types {
                return Ok(());
            }
            return Err(
                last.wrong(format!("{rtype} ends here: it has {} fields, not {number}", fields.len()))
            );
        };
        field(*kind, &own, scanner, origin, data)?;
        last = own;
        token = match kind {
            // These have read to the end.
            Field::Texts | Field::Hex | Field::Base64 | Field::Types => return Ok(()),
            _ => scanner.next()?,
        };
    }
    match token {
        None => Ok(()),
        Some(token) => Err(token.wrong(format!("`{}` is too much: {rtype} ended before", token.shown()))),
    }
}

/// RFC 3597 §5: `\# length octets…`.
fn generic(
    rtype: Rtype,
    marker: &Token<'_>,
    scanner: &mut Scanner<'_>,
    data: &mut Vec<u8>,
) -> Result<(), Wrong> {
    let length = scanner.next()?.ok_or_else(|| marker.wrong("`\\#` needs a length"))?;
    let expected: Option<u16> = std::str::from_utf8(length.bytes).ok().and_then(|text| text.parse().ok());
    let Some(expected) = expected else {
        return Err(length.wrong(format!("`{}` is no length (max 65535)", length.shown())));
    };
    let mut digits = String::new();
    while let Some(token) = scanner.next()? {
        digits.push_str(std::str::from_utf8(token.bytes).map_err(|_| token.wrong("this is not base 16"))?);
    }
    *data = base16::decode(&digits).map_err(|_| length.wrong("what follows is not base 16"))?;
    if data.len() != usize::from(expected) {
        return Err(length.wrong(format!("{expected} bytes were said, but {} follow", data.len())));
    }
    if !is_well_formed(rtype, data) {
        return Err(marker.wrong(format!("these bytes are no {rtype}")));
    }
    Ok(())
}

/// Whether data in wire form, uncompressed, is of this type, as far as lengths and names tell.
pub(in crate::zone) fn is_well_formed(rtype: Rtype, data: &[u8]) -> bool {
    match rtype {
        Rtype::SVCB | Rtype::HTTPS => data.get(2..).is_some_and(|name| Name::from_wire(name).is_ok()),
        _ => fields(rtype).is_none_or(|fields| consists_of(fields, data)),
    }
}

/// Data that begins at `at` and goes to the end of what there is of a message, its names uncompressed. `None` if it is not of
/// this type, as far as lengths and names tell. RFC 3597 §4: names are uncompressed wherever they are known to be.
pub(crate) fn uncompressed_data(rtype: Rtype, message: &[u8], mut at: usize) -> Option<Vec<u8>> {
    let mut data = Vec::with_capacity(message.len().checked_sub(at)?);
    for field in fields(rtype).unwrap_or_default() {
        let rest = message.get(at..)?;
        let length = match field {
            Field::U8 | Field::Algorithm => 1,
            Field::U16 | Field::Type => 2,
            Field::U32 | Field::Time | Field::Date | Field::V4 => 4,
            Field::V6 => 16,
            Field::Text | Field::Tag | Field::Salt | Field::Hash => text_bytes(rest)?,
            Field::Name => {
                at = uncompress_name(message, at, &mut data)?;
                continue;
            }
            Field::Texts | Field::LongText | Field::Hex | Field::Base64 | Field::Types => break,
        };
        data.extend_from_slice(rest.get(..length)?);
        at += length;
    }
    data.extend_from_slice(message.get(at..)?);
    is_well_formed(rtype, &data).then_some(data)
}

/// Whether data in wire form consists of these fields.
fn consists_of(fields: &[Field], data: &[u8]) -> bool {
    let mut rest = data;
    for field in fields {
        let length = match field {
            Field::U8 | Field::Algorithm => Some(1),
            Field::U16 | Field::Type => Some(2),
            Field::U32 | Field::Time | Field::Date | Field::V4 => Some(4),
            Field::V6 => Some(16),
            Field::Name => Name::from_wire(rest).ok().map(|name| name.wire_len()),
            Field::Text | Field::Tag | Field::Salt | Field::Hash => text_bytes(rest),
            Field::Texts => return !rest.is_empty() && texts_are_whole(rest),
            Field::LongText | Field::Hex | Field::Base64 | Field::Types => return true,
        };
        match length.and_then(|length| rest.get(length..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}

fn text_bytes(rest: &[u8]) -> Option<usize> {
    Some(1 + usize::from(*rest.first()?))
}

fn texts_are_whole(mut rest: &[u8]) -> bool {
    while let Some(length) = text_bytes(rest) {
        match rest.get(length..) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}
