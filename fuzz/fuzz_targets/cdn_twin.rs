//! Any bytes, as what the other process of a takeover says: nothing is read that is not written the same way again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| cdn::read_any_of_twin(input));
