use super::*;
use notation::{Name, Size};
use proptest::prelude::*;

const ANY: &[u8] = b"gzip, br, zstd";

fn compression() -> Compression {
    Compression::new(&CompressConfig::Switch(true)).unwrap()
}

/// A page that everybody would get encoded.
fn page() -> ResponseFacts<'static> {
    ResponseFacts {
        status: 200,
        content_type: Some(b"text/html; charset=utf-8"),
        content_length: Some(100_000),
        etag: Some(b"\"1\""),
        ..ResponseFacts::default()
    }
}

fn planned(facts: &ResponseFacts<'_>) -> Plan {
    compression().plan(facts, [ANY])
}

fn passed(reason: Reason) -> Plan {
    Plan { action: Action::Pass(reason), is_vary_due: false, is_etag_weakened: false }
}

fn coding(plan: Plan) -> Option<Coding> {
    match plan.action {
        Action::Encode { coding, .. } => Some(coding),
        Action::Pass(_) => None,
    }
}

#[test]
fn a_page_is_encoded_and_says_so() {
    let action = Action::Encode { coding: Coding::Zstd, flushes_each_piece: false };
    assert_eq!(planned(&page()), Plan { action, is_vary_due: true, is_etag_weakened: true });
    assert_eq!(coding(compression().plan(&page(), [b"gzip".as_slice()])), Some(Coding::Gzip));
}

#[test]
fn who_takes_no_coding_hears_that_others_do() {
    for accept in [&[][..], &[b"identity".as_slice()], &[b"gzip;q=0, deflate"]] {
        let plan = compression().plan(&page(), accept.iter().copied());
        assert_eq!(plan, Plan { is_vary_due: true, ..passed(Reason::NotAccepted) });
    }
}

#[test]
fn what_is_encoded_already_is_left_alone() {
    for encoding in ["gzip", "br", "dcz", "gzip, identity", "x"] {
        let facts = ResponseFacts { content_encoding: Some(encoding.as_bytes()), ..page() };
        assert_eq!(planned(&facts), passed(Reason::Encoded), "{encoding}");
    }
    let facts = ResponseFacts { content_encoding: Some(b" Identity "), ..page() };
    assert_eq!(coding(planned(&facts)), Some(Coding::Zstd));
}

#[test]
fn no_transform_is_honoured() {
    assert_eq!(planned(&ResponseFacts { is_no_transform: true, ..page() }), passed(Reason::NoTransform));
    assert!(is_no_transform(b"no-transform"));
    assert!(is_no_transform(b"public, max-age=60 , No-Transform"));
    assert!(!is_no_transform(b"public, x-no-transform, no-transforms"));
}

#[test]
fn only_types_that_gain_by_it_are_encoded() {
    for name in ["image/png", "application/octet-stream", "video/mp4", "", ";"] {
        let facts = ResponseFacts { content_type: Some(name.as_bytes()), ..page() };
        assert_eq!(planned(&facts), passed(Reason::Type), "{name}");
    }
    assert_eq!(planned(&ResponseFacts { content_type: None, ..page() }), passed(Reason::Type));
}

#[test]
fn grpc_is_never_encoded_from_outside() {
    let options = CompressOptions { types: vec![Name::new("*/*")], ..CompressOptions::default() };
    let compression = Compression::new(&CompressConfig::Options(options)).unwrap();
    for (name, is_encoded) in [
        ("application/grpc", false),
        ("Application/gRPC+proto", false),
        ("application/grpc-web+proto", false),
        ("application/grpc; charset=utf-8", false),
        ("application/grpcish", true),
        ("image/png", true),
    ] {
        let facts = ResponseFacts { content_type: Some(name.as_bytes()), ..page() };
        assert_eq!(coding(compression.plan(&facts, [ANY])).is_some(), is_encoded, "{name}");
    }
}

#[test]
fn events_are_flushed_as_they_come() {
    for name in ["text/event-stream", "Text/Event-Stream;charset=utf-8", "application/x-ndjson"] {
        let facts = ResponseFacts { content_type: Some(name.as_bytes()), content_length: None, ..page() };
        let flushed = Action::Encode { coding: Coding::Zstd, flushes_each_piece: true };
        assert_eq!(planned(&facts).action, flushed, "{name}");
    }
}

#[test]
fn a_short_body_is_left_alone_and_an_unknown_length_is_not_short() {
    for (length, is_encoded) in [(Some(0), false), (Some(1023), false), (Some(1024), true), (None, true)] {
        let plan = planned(&ResponseFacts { content_length: length, ..page() });
        assert_eq!(coding(plan).is_some(), is_encoded, "{length:?}");
        assert_eq!(plan.is_vary_due, is_encoded, "{length:?}");
    }
    let options = CompressOptions { min: Size::bytes(0), ..CompressOptions::default() };
    let compression = Compression::new(&CompressConfig::Options(options)).unwrap();
    let facts = ResponseFacts { content_length: Some(0), ..page() };
    assert_eq!(compression.plan(&facts, [ANY]), passed(Reason::Short), "nothing has no shorter form");
}

#[test]
fn statuses_without_a_whole_body_are_left_alone() {
    for status in [101, 103, 204, 205] {
        assert_eq!(planned(&ResponseFacts { status, ..page() }), passed(Reason::Status), "{status}");
    }
    let unsatisfied = ResponseFacts { status: 416, has_content_range: true, ..page() };
    assert_eq!(planned(&unsatisfied), passed(Reason::Status));
    for status in [200, 201, 404, 500, 503] {
        assert!(coding(planned(&ResponseFacts { status, ..page() })).is_some(), "{status}");
    }
}

#[test]
fn a_part_says_that_the_whole_varies() {
    let part = ResponseFacts { status: 206, has_content_range: true, ..page() };
    assert_eq!(planned(&part), Plan { is_vary_due: true, ..passed(Reason::Status) });
    let part = ResponseFacts { content_type: Some(b"video/mp4"), ..part };
    assert_eq!(planned(&part), passed(Reason::Status));
}

#[test]
fn a_304_names_the_representation_that_the_client_holds() {
    let not_modified = |held: &'static str, etag: &'static str| ResponseFacts {
        status: 304,
        content_type: None,
        content_length: None,
        etag: Some(etag.as_bytes()),
        if_none_match: Some(held.as_bytes()),
        ..page()
    };
    for (held, etag, is_weakened) in [
        ("W/\"1\"", "\"1\"", true),
        ("\"0\", W/\"1\"", "\"1\"", true),
        ("\"0,\",W/\"1\" , W/\"2\"", "\"1\"", true),
        ("\"1\"", "\"1\"", false),
        ("W/\"1\"", "W/\"1\"", false),
        ("W/\"11\"", "\"1\"", false),
        ("XW/\"1\"", "\"1\"", false),
        ("*", "\"1\"", false),
    ] {
        let plan = planned(&not_modified(held, etag));
        assert_eq!(plan.is_etag_weakened, is_weakened, "{held} {etag}");
        assert!(plan.is_vary_due, "its type is not known, and 200 may have said so");
    }
    let picture = ResponseFacts { content_type: Some(b"image/png"), ..not_modified("W/\"1\"", "\"1\"") };
    assert!(!planned(&picture).is_vary_due);
    let encoded = ResponseFacts { content_encoding: Some(b"br"), ..not_modified("W/\"1\"", "\"1\"") };
    assert_eq!(planned(&encoded), passed(Reason::Status), "the backend encodes, and names its own");
}

#[test]
fn only_a_strong_tag_is_weakened() {
    for (etag, is_weakened) in
        [("\"1\"", true), ("\"\"", true), ("W/\"1\"", false), ("1", false), ("\"", false)]
    {
        let plan = planned(&ResponseFacts { etag: Some(etag.as_bytes()), ..page() });
        assert_eq!(plan.is_etag_weakened, is_weakened, "{etag}");
    }
    assert!(!planned(&ResponseFacts { etag: None, ..page() }).is_etag_weakened);
}

#[test]
fn vary_is_added_only_where_it_is_missing() {
    for (vary, is_complete) in [
        ("Accept-Encoding", true),
        ("Origin,accept-encoding", true),
        ("*", true),
        ("", false),
        ("Origin", false),
        ("X-Accept-Encoding", false),
    ] {
        assert_eq!(is_vary_complete(vary.as_bytes()), is_complete, "{vary}");
    }
}

#[test]
fn a_switch_and_an_order_of_preference_are_kept() {
    assert_eq!(Compression::new(&CompressConfig::Switch(false)), None);
    let options = CompressOptions { codings: vec![Coding::Gzip, Coding::Br], ..CompressOptions::default() };
    let compression = Compression::new(&CompressConfig::Options(options)).unwrap();
    assert_eq!(coding(compression.plan(&page(), [ANY])), Some(Coding::Gzip));
    assert_eq!(coding(compression.plan(&page(), [b"zstd".as_slice()])), None);
}

proptest! {
    #[test]
    fn what_passes_for_one_client_varies_only_if_another_gets_it_encoded(
        status in prop_oneof![Just(200u16), 200..600u16],
        content_type in prop_oneof![Just("text/css"), Just("image/png"), Just("application/json")],
        content_length in prop::option::of(0..3000u64),
        accept in "[gzipbrstd;q=0-9., *]{0,20}",
    ) {
        let facts = ResponseFacts {
            status, content_length, content_type: Some(content_type.as_bytes()), ..page()
        };
        let plan = compression().plan(&facts, [accept.as_bytes()]);
        let best = compression().plan(&facts, [b"*".as_slice()]);
        prop_assert_eq!(plan.is_vary_due, best.is_vary_due, "Vary depends on the response alone");
        if coding(plan).is_some() {
            prop_assert!(plan.is_vary_due && coding(best).is_some());
            prop_assert!(plan.is_etag_weakened, "its tag is strong");
        } else {
            prop_assert!(!plan.is_etag_weakened);
        }
    }
}
