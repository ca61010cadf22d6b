//! How a body is framed, and taking its frames off while it passes.

use super::chunked::{ChunkDecoder, ChunkError};
use std::ops::Range;
use thiserror::Error;

/// A body that has not arrived whole (RFC 9112 §6.3).
#[derive(Debug, Clone, Default)]
pub struct Body(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Length(u64),
    Chunked(ChunkDecoder),
    UntilClose,
}

impl Default for Kind {
    fn default() -> Self {
        Self::Length(0)
    }
}

/// What was found in the bytes that have arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Where the body's own bytes are; frames between them were squeezed out.
    pub data: Range<usize>,
    /// Up to where the bytes are used up; what follows belongs to a later call or to the next message.
    pub consumed: usize,
    /// The trailer section's lines with their CRLFs, in the same bytes; complete only once the body is.
    pub trailers: Range<usize>,
}

/// A body that is not framed as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadBody {
    /// RFC 9112 §7.1.
    #[error("malformed chunk: {0}")]
    Chunk(#[from] ChunkError),
    /// RFC 9112 §8: the connection ended first.
    #[error("body ended early")]
    Incomplete,
}

impl Body {
    /// No body.
    pub fn none() -> Self {
        Self(Kind::Length(0))
    }

    /// A body of this many bytes.
    pub fn length(bytes: u64) -> Self {
        Self(Kind::Length(bytes))
    }

    /// A body in chunks.
    pub fn chunked() -> Self {
        Self(Kind::Chunked(ChunkDecoder::default()))
    }

    /// A response's body that lasts until the connection ends.
    pub fn until_close() -> Self {
        Self(Kind::UntilClose)
    }

    /// Whether all of it has been decoded.
    pub fn is_finished(&self) -> bool {
        match &self.0 {
            Kind::Length(left) => *left == 0,
            Kind::Chunked(decoder) => decoder.is_finished(),
            Kind::UntilClose => false,
        }
    }

    /// Whether only the connection's end tells the body's.
    pub fn ends_with_connection(&self) -> bool {
        matches!(self.0, Kind::UntilClose)
    }

    /// Whether its length is known only at its end.
    pub fn has_no_length(&self) -> bool {
        !matches!(self.0, Kind::Length(_))
    }

    /// Whether it came in chunks.
    pub fn is_chunked(&self) -> bool {
        matches!(self.0, Kind::Chunked(_))
    }

    /// Bytes to come, where that is known.
    pub fn bytes_left(&self) -> Option<u64> {
        match self.0 {
            Kind::Length(left) => Some(left),
            _ => None,
        }
    }

    /// Takes what belongs to the body from `bytes[from..]`.
    pub fn decode(&mut self, bytes: &mut [u8], from: usize) -> Result<Decoded, BadBody> {
        let available = bytes.len() - from;
        match &mut self.0 {
            Kind::Length(left) => {
                let taken = usize::try_from(*left).map_or(available, |left| left.min(available));
                *left -= taken as u64;
                Ok(Decoded { data: from..from + taken, consumed: from + taken, trailers: 0..0 })
            }
            Kind::Chunked(decoder) => Ok(decoder.decode(bytes, from)?),
            Kind::UntilClose => {
                Ok(Decoded { data: from..bytes.len(), consumed: bytes.len(), trailers: 0..0 })
            }
        }
    }

    /// Told that the connection has ended: fine for a body that lasts until then, and for no other.
    pub fn end_of_connection(&mut self) -> Result<(), BadBody> {
        match self.0 {
            Kind::UntilClose => {
                self.0 = Kind::Length(0);
                Ok(())
            }
            _ if self.is_finished() => Ok(()),
            _ => Err(BadBody::Incomplete),
        }
    }
}
