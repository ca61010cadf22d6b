//! Any text as `nines.toml`: an answer and never a panic; what is accepted has an effective file that means
//! the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &str| {
    let path = Path::new("nines.toml");
    match topology::parse(text, path) {
        Ok(checked) => {
            checked.render_warnings(false);
            let effective = topology::effective(&checked.topology);
            let again = topology::parse(&effective, path).expect("an effective file is a file");
            assert_eq!(again.topology, checked.topology);
        }
        Err(rejected) => {
            assert!(rejected.errors() > 0, "what is refused has an error");
            rejected.render(true);
        }
    }
});
