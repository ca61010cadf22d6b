//! A domain name as it is looked up: in wire form, lower-cased, its labels known.

use std::fmt;
use thiserror::Error;

/// RFC 1035 §2.3.4: octets of a name, the root's included.
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// RFC 1035 §2.3.4: octets of a label.
const LABEL_BYTES_MAX: usize = 63;
/// Labels of the longest name: one octet each, and the root.
const LABELS_MAX: usize = 127;
/// A word of the hash may be read at the last octet of the name.
const PADDING_BYTES: usize = 8;

/// A domain name in wire form, lower-cased.
#[derive(Clone)]
pub struct Name {
    bytes: [u8; NAME_BYTES_MAX + 1 + PADDING_BYTES],
    /// Where each label begins, the leftmost first; without the root.
    starts: [u8; LABELS_MAX + 1],
    len: u8,
    labels: u8,
}

/// Why something is no domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// RFC 1035 §2.3.4.
    #[error("a label is longer than {LABEL_BYTES_MAX} bytes")]
    LongLabel,
    /// RFC 1035 §2.3.4.
    #[error("the name is longer than {NAME_BYTES_MAX} bytes")]
    LongName,
    /// `a..b`, or a name that begins with a dot.
    #[error("the name has an empty label")]
    EmptyLabel,
    /// Nothing at all.
    #[error("the name is empty")]
    Empty,
    /// A backslash that is followed by neither a character nor three digits up to 255.
    #[error("the name has a broken escape (`\\` needs a character or three digits up to 255)")]
    Escape,
    /// The message ends within the name, or it is compressed where it must not be.
    #[error("the name is cut off or compressed")]
    Wire,
}

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self {
            bytes: [0; NAME_BYTES_MAX + 1 + PADDING_BYTES],
            starts: [0; LABELS_MAX + 1],
            len: 1,
            labels: 0,
        }
    }

    /// The uncompressed name at the start of `wire`.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        let mut name = Self::root();
        let (mut at, mut labels) = (0, 0);
        loop {
            let Some(&length) = wire.get(at) else { return Err(NameError::Wire) };
            if length == 0 {
                break;
            }
            if usize::from(length) > LABEL_BYTES_MAX {
                return Err(NameError::Wire);
            }
            // What comes before is at most 253 octets, so this label is at most the 127th.
            name.starts[labels] = at as u8;
            labels += 1;
            at += 1 + usize::from(length);
            if at >= NAME_BYTES_MAX {
                return Err(NameError::LongName);
            }
        }
        let len = at + 1;
        let source = wire.get(..len).ok_or(NameError::Wire)?;
        // The octets of lengths are below `A`, so all may be lower-cased alike.
        for (to, from) in name.bytes[..len].iter_mut().zip(source) {
            *to = from.to_ascii_lowercase();
        }
        name.len = len as u8;
        name.labels = labels as u8;
        Ok(name)
    }

    /// A name as people write it; with or without the dot at its end, it is absolute.
    pub fn from_text(text: &str) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(NAME_BYTES_MAX);
        wire_from_text(text.as_bytes(), Some(&[0]), &mut wire)?;
        Self::from_wire(&wire)
    }

    /// In wire form, the root's octet included.
    #[inline]
    pub fn as_wire(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Octets in wire form.
    #[inline]
    pub fn wire_len(&self) -> usize {
        usize::from(self.len)
    }

    /// How many labels it has, the root not counted.
    #[inline]
    pub fn labels(&self) -> usize {
        usize::from(self.labels)
    }

    /// Where the last `labels` of its labels begin.
    #[inline]
    pub(crate) fn suffix_start(&self, labels: usize) -> usize {
        match usize::from(self.labels).checked_sub(labels) {
            Some(first) if labels > 0 => usize::from(self.starts[first]),
            _ => usize::from(self.len) - 1,
        }
    }

    /// The octets, and at least eight more, from `start`.
    #[inline]
    pub(crate) fn padded_from(&self, start: usize) -> &[u8] {
        &self.bytes[start..]
    }

    /// Whether it is `other`, or below it.
    pub fn is_within(&self, other: &Name) -> bool {
        self.labels >= other.labels && self.as_wire()[self.suffix_start(other.labels())..] == *other.as_wire()
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_wire() == other.as_wire()
    }
}

impl Eq for Name {}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::from_text(text)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// As people write it, with the dot at its end only where it is the root.
impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(self.as_wire(), formatter)
    }
}

/// Writes a name or the relative part of one as people write it.
pub(crate) fn write_text(mut wire: &[u8], formatter: &mut impl fmt::Write) -> fmt::Result {
    if wire == [0] {
        return formatter.write_char('.');
    }
    let mut first = true;
    while let Some((&length, rest)) = wire.split_first()
        && length > 0
    {
        if !std::mem::take(&mut first) {
            formatter.write_char('.')?;
        }
        let (label, rest) = rest.split_at(usize::from(length).min(rest.len()));
        for &byte in label {
            match byte {
                b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                    write!(formatter, "\\{}", char::from(byte))?;
                }
                b'!'..=b'~' => formatter.write_char(char::from(byte))?,
                _ => write!(formatter, "\\{byte:03}")?,
            }
        }
        wire = rest;
    }
    Ok(())
}

/// Appends the name that `text` means to `wire`, with the case it has. One without a dot at its end is completed by
/// `origin`; the length of all of it is checked.
pub(crate) fn wire_from_text(
    text: &[u8],
    origin: Option<&[u8]>,
    wire: &mut Vec<u8>,
) -> Result<(), NameError> {
    let begin = wire.len();
    if text == b"." {
        wire.push(0);
        return Ok(());
    }
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if memchr::memchr(b'\\', text).is_none() {
        return wire_from_plain_text(text, origin, wire);
    }
    let mut label = wire.len();
    wire.push(0);
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'.' => {
                let end = wire.len();
                close_label(wire, label, end)?;
                label = wire.len();
                wire.push(0);
                at += 1;
            }
            b'\\' => {
                let (byte, used) = unescaped(&text[at..]).ok_or(NameError::Escape)?;
                wire.push(byte);
                at += used;
            }
            byte => {
                wire.push(byte);
                at += 1;
            }
        }
    }
    if wire.len() > label + 1 {
        let end = wire.len();
        close_label(wire, label, end)?;
        wire.extend_from_slice(origin.unwrap_or(&[0]));
    }
    // Otherwise the text ends with a dot, and the octet that was begun is the root's.
    if wire.len() - begin > NAME_BYTES_MAX {
        return Err(NameError::LongName);
    }
    Ok(())
}

/// The same for a text without escapes: its dots become the lengths.
#[inline]
fn wire_from_plain_text(text: &[u8], origin: Option<&[u8]>, wire: &mut Vec<u8>) -> Result<(), NameError> {
    let begin = wire.len();
    wire.push(0);
    wire.extend_from_slice(text);
    let mut label = begin;
    for at in begin + 1..wire.len() {
        if wire[at] == b'.' {
            close_label(wire, label, at)?;
            label = at;
        }
    }
    if label + 1 == wire.len() {
        // The text ends with a dot, which is the root's octet now.
        wire[label] = 0;
    } else {
        let end = wire.len();
        close_label(wire, label, end)?;
        wire.extend_from_slice(origin.unwrap_or(&[0]));
    }
    if wire.len() - begin > NAME_BYTES_MAX {
        return Err(NameError::LongName);
    }
    Ok(())
}

#[inline]
fn close_label(wire: &mut [u8], label: usize, end: usize) -> Result<(), NameError> {
    match end - label - 1 {
        0 => Err(NameError::EmptyLabel),
        length if length > LABEL_BYTES_MAX => Err(NameError::LongLabel),
        length => {
            wire[label] = length as u8;
            Ok(())
        }
    }
}

/// RFC 1035 §5.1: what `\X` or `\DDD` at the start of `text` means, and how many octets of the text it is.
pub(crate) fn unescaped(text: &[u8]) -> Option<(u8, usize)> {
    match *text.get(1)? {
        first @ b'0'..=b'9' => {
            let digits = [first, *text.get(2)?, *text.get(3)?];
            if !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let value = digits.iter().fold(0u16, |value, digit| value * 10 + u16::from(digit - b'0'));
            Some((u8::try_from(value).ok()?, 4))
        }
        byte => Some((byte, 2)),
    }
}
