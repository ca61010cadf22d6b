use super::*;
use proptest::prelude::*;
use serde_json::Value;

const PATHS: [&str; 8] =
    ["order.kind", "kind", "items.0.sku", "items.10", "order", "a\\.b", "ключ", "order.lines.1.kind"];

fn fields(paths: &[&str]) -> JsonFields {
    JsonFields::new(paths.iter().map(|path| JsonPath::parse(path).unwrap()))
}

/// What is found at one path in a whole body.
fn found(path: &str, body: &str) -> String {
    let fields = fields(&[path]);
    let mut search = fields.search();
    search.feed(body.as_bytes());
    search.end();
    shown(search.found(0))
}

fn shown(found: Found<'_>) -> String {
    match found {
        Found::Value(text) => format!("= {text}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn scalars_are_found_as_they_are_written() {
    let body = r#" { "a" : "x", "b":{"c":[1, -0.50e+3 ,true]}, "d":null, "e":"", "f":false } "#;
    for (path, seen) in [
        ("a", "= x"),
        ("b.c.0", "= 1"),
        ("b.c.1", "= -0.50e+3"),
        ("b.c.2", "= true"),
        ("d", "= null"),
        ("e", "= "),
        ("f", "= false"),
        ("b", "Other"),
        ("b.c", "Other"),
        ("b.c.3", "Absent"),
        ("b.c.x", "Absent"),
        ("a.x", "Absent"),
        ("c", "Absent"),
        ("b.a", "Absent"),
    ] {
        assert_eq!(found(path, body), seen, "{path}");
    }
}

#[test]
fn an_index_is_also_a_name() {
    assert_eq!(found("items.1", r#"{"items":{"1":"x"}}"#), "= x");
    assert_eq!(found("items.01", r#"{"items":{"01":"x"}}"#), "= x");
    assert_eq!(found("items.01", r#"{"items":["x","y"]}"#), "Absent");
    assert_eq!(found("0.1", r#"[["x",{"deep":[1,2]},"z"],["y"]]"#), "Other");
    assert_eq!(found("1.0", r#"[["x",{"deep":[1,2]},"z"],["y"]]"#), "= y");
}

#[test]
fn escapes_are_read_in_names_and_values() {
    assert_eq!(
        found("kind", r#"{"k\u0069nd":"e\u0078press \ud83d\ude80 \"\\\/\b\f\n\r\t"}"#),
        "= express 🚀 \"\\/\u{8}\u{c}\n\r\t"
    );
    assert_eq!(found("ключ", r#"{"\u043a\u043B\u044e\u0447":"да"}"#), "= да");
    assert_eq!(found("a\\.b", r#"{"a":{"b":1},"a.b":2}"#), "= 2");
    assert_eq!(found("a\\\\b", r#"{"a\\b":2}"#), "= 2");
}

#[test]
fn a_field_that_is_named_twice_has_no_value() {
    assert_eq!(found("a", r#"{"a":1,"a":1}"#), "Other");
    assert_eq!(found("a", r#"{"a":1,"\u0061":2}"#), "Other");
    assert_eq!(found("a.b", r#"{"a":{"b":1},"a":{"b":2}}"#), "Other");
    assert_eq!(found("a.b", r#"{"a":{"b":1},"a":0}"#), "Other");
    assert_eq!(found("a.b", r#"{"a":0,"a":{"b":1}}"#), "Other");
    assert_eq!(found("a.0", r#"{"a":[1],"a":[2]}"#), "Other");
    assert_eq!(found("a", r#"{"a":1,"b":{"a":2}}"#), "= 1", "another object's is another field");
    assert_eq!(found("a.b", r#"{"a":{"b":1},"c":{"b":2,"b":3}}"#), "= 1");
}

#[test]
fn what_is_malformed_has_no_fields() {
    let good = r#"{"a":1,"b":[{"c":"\u0041"},0.5e1,true,null]}"#;
    assert_eq!(found("a", good), "= 1");
    for bad in [
        r#"{"a":1"#,
        r#"{"a":1,}"#,
        r#"{"a":1 "b":2}"#,
        r#"{"a":1]"#,
        r#"{"a":1,"b":[1,]}"#,
        r#"{"a":1,"b":[1}}"#,
        r#"{"a":1,"b"}"#,
        r#"{"a":1,"b":}"#,
        r#"{"a":1,b:2}"#,
        r#"{"a":1,'b':2}"#,
        r#"{"a":1,"b":01}"#,
        r#"{"a":1,"b":1.}"#,
        r#"{"a":1,"b":.5}"#,
        r#"{"a":1,"b":+1}"#,
        r#"{"a":1,"b":1e}"#,
        r#"{"a":1,"b":-}"#,
        r#"{"a":1,"b":0x1}"#,
        r#"{"a":1,"b":NaN}"#,
        r#"{"a":1,"b":True}"#,
        r#"{"a":1,"b":nul}"#,
        r#"{"a":1,"b":"\x"}"#,
        r#"{"a":1,"b":"\u00g0"}"#,
        r#"{"a":1,"b":"\ud800"}"#,
        r#"{"a":1,"b":"\ud800\n"}"#,
        r#"{"a":1,"b":"\ud800\ud800"}"#,
        r#"{"a":1,"b":"\udc00"}"#,
        r#"{"a":1/**/}"#,
        "{\"a\":1,\"b\":\"\t\"}",
        "{\"a\":1,\u{a0}\"b\":2}",
        "\u{feff}{\"a\":1}",
        "",
        " ",
    ] {
        assert_eq!(found("a", bad), "Unknown", "{bad}");
    }
    for bad in [
        &b"{\"a\":1,\"b\":\"\xff\"}"[..],
        b"{\"a\":1,\"b\":\"\xc0\x80\"}",
        b"{\"a\":1,\"\xed\xa0\x80\":0}",
        b"{\"a\":1,\"b\":\"\xe2\x82\"}",
    ] {
        let fields = fields(&["a"]);
        let mut search = fields.search();
        assert!(!search.feed(bad));
        assert_eq!(search.found(0), Found::Unknown, "{bad:?}");
    }
}

#[test]
fn what_was_cut_off_is_not_known() {
    let fields = fields(&["a", "b", "c"]);
    let mut search = fields.search();
    assert!(search.feed(br#"{"a":"whole","b":"cu"#));
    assert_eq!(
        [0, 1, 2].map(|place| search.found(place)),
        [Found::Value("whole"), Found::Unknown, Found::Unknown]
    );
    let mut search = fields.search();
    assert!(search.feed(br#"{"a":12"#));
    assert_eq!(search.found(0), Found::Unknown, "a digit may follow");
    search.feed(b",");
    assert_eq!(search.found(0), Found::Value("12"));
    search.end();
    assert_eq!(search.found(0), Found::Unknown, "a body that ends here is no document");
}

#[test]
fn nothing_after_the_document_matters() {
    let fields = fields(&["a"]);
    let mut search = fields.search();
    assert!(!search.feed(br#"{"a":1}{"a":2}"#));
    assert!(!search.feed(br#"{"a":3}"#));
    search.end();
    assert_eq!(search.found(0), Found::Value("1"));
}

#[test]
fn a_document_may_be_a_scalar_and_has_no_fields_then() {
    for body in ["1", "-0.1e1", "\"a\"", " true ", "null"] {
        assert_eq!(found("a", body), "Absent", "{body}");
    }
    for body in ["-", "1.", "tru", "\"a"] {
        assert_eq!(found("a", body), "Unknown", "{body}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested =
        |depth: usize| format!("{{\"a\":1,\"b\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert_eq!(found("a", &nested(128)), "= 1");
    assert_eq!(found("a", &nested(129)), "Unknown");
    let alternating = format!("{}1{}", "[{\"a\":".repeat(64), "}]".repeat(64));
    assert_eq!(found("0.a.0.a.0.a", &alternating), "Other");
}

#[test]
fn a_value_beyond_the_bound_is_not_compared() {
    for (bytes, seen) in [(VALUE_BYTES_MAX, "= x"), (VALUE_BYTES_MAX + 1, "Other")] {
        let body = format!("{{\"a\":\"{}\"}}", "x".repeat(bytes));
        assert_eq!(&found("a", &body)[..seen.len()], seen);
    }
    assert_eq!(found("a", &format!("{{\"{}\":0,\"a\":1}}", "a".repeat(5000))), "= 1");
}

#[test]
fn paths_are_read_and_written() {
    for (text, error) in [
        ("", BadPath::EmptyName),
        (".", BadPath::EmptyName),
        ("a.", BadPath::EmptyName),
        (".a", BadPath::EmptyName),
        ("a..b", BadPath::EmptyName),
        ("a\\", BadPath::Backslash),
        ("a\\n", BadPath::Backslash),
        (&"a.".repeat(16), BadPath::EmptyName),
        (&("a.".repeat(16) + "a"), BadPath::TooLong),
        (&"a".repeat(1025), BadPath::TooLong),
    ] {
        assert_eq!(JsonPath::parse(text), Err(error), "{text}");
    }
    for text in ["a", "a.b.0", "a\\.b.\\\\", "ключ. b"] {
        assert_eq!(JsonPath::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn no_paths_are_a_search_too() {
    let fields = JsonFields::default();
    assert!(!fields.search().feed(b"[[1]]"));
}

/// What serde_json, which takes the last of a name, finds at a path.
fn looked_up<'a>(document: &'a Value, path: &JsonPath) -> Option<&'a Value> {
    path.0.iter().try_fold(document, |value, segment| match value {
        Value::Object(members) => members.get(&*segment.name),
        Value::Array(elements) => elements.get(segment.index? as usize),
        _ => None,
    })
}

/// Reads a body in pieces, and holds it against serde_json.
fn compare(body: &[u8], cut: usize) {
    let fields = fields(&PATHS);
    let (mut search, mut whole) = (fields.search(), fields.search());
    for piece in body.chunks(cut) {
        search.feed(piece);
    }
    search.end();
    whole.feed(body);
    whole.end();
    for place in 0..PATHS.len() {
        assert_eq!(search.found(place), whole.found(place), "in pieces of {cut}");
    }
    if !matches!(body.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'[')) {
        return;
    }
    match serde_json::Deserializer::from_slice(body).into_iter::<Value>().next() {
        Some(Ok(document)) => {
            assert_eq!(search.state, State::Done, "serde_json reads it");
            for (place, path) in fields.paths.iter().enumerate() {
                agree(search.found(place), looked_up(&document, path));
            }
        }
        Some(Err(error)) if !error.to_string().contains("number out of range") => {
            assert_eq!(search.state, State::Malformed, "serde_json: {error}");
        }
        _ => {}
    }
}

fn agree(found: Found<'_>, theirs: Option<&Value>) {
    match found {
        Found::Value(text) => match theirs {
            Some(Value::String(string)) => assert_eq!(text, string),
            theirs => assert_eq!(serde_json::from_str::<Value>(text).ok().as_ref(), theirs),
        },
        Found::Absent => assert_eq!(theirs, None),
        Found::Other => {}
        Found::Unknown => panic!("the document has ended"),
    }
}

fn document() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        Just("order".to_owned()),
        Just("kind".to_owned()),
        Just("items".to_owned()),
        Just("lines".to_owned()),
        Just("sku".to_owned()),
        Just("a.b".to_owned()),
        Just("\\u006bind".to_owned()),
        Just("\\ud83d\\ude80".to_owned()),
        "[a-zключ\u{1f680} ]{0,6}",
    ];
    let text = text.prop_map(|text| format!("\"{text}\""));
    let scalar = prop_oneof![
        text.clone(),
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,2})?([eE][+-]?[0-9])?",
    ];
    scalar.prop_recursive(5, 60, 6, move |inner| {
        let member = (text.clone(), inner.clone()).prop_map(|(name, value)| format!("{name} :{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..12).prop_map(|all| format!("[{}]", all.join(" , "))),
            prop::collection::vec(member, 0..6).prop_map(|all| format!("{{{}}}", all.join(",\n"))),
        ]
    })
}

proptest! {
    #[test]
    fn a_document_means_what_it_means_to_serde_json(document in document(), cut in 1..20usize) {
        compare(document.as_bytes(), cut);
    }

    #[test]
    fn so_does_one_with_a_byte_changed(
        document in document(), at in any::<prop::sample::Index>(), byte in any::<u8>(), kind in 0..3, cut in 1..20usize
    ) {
        let mut body = document.into_bytes();
        let at = at.index(body.len());
        match kind {
            0 => body[at] = byte,
            1 => body.insert(at, byte),
            _ => { body.remove(at); }
        }
        compare(&body, cut);
    }

    #[test]
    fn a_cut_document_takes_nothing_back(document in document(), at in any::<prop::sample::Index>()) {
        let fields = fields(&PATHS);
        let (mut cut, mut whole) = (fields.search(), fields.search());
        cut.feed(&document.as_bytes()[..at.index(document.len())]);
        whole.feed(document.as_bytes());
        whole.end();
        for place in 0..PATHS.len() {
            // Only a second one of the same name can turn what was found into nothing.
            if let Found::Value(text) = cut.found(place) {
                let later = whole.found(place);
                prop_assert!(later == Found::Value(text) || later == Found::Other);
            }
        }
    }
}
