//! Headers for those behind us.

use super::crc32c::Crc32c;
use super::tlv::{ALPN, AUTHORITY, CRC32C, SSL, SSL_FIXED_BYTES, SSL_VERSION};
use super::v2::SIGNATURE;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Version 1 of a connection of our own, such as a health check's.
pub const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

/// Version 2 of a connection of our own, such as a health check's.
pub const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// No value of a record is longer, so that a header with all of them is one that we would read ourselves. A name of a
/// host has 255 bytes at most (RFC 1035 §2.3.4), a protocol of ALPN as many (RFC 7301 §3.1).
const VALUE_BYTES_MAX: usize = 255;

/// What version 2 says besides addresses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extras<'a> {
    /// The server name that the client has asked for by TLS.
    pub authority: Option<&'a str>,
    /// The protocol that TLS has agreed on.
    pub alpn: Option<&'a [u8]>,
    /// The version of TLS, as `TLSv1.3`; with it, the connection is said to be one of TLS.
    pub ssl_version: Option<&'a str>,
    /// Whether a checksum is sent along.
    pub checksum: bool,
}

/// Appends a header of version 1. An IPv4 address within IPv6 is the IPv4 address; for two of different families there
/// is no word but [`V1_UNKNOWN`].
pub fn write_v1(out: &mut Vec<u8>, source: SocketAddr, destination: SocketAddr) {
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let family = match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
        _ => return out.extend_from_slice(V1_UNKNOWN),
    };
    // Writing into memory does not fail.
    let _ = write!(out, "PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
}

/// Appends a header of version 2, of a stream. An IPv4 address within IPv6 is the IPv4 address; of two families, both
/// are written as IPv6. Values longer than 255 bytes are left out.
pub fn write_v2(out: &mut Vec<u8>, source: SocketAddr, destination: SocketAddr, extras: &Extras<'_>) {
    let start = out.len();
    out.extend_from_slice(SIGNATURE);
    out.push(0x21);
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let length_at = out.len() + 1;
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[0x11, 0, 0]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
        }
        _ => {
            out.extend_from_slice(&[0x21, 0, 0]);
            out.extend_from_slice(&as_v6(from).octets());
            out.extend_from_slice(&as_v6(to).octets());
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
    write_records(out, extras);
    let checksum_at = extras.checksum.then(|| {
        write_record(out, CRC32C, &[&[0; 4]]);
        out.len() - 4
    });
    let length = u16::try_from(out.len() - length_at - 2).expect("every part of it has its limit");
    out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    if let Some(at) = checksum_at {
        let mut sum = Crc32c::default();
        sum.update(&out[start..]);
        out[at..].copy_from_slice(&sum.value().to_be_bytes());
    }
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn write_records(out: &mut Vec<u8>, extras: &Extras<'_>) {
    let fits = |value: &&[u8]| value.len() <= VALUE_BYTES_MAX;
    if let Some(alpn) = extras.alpn.filter(fits) {
        write_record(out, ALPN, &[alpn]);
    }
    if let Some(authority) = extras.authority.map(str::as_bytes).filter(fits) {
        write_record(out, AUTHORITY, &[authority]);
    }
    if let Some(version) = extras.ssl_version.map(str::as_bytes).filter(fits) {
        // The client has come by TLS and has shown no certificate: nothing has been verified, which is not zero.
        const FIXED: [u8; SSL_FIXED_BYTES] = [1, 0, 0, 0, 1];
        let mut within = Vec::with_capacity(version.len() + 3);
        write_record(&mut within, SSL_VERSION, &[version]);
        write_record(out, SSL, &[&FIXED, &within]);
    }
}

fn write_record(out: &mut Vec<u8>, kind: u8, value: &[&[u8]]) {
    let length: usize = value.iter().map(|part| part.len()).sum();
    out.push(kind);
    out.extend_from_slice(&u16::try_from(length).expect("every value has its limit").to_be_bytes());
    value.iter().for_each(|part| out.extend_from_slice(part));
}
