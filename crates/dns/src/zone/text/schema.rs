//! Of which fields the data of a type consists. One table serves to read them as text, and to check them in wire form.

use domain::base::iana::Rtype;

/// A field of a record's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// A domain name.
    Name,
    U8,
    U16,
    U32,
    /// 32 bits that may be written as `1h30m`.
    Time,
    V4,
    V6,
    /// One character string.
    Text,
    /// Character strings to the end, one at least.
    Texts,
    /// A character string of letters and digits (RFC 8659 §4.1).
    Tag,
    /// The rest, as one text (RFC 8659 §4.1, RFC 7553 §4.5).
    LongText,
    /// The rest in base 16, which may be in several parts.
    Hex,
    /// The rest in base 64, which may be in several parts.
    Base64,
    /// DNSSEC's number of an algorithm, or its mnemonic.
    Algorithm,
    /// A type of record.
    Type,
    /// Seconds since 1970, or `YYYYMMDDHHmmSS` (RFC 4034 §3.2).
    Date,
    /// Types of records to the end (RFC 4034 §4.1.2).
    Types,
    /// Base 16 or `-`, with its length before it (RFC 5155 §3.3).
    Salt,
    /// Base 32 with the extended alphabet, with its length before it (RFC 5155 §3.3).
    Hash,
}

/// The fields of a type, if it is one of those that are read by this table.
pub(super) fn fields(rtype: Rtype) -> Option<&'static [Field]> {
    use Field::{
        Algorithm, Base64, Date, Hash, Hex, LongText, Name, Salt, Tag, Text, Texts, Time, Type, Types, U8,
        U16, U32, V4, V6,
    };
    Some(match rtype {
        Rtype::A => &[V4],
        Rtype::AAAA => &[V6],
        Rtype::NS
        | Rtype::CNAME
        | Rtype::PTR
        | Rtype::DNAME
        | Rtype::MB
        | Rtype::MD
        | Rtype::MF
        | Rtype::MG
        | Rtype::MR => &[Name],
        Rtype::SOA => &[Name, Name, U32, Time, Time, Time, Time],
        Rtype::MX | Rtype::AFSDB | Rtype::KX | Rtype::RT => &[U16, Name],
        Rtype::TXT | Rtype::SPF => &[Texts],
        Rtype::HINFO => &[Text, Text],
        Rtype::MINFO | Rtype::RP => &[Name, Name],
        Rtype::SRV => &[U16, U16, U16, Name],
        Rtype::NAPTR => &[U16, U16, Text, Text, Text, Name],
        Rtype::DS | Rtype::CDS => &[U16, Algorithm, U8, Hex],
        Rtype::DNSKEY | Rtype::CDNSKEY => &[U16, U8, Algorithm, Base64],
        Rtype::RRSIG => &[Type, Algorithm, U8, Time, Date, Date, U16, Name, Base64],
        Rtype::NSEC => &[Name, Types],
        Rtype::NSEC3 => &[U8, U8, U16, Salt, Hash, Types],
        Rtype::NSEC3PARAM => &[U8, U8, U16, Salt],
        Rtype::CSYNC => &[U32, U16, Types],
        Rtype::CAA => &[U8, Tag, LongText],
        Rtype::URI => &[U16, U16, LongText],
        Rtype::SSHFP => &[U8, U8, Hex],
        Rtype::TLSA | Rtype::SMIMEA => &[U8, U8, U8, Hex],
        Rtype::ZONEMD => &[U32, U8, U8, Hex],
        Rtype::CERT => &[U16, U16, Algorithm, Base64],
        Rtype::OPENPGPKEY | Rtype::DHCID => &[Base64],
        _ => return None,
    })
}
