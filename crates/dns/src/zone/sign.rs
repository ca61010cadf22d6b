//! A zone becomes a signed one: DNSKEY, CDS and CDNSKEY at the apex, NSEC or NSEC3 for each name, and an RRSIG for each RRset that
//! this zone speaks for (RFC 4035 §2). Signatures of a zone that was signed before are taken over while they are fresh.

use super::build::ZoneBuilder;
use super::check::{self, Checked};
use super::interned::APEX;
use super::node::{CUT, Node, OCCLUDED, ROUTE};
use super::{Key, Record, Zone, layout};
use crate::dnssec::nsec3::{self, Parameters};
use crate::dnssec::order;
use crate::dnssec::signing::canonical::Shared;
use crate::dnssec::signing::config::DenialConfig;
use crate::dnssec::signing::kept::Kept;
use crate::dnssec::signing::on_demand::OnDemand;
use crate::dnssec::signing::plan::{Plan, canonical, expiration};
use crate::dnssec::signing::{bitmap, routes};
use crate::error::Error;
use crate::protocol::Name;
use crate::transfer::records_of_routes;
use domain::base::iana::Rtype;
use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Arc;

/// RRsets that are worth a thread.
const PART_MIN: usize = 64;
const THREADS_MAX: usize = 8;

/// A zone that was signed.
pub(crate) struct Signed {
    pub(crate) zone: Zone,
    /// When the first of its signatures ends, in seconds since 1970.
    pub(crate) first_end: u32,
    /// Signatures that it has, but for those of routes, and how many of them were made for it.
    pub(crate) signatures: usize,
    pub(crate) made: usize,
}

/// From where signatures are taken that are fresh still.
#[derive(Clone, Copy, Default)]
pub(crate) struct Previous<'z> {
    /// The same zone as it was signed before.
    pub(crate) zone: Option<&'z Zone>,
    /// What was kept of it over a restart.
    pub(crate) kept: Option<&'z Kept>,
}

/// RRsets that are to be signed: a name, a type, and where in a list the records are.
struct Item {
    name: u32,
    rtype: Rtype,
    first: u32,
    count: u32,
}

/// Signs a zone.
pub(crate) fn sign(source: &Zone, previous: Previous<'_>, plan: &Plan) -> Result<Signed, Error> {
    let mut builder = ZoneBuilder::new(source.apex().clone());
    builder.is_signed_here = true;
    copy(source, &mut builder, plan.serial);
    routes::place(source, &mut builder)?;
    let ttl = source.apex_node().rrset(Rtype::SOA).expect("a zone has an SOA").ttl();
    add_keys(&mut builder, plan, ttl)?;
    let mut checked = check::check(&mut builder);
    if !builder.errors.is_empty() {
        return Err(Error::Zone { zone: source.apex().to_string(), faults: builder.errors });
    }
    match plan.denial {
        DenialConfig::Nsec => add_nsec(&mut builder, &checked, source.figures().negative_ttl)?,
        DenialConfig::Nsec3 => add_nsec3(&mut builder, &mut checked, source.figures().negative_ttl)?,
    }
    let Added { mut first_end, signatures, made } = add_signatures(&mut builder, &checked, previous, plan)?;
    let mut zone = layout::lay_out(builder, &checked)?.zone;
    sign_routes(&mut zone, previous.zone, plan, &mut first_end)?;
    sign_transferred(&mut zone, previous.zone, plan, &mut first_end)?;
    Ok(Signed { zone, first_end, signatures, made })
}

/// All records, with this serial number.
fn copy(source: &Zone, builder: &mut ZoneBuilder, serial: u32) {
    let mut data = Vec::new();
    for (_, node) in source.nodes() {
        if node.rrsets().next().is_none() {
            // It is there for what is below it, or for its route, and comes with them.
            continue;
        }
        let Ok(owner) = name_of(source, node) else { continue };
        let Some(id) = builder.names.intern(&owner) else { continue };
        for rrset in node.rrsets() {
            for start in rrset.starts() {
                data.clear();
                source.uncompress(rrset, start, &mut data);
                if rrset.rtype == Rtype::SOA {
                    let at = data.len() - 20;
                    data[at..at + 4].copy_from_slice(&serial.to_be_bytes());
                }
                // It was in a zone, so it has room in one.
                let _ = builder.add(id, rrset.rtype, rrset.ttl_at(start), 0, &data);
            }
        }
    }
}

fn name_of(zone: &Zone, node: Node<'_>) -> Result<Name, Error> {
    Ok(Name::from_wire(&[node.relative_name(), zone.apex().as_wire()].concat())?)
}

fn add(builder: &mut ZoneBuilder, owner: u32, rtype: Rtype, ttl: u32, data: &[u8]) -> Result<(), Error> {
    builder.add(owner, rtype, ttl, 0, data).map_err(|why| {
        let zone = builder.name_of(APEX);
        Error::Signing { zone, why }
    })
}

/// RFC 7344 §4: CDS and CDNSKEY tell the zone above which keys to point to.
fn add_keys(builder: &mut ZoneBuilder, plan: &Plan, ttl: u32) -> Result<(), Error> {
    let apex = builder.names.apex().clone();
    let mut added = Vec::new();
    added.extend(plan.published.iter().map(|key| (Rtype::DNSKEY, key.dnskey())));
    added.extend(plan.entries.iter().map(|key| (Rtype::CDNSKEY, key.dnskey())));
    added.extend(plan.entries.iter().map(|key| (Rtype::CDS, key.ds(apex.as_wire()))));
    for (rtype, data) in added {
        let is_there = builder.newest_first(APEX).any(|record| {
            let record = &builder.records[record as usize];
            record.rtype == rtype && builder.data_of(record) == data
        });
        if !is_there {
            add(builder, APEX, rtype, ttl, &data)?;
        }
    }
    if plan.denial == DenialConfig::Nsec3 {
        // RFC 5155 §4: SHA-1, no flags; RFC 9276 §3.1: no iterations and no salt.
        add(builder, APEX, Rtype::NSEC3PARAM, ttl, &[nsec3::SHA1, 0, 0, 0, 0])?;
    }
    Ok(())
}

/// Types that a name has in this zone's own right: at a cut just NS and DS (RFC 4035 §2.3), and what is signed of them.
fn types(builder: &ZoneBuilder, checked: &Checked, id: u32) -> (Vec<u16>, bool) {
    let is_cut = checked[id as usize] & CUT != 0;
    let own = builder.newest_first(id).map(|record| builder.records[record as usize].rtype);
    let mut types: Vec<Rtype> =
        own.filter(|rtype| !is_cut || matches!(*rtype, Rtype::NS | Rtype::DS)).collect();
    if checked[id as usize] & ROUTE != 0 {
        let kinds = builder.routes.iter().filter(|(name, _)| *name == id);
        types.extend(kinds.flat_map(|(_, kind)| routes::types(kind)));
    }
    let is_signed = types.iter().any(|rtype| !is_cut || *rtype == Rtype::DS);
    (types.into_iter().map(Rtype::to_int).collect(), is_signed)
}

/// RFC 4035 §2.3: each name that has records, in a circle.
fn add_nsec(builder: &mut ZoneBuilder, checked: &Checked, ttl: u32) -> Result<(), Error> {
    let has_data = |id: &u32| {
        let flags = checked[*id as usize];
        flags & OCCLUDED == 0 && (flags & ROUTE != 0 || builder.newest_first(*id).next().is_some())
    };
    let mut names: Vec<u32> = (0..builder.names.len() as u32).filter(has_data).collect();
    names.sort_unstable_by(|one, other| {
        order::compare(builder.names.relative(*one), builder.names.relative(*other))
    });
    for (nth, id) in names.iter().enumerate() {
        let next = names.get(nth + 1).copied().unwrap_or(APEX);
        let mut data = [builder.names.relative(next), builder.names.apex().as_wire()].concat();
        let (mut types, _) = types(builder, checked, *id);
        types.extend([Rtype::NSEC.to_int(), Rtype::RRSIG.to_int()]);
        bitmap::write(&mut types, &mut data);
        add(builder, *id, Rtype::NSEC, ttl, &data)?;
    }
    Ok(())
}

/// RFC 5155 §7.1: each name, those that only have names below them included, by its hash.
fn add_nsec3(builder: &mut ZoneBuilder, checked: &mut Checked, ttl: u32) -> Result<(), Error> {
    let parameters = Parameters { iterations: 0, salt: Box::default() };
    let apex = builder.names.apex().clone();
    let mut hashed: Vec<([u8; nsec3::HASH_BYTES], u32)> = (0..builder.names.len() as u32)
        .filter(|id| checked[*id as usize] & OCCLUDED == 0)
        .map(|id| (parameters.hash(&[builder.names.relative(id), apex.as_wire()]), id))
        .collect();
    hashed.sort_unstable();
    for (nth, (hash, id)) in hashed.iter().enumerate() {
        let (next, _) = hashed[(nth + 1) % hashed.len()];
        let mut data = vec![nsec3::SHA1, 0, 0, 0, 0, nsec3::HASH_BYTES as u8];
        data.extend_from_slice(&next);
        let (mut types, is_signed) = types(builder, checked, *id);
        types.extend(is_signed.then_some(Rtype::RRSIG.to_int()));
        bitmap::write(&mut types, &mut data);
        let label = nsec3::base32(hash);
        let owner = Name::from_wire(&[&[label.len() as u8], &label[..], apex.as_wire()].concat())?;
        let owner = builder.names.intern(&owner).expect("a name below the apex is in the zone");
        checked.resize(builder.names.len(), 0);
        add(builder, owner, Rtype::NSEC3, ttl, &data)?;
    }
    Ok(())
}

/// What was added to a zone.
struct Added {
    first_end: u32,
    signatures: usize,
    made: usize,
}

/// Signs what this zone speaks for.
fn add_signatures(
    builder: &mut ZoneBuilder,
    checked: &Checked,
    previous: Previous<'_>,
    plan: &Plan,
) -> Result<Added, Error> {
    let (items, records) = items(builder, checked);
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    let part = items.len().div_ceil(threads).max(PART_MIN);
    let view: &ZoneBuilder = builder;
    let parts: Vec<Result<Part, Error>> = std::thread::scope(|scope| {
        let records = &records;
        let work = |part| move || signatures(view, part, records, previous, plan);
        let mut parts = items.chunks(part);
        let first = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(work(part))).collect();
        let own = first.map(|part| work(part)());
        let joined = others.into_iter().map(|other| match other.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        own.into_iter().chain(joined).collect()
    });
    let mut added = Added { first_end: u32::MAX, signatures: 0, made: 0 };
    for (items, part) in items.chunks(part).zip(parts) {
        let part = part?;
        added.made += part.made;
        for (item, signatures) in items.iter().zip(part.signatures) {
            let ttl = builder.records[records[item.first as usize] as usize].ttl;
            for signature in signatures {
                added.first_end = added.first_end.min(expiration(&signature).unwrap_or(0));
                added.signatures += 1;
                add(builder, item.name, Rtype::RRSIG, ttl, &signature)?;
            }
        }
    }
    Ok(added)
}

/// What is to be signed: of cuts DS and NSEC, and nothing below them.
fn items(builder: &ZoneBuilder, checked: &Checked) -> (Vec<Item>, Vec<u32>) {
    let (mut items, mut records) = (Vec::new(), Vec::new());
    for name in 0..builder.names.len() as u32 {
        let flags = checked[name as usize];
        if flags & OCCLUDED != 0 {
            continue;
        }
        let rtype = |record: &u32| builder.records[*record as usize].rtype;
        let mut own: Vec<u32> = builder.newest_first(name).collect();
        own.reverse();
        own.retain(|record| {
            let rtype = rtype(record);
            (flags & CUT == 0 || matches!(rtype, Rtype::DS | Rtype::NSEC))
                && (flags & ROUTE == 0 || !matches!(rtype, Rtype::A | Rtype::AAAA))
        });
        own.sort_by_key(rtype);
        for group in own.chunk_by(|one, other| rtype(one) == rtype(other)) {
            let (first, count) = (records.len() as u32, group.len() as u32);
            items.push(Item { name, rtype: rtype(&group[0]), first, count });
            records.extend_from_slice(group);
        }
    }
    (items, records)
}

/// The signatures of each of some RRsets, and how many of them were made.
struct Part {
    signatures: Vec<Vec<Vec<u8>>>,
    made: usize,
}

/// The signatures of each of these RRsets.
fn signatures(
    builder: &ZoneBuilder,
    items: &[Item],
    records: &[u32],
    previous: Previous<'_>,
    plan: &Plan,
) -> Result<Part, Error> {
    let apex = builder.names.apex();
    let mut made = 0;
    let signatures = items
        .iter()
        .map(|item| {
            let owner = [builder.names.relative(item.name), apex.as_wire()].concat();
            let owner = Name::from_wire(&owner)?;
            let own = &records[item.first as usize..][..item.count as usize];
            let own = own.iter().map(|record| &builder.records[*record as usize]);
            let ttl = own.clone().next().map_or(0, |record| record.ttl);
            let datas = own.map(|record| builder.data_of(record).to_vec()).collect();
            let shared = Shared { owner: owner.as_wire(), rtype: item.rtype, ttl };
            let wanted = canonical(&shared, datas);
            let before = previous.zone.and_then(|zone| Before::find(zone, &owner, &shared, &wanted));
            let whose = (&shared, labels(&owner));
            let keys = plan.signers(item.rtype).iter();
            keys.map(|key| {
                let fresh = before.as_ref().and_then(|before| before.fresh(plan, key)).map(<[u8]>::to_vec);
                let kept = || previous.kept?.fresh(plan, key, whose, apex.as_wire(), &wanted);
                if let Some(fresh) = fresh.or_else(kept) {
                    return Ok(fresh);
                }
                made += 1;
                plan.sign(key, whose, apex.as_wire(), &wanted)
            })
            .collect()
        })
        .collect::<Result<_, Error>>()?;
    Ok(Part { signatures, made })
}

/// Signs what routes can answer.
fn sign_routes(
    zone: &mut Zone,
    previous: Option<&Zone>,
    plan: &Plan,
    first_end: &mut u32,
) -> Result<(), Error> {
    let mut signed = Vec::new();
    for (name, kind) in zone.routes() {
        let before = previous.and_then(|zone| {
            zone.signed_route(zone.get(&name, name.labels(), Key::of_process().name(&name))?)
        });
        signed.push(routes::sign(zone, (&name, kind), before, plan, first_end)?);
    }
    zone.figures.bytes += signed.iter().map(routes::SignedRoute::bytes).sum::<usize>();
    zone.routes.signed = signed.into();
    if !zone.routes.kinds.is_empty() {
        let before = previous.and_then(Zone::on_demand);
        zone.routes.on_demand = Some(OnDemand::of(plan, &zone.apex, before));
    }
    Ok(())
}

/// Signs what other servers get in the place of routes.
fn sign_transferred(
    zone: &mut Zone,
    previous: Option<&Zone>,
    plan: &Plan,
    first_end: &mut u32,
) -> Result<(), Error> {
    let before = previous.map(records_of_routes).unwrap_or_default();
    let mut by_owner: HashMap<&[u8], Vec<&Record>> = HashMap::new();
    for record in &before {
        by_owner.entry(&record.owner).or_default().push(record);
    }
    let mut signatures = Vec::new();
    for set in
        records_of_routes(zone).chunk_by(|one, other| (&one.owner, one.rtype) == (&other.owner, other.rtype))
    {
        let Record { owner, rtype, ttl, .. } = &set[0];
        let before = by_owner.get(&**owner).map_or(&[][..], Vec::as_slice);
        let is_same = before.iter().filter(|record| record.rtype == *rtype).copied().eq(set);
        let of_set = |record: &&&Record| {
            record.rtype == Rtype::RRSIG && record.data.starts_with(&rtype.to_int().to_be_bytes())
        };
        let shared = Shared { owner, rtype: *rtype, ttl: *ttl };
        let wanted = canonical(&shared, set.iter().map(|record| record.data.to_vec()).collect());
        let labels = labels(&Name::from_wire(owner)?);
        for key in plan.signers(*rtype) {
            let known =
                before.iter().filter(of_set).find(|record| is_same && plan.is_fresh(key, &record.data));
            let data = match known {
                Some(known) => known.data.to_vec(),
                None => plan.sign(key, (&shared, labels), zone.apex.as_wire(), &wanted)?,
            };
            *first_end = (*first_end).min(expiration(&data).unwrap_or(0));
            signatures.push(Record {
                owner: Arc::clone(owner),
                rtype: Rtype::RRSIG,
                ttl: *ttl,
                data: data.into(),
            });
        }
    }
    zone.routes.transferred = signatures.into();
    Ok(())
}

/// RFC 4034 §3.1.3: without the root, and without the label of a wildcard.
pub(crate) fn labels(owner: &Name) -> u8 {
    let is_wildcard = owner.as_wire().starts_with(b"\x01*");
    (owner.labels() - usize::from(is_wildcard)) as u8
}

/// The same RRset as it was signed before.
struct Before<'z>(Node<'z>, Rtype);

impl<'z> Before<'z> {
    fn find(zone: &'z Zone, owner: &Name, shared: &Shared<'_>, wanted: &[u8]) -> Option<Self> {
        let node = if shared.rtype == Rtype::NSEC3 {
            zone.denial()?.hashed_node(zone, owner)?
        } else {
            zone.get(owner, owner.labels(), Key::of_process().name(owner))?
        };
        let rrset = node.rrset(shared.rtype).filter(|rrset| rrset.ttl() == shared.ttl)?;
        let datas = rrset.starts().map(|start| {
            let mut data = Vec::new();
            zone.uncompress(rrset, start, &mut data);
            data
        });
        (canonical(shared, datas.collect()) == wanted).then_some(Self(node, shared.rtype))
    }

    /// Its signature by this key, if it can stay.
    fn fresh(&self, plan: &Plan, key: &crate::dnssec::signing::key::Key) -> Option<&'z [u8]> {
        self.0.signatures(self.1)?.rdatas().find(|rrsig| plan.is_fresh(key, rrsig))
    }
}
