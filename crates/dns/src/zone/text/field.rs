//! One field of a record's data: from text to wire form.

use super::reader::any_type;
use super::schema::Field;
use super::token::{Scanner, Token, Wrong};
use super::ttl::seconds;
use crate::protocol::name::{unescaped, wire_from_text};
use domain::base::iana::SecurityAlgorithm;
use domain::rdata::dnssec::{RtypeBitmapBuilder, Timestamp};
use domain::utils::{base16, base32, base64};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// RFC 1035 §3.3: octets of a character string.
const TEXT_BYTES_MAX: usize = 255;

/// What relative names are completed with, in wire form.
#[derive(Clone, Copy)]
pub(super) struct Origin<'o>(pub(super) &'o [u8]);

impl Origin<'_> {
    /// Appends the name that a token means.
    #[inline]
    pub(super) fn name(self, token: &Token<'_>, wire: &mut Vec<u8>) -> Result<(), Wrong> {
        if token.bytes == b"@" && !token.is_quoted {
            wire.extend_from_slice(self.0);
            return Ok(());
        }
        wire_from_text(token.bytes, Some(self.0), wire)
            .map_err(|error| token.wrong(format!("`{}`: {error}", token.shown())))
    }
}

/// Appends the field whose first token this is. What goes on to the end takes all that is left.
#[inline]
pub(super) fn field(
    field: Field,
    token: &Token<'_>,
    scanner: &mut Scanner<'_>,
    origin: Origin<'_>,
    data: &mut Vec<u8>,
) -> Result<(), Wrong> {
    match field {
        Field::V4 => match v4(token.bytes) {
            Some(octets) => data.extend_from_slice(&octets),
            None => return Err(token.wrong(format!("`{}` is no IPv4 address", token.shown()))),
        },
        Field::Name => origin.name(token, data)?,
        Field::V6 => data.extend_from_slice(&parsed::<Ipv6Addr>(token, "IPv6 address")?.octets()),
        Field::U8 => data.push(parsed(token, "number up to 255")?),
        Field::U16 => data.extend_from_slice(&parsed::<u16>(token, "number up to 65535")?.to_be_bytes()),
        Field::U32 => data.extend_from_slice(&parsed::<u32>(token, "number of 32 bits")?.to_be_bytes()),
        Field::Time => match seconds(token.bytes) {
            Some(seconds) => data.extend_from_slice(&seconds.to_be_bytes()),
            None => return Err(token.wrong(format!("`{}` is no time (as 3600, or 1h30m)", token.shown()))),
        },
        Field::Text => text(token, data)?,
        Field::Texts => {
            text(token, data)?;
            while let Some(token) = scanner.next()? {
                text(&token, data)?;
            }
        }
        Field::Tag => tag(token, data)?,
        Field::LongText => unescape(token, data)?,
        Field::Hex => {
            let digits = joined(token, scanner)?;
            data.extend(base16::decode::<Vec<u8>>(&digits).map_err(|_| token.wrong("this is not base 16"))?);
        }
        Field::Base64 => {
            let digits = joined(token, scanner)?;
            data.extend(base64::decode::<Vec<u8>>(&digits).map_err(|_| token.wrong("this is not base 64"))?);
        }
        Field::Algorithm => match SecurityAlgorithm::from_mnemonic(token.bytes) {
            Some(algorithm) => data.push(algorithm.to_int()),
            None => data.push(parsed(token, "algorithm of DNSSEC")?),
        },
        Field::Type => data.extend_from_slice(&any_type(token)?.to_int().to_be_bytes()),
        Field::Date => {
            let date = parsed::<Timestamp>(token, "date (as 20300131235959)")?;
            data.extend_from_slice(&date.into_int().to_be_bytes());
        }
        Field::Types => types(token, scanner, data)?,
        Field::Salt if token.bytes == b"-" => data.push(0),
        Field::Salt => {
            let salt = utf8(token).and_then(|text| base16::decode::<Vec<u8>>(text).ok());
            short(token, salt, "salt in base 16, or `-`", data)?;
        }
        Field::Hash => {
            let hash = utf8(token).and_then(|text| base32::decode_hex::<Vec<u8>>(text).ok());
            short(token, hash, "hash in base 32", data)?;
        }
    }
    Ok(())
}

/// What has a length of one octet before it.
fn short(token: &Token<'_>, value: Option<Vec<u8>>, what: &str, data: &mut Vec<u8>) -> Result<(), Wrong> {
    match value {
        Some(value) if value.len() <= TEXT_BYTES_MAX => {
            data.push(value.len() as u8);
            data.extend_from_slice(&value);
            Ok(())
        }
        _ => Err(token.wrong(format!("`{}` is no {what}", token.shown()))),
    }
}

/// RFC 4034 §4.1.2. There may be none (RFC 5155 §7.1), where `first` belongs to the field before.
fn types(first: &Token<'_>, scanner: &mut Scanner<'_>, data: &mut Vec<u8>) -> Result<(), Wrong> {
    let mut bitmap = RtypeBitmapBuilder::<Vec<u8>>::new();
    let mut add = |token: &Token<'_>| {
        let rtype = any_type(token)?;
        bitmap.add(rtype).map_err(|_| token.wrong("too many types"))
    };
    add(first)?;
    while let Some(token) = scanner.next()? {
        add(&token)?;
    }
    data.extend_from_slice(bitmap.finalize().as_slice());
    Ok(())
}

#[cold]
fn no(token: &Token<'_>, what: &str) -> Wrong {
    token.wrong(format!("`{}` is no {what}", token.shown()))
}

fn parsed<T: FromStr>(token: &Token<'_>, what: &str) -> Result<T, Wrong> {
    // The standard parsers take a sign.
    let text = utf8(token).filter(|text| !text.starts_with('+'));
    text.and_then(|text| text.parse().ok()).ok_or_else(|| no(token, what))
}

fn utf8<'t>(token: &Token<'t>) -> Option<&'t str> {
    std::str::from_utf8(token.bytes).ok()
}

/// Four numbers of at most three digits: what nearly all records are, so without a detour.
#[inline]
fn v4(text: &[u8]) -> Option<[u8; 4]> {
    let mut octets = [0; 4];
    let (mut at, mut value, mut digits) = (0, 0u16, 0);
    for &byte in text {
        match byte {
            b'0'..=b'9' if digits < 3 && !(digits == 1 && value == 0) => {
                value = value * 10 + u16::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && at < 3 => {
                octets[at] = u8::try_from(value).ok()?;
                (at, value, digits) = (at + 1, 0, 0);
            }
            _ => return None,
        }
    }
    if at != 3 || digits == 0 {
        return None;
    }
    octets[3] = u8::try_from(value).ok()?;
    debug_assert_eq!(
        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
        Some(Ipv4Addr::from(octets))
    );
    Some(octets)
}

/// A character string, with its length before it.
pub(super) fn text(token: &Token<'_>, data: &mut Vec<u8>) -> Result<(), Wrong> {
    let start = data.len();
    data.push(0);
    unescape(token, data)?;
    let length = data.len() - start - 1;
    if length > TEXT_BYTES_MAX {
        return Err(token.wrong(format!(
            "a string of {length} bytes (max {TEXT_BYTES_MAX}): write several, \"…\" \"…\""
        )));
    }
    data[start] = length as u8;
    Ok(())
}

fn tag(token: &Token<'_>, data: &mut Vec<u8>) -> Result<(), Wrong> {
    if token.bytes.is_empty() || !token.bytes.iter().all(u8::is_ascii_alphanumeric) {
        return Err(no(token, "tag (letters and digits, as `issue`)"));
    }
    text(token, data)
}

fn unescape(token: &Token<'_>, data: &mut Vec<u8>) -> Result<(), Wrong> {
    if !token.has_escapes {
        data.extend_from_slice(token.bytes);
        return Ok(());
    }
    let mut rest = token.bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, used) = match byte {
            b'\\' => unescaped(rest).ok_or_else(|| {
                token.wrong("a broken escape (`\\` needs a character or three digits up to 255)")
            })?,
            _ => (byte, 1),
        };
        data.push(byte);
        rest = &rest[used..];
        debug_assert!(rest.len() <= after.len());
    }
    Ok(())
}

/// This token and all that follow, as one word.
fn joined(first: &Token<'_>, scanner: &mut Scanner<'_>) -> Result<String, Wrong> {
    let mut digits = String::new();
    let mut add = |token: &Token<'_>| match utf8(token) {
        Some(text) => {
            digits.push_str(text);
            Ok(())
        }
        None => Err(token.wrong("this is no text")),
    };
    add(first)?;
    while let Some(token) = scanner.next()? {
        add(&token)?;
    }
    Ok(digits)
}
