//! What an update does to a zone: RFC 2136 §3. Pure: it is all laid over the zone, or nothing.

use super::request::{Change, NXDOMAIN, NXRRSET, Prerequisite, REFUSED, Request, YXDOMAIN, YXRRSET};
use super::rules::UpdateRules;
use crate::policy::Kind;
use crate::protocol::Name;
use crate::transfer::{Overlay, is_newer, is_same, soa_number};
use crate::zone::{Record, Zone};
use domain::base::iana::Rtype;
use std::net::IpAddr;

/// What stands beside a CNAME.
const BESIDE_ALIAS: [Rtype; 3] = [Rtype::RRSIG, Rtype::NSEC, Rtype::NSEC3];

/// What the zone above reads of keys, and validators. Others may sign the same zone, and have theirs among ours (RFC 8901).
const OF_KEYS: [Rtype; 3] = [Rtype::DNSKEY, Rtype::CDS, Rtype::CDNSKEY];

/// Lays the changes of a request over a zone, if it may and its prerequisites hold. `Err` is the RCODE, and nothing has changed. `signed`
/// is what is served of a zone that is signed here: its serial number is what clients know, and its keys are not theirs.
pub(super) fn decide(
    request: &Request,
    overlay: &mut Overlay<'_>,
    rules: &UpdateRules,
    client: IpAddr,
    key: Option<&Name>,
    signed: Option<&Zone>,
) -> Result<(), u8> {
    if !rules.know(client, key) {
        return Err(REFUSED);
    }
    for prerequisite in &request.prerequisites {
        holds(prerequisite, overlay, signed)?;
    }
    for change in &request.changes {
        if !rules.allow(client, key, change)
            || is_routed(change, overlay)
            || is_made_here(change, overlay, signed)
        {
            return Err(REFUSED);
        }
    }
    for change in &request.changes {
        make(change, overlay, signed);
    }
    Ok(())
}

/// §3.2.
fn holds(prerequisite: &Prerequisite, overlay: &Overlay<'_>, signed: Option<&Zone>) -> Result<(), u8> {
    let is_used = |name: &Name| !overlay.types(name).is_empty();
    let (holds, rcode) = match prerequisite {
        Prerequisite::NameInUse(name) => (is_used(name), NXDOMAIN),
        Prerequisite::NameNotInUse(name) => (!is_used(name), YXDOMAIN),
        Prerequisite::RrSet(name, rtype) => (!overlay.rrset(name, *rtype).is_empty(), NXRRSET),
        Prerequisite::NoRrSet(name, rtype) => (overlay.rrset(name, *rtype).is_empty(), YXRRSET),
        Prerequisite::SameRrSet(name, rtype, wanted) => {
            let mut there = overlay.rrset(name, *rtype);
            if *rtype == Rtype::SOA {
                there.iter_mut().for_each(|soa| set_serial(soa, serial_now(overlay, signed)));
            }
            let is_in = |record: &Record, all: &[Record]| all.iter().any(|other| is_same(record, other));
            let is_same_set = there.iter().all(|record| is_in(record, wanted))
                && wanted.iter().all(|record| is_in(record, &there));
            (is_same_set, NXRRSET)
        }
    };
    if holds { Ok(()) } else { Err(rcode) }
}

/// The addresses of a name with a route are not its records.
fn is_routed(change: &Change, overlay: &Overlay<'_>) -> bool {
    let (Change::Add(name, Record { rtype, .. }) | Change::DeleteRrSet(name, rtype)) = change else {
        return false;
    };
    let route: Option<&Kind> = overlay.base().node_named(name).and_then(|node| overlay.base().route(node));
    route.is_some() && matches!(*rtype, Rtype::A | Rtype::AAAA | Rtype::CNAME)
}

/// Records of keys that are made with the signatures: what is served and is none of the zone's own.
fn is_made_here(change: &Change, overlay: &Overlay<'_>, signed: Option<&Zone>) -> bool {
    let Some(signed) = signed else { return false };
    match change {
        Change::Add(name, record) | Change::Delete(name, record) => {
            let is_in = |all: Vec<Record>| all.iter().any(|known| is_same(known, record));
            OF_KEYS.contains(&record.rtype)
                && is_in(Overlay::new(signed).rrset(name, record.rtype))
                && !is_in(overlay.rrset(name, record.rtype))
        }
        Change::DeleteRrSet(name, rtype) => OF_KEYS.contains(rtype) && name == signed.apex(),
        Change::DeleteName(_) => false,
    }
}

/// The serial number that clients know.
fn serial_now(overlay: &Overlay<'_>, signed: Option<&Zone>) -> u32 {
    let own = soa_number(&overlay.soa().data, 0).unwrap_or(0);
    signed.map(|zone| zone.figures().serial).filter(|served| is_newer(*served, own)).unwrap_or(own)
}

/// §3.4.2.
fn make(change: &Change, overlay: &mut Overlay<'_>, signed: Option<&Zone>) {
    let apex = overlay.base().apex().clone();
    match change {
        Change::Add(name, record) => add(name, record, overlay, signed),
        Change::DeleteName(name) => {
            for rtype in overlay.types(name) {
                delete_rrset(name, rtype, &apex, overlay);
            }
        }
        Change::DeleteRrSet(name, rtype) => delete_rrset(name, *rtype, &apex, overlay),
        Change::Delete(name, record) => {
            let mut there = overlay.rrset(name, record.rtype);
            let is_kept =
                record.rtype == Rtype::SOA || record.rtype == Rtype::NS && *name == apex && there.len() == 1;
            if !is_kept {
                let before = there.len();
                there.retain(|known| !is_same(known, record));
                if there.len() < before {
                    overlay.set(name, record.rtype, there);
                }
            }
        }
    }
}

/// §3.4.2.3: the apex keeps its SOA and NS.
fn delete_rrset(name: &Name, rtype: Rtype, apex: &Name, overlay: &mut Overlay<'_>) {
    if name == apex && matches!(rtype, Rtype::SOA | Rtype::NS) || overlay.rrset(name, rtype).is_empty() {
        return;
    }
    overlay.set(name, rtype, Vec::new());
}

/// §3.4.2.2.
fn add(name: &Name, record: &Record, overlay: &mut Overlay<'_>, signed: Option<&Zone>) {
    let rtype = record.rtype;
    let types = overlay.types(name);
    match rtype {
        Rtype::CNAME if types.iter().any(|other| *other != rtype && !BESIDE_ALIAS.contains(other)) => return,
        Rtype::SOA => {
            let serial = soa_number(&record.data, 0).unwrap_or(0);
            if name != overlay.base().apex() || !is_newer(serial, serial_now(overlay, signed)) {
                return;
            }
        }
        _ if !BESIDE_ALIAS.contains(&rtype) && rtype != Rtype::CNAME && types.contains(&Rtype::CNAME) => {
            return;
        }
        _ => {}
    }
    let mut now = overlay.rrset(name, rtype);
    if matches!(rtype, Rtype::CNAME | Rtype::SOA | Rtype::DNAME) {
        now.clear();
    }
    match now.iter_mut().find(|known| is_same(known, record)) {
        Some(known) => *known = record.clone(),
        None => now.push(record.clone()),
    }
    // RFC 2181 §5.2: all records of an RRset have one TTL.
    if rtype != Rtype::RRSIG {
        now.iter_mut().for_each(|known| known.ttl = record.ttl);
    }
    overlay.set(name, rtype, now);
}

/// §3.6: the serial number rises with what changed, unless the update has raised it. Where what is served has another one, it rises above
/// that: so both are the same again.
pub(super) fn raise_serial(overlay: &mut Overlay<'_>, signed: Option<&Zone>) {
    let mut soa = overlay.soa();
    let before = overlay.base().figures().serial;
    if soa_number(&soa.data, 0) != Some(before) {
        return;
    }
    set_serial(&mut soa, after(serial_now(overlay, signed)));
    let apex = overlay.base().apex().clone();
    overlay.set(&apex, Rtype::SOA, vec![soa]);
}

/// The next serial number; 0 means something else to some.
pub(super) fn after(serial: u32) -> u32 {
    serial.wrapping_add(1).max(1)
}

/// Sets the serial number of an SOA.
pub(super) fn set_serial(soa: &mut Record, serial: u32) {
    let at = soa.data.len() - 20;
    soa.data[at..at + 4].copy_from_slice(&serial.to_be_bytes());
}
