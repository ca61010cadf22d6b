//! Any `Accept-Encoding`: what is chosen was offered, the same on one line or several, and never what it weighs out.
#![no_main]

use encoding::{Choice, Coding, negotiate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let chosen = negotiate([value], &Coding::ALL);
    assert_eq!(chosen, negotiate(value.split(|byte| *byte == b','), &Coding::ALL), "on several lines");
    assert_eq!(negotiate([value], &[]), Choice::Identity);
    let Choice::Encode(coding) = chosen else { return };
    assert_eq!(negotiate([value], &[coding]), chosen, "what wins among all wins alone");
    for other in Coding::ALL {
        match negotiate([value], &[coding, other]) {
            Choice::Encode(winner) => assert!(winner == coding || winner == other),
            Choice::Identity => panic!("more on offer, and nothing chosen"),
        }
    }
    let refused = format!(",{}{coding};q=0", if coding == Coding::Gzip { "x-" } else { "" });
    assert_ne!(negotiate([value, refused.as_bytes()], &Coding::ALL), chosen, "its last weight is nothing");
});
