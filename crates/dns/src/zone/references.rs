//! Where records lead, and whether that leads anywhere: targets that are not there, aliases where none may be, servers without an
//! address. None of it is an error: a name may be somewhere else, or come later.
//!
//! It is looked up as a query would look it up, so that wildcards, routes and delegations count; once in the zone itself, and for what
//! leads out of it once all zones of the file are there.

use super::build::ZoneBuilder;
use super::fault::{Fault, Faults};
use super::interned::APEX;
use super::node::{CNAME, Node};
use super::{Found, Zone};
use crate::protocol::Name;
use crate::zone::hash::Key;
use crate::zones::Zones;
use domain::base::iana::Rtype;
use std::sync::Arc;

/// References that are looked at, and that are kept for other zones; there is no end to what a zone can hold.
const REFERENCES_MAX: usize = 1 << 16;
const OUTWARD_MAX: usize = 1 << 12;
/// Zones below these are nobody's but one's own (RFC 6761, RFC 8375, RFC 9476): nobody delegates them.
const PRIVATE: [&str; 8] =
    ["test", "example", "invalid", "localhost", "internal", "home.arpa", "alt", "local"];

/// A record that leads to a name.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    owner: Name,
    rtype: Rtype,
    target: Name,
    /// Where it stands.
    source: Arc<str>,
    line: u32,
}

/// All of a zone, as they were collected.
#[derive(Debug, Clone, Default)]
pub(crate) struct References(Vec<Reference>);

impl References {
    /// Of the records that were collected, and what is the matter with the servers of the zone as a whole.
    pub(crate) fn of(builder: &mut ZoneBuilder) -> Self {
        let mut all = Vec::new();
        for id in 0..builder.names.len() as u32 {
            let records: Vec<u32> = builder.newest_first(id).collect();
            for record in records.into_iter().rev() {
                if all.len() == REFERENCES_MAX {
                    break;
                }
                all.extend(reference(builder, id, record));
            }
        }
        single_server(builder, &all);
        Self(all)
    }

    /// Judges those that lead to names of the zone; the others are left over.
    pub(crate) fn judge(self, zone: &Zone, warnings: &mut Faults) -> Self {
        let mut outward = Vec::new();
        for reference in self.0 {
            if reference.target.is_within(zone.apex()) {
                reference.judge(zone, |fault| warnings.add(|| fault));
            } else if outward.len() < OUTWARD_MAX {
                outward.push(reference);
            }
        }
        Self(outward)
    }

    /// Judges those that lead to names of other zones of the file.
    pub(crate) fn judge_among<'r>(&'r self, zones: &'r Zones) -> impl Iterator<Item = Fault> + 'r {
        self.0.iter().filter_map(|reference| {
            let mut found = None;
            reference.judge(zones.find(&reference.target)?, |fault| found = Some(fault));
            found
        })
    }
}

impl Reference {
    /// Tells what is the matter with it, if anything is; the zone is that of its target.
    fn judge(&self, zone: &Zone, tell: impl FnOnce(Fault)) {
        let key = Key::of_process();
        let found = zone.look_up(&self.target, key.name(zone.apex()), key.name(&self.target));
        let why = match found {
            Found::Nothing => "which is not there",
            Found::Name(node) | Found::Wildcard(node) => match self.of_node(zone, node) {
                Some(why) => why,
                None => return,
            },
            // Somebody else's, or made when it is asked for.
            Found::Cut { .. } | Found::Dname { .. } => return,
        };
        let Self { owner, rtype, target, source, line } = self;
        let message = format!("the {rtype} of {owner} leads to {target}, {why}");
        tell(Fault { source: Arc::clone(source), line: *line, column: 0, message });
    }

    /// What is the matter with a name that is there.
    fn of_node(&self, zone: &Zone, node: Node<'_>) -> Option<&'static str> {
        let needs_address = matches!(self.rtype, Rtype::NS | Rtype::MX | Rtype::SRV);
        if !needs_address || zone.route(node).is_some() {
            return None;
        }
        if node.has(CNAME) {
            return Some("which is an alias: no server's name may be one (RFC 2181 §10.3)");
        }
        let has_address = node.rrsets().any(|rrset| matches!(rrset.rtype, Rtype::A | Rtype::AAAA));
        (!has_address).then_some("which has no address")
    }
}

/// What a record leads to, if it is of a type that leads to a name that should be there.
fn reference(builder: &ZoneBuilder, id: u32, at: u32) -> Option<Reference> {
    let record = &builder.records[at as usize];
    // What stands before the name (RFC 1035 §3.3.9, RFC 2782, RFC 9460 §2.2).
    let before = match record.rtype {
        Rtype::NS | Rtype::CNAME => 0,
        Rtype::MX | Rtype::SVCB | Rtype::HTTPS => 2,
        Rtype::SRV => 6,
        _ => return None,
    };
    let target = Name::from_wire(builder.data_of(record).get(before..)?).ok()?;
    // The root is none (RFC 7505 §3, RFC 2782), or the owner itself (RFC 9460 §2.5).
    if target.labels() == 0 {
        return None;
    }
    let owner = [builder.names.relative(id), builder.names.apex().as_wire()].concat();
    let owner = Name::from_wire(&owner).ok()?;
    // A server below its own cut is glue, which is looked at where zones are laid out.
    if id != APEX && record.rtype == Rtype::NS && target.is_within(&owner) {
        return None;
    }
    let Fault { source, line, .. } = builder.fault(at, String::new());
    Some(Reference { owner, rtype: record.rtype, target, source, line })
}

/// RFC 1034 §4.1: a zone that others ask for has two servers at least.
fn single_server(builder: &mut ZoneBuilder, all: &[Reference]) {
    let apex = builder.names.apex();
    let is_private = PRIVATE.iter().any(|name| name.parse().is_ok_and(|name: Name| apex.is_within(&name)));
    let mut servers = all.iter().filter(|one| one.rtype == Rtype::NS && one.owner == *apex);
    let (Some(only), None, false) = (servers.next(), servers.next(), is_private) else { return };
    let message = format!("{apex} has one server (NS): when that is away, the zone is (RFC 2182 §5)");
    let fault = Fault { source: Arc::clone(&only.source), line: only.line, column: 0, message };
    builder.warnings.add(|| fault);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::Loaded;

    fn loaded(apex: &str, text: &str) -> (Arc<Zone>, Faults, References) {
        let mut builder = ZoneBuilder::new(apex.parse().unwrap());
        builder.text("zone", format!("$TTL 300\n{text}").as_bytes());
        let references = References::of(&mut builder);
        let Loaded { zone, mut warnings, .. } = builder.finish().unwrap();
        let references = references.judge(&zone, &mut warnings);
        (Arc::new(zone), warnings, references)
    }

    fn said(apex: &str, text: &str) -> Vec<String> {
        let (_, warnings, _) = loaded(apex, text);
        warnings.iter().map(|fault| format!("{}: {}", fault.line, fault.message)).collect()
    }

    const BASE: &str =
        "@ SOA ns1 admin 1 1h 10m 1d 5m\n@ NS ns1\n@ NS ns2\nns1 A 192.0.2.1\nns2 AAAA 2001:db8::1\n";

    #[test]
    fn what_leads_somewhere_is_not_told() {
        let text = "www CNAME web\nweb A 192.0.2.2\n@ MX 10 web\n_x._tcp SRV 0 0 1 any.wild\n*.wild A 192.0.2.3\n\
                    out CNAME elsewhere.org.\nsub NS ns.sub\nns.sub A 192.0.2.4\nbelow CNAME a.b.sub\nold DNAME web\n\
                    moved CNAME x.old\nnone MX 0 .\n@ HTTPS 1 . alpn=h2\nnone2 SRV 0 0 0 .\nalias HTTPS 0 web\n\
                    gone NS ns.elsewhere.org.\nempty CNAME b.c\na.b.c TXT x\n";
        assert_eq!(said("shop.org", &format!("{BASE}{text}")), [""; 0]);
    }

    #[test]
    fn what_leads_nowhere_is_told_with_its_line() {
        let text = "www CNAME wbe\n@ MX 10 mail\n_x._tcp SRV 0 0 1 srv\n@ HTTPS 1 nothing alpn=h2\n@ MX 20 text\ntext TXT x\n\
                    @ MX 30 www2\nwww2 CNAME ns1\nsub NS ns3\n";
        assert_eq!(
            said("shop.org", &format!("{BASE}{text}")),
            [
                "8: the MX of shop.org leads to mail.shop.org, which is not there",
                "10: the HTTPS of shop.org leads to nothing.shop.org, which is not there",
                "11: the MX of shop.org leads to text.shop.org, which has no address",
                "13: the MX of shop.org leads to www2.shop.org, which is an alias: no server's name may be one (RFC 2181 §10.3)",
                "7: the CNAME of www.shop.org leads to wbe.shop.org, which is not there",
                "9: the SRV of _x._tcp.shop.org leads to srv.shop.org, which is not there",
                "15: the NS of sub.shop.org leads to ns3.shop.org, which is not there",
            ]
        );
    }

    #[test]
    fn servers_are_several_and_have_addresses() {
        let text = "@ SOA ns1 admin 1 1h 10m 1d 5m\n@ NS ns1\n";
        assert_eq!(
            said("shop.org", text),
            [
                "3: shop.org has one server (NS): when that is away, the zone is (RFC 2182 §5)",
                "3: the NS of shop.org leads to ns1.shop.org, which is not there",
            ]
        );
        assert_eq!(said("shop.test", &format!("{text}ns1 A 192.0.2.1\n")), [""; 0], "nobody delegates it");
    }

    #[test]
    fn other_zones_of_the_file_are_looked_at_too() {
        let (one, _, outward) =
            loaded("shop.org", &format!("{BASE}www CNAME www.cdn.net.\n@ MX 10 mail.other.org.\n"));
        let (two, ..) = loaded("cdn.net", BASE);
        let zones = Zones::new([one, two]);
        let told: Vec<String> = outward.judge_among(&zones).map(|fault| fault.to_string()).collect();
        assert_eq!(told, ["zone:7: the CNAME of www.shop.org leads to www.cdn.net, which is not there"]);
    }
}
