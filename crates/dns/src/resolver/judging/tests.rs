use super::*;
use hickory_resolver::proto::dnssec::Algorithm;
use hickory_resolver::proto::dnssec::rdata::sig::SigInput;
use hickory_resolver::proto::rr::SerialNumber;
use hickory_resolver::proto::rr::rdata::{A, CNAME, NULL, SOA};

pub(in super::super) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

pub(in super::super) fn query(text: &str) -> Query {
    Query::query(name(text), RecordType::A)
}

fn set(owner: &str, data: RData, proof: Proof) -> Record {
    let mut record = Record::from_rdata(name(owner), 300, data);
    record.proof = proof;
    record
}

pub(in super::super) fn address(owner: &str, proof: Proof) -> Record {
    set(owner, RData::A(A::new(192, 0, 2, 1)), proof)
}

pub(in super::super) fn alias(owner: &str, to: &str, proof: Proof) -> Record {
    set(owner, RData::CNAME(CNAME(name(to))), proof)
}

pub(in super::super) fn soa(owner: &str, proof: Proof) -> Record {
    set(owner, RData::SOA(SOA::new(name(owner), name(owner), 1, 3600, 600, 86_400, 300)), proof)
}

/// A signature of a set, which has been found good.
fn signed(owner: &str, covered: RecordType, labels: u8, signer: &str) -> Record {
    let input = SigInput {
        type_covered: covered,
        algorithm: Algorithm::ECDSAP256SHA256,
        num_labels: labels,
        original_ttl: 300,
        sig_expiration: SerialNumber::new(2),
        sig_inception: SerialNumber::new(1),
        key_tag: 1,
        signer_name: name(signer),
    };
    set(owner, RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, vec![0; 64]))), Proof::Secure)
}

/// An NSEC of a zone, with its signature.
fn nsec(owner: &str, next: &str, types: &[RecordType], signer: &str) -> [Record; 2] {
    let nsec = NSEC::new(name(next), types.iter().copied());
    let labels = name(owner).num_labels();
    [
        set(owner, RData::DNSSEC(DNSSECRData::NSEC(nsec)), Proof::Secure),
        signed(owner, RecordType::NSEC, labels, signer),
    ]
}

/// An NSEC3 of `test` from one hash to another, with its signature.
fn nsec3(from: [u8; 20], to: [u8; 20], opt_out: bool) -> [Record; 2] {
    let nsec3 = NSEC3::new(Nsec3HashAlgorithm::SHA1, opt_out, 0, vec![], to.to_vec(), []);
    let owner = format!("{}.test.", String::from_utf8(base32(&from).to_vec()).unwrap());
    [
        set(&owner, RData::DNSSEC(DNSSECRData::NSEC3(nsec3)), Proof::Secure),
        signed(&owner, RecordType::NSEC3, 2, "test."),
    ]
}

/// The hash of a name, moved by so much.
fn hash(text: &str, by: i8) -> [u8; 20] {
    let hash = Nsec3HashAlgorithm::SHA1.hash(&[], &name(text), 0).unwrap();
    let mut hash: [u8; 20] = hash.as_ref().try_into().unwrap();
    hash[0] = hash[0].saturating_add_signed(by);
    hash
}

pub(in super::super) fn message(
    rcode: ResponseCode,
    answers: &[Record],
    authorities: &[&[Record]],
) -> Message {
    let mut message = Message::response(0, OpCode::Query);
    message.metadata.response_code = rcode;
    message.answers = answers.to_vec();
    message.authorities = authorities.concat();
    message
}

use Proof::{Bogus, Indeterminate, Insecure, Secure};
use ResponseCode::{NXDomain, NoError};

fn denied(of: &str, authorities: &[&[Record]]) -> Validated {
    of_denial(&query(of), &message(NXDomain, &[], authorities), false)
}

#[test]
fn a_zone_that_is_not_signed_says_nothing_of_names_of_others() {
    assert_eq!(denied("www.shop.test.", &[&[soa("plain.test.", Insecure)]]), Validated::Bogus);
    let stray = nsec("a.plain.test.", "z.plain.test.", &[], "plain.test.").map(|mut record| {
        record.proof = Insecure;
        record
    });
    assert_eq!(denied("www.shop.test.", &[&stray]), Validated::Bogus);
    assert_eq!(denied("www.plain.test.", &[&[soa("plain.test.", Insecure)]]), Validated::Insecure);
    assert_eq!(denied("www.plain.test.", &[]), Validated::Insecure, "the validator has looked for its zone");
    assert_eq!(denied("www.plain.test.", &[&[soa("plain.test.", Indeterminate)]]), Validated::Bogus);
}

#[test]
fn a_denial_that_the_validator_does_not_believe_is_none() {
    let found = message(NXDomain, &[], &[&[soa("test.", Secure)], &nsec("a.test.", "z.test.", &[], "test.")]);
    assert_eq!(of_denial(&query("b.test."), &found, false), Validated::Secure);
    assert_eq!(of_denial(&query("b.test."), &found, true), Validated::Bogus, "too many iterations, as well");
}

#[test]
fn a_dname_s_own_name_has_nothing_else_though_the_validator_does_not_believe_it() {
    let of = |rtype, rcode, owner, types: &[RecordType]| {
        let proof = nsec(owner, "z.test.", types, "test.");
        let found = message(rcode, &[], &[&[soa("test.", Secure)], &proof]);
        of_denial(&Query::query(name("moved.test."), rtype), &found, true)
    };
    use RecordType as T;
    assert_eq!(of(T::A, NoError, "moved.test.", &[T::DNAME]), Validated::Secure);
    assert_eq!(of(T::A, NXDomain, "moved.test.", &[T::DNAME]), Validated::Bogus);
    assert_eq!(of(T::A, NoError, "a.test.", &[T::DNAME]), Validated::Bogus, "it is of names below");
    assert_eq!(of(T::A, NoError, "moved.test.", &[T::DNAME, T::A]), Validated::Bogus);
    assert_eq!(of(T::A, NoError, "moved.test.", &[T::MX]), Validated::Bogus, "refuted for another reason");
    assert_eq!(of(T::A, NoError, "moved.test.", &[T::DNAME, T::NS]), Validated::Bogus, "by the zone above");
    assert_eq!(
        of(T::DS, NoError, "moved.test.", &[T::DNAME, T::SOA, T::NS]),
        Validated::Bogus,
        "by the zone below"
    );
}

#[test]
fn a_zone_denies_its_own_names_only_and_with_its_soa() {
    let apex = [soa("test.", Secure)];
    let good = nsec("a.test.", "z.test.", &[], "test.");
    assert_eq!(denied("b.test.", &[&apex, &good]), Validated::Secure);
    assert_eq!(denied("b.test.", &[&good]), Validated::Bogus, "a wildcard above would not be looked for");
    let neighbour = nsec("a.test.", "z.test.", &[], "a.test.");
    assert_eq!(denied("b.test.", &[&[soa("a.test.", Secure)], &neighbour]), Validated::Bogus);
    assert_eq!(denied("b.test.", &[&apex, &neighbour]), Validated::Bogus);
    assert_eq!(denied("b.a.test.", &[&[soa("a.test.", Secure)], &neighbour]), Validated::Bogus);
    assert_eq!(denied("b.test.", &[&apex, &[soa("other.", Secure)], &good]), Validated::Bogus);
}

/// What an answer is worth whose alias has no signature, but a DNAME beside it.
fn made(alias_of: &str, to: &str, dname_of: &str, proof: Proof) -> Validated {
    let mut wire = vec![];
    name("to.test.").iter().for_each(|label| {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
    });
    wire.push(0);
    let data = RData::Unknown { code: RecordType::DNAME, rdata: NULL::with(wire) };
    let answers = [set(dname_of, data, proof), alias(alias_of, to, Bogus), address(to, Secure)];
    let mut found = message(NoError, &answers, &[]);
    judge_made_aliases(&mut found);
    let (_, own) = link(&query(alias_of), &found).unzip();
    assert_eq!(own.is_some(), of_answer(&found) != Validated::Bogus, "it is followed if it is good");
    of_answer(&found)
}

#[test]
fn an_alias_that_a_dname_makes_is_worth_what_that_is() {
    assert_eq!(made("a.b.d.test.", "a.b.to.test.", "d.test.", Secure), Validated::Secure);
    assert_eq!(made("a.d.test.", "a.to.test.", "d.test.", Insecure), Validated::Insecure);
    assert_eq!(made("a.d.test.", "a.to.test.", "d.test.", Bogus), Validated::Bogus);
    assert_eq!(made("a.d.test.", "b.to.test.", "d.test.", Secure), Validated::Bogus, "it makes another");
    assert_eq!(made("a.d.test.", "to.test.", "d.test.", Secure), Validated::Bogus);
    assert_eq!(
        made("d.test.", "to.test.", "d.test.", Secure),
        Validated::Bogus,
        "it has no effect on its own name"
    );
    assert_eq!(made("a.e.test.", "a.to.test.", "d.test.", Secure), Validated::Bogus);
}

#[test]
fn what_is_beside_signed_names_that_opted_out_is_not_authentic() {
    let apex = [soa("test.", Secure)];
    let of = |opt_out| nsec3(hash("x.test.", -1), hash("x.test.", 1), opt_out);
    assert_eq!(denied("x.test.", &[&apex, &of(false)]), Validated::Secure);
    assert_eq!(denied("x.test.", &[&apex, &of(true)]), Validated::Insecure);
    let own = nsec3(hash("x.test.", 0), hash("x.test.", 1), true);
    assert_eq!(denied("x.test.", &[&apex, &own]), Validated::Secure, "its own");
}

#[test]
fn every_set_of_an_answer_is_to_be_good() {
    let of = |proof, authorities: &[&[Record]]| {
        let answers = [alias("www.test.", "to.test.", Secure), address("to.test.", proof)];
        of_answer(&message(NoError, &answers, authorities))
    };
    assert_eq!(of(Secure, &[]), Validated::Secure);
    assert_eq!(of(Insecure, &[]), Validated::Insecure);
    for proof in [Bogus, Indeterminate] {
        assert_eq!(of(proof, &[]), Validated::Bogus);
        // Others may be signed in a way that the validator does not look at.
        assert_eq!(of(proof, &[&nsec("a.evil.", "z.evil.", &[], "evil.")]), Validated::Bogus);
        assert_eq!(of(proof, &[&[soa("plain.test.", Insecure)]]), Validated::Bogus);
    }
    let signature = [signed("www.test.", RecordType::A, 2, "test.")];
    assert_eq!(of_answer(&message(NoError, &signature, &[&[soa("test.", Secure)]])), Validated::Insecure);
}

/// What an answer is worth whose last name a wildcard stands for.
fn expanded(authorities: &[&[Record]]) -> Validated {
    let answers = [
        alias("www.test.", "x.w.test.", Secure),
        address("x.w.test.", Secure),
        signed("x.w.test.", RecordType::A, 2, "test."),
    ];
    of_answer(&message(NoError, &answers, authorities))
}

#[test]
fn a_wildcard_stands_only_for_what_its_own_zone_shows_not_to_be_there() {
    let shown = nsec("*.w.test.", "z.test.", &[RecordType::A], "test.");
    assert_eq!(expanded(&[&shown]), Validated::Secure);
    assert_eq!(expanded(&[]), Validated::Bogus);
    assert_eq!(expanded(&[&[soa("plain.test.", Insecure)]]), Validated::Bogus, "the validator stops there");
    let first = nsec("a.test.", "b.test.", &[RecordType::A], "test.");
    assert_eq!(expanded(&[&first]), Validated::Bogus, "it is of another name");
    let neighbour = nsec("a.test.", "z.w.test.", &[RecordType::A], "a.test.");
    assert_eq!(expanded(&[&neighbour]), Validated::Bogus, "a neighbour has signed it");
    let unsigned = &shown[..1];
    assert_eq!(expanded(&[unsigned]), Validated::Bogus);
    let covering = |opt_out| nsec3(hash("x.w.test.", -1), hash("x.w.test.", 1), opt_out);
    assert_eq!(expanded(&[&covering(false)]), Validated::Secure);
    assert_eq!(expanded(&[&covering(true)]), Validated::Insecure);
    let own = nsec3(hash("x.w.test.", 0), hash("x.w.test.", 1), false);
    assert_eq!(expanded(&[&own]), Validated::Bogus, "the name is there");
}

#[test]
fn an_alias_is_followed_if_it_is_good_by_itself() {
    let of = |proof| {
        let answers = [alias("www.test.", "to.test.", proof), address("other.test.", Bogus)];
        link(&query("www.test."), &message(NXDomain, &answers, &[]))
    };
    for proof in [Secure, Insecure] {
        let (target, link) = of(proof).unwrap();
        assert_eq!((target, link.answers.len()), (name("to.test."), 1));
    }
    assert!(of(Bogus).is_none() && of(Indeterminate).is_none());
    let answers =
        [alias("x.w.test.", "to.test.", Secure), signed("x.w.test.", RecordType::CNAME, 2, "test.")];
    assert!(link(&query("x.w.test."), &message(NoError, &answers, &[])).is_none());
    let shown = nsec("*.w.test.", "z.test.", &[RecordType::CNAME], "test.");
    let (_, link) = link(&query("x.w.test."), &message(NoError, &answers, &[&shown])).unwrap();
    assert_eq!((link.answers.len(), link.authorities.len()), (2, 2), "with what shows it");
}

/// Whether the NSEC from one name to another shows that nothing is closer to a name than its encloser.
fn shows(owner: &str, next: &str, types: &[RecordType], of: &str, encloser: &str) -> bool {
    let nsec = NSEC::new(name(next), types.iter().copied());
    nothing_is_closer((&name(owner), &nsec), &name(of), &name(encloser))
}

#[test]
fn an_nsec_shows_that_a_wildcard_is_the_closest() {
    let a = [RecordType::A];
    assert!(shows("*.w.test.", "z.test.", &a, "x.w.test.", "w.test."), "the wildcard's own");
    assert!(shows("a.w.test.", "z.w.test.", &a, "x.w.test.", "w.test."));
    assert!(shows("*.w.test.", "test.", &a, "x.w.test.", "w.test."), "the last of the zone");
    assert!(shows("*.w.test.", "z.test.", &a, "x.y.w.test.", "w.test."));
    assert!(!shows("*.w.test.", "x.w.test.", &a, "x.w.test.", "w.test."), "the name is there");
    assert!(!shows("*.w.test.", "b.w.test.", &a, "x.w.test.", "w.test."), "it covers something else");
    assert!(!shows("a.y.w.test.", "z.test.", &a, "x.y.w.test.", "w.test."), "another name is closer");
    assert!(!shows("*.w.test.", "b.y.w.test.", &a, "x.a.w.test.", "a.w.test."), "the encloser is not there");
    assert!(!shows("w.test.", "z.test.", &[RecordType::NS], "x.w.test.", "w.test."), "it is another zone's");
    assert!(!shows("w.test.", "z.test.", &[RecordType::DNAME], "x.w.test.", "w.test."));
}

/// The answer for the DS of a name, in the root zone, where one name begins a zone that is not signed.
pub(in super::super) fn delegation(of: &Name, unsigned: &str) -> Message {
    let types: &[RecordType] = if *of == name(unsigned) { &[RecordType::NS] } else { &[RecordType::A] };
    message(NoError, &[], &[&[soa(".", Secure)], &nsec(&of.to_ascii(), "z.", types, ".")])
}

#[test]
fn a_zone_says_itself_where_one_begins_that_is_not_signed() {
    let of = |zone: &str, of: &str, proof: &[Record]| {
        cut(&name(zone), &name(of), &message(NoError, &[], &[&[soa(zone, Secure)], proof]))
    };
    let ns = &[RecordType::NS];
    assert_eq!(of("test.", "a.test.", &nsec("a.test.", "b.test.", ns, "test.")), Cut::Unsigned);
    assert_eq!(of("test.", "a.test.", &nsec("a.test.", "b.test.", &[], "test.")), Cut::None);
    let ds = &[RecordType::NS, RecordType::DS];
    assert_eq!(of("test.", "a.test.", &nsec("a.test.", "b.test.", ds, "test.")), Cut::Unknown);
    assert_eq!(of("test.", "a.test.", &[]), Cut::Unknown);
    let opted_out = nsec3(hash("www.shop.test.", -1), hash("www.shop.test.", 1), true);
    assert_eq!(of("test.", "www.shop.test.", &opted_out), Cut::Unsigned);
    assert_eq!(of("shop.test.", "www.shop.test.", &opted_out), Cut::Unknown, "it is of a zone above");
    let closed = nsec3(hash("a.test.", -1), hash("a.test.", 1), false);
    assert_eq!(of("test.", "a.test.", &closed), Cut::None);
}
