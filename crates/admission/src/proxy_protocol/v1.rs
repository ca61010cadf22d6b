//! Version 1: a line of text (§2.1).

use super::{Bad, Header, Origin, Tlvs};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// With its line break (§2.1).
const LINE_BYTES_MAX: usize = 107;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Bad> {
    let seen = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let end = seen.iter().position(|byte| *byte == b'\r');
    let line = &seen[..end.unwrap_or(seen.len())];
    let Some(rest) = line.strip_prefix(SIGNATURE) else {
        return if end.is_some() { Err(Bad::Signature) } else { Ok(None) };
    };
    let is_whole = match end.map(|end| seen.get(end + 1)) {
        Some(Some(b'\n')) => true,
        Some(Some(_)) => return Err(Bad::Line("a carriage return within it")),
        Some(None) | None if seen.len() == LINE_BYTES_MAX => return Err(Bad::Line("longer than 107 bytes")),
        // The carriage return may be the last byte that has come: the line is whole, its break is not.
        Some(None) => {
            origin(rest, true)?;
            return Ok(None);
        }
        None => false,
    };
    let origin = origin(rest, is_whole)?;
    let length = line.len() + 2;
    Ok(origin.map(|origin| (Header { version: 1, origin, tlvs: Tlvs::default() }, length)))
}

/// Reads what follows `PROXY `. Of a line that is not whole, all fields but the last are: `None` if they are right.
fn origin(rest: &[u8], is_whole: bool) -> Result<Option<Origin>, Bad> {
    let (protocol, fields) = match rest.iter().position(|byte| *byte == b' ') {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    match (protocol, fields) {
        // §2.1: whatever follows is skipped.
        (b"UNKNOWN", _) => Ok(is_whole.then_some(Origin::Unknown)),
        (b"TCP4", Some(fields)) => addresses::<Ipv4Addr>(fields, is_whole, may_be_v4),
        (b"TCP6", Some(fields)) => addresses::<Ipv6Addr>(fields, is_whole, may_be_v6),
        (begun, None)
            if !is_whole
                && [&b"UNKNOWN"[..], b"TCP4", b"TCP6"].iter().any(|known| known.starts_with(begun)) =>
        {
            Ok(None)
        }
        _ => Err(Bad::Line("neither TCP4, TCP6 nor UNKNOWN")),
    }
}

/// Source, destination and their ports.
fn addresses<A: FromStr + Into<IpAddr>>(
    fields: &[u8],
    is_whole: bool,
    may_be: fn(&[u8]) -> bool,
) -> Result<Option<Origin>, Bad> {
    let mut fields = fields.split(|byte| *byte == b' ').peekable();
    let mut next = || {
        let field = fields.next().unwrap_or_default();
        // The last one may be half of it.
        (field, is_whole || fields.peek().is_some())
    };
    let (mut hosts, mut ports) = ([None, None], [None, None]);
    for host in &mut hosts {
        let (field, is_complete) = next();
        match (is_complete, address::<A>(field)) {
            (true, Some(address)) => *host = Some(address),
            (false, _) if may_be(field) => return Ok(None),
            _ => return Err(Bad::Line("an address that is none of its family")),
        }
    }
    for place in &mut ports {
        let (field, is_complete) = next();
        match (is_complete, port(field)) {
            (true, Some(port)) => *place = Some(port),
            (false, Some(_)) => return Ok(None),
            (false, None) if field.is_empty() => return Ok(None),
            _ => return Err(Bad::Line("a port that is none")),
        }
    }
    if fields.next().is_some() {
        return Err(Bad::Line("more than two addresses and ports"));
    }
    let socket = |at: usize| Some(SocketAddr::new(hosts[at]?, ports[at]?));
    Ok(socket(0).zip(socket(1)).map(|(source, destination)| Origin::Stream { source, destination }))
}

/// Whether an address of the family may begin so.
fn may_be_v4(begun: &[u8]) -> bool {
    begun.len() <= "255.255.255.255".len() && begun.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

fn may_be_v6(begun: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_hexdigit() || b".:".contains(byte);
    begun.len() <= "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len() && begun.iter().all(is_digit)
}

fn address<A: FromStr + Into<IpAddr>>(field: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(field).ok()?.parse().ok().map(A::into)
}

/// §2.1: decimal, from 0 to 65535, without leading zeroes.
fn port(field: &[u8]) -> Option<u16> {
    let is_plain = field.iter().all(u8::is_ascii_digit) && (field.len() == 1 || !field.starts_with(b"0"));
    std::str::from_utf8(field).ok().filter(|_| is_plain)?.parse().ok()
}
