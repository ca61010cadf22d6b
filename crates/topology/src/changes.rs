//! What differs between two files, by name.

use crate::config::Topology;
use notation::Named;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

/// What a reload changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changes {
    /// Services, by name.
    pub services: NameChanges,
    /// Pools, by name.
    pub pools: NameChanges,
    /// Sites, by host.
    pub sites: NameChanges,
    /// Stores that files are pushed to, by name.
    #[serde(default)]
    pub push: NameChanges,
    /// Listeners of TCP and UDP, by kind and name: `tcp db`.
    #[serde(default)]
    pub layer4: NameChanges,
    /// Zones of DNS, by name; one whose zone file is another by now is changed as well.
    #[serde(default)]
    pub zones: NameChanges,
    /// Whether something of DNS that holds for all zones changed.
    #[serde(default)]
    pub dns: bool,
    /// Whether something of the cache changed.
    #[serde(default)]
    pub cdn: bool,
    /// Listeners, by address.
    pub listeners: NameChanges,
    /// Whether something of the edge that holds for all sites changed: limits, timeouts, the access log.
    pub edge: bool,
    /// Whether something of the node changed.
    pub node: bool,
}

/// The names of one kind of thing, by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NameChanges {
    /// In the new file only.
    pub added: Vec<String>,
    /// In the old file only.
    pub removed: Vec<String>,
    /// In both, with differences.
    pub changed: Vec<String>,
    /// In both, the same.
    pub unchanged: Vec<String>,
}

impl Changes {
    /// The differences from `old` to `new`.
    pub fn between(old: &Topology, new: &Topology) -> Self {
        Self {
            services: NameChanges::between(&old.service, &new.service),
            pools: NameChanges::between(&old.pool, &new.pool),
            sites: NameChanges::between(&old.site, &new.site),
            push: NameChanges::between(&old.push, &new.push),
            layer4: NameChanges::between(&old.tcp, &new.tcp)
                .of_kind("tcp")
                .and(NameChanges::between(&old.udp, &new.udp).of_kind("udp")),
            zones: NameChanges::between(&zones(old), &zones(new)),
            dns: !is_dns_alike(old, new),
            cdn: old.cdn != new.cdn,
            listeners: NameChanges::between_listeners(&listeners(old), &listeners(new)),
            edge: !is_edge_alike(old, new),
            node: old.node != new.node,
        }
    }

    /// Whether the files say the same.
    pub fn is_empty(&self) -> bool {
        let kinds = [
            &self.services,
            &self.pools,
            &self.sites,
            &self.push,
            &self.layer4,
            &self.zones,
            &self.listeners,
        ];
        !self.edge && !self.dns && !self.cdn && !self.node && kinds.into_iter().all(NameChanges::is_empty)
    }
}

impl NameChanges {
    /// Whether every name is the same in both.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    fn between<T: PartialEq>(old: &Named<T>, new: &Named<T>) -> Self {
        let mut changes = Self::default();
        for (name, config) in new {
            let list = match old.get(name) {
                None => &mut changes.added,
                Some(before) if before == config => &mut changes.unchanged,
                Some(_) => &mut changes.changed,
            };
            list.push(name.to_string());
        }
        changes.removed =
            old.keys().filter(|name| !new.contains_key(*name)).map(ToString::to_string).collect();
        changes
    }

    /// These have changed, whatever the file says of them.
    pub(crate) fn are_changed<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        for name in names {
            if let Some(at) = self.unchanged.iter().position(|unchanged| unchanged == name) {
                self.changed.push(self.unchanged.remove(at));
            }
        }
    }

    /// The names with their kind before them.
    fn of_kind(mut self, kind: &str) -> Self {
        for names in [&mut self.added, &mut self.removed, &mut self.changed, &mut self.unchanged] {
            names.iter_mut().for_each(|name| *name = format!("{kind} {name}"));
        }
        self
    }

    fn and(mut self, other: Self) -> Self {
        self.added.extend(other.added);
        self.removed.extend(other.removed);
        self.changed.extend(other.changed);
        self.unchanged.extend(other.unchanged);
        self
    }

    fn between_listeners(old: &BTreeSet<SocketAddr>, new: &BTreeSet<SocketAddr>) -> Self {
        let texts =
            |addresses: &mut dyn Iterator<Item = &SocketAddr>| addresses.map(ToString::to_string).collect();
        Self {
            added: texts(&mut new.difference(old)),
            removed: texts(&mut old.difference(new)),
            changed: Vec::new(),
            unchanged: texts(&mut new.intersection(old)),
        }
    }
}

fn listeners(topology: &Topology) -> BTreeSet<SocketAddr> {
    topology.edge.iter().flat_map(edge::EdgeConfig::listeners).collect()
}

fn zones(topology: &Topology) -> Named<dns::ZoneConfig> {
    topology.dns.as_ref().map(|dns| dns.zone.clone()).unwrap_or_default()
}

/// The same but for the zones, which are told apart by name.
fn is_dns_alike(old: &Topology, new: &Topology) -> bool {
    let without_zones =
        |topology: &Topology| topology.dns.clone().map(|dns| dns::DnsConfig { zone: Named::new(), ..dns });
    without_zones(old) == without_zones(new)
}

/// The same but for the listeners, which are told apart by address.
fn is_edge_alike(old: &Topology, new: &Topology) -> bool {
    let without_listeners = |topology: &Topology| {
        let mut edge = topology.edge.clone();
        if let Some(edge) = &mut edge {
            edge.http.clear();
            edge.https.clear();
        }
        edge
    };
    without_listeners(old) == without_listeners(new)
}

/// "pools: shop changed, orders added; 3 services unchanged", or "nothing changed".
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            ("service", &self.services),
            ("pool", &self.pools),
            ("site", &self.sites),
            ("push", &self.push),
            ("layer 4 listener", &self.layer4),
            ("zone", &self.zones),
            ("listener", &self.listeners),
        ];
        let mut parts: Vec<String> = Vec::new();
        for (kind, names) in kinds {
            for (what, list) in
                [("added", &names.added), ("removed", &names.removed), ("changed", &names.changed)]
            {
                if !list.is_empty() {
                    let plural = if list.len() == 1 { "" } else { "s" };
                    parts.push(format!("{kind}{plural} {what}: {}", list.join(", ")));
                }
            }
        }
        for (what, is_changed) in [
            ("edge settings changed", self.edge),
            ("dns settings changed", self.dns),
            ("cdn settings changed", self.cdn),
            ("node settings changed", self.node),
        ] {
            if is_changed {
                parts.push(what.to_owned());
            }
        }
        if parts.is_empty() {
            return f.write_str("nothing changed");
        }
        f.write_str(&parts.join("; "))
    }
}
