//! Records behind the addresses: type, length, value (§2.2.1 and on).

use super::crc32c::Crc32c;
use super::{Bad, HEADER_BYTES_MAX};
use std::fmt;

pub(super) const ALPN: u8 = 0x01;
pub(super) const AUTHORITY: u8 = 0x02;
pub(super) const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
pub(super) const SSL: u8 = 0x20;
pub(super) const SSL_VERSION: u8 = 0x21;
const SSL_CN: u8 = 0x22;
/// A type and a length.
const HEAD_BYTES: usize = 3;
/// What comes before the records within that of TLS: what the client did, and whether it was verified.
pub(super) const SSL_FIXED_BYTES: usize = 5;

/// What a proxy says of a connection besides its addresses: whole records, in order. Those that are not known are
/// kept, and mean nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tlvs(Box<[u8]>);

/// What a proxy says of the TLS that it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ssl<'a> {
    /// Whether the client has connected by TLS.
    pub is_tls: bool,
    /// Whether the client has shown a certificate, on this connection or on the one that it resumed.
    pub has_certificate: bool,
    /// Whether the proxy has verified a certificate and found it good.
    pub is_verified: bool,
    /// The version as text: `TLSv1.3`.
    pub version: Option<&'a str>,
    /// The common name of the certificate's subject.
    pub common_name: Option<&'a str>,
}

impl Tlvs {
    /// Reads the records of a whole header from `start` on, and verifies its checksum if it has one.
    pub(super) fn parse(header: &[u8], start: usize) -> Result<Self, Bad> {
        assert!(header.len() <= HEADER_BYTES_MAX, "the length was checked before");
        let records = &header[start..];
        let mut at = start;
        for record in Records(records) {
            let (kind, value) = record?;
            let value_at = at + HEAD_BYTES;
            at = value_at + value.len();
            match kind {
                CRC32C => verify(header, value, value_at)?,
                SSL => {
                    let within = value.get(SSL_FIXED_BYTES..).ok_or(Bad::Record)?;
                    Records(within).try_for_each(|record| record.map(|_| ()))?;
                }
                _ => {}
            }
        }
        Ok(Self(records.into()))
    }

    /// All records, by type and value.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        // They were all whole when they were parsed.
        Records(&self.0).map_while(Result::ok)
    }

    fn find(&self, wanted: u8) -> Option<&[u8]> {
        self.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
    }

    /// The host that the client has asked for, as by the server name of TLS (`PP2_TYPE_AUTHORITY`).
    pub fn authority(&self) -> Option<&str> {
        text(self.find(AUTHORITY)?)
    }

    /// The protocol that TLS has agreed on (`PP2_TYPE_ALPN`).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.find(ALPN)
    }

    /// What the proxy calls the connection (`PP2_TYPE_UNIQUE_ID`), up to 128 bytes (§2.2.5).
    pub fn unique_id(&self) -> Option<&[u8]> {
        self.find(UNIQUE_ID).filter(|id| id.len() <= 128)
    }

    /// What the proxy says of TLS (`PP2_TYPE_SSL`).
    pub fn ssl(&self) -> Option<Ssl<'_>> {
        let (fixed, records) = self.find(SSL)?.split_first_chunk::<SSL_FIXED_BYTES>()?;
        let [client, verify @ ..] = fixed;
        let find = |wanted: u8| {
            let mut records = Records(records).map_while(Result::ok);
            records.find(|(kind, _)| *kind == wanted).and_then(|(_, value)| text(value))
        };
        let has_certificate = client & 0b110 != 0;
        Some(Ssl {
            is_tls: client & 1 != 0,
            has_certificate,
            is_verified: has_certificate && *verify == [0; 4],
            version: find(SSL_VERSION),
            common_name: find(SSL_CN),
        })
    }
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

/// §2.2.3: over the whole header, with zeroes in the checksum's place.
fn verify(header: &[u8], value: &[u8], value_at: usize) -> Result<(), Bad> {
    let told: [u8; 4] = value.try_into().map_err(|_| Bad::Record)?;
    let mut sum = Crc32c::default();
    sum.update(&header[..value_at]);
    sum.update(&[0; 4]);
    sum.update(&header[value_at + 4..]);
    if sum.value() == u32::from_be_bytes(told) { Ok(()) } else { Err(Bad::Checksum) }
}

/// Records one after another; an error ends them.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(u8, &'a [u8]), Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        let all = std::mem::take(&mut self.0);
        if all.is_empty() {
            return None;
        }
        let record = all.split_first_chunk::<HEAD_BYTES>().and_then(|([kind, high, low], rest)| {
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
            self.0 = rest;
            Some((*kind, value))
        });
        Some(record.ok_or(Bad::Record))
    }
}

impl fmt::Debug for Tlvs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
