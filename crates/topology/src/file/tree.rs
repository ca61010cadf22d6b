//! The file as it stands: places of keys and values, whatever their types and faults.

use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A file's tree of values.
pub(super) struct Tree<'i>(pub(super) Spanned<DeValue<'i>>);

impl<'i> Tree<'i> {
    fn node(&self, path: &[&str]) -> Option<&Spanned<DeValue<'i>>> {
        path.iter().try_fold(&self.0, |node, key| table(node)?.get(*key))
    }

    /// Where a value stands.
    pub(super) fn value(&self, path: &[&str]) -> Option<Range<usize>> {
        Some(self.node(path)?.span())
    }

    /// Where a table of the top level is named.
    pub(super) fn key(&self, name: &str) -> Option<Range<usize>> {
        table(&self.0)?.iter().find(|(key, _)| key.get_ref() == name).map(|(key, _)| key.span())
    }

    /// Where an item of an array stands.
    pub(super) fn item(&self, path: &[&str], nth: usize) -> Option<Range<usize>> {
        match self.node(path)?.get_ref() {
            DeValue::Array(items) => Some(items.get(nth)?.span()),
            _ => None,
        }
    }

    /// The names in a table of the top level, with their places.
    pub(super) fn entries(&self, name: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
        let table = self.node(&[name]).and_then(table);
        table.into_iter().flat_map(|table| table.iter().map(|(key, _)| (key.get_ref().as_ref(), key.span())))
    }

    /// The names in a table of the top level.
    pub(super) fn names(&self, table: &str) -> Vec<&str> {
        self.entries(table).map(|(name, _)| name).collect()
    }
}

fn table<'n, 'i>(node: &'n Spanned<DeValue<'i>>) -> Option<&'n DeTable<'i>> {
    match node.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}
