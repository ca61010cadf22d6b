//! What is answered.

use crate::reading::OpenFile;
use crate::types::MediaType;
use encoding::Coding;
use std::io;
use std::ops::Range;

/// Room for the lines of most answers.
const LINES_BYTES: usize = 320;

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    /// The status. From 400 on there is no body, so that the caller shows its own page.
    pub status: u16,
    /// Header lines, each with its CRLF; `Date`, `Content-Length` and what frames the message are the caller's.
    pub lines: Vec<u8>,
    /// `Content-Length`, of HEAD's answer too; `None` where there is none to say (204, 304) and from 400 on.
    pub content_length: Option<u64>,
    /// What follows the head; nothing for HEAD.
    pub body: Body,
    /// What the answer is about, with 200, 206 and 304.
    pub representation: Option<Representation>,
    /// Why it is 500 or 503, for the log.
    pub fault: Option<io::Error>,
}

/// What a caller must know that compresses on the way (RFC 9110 §8.4). It may do so to a 200 whose `coding` is
/// `None`; `Accept-Ranges` is then no longer true, and a strong `ETag` becomes a weak one, of HEAD's answer too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Representation {
    /// Its media type, also where several ranges of it come as `multipart/byteranges`.
    pub content_type: MediaType,
    /// The coding it is stored in.
    pub coding: Option<Coding>,
    /// Where in [`Answer::lines`] the value of `ETag` is, with its quotes and a possible `W/`. A listing has none.
    pub etag: Option<Range<usize>>,
    /// Whether `Vary` names `Accept-Encoding` already.
    pub is_vary_said: bool,
}

/// What follows a head.
#[derive(Debug)]
pub enum Body {
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// A range of an open file, all of it mostly.
    File {
        /// The file.
        file: OpenFile,
        /// Where the range begins.
        offset: u64,
        /// How long it is, in bytes.
        len: u64,
    },
    /// Several ranges of an open file, with what stands between them (`multipart/byteranges`).
    Parts {
        /// The file.
        file: OpenFile,
        /// The parts; the last one is the end of the multipart, without bytes of the file.
        parts: Vec<Part>,
    },
}

/// Bytes, and a range of the file after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What stands before the range.
    pub head: Vec<u8>,
    /// Where in the file the range begins.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            lines: Vec::with_capacity(LINES_BYTES),
            content_length: None,
            body: Body::Empty,
            representation: None,
            fault: None,
        }
    }

    /// Adds a header line; returns where its value is.
    pub(crate) fn line(&mut self, name: &str, value: &[u8]) -> Range<usize> {
        self.lines.extend_from_slice(name.as_bytes());
        self.lines.extend_from_slice(b": ");
        let start = self.lines.len();
        self.lines.extend_from_slice(value);
        let end = self.lines.len();
        self.lines.extend_from_slice(b"\r\n");
        start..end
    }
}

impl Body {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
            Self::Parts { parts, .. } => parts.iter().map(|part| part.head.len() as u64 + part.len).sum(),
        }
    }

    /// Whether nothing follows the head.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its pieces in their order, for who sends them.
    pub fn into_pieces(self) -> Pieces {
        let mut pieces =
            Pieces { file: None, bytes: Vec::new(), sent: 0, range: 0..0, later: Vec::new().into_iter() };
        match self {
            Self::Empty => {}
            Self::Bytes(bytes) => pieces.bytes = bytes,
            Self::File { file, offset, len } => {
                pieces.file = Some(file);
                pieces.range = offset..offset + len;
            }
            Self::Parts { file, parts } => {
                pieces.file = Some(file);
                pieces.later = parts.into_iter();
            }
        }
        pieces.refill();
        pieces
    }
}

/// What is left of a body: [`Pieces::next`], send some of it, [`Pieces::advance`], until there is nothing.
#[derive(Debug)]
pub struct Pieces {
    file: Option<OpenFile>,
    bytes: Vec<u8>,
    sent: usize,
    /// What comes of the file after the bytes.
    range: Range<u64>,
    later: std::vec::IntoIter<Part>,
}

/// The next piece of a body, not empty.
#[derive(Debug)]
pub enum Piece<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// So many bytes of the file.
    File {
        /// The file.
        file: &'a OpenFile,
        /// Where they begin.
        offset: u64,
        /// How many.
        len: u64,
    },
}

impl Pieces {
    /// The next piece; `None` at the end.
    pub fn next(&self) -> Option<Piece<'_>> {
        if self.sent < self.bytes.len() {
            return Some(Piece::Bytes(&self.bytes[self.sent..]));
        }
        let file = self.file.as_ref().filter(|_| !self.range.is_empty())?;
        Some(Piece::File { file, offset: self.range.start, len: self.range.end - self.range.start })
    }

    /// So many bytes of the next piece were sent.
    pub fn advance(&mut self, bytes: u64) {
        if self.sent < self.bytes.len() {
            self.sent += bytes as usize;
            assert!(self.sent <= self.bytes.len(), "more was sent than the piece had");
        } else {
            self.range.start += bytes;
            assert!(self.range.start <= self.range.end, "more was sent than the piece had");
        }
        self.refill();
    }

    fn refill(&mut self) {
        while self.sent == self.bytes.len() && self.range.is_empty() {
            let Some(part) = self.later.next() else { return };
            self.bytes = part.head;
            self.sent = 0;
            self.range = part.offset..part.offset + part.len;
        }
    }
}
