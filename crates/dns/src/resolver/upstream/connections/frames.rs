//! Messages on a stream, each behind its length (RFC 1035 §4.2.2).

use crate::protocol::HEADER_BYTES;
use bytes::{Buf, BytesMut};

/// What comes is no message, and so nothing behind it can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoMessage;

/// Takes the next whole message off what has come.
pub(super) fn next(received: &mut BytesMut) -> Result<Option<Vec<u8>>, NoMessage> {
    let Some(length) = received.first_chunk::<2>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*length));
    if length < HEADER_BYTES {
        return Err(NoMessage);
    }
    if received.len() < 2 + length {
        // Room for the rest, which is at most a message.
        received.reserve(2 + length - received.len());
        return Ok(None);
    }
    received.advance(2);
    Ok(Some(received.split_to(length).to_vec()))
}

/// The whole messages in what has come on a connection, and whether what follows may be the beginning of another.
pub fn framed_messages(received: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let (mut received, mut messages) = (BytesMut::from(received), Vec::new());
    loop {
        match next(&mut received) {
            Ok(Some(message)) => messages.push(message),
            ended => return (messages, ended.is_ok()),
        }
    }
}

/// Appends a message.
pub(super) fn add(message: &[u8], out: &mut BytesMut) {
    // A query of ours has some hundred octets.
    out.extend_from_slice(&(message.len() as u16).to_be_bytes());
    out.extend_from_slice(message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_they_are_cut(
            messages in vec(vec(any::<u8>(), 12..300), 0..5), cut in 1..64usize,
        ) {
            let (mut out, mut received, mut found) = (BytesMut::new(), BytesMut::new(), Vec::new());
            messages.iter().for_each(|message| add(message, &mut out));
            for piece in out.chunks(cut) {
                received.extend_from_slice(piece);
                while let Some(message) = next(&mut received).unwrap() {
                    found.push(message);
                }
            }
            prop_assert_eq!(found, messages);
            prop_assert!(received.is_empty());
        }
    }

    #[test]
    fn what_is_shorter_than_a_header_is_no_message() {
        assert_eq!(next(&mut BytesMut::from(&[0, 11][..])), Err(NoMessage));
        assert_eq!(next(&mut BytesMut::from(&[0][..])), Ok(None));
    }
}
