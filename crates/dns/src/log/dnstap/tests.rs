use super::frames::{Control, append, count, expect, first_from, shake_hands};
use super::message::{Direction, Event, head, write};
use super::*;
use crate::answer::{Kind, Outcome, SignedNow};
use crate::limit::Verdict;
use crate::protocol::Transport;
use domain::base::iana::OptRcode;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::UNIX_EPOCH;

/// The fields of a message of Protocol Buffers: number, and value or octets.
fn fields(mut bytes: &[u8]) -> Vec<(u32, u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                return value;
            }
        }
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let (value, length) = match key & 7 {
            0 => (varint(&mut bytes), 0),
            2 => (0, varint(&mut bytes) as usize),
            5 => (0, 4),
            kind => panic!("kind {kind}"),
        };
        let (octets, rest) = bytes.split_at(length);
        bytes = rest;
        found.push(((key >> 3) as u32, value, octets.to_vec()));
    }
    found
}

fn event<'e>(direction: Direction, query: &'e [u8], answer: &'e [u8]) -> Event<'e> {
    let received = UNIX_EPOCH + Duration::new(1_700_000_000, 5);
    Event {
        direction,
        client: "[::ffff:192.0.2.7]:4053".parse().unwrap(),
        transport: Transport::Tls,
        received,
        answered: received + Duration::from_nanos(70),
        query,
        answer,
    }
}

#[test]
fn a_message_has_the_fields_of_dnstap() {
    let long = vec![7; 20_000];
    let mut out = Vec::new();
    write(&head("ns1", "nines 0"), &event(Direction::Response, b"query", &long), &mut out);
    let outer = fields(&out);
    assert_eq!(outer[0], (1, 0, b"ns1".to_vec()));
    assert_eq!(outer[1], (2, 0, b"nines 0".to_vec()));
    assert_eq!((outer[2].0, outer[2].1), (15, 1));
    assert_eq!(outer[3].0, 14);
    let inner = fields(&outer[3].2);
    let expected = [
        (1, 2, vec![]),
        (2, 1, vec![]),
        (3, 3, vec![]),
        (4, 0, vec![192, 0, 2, 7]),
        (6, 4053, vec![]),
        (8, 1_700_000_000, vec![]),
        (9, 0, vec![5, 0, 0, 0]),
        (12, 1_700_000_000, vec![]),
        (13, 0, vec![75, 0, 0, 0]),
        (14, 0, long.clone()),
    ];
    assert_eq!(inner, expected);
    out.clear();
    write(&head("", "nines 0"), &event(Direction::Query, b"query", b""), &mut out);
    let inner = fields(&fields(&out)[2].2);
    assert_eq!(inner[0].1, 1);
    assert_eq!(inner.last(), Some(&(10, 0, b"query".to_vec())));
}

#[test]
fn frames_are_counted_and_found_from_within() {
    let mut frames = Vec::new();
    for length in [3, 0, 5] {
        append(&mut frames, |out| out.extend(vec![1; length]));
    }
    assert_eq!(frames, [0, 0, 0, 3, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 5, 1, 1, 1, 1, 1]);
    assert_eq!(count(&frames), 3);
    let from = [0, 1, 7, 8, 11, 12, 20].map(|at| first_from(&frames, at));
    assert_eq!(from, [0, 7, 7, 11, 11, 20, 20]);
}

#[test]
fn a_reader_that_wants_something_else_is_left_alone() {
    let accepted = |answer: &[u8]| {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answer).unwrap();
        drop(theirs.shutdown(std::net::Shutdown::Write));
        shake_hands(&mut ours).is_ok()
    };
    assert!(accepted(&Control::Accept.frame()));
    assert!(accepted(&[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1]), "no kind is any kind");
    let mut other = Control::Accept.frame();
    let last = other.len() - 1;
    other[last] = b'x';
    assert!(!accepted(&other));
    assert!(!accepted(&Control::Finish.frame()));
    assert!(!accepted(&[0, 0, 0, 0, 255, 255, 255, 255]));
    assert!(!accepted(&[0, 0, 0, 9]));
    assert!(!accepted(b""));
}

fn tell(tap: &Tap, message: &[u8]) {
    let outcome = Outcome {
        kind: Kind::Positive,
        rcode: OptRcode::NOERROR,
        zone: None,
        rtype: None,
        class: None,
        truncated: false,
        about: 0,
        signed: SignedNow::default(),
    };
    let record = Record {
        client: "192.0.2.7:53".parse().unwrap(),
        transport: Transport::Udp,
        message,
        query: None,
        outcome: &outcome,
        answer: b"answer",
        verdict: Verdict::Sent,
        took: Duration::ZERO,
    };
    tap.tell(&record, UNIX_EPOCH, UNIX_EPOCH);
}

fn tap(more: &str, dir: &Path) -> Tap {
    let mut config: DnstapConfig = toml::from_str(more).unwrap();
    for path in [&mut config.socket, &mut config.file].into_iter().flatten() {
        *path = dir.join(&*path);
    }
    Tap::open(&config, None).unwrap()
}

/// Takes all frames of a reader up to the one that says stop.
fn read_all(stream: &mut impl Read) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        if length == [0; 4] {
            stream.read_exact(&mut length).unwrap();
            let mut control = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut control).unwrap();
            assert_eq!(control, (Control::Stop as u32).to_be_bytes());
            return frames;
        }
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut frame).unwrap();
        frames.push(frame);
    }
}

#[test]
fn a_file_begins_anew_and_is_whole_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tap");
    std::fs::write(&path, "of before").unwrap();
    let tap = tap("file = 'a.tap'\nqueries = false", dir.path());
    tell(&tap, b"query");
    tell(&tap, b"query");
    tap.end();
    let mut file = &std::fs::read(&path).unwrap()[..];
    expect(&mut file, Control::Start).unwrap();
    assert_eq!(read_all(&mut file).len(), 2);
    assert!(file.is_empty());
}

#[test]
fn a_reader_hears_all_that_was_told_and_that_this_is_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("sock")).unwrap();
    let tap = tap("socket = 'sock'", dir.path());
    let (mut stream, _) = listener.accept().unwrap();
    expect(&mut stream, Control::Ready).unwrap();
    stream.write_all(&Control::Accept.frame()).unwrap();
    expect(&mut stream, Control::Start).unwrap();
    tell(&tap, b"query");
    let reader = std::thread::spawn(move || {
        let frames = read_all(&mut stream);
        stream.write_all(&Control::Finish.frame()).unwrap();
        frames
    });
    tap.end();
    let types: Vec<u64> =
        reader.join().unwrap().iter().map(|frame| fields(&fields(frame)[2].2)[0].1).collect();
    assert_eq!(types, [1, 2], "a query and its answer");
}

#[test]
fn what_a_reader_is_too_slow_for_is_dropped_whole_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens: nothing is taken from the buffer of this thread's core.
    let tap = tap("socket = 'sock'\nresponses = false", dir.path());
    let message = vec![0; 10_000];
    for _ in 0..1000 {
        tell(&tap, &message);
    }
    let kept: u64 = tap.shared.buffers.iter().map(|buffer| count(&lock(buffer))).sum();
    assert!(kept >= 100 && kept + tap.dropped() == 1000, "{kept} of 1000 and {} dropped", tap.dropped());
    assert!(tap.shared.buffers.iter().all(|buffer| lock(buffer).len() <= BUFFER_BYTES_MAX));
}
