//! Zones that are signed, and a validator that trusts their keys: written from the RFCs, apart from what signs and answers.

use crate::dnssec::nsec3::Parameters;
use crate::dnssec::order;
use crate::dnssec::signing::config::{Algorithm, DenialConfig};
use crate::dnssec::signing::key::Key;
use crate::dnssec::signing::plan::Plan;
use crate::protocol::Name;
use crate::zone::Zone;
use crate::zone::sign::{Previous, Signed, sign};
use crate::{Facts, Query, Transport, Zones, answer};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use domain::base::iana::Rtype;
use std::sync::Arc;

pub(super) const NOW: u32 = 1_800_000_000;
pub(super) const DAY: u32 = 86_400;

pub(super) fn key(algorithm: Algorithm, is_entry: bool) -> Arc<Key> {
    Arc::new(Key::generate(algorithm, is_entry).expect("a key"))
}

/// One key for all.
pub(super) fn plan(denial: DenialConfig) -> Plan {
    let keys = vec![key(Algorithm::EcdsaP256, true)];
    Plan {
        published: keys.clone(),
        key_signers: keys.clone(),
        zone_signers: keys.clone(),
        entries: keys,
        denial,
        serial: 7,
        now: NOW,
        validity: 14 * DAY,
        refresh: 7 * DAY,
    }
}

pub(super) fn signed(source: &Zone, previous: Option<&Zone>, plan: &Plan) -> Signed {
    sign(source, Previous { zone: previous, kept: None }, plan).unwrap_or_else(|error| panic!("{error}"))
}

/// A record of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) owner: Name,
    pub(super) rtype: Rtype,
    pub(super) ttl: u32,
    /// Uncompressed.
    pub(super) data: Vec<u8>,
}

/// A response with DO, taken apart.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) rcode: u8,
    pub(super) is_truncated: bool,
    pub(super) answer: Vec<Record>,
    pub(super) authority: Vec<Record>,
    pub(super) additional: Vec<Record>,
}

pub(super) fn ask(zones: &Zones, name: &Name, rtype: Rtype, transport: Transport) -> Reply {
    ask_with(zones, name, rtype, &Facts::of_transport(transport))
}

pub(super) fn ask_with(zones: &Zones, name: &Name, rtype: Rtype, facts: &Facts<'_>) -> Reply {
    let mut message = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend_from_slice(name.as_wire());
    message.extend_from_slice(&rtype.to_int().to_be_bytes());
    message.extend_from_slice(&[0, 1, 0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
    let query = Query::parse(&message).expect("a query");
    let mut out = Vec::new();
    answer(zones, &query, facts, &mut out);
    let mut at = 12 + name.wire_len() + 4;
    let count = |nth: usize| usize::from(u16::from_be_bytes([out[4 + 2 * nth], out[5 + 2 * nth]]));
    let mut section = |nth: usize| -> Vec<Record> {
        (0..count(nth))
            .filter_map(|_| record(&out, &mut at))
            .filter(|record| record.rtype != Rtype::OPT)
            .collect()
    };
    let (answer, authority, additional) = (section(1), section(2), section(3));
    assert_eq!(at, out.len(), "a response ends with its last record");
    Reply { rcode: out[3] & 15, is_truncated: out[2] & 2 != 0, answer, authority, additional }
}

fn record(out: &[u8], at: &mut usize) -> Option<Record> {
    let owner = name(out, at);
    let field = |at: usize, bytes: usize| {
        out[at..at + bytes].iter().fold(0u32, |all, byte| all << 8 | u32::from(*byte))
    };
    let (rtype, ttl, length) = (field(*at, 2), field(*at + 4, 4), field(*at + 8, 2) as usize);
    let rtype = Rtype::from_int(rtype as u16);
    *at += 10;
    let end = *at + length;
    let mut data = Vec::new();
    let (before, names) = match rtype {
        Rtype::NS | Rtype::CNAME | Rtype::PTR => (0, 1),
        Rtype::SOA => (0, 2),
        Rtype::MX => (2, 1),
        _ => (0, 0),
    };
    data.extend_from_slice(&out[*at..*at + before]);
    *at += before;
    for _ in 0..names {
        data.extend_from_slice(name(out, at).as_wire());
    }
    data.extend_from_slice(&out[*at..end]);
    *at = end;
    Some(Record { owner, rtype, ttl, data })
}

fn name(out: &[u8], at: &mut usize) -> Name {
    let (mut wire, mut from, mut is_away) = (Vec::new(), *at, false);
    loop {
        match out[from] {
            0 => {
                wire.push(0);
                if !is_away {
                    *at = from + 1;
                }
                return Name::from_wire(&wire).expect("a name");
            }
            length @ 1..=63 => {
                wire.extend_from_slice(&out[from..=from + usize::from(length)]);
                from += 1 + usize::from(length);
            }
            high => {
                let to = usize::from(high & 0x3f) << 8 | usize::from(out[from + 1]);
                assert!(to < from, "a pointer leads back");
                if !is_away {
                    *at = from + 2;
                }
                (from, is_away) = (to, true);
            }
        }
    }
}

/// Whoever trusts these keys of a zone.
pub(super) struct Validator<'v> {
    pub(super) apex: &'v Name,
    pub(super) keys: &'v [Arc<Key>],
    pub(super) now: u32,
}

impl Validator<'_> {
    /// The RRsets of a section, of which each that has a signature is proven by it: owner, type, and the labels that its signature
    /// tells, if it has one.
    pub(super) fn rrsets(&self, section: &[Record]) -> Vec<(Name, Rtype, Option<u8>)> {
        let mut found: Vec<(Name, Rtype, Option<u8>)> = Vec::new();
        for record in section.iter().filter(|record| record.rtype != Rtype::RRSIG) {
            if found.iter().any(|(owner, rtype, _)| *owner == record.owner && *rtype == record.rtype) {
                continue;
            }
            let same: Vec<&Record> = section
                .iter()
                .filter(|other| other.owner == record.owner && other.rtype == record.rtype)
                .collect();
            let signature = section.iter().find(|other| {
                other.rtype == Rtype::RRSIG
                    && other.owner == record.owner
                    && other.data[..2] == record.rtype.to_int().to_be_bytes()
            });
            if let Some(signature) = signature {
                assert_eq!(signature.ttl, record.ttl, "a signature has the TTL of what it signs");
                self.verify(&same, &signature.data);
            }
            found.push((record.owner.clone(), record.rtype, signature.map(|signature| signature.data[3])));
        }
        found
    }

    /// RFC 4035 §5.3.
    fn verify(&self, rrset: &[&Record], rrsig: &[u8]) {
        let owner = &rrset[0].owner;
        let labels = usize::from(rrsig[3]);
        let number = |at: usize| u32::from_be_bytes(rrsig[at..at + 4].try_into().expect("four octets"));
        assert!(number(12) <= self.now && self.now < number(8), "the signature is valid now");
        let signer = Name::from_wire(&rrsig[18..]).expect("a signer");
        assert_eq!(signer, *self.apex);
        let tag = u16::from_be_bytes([rrsig[16], rrsig[17]]);
        let key = self.keys.iter().find(|key| key.tag() == tag).expect("the key is known");
        let at = 18 + signer.wire_len();
        let mut message = rrsig[..at].to_vec();
        let (mut own, ttl) = (owner.as_wire().to_vec(), number(4));
        if owner.labels() > labels {
            own = [b"\x01*", &owner.as_wire()[owner.suffix_start(labels)..]].concat();
        }
        let mut datas: Vec<Vec<u8>> = rrset.iter().map(|record| record.data.clone()).collect();
        datas.sort();
        // A DNAME that a chain passes twice is told twice.
        datas.dedup();
        for data in datas {
            message.extend_from_slice(&own);
            message.extend_from_slice(&rrset[0].rtype.to_int().to_be_bytes());
            message.extend_from_slice(&[0, 1]);
            message.extend_from_slice(&ttl.to_be_bytes());
            message.extend_from_slice(&(data.len() as u16).to_be_bytes());
            message.extend_from_slice(&data);
        }
        assert!(rrset[0].ttl <= ttl);
        let verified = match key.algorithm {
            Algorithm::EcdsaP256 => {
                let point = [&[4], key.public()].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(&message, &rrsig[at..])
            }
            Algorithm::Ed25519 => {
                UnparsedPublicKey::new(&ED25519, key.public()).verify(&message, &rrsig[at..])
            }
        };
        assert!(verified.is_ok(), "{owner} {}: the signature is wrong", rrset[0].rtype);
    }

    /// What an authority section proves: signed NSEC or NSEC3, and nothing beside it that is not needed.
    pub(super) fn proof<'r>(&self, reply: &'r Reply) -> ValidProof<'r> {
        let denials =
            reply.authority.iter().filter(|record| matches!(record.rtype, Rtype::NSEC | Rtype::NSEC3));
        let denials: Vec<&Record> = denials.collect();
        for (owner, rtype, labels) in self.rrsets(&reply.authority) {
            if matches!(rtype, Rtype::NSEC | Rtype::NSEC3 | Rtype::SOA | Rtype::DS) {
                assert_eq!(
                    labels.map(usize::from),
                    Some(owner.labels() - usize::from(owner.as_wire().starts_with(b"\x01*")))
                );
            }
        }
        ValidProof { apex: self.apex.clone(), denials }
    }
}

/// Denials whose signatures are right.
pub(super) struct ValidProof<'r> {
    apex: Name,
    denials: Vec<&'r Record>,
}

impl ValidProof<'_> {
    fn is_hashed(&self) -> bool {
        self.denials.iter().any(|record| record.rtype == Rtype::NSEC3)
    }

    /// What an NSEC3 says of this name: it has one of its own, whose types are these.
    fn hashed_types(&self, name: &[u8]) -> Option<Vec<Rtype>> {
        self.denials.iter().find_map(|record| {
            let (parameters, _) = Parameters::of(&record.data)?;
            let label = parameters.label(&[name]);
            (record.owner.as_wire()[1..33] == label)
                .then(|| types(&record.data[6 + parameters.salt.len() + 20..]))
        })
    }

    fn is_hash_covered(&self, name: &[u8]) -> bool {
        self.denials.iter().any(|record| {
            let Some((parameters, _)) = Parameters::of(&record.data) else { return false };
            let next_at = 6 + parameters.salt.len();
            let next =
                crate::dnssec::nsec3::base32(record.data[next_at..next_at + 20].try_into().expect("a hash"));
            let (own, hash) = (&record.owner.as_wire()[1..33], parameters.label(&[name]));
            if own < &next[..] { *own < hash[..] && hash < next } else { *own < hash[..] || hash < next }
        })
    }

    fn below_apex(&self, name: &Name) -> Vec<u8> {
        name.as_wire()[..name.wire_len() - self.apex.wire_len()].to_vec()
    }

    /// The NSEC that covers a name, and the one at it.
    fn is_covered(&self, name: &Name) -> bool {
        let asked = self.below_apex(name);
        self.denials.iter().any(|record| {
            let next = Name::from_wire(&record.data).expect("a name");
            let (own, next) = (self.below_apex(&record.owner), self.below_apex(&next));
            order::compare(&own, &asked).is_lt() && (next.is_empty() || order::compare(&asked, &next).is_lt())
        })
    }

    fn types_at(&self, name: &Name) -> Option<Vec<Rtype>> {
        let found = self.denials.iter().find(|record| record.owner == *name)?;
        let next = Name::from_wire(&found.data).expect("a name");
        Some(types(&found.data[next.wire_len()..]))
    }

    /// An NSEC says that there is something below this name.
    fn is_empty_non_terminal(&self, name: &Name) -> bool {
        self.is_covered(name)
            && self
                .denials
                .iter()
                .any(|record| Name::from_wire(&record.data).expect("a name").is_within(name))
    }

    /// RFC 4035 §5.4, RFC 5155 §8.4: neither the name is there nor a wildcard for it.
    pub(super) fn is_no_name(&self, name: &Name) -> bool {
        if self.is_hashed() {
            let Some(encloser) = self.proven_encloser(name) else { return false };
            return self.is_hash_covered(wildcard(name, encloser).as_wire());
        }
        // The closest encloser is the longest that any NSEC of the proof names.
        self.is_covered(name) && self.is_covered(&wildcard(name, self.encloser_by_nsec(name)))
    }

    fn encloser_by_nsec(&self, name: &Name) -> usize {
        let shared = |other: &Name| {
            (0..=name.labels().min(other.labels())).rev().find(|labels| {
                name.as_wire()[name.suffix_start(*labels)..] == other.as_wire()[other.suffix_start(*labels)..]
            })
        };
        let ends = self
            .denials
            .iter()
            .flat_map(|record| [record.owner.clone(), Name::from_wire(&record.data).expect("a name")]);
        ends.filter_map(|end| shared(&end)).max().unwrap_or(0)
    }

    /// RFC 5155 §8.3: an NSEC3 of an encloser, and one that covers the name below it.
    fn proven_encloser(&self, name: &Name) -> Option<usize> {
        (self.apex.labels()..name.labels()).rev().find(|labels| {
            self.hashed_types(&name.as_wire()[name.suffix_start(*labels)..]).is_some()
                && self.is_hash_covered(&name.as_wire()[name.suffix_start(labels + 1)..])
        })
    }

    /// RFC 4035 §5.4, RFC 5155 §8.5: the name is there, without this type and without an alias.
    pub(super) fn is_no_data(&self, name: &Name, rtype: Rtype) -> bool {
        let types = if self.is_hashed() { self.hashed_types(name.as_wire()) } else { self.types_at(name) };
        match types {
            Some(types) => !types.contains(&rtype) && !types.contains(&Rtype::CNAME),
            None => !self.is_hashed() && self.is_empty_non_terminal(name),
        }
    }

    /// RFC 5155 §8.7 and RFC 4035 §3.1.3.4: a wildcard stands for the name, without this type.
    pub(super) fn is_no_data_by_wildcard(&self, name: &Name, rtype: Rtype) -> bool {
        (self.apex.labels()..name.labels()).any(|encloser| {
            self.is_expanded(name, encloser) && self.is_no_data(&wildcard(name, encloser), rtype)
        })
    }

    /// RFC 4035 §5.3.4, RFC 5155 §8.8: nothing is closer than a wildcard below the last so many labels.
    pub(super) fn is_expanded(&self, name: &Name, encloser: usize) -> bool {
        if self.is_hashed() {
            self.is_hash_covered(&name.as_wire()[name.suffix_start(encloser + 1)..])
        } else {
            self.is_covered(name)
        }
    }
}

fn wildcard(name: &Name, encloser: usize) -> Name {
    Name::from_wire(&[b"\x01*", &name.as_wire()[name.suffix_start(encloser)..]].concat()).expect("a name")
}

fn types(mut bitmap: &[u8]) -> Vec<Rtype> {
    let mut types = Vec::new();
    while let [window, length, rest @ ..] = bitmap {
        let (bits, after) = rest.split_at(usize::from(*length));
        for (at, byte) in bits.iter().enumerate() {
            types.extend(
                (0..8)
                    .filter(|bit| byte & (0x80 >> bit) != 0)
                    .map(|bit| Rtype::from_int(u16::from(*window) << 8 | (at as u16) << 3 | bit)),
            );
        }
        bitmap = after;
    }
    types
}
