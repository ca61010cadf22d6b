//! Where a parser is within a text or a number, and what may follow there (RFC 8259 §6, §7).

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InText {
    Plain,
    /// Within a character of several bytes: how many are due, and between what the next one lies.
    Character {
        due: u8,
        low: u8,
        high: u8,
    },
    Backslash {
        lead: Option<u16>,
    },
    /// After a leading surrogate, whose other half must follow.
    Lead(u16),
    Hex {
        lead: Option<u16>,
        code: u16,
        due: u8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InNumber {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

/// RFC 8259 §7: what stands in a text for itself, as far as one byte says it.
pub(super) fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=0x7f) && byte != b'"' && byte != b'\\'
}

/// The first byte of a character of several bytes (RFC 3629 §4); `None` if it is none.
pub(super) fn character(byte: u8) -> Option<InText> {
    let (due, low, high) = match byte {
        0xc2..=0xdf => (1, 0x80, 0xbf),
        0xe0 => (2, 0xa0, 0xbf),
        0xed => (2, 0x80, 0x9f),
        0xe1..=0xef => (2, 0x80, 0xbf),
        0xf0 => (3, 0x90, 0xbf),
        0xf1..=0xf3 => (3, 0x80, 0xbf),
        0xf4 => (3, 0x80, 0x8f),
        _ => return None,
    };
    Some(InText::Character { due, low, high })
}

pub(super) fn unescaped(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' | b'/' => byte,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}

/// RFC 8259 §6: where a number is after this byte; `None` if the byte does not belong to it.
pub(super) fn after_digit(at: InNumber, byte: u8) -> Option<InNumber> {
    use InNumber::{E, Exponent, Fraction, Minus, Point, Sign, Whole, Zero};
    Some(match (at, byte) {
        (Minus, b'0') => Zero,
        (Minus, b'1'..=b'9') | (Whole, b'0'..=b'9') => Whole,
        (Zero | Whole, b'.') => Point,
        (Point | Fraction, b'0'..=b'9') => Fraction,
        (Zero | Whole | Fraction, b'e' | b'E') => E,
        (E, b'+' | b'-') => Sign,
        (E | Sign | Exponent, b'0'..=b'9') => Exponent,
        _ => return None,
    })
}

pub(super) fn is_number(at: InNumber) -> bool {
    matches!(at, InNumber::Zero | InNumber::Whole | InNumber::Fraction | InNumber::Exponent)
}
