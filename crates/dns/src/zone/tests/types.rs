//! The data of each type in wire form, read from text and from RFC 3597's form, held against what `domain` makes of the same text.

use super::{HEAD, built, data, loaded};
use bytes::Bytes;
use domain::base::Name;
use domain::base::rdata::ComposeRecordData;
use domain::zonefile::inplace::{Entry, Zonefile};

/// Of each type that `domain` can read, as its RFC writes it.
const RECORDS: [&str; 40] = [
    "A 192.0.2.1",
    "AAAA 2001:db8::192.0.2.1",
    "NS ns.example.net.",
    "CNAME www.example.net.",
    "DNAME example.net.",
    "PTR host.example.net.",
    "MX 10 mx.example.net.",
    "SOA ns.example.net. admin.example.net. 2026010100 7200 3600 1209600 300",
    "TXT \"v=spf1 -all\" second",
    "HINFO PDP-11 \"UNIX V7\"",
    "MINFO a.example.net. b.example.net.",
    "RP admin.example.net. text.example.net.",
    "SRV 1 2 443 host.example.net.",
    "NAPTR 100 10 \"S\" \"SIP+D2U\" \"!^.*$!sip:info@example.com!\" _sip._udp.example.net.",
    "DS 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118",
    "CDS 0 0 0 00",
    "DNSKEY 256 3 5 AQPSKmynfzW4kyBv015MUG2DeIQ3Cbl+BBZH4b/0PY1kxkmvHjcZc8no kfzj31GajIQKY+5CptLr3buXA10hWqTkF7H6RfoRqXQeogmMHfpftf6z",
    "CDNSKEY 0 3 0 AA==",
    "RRSIG A 5 3 86400 20030322173103 20030220173103 2642 example.com. oJB1W6WNGv+ldvQ3WDG0MQkg5IEhjRip8WTr PYGv07h108dUKGMeDPKijVCHX3DDKdfb+v6o",
    "NSEC host.example.com. A MX RRSIG NSEC TYPE1234",
    "NSEC3 1 1 12 aabbccdd 2vptu5timamqttgl4luu9kg21e0aor3s A RRSIG",
    "NSEC3 1 0 0 - 2vptu5timamqttgl4luu9kg21e0aor3s",
    "NSEC3PARAM 1 0 12 aabbccdd",
    "NSEC3PARAM 1 0 0 -",
    "CAA 0 issue \"ca.example.net; policy=ev\"",
    "CAA 128 tbs Unknown",
    "SSHFP 2 1 123456789abcdef67890123456789abcdef67890",
    "TLSA 3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971",
    "OPENPGPKEY mQENBFVHm5sBCADO",
    "ZONEMD 2018031900 1 1 62e6cf51b02e54b9b5f967d547ce43136792901f9f88e637493daaf401c92c279dd10f0edb1c56f8080211f8480ee306",
    "SVCB 0 svc.example.net.",
    "SVCB 16 foo.example.org. alpn=\"h2,h3-19\" mandatory=ipv4hint,alpn ipv4hint=192.0.2.1",
    "HTTPS 1 . alpn=h3 port=8443 ipv6hint=2001:db8::1",
    "HTTPS 1 .",
    "IPSECKEY 10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==",
    "MB a.example.net.",
    "MG a.example.net.",
    "MR a.example.net.",
    "TYPE731 \\# 6 abcd (\n ef 01 23 45 )",
    "A \\# 4 0A000001",
];

fn by_domain(record: &str) -> Vec<u8> {
    let mut file = Zonefile::new();
    file.set_origin(Name::<Bytes>::root());
    file.set_default_class(domain::base::iana::Class::IN);
    file.extend_from_slice(format!("x. 60 IN {record}\n").as_bytes());
    match file.next_entry() {
        Ok(Some(Entry::Record(parsed))) => {
            let mut data = Vec::new();
            parsed.data().compose_rdata(&mut data).unwrap();
            data
        }
        other => panic!("{record}: {other:?}"),
    }
}

/// At a name of its own, but for what may stand at the apex alone.
fn ours(record: &str) -> Vec<u8> {
    let rtype = record.split(' ').next().unwrap();
    if rtype == "SOA" {
        let loaded = built("example.org", &format!("$TTL 60\n@ {record}\n@ NS ns.other.\n")).unwrap();
        return data(&loaded, "example.org", rtype).unwrap();
    }
    if rtype == "NS" {
        let loaded = built("example.org", &format!("$TTL 60\n@ SOA . . 1 2 3 4 5\n@ {record}\n")).unwrap();
        return data(&loaded, "example.org", rtype).unwrap();
    }
    data(&loaded(&format!("name {record}\n")), "name.example.org", rtype).unwrap()
}

#[test]
fn data_of_every_type_is_what_others_make_of_it() {
    for record in RECORDS {
        // The names are outside the zone, so only what an RRset has twice is compressed: the two of SOA and MINFO.
        if record.starts_with("SOA") || record.starts_with("MINFO") {
            continue;
        }
        assert_eq!(ours(record), by_domain(record), "{record}");
    }
}

#[test]
fn the_second_name_of_a_record_points_at_the_first() {
    assert_eq!(ours("MINFO a.example.net. b.example.net."), b"\x01a\x07example\x03net\0\x01b\0\x0e");
}

/// RFC 3597 §5: any type may be written so, and means the same.
#[test]
fn known_types_may_be_written_as_bytes() {
    for record in RECORDS {
        let (rtype, _) = record.split_once(' ').unwrap();
        let octets = by_domain(record);
        let digits: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let generic = format!("{rtype} \\# {} {digits}", octets.len());
        assert_eq!(ours(&generic), ours(record), "{record}");
    }
}

#[test]
fn types_that_only_we_read_have_their_form() {
    for (record, octets) in [
        ("AFSDB 1 a.example.net.", &b"\0\x01\x01a\x07example\x03net\0"[..]),
        ("KX 1 a.", b"\0\x01\x01a\0"),
        ("SPF \"v=spf1\"", b"\x06v=spf1"),
        ("URI 10 1 \"https://example.net/\"", b"\0\x0a\0\x01https://example.net/"),
        ("SMIMEA 3 0 0 0102", b"\x03\0\0\x01\x02"),
        ("CSYNC 66 3 A NS AAAA", b"\0\0\0\x42\0\x03\0\x04\x60\0\0\x08"),
        ("CERT 1 2 RSASHA256 AQID", b"\0\x01\0\x02\x08\x01\x02\x03"),
        ("DS 1 ECDSAP256SHA256 2 aa", b"\0\x01\x0d\x02\xaa"),
        ("DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=", &by_base64()),
    ] {
        assert_eq!(ours(record), octets, "{record}");
    }
}

fn by_base64() -> Vec<u8> {
    domain::utils::base64::decode("AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=").unwrap()
}

#[test]
fn relative_names_are_completed_in_types_that_are_read_elsewhere() {
    let loaded = loaded("$ORIGIN sub\nx SVCB 1 target port=53\n");
    let octets = data(&loaded, "x.sub.example.org", "SVCB").unwrap();
    assert!(octets.starts_with(b"\0\x01\x06target\x03sub\x07example\x03org\0"), "{octets:?}");
    assert!(HEAD.contains("SOA"));
}
