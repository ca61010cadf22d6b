//! What holds in a zone, and what is only warned of.

use super::{data, errors, loaded, rrset, warnings};

/// RFC 2181 §5.2: the lowest is used.
#[test]
fn mixed_ttls_are_a_warning_that_names_the_line() {
    let lines = "a 60 A 192.0.2.1\na 30 A 192.0.2.2\nb A 192.0.2.1\n";
    assert_eq!(
        warnings(lines),
        ["zone:5: the A records of a.example.org have different TTLs (30 and 60); 30 is used for all"]
    );
    assert_eq!(rrset(&loaded(lines), "a.example.org", "A").unwrap().0, 30);
}

#[test]
fn a_duplicate_is_left_out_with_a_warning_that_names_both_lines() {
    let lines = "a A 192.0.2.1\na A 192.0.2.2\na A 192.0.2.1\nm MX 1 Mx\nm MX 1 mX.EXAMPLE.org.\n";
    assert_eq!(
        warnings(lines),
        [
            "zone:6: a duplicate A record of a.example.org (also in line 4) is left out",
            "zone:8: a duplicate MX record of m.example.org (also in line 7) is left out"
        ]
    );
    let loaded = loaded(lines);
    assert_eq!(rrset(&loaded, "a.example.org", "A").unwrap().1, [[192, 0, 2, 1], [192, 0, 2, 2]]);
    assert_eq!(rrset(&loaded, "m.example.org", "MX").unwrap().1.len(), 1);
    assert_eq!(loaded.zone.figures().records, 5);
}

/// 0x0041 and 0x0061 are numbers, and no letters.
#[test]
fn only_names_are_compared_without_case() {
    assert!(warnings("m MX 65 mx\nm MX 97 mx\nt TXT a\nt TXT A\n").is_empty());
}

/// RFC 1034 §3.6.2.
#[test]
fn an_alias_stands_alone() {
    assert_eq!(
        errors("a CNAME b\na A 192.0.2.1\n"),
        ["zone:5: a.example.org has a CNAME (line 4) and other data (A, line 5): an alias stands alone"]
    );
    assert_eq!(
        errors("a TXT x\na CNAME b\n"),
        ["zone:5: a.example.org has a CNAME (line 5) and other data (TXT, line 4): an alias stands alone"]
    );
    assert_eq!(
        errors("a CNAME b\na CNAME c\n"),
        ["zone:5: a.example.org has a second CNAME (the first is in line 4): there is one at most"]
    );
    // RFC 4034 §3, §4: what a signer adds may stand beside it.
    loaded("a CNAME b\na RRSIG CNAME 13 3 60 20300101000000 20200101000000 1 @ AAAA\na NSEC b CNAME\n");
    // The same twice is one.
    assert_eq!(warnings("a CNAME b\na CNAME b\n").len(), 1);
}

#[test]
fn a_zone_has_one_soa_and_it_is_at_the_apex() {
    assert_eq!(
        errors("@ SOA ns admin 9 2 3 4 5\n"),
        ["zone:4: example.org has a second SOA (the first is in line 2): there is one at most"]
    );
    assert_eq!(
        errors("a SOA ns admin 1 2 3 4 5\n"),
        ["zone:4: an SOA at a.example.org, but the zone is example.org"]
    );
}

/// RFC 6672 §2.3, §2.4.
#[test]
fn a_dname_has_nothing_below_it() {
    assert_eq!(
        errors("d DNAME x.\na.b.d A 192.0.2.1\n"),
        ["zone:5: a.b.d.example.org is below a DNAME, which stands for all names there"]
    );
    assert_eq!(
        errors("d DNAME x.\nd DNAME y.\n"),
        ["zone:5: d.example.org has a second DNAME (the first is in line 4): there is one at most"]
    );
    assert_eq!(
        errors("d DNAME x.\nd NS ns\n"),
        ["zone:4: d.example.org has a DNAME and is delegated (NS): it cannot be both"]
    );
    loaded("d DNAME x.\nd A 192.0.2.1\n");
}

#[test]
fn what_nobody_will_see_is_warned_of() {
    assert_eq!(
        warnings("sub NS ns.sub\nns.sub A 192.0.2.1\nns.sub TXT x\n"),
        ["zone:6: ns.sub.example.org is below a delegation: nobody will see this record"]
    );
    assert_eq!(
        warnings("sub NS ns.sub\nsub NS ns.other.\nsub NS ns.nowhere\n"),
        [
            "zone:4: sub.example.org is delegated to ns.sub.example.org, which is below it and has no address here (glue)"
        ]
    );
    assert_eq!(
        warnings("*.w NS ns.other.\n"),
        ["zone:4: NS at the wildcard *.w.example.org means nothing for the names it stands for"]
    );
}

#[test]
fn an_rrset_that_fits_in_no_message_is_warned_of() {
    let text = "x".repeat(250);
    let lines: String = (0..250).map(|number| format!("a TXT {number:05}{text}\n")).collect();
    assert_eq!(
        warnings(&lines),
        ["zone:4: the TXT records of a.example.org do not fit into a message: nobody will see them"]
    );
}

#[test]
fn a_name_is_one_name_whatever_its_case() {
    let loaded = loaded("WWW A 192.0.2.1\nwww.EXAMPLE.org. A 192.0.2.2\n");
    assert_eq!(rrset(&loaded, "wWw.example.org", "A").unwrap().1.len(), 2);
    assert_eq!(loaded.zone.figures().names, 2);
}

#[test]
fn figures_tell_names_between_as_well() {
    let loaded = loaded("a.b.c A 192.0.2.1\n");
    let figures = loaded.zone.figures();
    assert_eq!((figures.records, figures.names, figures.serial, figures.negative_ttl), (3, 4, 1, 5));
    assert!(figures.bytes > 100, "{figures:?}");
    assert!(data(&loaded, "b.c.example.org", "A").is_none());
}

/// RFC 4034 §3: signatures of different RRsets are no RRset of their own in that respect.
#[test]
fn signatures_keep_the_ttls_of_what_they_sign() {
    let signature = |rtype: &str, ttl: u32| {
        format!("a {ttl} RRSIG {rtype} 13 3 {ttl} 20300101000000 20200101000000 1 @ AAAA\n")
    };
    let lines = format!("a 60 A 192.0.2.1\na 30 TXT x\n{}{}", signature("A", 60), signature("TXT", 30));
    assert!(warnings(&lines).is_empty());
    let zones = crate::Zones::new([std::sync::Arc::new(loaded(&lines).zone)]);
    let response = crate::answer::tests::world::ask(&zones, "a.example.org RRSIG");
    let ttls: Vec<&str> = response.answer.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(ttls, ["60", "30"]);
}
