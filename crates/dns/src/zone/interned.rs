//! The names of a zone that is being built: each once, with a number. The apex is 0, and a name's parent has a lower number.

use super::hash::{Hash, Key};
use super::table::Table;
use crate::protocol::Name;

/// No record yet.
pub(super) const NONE: u32 = u32::MAX;
/// The apex.
pub(super) const APEX: u32 = 0;

pub(super) struct Names {
    apex: Name,
    apex_hash: Hash,
    /// For each name its length and its relative part, lower-cased.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    table: Table,
}

struct Entry {
    start: u32,
    parent: u32,
    /// The record of this name that came last.
    newest: u32,
}

impl Names {
    pub(super) fn new(apex: Name) -> Self {
        let apex_hash = Key::of_process().name(&apex);
        let entries = vec![Entry { start: 0, parent: APEX, newest: NONE }];
        let mut table = Table::default();
        table.insert(apex_hash, APEX);
        Self { apex, apex_hash, bytes: vec![0], entries, table }
    }

    pub(super) fn apex(&self) -> &Name {
        &self.apex
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The name's relative part.
    pub(super) fn relative(&self, id: u32) -> &[u8] {
        self.text_at(self.entries[id as usize].start)
    }

    pub(super) fn parent(&self, id: u32) -> u32 {
        self.entries[id as usize].parent
    }

    pub(super) fn newest(&self, id: u32) -> u32 {
        self.entries[id as usize].newest
    }

    pub(super) fn set_newest(&mut self, id: u32, record: u32) {
        self.entries[id as usize].newest = record;
    }

    /// Octets that the names have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The number of a name, if it is there.
    pub(super) fn get(&self, name: &Name) -> Option<u32> {
        if !name.is_within(&self.apex) {
            return None;
        }
        let key = Key::of_process();
        let from = self.apex.labels() + 1;
        let hash = (from..=name.labels()).fold(self.apex_hash, |hash, labels| key.below(hash, name, labels));
        self.find(hash, self.relative_of(name, name.labels()))
    }

    /// The number of a name, which is added with all between it and the apex. `None` if it is outside the zone.
    pub(super) fn intern(&mut self, name: &Name) -> Option<u32> {
        if !name.is_within(&self.apex) {
            return None;
        }
        let key = Key::of_process();
        let (mut id, mut hash) = (APEX, self.apex_hash);
        for labels in self.apex.labels() + 1..=name.labels() {
            hash = key.below(hash, name, labels);
            let start = name.suffix_start(labels);
            let relative = &name.as_wire()[start..name.wire_len() - self.apex.wire_len()];
            id = self.find(hash, relative).unwrap_or_else(|| self.add(id, hash, relative));
        }
        Some(id)
    }

    /// The table from names to numbers, when nothing is added any more.
    pub(super) fn take_table(&mut self) -> Table {
        std::mem::take(&mut self.table)
    }

    fn add(&mut self, parent: u32, hash: Hash, relative: &[u8]) -> u32 {
        let id = self.entries.len() as u32;
        self.entries.push(Entry { start: self.bytes.len() as u32, parent, newest: NONE });
        self.bytes.push(relative.len() as u8);
        self.bytes.extend_from_slice(relative);
        self.table.insert(hash, id);
        id
    }

    #[inline]
    fn find(&self, hash: Hash, relative: &[u8]) -> Option<u32> {
        self.table.find(hash, |id| self.relative(id) == relative)
    }

    #[inline]
    fn text_at(&self, start: u32) -> &[u8] {
        let start = start as usize;
        &self.bytes[start + 1..start + 1 + usize::from(self.bytes[start])]
    }

    fn relative_of<'n>(&self, name: &'n Name, labels: usize) -> &'n [u8] {
        &name.as_wire()[name.suffix_start(labels)..name.wire_len() - self.apex.wire_len()]
    }
}
