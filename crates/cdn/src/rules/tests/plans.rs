//! What is asked for where some of a response is wanted.

use super::*;

const KIB: u64 = 1024;
const LENGTH: u64 = 1000 * KIB;

/// A part of what is a thousand KiB long, from and to so many KiB.
fn part(start: u64, end: u64, validators: &str) -> Stored {
    let mut shelf = Shelf::new();
    let range = format!("bytes {}-{}/{LENGTH}", start * KIB, end * KIB - 1);
    let lines = format!("Cache-Control: max-age=60 | Date: {{0}} | Content-Range: {range} | {validators}");
    shelf.put("Range: bytes=0-", 206, &lines).unwrap();
    shelf.stored.remove(0)
}

fn span(range: &str) -> Option<Span> {
    let line = format!("Range: bytes={range}\r\n");
    Span::of(&Asked::of(Method::Get, Lines::of(line.as_bytes())))
}

/// The lines that ask for what is wanted, and what is filled by what comes, in KiB; `-` for all of the response.
fn asked_for(range: &str, parts: &[Stored]) -> String {
    let parts: Vec<&Stored> = parts.iter().collect();
    let Some(ask) = plan(span(range), &parts, 512 * KIB) else { return "-".into() };
    let mut out = Vec::new();
    ask.write(&parts, &mut out);
    let filled = ask.hole.map(|hole| format!("({}..{})", hole.filled.start / KIB, hole.filled.end / KIB));
    String::from_utf8(out).unwrap().replace("\r\n", " ") + &filled.unwrap_or_default()
}

#[test]
fn of_what_is_not_known_one_range_is_asked_for_in_whole_blocks() {
    for (range, expected) in [
        ("0-", "-"),
        ("0-99", "Range: bytes=0-65535 "),
        ("70000-70000", "Range: bytes=65536-131071 "),
        ("65535-65536", "Range: bytes=0-131071 "),
        ("70000-", "Range: bytes=65536- "),
        ("100-", "-"),
        ("-5", "Range: bytes=-5 "),
        ("-0", "-"),
        ("0-0,-1", "-"),
        ("18446744073709551614-18446744073709551615", "Range: bytes=18446744073709486080- "),
    ] {
        assert_eq!(asked_for(range, &[]), expected, "{range}");
    }
    assert_eq!(plan(None, &[], 1 << 20), None, "all of it");
}

#[test]
fn what_is_missing_beside_parts_of_one_version_is_asked_for_if_that_has_not_changed() {
    let tagged = |start, end| part(start, end, "ETag: \"a\"");
    for (parts, range, expected) in [
        (vec![tagged(0, 128)], "100000-300000", "Range: bytes=131072-327679 If-Range: \"a\" (64..320)"),
        (vec![tagged(256, 512)], "200000-300000", "Range: bytes=196608-262143 If-Range: \"a\" (192..320)"),
        (
            vec![tagged(0, 128), tagged(256, 512)],
            "100000-300000",
            "Range: bytes=131072-262143 If-Range: \"a\" (64..320)",
        ),
        (vec![tagged(0, 600)], "-400000", "Range: bytes=614400- If-Range: \"a\" (576..1000)"),
        (vec![tagged(0, 64)], "100000-100001", "Range: bytes=65536-131071 "),
        (vec![tagged(0, 64)], "-1", "Range: bytes=983040- "),
        // Two that overlap and were too much to be joined.
        (
            vec![tagged(64, 320), tagged(0, 128)],
            "10000-300000",
            "Range: bytes=131072-327679 If-Range: \"a\" (0..320)",
        ),
        (vec![tagged(0, 64)], "0-600000", "Range: bytes=0-655359 "),
    ] {
        assert_eq!(asked_for(range, &parts), expected, "{range}");
    }
}

#[test]
fn all_of_it_is_completed_by_what_is_missing_at_one_place() {
    let tagged = |start, end| part(start, end, "ETag: \"a\"");
    let whole = |parts: &[Stored]| {
        let parts: Vec<&Stored> = parts.iter().collect();
        plan(None, &parts, LENGTH).map(|ask| ask.span)
    };
    let from =
        |start, end: Option<u64>| Some(Span::From { start: start * KIB, end: end.map(|end| end * KIB) });
    assert_eq!(whole(&[tagged(0, 100)]), from(100, None));
    assert_eq!(whole(&[tagged(100, 1000)]), from(0, Some(100)));
    assert_eq!(whole(&[tagged(700, 1000), tagged(300, 400), tagged(0, 100)]), from(100, Some(700)));
    assert_eq!(whole(&[tagged(100, 900)]), None, "it has neither end");
    assert_eq!(plan(None, &[&tagged(0, 900)], 999 * KIB), None, "it would be too much");
}

#[test]
fn nothing_is_put_beside_what_has_no_strong_validator_or_is_of_another_version() {
    for validators in ["", "ETag: W/\"a\"", "Last-Modified: {-5}"] {
        assert_eq!(
            asked_for("100000-300000", &[part(0, 128, validators)]),
            "Range: bytes=65536-327679 ",
            "{validators}"
        );
    }
    let dated = part(0, 128, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(
        asked_for("100000-200000", &[dated]),
        "Range: bytes=131072-262143 If-Range: Sun, 06 Nov 1994 08:49:37 GMT (64..256)"
    );
    let parts = [part(512, 576, "ETag: \"b\""), part(0, 128, "ETag: \"a\"")];
    assert_eq!(asked_for("100000-300000", &parts), "Range: bytes=65536-327679 ", "the older is not used");
}

#[test]
fn an_answer_is_used_if_it_is_what_was_asked_for() {
    let parts = [part(0, 128, "ETag: \"a\"")];
    let parts: Vec<&Stored> = parts.iter().collect();
    let rest = plan(span("100000-140000"), &parts, 512 * KIB).unwrap();
    let plain = plan(span("70000-80000"), &[], 512 * KIB).unwrap();
    let fits = |ask: &Ask, status, lines: &str| {
        let lines = super::lines(lines, NOW);
        ask.fits(&parts, &Came::of(status, Lines::of(lines.as_bytes()), at(NOW)))
    };
    let tail = "Content-Range: bytes 131072-196607/1024000";
    assert_eq!(fits(&rest, 206, &format!("ETag: \"a\" | {tail}")), Fits::Rest(65536));
    for (status, lines, expected) in [
        (206, format!("ETag: \"b\" | {tail}"), Fits::Unfit),
        (206, tail.to_owned(), Fits::Unfit),
        (206, format!("ETag: \"a\" | {tail} | Content-Length: 5"), Fits::Unfit),
        (206, "ETag: \"a\" | Content-Range: bytes 131072-196606/1024000".into(), Fits::Unfit),
        (206, "ETag: \"a\" | Content-Range: bytes 131072-196607/1024001".into(), Fits::Unfit),
        (416, "Content-Range: bytes */5".into(), Fits::Unfit),
        (200, String::new(), Fits::Whole),
        (404, String::new(), Fits::Other),
    ] {
        assert_eq!(fits(&rest, status, &lines), expected, "{status} {lines}");
    }
    for (status, lines, expected) in [
        (206, "Content-Range: bytes 65536-131071/200000", Fits::Part(65536)),
        (206, "Content-Range: bytes 65536-69999/70000", Fits::Part(4464)),
        (206, "Content-Range: bytes 65537-131071/200000", Fits::Unfit),
        (206, "Content-Range: bytes 0-65535/200000", Fits::Unfit),
        (206, "Content-Range: bytes 65536-69999/200000", Fits::Unfit),
        (206, "Content-Type: multipart/byteranges; boundary=x", Fits::Unfit),
        (416, "Content-Range: bytes */5", Fits::Other),
    ] {
        assert_eq!(fits(&plain, status, lines), expected, "{status} {lines}");
    }
}

#[test]
fn a_newer_part_takes_the_place_of_what_it_has_and_of_other_versions() {
    let tagged = |start, end, tag: &str| part(start, end, &format!("ETag: \"{tag}\""));
    let new = tagged(64, 128, "a");
    for (old, expected) in [
        (tagged(64, 128, "a"), true),
        (tagged(70, 80, "a"), true),
        (tagged(0, 128, "a"), false),
        (tagged(128, 192, "a"), false),
        (tagged(0, 128, "b"), true),
        (tagged(512, 576, "b"), true),
        (part(512, 576, ""), false),
    ] {
        assert_eq!(replaces(&new, &old), expected, "{:?}", old.range);
    }
    let whole = tagged(0, 1000, "a");
    assert!(replaces(&whole, &new) && !replaces(&new, &whole));
}
