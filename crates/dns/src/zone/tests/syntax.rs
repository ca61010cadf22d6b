//! RFC 1035 §5.1: owners, blanks, comments, parentheses, quotes, escapes; TTLs and classes in any order.

use super::{data, loaded, rrset};

#[test]
fn a_line_that_begins_with_a_blank_has_the_owner_before() {
    let loaded = loaded("www A 192.0.2.1\n\tA 192.0.2.2\n  ; a comment\n\n \n   TXT text\n");
    assert_eq!(rrset(&loaded, "www.example.org", "A").unwrap().1.len(), 2);
    assert!(data(&loaded, "www.example.org", "TXT").is_some());
}

#[test]
fn ttl_and_class_stand_in_any_order_or_not_at_all() {
    let loaded = loaded(
        "a 60 IN A 192.0.2.1\nb IN 60 A 192.0.2.1\nc in a 192.0.2.1\nd 1m A 192.0.2.1\ne A 192.0.2.1\nf CLASS1 1H30M TYPE1 192.0.2.1\n",
    );
    for (name, ttl) in [("a", 60), ("b", 60), ("c", 3600), ("d", 60), ("e", 3600), ("f", 5400)] {
        let found = rrset(&loaded, &format!("{name}.example.org"), "A").unwrap();
        assert_eq!(found, (ttl, vec![vec![192, 0, 2, 1]]), "{name}");
    }
}

/// RFC 1035 §5.1 without `$TTL`, and as BIND has it for the SOA.
#[test]
fn without_a_default_the_ttl_before_counts() {
    let text = "@ SOA ns admin 1 2 3 4 90\n@ NS ns\nns A 192.0.2.1\nx 60 A 192.0.2.1\ny A 192.0.2.1\n$TTL 30\nz A 192.0.2.1\n";
    let loaded = super::built("example.org", text).unwrap();
    for (name, ttl) in [("ns", 90), ("x", 60), ("y", 60), ("z", 30)] {
        assert_eq!(rrset(&loaded, &format!("{name}.example.org"), "A").unwrap().0, ttl, "{name}");
    }
}

#[test]
fn parentheses_join_lines() {
    let text = "$TTL 60\n@ IN SOA ns admin ( 1 ; serial\n  2h 3m\n\t4w 5 )\n@ NS ns\nns ( A\n192.0.2.1\n) ; end\nw A 192.0.2.2";
    let loaded = super::built("example.org", text).unwrap();
    assert_eq!(loaded.zone.figures().records, 4);
    let soa = data(&loaded, "example.org", "SOA").unwrap();
    let numbers: Vec<u32> =
        soa[soa.len() - 20..].chunks(4).map(|four| u32::from_be_bytes(four.try_into().unwrap())).collect();
    assert_eq!(numbers, [1, 7200, 180, 2_419_200, 5]);
}

#[test]
fn strings_may_be_quoted_and_escaped() {
    let loaded = loaded(
        "a TXT \"two words\" plain \"\"\nb TXT \\\"x\\;y \"a;b(c)\\\"\\\\\" \\065\\255\nc TXT a\"b c\"d\n",
    );
    assert_eq!(data(&loaded, "a.example.org", "TXT").unwrap(), b"\x09two words\x05plain\x00");
    assert_eq!(data(&loaded, "b.example.org", "TXT").unwrap(), b"\x04\"x;y\x08a;b(c)\"\\\x02A\xff");
    assert_eq!(data(&loaded, "c.example.org", "TXT").unwrap(), b"\x07a\"b c\"d");
}

#[test]
fn names_may_have_escapes() {
    let loaded =
        loaded("a\\.b A 192.0.2.1\n\\097bc A 192.0.2.2\n\\@ A 192.0.2.3\nx\\032y CNAME \\(.elsewhere.\n");
    assert!(data(&loaded, "a\\.b.example.org", "A").is_some());
    assert!(data(&loaded, "b.example.org", "A").is_none());
    assert_eq!(data(&loaded, "abc.example.org", "A").unwrap()[3], 2);
    assert_eq!(data(&loaded, "\\064.example.org", "A").unwrap()[3], 3);
    assert_eq!(data(&loaded, "x\\ y.example.org", "CNAME").unwrap(), b"\x01(\x09elsewhere\0");
}

#[test]
fn names_are_relative_unless_they_end_with_a_dot() {
    let loaded = loaded("a MX 1 b\nc.example.org. MX 1 b.\nd MX 1 @\n$ORIGIN sub\ne MX 1 f\n@ MX 1 f\n");
    assert_eq!(data(&loaded, "a.example.org", "MX").unwrap(), b"\0\x01\x01b\xc0\x0c");
    assert_eq!(data(&loaded, "c.example.org", "MX").unwrap(), b"\0\x01\x01b\0");
    assert_eq!(data(&loaded, "d.example.org", "MX").unwrap(), b"\0\x01\xc0\x0c");
    assert_eq!(data(&loaded, "e.sub.example.org", "MX").unwrap(), b"\0\x01\x01f\x03sub\xc0\x0c");
    assert_eq!(data(&loaded, "sub.example.org", "MX").unwrap(), b"\0\x01\x01f\x03sub\xc0\x0c");
}

#[test]
fn lines_may_end_as_they_do_elsewhere_and_the_last_need_not() {
    let loaded = loaded("a A 192.0.2.1\r\nb A 192.0.2.2\r\nc TXT x");
    assert_eq!(data(&loaded, "a.example.org", "A").unwrap(), [192, 0, 2, 1]);
    assert_eq!(data(&loaded, "c.example.org", "TXT").unwrap(), b"\x01x");
    let marked = super::built("example.org", &format!("\u{feff}{}", super::HEAD)).unwrap();
    assert_eq!(marked.zone.figures().records, 2);
}

#[test]
fn lines_from_elsewhere_are_records_too() {
    let mut builder = crate::ZoneBuilder::new("example.org".parse().unwrap());
    builder.lines("nines.toml", ["@ 60 SOA ns admin 1 2 3 4 5", "@ 60 NS ns"]);
    builder.lines("nines.toml: route www", vec!["www 60 A 192.0.2.1".to_owned()]);
    let loaded = builder.finish().unwrap();
    assert_eq!(loaded.zone.figures().records, 3);
}
