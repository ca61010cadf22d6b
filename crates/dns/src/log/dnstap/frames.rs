//! Frame Streams: data frames begin with their length, control frames with a length of zero.

use std::io::{self, Read, Write};

const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";
/// The one field of control frames.
const CONTENT_TYPE_FIELD: u32 = 1;
/// A control frame is no longer than this (`FSTRM_CONTROL_FRAME_LENGTH_MAX`).
const CONTROL_BYTES_MAX: u32 = 512;

/// What a control frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    Accept = 1,
    Start = 2,
    Stop = 3,
    Ready = 4,
    Finish = 5,
}

impl Control {
    /// It as a frame.
    pub(super) fn frame(self) -> Vec<u8> {
        let mut body = (self as u32).to_be_bytes().to_vec();
        if matches!(self, Self::Accept | Self::Start | Self::Ready) {
            body.extend(CONTENT_TYPE_FIELD.to_be_bytes());
            body.extend((CONTENT_TYPE.len() as u32).to_be_bytes());
            body.extend(CONTENT_TYPE);
        }
        [&[0; 4], &(body.len() as u32).to_be_bytes()[..], &body].concat()
    }
}

/// Appends a data frame.
pub(super) fn append(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    write(buffer);
    let length = (buffer.len() - at - 4) as u32;
    buffer[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Where each of these data frames begins.
fn begins(frames: &[u8]) -> impl Iterator<Item = usize> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let begin = next;
        let (length, _) = frames.get(begin..)?.split_first_chunk::<4>()?;
        next += 4 + u32::from_be_bytes(*length) as usize;
        Some(begin)
    })
}

/// Where the first frame begins that is not before `at`, or the end.
pub(super) fn first_from(frames: &[u8], at: usize) -> usize {
    begins(frames).find(|begin| *begin >= at).unwrap_or(frames.len())
}

/// How many frames there are.
pub(super) fn count(frames: &[u8]) -> u64 {
    begins(frames).count() as u64
}

/// Agrees with a reader that frames of dnstap come, and begins with them.
pub(super) fn shake_hands(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&Control::Ready.frame())?;
    expect(stream, Control::Accept)?;
    stream.write_all(&Control::Start.frame())
}

/// Reads a control frame of this kind. Of its fields only the kind of content matters, and there must be ours among them if any is.
pub(super) fn expect(stream: &mut impl Read, wanted: Control) -> io::Result<()> {
    let invalid = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    let mut number = || {
        let mut octets = [0; 4];
        stream.read_exact(&mut octets).map(|()| u32::from_be_bytes(octets))
    };
    if number()? != 0 {
        return invalid("the reader sent no control frame");
    }
    let length = number()?;
    if !(4..=CONTROL_BYTES_MAX).contains(&length) {
        return invalid("the reader sent a control frame that is too long");
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body)?;
    if body[..4] != (wanted as u32).to_be_bytes() {
        return invalid("the reader sent another control frame than is due");
    }
    let is_ours = body.len() == 4 || body.windows(CONTENT_TYPE.len()).any(|part| part == CONTENT_TYPE);
    if is_ours { Ok(()) } else { invalid("the reader does not take dnstap") }
}
