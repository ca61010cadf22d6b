//! Any text is a zone or a list of faults, never a panic; and records come back as they were written.

use super::{Limits, limited, loaded, rrset};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Pieces that zone files are made of.
const PIECES: [&str; 34] = [
    "\n",
    " ",
    "\t",
    "@",
    "a",
    "b.c",
    "*",
    "A",
    "NS",
    "CNAME",
    "DNAME",
    "TXT",
    "SOA",
    "MX",
    "SVCB",
    "NSEC",
    "TYPE7",
    "192.0.2.1",
    "\"",
    "\\",
    "(",
    ")",
    ";",
    "$TTL 5",
    "$ORIGIN ",
    "$GENERATE 1-3 ",
    "$",
    "${0,2,x}",
    "\\#",
    "\\065",
    "1h",
    "IN",
    "example.org.",
    "ns admin 1 2 3 4 5",
];

proptest! {
    #[test]
    fn any_text_is_a_zone_or_its_faults(pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..60)) {
        let mut builder = limited(Limits { generated_max: 10, ..Limits::default() });
        builder.text("zone", pieces.join(" ").as_bytes());
        builder.text("zone", pieces.concat().as_bytes());
        if let Err(error) = builder.finish() {
            prop_assert!(error.to_string().starts_with("zone example.org: "));
        }
    }

    #[test]
    fn any_bytes_are_a_zone_or_its_faults(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut builder = limited(Limits { generated_max: 10, ..Limits::default() });
        builder.text("zone", &bytes);
        if let Err(error) = builder.finish() {
            prop_assert!(error.to_string().starts_with("zone example.org: "));
        }
    }

    #[test]
    fn every_record_is_found_again(names in proptest::collection::btree_map("[a-z]{1,3}(\\.[a-z0-9]{1,9}){0,3}", any::<u32>(), 0..200)) {
        let names: BTreeMap<String, u32> = names;
        let address = |value: &u32| std::net::Ipv4Addr::from_bits(*value);
        let lines: String = names.iter().map(|(name, value)| format!("{name} A {}\n", address(value))).collect();
        let loaded = loaded(&lines);
        prop_assert_eq!(loaded.zone.figures().records, names.len() + 2);
        for (name, value) in &names {
            let found = rrset(&loaded, &format!("{name}.example.org"), "A");
            prop_assert_eq!(found, Some((3600, vec![value.to_be_bytes().to_vec()])));
        }
    }
}
