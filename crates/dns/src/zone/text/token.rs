//! The text of a zone file as tokens: RFC 1035 §5.1.

use std::borrow::Cow;

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) message: Cow<'static, str>,
}

/// A word, or a quoted string, with its escapes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'t> {
    /// Without the quotes, if all of it is quoted.
    pub(super) bytes: &'t [u8],
    pub(super) is_quoted: bool,
    pub(super) has_escapes: bool,
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Token<'_> {
    #[cold]
    pub(super) fn wrong(&self, message: impl Into<Cow<'static, str>>) -> Wrong {
        Wrong { line: self.line, column: self.column, message: message.into() }
    }

    /// As it can be shown in a message: what is not printable is replaced, what is long is cut.
    pub(super) fn shown(&self) -> String {
        const SHOWN_BYTES_MAX: usize = 60;
        let cut = &self.bytes[..self.bytes.len().min(SHOWN_BYTES_MAX)];
        let mut text: String = cut
            .iter()
            .map(|byte| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '\u{fffd}' })
            .collect();
        if cut.len() < self.bytes.len() {
            text.push('…');
        }
        text
    }
}

/// Reads entries, which end with their line, or with the line of the last closing parenthesis.
pub(super) struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
    line: u32,
    line_start: usize,
    /// Parentheses that are open.
    depth: u32,
}

/// What ends a word, or needs a look.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let bytes = b" \t\r\n;()\"\\";
    let mut at = 0;
    while at < bytes.len() {
        special[bytes[at] as usize] = true;
        at += 1;
    }
    special
};

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        // A mark that some editors leave at the start of a file.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        Self { text, at: 0, line: 1, line_start: 0, depth: 0 }
    }

    /// A text that stands in this line of another.
    pub(super) fn within(text: &'t [u8], line: u32) -> Self {
        Self { line, ..Self::new(text) }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Whether the line that begins here begins with a blank: such a record has the owner of the one before.
    pub(super) fn begins_blank(&self) -> bool {
        matches!(self.text.get(self.at), Some(b' ' | b'\t'))
    }

    pub(super) fn line(&self) -> u32 {
        self.line
    }

    /// What is wrong right here.
    #[cold]
    pub(super) fn wrong(&self, message: impl Into<Cow<'static, str>>) -> Wrong {
        let column = (self.at.min(self.text.len()) - self.line_start) as u32 + 1;
        Wrong { line: self.line, column, message: message.into() }
    }

    /// The next token of the entry; `None` once at its end, from where the next entry begins.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Token<'t>>, Wrong> {
        loop {
            let Some(&byte) = self.text.get(self.at) else {
                return if self.depth == 0 { Ok(None) } else { Err(self.unclosed()) };
            };
            match byte {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' => {
                    self.next_line();
                    if self.depth == 0 {
                        return Ok(None);
                    }
                }
                b';' => self.skip_comment(),
                b'(' => {
                    self.depth += 1;
                    self.at += 1;
                }
                b')' => {
                    let Some(depth) = self.depth.checked_sub(1) else {
                        let wrong = self.wrong("`)` without `(`");
                        self.at += 1;
                        return Err(wrong);
                    };
                    self.depth = depth;
                    self.at += 1;
                }
                b'"' => return self.quoted().map(Some),
                _ => return self.word().map(Some),
            }
        }
    }

    /// Passes over what is left of an entry that is wrong, unless it was read to its end.
    pub(super) fn skip_entry(&mut self) {
        let is_past_it = self.depth == 0 && self.at == self.line_start;
        if !is_past_it {
            while !matches!(self.next(), Ok(None)) {}
        }
    }

    fn next_line(&mut self) {
        self.at += 1;
        self.line += 1;
        self.line_start = self.at;
    }

    fn skip_comment(&mut self) {
        let rest = &self.text[self.at..];
        self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    }

    #[cold]
    fn unclosed(&mut self) -> Wrong {
        self.depth = 0;
        self.wrong("`(` is not closed before the end")
    }

    #[inline]
    fn word(&mut self) -> Result<Token<'t>, Wrong> {
        let start = self.at;
        let (mut is_quoting, mut has_escapes) = (false, false);
        while let Some(&byte) = self.text.get(self.at) {
            if !SPECIAL[usize::from(byte)] {
                self.at += 1;
                continue;
            }
            match byte {
                b'\n' => break,
                b'\\' => {
                    has_escapes = true;
                    self.at += 1;
                    if matches!(self.text.get(self.at), None | Some(b'\n')) {
                        return Err(self.wrong("`\\` at the end of a line"));
                    }
                }
                // As in `key="a value"` (RFC 9460).
                b'"' => is_quoting = !is_quoting,
                _ if !is_quoting => break,
                _ => {}
            }
            self.at += 1;
        }
        if is_quoting {
            return Err(self.wrong("a quoted string is not closed in its line"));
        }
        Ok(self.token(start, self.at, false, has_escapes))
    }

    fn quoted(&mut self) -> Result<Token<'t>, Wrong> {
        let opened = self.wrong("a quoted string is not closed in its line");
        self.at += 1;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            match self.text.get(self.at) {
                None | Some(b'\n') => return Err(opened),
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    self.at += 1;
                    if matches!(self.text.get(self.at), None | Some(b'\n')) {
                        return Err(opened);
                    }
                }
                Some(_) => {}
            }
            self.at += 1;
        }
        self.at += 1;
        Ok(self.token(start, self.at - 1, true, has_escapes))
    }

    #[inline]
    fn token(&self, start: usize, end: usize, is_quoted: bool, has_escapes: bool) -> Token<'t> {
        let column = (start - self.line_start) as u32 + 1;
        Token { bytes: &self.text[start..end], is_quoted, has_escapes, line: self.line, column }
    }
}
