//! Version 2: 16 bytes, addresses, records (§2.2).

use super::{Bad, HEADER_BYTES_MAX, Header, Origin, Tlvs};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, version and command, family and protocol, and the length of what follows.
const FIXED_BYTES: usize = 16;
/// Each of the two paths of Unix sockets, filled up with zeroes.
const PATH_BYTES: usize = 108;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Bad> {
    let Some(&command) = bytes.get(12) else { return Ok(None) };
    if !matches!(command, 0x20 | 0x21) {
        return Err(Bad::Unknown { what: "version or command", value: command });
    }
    let is_local = command == 0x20;
    let Some(&family) = bytes.get(13) else { return Ok(None) };
    // §2.2: of the proxy's own connections the family is ignored, of all others an unknown one is refused.
    let address_bytes = match family {
        _ if is_local => 0,
        0x00 => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 2 * PATH_BYTES,
        _ => return Err(Bad::Unknown { what: "family or protocol", value: family }),
    };
    let Some(&[high, low]) = bytes.get(14..FIXED_BYTES).and_then(|length| length.first_chunk()) else {
        return Ok(None);
    };
    let length = u16::from_be_bytes([high, low]);
    let end = FIXED_BYTES + usize::from(length);
    if end > HEADER_BYTES_MAX {
        return Err(Bad::TooLong { length });
    }
    if usize::from(length) < address_bytes {
        return Err(Bad::Short { length });
    }
    let Some(header) = bytes.get(..end) else { return Ok(None) };
    // §2.2: without a family there is nothing known to read, and what there is must be skipped.
    if is_local || family == 0x00 {
        let origin = if is_local { Origin::Local } else { Origin::Unknown };
        return Ok(Some((Header { version: 2, origin, tlvs: Tlvs::default() }, end)));
    }
    let (addresses, _) = header[FIXED_BYTES..].split_at(address_bytes);
    let tlvs = Tlvs::parse(header, FIXED_BYTES + address_bytes)?;
    Ok(Some((Header { version: 2, origin: origin(family, addresses), tlvs }, end)))
}

/// `addresses` are as long as the family makes them.
fn origin(family: u8, addresses: &[u8]) -> Origin {
    let (hosts, ports) = addresses.split_at(if family >> 4 == 1 { 8 } else { 32.min(addresses.len()) });
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    let (source, destination) = match family >> 4 {
        1 => {
            let host = |at: usize| Ipv4Addr::from(array::<4>(&hosts[at..]));
            (SocketAddr::new(host(0).into(), port(0)), SocketAddr::new(host(4).into(), port(2)))
        }
        2 => {
            let host = |at: usize| Ipv6Addr::from(array::<16>(&hosts[at..]));
            (SocketAddr::new(host(0).into(), port(0)), SocketAddr::new(host(16).into(), port(2)))
        }
        _ => {
            let path = |at: usize| {
                let path = &addresses[at..at + PATH_BYTES];
                // Zeroes fill a path up; one that begins with a zero has no file, but a name behind it.
                let end = path.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                path[..end].into()
            };
            return Origin::Unix { source: path(0), destination: path(PATH_BYTES) };
        }
    };
    match family & 0xf {
        1 => Origin::Stream { source, destination },
        _ => Origin::Datagram { source, destination },
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes.first_chunk().expect("the length was checked with the family")
}
