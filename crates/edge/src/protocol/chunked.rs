//! The chunked transfer coding, decoded in place (RFC 9112 §7.1).

use super::body::Decoded;
use thiserror::Error;

/// Chunk extensions of one chunk; they are read over, and mean nothing to anyone.
const EXTENSION_BYTES_MAX: u32 = 4096;
/// The trailer section, its final empty line included.
const TRAILER_BYTES_MAX: usize = 8192;

/// What is wrong with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// The size is missing or not hexadecimal.
    #[error("invalid chunk size")]
    Size,
    /// The size needs more than 60 bits.
    #[error("chunk size overflows")]
    Overflow,
    /// A control byte, a bare LF among them, in an extension.
    #[error("invalid chunk extension")]
    Extension,
    /// An extension of more than 4 KiB.
    #[error("chunk extension too long")]
    ExtensionTooLong,
    /// A line or a chunk's data does not end with CRLF.
    #[error("missing CRLF")]
    LineBreak,
    /// A trailer field is malformed.
    #[error("invalid trailer section")]
    Trailer,
    /// A trailer section of more than 8 KiB.
    #[error("trailer section too large")]
    TrailerTooLarge,
}

/// Decodes chunks as they arrive, at whatever byte they are cut.
#[derive(Debug, Clone, Default)]
pub struct ChunkDecoder {
    state: State,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// At the first digit of a size.
    #[default]
    SizeStart,
    /// Within a size.
    Size(u64),
    /// Within an extension of the chunk of this size.
    Extension { size: u64, read: u32 },
    /// After the CR of a size line.
    SizeLf(u64),
    /// Within data, with this many bytes to come.
    Data(u64),
    /// After data.
    DataCr,
    /// After the CR that follows data.
    DataLf,
    /// Within the trailer section.
    Trailers,
    /// After it.
    Finished,
}

impl ChunkDecoder {
    /// Whether the last chunk and the trailer section have been read.
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Decodes `bytes[from..]`, moving data together where frames stood between.
    pub fn decode(&mut self, bytes: &mut [u8], from: usize) -> Result<Decoded, ChunkError> {
        let mut at = from;
        let mut data_end = from;
        let mut data_start = from;
        let mut trailers = 0..0;
        while at < bytes.len() {
            match self.state {
                State::Data(left) => {
                    let taken =
                        usize::try_from(left).map_or(bytes.len() - at, |left| left.min(bytes.len() - at));
                    if data_start == data_end {
                        // The first data of this call stays where it is.
                        (data_start, data_end) = (at, at + taken);
                    } else {
                        bytes.copy_within(at..at + taken, data_end);
                        data_end += taken;
                    }
                    at += taken;
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::DataCr } else { State::Data(left) };
                }
                State::Trailers => match trailer_section(&bytes[at..])? {
                    None => break,
                    Some(len) => {
                        // Without the empty line that ends the section.
                        trailers = at..at + len - 2;
                        at += len;
                        self.state = State::Finished;
                    }
                },
                State::Finished => break,
                framing => {
                    self.state = next(framing, bytes[at])?;
                    at += 1;
                }
            }
        }
        Ok(Decoded { data: data_start..data_end, consumed: at, trailers })
    }
}

/// One byte of what stands between data.
fn next(state: State, byte: u8) -> Result<State, ChunkError> {
    Ok(match (state, byte) {
        (State::SizeStart, _) => State::Size(hex(byte).ok_or(ChunkError::Size)?),
        (State::Size(size), b'\r') => State::SizeLf(size),
        // RFC 9112 §7.1.1 allows blanks before the semicolon only to be tolerated; they are not.
        (State::Size(size), b';') => State::Extension { size, read: 0 },
        (State::Size(size), _) => {
            let digit = hex(byte).ok_or(ChunkError::Size)?;
            if size >> 56 != 0 {
                return Err(ChunkError::Overflow);
            }
            State::Size(size << 4 | digit)
        }
        (State::Extension { size, .. }, b'\r') => State::SizeLf(size),
        (State::Extension { read: EXTENSION_BYTES_MAX.., .. }, _) => {
            return Err(ChunkError::ExtensionTooLong);
        }
        (State::Extension { size, read }, b'\t' | b' '..=b'~' | 0x80..) => {
            State::Extension { size, read: read + 1 }
        }
        (State::Extension { .. }, _) => return Err(ChunkError::Extension),
        (State::SizeLf(0), b'\n') => State::Trailers,
        (State::SizeLf(size), b'\n') => State::Data(size),
        (State::DataCr, b'\r') => State::DataLf,
        (State::DataLf, b'\n') => State::SizeStart,
        _ => return Err(ChunkError::LineBreak),
    })
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// The length of the whole trailer section at the start of `bytes`, if it has arrived.
fn trailer_section(bytes: &[u8]) -> Result<Option<usize>, ChunkError> {
    let len = match bytes {
        [b'\r', b'\n', ..] => Some(2),
        _ => super::head::end_of_head(bytes, 0).map_err(|_| ChunkError::LineBreak)?,
    };
    if len.unwrap_or(bytes.len()) > TRAILER_BYTES_MAX {
        return Err(ChunkError::TrailerTooLarge);
    }
    let Some(len) = len else { return Ok(None) };
    let section = &bytes[..len];
    let mut fields = [httparse::EMPTY_HEADER; 32];
    match httparse::parse_headers(section, &mut fields) {
        Ok(httparse::Status::Complete((end, _))) if end == len => Ok(Some(len)),
        _ => Err(ChunkError::Trailer),
    }
}
