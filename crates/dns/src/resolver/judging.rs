//! What a message that hickory's validator has looked at is worth as a whole.
//!
//! Its verdicts on single sets are used as they are. Its verdicts on messages (hickory-net 0.26.3, `verify_response`) are not enough:
//! it lets a message pass whose authority section is of some zone that is not signed, whatever zone the question is of; a chain of
//! aliases that ends nowhere; proofs by a zone that speaks of names that are not its own; and of a chain it looks at its first name only.
//! It also refuses good answers, as it looks for a denial wherever there is an NSEC.

use super::events::Validated;
use crate::dnssec::nsec3::{ITERATIONS_MAX, base32};
use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, DS, NSEC, NSEC3, RRSIG};
use hickory_resolver::proto::dnssec::{Nsec3HashAlgorithm, Proof};
use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinDecoder};

/// Links of a chain of aliases that are followed.
pub(super) const LINKS_MAX: usize = 16;

/// What an answer to the question is worth, which is complete by itself ([`is_complete`]): every set of it is to be good, and every set
/// that a wildcard stands for is to be shown to be right (RFC 4035 §5.3.4, RFC 5155 §8.8).
pub(super) fn of_answer(message: &Message) -> Validated {
    let is_shown = expansions(&message.answers).all(|expansion| expansion.is_shown_by(message));
    let is_good = message.response_code == ResponseCode::NoError && is_shown;
    let of_answers = least(&message.answers);
    if !is_good || of_answers == Some(Validated::Bogus) {
        return Validated::Bogus;
    }
    let opted_out = expansions(&message.answers).next().is_some() && has_opt_out(message);
    match (of_answers, least(&message.authorities)) {
        (_, Some(Validated::Bogus)) => Validated::Bogus,
        (Some(Validated::Secure), Some(Validated::Secure) | None) if !opted_out => Validated::Secure,
        _ => Validated::Insecure,
    }
}

/// What it is worth that a message without an answer says that there is none; `is_refuted` when the validator does not think so.
pub(super) fn of_denial(query: &Query, message: &Message, is_refuted: bool) -> Validated {
    let authorities = &message.authorities;
    let least = least(authorities);
    if (is_refuted && !is_beside_dname(query, message))
        || !message.answers.is_empty()
        || least == Some(Validated::Bogus)
    {
        return Validated::Bogus;
    }
    if proofs(message).next().is_some() {
        return match least {
            _ if !is_of_its_zone(query.name(), message) => Validated::Bogus,
            // RFC 5155 §9.2: there may be more than the zone says.
            Some(Validated::Secure) if !has_opt_out(message) || has_own_nsec3(query.name(), message) => {
                Validated::Secure
            }
            _ => Validated::Insecure,
        };
    }
    // The validator stops at an authority section that is of zones that are not signed: one of them has to be the question's.
    let is_unsigned = |record: &Record| record.proof.is_insecure();
    let is_of_unsigned = !authorities.is_empty() && authorities.iter().all(is_unsigned);
    let is_above = |record: &Record| is_unsigned(record) && record.name.zone_of(query.name());
    if is_of_unsigned && !authorities.iter().any(is_above) {
        return Validated::Bogus;
    }
    // Otherwise it has looked for a proof that the question's zone is not signed.
    Validated::Insecure
}

/// The alias at the question's name with its signatures, and what shows that a wildcard stands for it, if it is good by itself; and where
/// it leads.
pub(super) fn link(query: &Query, message: &Message) -> Option<(Name, Message)> {
    let is_of_alias = |record: &&Record| match rrsig(record) {
        Some(rrsig) => rrsig.input().type_covered == RecordType::CNAME,
        None => record.record_type() == RecordType::CNAME,
    };
    let mut link = Message::response(0, OpCode::Query);
    let of = |record: &&Record| {
        (record.name == *query.name() && is_of_alias(record)) || is_of_dname_above(query.name(), record)
    };
    link.answers = message.answers.iter().filter(of).cloned().collect();
    if expansions(&link.answers).next().is_some() {
        link.authorities = message.authorities.iter().filter(|record| is_proof(record)).cloned().collect();
    }
    let target = link.answers.iter().find_map(|record| target(record, query.name())).cloned()?;
    let is_good = of_answer(&link) != Validated::Bogus && query.query_type() != RecordType::CNAME;
    is_good.then_some((target, link))
}

/// RFC 6672 §5.3.1: an alias that is made by a DNAME has no signature. It is worth what the DNAME is, if it is what that makes.
pub(super) fn judge_made_aliases(message: &mut Message) {
    let maker = |alias: &Record| message.answers.iter().find(|dname| is_made(alias, dname));
    let proof = |record: &Record| {
        let maker = if record.proof.is_bogus() { maker(record) } else { None };
        maker.map_or(record.proof, |dname| dname.proof)
    };
    let proofs: Vec<Proof> = message.answers.iter().map(proof).collect();
    message.answers.iter_mut().zip(proofs).for_each(|(record, proof)| record.proof = proof);
}

/// Whether a DNAME that is good makes this alias.
fn is_made(alias: &Record, dname: &Record) -> bool {
    let RData::Unknown { code: RecordType::DNAME, rdata } = &dname.data else { return false };
    let Ok(to) = Name::read(&mut BinDecoder::new(&rdata.anything)) else { return false };
    let is_good = matches!(dname.proof, Proof::Secure | Proof::Insecure);
    if !is_good || alias.name == dname.name || !dname.name.zone_of(&alias.name) {
        return false;
    }
    let labels = alias.name.iter().count() - dname.name.iter().count();
    let made = Name::from_labels(alias.name.iter().take(labels).chain(to.iter()));
    made.is_ok_and(|made| target(alias, &alias.name) == Some(&made))
}

fn is_of_dname_above(name: &Name, record: &Record) -> bool {
    let rtype = rrsig(record).map_or(record.record_type(), |rrsig| rrsig.input().type_covered);
    rtype == RecordType::DNAME && record.name != *name && record.name.zone_of(name)
}

/// Whether a record is of those that say what is not there, and good.
fn is_proof(record: &Record) -> bool {
    let is_of_denial = |rtype| matches!(rtype, RecordType::NSEC | RecordType::NSEC3);
    let rtype = rrsig(record).map_or(record.record_type(), |rrsig| rrsig.input().type_covered);
    record.proof.is_secure() && is_of_denial(rtype)
}

/// Whether the chain of aliases that begins at the question's name ends with what was asked for.
pub(super) fn is_complete(query: &Query, answers: &[Record]) -> bool {
    let mut name = query.name();
    let is_wanted =
        |record: &Record| record.record_type() == query.query_type() || query.query_type() == RecordType::ANY;
    for _ in 0..LINKS_MAX {
        if answers.iter().any(|record| record.name == *name && is_wanted(record)) {
            return true;
        }
        let Some(target) = answers.iter().find_map(|record| target(record, name)) else { return false };
        name = target;
    }
    false
}

/// Where an alias leads, if it is one of this name's.
pub(super) fn target<'r>(record: &'r Record, name: &Name) -> Option<&'r Name> {
    match &record.data {
        RData::CNAME(target) if record.name == *name => Some(&target.0),
        _ => None,
    }
}

/// What the least of some sets is worth; `None` where there is none. What was not looked at is worth nothing.
fn least(records: &[Record]) -> Option<Validated> {
    let proofs = records.iter().filter(|record| record.record_type() != RecordType::RRSIG);
    let worth = |proof| match proof {
        Proof::Secure => Validated::Secure,
        Proof::Insecure => Validated::Insecure,
        Proof::Bogus | Proof::Indeterminate => Validated::Bogus,
    };
    let mut worths = proofs.map(|record| worth(record.proof));
    let first = worths.next()?;
    Some(worths.fold(first, |least, one| match (least, one) {
        (Validated::Bogus, _) | (_, Validated::Bogus) => Validated::Bogus,
        (Validated::Insecure, _) | (_, Validated::Insecure) => Validated::Insecure,
        _ => Validated::Secure,
    }))
}

/// Names of which a message says something that the validator takes for unsigned: [`cut`] has to show that it may be.
pub(super) fn unsigned_names(query: &Query, message: &Message) -> Vec<Name> {
    if message.answers.is_empty() {
        let is_proved = proofs(message).next().is_some();
        return if is_proved { Vec::new() } else { vec![query.name().clone()] };
    }
    let mut names: Vec<Name> = Vec::new();
    for record in message.answers.iter().filter(|record| record.proof.is_insecure()) {
        if !names.contains(&record.name) {
            names.push(record.name.clone());
        }
    }
    names
}

/// What a name is to the signed zone that it is in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// A signed zone begins there.
    Signed,
    /// A zone that is not signed begins there, or may.
    Unsigned,
    /// None does.
    None,
    /// The zone has not said.
    Unknown,
}

/// What the answer for the DS of a name says about it. It counts only if `zone` itself says so: the validator takes an NSEC3 that opts
/// out of any zone above, which covers about every name below its signed delegations too (RFC 5155 §8.9 wants the closest encloser).
pub(super) fn cut(zone: &Name, name: &Name, message: &Message) -> Cut {
    let of_name = message.answers.iter().filter(|record| record.name == *name && record.proof.is_secure());
    let mut ds = of_name.clone().filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::DS(ds)) => Some(ds),
        _ => None,
    });
    if let Some(first) = ds.next() {
        let is_known = |ds: &DS| ds.algorithm().is_supported() && ds.digest_type().is_supported();
        return if is_known(first) || ds.any(is_known) { Cut::Signed } else { Cut::Unsigned };
    }
    if of_name.clone().any(|record| record.record_type() == RecordType::CNAME) {
        return Cut::None;
    }
    let own = proofs(message).filter(|(owner, proof)| signer(message, owner, proof.rtype()) == Some(zone));
    let mut is_said = false;
    for (owner, proof) in own {
        is_said = true;
        let (is_of_name, types, opted_out) = match proof {
            Denial::Nsec(nsec) => (owner == name, nsec.type_set(), false),
            Denial::Nsec3(nsec3) => {
                let opted_out = nsec3.opt_out() && is_hash_covered(owner, nsec3, name);
                (is_hash_of(owner, nsec3, name), nsec3.type_set(), opted_out)
            }
        };
        if is_of_name && types.contains(RecordType::DS) {
            return Cut::Unknown;
        }
        let is_delegated = types.contains(RecordType::NS) && !types.contains(RecordType::SOA);
        if opted_out || (is_of_name && is_delegated) {
            return Cut::Unsigned;
        }
    }
    if is_said { Cut::None } else { Cut::Unknown }
}

/// A set that a wildcard stands for, as one of its signatures says.
struct Expansion<'m> {
    name: &'m Name,
    /// The name above it that is there.
    encloser: Name,
    signer: &'m Name,
}

/// Those among sets that are good by their signatures: others say what they want.
fn expansions(answers: &[Record]) -> impl Iterator<Item = Expansion<'_>> {
    answers.iter().filter_map(|record| {
        let rrsig = rrsig(record)?;
        let (labels, covered) = (rrsig.input().num_labels, rrsig.input().type_covered);
        let is_signed = answers
            .iter()
            .any(|one| one.record_type() == covered && one.name == record.name && one.proof.is_secure());
        (is_signed && labels < record.name.num_labels()).then(|| Expansion {
            name: &record.name,
            encloser: record.name.trim_to(usize::from(labels)),
            signer: &rrsig.input().signer_name,
        })
    })
}

impl Expansion<'_> {
    /// Whether the zone itself says that nothing is closer to the name than the wildcard.
    fn is_shown_by(&self, message: &Message) -> bool {
        proofs(message).any(|(owner, proof)| {
            let is_own = signer(message, owner, proof.rtype()).is_some_and(|signer| signer == self.signer);
            is_own
                && match proof {
                    Denial::Nsec(nsec) => {
                        self.signer.zone_of(nsec.next_domain_name())
                            && nothing_is_closer((owner, nsec), self.name, &self.encloser)
                    }
                    Denial::Nsec3(nsec3) => {
                        let labels = self.encloser.iter().count() + 1;
                        is_hash_covered(owner, nsec3, &self.name.trim_to(labels))
                    }
                }
        })
    }
}

/// A record that says what is not there.
#[derive(Clone, Copy)]
enum Denial<'m> {
    Nsec(&'m NSEC),
    Nsec3(&'m NSEC3),
}

impl Denial<'_> {
    fn rtype(self) -> RecordType {
        match self {
            Self::Nsec(_) => RecordType::NSEC,
            Self::Nsec3(_) => RecordType::NSEC3,
        }
    }
}

/// Those of the authority section that are good by their signatures.
fn proofs(message: &Message) -> impl Iterator<Item = (&Name, Denial<'_>)> {
    let secure = message.authorities.iter().filter(|record| record.proof.is_secure());
    secure.filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::NSEC(nsec)) => Some((&record.name, Denial::Nsec(nsec))),
        RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) => Some((&record.name, Denial::Nsec3(nsec3))),
        _ => None,
    })
}

fn rrsig(record: &Record) -> Option<&RRSIG> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) => Some(rrsig),
        _ => None,
    }
}

/// The zone whose key has signed a set of the authority section: the validator marks the signature that it has found good.
fn signer<'m>(message: &'m Message, owner: &Name, rtype: RecordType) -> Option<&'m Name> {
    let marked =
        message.authorities.iter().filter(|record| record.proof.is_secure() && record.name == *owner);
    let mut signatures = marked.filter_map(rrsig).map(|rrsig| rrsig.input());
    signatures.find(|of| of.type_covered == rtype).map(|of| &of.signer_name)
}

/// Whether all that shows that a name is not there is said by the one zone that it is in, whose SOA is there too: without it the
/// validator does not look for a wildcard above the name's parent.
fn is_of_its_zone(name: &Name, message: &Message) -> bool {
    let secure = message.authorities.iter().filter(|record| record.proof.is_secure());
    let mut zones = secure.filter(|record| record.record_type() == RecordType::SOA).map(|soa| &soa.name);
    let Some(zone) = zones.next() else { return false };
    zones.all(|other| other == zone)
        && zone.zone_of(name)
        && proofs(message).all(|(owner, proof)| {
            let is_within = match proof {
                Denial::Nsec(nsec) => zone.zone_of(nsec.next_domain_name()),
                Denial::Nsec3(_) => true,
            };
            is_within && signer(message, owner, proof.rtype()) == Some(zone)
        })
}

/// Whether the name's own proof says that there is a DNAME and not what was asked for. The validator takes it for one that says nothing, as
/// it is of names below (RFC 6840 §4.1); of the name itself it speaks as any other.
fn is_beside_dname(query: &Query, message: &Message) -> bool {
    message.response_code == ResponseCode::NoError
        && proofs(message).any(|(owner, proof)| {
            let (is_own, types) = match proof {
                Denial::Nsec(nsec) => (owner == query.name(), nsec.type_set()),
                Denial::Nsec3(nsec3) => (is_hash_of(owner, nsec3, query.name()), nsec3.type_set()),
            };
            let has = |rtype| types.contains(rtype);
            // The zone above has to say what concerns a delegation, and the one below it everything else.
            let is_from_elsewhere = match query.query_type() {
                RecordType::DS => has(RecordType::SOA),
                _ => has(RecordType::NS) && !has(RecordType::SOA),
            };
            let is_there = has(query.query_type()) || has(RecordType::CNAME);
            is_own && has(RecordType::DNAME) && !is_from_elsewhere && !is_there
        })
}

fn has_opt_out(message: &Message) -> bool {
    proofs(message).any(|(_, proof)| matches!(proof, Denial::Nsec3(nsec3) if nsec3.opt_out()))
}

/// Whether an NSEC3 is the name's own.
fn has_own_nsec3(name: &Name, message: &Message) -> bool {
    proofs(message)
        .any(|(owner, proof)| matches!(proof, Denial::Nsec3(nsec3) if is_hash_of(owner, nsec3, name)))
}

fn hash_label(nsec3: &NSEC3, name: &Name) -> Option<Vec<u8>> {
    if nsec3.hash_algorithm() != Nsec3HashAlgorithm::SHA1 || nsec3.iterations() > ITERATIONS_MAX {
        return None;
    }
    let hash = nsec3.hash_algorithm().hash(nsec3.salt(), name, nsec3.iterations()).ok()?;
    Some(base32(hash.as_ref().try_into().ok()?).to_vec())
}

fn first_label(name: &Name) -> Vec<u8> {
    name.iter().next().unwrap_or_default().to_ascii_lowercase()
}

/// Whether an NSEC3 is that of a name.
fn is_hash_of(owner: &Name, nsec3: &NSEC3, name: &Name) -> bool {
    hash_label(nsec3, name).is_some_and(|label| label == first_label(owner))
}

/// Whether an NSEC3 shows that a name is not there.
fn is_hash_covered(owner: &Name, nsec3: &NSEC3, name: &Name) -> bool {
    let Some(label) = hash_label(nsec3, name) else { return false };
    let Ok(next) = nsec3.next_hashed_owner_name().try_into() else { return false };
    let (own, next) = (first_label(owner), base32(next).to_vec());
    if own < next { own < label && label < next } else { own < label || label < next }
}

/// Whether an NSEC shows that a name is not there, and that `encloser` is the longest name above it that is.
fn nothing_is_closer((owner, nsec): (&Name, &NSEC), name: &Name, encloser: &Name) -> bool {
    let (next, types) = (nsec.next_domain_name(), nsec.type_set());
    // RFC 6840 §4.1: a zone says nothing of names below its cuts.
    let is_cut = types.contains(RecordType::NS) && !types.contains(RecordType::SOA);
    if (is_cut || types.contains(RecordType::DNAME)) && owner.zone_of(name) {
        return false;
    }
    let is_covered = name > owner && (name < next || (next <= owner && next.zone_of(name)));
    let mut closest = name.base_name();
    while !closest.zone_of(owner) && !closest.zone_of(next) {
        closest = closest.base_name();
    }
    is_covered && closest == *encloser
}

#[cfg(test)]
pub(super) mod tests;
