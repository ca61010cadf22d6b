//! A page in which nothing is renamed stays as it is, its places are apart, and a page that was rewritten has the same
//! places in the same order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use push::rewrite::{Base, html};

fuzz_target!(|page: &[u8]| {
    let mut end = 0;
    let found = html::find(page);
    for place in &found {
        assert!(place.place.start >= end && place.place.end <= page.len(), "{place:?}");
        end = place.place.end;
    }
    let base = Base::of(&"sub/index.html".parse().expect("a path"), "/assets/");
    assert_eq!(html::rewrite(page, &base, |_, _| None), page);
    let rewritten = html::rewrite(page, &base, |_, _| Some("n.0123456789ab.x".into()));
    let kinds = |found: &[html::Found]| found.iter().map(|one| (one.kind, one.is_pinned)).collect::<Vec<_>>();
    assert_eq!(kinds(&html::find(&rewritten)), kinds(&found));
});
