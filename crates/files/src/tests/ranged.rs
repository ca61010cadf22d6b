//! Ranges of files.

use super::*;
use proptest::prelude::*;

fn letters() -> Vec<u8> {
    (0..10_000u32).map(|number| b'a' + (number % 26) as u8).collect()
}

#[test]
fn one_range_is_sent_with_its_place() {
    let world = World::new();
    let root = world.write("a.txt", letters()).open();
    for (field, place, range) in [
        ("bytes=0-4", "bytes 0-4/10000", 0..5),
        ("bytes=9990-", "bytes 9990-9999/10000", 9990..10_000),
        ("bytes=-10", "bytes 9990-9999/10000", 9990..10_000),
        ("bytes=0-", "bytes 0-9999/10000", 0..10_000),
    ] {
        let seen = get(&root, "/a.txt").with("range", field).seen();
        assert_eq!((seen.status, seen.header("content-range")), (206, Some(place)), "{field}");
        assert!(seen.body == letters()[range.clone()]);
        assert_eq!(seen.content_length, Some(range.len() as u64));
        assert_eq!(seen.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(seen.header("etag").is_some() && seen.header("last-modified").is_some());
    }
}

#[test]
fn a_range_that_is_not_there_is_416_with_the_size() {
    let world = World::new();
    let root = world.write("a.txt", "hello").open();
    let seen = get(&root, "/a.txt").with("range", "bytes=5-").seen();
    assert_eq!((seen.status, seen.header("content-range")), (416, Some("bytes */5")));
    assert_eq!((seen.body.len(), seen.header("etag")), (0, None));
}

#[test]
fn ranges_count_for_get_alone_and_malformed_ones_for_nobody() {
    let world = World::new();
    let root = world.write("a.txt", "hello").open();
    let head = get(&root, "/a.txt").method("HEAD").with("range", "bytes=1-2").seen();
    assert_eq!((head.status, head.content_length), (200, Some(5)));
    for field in ["bytes=2-1", "bytes=x", "lines=1-2"] {
        let seen = get(&root, "/a.txt").with("range", field).seen();
        assert_eq!((seen.status, seen.text()), (200, "hello"), "{field}");
    }
    let twice = get(&root, "/a.txt").with("range", "bytes=0-0").with("range", "bytes=1-1").seen();
    assert_eq!(twice.status, 200);
}

#[test]
fn several_ranges_are_a_multipart_in_their_order() {
    let world = World::new();
    let root = world.write("a.txt", letters()).open();
    let seen = get(&root, "/a.txt").with("range", "bytes=5000-5004,0-4,-5").seen();
    assert_eq!(seen.status, 206);
    assert_eq!(seen.header("content-range"), None, "RFC 9110 §15.3.7.2");
    let parts = parts_of(&seen);
    let places: Vec<u64> = parts.iter().map(|(start, _)| *start).collect();
    assert_eq!(places, [5000, 0, 9995]);
    for (start, bytes) in parts {
        assert!(bytes == letters()[start as usize..start as usize + 5]);
    }
    let touching = get(&root, "/a.txt").with("range", "bytes=0-4,5-9").seen();
    assert_eq!((touching.status, touching.header("content-range")), (206, Some("bytes 0-9/10000")));
}

#[test]
fn a_boundary_is_not_to_be_guessed() {
    let world = World::new();
    world.write("a.txt", letters());
    let boundary = |root: &Root| {
        let seen = get(root, "/a.txt").with("range", "bytes=0-0,5000-5000").seen();
        seen.header("content-type").unwrap().to_owned()
    };
    let (one, other) = (world.open(), world.open());
    assert_ne!(boundary(&one), boundary(&other));
    assert_eq!(boundary(&one), boundary(&one), "the same request has the same answer");
}

/// The parts of a `multipart/byteranges`: where each begins, and its bytes.
fn parts_of(seen: &Seen) -> Vec<(u64, Vec<u8>)> {
    let content_type = seen.header("content-type").unwrap();
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut rest = seen.body.strip_prefix(format!("--{boundary}").as_bytes()).unwrap();
    let mut parts = Vec::new();
    while rest != b"--\r\n" {
        let head_end = find(rest, b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&rest[2..head_end]).unwrap();
        rest = &rest[head_end + 4..];
        let (kind, place) = head.split_once("\r\nContent-Range: bytes ").unwrap();
        assert_eq!(kind, "Content-Type: text/plain; charset=utf-8");
        let (range, size) = place.split_once('/').unwrap();
        assert!(size.parse::<u64>().is_ok());
        let (first, last) = range.split_once('-').unwrap();
        let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
        let (bytes, after) = rest.split_at((last - first + 1) as usize);
        parts.push((first, bytes.to_vec()));
        rest = after.strip_prefix(format!("\r\n--{boundary}").as_bytes()).unwrap();
    }
    parts
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_answer_to_ranges_assembles_to_the_right_bytes(
        bytes in prop::collection::vec(any::<u8>(), 1..4000),
        asked in prop::collection::vec((0usize..4500, 0usize..300, 0u8..4), 1..24),
    ) {
        let world = World::new();
        let root = world.write("a.txt", &bytes).open();
        let specs: Vec<String> = asked.iter().map(|(first, more, form)| match form {
            0 => format!("{first}-"),
            1 => format!("-{more}"),
            _ => format!("{first}-{}", first + more),
        }).collect();
        let wanted = |byte: usize| asked.iter().any(|(first, more, form)| match form {
            0 => byte >= *first,
            1 => byte >= bytes.len() - more.min(&bytes.len()),
            _ => (*first..=first + more).contains(&byte),
        });
        let field = format!("bytes={}", specs.join(","));
        let seen = get(&root, "/a.txt").with("range", &field).seen();
        prop_assert!(seen.status == 416 || seen.content_length == Some(seen.body.len() as u64));
        let parts = match (seen.status, seen.header("content-range")) {
            (200, None) => vec![(0, seen.body.clone())],
            (206, None) => parts_of(&seen),
            (206, Some(place)) => {
                let first = place.strip_prefix("bytes ").unwrap().split_once('-').unwrap().0;
                vec![(first.parse().unwrap(), seen.body.clone())]
            }
            (416, _) => Vec::new(),
            other => panic!("{other:?}"),
        };
        let mut held = vec![false; bytes.len()];
        for (start, part) in parts {
            let range = start as usize..start as usize + part.len();
            prop_assert!(part == bytes[range.clone()], "wrong bytes at {:?}", range);
            held[range].fill(true);
        }
        for (byte, held) in held.into_iter().enumerate() {
            prop_assert!(held || !wanted(byte), "byte {} is missing of {}", byte, field);
        }
    }
}
