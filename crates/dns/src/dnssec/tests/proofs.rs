//! Any question about any small zone gets an answer that is proven, whatever it is.

use super::world::{DAY, NOW, Record, Reply, Validator, ask, plan, signed};
use crate::answer::tests::agreement::{name, record};
use crate::answer::tests::reference::{Store, text};
use crate::answer::tests::world::{plain_zone, zone, zones};
use crate::dnssec::signing::config::DenialConfig;
use crate::protocol::Name;
use crate::{Transport, ZoneBuilder, Zones};
use domain::base::iana::Rtype;
use proptest::prelude::*;
use std::sync::Arc;

const TYPES: [Rtype; 8] =
    [Rtype::A, Rtype::CNAME, Rtype::NS, Rtype::DNAME, Rtype::MX, Rtype::DS, Rtype::SOA, Rtype::TXT];

/// Follows an answer from the question to its end, as a validator does.
fn check(reply: &Reply, validator: &Validator<'_>, asked: &Name, rtype: Rtype) {
    assert!(!reply.is_truncated);
    let what = || format!("{asked} {rtype}: {reply:#?}");
    let answers = validator.rrsets(&reply.answer);
    validator.rrsets(&reply.additional);
    let proof = validator.proof(reply);
    let has = |rtype: Rtype| reply.authority.iter().find(|record| record.rtype == rtype);
    let mut at = asked.clone();
    for _ in 0..=answers.len() {
        let found = |rtype: Rtype| answers.iter().find(|(owner, own, _)| *owner == at && *own == rtype);
        let alias = found(Rtype::CNAME).filter(|_| rtype != Rtype::CNAME);
        let synthesised = answers.iter().any(|(owner, own, labels)| {
            *own == Rtype::DNAME && labels.is_some() && at.is_within(owner) && at != *owner
        });
        let Some((_, own, labels)) = found(rtype).or(alias) else { break };
        match labels {
            Some(labels)
                if usize::from(*labels) < at.labels() - usize::from(at.as_wire().starts_with(b"\x01*")) =>
            {
                assert!(proof.is_expanded(&at, usize::from(*labels)), "{}", what());
            }
            Some(_) => {}
            None => assert!(synthesised && *own == Rtype::CNAME, "not signed: {}", what()),
        }
        if *own == rtype {
            return;
        }
        let target = reply.answer.iter().find(|record| record.owner == at && record.rtype == Rtype::CNAME);
        at = Name::from_wire(&target.expect("it was found").data).expect("a name");
    }
    if has(Rtype::SOA).is_some() {
        if reply.rcode == 3 {
            assert!(proof.is_no_name(&at), "{}", what());
        } else {
            assert!(proof.is_no_data(&at, rtype) || proof.is_no_data_by_wildcard(&at, rtype), "{}", what());
        }
    } else if let Some(servers) = has(Rtype::NS) {
        assert!(has(Rtype::DS).is_some() || proof.is_no_data(&servers.owner, Rtype::DS), "{}", what());
    } else {
        // A chain of aliases that leads out of the zone, in a circle, or to a name that is too long.
        assert!(!reply.answer.is_empty(), "{}", what());
    }
}

fn served(store: &Store, denial: DenialConfig) -> (Zones, Zones, crate::dnssec::signing::plan::Plan) {
    let mut builder = ZoneBuilder::new(crate::answer::tests::reference::APEX.parse().expect("a name"));
    builder.lines("test", store.lines());
    let source = builder.finish().unwrap_or_else(|error| panic!("{error}")).zone;
    let plan = plan(denial);
    let signed = signed(&source, None, &plan);
    (zones([Arc::new(source)]), zones([Arc::new(signed.zone)]), plan)
}

fn is_of_dnssec(record: &Record) -> bool {
    matches!(record.rtype, Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 60 } else { 5_000 }))]

    #[test]
    fn whatever_is_answered_is_proven(
        records in proptest::collection::vec(record(), 0..12),
        asked in proptest::collection::vec(name(), 8),
        is_hashed in any::<bool>(),
    ) {
        let records: Vec<_> = records
            .into_iter()
            .filter(|(name, rtype, _)| !(name.last().is_some_and(|label| label == "*") && *rtype == Rtype::NS))
            .collect();
        let store = Store::new(&records);
        let (plain, signed, plan) = served(&store, if is_hashed { DenialConfig::Nsec3 } else { DenialConfig::Nsec });
        let apex = signed.iter().next().expect("a zone").apex().clone();
        let validator = Validator { apex: &apex, keys: &plan.published, now: NOW + DAY };
        let known = records.iter().map(|(name, _, _)| name.clone());
        for name in asked.into_iter().chain(known) {
            let name: Name = text(&name).parse().expect("a name");
            for rtype in TYPES {
                let reply = ask(&signed, &name, rtype, Transport::Tcp);
                check(&reply, &validator, &name, rtype);
                // What is not of DNSSEC is what it was without it.
                let bare = ask(&plain, &name, rtype, Transport::Tcp);
                for (signed, bare) in [
                    (&reply.answer, &bare.answer), (&reply.authority, &bare.authority), (&reply.additional, &bare.additional),
                ] {
                    let same = signed.iter().filter(|record| !is_of_dnssec(record) && record.rtype != Rtype::SOA);
                    let bare = bare.iter().filter(|record| record.rtype != Rtype::SOA);
                    prop_assert!(same.eq(bare), "{} {}", name, rtype);
                }
                prop_assert_eq!(reply.rcode, bare.rcode);
            }
        }
    }
}

/// DS at a cut is the zone's own; below it nothing is.
#[test]
fn a_signed_delegation_is_proven_and_one_that_is_not_is_denied() {
    let digest = "ab".repeat(32);
    let lines = format!(
        "safe NS ns.safe\nsafe DS 1 13 2 {digest}\nns.safe A 192.0.2.1\nplain NS ns.plain\nns.plain A 192.0.2.2"
    );
    for denial in [DenialConfig::Nsec, DenialConfig::Nsec3] {
        let plan = plan(denial);
        let zone = Arc::new(signed(&plain_zone("example.org", &lines), None, &plan).zone);
        let zones = zones([zone]);
        let apex = "example.org".parse().unwrap();
        let validator = Validator { apex: &apex, keys: &plan.published, now: NOW };
        for (name, rtype, authority) in [
            ("www.safe.example.org", Rtype::A, true),
            ("safe.example.org", Rtype::TXT, true),
            ("plain.example.org", Rtype::A, false),
        ] {
            let name: Name = name.parse().unwrap();
            let reply = ask(&zones, &name, rtype, Transport::Udp);
            check(&reply, &validator, &name, rtype);
            assert_eq!(reply.authority.iter().any(|record| record.rtype == Rtype::DS), authority);
            assert_eq!(reply.additional.len(), 1, "glue, which nobody signs");
        }
        let name: Name = "safe.example.org".parse().unwrap();
        let reply = ask(&zones, &name, Rtype::DS, Transport::Udp);
        check(&reply, &validator, &name, Rtype::DS);
        assert_eq!(reply.answer.len(), 2);
    }
}

#[test]
fn without_do_nothing_of_dnssec_is_said_unless_it_is_asked_for() {
    use crate::answer::tests::world::ask;
    let zone = signed(&plain_zone("example.org", "www A 192.0.2.1"), None, &plan(DenialConfig::Nsec)).zone;
    let zones = zones([Arc::new(zone)]);
    assert_eq!(ask(&zones, "www.example.org A").answer.len(), 1);
    assert_eq!(ask(&zones, "no.example.org A").authority.len(), 1);
    assert_eq!(
        ask(&zones, "www.example.org NSEC").answer,
        ["www.example.org 300 NSEC example.org. A RRSIG NSEC"]
    );
    assert_eq!(ask(&zones, "www.example.org RRSIG").answer.len(), 2);
}

/// RFC 5155 §7.2.8: the owner of an NSEC3 is no name that is there.
#[test]
fn names_of_hashes_are_not_there() {
    use crate::answer::tests::world::ask;
    let plan = plan(DenialConfig::Nsec3);
    let zone = Arc::new(signed(&plain_zone("example.org", "www A 192.0.2.1"), None, &plan).zone);
    let (hashes, names) = (
        zone.records().filter(|record| record.rtype == Rtype::NSEC3).collect::<Vec<_>>(),
        zone.figures().names,
    );
    assert_eq!((hashes.len(), names), (2, 2));
    let zones = zones([zone]);
    for hash in hashes {
        let name = Name::from_wire(&hash.owner).unwrap();
        assert_eq!(ask(&zones, &format!("{name} NSEC3")).rcode, "NXDOMAIN");
        let reply = super::world::ask(&zones, &name, Rtype::A, Transport::Udp);
        check(
            &reply,
            &Validator { apex: &"example.org".parse().unwrap(), keys: &plan.published, now: NOW },
            &name,
            Rtype::A,
        );
    }
}

/// RFC 4035 §3.1.1: where signatures do not fit, the client asks again over TCP.
#[test]
fn an_answer_whose_signature_does_not_fit_is_cut_off_before_it() {
    let many: String = (0..50).map(|nth| format!("many TXT \"{nth:020}\"\n")).collect();
    let zone = signed(&plain_zone("example.org", &many), None, &plan(DenialConfig::Nsec)).zone;
    let zones = zones([Arc::new(zone)]);
    let name = "many.example.org".parse().unwrap();
    let reply = ask(&zones, &name, Rtype::TXT, Transport::Udp);
    assert!(reply.is_truncated && reply.answer.is_empty());
    assert_eq!(ask(&zones, &name, Rtype::TXT, Transport::Tcp).answer.len(), 51);
}

/// RFC 9276 §3.2.
#[test]
fn a_zone_with_many_iterations_is_refused() {
    let mut builder = ZoneBuilder::new("example.org".parse().unwrap());
    builder.text(
        "zone",
        b"$TTL 60\n@ SOA ns admin 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n@ NSEC3PARAM 1 0 101 aabb\n",
    );
    let said = builder.finish().unwrap_err().to_string();
    assert!(said.contains("zone:5: NSEC3 with 101 iterations (max 100, RFC 9276)"), "{said}");
}

/// RFC 5155 §6: cuts that are not signed may be left out, and then it is proven that they may be there.
#[test]
fn what_was_opted_out_is_answered_by_what_is_around_it() {
    use crate::dnssec::nsec3::{Parameters, base32};
    let parameters = Parameters { iterations: 2, salt: [0xab].into() };
    let hash = |name: &str| parameters.hash(&[name.parse::<Name>().unwrap().as_wire()]);
    let own = String::from_utf8(base32(&hash("example.org")).to_vec()).unwrap();
    // The only NSEC3 is the apex's, and spans all else. What signs is not looked at here.
    let rrsig = |of: &str, labels: u8| {
        format!("RRSIG {of} 13 {labels} 3600 20380101000000 20200101000000 1 example.org. AAAA")
    };
    let lines = format!(
        "@ SOA ns admin 7 3600 600 86400 300\n@ NS ns.elsewhere.test.\n@ {}\n@ NSEC3PARAM 1 0 2 ab\n\
         {own} NSEC3 1 1 2 ab {own} NS SOA RRSIG NSEC3PARAM\n{own} {}\nsub NS ns.elsewhere.test.\na.deep NS ns.elsewhere.test.\n",
        rrsig("SOA", 2),
        rrsig("NSEC3", 3),
    );
    let zones = zones([zone("example.org", &lines)]);
    for (name, rtype) in [
        ("www.sub.example.org", Rtype::A),
        ("sub.example.org", Rtype::DS),
        ("deep.example.org", Rtype::A),
        ("no.example.org", Rtype::A),
    ] {
        let reply = ask(&zones, &name.parse().unwrap(), rtype, Transport::Udp);
        let spans: Vec<&Record> =
            reply.authority.iter().filter(|record| record.rtype == Rtype::NSEC3).collect();
        assert_eq!(spans.len(), 1, "{name}: one span is the closest encloser's and covers all: {reply:?}");
    }
}
