//! One name after the other is looked up in a zone until there is an answer: RFC 1034 §4.3.2, steps 3 to 6.

use super::on_demand::MadeDenial;
use super::signed::COMPRESSED_BYTES_MAX;
use super::{Facts, Kind};
use crate::dnssec::{Denial, Proof};
use crate::policy::{self, Client, Policy};
use crate::protocol::response::{Full, Response, Section};
use crate::protocol::{HEADER_BYTES, NAME_BYTES_MAX, Name, Query};
use crate::zone::hash::{Hash, Key};
use crate::zone::node::{CNAME, Node, RECORD_HEAD_BYTES, RrSet};
use crate::zone::{Found, Zone};
use crate::zones::Zones;
use domain::base::iana::{OptRcode, Rtype};

/// Links of a chain of aliases that are followed. Sixteen with the longest names stay within what a compression pointer reaches.
pub(crate) const ALIASES_MAX: usize = 16;

/// What is asked, of all zones, by whom.
#[derive(Clone, Copy)]
pub(super) struct Asked<'r, 'z> {
    pub(super) zones: &'z Zones,
    pub(super) query: &'r Query<'r>,
    pub(super) facts: &'r Facts<'r>,
}

/// A query on its way through a zone.
pub(super) struct Resolution<'r, 'z, 'o> {
    pub(super) asked: Asked<'r, 'z>,
    pub(super) zone: &'z Zone,
    pub(super) apex: Hash,
    rtype: Rtype,
    pub(super) response: &'r mut Response<'o>,
    /// Where the zone is signed, and the client wants to see it.
    pub(super) denial: Option<&'z Denial>,
    /// What is to be proven.
    pub(super) proof: Proof,
    /// What stands in it for one of the zone's own.
    pub(super) made_denial: Option<Box<MadeDenial>>,
    /// The aliases that were followed.
    followed: [Hash; ALIASES_MAX],
    aliases: usize,
}

/// A name that is looked up.
#[derive(Clone, Copy)]
pub(super) struct Looked<'n> {
    pub(super) name: &'n Name,
    /// Where it stands in the response.
    pub(super) owner_at: usize,
    /// A wildcard stands for it.
    pub(super) is_expanded: bool,
}

/// How it goes on after one name.
pub(super) enum Step {
    Done(Kind),
    /// An alias: the name to look up, and where in the response it stands.
    Follow(Box<Name>, usize),
}

impl<'r, 'z, 'o> Resolution<'r, 'z, 'o> {
    pub(super) fn new(
        asked: Asked<'r, 'z>,
        zone: &'z Zone,
        apex: Hash,
        response: &'r mut Response<'o>,
    ) -> Self {
        let rtype = asked.query.rtype;
        let denial = zone.denial().filter(|_| asked.query.dnssec_ok());
        let (proof, followed) = (Proof::default(), [apex; ALIASES_MAX]);
        Self { asked, zone, apex, rtype, response, denial, proof, made_denial: None, followed, aliases: 0 }
    }

    /// Looks up the question's name, and those that its aliases lead to.
    pub(super) fn run(mut self, name: &Name, hash: Hash) -> Kind {
        let kind = self.follow(name, hash);
        if self.show_proof().is_err() {
            self.response.truncated = true;
        }
        kind
    }

    fn follow(&mut self, name: &Name, hash: Hash) -> Kind {
        let mut step = self.step(name, hash, HEADER_BYTES);
        let mut last = hash;
        loop {
            let (name, owner_at) = match step {
                Ok(Step::Done(kind)) => return kind,
                Ok(Step::Follow(name, owner_at)) => (name, owner_at),
                Err(Full) => {
                    self.response.truncated = true;
                    return Kind::Positive;
                }
            };
            if self.aliases == ALIASES_MAX
                || !name.is_within(self.zone.apex())
                || self.response.bytes() > COMPRESSED_BYTES_MAX
            {
                return Kind::Alias;
            }
            self.followed[self.aliases] = last;
            self.aliases += 1;
            last = Key::of_process().name(&name);
            if self.followed[..self.aliases].contains(&last) {
                return Kind::Alias;
            }
            step = self.step(&name, last, owner_at);
        }
    }

    /// One name, which stands in the response at `owner_at`.
    #[inline]
    fn step(&mut self, name: &Name, hash: Hash, owner_at: usize) -> Result<Step, Full> {
        let looked = Looked { name, owner_at, is_expanded: false };
        let found = self.zone.look_up(name, self.apex, hash);
        if self.aliases == 0 {
            self.response.about = found.number();
        }
        match found {
            Found::Name(node) => self.records(node, looked),
            Found::Wildcard(node) => self.records(node, Looked { is_expanded: true, ..looked }),
            // RFC 4035 §3.1.4.1: DS at a cut is the upper zone's, which is this one.
            Found::Cut { cut, is_exact: true, .. } if self.rtype == Rtype::DS => self.records(cut, looked),
            Found::Cut { cut, labels, .. } => {
                self.referral(cut, (name, labels), owner_at + name.suffix_start(labels));
                Ok(Step::Done(Kind::Referral))
            }
            Found::Dname { owner, labels } => self.substitute(owner, labels, name, owner_at),
            Found::Nothing => {
                // RFC 6604: the RCODE is about the last name of a chain.
                self.response.rcode = OptRcode::NXDOMAIN;
                self.prove_no_name(name);
                self.negative(self.zone.figures().negative_ttl);
                Ok(Step::Done(Kind::NoName))
            }
        }
    }

    /// What a name that is there has of the type that is asked for.
    #[inline]
    fn records(&mut self, node: Node<'z>, looked: Looked<'_>) -> Result<Step, Full> {
        let owner_at = looked.owner_at;
        if let Some(route) = self.zone.route(node)
            && let Some(rtype) = routed(self.rtype, node)
        {
            return self.route((node, route), rtype, looked);
        }
        let found = match self.rtype {
            Rtype::ANY => representative(node),
            rtype => node.rrset(rtype),
        };
        if let Some(rrset) = found {
            let start = self.put(Section::Answer, node, rrset, owner_at)?;
            self.prove_expansion(looked);
            self.show_proof()?;
            self.addresses(rrset, start)?;
            return Ok(Step::Done(Kind::Positive));
        }
        if node.has(CNAME)
            && let Some(alias) = node.rrset(Rtype::CNAME)
        {
            let start = self.put(Section::Answer, node, alias, owner_at)?;
            self.prove_expansion(looked);
            let target = self.zone.name_in(alias.first_rdata());
            return Ok(Step::Follow(target, start + RECORD_HEAD_BYTES));
        }
        self.prove_no_data(looked);
        self.negative(self.zone.figures().negative_ttl);
        Ok(Step::Done(Kind::NoData))
    }

    /// The addresses that a route answers with.
    fn route(
        &mut self,
        (node, route): (Node<'z>, &policy::Kind),
        rtype: Rtype,
        looked: Looked<'_>,
    ) -> Result<Step, Full> {
        match route {
            policy::Kind::Policy(policy) => self.chosen((node, policy), rtype, looked),
            policy::Kind::Alias(target) => self.flattened((node, target), rtype, looked),
        }
    }

    /// Those of the candidates that are chosen for this client; `own` is the node in this zone that answers.
    fn chosen(
        &mut self,
        (own, policy): (Node<'z>, &Policy),
        rtype: Rtype,
        looked: Looked<'_>,
    ) -> Result<Step, Full> {
        let owner_at = looked.owner_at;
        let Asked { query, facts, .. } = self.asked;
        let client = Client::of(facts.sender, query.edns.and_then(|edns| edns.client_subnet));
        let chosen = policy.choose(client, self.draw(own, policy));
        self.response.client_bits = chosen.bits;
        if chosen.candidates.is_empty() {
            return Ok(self.failed());
        }
        if self.denial.is_some() && self.is_listed(own, rtype) {
            return self.chosen_signed((own, policy), chosen, rtype, looked);
        }
        let (response, mut is_empty) = (&mut *self.response, true);
        policy.records(rtype, chosen, facts.draw, |rrset| {
            is_empty = false;
            response.add(Section::Answer, rrset, owner_at).map(drop)
        })?;
        if !is_empty {
            return Ok(Step::Done(Kind::Positive));
        }
        // Another choice may have what this one has not.
        self.prove_no_data(looked);
        let negative_ttl = self.zone.figures().negative_ttl;
        self.negative(if policy.may_have(rtype) { policy.ttl.min(negative_ttl) } else { negative_ttl });
        Ok(Step::Done(Kind::NoData))
    }

    /// Those that another name has, in whichever of the zones it is; `own` is the node in this zone that answers.
    fn flattened(
        &mut self,
        (own, of): (Node<'z>, &Name),
        rtype: Rtype,
        looked: Looked<'_>,
    ) -> Result<Step, Full> {
        let mut made: Box<Name>;
        let mut target = of;
        for _ in 0..ALIASES_MAX {
            let (located, hash) = self.asked.zones.locate(target);
            let Some(located) = located else { return Ok(self.failed()) };
            let zone = located.zone;
            if zone.is_withdrawn() {
                return Ok(self.failed());
            }
            let node = match zone.look_up(target, located.apex, hash) {
                Found::Name(node) | Found::Wildcard(node) => node,
                Found::Dname { owner, labels } => {
                    let dname = owner.rrset(Rtype::DNAME).expect("the owner of a DNAME has one");
                    let Some(wire) = substituted(target, labels, dname) else { return Ok(self.failed()) };
                    made = zone.name_in(&wire);
                    target = &made;
                    continue;
                }
                Found::Cut { .. } => return Ok(self.failed()),
                Found::Nothing => break,
            };
            if let Some(route) = zone.route(node) {
                match route {
                    policy::Kind::Policy(policy) => return self.chosen((own, policy), rtype, looked),
                    policy::Kind::Alias(next) => target = next,
                }
            } else if let Some(rrset) = node.rrset(rtype) {
                if self.denial.is_some() {
                    return self.put_on_demand(own, rrset, looked);
                }
                self.response.add(Section::Answer, rrset, looked.owner_at)?;
                return Ok(Step::Done(Kind::Positive));
            } else if let Some(alias) = node.rrset(Rtype::CNAME) {
                made = zone.name_in(alias.first_rdata());
                target = &made;
            } else {
                break;
            }
        }
        // This name is there, whatever is the matter with the other one.
        Ok(self.absent(own, rtype, self.zone.figures().negative_ttl, looked))
    }

    /// Nobody can say what is to be answered.
    pub(super) fn failed(&mut self) -> Step {
        self.response.rcode = OptRcode::SERVFAIL;
        self.response.authoritative = false;
        Step::Done(Kind::Error)
    }

    /// RFC 2308 §3: the SOA, with the TTL that the absence may be remembered for.
    #[inline]
    pub(super) fn negative(&mut self, ttl: u32) {
        let soa = self.zone.apex_node().rrset(Rtype::SOA).expect("a zone has an SOA");
        if self.denial.is_some() {
            self.response.truncated |= self.negative_signed(soa, ttl).is_err();
            return;
        }
        match self.response.add(Section::Authority, soa, self.response.apex_at) {
            Ok(start) => self.response.set_ttl(start, ttl),
            Err(Full) => self.response.truncated = true,
        }
    }

    /// The servers of the zone below a cut. It is not authoritative, but for the aliases that led there.
    fn referral(&mut self, cut: Node<'z>, name: (&Name, usize), owner_at: usize) {
        self.response.authoritative = self.aliases > 0;
        let servers = cut.rrset(Rtype::NS).expect("a cut has NS");
        let is_whole = self.response.add(Section::Authority, servers, owner_at).and_then(|start| {
            self.delegate(cut, name, owner_at)?;
            self.addresses(servers, start)
        });
        self.response.truncated |= is_whole.is_err();
    }

    /// The addresses of names in an RRset that was written at `start`. What does not fit is left out; but a referral without the
    /// address of a server within it leads nowhere (RFC 9471).
    #[inline]
    fn addresses(&mut self, rrset: RrSet<'z>, start: usize) -> Result<(), Full> {
        for target in rrset.targets() {
            let name_at = start + target.name_at;
            if !Response::reaches(name_at) {
                break;
            }
            let node = self.zone.node(target.node);
            for rtype in [Rtype::A, Rtype::AAAA] {
                let Some(addresses) = node.rrset(rtype) else { continue };
                if self.put(Section::Additional, node, addresses, name_at).is_err() && target.required {
                    return Err(Full);
                }
            }
        }
        Ok(())
    }

    /// RFC 6672 §3.2: the DNAME, and the CNAME that it means for this name.
    fn substitute(
        &mut self,
        owner: Node<'z>,
        labels: usize,
        name: &Name,
        owner_at: usize,
    ) -> Result<Step, Full> {
        let dname = owner.rrset(Rtype::DNAME).expect("the owner of a DNAME has one");
        let prefix = name.suffix_start(labels);
        self.put(Section::Answer, owner, dname, owner_at + prefix)?;
        let Some(target) = substituted(name, labels, dname) else {
            self.response.rcode = OptRcode::YXDOMAIN;
            return Ok(Step::Done(Kind::Alias));
        };
        // RFC 6672 §3.1: its TTL is the DNAME's.
        let mut head = [0, 5, 0, 1, 0, 0, 0, 0];
        head[4..].copy_from_slice(&dname.ttl().to_be_bytes());
        let start = self.response.add_made(Section::Answer, owner_at, head, &target)?;
        if matches!(self.rtype, Rtype::CNAME | Rtype::ANY) {
            return Ok(Step::Done(Kind::Positive));
        }
        Ok(Step::Follow(self.zone.name_in(&target), start + RECORD_HEAD_BYTES))
    }
}

/// Which addresses a route at this node is asked for, if it is. RFC 8482 §4.1: those who ask for any get one RRset, from it if the
/// node has no other.
fn routed(rtype: Rtype, node: Node<'_>) -> Option<Rtype> {
    match rtype {
        Rtype::A | Rtype::AAAA => Some(rtype),
        Rtype::ANY if node.rrsets().next().is_none() => Some(Rtype::A),
        _ => None,
    }
}

/// RFC 6672 §2.2: the name that a DNAME at the last `labels` labels of this one makes of it, if it is not too long.
fn substituted(name: &Name, labels: usize, dname: RrSet<'_>) -> Option<Vec<u8>> {
    let target = [&name.as_wire()[..name.suffix_start(labels)], dname.first_rdata()].concat();
    (target.len() <= NAME_BYTES_MAX).then_some(target)
}

/// RFC 8482 §4.1: one RRset is enough for those who ask for any; rather one that is in use, and none that is large.
fn representative(node: Node<'_>) -> Option<RrSet<'_>> {
    let usual = [Rtype::A, Rtype::AAAA, Rtype::SOA, Rtype::MX, Rtype::PTR];
    let large = [Rtype::DNSKEY, Rtype::RRSIG, Rtype::NSEC];
    node.rrsets().min_by_key(|rrset| {
        if usual.contains(&rrset.rtype) { 0 } else { 1 + u8::from(large.contains(&rrset.rtype)) }
    })
}
