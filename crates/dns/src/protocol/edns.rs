//! EDNS (RFC 6891): the OPT record of a query.

use super::u16_at;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The type of the record.
pub(crate) const OPT: u16 = 41;
/// OPT's owner, type, class, TTL and length.
pub(crate) const OPT_BYTES: usize = 11;
/// RFC 5001.
pub(crate) const NSID: u16 = 3;
/// RFC 7871.
pub(crate) const CLIENT_SUBNET: u16 = 8;
/// RFC 7873.
pub(crate) const COOKIE: u16 = 10;
/// RFC 8914.
pub(crate) const EXTENDED_ERROR: u16 = 15;
/// RFC 7830.
pub(crate) const PADDING: u16 = 12;
/// Highest bit of what would be the TTL's lower half (RFC 3225).
const DO: u16 = 0x8000;

/// What a query says by EDNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns<'m> {
    /// How large a datagram the client takes, as it says.
    pub payload_bytes: u16,
    /// Only 0 is known (RFC 6891 §6.1.3).
    pub version: u8,
    /// The client wants DNSSEC's records (RFC 3225).
    pub dnssec_ok: bool,
    /// The client asks which server answers (RFC 5001).
    pub nsid: bool,
    /// The client pads, and so wants a padded answer on an encrypted transport (RFC 7830).
    pub padding: bool,
    /// RFC 7873.
    pub cookie: Option<Cookie<'m>>,
    /// RFC 7871.
    pub client_subnet: Option<ClientSubnet>,
}

/// A DNS cookie (RFC 7873).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie<'m> {
    /// The client's half, which every answer repeats.
    pub client: &'m [u8; 8],
    /// The half that a server gave before, 8 to 32 octets; empty if there is none yet.
    pub server: &'m [u8],
}

/// For whom a resolver asks (RFC 7871).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSubnet {
    /// The address; what is beyond the prefix is zero.
    pub address: IpAddr,
    /// How many of its bits are known.
    pub prefix: u8,
}

/// The OPT record is malformed: FORMERR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'m> Edns<'m> {
    /// From the fixed part of the OPT record (class and TTL), and its options.
    pub(crate) fn parse(class: u16, ttl: [u8; 4], options: &'m [u8]) -> Result<Self, Malformed> {
        let mut edns = Self {
            payload_bytes: class,
            version: ttl[1],
            dnssec_ok: u16::from_be_bytes([ttl[2], ttl[3]]) & DO != 0,
            nsid: false,
            padding: false,
            cookie: None,
            client_subnet: None,
        };
        if edns.version != 0 {
            // The options of another version may have another shape.
            return Ok(edns);
        }
        let mut rest = options;
        while !rest.is_empty() {
            let (Some(code), Some(length)) = (u16_at(rest, 0), u16_at(rest, 2)) else {
                return Err(Malformed);
            };
            let value = rest.get(4..4 + usize::from(length)).ok_or(Malformed)?;
            rest = &rest[4 + value.len()..];
            edns.take(code, value)?;
        }
        Ok(edns)
    }

    /// One option. Those that are not known are ignored (RFC 6891 §6.1.2); of two cookies the first counts (RFC 7873 §5.2).
    fn take(&mut self, code: u16, value: &'m [u8]) -> Result<(), Malformed> {
        match code {
            NSID => self.nsid = true,
            PADDING => self.padding = true,
            COOKIE if self.cookie.is_none() => self.cookie = Some(cookie(value)?),
            CLIENT_SUBNET if self.client_subnet.is_none() => self.client_subnet = client_subnet(value)?,
            _ => {}
        }
        Ok(())
    }
}

/// RFC 7873 §5.2.2: 8 octets, or 16 to 40.
fn cookie(value: &[u8]) -> Result<Cookie<'_>, Malformed> {
    let (client, server) = value.split_first_chunk().ok_or(Malformed)?;
    match server.len() {
        0 | 8..=32 => Ok(Cookie { client, server }),
        _ => Err(Malformed),
    }
}

/// RFC 7871 §6: family, source prefix, scope prefix (0 in queries), and just as many octets as the prefix needs, of which
/// the bits beyond it are zero. Some who hide their client hide the family too: that is none.
fn client_subnet(value: &[u8]) -> Result<Option<ClientSubnet>, Malformed> {
    let (&[family_high, family_low, prefix, scope], octets) = value.split_first_chunk().ok_or(Malformed)?;
    if scope != 0 || octets.len() != usize::from(prefix).div_ceil(8) {
        return Err(Malformed);
    }
    if let Some(last) = octets.last()
        && prefix % 8 != 0
        && last << (prefix % 8) != 0
    {
        return Err(Malformed);
    }
    let address = match u16::from_be_bytes([family_high, family_low]) {
        0 if prefix == 0 => return Ok(None),
        1 if prefix <= 32 => IpAddr::V4(Ipv4Addr::from(widened::<4>(octets))),
        2 if prefix <= 128 => IpAddr::V6(Ipv6Addr::from(widened::<16>(octets))),
        _ => return Err(Malformed),
    };
    Ok(Some(ClientSubnet { address, prefix }))
}

fn widened<const WIDTH: usize>(octets: &[u8]) -> [u8; WIDTH] {
    let mut wide = [0; WIDTH];
    wide[..octets.len()].copy_from_slice(octets);
    wide
}
