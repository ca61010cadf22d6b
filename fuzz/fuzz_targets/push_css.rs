//! A style sheet in which nothing is renamed stays as it is, and one that was rewritten has as many references.
#![no_main]

use libfuzzer_sys::fuzz_target;
use push::rewrite::css;

fuzz_target!(|sheet: &[u8]| {
    let found = css::references(sheet);
    let mut end = 0;
    for place in &found {
        assert!(place.start >= end && place.end <= sheet.len(), "{place:?}");
        end = place.end;
    }
    assert_eq!(css::rewrite(sheet, |_| None), sheet);
    let rewritten = css::rewrite(sheet, |_| Some(b"n.0123456789ab.png".to_vec()));
    assert_eq!(css::references(&rewritten).len(), found.len());
});
