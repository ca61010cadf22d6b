//! Fields of a body mean the same however it is cut, and what serde_json, which takes the last of a name, makes of
//! them: where it reads another value, or none, there is no value here either.
#![no_main]

use edge::json_field::{Found, JsonFields, JsonPath};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;

const PATHS: [&[&str]; 5] = [&["a"], &["a", "b"], &["a", "0"], &["0", "a"], &["b", "1", "c"]];

static FIELDS: LazyLock<JsonFields> =
    LazyLock::new(|| JsonFields::new(PATHS.map(|path| JsonPath::parse(&path.join(".")).expect("a path"))));

fuzz_target!(|input: &[u8]| {
    let Some((&cut, body)) = input.split_first() else { return };
    let (mut whole, mut pieces) = (FIELDS.search(), FIELDS.search());
    whole.feed(body);
    for piece in body.chunks(usize::from(cut).max(1)) {
        pieces.feed(piece);
    }
    for place in 0..PATHS.len() {
        assert_eq!(whole.found(place), pieces.found(place), "before the end");
    }
    whole.end();
    pieces.end();
    let theirs = serde_json::Deserializer::from_slice(body).into_iter::<Value>().next();
    for (place, path) in PATHS.iter().enumerate() {
        assert_eq!(whole.found(place), pieces.found(place));
        // A number that is too large for theirs is none of our business.
        let Some(Ok(document)) = &theirs else { continue };
        agree(whole.found(place), looked_up(document, path));
    }
});

fn looked_up<'a>(document: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(document, |value, name| match value {
        Value::Object(members) => members.get(*name),
        Value::Array(elements) => elements.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

fn agree(found: Found<'_>, theirs: Option<&Value>) {
    match (found, theirs) {
        (Found::Value(text), Some(Value::String(string))) => assert_eq!(text, string),
        (Found::Value(text), theirs) => {
            assert_eq!(serde_json::from_str::<Value>(text).ok().as_ref(), theirs);
        }
        (Found::Absent, theirs) => assert_eq!(theirs, None),
        (Found::Other, _) => {}
        (Found::Unknown, _) => panic!("the document has ended"),
    }
}
