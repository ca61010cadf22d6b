//! Records become nodes and RRsets in an arena; see `node` for how they lie there.

use super::build::{Loaded, ZoneBuilder};
use super::check::{ADDRESS, ARENA_FLAGS, Checked};
use super::interned::APEX;
use super::node::{CUT, LINKED, NODE_BYTES, OCCLUDED, ROUTE, TARGET_BYTES};
use super::rrset::{RrSetLayout, comparable};
use super::{Figures, Node, Routes, Zone};
use crate::dnssec::Denial;
use crate::dnssec::nsec3::{self, Parameters};
use crate::error::Error;
use crate::protocol::{MESSAGE_BYTES_MAX, Name};
use domain::base::iana::Rtype;
use std::borrow::Cow;

/// What an offset can reach, and lengths with a bit to spare.
const ARENA_BYTES_MAX: usize = 1 << 31;
/// An A record with its RRset and node, its name not counted.
const USUAL_BYTES: usize = NODE_BYTES + 8 + 16;

/// Types of which a name has one record at most.
const SINGLETONS: [Rtype; 3] = [Rtype::SOA, Rtype::CNAME, Rtype::DNAME];

/// What a route answers for.
const ADDRESSES: [Rtype; 2] = [Rtype::A, Rtype::AAAA];

struct Layout {
    arena: Vec<u8>,
    /// Where the number of a name stands that is to become the offset of its node.
    fixups: Vec<u32>,
    rrset: RrSetLayout,
    records: usize,
    /// Nodes with NSEC or NSEC3.
    chain: Vec<u32>,
    /// The numbers of names that are hashes of names: nobody asks for them (RFC 5155 §7.2.8).
    hashes: Vec<u32>,
}

pub(super) fn lay_out(mut builder: ZoneBuilder, checked: &Checked) -> Result<Loaded, Error> {
    let names = builder.names.len();
    let expected = names * USUAL_BYTES + builder.names.bytes();
    let mut layout = Layout {
        arena: Vec::with_capacity(expected),
        fixups: Vec::new(),
        rrset: RrSetLayout::default(),
        records: 0,
        chain: Vec::new(),
        hashes: Vec::new(),
    };
    let mut offsets: Vec<u32> = Vec::with_capacity(names);
    let mut own: Vec<u32> = Vec::new();
    for id in 0..names as u32 {
        offsets.push(layout.arena.len() as u32);
        own.clear();
        own.extend(builder.newest_first(id));
        own.reverse();
        if checked[id as usize] & ROUTE != 0 {
            own.retain(|record| !ADDRESSES.contains(&builder.records[*record as usize].rtype));
        }
        if own.len() > 1 {
            own.sort_by_key(|record| builder.records[*record as usize].rtype);
        }
        node(&mut builder, &mut layout, checked, id, &own);
        chain(&mut builder, &mut layout, id, &own, offsets[id as usize]);
        if layout.arena.len() > ARENA_BYTES_MAX {
            builder.error(
                own.last().copied().unwrap_or(0),
                "the zone is too large (2 GiB in memory)".to_owned(),
            );
            break;
        }
    }
    if !builder.errors.is_empty() {
        return Err(Error::Zone { zone: builder.name_of(APEX), faults: builder.errors });
    }
    for at in layout.fixups {
        let place = &mut layout.arena[at as usize..][..4];
        let id = u32::from_le_bytes([place[0], place[1], place[2], place[3]]);
        place.copy_from_slice(&offsets[id as usize].to_le_bytes());
    }
    let hashes = layout.hashes;
    let offset = |id| hashes.binary_search(&id).is_err().then(|| offsets[id as usize]);
    let table = builder.names.take_table().into_compact(offset);
    let names = names - hashes.len();
    let mut zone = Zone {
        apex: builder.names.apex().clone(),
        arena: layout.arena.into(),
        names: table,
        apex_node: offsets[APEX as usize],
        routes: Routes::new(builder.routes.into_iter().map(|(id, route)| (offsets[id as usize], route))),
        denial: None,
        figures: Figures { serial: 0, negative_ttl: 0, records: layout.records, names, bytes: 0 },
    };
    let (serial, negative_ttl) = start_of_authority(zone.apex_node());
    zone.denial = Denial::of(&zone, &layout.chain);
    let denial_bytes = zone.denial().map_or(0, Denial::bytes);
    let bytes = size_of::<Zone>() + zone.arena.len() + zone.names.bytes() + denial_bytes;
    zone.figures = Figures { serial, negative_ttl, bytes, ..zone.figures };
    Ok(Loaded { zone, warnings: builder.warnings })
}

/// Serial number and negative TTL (RFC 2308 §5). The five numbers are the end of the SOA's data.
fn start_of_authority(apex: Node<'_>) -> (u32, u32) {
    let soa = apex.rrset(Rtype::SOA).expect("a zone that was checked has an SOA");
    let numbers = soa.first_rdata().last_chunk::<20>().expect("an SOA has five numbers");
    let number =
        |at: usize| u32::from_be_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]]);
    (number(0), soa.ttl().min(number(16)))
}

/// What the proofs of a signed zone need to know of a name.
fn chain(builder: &mut ZoneBuilder, layout: &mut Layout, id: u32, own: &[u32], offset: u32) {
    let has = |builder: &ZoneBuilder, is_it: fn(Rtype) -> bool| {
        own.iter().filter(|record| is_it(builder.records[**record as usize].rtype)).count()
    };
    if has(builder, |rtype| matches!(rtype, Rtype::NSEC | Rtype::NSEC3)) > 0 {
        layout.chain.push(offset);
        if has(builder, |rtype| rtype == Rtype::NSEC3) > 0
            && has(builder, |rtype| matches!(rtype, Rtype::NSEC3 | Rtype::RRSIG)) == own.len()
            && builder.names.relative(id).split_first().is_some_and(|(_, label)| nsec3::is_label(label))
        {
            layout.hashes.push(id);
        }
    }
    if id == APEX && has(builder, |rtype| rtype == Rtype::NSEC3PARAM) > 0 {
        let parameters =
            own.iter().filter(|record| builder.records[**record as usize].rtype == Rtype::NSEC3PARAM);
        let all: Vec<(u32, Option<(Parameters, u8)>)> = parameters
            .map(|at| (*at, Parameters::of(builder.data_of(&builder.records[*at as usize]))))
            .collect();
        for (record, parameters) in all {
            if let Some((parameters, 0)) = parameters
                && parameters.iterations > nsec3::ITERATIONS_MAX
            {
                let message = format!(
                    "NSEC3 with {} iterations (max {}, RFC 9276): resolvers do not validate such a zone",
                    parameters.iterations,
                    nsec3::ITERATIONS_MAX
                );
                builder.error(record, message);
            }
        }
    }
}

/// A name and its records, which are sorted by type.
fn node(builder: &mut ZoneBuilder, layout: &mut Layout, checked: &Checked, id: u32, own: &[u32]) {
    let start = layout.arena.len();
    let relative = builder.names.relative(id);
    layout.arena.extend_from_slice(&[checked[id as usize] & ARENA_FLAGS, relative.len() as u8, 0, 0]);
    layout.arena.extend_from_slice(relative);
    let mut rrsets = 0u16;
    let mut rest = own;
    while let Some(first) = rest.first() {
        let rtype = |record: &u32| builder.records[*record as usize].rtype;
        let of_type = rest.iter().take_while(|record| rtype(record) == rtype(first)).count();
        let (group, after) = rest.split_at(of_type);
        rrset(builder, layout, checked, id, group);
        rrsets += 1;
        rest = after;
    }
    layout.arena[start + 2..start + 4].copy_from_slice(&rrsets.to_le_bytes());
}

/// The records of a name that have one type.
fn rrset(builder: &mut ZoneBuilder, layout: &mut Layout, checked: &Checked, id: u32, group: &[u32]) {
    let first = group[0];
    let rtype = builder.records[first as usize].rtype;
    let (kept, ttl) = match group.len() {
        1 => (Cow::Borrowed(group), builder.records[first as usize].ttl),
        // RFC 4034 §3: each has the TTL of what it signs.
        _ if rtype == Rtype::RRSIG => {
            let mut kept = without_duplicates(builder, id, group);
            kept.sort_by_key(|record| {
                builder.data_of(&builder.records[*record as usize]).first_chunk::<2>().copied()
            });
            (Cow::Owned(kept), 0)
        }
        _ => (Cow::Owned(without_duplicates(builder, id, group)), least_ttl(builder, id, group)),
    };
    if kept.len() > 1 && SINGLETONS.contains(&rtype) {
        let name = builder.name_of(id);
        let line = builder.records[kept[0] as usize].line;
        let message =
            format!("{name} has a second {rtype} (the first is in line {line}): there is one at most");
        builder.error(kept[1], message);
    }
    if kept.len() > usize::from(u16::MAX) {
        let name = builder.name_of(id);
        builder.error(first, format!("{name} has {} {rtype} records (max {})", kept.len(), u16::MAX));
        return;
    }
    layout.records += kept.len();
    layout.rrset.begin(rtype);
    for &record in &*kept {
        let record = &builder.records[record as usize];
        let ttl = if rtype == Rtype::RRSIG { record.ttl } else { ttl };
        layout.rrset.record(builder.names.apex(), ttl, builder.data_of(record));
    }
    if layout.rrset.wire().len() > MESSAGE_BYTES_MAX {
        let name = builder.name_of(id);
        let message =
            format!("the {rtype} records of {name} do not fit into a message: nobody will see them");
        builder.warn(first, message);
    }
    let targets = targets(builder, layout, checked, id, first);
    write(layout, kept.len() as u16, &targets);
}

/// The TTL for all records of an RRset (RFC 2181 §5.2).
fn least_ttl(builder: &mut ZoneBuilder, id: u32, group: &[u32]) -> u32 {
    let mut ttl = builder.records[group[0] as usize].ttl;
    for &record in group {
        let own = builder.records[record as usize].ttl;
        if own != ttl {
            mixed_ttls(builder, id, record, ttl);
        }
        ttl = ttl.min(own);
    }
    ttl
}

fn write(layout: &mut Layout, records: u16, targets: &[(u32, u16)]) {
    let rrset = &layout.rrset;
    let (wire, pointers) = (rrset.wire(), rrset.pointers());
    let is_linked = !pointers.is_empty() || !targets.is_empty();
    let length = wire.len() as u32 | if is_linked { LINKED } else { 0 };
    layout.arena.extend_from_slice(&rrset.rtype().to_int().to_le_bytes());
    layout.arena.extend_from_slice(&records.to_le_bytes());
    layout.arena.extend_from_slice(&length.to_le_bytes());
    if is_linked {
        layout.arena.extend_from_slice(&(pointers.len() as u16).to_le_bytes());
        layout.arena.extend_from_slice(&(targets.len() as u16).to_le_bytes());
    }
    layout.arena.extend_from_slice(wire);
    for pointer in pointers {
        layout.arena.extend_from_slice(&pointer.to_le_bytes());
    }
    for (name, at) in targets {
        layout.fixups.push(layout.arena.len() as u32);
        layout.arena.extend_from_slice(&name.to_le_bytes());
        layout.arena.extend_from_slice(&at.to_le_bytes());
        debug_assert_eq!(TARGET_BYTES, 6);
    }
}

/// The names in the RRset that have addresses here, each once. Addresses below a cut are for referrals alone (RFC 1034 §4.2.1).
fn targets(
    builder: &mut ZoneBuilder,
    layout: &Layout,
    checked: &Checked,
    id: u32,
    first: u32,
) -> Vec<(u32, u16)> {
    let mut found: Vec<(u32, u16)> = Vec::new();
    let is_cut = checked[id as usize] & CUT != 0;
    let is_servers = layout.rrset.rtype() == Rtype::NS;
    for (name, at) in layout.rrset.targets() {
        let target = builder.names.get(name);
        let is_below = is_cut && target_is_within(builder, id, name);
        let flags = target.map_or(0, |target| checked[target as usize]);
        if flags & ADDRESS == 0 {
            if is_below {
                let owner = builder.name_of(id);
                let message = format!(
                    "{owner} is delegated to {name}, which is below it and has no address here (glue)"
                );
                builder.warn(first, message);
            }
            continue;
        }
        if let Some(target) = target
            && (is_servers || flags & OCCLUDED == 0)
            && found.iter().all(|(known, _)| *known != target)
        {
            found.push((target, at | if is_below { super::node::REQUIRED } else { 0 }));
        }
    }
    found
}

/// Whether a name is at or below the name of this number.
fn target_is_within(builder: &ZoneBuilder, id: u32, name: &Name) -> bool {
    let owner = [builder.names.relative(id), builder.names.apex().as_wire()].concat();
    Name::from_wire(&owner).is_ok_and(|owner| name.is_within(&owner))
}

fn mixed_ttls(builder: &mut ZoneBuilder, id: u32, record: u32, ttl: u32) {
    let found = &builder.records[record as usize];
    let (own, rtype) = (found.ttl, found.rtype);
    let name = builder.name_of(id);
    let message = format!(
        "the {rtype} records of {name} have different TTLs ({own} and {ttl}); {} is used for all",
        own.min(ttl)
    );
    builder.warn(record, message);
}

/// Each record once (RFC 2181 §5), in the order of the text.
fn without_duplicates(builder: &mut ZoneBuilder, id: u32, group: &[u32]) -> Vec<u32> {
    let mut sorted: Vec<(Vec<u8>, u32)> =
        group.iter().map(|record| (comparable(builder, *record), *record)).collect();
    sorted.sort_unstable();
    let mut duplicates = Vec::new();
    for same in sorted.chunk_by(|(one, _), (other, _)| one == other) {
        let (_, first) = same[0];
        duplicates.extend(same[1..].iter().map(|(_, again)| (*again, first)));
    }
    duplicates.sort_unstable();
    for &(again, first) in &duplicates {
        let (name, rtype) = (builder.name_of(id), builder.records[again as usize].rtype);
        let line = builder.records[first as usize].line;
        builder
            .warn(again, format!("a duplicate {rtype} record of {name} (also in line {line}) is left out"));
    }
    let is_kept = |record: &u32| duplicates.binary_search_by_key(record, |(again, _)| *again).is_err();
    group.iter().copied().filter(is_kept).collect()
}
