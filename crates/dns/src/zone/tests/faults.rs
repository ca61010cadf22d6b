//! What is wrong with a line, where, and in which words; and that the lines after it are read.

use super::{HEAD, built, errors};

#[test]
fn a_fault_says_where_and_what() {
    for (line, fault) in [
        ("www", "4:1: a record needs a type"),
        ("www 60", "4:5: a record needs a type"),
        ("www 60 IN", "4:8: a record needs a type"),
        ("www B 192.0.2.1", "4:5: `B` is no type of record"),
        ("www ANY x", "4:5: ANY is no type of record that a zone has"),
        ("www OPT x", "4:5: OPT is no type of record that a zone has"),
        ("www CH A 192.0.2.1", "4:5: class CH: a zone has class IN"),
        ("www 1x A 192.0.2.1", "4:5: `1x` is no TTL (as 3600, or 1h30m)"),
        ("www 2147483648 A 192.0.2.1", "4:5: TTL 2147483648 (max 2147483647 seconds)"),
        ("www A", "4:5: A has no data"),
        ("www A 192.0.2", "4:7: `192.0.2` is no IPv4 address"),
        ("www A 192.0.2.01", "4:7: `192.0.2.01` is no IPv4 address"),
        ("www A 192.0.2.256", "4:7: `192.0.2.256` is no IPv4 address"),
        ("www A 192.0.2.1.", "4:7: `192.0.2.1.` is no IPv4 address"),
        ("www A 192.0.2.1 x", "4:17: `x` is too much: A ended before"),
        ("www AAAA 2001:db8:::1", "4:10: `2001:db8:::1` is no IPv6 address"),
        ("www MX mail", "4:8: `mail` is no number up to 65535"),
        ("www MX 10", "4:8: MX ends here: it has 2 fields, not 1"),
        ("www MX 65536 x", "4:8: `65536` is no number up to 65535"),
        ("www MX +1 x", "4:8: `+1` is no number up to 65535"),
        ("www SRV 0 5 5060", "4:13: SRV ends here: it has 4 fields, not 3"),
        ("www CNAME a..b", "4:11: `a..b`: the name has an empty label"),
        (".www A 192.0.2.1", "4:1: `.www`: the name has an empty label"),
        (
            "a\\25 A 192.0.2.1",
            "4:1: `a\\25`: the name has a broken escape (`\\` needs a character or three digits up to 255)",
        ),
        ("www.example.net. A 192.0.2.1", "4:1: www.example.net is outside the zone example.org"),
        ("org. A 192.0.2.1", "4:1: org is outside the zone example.org"),
        ("www TXT \"open", "4:9: a quoted string is not closed in its line"),
        ("www TXT op\"en", "4:14: a quoted string is not closed in its line"),
        ("www TXT x\\256", "4:9: a broken escape (`\\` needs a character or three digits up to 255)"),
        ("www TXT x\\", "4:11: `\\` at the end of a line"),
        ("www A ) 192.0.2.1", "4:7: `)` without `(`"),
        ("www TLSA 3 1 1 xyz", "4:16: this is not base 16"),
        ("www DNSKEY 256 3 13 !", "4:21: this is not base 64"),
        ("www CAA 0 is-sue ca", "4:11: `is-sue` is no tag (letters and digits, as `issue`)"),
        ("www LOC 1 2 3", "4:9: the data of LOC is written as `\\# length bytes` (RFC 3597)"),
        ("www TYPE65280 abc", "4:15: the data of TYPE65280 is written as `\\# length bytes` (RFC 3597)"),
        ("www TYPE65280 \\# 2 abc", "4:18: what follows is not base 16"),
        ("www TYPE65280 \\# 2 ab", "4:18: 2 bytes were said, but 1 follow"),
        ("www TYPE65280 \\#", "4:15: `\\#` needs a length"),
        ("www A \\# 3 c00002", "4:7: these bytes are no A"),
        ("www NS \\# 2 c00c", "4:8: these bytes are no NS"),
        ("www TYPE99999 \\# 0", "4:5: `TYPE99999` is no type of record"),
    ] {
        assert_eq!(errors(&format!("{line}\n")), [format!("zone:{fault}")], "{line}");
    }
}

#[test]
fn long_names_and_strings_are_refused() {
    let label = "a".repeat(64);
    assert_eq!(
        errors(&format!("{label} A 192.0.2.1"))[0].split(": ").last(),
        Some("a label is longer than 63 bytes")
    );
    let name = ["b".repeat(63), "b".repeat(63), "b".repeat(63), "b".repeat(50)].join(".");
    assert_eq!(
        errors(&format!("{name} A 192.0.2.1"))[0].split(": ").last(),
        Some("the name is longer than 255 bytes")
    );
    let text = "c".repeat(256);
    let fault = &errors(&format!("www TXT {text}"))[0];
    assert_eq!(fault, "zone:4:9: a string of 256 bytes (max 255): write several, \"…\" \"…\"");
}

#[test]
fn a_parenthesis_that_stays_open_is_told_once() {
    let told = errors("www A ( 192.0.2.1\nx A 192.0.2.2\n");
    assert_eq!(told.len(), 1, "{told:?}");
    let told = errors("www TXT ( a\nb\n");
    assert_eq!(told, ["zone:6:1: `(` is not closed before the end"]);
}

#[test]
fn all_faults_are_told_and_the_lines_after_are_read() {
    let told = errors(
        "a A x\nb A 192.0.2.1\nc MX (\n  y\n z )\nd A 192.0.2.1\n A w\n$TTL v\ne.x. A u\n A 192.0.2.1\n",
    );
    let places: Vec<&str> = told.iter().map(|fault| fault.rsplitn(2, ": ").last().unwrap()).collect();
    assert_eq!(places, ["zone:4:5", "zone:7:3", "zone:10:4", "zone:11:6", "zone:12:1"]);
}

#[test]
fn of_many_faults_the_first_are_kept_and_the_rest_counted() {
    let lines: String = (0..80).map(|_| "a B c\n").collect();
    let error = built("example.org", &format!("{HEAD}{lines}")).unwrap_err().to_string();
    assert!(
        error.starts_with("zone example.org: 80 errors\nzone:4:3: `B` is no type of record\n"),
        "{error}"
    );
    assert!(error.ends_with("\n… and 30 more"), "{error}");
    assert_eq!(error.lines().count(), 52);
}

#[test]
fn a_zone_without_lines_says_what_it_lacks() {
    let error = built("example.org", "").unwrap_err().to_string();
    assert_eq!(
        error,
        "zone example.org: 2 errors\n\
         zone: example.org has no SOA: every zone has one at its apex\n\
         zone: example.org has no NS: every zone names its servers at its apex"
    );
    let told = built("example.org", "x A 192.0.2.1\n").unwrap_err().to_string();
    assert!(
        told.contains("zone:1:3: no TTL is known here: put `$TTL 1h` at the top, or write one"),
        "{told}"
    );
    let told = built("example.org", " A 192.0.2.1\n").unwrap_err().to_string();
    assert!(told.contains("zone:1:2:"), "{told}");
}
