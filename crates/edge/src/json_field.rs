//! Fields of a JSON body, found in its first bytes: what routes by message look at.
//!
//! A [`JsonSearch`] is fed a body in any pieces and remembers the values at the paths it was made for. It reads
//! what RFC 8259 allows and nothing else, because a body that two parsers read differently must not be routed by
//! one reading of it: what is malformed, too deep or cut off is not known, and a field that is named twice has no
//! value, whichever of the two a backend would take. What follows the end of the document is not looked at: a
//! backend refuses it, or does not look either.
//!
//! Memory: one text of at most [`VALUE_BYTES_MAX`] and what was found. Time: linear in the bytes.

mod lexical;
mod path;

use lexical::{InNumber, InText, after_digit, character, is_number, is_plain, unescaped};
use path::Segment;
pub use path::{BadPath, JsonPath, SEGMENTS_MAX};

/// A longer value is not compared, nor is a longer name in a path allowed.
pub const VALUE_BYTES_MAX: usize = 1024;

/// Containers within each other; the bits of [`Open`]. It is what most parsers allow.
const DEPTH_MAX: u32 = u128::BITS;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// A string without its quotes and escapes, or a number, `true`, `false` or `null` as it is written.
    Value(&'a str),
    /// Nothing: the document has ended without it.
    Absent,
    /// Something that is not compared: an object, an array, a value that is too long; or a name on the way stands
    /// there twice.
    Other,
    /// Nobody can say: it has not come, or the document is malformed.
    Unknown,
}

/// The paths that a site's routes ask for.
#[derive(Debug, Clone, Default)]
pub struct JsonFields {
    paths: Box<[JsonPath]>,
    name_bytes_max: usize,
    segments_max: usize,
}

/// A search for them in one body.
#[derive(Debug)]
pub struct JsonSearch<'a> {
    fields: &'a JsonFields,
    state: State,
    open: Open,
    /// For each path how far it is matched.
    walks: Vec<Walk>,
    /// For each open array that a path may lead into, the index of the current element.
    indexes: Vec<u32>,
    text: Text,
}

/// How a path has fared.
#[derive(Debug, Clone, Default)]
struct Walk {
    /// So many of its segments are the way to where the parser is.
    matched: usize,
    /// So many were, at most: a segment that is matched a second time stands in its object twice.
    reached: usize,
    end: Option<End>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Value(Box<str>),
    Other,
}

/// The open containers, the innermost in the lowest bit; a bit that is set is an object.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    kinds: u128,
    depth: u32,
}

/// What is read of a name or a value.
#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    /// How much is kept; nothing where nobody asks.
    bytes_max: usize,
    is_cut: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value is due.
    Value,
    /// After `[`.
    FirstValue,
    /// After `{`.
    FirstName,
    /// After a comma in an object.
    Name,
    Colon,
    /// After a value within a container.
    CommaOrEnd,
    Text {
        is_name: bool,
        at: InText,
    },
    Number(InNumber),
    /// What is left of `true`, `false` or `null`.
    Word(&'static [u8]),
    /// The document has ended.
    Done,
    Malformed,
}

impl JsonFields {
    /// These paths; a [`Found`] is asked for by its place among them.
    pub fn new(paths: impl IntoIterator<Item = JsonPath>) -> Self {
        let paths: Box<[JsonPath]> = paths.into_iter().collect();
        let names = paths.iter().flat_map(|path| &path.0);
        let name_bytes_max = names.map(|segment| segment.name.len()).max().unwrap_or(0);
        let segments_max = paths.iter().map(|path| path.0.len()).max().unwrap_or(0);
        Self { paths, name_bytes_max, segments_max }
    }

    /// A search in a new body.
    pub fn search(&self) -> JsonSearch<'_> {
        JsonSearch {
            fields: self,
            state: State::Value,
            open: Open::default(),
            walks: vec![Walk::default(); self.paths.len()],
            indexes: vec![0; self.segments_max],
            text: Text::default(),
        }
    }
}

impl JsonSearch<'_> {
    /// Takes the next piece of the body. `false` when no further one can tell more: the document has ended, or is
    /// malformed.
    pub fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.state {
                State::Done | State::Malformed => return false,
                State::Text { is_name, at: InText::Plain } => {
                    let plain = bytes.iter().position(|byte| !is_plain(*byte)).unwrap_or(bytes.len());
                    self.text.keep(&bytes[..plain]);
                    bytes = &bytes[plain..];
                    if let Some((&byte, rest)) = bytes.split_first() {
                        self.plain_text_ends(is_name, byte);
                        bytes = rest;
                    }
                }
                State::Text { is_name, at } => {
                    self.state =
                        self.within_text(at, byte).map_or(State::Malformed, |at| State::Text { is_name, at });
                    bytes = rest;
                }
                State::Number(at) => match after_digit(at, byte) {
                    Some(at) => {
                        self.text.keep(&[byte]);
                        self.state = State::Number(at);
                        bytes = rest;
                    }
                    // The byte is looked at again: it is what follows the number.
                    None if is_number(at) => self.value_ends(true),
                    None => self.state = State::Malformed,
                },
                State::Word(word) => {
                    self.word(word, byte);
                    bytes = rest;
                }
                _ => {
                    if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                        self.structure(byte);
                    }
                    bytes = rest;
                }
            }
        }
        !matches!(self.state, State::Done | State::Malformed)
    }

    /// The body has ended: what was cut off is malformed, and what has not come is absent.
    pub fn end(&mut self) {
        match self.state {
            State::Done => {}
            State::Number(at) if self.open.depth == 0 && is_number(at) => self.state = State::Done,
            _ => self.state = State::Malformed,
        }
    }

    /// What stands at the path of that place, as far as it is known.
    pub fn found(&self, place: usize) -> Found<'_> {
        match (&self.walks[place].end, self.state) {
            (_, State::Malformed) => Found::Unknown,
            (Some(End::Value(text)), _) => Found::Value(text),
            (Some(End::Other), _) => Found::Other,
            (None, State::Done) => Found::Absent,
            (None, _) => Found::Unknown,
        }
    }

    /// A byte between values and names.
    fn structure(&mut self, byte: u8) {
        match (self.state, byte) {
            (State::FirstValue, b']') | (State::FirstName, b'}') => self.close(),
            (State::Value | State::FirstValue, _) => self.value_begins(byte),
            (State::FirstName | State::Name, b'"') => {
                let depth = self.open.depth as usize;
                let is_wanted =
                    self.is_any_walk(|walk, path| walk.matched + 1 == depth && path.0.len() >= depth);
                self.text.begin(if is_wanted { self.fields.name_bytes_max } else { 0 });
                self.state = State::Text { is_name: true, at: InText::Plain };
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::CommaOrEnd, b',') if self.open.is_object() => self.state = State::Name,
            (State::CommaOrEnd, b',') => {
                if let Some(index) = self.indexes.get_mut(self.open.depth as usize - 1) {
                    *index = index.saturating_add(1);
                }
                self.state = State::Value;
            }
            (State::CommaOrEnd, b'}') if self.open.is_object() => self.close(),
            (State::CommaOrEnd, b']') if !self.open.is_object() => self.close(),
            _ => self.state = State::Malformed,
        }
    }

    fn value_begins(&mut self, byte: u8) {
        let depth = self.open.depth as usize;
        if depth > 0
            && !self.open.is_object()
            && let Some(&index) = self.indexes.get(depth - 1)
        {
            self.walk_on(|segment| segment.index == Some(index));
        }
        let is_wanted = self.is_any_walk(|walk, path| walk.matched == depth && path.0.len() == depth);
        self.text.begin(if is_wanted { VALUE_BYTES_MAX } else { 0 });
        match byte {
            b'"' => self.state = State::Text { is_name: false, at: InText::Plain },
            b'{' | b'[' if self.open.depth == DEPTH_MAX => self.state = State::Malformed,
            b'{' => {
                self.open.push(true);
                self.state = State::FirstName;
            }
            b'[' => {
                self.open.push(false);
                if let Some(index) = self.indexes.get_mut(depth) {
                    *index = 0;
                }
                self.state = State::FirstValue;
            }
            b't' => self.word(b"true", byte),
            b'f' => self.word(b"false", byte),
            b'n' => self.word(b"null", byte),
            b'-' => self.number(InNumber::Minus, byte),
            b'0' => self.number(InNumber::Zero, byte),
            b'1'..=b'9' => self.number(InNumber::Whole, byte),
            _ => self.state = State::Malformed,
        }
    }

    fn number(&mut self, at: InNumber, byte: u8) {
        self.text.keep(&[byte]);
        self.state = State::Number(at);
    }

    fn word(&mut self, word: &'static [u8], byte: u8) {
        match word {
            [first, rest @ ..] if *first == byte => {
                self.text.keep(&[byte]);
                self.state = State::Word(rest);
                if rest.is_empty() {
                    self.value_ends(true);
                }
            }
            _ => self.state = State::Malformed,
        }
    }

    /// The byte that ends a run of plain characters in a text.
    fn plain_text_ends(&mut self, is_name: bool, byte: u8) {
        let at = match byte {
            b'"' if is_name => {
                if !self.text.is_cut {
                    let name = std::mem::take(&mut self.text.bytes);
                    self.walk_on(|segment| segment.name.as_bytes() == name);
                    self.text.bytes = name;
                }
                self.state = State::Colon;
                return;
            }
            b'"' => return self.value_ends(true),
            b'\\' => Some(InText::Backslash { lead: None }),
            _ => {
                self.text.keep(&[byte]);
                character(byte)
            }
        };
        self.state = at.map_or(State::Malformed, |at| State::Text { is_name, at });
    }

    /// A byte within an escape or a character of several bytes; `None` if it may not stand there.
    fn within_text(&mut self, at: InText, byte: u8) -> Option<InText> {
        match at {
            InText::Character { due, low, high } => {
                self.text.keep(&[byte]);
                let rest = InText::Character { due: due - 1, low: 0x80, high: 0xbf };
                (low..=high).contains(&byte).then_some(if due == 1 { InText::Plain } else { rest })
            }
            InText::Lead(lead) => (byte == b'\\').then_some(InText::Backslash { lead: Some(lead) }),
            InText::Backslash { lead } if byte == b'u' => Some(InText::Hex { lead, code: 0, due: 4 }),
            InText::Backslash { lead: Some(_) } => None,
            InText::Backslash { lead: None } => {
                self.text.keep(&[unescaped(byte)?]);
                Some(InText::Plain)
            }
            InText::Hex { lead, code, due } => {
                let code = code << 4 | char::from(byte).to_digit(16)? as u16;
                if due > 1 { Some(InText::Hex { lead, code, due: due - 1 }) } else { self.code(lead, code) }
            }
            InText::Plain => unreachable!("plain text is read in runs"),
        }
    }

    /// A whole `\u` escape: a character, or half of one.
    fn code(&mut self, lead: Option<u16>, code: u16) -> Option<InText> {
        let units = lead.into_iter().chain([code]);
        match char::decode_utf16(units).next()? {
            Ok(char) => {
                self.text.keep(char.encode_utf8(&mut [0; 4]).as_bytes());
                Some(InText::Plain)
            }
            Err(half) if lead.is_none() && half.unpaired_surrogate() < 0xdc00 => Some(InText::Lead(code)),
            Err(_) => None,
        }
    }

    fn close(&mut self) {
        self.open.pop();
        self.value_ends(false);
    }

    fn value_ends(&mut self, is_scalar: bool) {
        let depth = self.open.depth as usize;
        for (walk, path) in self.walks.iter_mut().zip(&self.fields.paths) {
            if depth == 0 || walk.matched != depth {
                continue;
            }
            if path.0.len() == depth && walk.end.is_none() {
                walk.end = Some(if is_scalar { self.text.end() } else { End::Other });
            }
            walk.matched = depth - 1;
        }
        self.state = if depth == 0 { State::Done } else { State::CommaOrEnd };
    }

    /// A name or an index has been read: paths that lead there are a segment further.
    fn walk_on(&mut self, is_next: impl Fn(&Segment) -> bool) {
        let depth = self.open.depth as usize;
        for (walk, path) in self.walks.iter_mut().zip(&self.fields.paths) {
            let is_on = walk.matched + 1 == depth && path.0.get(depth - 1).is_some_and(&is_next);
            if is_on {
                walk.matched = depth;
                if walk.reached >= depth {
                    walk.end = Some(End::Other);
                }
                walk.reached = walk.reached.max(depth);
            }
        }
    }

    fn is_any_walk(&self, holds: impl Fn(&Walk, &JsonPath) -> bool) -> bool {
        self.walks.iter().zip(&self.fields.paths).any(|(walk, path)| holds(walk, path))
    }
}

impl Open {
    fn push(&mut self, is_object: bool) {
        self.kinds = self.kinds << 1 | u128::from(is_object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.kinds >>= 1;
        self.depth -= 1;
    }

    fn is_object(self) -> bool {
        self.kinds & 1 == 1
    }
}

impl Text {
    fn begin(&mut self, bytes_max: usize) {
        self.bytes.clear();
        self.bytes_max = bytes_max;
        self.is_cut = bytes_max == 0;
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.is_cut || self.bytes.len() + bytes.len() > self.bytes_max {
            self.is_cut = true;
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn end(&self) -> End {
        match str::from_utf8(&self.bytes) {
            Ok(text) if !self.is_cut => End::Value(text.into()),
            _ => End::Other,
        }
    }
}

#[cfg(test)]
mod tests;
