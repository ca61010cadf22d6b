//! What holds in every zone that is served. It is checked while records are still numbers, and leaves a few flags for each name.

use super::build::ZoneBuilder;
use super::interned::{APEX, NONE};
use super::node::{CNAME, CUT, DNAME, OCCLUDED, ROUTE, WILDCARD_BELOW};
use domain::base::iana::Rtype;

/// Flags that the arena has.
pub(super) const ARENA_FLAGS: u8 = CUT | OCCLUDED | WILDCARD_BELOW | CNAME | DNAME | ROUTE;
/// It has an address. Not for the arena.
pub(super) const ADDRESS: u8 = 128;
/// It is below a DNAME. Not for the arena.
const BELOW_DNAME: u8 = 64;

/// What a check leaves for each name: flags of nodes, and [`ADDRESS`].
pub(super) type Checked = Vec<u8>;

/// The types that a name has.
#[derive(Default)]
struct Types {
    /// The last record of each of these.
    soa: Option<u32>,
    ns: Option<u32>,
    cname: Option<u32>,
    dname: Option<u32>,
    /// A record of a type that may not stand beside a CNAME.
    other: Option<u32>,
    /// A record that is neither an address nor what a signer adds.
    no_address: Option<u32>,
    address: Option<u32>,
}

pub(super) fn check(builder: &mut ZoneBuilder) -> Checked {
    let mut flags: Checked = vec![0; builder.names.len()];
    for (id, _) in &builder.routes {
        flags[*id as usize] |= ROUTE;
    }
    // A signer outside does not know what a route answers.
    if !builder.is_signed_here && !builder.routes.is_empty() && has_signatures(builder) {
        builder.error(NONE, "the zone is signed already, and what its routes answer is not: let it be signed here (`sign = true`)".to_owned());
    }
    for id in 0..builder.names.len() as u32 {
        let types = types(builder, id);
        let parent = builder.names.parent(id);
        let above = if id == APEX { 0 } else { flags[parent as usize] };
        let mut own = flags[id as usize] & ROUTE;
        if above & (CUT | OCCLUDED) != 0 {
            own |= OCCLUDED;
        } else if id != APEX && types.ns.is_some() {
            own |= CUT;
        }
        if own & OCCLUDED == 0 && above & (DNAME | BELOW_DNAME) != 0 {
            own |= BELOW_DNAME;
        }
        own |= if types.cname.is_some() { CNAME } else { 0 };
        own |= if types.dname.is_some() { DNAME } else { 0 };
        own |= if types.address.is_some() && own & ROUTE == 0 { ADDRESS } else { 0 };
        flags[id as usize] = own;
        if id != APEX && builder.names.relative(id).starts_with(b"\x01*") {
            flags[parent as usize] |= WILDCARD_BELOW;
            wildcard(builder, id, &types);
        }
        if own & BELOW_DNAME != 0 {
            below_dname(builder, id);
        }
        if own & OCCLUDED != 0
            && let Some(record) = types.no_address
        {
            let name = builder.name_of(id);
            let message = format!("{name} is below a delegation: nobody will see this record");
            builder.warn(record, message);
        }
        name(builder, id, &types);
        if own & ROUTE != 0 {
            route(builder, id, own, &types);
        }
    }
    flags
}

fn types(builder: &ZoneBuilder, id: u32) -> Types {
    let mut types = Types::default();
    for record in builder.newest_first(id) {
        let rtype = builder.records[record as usize].rtype;
        let own = match rtype {
            Rtype::A | Rtype::AAAA => {
                types.address = Some(record);
                types.other = Some(record);
                continue;
            }
            // RFC 4034 §3, §4: these stand beside anything.
            Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3 => continue,
            Rtype::CNAME => &mut types.cname,
            Rtype::SOA => &mut types.soa,
            Rtype::NS => &mut types.ns,
            Rtype::DNAME => &mut types.dname,
            _ => &mut types.other,
        };
        *own = Some(record);
        types.no_address = Some(record);
    }
    types
}

fn has_signatures(builder: &ZoneBuilder) -> bool {
    builder.newest_first(APEX).any(|record| builder.records[record as usize].rtype == Rtype::RRSIG)
}

/// What holds of each name alone.
fn name(builder: &mut ZoneBuilder, id: u32, types: &Types) {
    if id == APEX {
        apex(builder, types);
    } else if let Some(record) = types.soa {
        let (name, apex) = (builder.name_of(id), builder.name_of(APEX));
        builder.error(record, format!("an SOA at {name}, but the zone is {apex}"));
    }
    // RFC 1034 §3.6.2: where there is an alias there is nothing else.
    if let Some(record) = types.cname
        && let Some(beside) = types.other.or(types.ns).or(types.dname).or(types.soa)
    {
        let name = builder.name_of(id);
        let message = beside_cname(builder, &name, record, beside);
        builder.error(record.max(beside), message);
    }
    // RFC 6672 §2.3: at a cut the names below are another zone's already.
    if id != APEX
        && types.ns.is_some()
        && let Some(record) = types.dname
    {
        let name = builder.name_of(id);
        builder.error(record, format!("{name} has a DNAME and is delegated (NS): it cannot be both"));
    }
}

/// A route answers for a name that is this zone's, and no other name's.
fn route(builder: &mut ZoneBuilder, id: u32, flags: u8, types: &Types) {
    let name = builder.name_of(id);
    if flags & (CUT | OCCLUDED) != 0 {
        builder.error(
            NONE,
            format!("the route {name} is at or below a delegation: nobody would ask for it here"),
        );
    }
    if flags & BELOW_DNAME != 0 {
        builder.error(NONE, format!("the route {name} is below a DNAME, which stands for all names there"));
    }
    if let Some(record) = types.cname {
        builder.error(record, format!("{name} has a CNAME and a route: an alias stands alone"));
    }
    if let Some(record) = types.address {
        builder.warn(record, format!("the addresses of {name} are not used: it has a route"));
    }
}

fn beside_cname(builder: &ZoneBuilder, name: &str, alias: u32, beside: u32) -> String {
    let [alias, other] = [alias, beside].map(|record| &builder.records[record as usize]);
    format!(
        "{name} has a CNAME (line {}) and other data ({}, line {}): an alias stands alone",
        alias.line, other.rtype, other.line
    )
}

fn apex(builder: &mut ZoneBuilder, types: &Types) {
    let name = builder.name_of(APEX);
    if types.soa.is_none() {
        builder.error(NONE, format!("{name} has no SOA: every zone has one at its apex"));
    }
    if types.ns.is_none() {
        builder.error(NONE, format!("{name} has no NS: every zone names its servers at its apex"));
    }
}

/// RFC 6672 §2.4: names below a DNAME are synthesised, so there can be none.
fn below_dname(builder: &mut ZoneBuilder, id: u32) {
    let newest = builder.names.newest(id);
    if newest != NONE {
        let name = builder.name_of(id);
        builder.error(newest, format!("{name} is below a DNAME, which stands for all names there"));
    }
}

/// RFC 4592 §4.2, §4.4: what is undefined of wildcards.
fn wildcard(builder: &mut ZoneBuilder, id: u32, types: &Types) {
    for (record, rtype) in [(types.ns, "NS"), (types.dname, "DNAME")] {
        if let Some(record) = record {
            let name = builder.name_of(id);
            let message = format!("{rtype} at the wildcard {name} means nothing for the names it stands for");
            builder.warn(record, message);
        }
    }
}
