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

    /// A string and where it stands.
    pub(super) fn text(&self, path: &[&str]) -> Option<(&str, Range<usize>)> {
        text(self.node(path)?)
    }

    /// The strings of an array, each with its place in it and in the file.
    pub(super) fn texts(&self, path: &[&str]) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.node(path).into_iter().flat_map(items).filter_map(text)
    }

    /// The string at a path, or those of an array there.
    pub(super) fn one_or_many(&self, path: &[&str]) -> impl Iterator<Item = (&str, Range<usize>)> {
        let node = self.node(path);
        node.into_iter().flat_map(|node| std::iter::once(node).chain(items(node))).filter_map(text)
    }

    /// The pools that routes and listeners name, with the places of the names.
    pub(super) fn used_pools(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        let listeners = ["tcp", "udp"].into_iter().filter_map(|kind| self.node(&[kind])).flat_map(values);
        let pools = listeners.filter_map(table).flat_map(|listener| {
            let named = listener.get("sni").into_iter().flat_map(values);
            listener.get("pool").into_iter().chain(named)
        });
        let shield = self.text(&["cdn", "shield"]);
        self.routed_pools().chain(pools.filter_map(text)).chain(self.answered_pools()).chain(shield)
    }

    /// The pools that routes of DNS answer with.
    fn answered_pools(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        let zones = self.node(&["dns", "zone"]).into_iter().flat_map(values);
        let routes = zones.filter_map(|zone| table(zone)?.get("route")).flat_map(values);
        let answers = routes.filter_map(|route| table(route)?.get("answers")).flat_map(items);
        answers.filter_map(|answer| text(table(answer)?.get("pool")?))
    }

    /// The stores that routes name, with the places of the names.
    pub(super) fn used_pushes(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.routed("push")
    }

    /// The pools that routes name.
    fn routed_pools(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.routed("pool")
    }

    /// What routes have under this key.
    fn routed(&self, key: &'static str) -> impl Iterator<Item = (&str, Range<usize>)> {
        let sites = self.node(&["site"]).into_iter().flat_map(values);
        let tables = sites.filter_map(|site| table(site)?.get("route")).flat_map(values);
        // A route, or an array of them.
        let routes = tables.flat_map(|route| std::iter::once(route).chain(items(route)));
        routes.filter_map(move |route| text(table(route)?.get(key)?))
    }

    /// Where a value stands.
    pub(super) fn value(&self, path: &[&str]) -> Option<Range<usize>> {
        Some(self.node(path)?.span())
    }

    /// Where a table of the top level is named.
    pub(super) fn key(&self, name: &str) -> Option<Range<usize>> {
        self.name(&[name])
    }

    /// Where a value is named.
    pub(super) fn name(&self, path: &[&str]) -> Option<Range<usize>> {
        let (name, above) = path.split_last()?;
        table(self.node(above)?)?.iter().find(|(key, _)| key.get_ref() == name).map(|(key, _)| key.span())
    }

    /// The names in a table of the top level, with their places.
    pub(super) fn entries(&self, name: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
        let table = self.node(&[name]).and_then(table);
        table.into_iter().flat_map(|table| table.iter().map(|(key, _)| (key.get_ref().as_ref(), key.span())))
    }
}

fn table<'n, 'i>(node: &'n Spanned<DeValue<'i>>) -> Option<&'n DeTable<'i>> {
    match node.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

fn values<'n, 'i>(node: &'n Spanned<DeValue<'i>>) -> impl Iterator<Item = &'n Spanned<DeValue<'i>>> {
    table(node).into_iter().flat_map(|table| table.values())
}

fn items<'n, 'i>(node: &'n Spanned<DeValue<'i>>) -> impl Iterator<Item = &'n Spanned<DeValue<'i>>> {
    let items = match node.get_ref() {
        DeValue::Array(items) => Some(items.iter()),
        _ => None,
    };
    items.into_iter().flatten()
}

fn text<'n>(node: &'n Spanned<DeValue<'_>>) -> Option<(&'n str, Range<usize>)> {
    match node.get_ref() {
        DeValue::String(text) => Some((text, node.span())),
        _ => None,
    }
}
