//! `$ORIGIN`, `$TTL`, `$INCLUDE` and `$GENERATE`.

use super::{HEAD, Limits, data, errors, limited, loaded, rrset};
use crate::{Error, ZoneBuilder};
use std::fs;

#[test]
fn the_default_ttl_can_change() {
    let loaded =
        loaded("a A 192.0.2.1\n$ttl 1m\nb A 192.0.2.1\n$TTL 1d2h ; a day and two hours\nc A 192.0.2.1\n");
    for (name, ttl) in [("a", 3600), ("b", 60), ("c", 93_600)] {
        assert_eq!(rrset(&loaded, &format!("{name}.example.org"), "A").unwrap().0, ttl);
    }
}

#[test]
fn a_file_includes_others_and_goes_on_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    file(
        "main.zone",
        &format!(
            "{HEAD}www A 192.0.2.1\n$INCLUDE sub/one.zone\n A 192.0.2.9\n$INCLUDE sub/one.zone lab ; comment\nlast A 192.0.2.3\n"
        ),
    );
    // What it includes lies beside it; its origin and TTL are its own.
    file("sub/one.zone", "one A 192.0.2.2\n$INCLUDE two.zone\n$ORIGIN else\n$TTL 1\n");
    file("sub/two.zone", "two A 192.0.2.2\n");
    let mut builder = ZoneBuilder::new("example.org".parse().unwrap());
    builder.file(&folder.path().join("main.zone"));
    let loaded = builder.finish().unwrap();
    for name in ["one", "two", "one.lab", "two.lab", "last"] {
        assert!(data(&loaded, &format!("{name}.example.org"), "A").is_some(), "{name}");
    }
    assert_eq!(rrset(&loaded, "www.example.org", "A").unwrap().1.len(), 2, "the owner is the one before");
    assert_eq!(rrset(&loaded, "last.example.org", "A").unwrap().0, 3600);
}

#[test]
fn faults_name_the_file_they_are_in() {
    let folder = tempfile::tempdir().unwrap();
    let (main, other) = (folder.path().join("main.zone"), folder.path().join("other.zone"));
    fs::write(&main, format!("{HEAD}\n$INCLUDE other.zone\nx A 192.0.2.300\n$INCLUDE none.zone\n")).unwrap();
    fs::write(&other, "\n  \na A b\nc CNAME d\nc A 192.0.2.1\n").unwrap();
    let mut builder = ZoneBuilder::new("example.org".parse().unwrap());
    builder.file(&main);
    let Err(Error::Zone { faults, .. }) = builder.finish() else { panic!("there are faults") };
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let (main, other) = (main.display(), other.display());
    assert_eq!(told[0], format!("{other}:3:5: `b` is no IPv4 address"));
    assert_eq!(told[1], format!("{main}:6:5: `192.0.2.300` is no IPv4 address"));
    assert!(told[2].starts_with(&format!("{main}:7:10: cannot include ")), "{}", told[2]);
    assert!(told[2].ends_with("none.zone: No such file or directory (os error 2)"), "{}", told[2]);
    assert!(told[3].starts_with(&format!("{other}:5: c.example.org has a CNAME (line 4)")), "{}", told[3]);
    assert_eq!(told.len(), 4);
}

#[test]
fn a_circle_of_files_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zone");
    fs::write(&path, format!("{HEAD}$INCLUDE a.zone\n")).unwrap();
    let mut builder = ZoneBuilder::new("example.org".parse().unwrap());
    builder.file(&path);
    let error = builder.finish().unwrap_err().to_string();
    assert!(error.contains("a.zone:4:10: $INCLUDE is 10 files deep (max 10): in a circle?"), "{error}");
}

#[test]
fn no_more_files_are_included_than_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zone");
    fs::write(&path, "$INCLUDE a.zone\n".repeat(10)).unwrap();
    let mut builder = limited(Limits { include_depth_max: 1000, includes_max: 100, ..Limits::default() });
    builder.file(&path);
    let error = builder.finish().unwrap_err().to_string();
    assert!(error.contains("more than 100 files are included: in a circle?"), "{error}");
}

#[test]
fn what_is_no_file_includes_none() {
    assert_eq!(errors("$INCLUDE /etc/passwd\n"), ["zone:4:10: $INCLUDE stands in a file only"]);
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    let mut builder = ZoneBuilder::new("example.org".parse().unwrap());
    builder.file(std::path::Path::new("nowhere/example.org.zone"));
    let error = builder.finish().unwrap_err().to_string();
    assert!(error.contains("nowhere/example.org.zone: cannot be read: No such file"), "{error}");
}

#[test]
fn generate_makes_a_record_for_each_number() {
    let loaded = loaded(
        "$GENERATE 1-3 host$ A 192.0.2.$\n$GENERATE 8-16/4 ${0,3,d}.x 60 IN CNAME n-${-8,4,X}\n$GENERATE 1-2 t$ TXT \"a $ \\$ \\\" b\"\n$GENERATE 10-10 h${1,2,x} CNAME a${0,0,o}b\n",
    );
    for number in 1..=3u8 {
        let name = format!("host{number}.example.org");
        assert_eq!(data(&loaded, &name, "A").unwrap(), [192, 0, 2, number]);
    }
    assert_eq!(
        rrset(&loaded, "008.x.example.org", "CNAME").unwrap(),
        (60, vec![b"\x06n-0000\xc0\x0c".to_vec()])
    );
    assert_eq!(data(&loaded, "016.x.example.org", "CNAME").unwrap(), b"\x06n-0008\xc0\x0c");
    assert_eq!(data(&loaded, "t2.example.org", "TXT").unwrap(), b"\x09a 2 $ \" b");
    assert_eq!(data(&loaded, "h0b.example.org", "CNAME").unwrap(), b"\x04a12b\xc0\x0c");
    assert_eq!(loaded.zone.figures().records, 2 + 3 + 3 + 2 + 1);
}

#[test]
fn generate_is_bounded_and_says_what_is_wrong() {
    for (line, fault) in [
        ("$GENERATE", "zone:4:1: $GENERATE needs a range, as 1-100"),
        ("$GENERATE 1 a A 192.0.2.1", "zone:4:11: a range is `start-stop` or `start-stop/step`"),
        ("$GENERATE 2-1 a A 192.0.2.1", "zone:4:11: a range is `start-stop` or `start-stop/step`"),
        ("$GENERATE 1-2/0 a A 192.0.2.1", "zone:4:11: a range is `start-stop` or `start-stop/step`"),
        ("$GENERATE 1-65537 a$ A 192.0.2.1", "zone:4:11: $GENERATE makes 65537 records (max 65536)"),
        (
            "$GENERATE 0-4294967295 a$ A 192.0.2.1",
            "zone:4:11: $GENERATE makes 4294967296 records (max 65536)",
        ),
        ("$GENERATE 1-2 a$ A 192.0.2.x", "zone:4:1: `192.0.2.x` is no IPv4 address"),
        (
            "$GENERATE 1-2 a$ CNAME ${0,1,q}",
            "zone:4:24: `${…}` is `${offset}`, `${offset,width}` or `${offset,width,base}` with base d, o, x or X",
        ),
        (
            "$GENERATE 1-2 a$ CNAME ${0",
            "zone:4:24: `${…}` is `${offset}`, `${offset,width}` or `${offset,width,base}` with base d, o, x or X",
        ),
        ("$GENERATE 1-2 a$", "zone:4:1: a record needs a type"),
        ("$BOGUS x", "zone:4:1: unknown directive $BOGUS (known: $ORIGIN, $TTL, $INCLUDE, $GENERATE)"),
        ("$TTL", "zone:4:1: $TTL needs a time"),
        ("$TTL x", "zone:4:6: `x` is no TTL (as 3600, or 1h30m)"),
        ("$TTL 1 2", "zone:4:8: `2` is too much here"),
        ("$ORIGIN a..b", "zone:4:9: `a..b`: the name has an empty label"),
    ] {
        assert_eq!(errors(line), [fault], "{line}");
    }
}

#[test]
fn a_zone_has_no_more_records_than_allowed() {
    let mut builder = limited(Limits { records_max: 3, ..Limits::default() });
    builder.text("more", b"a 60 A 192.0.2.1\nb 60 A 192.0.2.2\n");
    let error = builder.finish().unwrap_err().to_string();
    assert!(error.contains("more:2:6: the zone has more than 3 records"), "{error}");
}
