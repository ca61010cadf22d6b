//! Which purges there were at any node, up to which number each is known here, and what another node lacks.
//!
//! A node numbers the purges that it begins, from 1 on without gaps. For each node that ever began one, a ledger knows up to which number it
//! has all of them: together that is its vector. It also has the last purges themselves, to pass them on.
//!
//! Invariants:
//! - Up to the number that a vector says, all purges have been entered, in order, or something that is about more.
//! - What is dropped for want of room is passed on as a purge of everything.

use crate::purge::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

/// A node, as long as it remembers which purges it began: one that has lost that is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u128);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Up to which number the purges of each node are known.
pub type Vector = BTreeMap<NodeId, u64>;

/// What one node tells another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A purge.
    Purge {
        /// Who began it.
        origin: NodeId,
        /// The how-manieth that is.
        number: u64,
        /// What is purged.
        entry: Arc<Entry>,
    },
    /// All purges up to a number, which are no longer known one by one.
    All {
        /// Who began them.
        origin: NodeId,
        /// The number of the last.
        upto: u64,
    },
}

impl Item {
    fn origin(&self) -> NodeId {
        match self {
            Self::Purge { origin, .. } | Self::All { origin, .. } => *origin,
        }
    }

    fn bytes(&self) -> usize {
        const FIXED_BYTES: usize = 40;
        match self {
            Self::Purge { entry, .. } => FIXED_BYTES + entry.bytes(),
            Self::All { .. } => FIXED_BYTES,
        }
    }
}

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub struct LedgerLimits {
    /// Purges.
    pub purges_max: usize,
    /// Bytes of what they are about.
    pub bytes_max: usize,
    /// Nodes that began one. Beyond it, the one is forgotten that has begun none for longest: it may be told again, and purge too much.
    pub origins_max: usize,
}

impl Default for LedgerLimits {
    fn default() -> Self {
        Self { purges_max: 64 << 10, bytes_max: 16 << 20, origins_max: 1024 }
    }
}

/// The purges that are known.
#[derive(Debug)]
pub struct Ledger {
    own: NodeId,
    origins: BTreeMap<NodeId, Origin>,
    limits: LedgerLimits,
    purges: usize,
    bytes: usize,
    entered: u64,
}

/// Those that one node began.
#[derive(Debug, Default)]
struct Origin {
    upto: u64,
    /// The last of them, without gaps, each with when it was entered here.
    last: VecDeque<(u64, Arc<Entry>)>,
    /// When one was entered last.
    advanced: u64,
}

impl Origin {
    /// Up to which number they are no longer known one by one.
    fn dropped(&self) -> u64 {
        self.upto - self.last.len() as u64
    }
}

impl Ledger {
    /// The empty one of a node that has begun none.
    pub fn new(own: NodeId, limits: LedgerLimits) -> Self {
        Self { own, origins: BTreeMap::new(), limits, purges: 0, bytes: 0, entered: 0 }
    }

    /// Whose it is.
    pub fn own(&self) -> NodeId {
        self.own
    }

    /// Up to which number the purges of a node are known.
    pub fn upto(&self, origin: NodeId) -> u64 {
        self.origins.get(&origin).map_or(0, |origin| origin.upto)
    }

    /// The same of all nodes.
    pub fn vector(&self) -> Vector {
        self.origins.iter().map(|(id, origin)| (*id, origin.upto)).collect()
    }

    /// Whether all is known that a vector says.
    pub fn covers(&self, vector: &Vector) -> bool {
        vector.iter().all(|(origin, upto)| self.upto(*origin) >= *upto)
    }

    /// How many purges are known here and not by whoever has this vector.
    pub fn lacks(&self, vector: &Vector) -> u64 {
        let known = |id: &NodeId| vector.get(id).copied().unwrap_or(0);
        self.origins.iter().map(|(id, origin)| origin.upto.saturating_sub(known(id))).sum()
    }

    /// A purge that begins here.
    pub fn begin(&self, entry: Arc<Entry>, ahead: u64) -> Item {
        Item::Purge { origin: self.own, number: self.upto(self.own) + 1 + ahead, entry }
    }

    /// Whether it is the next one that is to be entered. What comes too early is told again.
    pub fn is_next(&self, item: &Item) -> bool {
        match item {
            Item::Purge { origin, number, .. } => *number == self.upto(*origin).saturating_add(1),
            Item::All { origin, upto } => *upto > self.upto(*origin),
        }
    }

    /// Enters what [`Ledger::is_next`].
    pub fn enter(&mut self, item: &Item) {
        assert!(self.is_next(item), "purges are entered in the order of their numbers");
        self.entered += 1;
        let origin = self.origins.entry(item.origin()).or_default();
        origin.advanced = self.entered;
        match item {
            Item::Purge { number, entry, .. } => {
                origin.upto = *number;
                origin.last.push_back((self.entered, Arc::clone(entry)));
                self.purges += 1;
                self.bytes += entry.bytes();
            }
            Item::All { upto, .. } => {
                origin.upto = *upto;
                let dropped = std::mem::take(&mut origin.last);
                self.purges -= dropped.len();
                self.bytes -= dropped.iter().map(|(_, entry)| entry.bytes()).sum::<usize>();
            }
        }
        self.shrink();
    }

    /// What a node lacks that has this vector, in the order in which it is to be entered; so much of it as goes into one message.
    pub fn lacking(&self, vector: &Vector, bytes_max: usize) -> Vec<Item> {
        let mut items = Vec::new();
        let mut bytes = 0;
        for (id, origin) in &self.origins {
            let known = vector.get(id).copied().unwrap_or(0);
            if known >= origin.upto {
                continue;
            }
            for item in origin.after(*id, known) {
                bytes += item.bytes();
                if bytes > bytes_max && !items.is_empty() {
                    return items;
                }
                items.push(item);
            }
        }
        items
    }

    /// All that is remembered: for each node what is only known as a number, and the purges after that.
    pub fn all(&self) -> impl Iterator<Item = Item> + '_ {
        self.origins.iter().flat_map(|(id, origin)| {
            let dropped = Some(origin.dropped()).filter(|upto| *upto > 0);
            dropped
                .map(|upto| Item::All { origin: *id, upto })
                .into_iter()
                .chain(origin.after(*id, origin.dropped()))
        })
    }

    /// How many purges are remembered one by one.
    pub fn purges(&self) -> usize {
        self.purges
    }

    /// Whether whoever says this knows purges of ours that we do not: what we remember is older than what we once knew.
    pub fn is_behind_itself(&self, vector: &Vector) -> bool {
        vector.get(&self.own).is_some_and(|upto| *upto > self.upto(self.own))
    }

    /// Begins purges as another node from now on.
    pub fn renew(&mut self, own: NodeId) {
        self.own = own;
    }

    /// Takes over what another ledger knows more of.
    pub fn merge(&mut self, other: &Self) {
        for item in other.all() {
            if self.is_next(&item) {
                self.enter(&item);
            }
        }
    }

    fn shrink(&mut self) {
        while self.purges > self.limits.purges_max || self.bytes > self.limits.bytes_max {
            let oldest = self.origins.values_mut().filter(|origin| !origin.last.is_empty());
            let Some(oldest) = oldest.min_by_key(|origin| origin.last[0].0) else { return };
            if let Some((_, entry)) = oldest.last.pop_front() {
                self.purges -= 1;
                self.bytes -= entry.bytes();
            }
        }
        while self.origins.len() > self.limits.origins_max {
            let others = self.origins.iter().filter(|(id, _)| **id != self.own);
            let Some(id) = others.min_by_key(|(_, origin)| origin.advanced).map(|(id, _)| *id) else {
                return;
            };
            let forgotten = self.origins.remove(&id).unwrap_or_default();
            self.purges -= forgotten.last.len();
            self.bytes -= forgotten.last.iter().map(|(_, entry)| entry.bytes()).sum::<usize>();
        }
    }
}

impl Origin {
    /// What is to be entered after a number.
    fn after(&self, id: NodeId, known: u64) -> impl Iterator<Item = Item> + '_ {
        let dropped = self.dropped();
        let all = (known < dropped).then_some(Item::All { origin: id, upto: self.upto });
        let skipped = if known < dropped { usize::MAX } else { (known - dropped) as usize };
        let one_by_one = self.last.iter().zip(dropped + 1..).skip(skipped);
        all.into_iter().chain(one_by_one.map(move |((_, entry), number)| Item::Purge {
            origin: id,
            number,
            entry: Arc::clone(entry),
        }))
    }
}
