//! What two processes say to each other: [`frames`], whose payload begins with what it is (u8). Numbers are little-endian.

use crate::frames::{self, Next};
use crate::purge::{Entry, TARGET_BYTES_MAX};
use std::sync::Arc;

/// Of these messages.
const VERSION: u8 = 1;
/// What a purge, its number and whether it is news take beside its name.
const FIXED_BYTES: usize = 1 + 8 + 1 + 2;
/// The longest payload.
pub(super) const PAYLOAD_BYTES_MAX: usize = FIXED_BYTES + TARGET_BYTES_MAX;

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const PURGE: u8 = 3;
const HELD: u8 = 4;
const DISK_IS_FREE: u8 = 5;

/// A purge that the other process is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// One more than that of the one before.
    pub(crate) number: u64,
    /// Other nodes are to be told by whoever hears it, too.
    pub(crate) is_news: bool,
    pub(crate) entry: Arc<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// The new process is about to keep something: from now on it has to know of purges.
    Hello,
    /// The old one waits for its answers from now on; its own purges have numbers up to this one, and soon some more.
    Welcome {
        sequence: u64,
    },
    Purge(Told),
    /// All purges up to this one hold here.
    Held {
        number: u64,
    },
    /// Whoever wants the disk may open it.
    DiskIsFree,
}

impl Message {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        match self {
            Self::Hello => payload.extend_from_slice(&[HELLO, VERSION]),
            Self::Welcome { sequence } => numbered(WELCOME, *sequence, &mut payload),
            Self::Held { number } => numbered(HELD, *number, &mut payload),
            Self::DiskIsFree => payload.push(DISK_IS_FREE),
            Self::Purge(told) => {
                numbered(PURGE, told.number, &mut payload);
                payload.push(u8::from(told.is_news));
                told.entry.write(&mut payload);
            }
        }
        frames::write(&payload, out);
    }

    fn of(payload: &[u8]) -> Option<Self> {
        let (kind, rest) = payload.split_first()?;
        let (number, after) = match rest.split_first_chunk::<8>() {
            Some((number, after)) => (Some(u64::from_le_bytes(*number)), after),
            None => (None, rest),
        };
        match (*kind, number, after) {
            (HELLO, None, [VERSION]) => Some(Self::Hello),
            (WELCOME, Some(sequence), []) => Some(Self::Welcome { sequence }),
            (HELD, Some(number), []) => Some(Self::Held { number }),
            (DISK_IS_FREE, None, []) => Some(Self::DiskIsFree),
            (PURGE, Some(number), [is_news @ (0 | 1), entry @ ..]) => {
                let entry = Arc::new(Entry::read(entry)?);
                Some(Self::Purge(Told { number, is_news: *is_news == 1, entry }))
            }
            _ => None,
        }
    }
}

/// The first message, and what follows. `Ok(None)`: more of it is to come.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Message, &[u8])>, Malformed> {
    match frames::next(bytes, 1..=PAYLOAD_BYTES_MAX) {
        Next::End => Ok(None),
        Next::Damaged => Err(Malformed),
        Next::Payload(payload, rest) => Ok(Some((Message::of(payload).ok_or(Malformed)?, rest))),
    }
}

/// It is no message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

fn numbered(kind: u8, number: u64, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Reads any bytes as messages, and as the payload of one; what is read and written again is read as the same. For the fuzz target.
pub(crate) fn check_any(mut bytes: &[u8]) {
    let check = |message: Message| {
        let mut written = Vec::new();
        message.write(&mut written);
        assert_eq!(read(&written), Ok(Some((message, &[][..]))), "what is written is read as it was");
    };
    Message::of(bytes).into_iter().for_each(check);
    while let Ok(Some((message, rest))) = read(bytes) {
        check(message);
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purge::{Mode, Target};
    use proptest::prelude::*;

    fn purge(number: u64, is_news: bool, target: Target<'_>, mode: Mode) -> Message {
        Message::Purge(Told { number, is_news, entry: Arc::new(Entry::new(target, mode)) })
    }

    #[test]
    fn what_is_written_is_read() {
        let longest = vec![b'k'; TARGET_BYTES_MAX];
        let messages = [
            Message::Hello,
            Message::Welcome { sequence: 7 },
            purge(1, true, Target::Key(&longest), Mode::Hard),
            purge(2, false, Target::Tag("red"), Mode::Soft),
            purge(3, true, Target::Everything, Mode::Hard),
            Message::Held { number: u64::MAX },
            Message::DiskIsFree,
        ];
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.write(&mut bytes));
        let mut rest = &bytes[..];
        for message in &messages {
            let (read, after) = read(rest).unwrap().unwrap();
            assert_eq!(read, *message);
            rest = after;
        }
        assert_eq!(read(rest), Ok(None));
    }

    #[test]
    fn what_is_no_message_is_malformed() {
        let payloads: [&[u8]; 9] = [
            &[0],
            &[HELLO],
            &[HELLO, VERSION + 1],
            &[WELCOME, 1, 2, 3],
            &[HELD, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            &[DISK_IS_FREE, 0],
            &[PURGE, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0],
            &[PURGE, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9, 0],
            &[PURGE, 1, 0, 0, 0, 0, 0, 0, 0, 1],
        ];
        for payload in payloads {
            let mut bytes = Vec::new();
            frames::write(payload, &mut bytes);
            assert_eq!(read(&bytes), Err(Malformed), "{payload:?}");
        }
        assert_eq!(read(&[0xff; 12]), Err(Malformed), "no head of a frame");
    }

    #[test]
    fn what_was_said_by_the_first_version_is_read_as_it_was() {
        let said = |mut bytes: &[u8]| {
            let mut messages = Vec::new();
            while let Ok(Some((message, rest))) = read(bytes) {
                messages.push(message);
                bytes = rest;
            }
            messages
        };
        let new = [
            Message::Hello,
            purge(1, true, Target::Key(b"http://shop.test/a"), Mode::Hard),
            purge(2, false, Target::Tag("red"), Mode::Soft),
            Message::Held { number: 7 },
        ];
        assert_eq!(said(include_bytes!("../../../../fuzz/corpus/cdn_twin/new")), new);
        assert_eq!(said(include_bytes!("../../../../fuzz/corpus/cdn_twin/torn")), new[..3]);
        let old = [
            Message::Welcome { sequence: 7 },
            Message::Held { number: 2 },
            purge(1, true, Target::Everything, Mode::Hard),
            Message::DiskIsFree,
        ];
        assert_eq!(said(include_bytes!("../../../../fuzz/corpus/cdn_twin/old")), old);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            check_any(&bytes);
        }

        #[test]
        fn any_payload_in_a_frame_is_read_as_it_is_written(payload in proptest::collection::vec(0..6u8, 1..40)) {
            let mut bytes = Vec::new();
            frames::write(&payload, &mut bytes);
            check_any(&bytes);
        }
    }
}
