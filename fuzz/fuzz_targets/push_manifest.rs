//! A manifest that is read is written as one that reads the same, and its paths come back from their URLs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use push::{AssetPath, Manifest};

fuzz_target!(|json: &[u8]| {
    if let Some(path) = AssetPath::of_url(json) {
        assert_eq!(AssetPath::of_url(path.to_url().as_bytes()), Some(path));
    }
    let Ok(manifest) = Manifest::parse(json) else { return };
    for path in manifest.files.keys() {
        assert_eq!(AssetPath::of_url(path.to_url().as_bytes()).as_ref(), Some(path));
    }
    let again = serde_json::to_vec(&manifest).expect("a manifest always serializes");
    assert_eq!(Manifest::parse(&again), Ok(manifest));
});
