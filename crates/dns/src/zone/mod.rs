//! A zone: an immutable snapshot in which every name is found by one look into a hash table, and every RRset lies ready to be
//! copied into a response.
//!
//! All of it is one arena of octets and a table of offsets into it (`node`, `table`). The names of a signed zone in canonical order, or
//! in that of their hashes, are a list of those offsets.

mod build;
mod check;
mod fault;
pub(crate) mod hash;
mod interned;
mod layout;
pub(crate) mod node;
pub(crate) mod records;
pub(crate) mod references;
mod rrset;
pub(crate) mod sign;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod text;

use crate::dnssec::Denial;
use crate::dnssec::signing::on_demand::OnDemand;
use crate::dnssec::signing::routes::SignedRoute;
use crate::policy::Kind;
use crate::protocol::Name;
use hash::Hash;
pub(crate) use hash::Key;
use node::{CUT, DNAME, Node, OCCLUDED, ROUTE, WILDCARD_BELOW};
use std::fmt;
use std::sync::Arc;
use table::Table;

pub(crate) use records::{is_data_of, is_stored};
pub(crate) use rrset::comparable_data;
pub(crate) use text::{TTL_MAX, uncompressed_data};

pub use build::{Limits, Loaded, ZoneBuilder};
pub use fault::{Fault, Faults};
pub use records::Record;

/// A zone.
pub struct Zone {
    apex: Name,
    arena: Box<[u8]>,
    names: Table,
    apex_node: u32,
    routes: Routes,
    /// If it is signed.
    denial: Option<Box<Denial>>,
    figures: Figures,
}

/// What answers for the addresses of some names, by the offset of their node.
struct Routes {
    nodes: Box<[u32]>,
    kinds: Box<[Arc<Kind>]>,
    /// What each can answer, in a zone that is signed here.
    signed: Box<[SignedRoute]>,
    /// The signatures of what other servers get in their place.
    transferred: Box<[Record]>,
    /// Signs what else they answer.
    on_demand: Option<Arc<OnDemand>>,
}

impl Routes {
    fn new(routes: impl Iterator<Item = (u32, Arc<Kind>)>) -> Self {
        let mut routes: Vec<(u32, Arc<Kind>)> = routes.collect();
        routes.sort_unstable_by_key(|(node, _)| *node);
        let (nodes, kinds): (Vec<u32>, Vec<Arc<Kind>>) = routes.into_iter().unzip();
        Self {
            nodes: nodes.into(),
            kinds: kinds.into(),
            signed: Box::default(),
            transferred: Box::default(),
            on_demand: None,
        }
    }
}

impl Routes {
    #[inline]
    fn at(&self, node: u32) -> Option<usize> {
        self.nodes.binary_search(&node).ok()
    }
}

/// What a zone is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// The SOA's serial number.
    pub serial: u32,
    /// How long it may be remembered that something is not there: min(SOA's TTL, its minimum), RFC 2308 §5.
    pub negative_ttl: u32,
    /// Records.
    pub records: usize,
    /// Names, those included that only have names below them.
    pub names: usize,
    /// Octets in memory.
    pub bytes: usize,
}

/// What a zone says about a name.
pub(crate) enum Found<'z> {
    /// It is there.
    Name(Node<'z>),
    /// It is below a cut, or at one.
    Cut {
        cut: Node<'z>,
        /// Of the cut's name.
        labels: usize,
        /// The name itself is the cut.
        is_exact: bool,
    },
    /// It is below a DNAME.
    Dname { owner: Node<'z>, labels: usize },
    /// It is not there, but a wildcard stands for it (RFC 4592 §3.3.1).
    Wildcard(Node<'z>),
    /// It is not there, and so is nothing below it (RFC 8020).
    Nothing,
}

impl Found<'_> {
    /// What stands for the name, as a number within the zone; 0 if nothing does.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        match self {
            Found::Name(node) | Found::Wildcard(node) => node.octets_left() as u64,
            Found::Cut { cut: node, .. } | Found::Dname { owner: node, .. } => node.octets_left() as u64,
            Found::Nothing => 0,
        }
    }
}

impl Zone {
    /// The name of the zone.
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// What it is like.
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// A zone that is to be answered for, but of which nothing is known (any more): all that is asked of it fails.
    pub fn withdrawn(apex: Name) -> Self {
        let figures = Figures { serial: 0, negative_ttl: 0, records: 0, names: 0, bytes: size_of::<Self>() };
        Self {
            apex,
            arena: Box::new([0; node::NODE_BYTES]),
            names: Table::for_names(0),
            apex_node: 0,
            routes: Routes::new(std::iter::empty()),
            denial: None,
            figures,
        }
    }

    /// Whether nothing is known of it. One that is has an SOA at least.
    #[inline]
    pub fn is_withdrawn(&self) -> bool {
        self.figures.records == 0
    }

    /// The apex's node.
    #[inline]
    pub(crate) fn apex_node(&self) -> Node<'_> {
        Node::at(&self.arena, self.apex_node)
    }

    /// What it proves with that something is not there, if it is signed.
    #[inline]
    pub(crate) fn denial(&self) -> Option<&Denial> {
        self.denial.as_deref()
    }

    /// How many labels of a name that is not there are those of its closest encloser. `apex` is the hash of the zone's apex.
    pub(crate) fn encloser_labels(&self, name: &Name, apex: Hash) -> usize {
        let key = Key::of_process();
        let mut hash = apex;
        for labels in self.apex.labels() + 1..=name.labels() {
            hash = key.below(hash, name, labels);
            if self.get(name, labels, hash).is_none() {
                return labels - 1;
            }
        }
        name.labels()
    }

    /// The node at an offset that this zone told.
    #[inline]
    pub(crate) fn node(&self, offset: u32) -> Node<'_> {
        Node::at(&self.arena, offset)
    }

    /// What answers for the addresses of a name in the place of its records.
    #[inline]
    pub(crate) fn route(&self, node: Node<'_>) -> Option<&Kind> {
        self.route_kind(node).map(|kind| &**kind)
    }

    /// The same, to be shared.
    #[inline]
    pub(crate) fn route_kind(&self, node: Node<'_>) -> Option<&Arc<Kind>> {
        if !node.has(ROUTE) {
            return None;
        }
        self.routes.at(self.offset(node)).map(|at| &self.routes.kinds[at])
    }

    /// What a route at this node can answer, as far as it was signed beforehand.
    pub(crate) fn signed_route(&self, node: Node<'_>) -> Option<&SignedRoute> {
        self.routes.signed.get(self.routes.at(self.offset(node))?)
    }

    /// The signatures of what other servers get in the place of routes.
    pub(crate) fn route_signatures(&self) -> &[Record] {
        &self.routes.transferred
    }

    /// Signs what routes answer and was not signed beforehand, in a zone that is signed here and has any.
    pub(crate) fn on_demand(&self) -> Option<&Arc<OnDemand>> {
        self.routes.on_demand.as_ref()
    }

    #[inline]
    fn offset(&self, node: Node<'_>) -> u32 {
        (self.arena.len() - node.octets_left()) as u32
    }

    /// What there is to say about a name in this zone, by RFC 1034 §4.3.2. `apex` and `hash` are the hashes of the zone's
    /// apex and of the name.
    #[inline]
    pub(crate) fn look_up(&self, name: &Name, apex: Hash, hash: Hash) -> Found<'_> {
        if name.labels() == self.apex.labels() {
            return Found::Name(self.apex_node());
        }
        match self.get(name, name.labels(), hash) {
            Some(node) if node.has(CUT) => Found::Cut { cut: node, labels: name.labels(), is_exact: true },
            Some(node) if !node.has(OCCLUDED) => Found::Name(node),
            // From the top: the uppermost cut counts, and a name's ancestors cost no more than there are of them here.
            found => self.descend(name, apex, found.is_some()),
        }
    }

    /// Follows a name that is not there, or not ours, down from the apex as far as it goes: to the closest encloser.
    fn descend(&self, name: &Name, apex: Hash, is_there: bool) -> Found<'_> {
        let key = Key::of_process();
        let (mut encloser, mut hash) = (self.apex_node(), apex);
        for labels in self.apex.labels() + 1..=name.labels() {
            let below = if labels < name.labels() || is_there {
                let below = key.below(hash, name, labels);
                self.get(name, labels, below).map(|node| (node, below))
            } else {
                None
            };
            let Some((node, below)) = below else {
                return self.beyond(encloser, name, labels - 1, hash);
            };
            if node.has(CUT) {
                return Found::Cut { cut: node, labels, is_exact: labels == name.labels() };
            }
            (encloser, hash) = (node, below);
        }
        Found::Name(encloser)
    }

    /// What stands for the names below the closest encloser, which is the last `labels` labels of the name.
    #[inline]
    fn beyond<'z>(&'z self, encloser: Node<'z>, name: &Name, labels: usize, hash: Hash) -> Found<'z> {
        if encloser.has(DNAME) {
            return Found::Dname { owner: encloser, labels };
        }
        if !encloser.has(WILDCARD_BELOW) {
            return Found::Nothing;
        }
        let wildcard = self.wildcard(name, labels, Key::of_process().wildcard(hash));
        wildcard.map_or(Found::Nothing, Found::Wildcard)
    }

    /// The node of the last `labels` labels of a name in this zone.
    #[inline]
    fn get(&self, name: &Name, labels: usize, hash: Hash) -> Option<Node<'_>> {
        let relative = self.relative(name, labels);
        let found = self.names.find(hash, |at| Node::at(&self.arena, at).relative_name() == relative)?;
        Some(self.node(found))
    }

    /// The wildcard below the last `labels` labels of a name.
    fn wildcard(&self, name: &Name, labels: usize, hash: Hash) -> Option<Node<'_>> {
        let encloser = self.relative(name, labels);
        let is_it = |at| Node::at(&self.arena, at).relative_name().strip_prefix(b"\x01*") == Some(encloser);
        Some(self.node(self.names.find(hash, is_it)?))
    }

    /// What of the last `labels` labels of a name is below the apex.
    #[inline]
    fn relative<'n>(&self, name: &'n Name, labels: usize) -> &'n [u8] {
        &name.as_wire()[name.suffix_start(labels)..name.wire_len() - self.apex.wire_len()]
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Zone").field("apex", &self.apex).field("figures", &self.figures).finish()
    }
}
