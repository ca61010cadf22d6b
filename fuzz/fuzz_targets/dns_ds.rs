//! Any bytes from a server of the zone above are no answer, or say how long a DS may be remembered that is in them.
#![no_main]

use dns::{Name, judge_ds};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static APEX: LazyLock<Name> = LazyLock::new(|| "shop.test".parse().expect("a name"));
const DS: &[u8] = b"\x12\x34\x0d\x02digest";

// The input has the octets after the identifier.
fuzz_target!(|input: &[u8]| {
    let answer = [b"\0\0", input].concat();
    if let Some(ttl) = judge_ds(&answer, &APEX, DS) {
        assert!(ttl <= i32::MAX as u32 && answer.windows(DS.len()).any(|octets| octets == DS));
    }
});
