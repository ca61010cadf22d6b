//! Keys and types of a file against the JSON Schema, all faults at once, each at its line and column.
//!
//! serde stops at the first fault; this walks on. It reads the part of JSON Schema that schemars writes for
//! our types: `$ref`, `type`, `const`, `enum`, `anyOf`, `oneOf`, `properties`, `required`,
//! `additionalProperties`, `items`, `minItems`, `maxItems`, `minimum`, `maximum`, `format`. Of several
//! branches the value's own type chooses, so that the fault is about the form the user meant.

use notation::{Fault, Faults, nearest};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::Range;
use toml::Spanned;
use toml::de::DeValue;

mod kind;
mod path;
mod scalar;

use kind::Kind;
use path::Path;

/// Faults of a file's shape, and the entries that have some.
pub(super) struct Shaped {
    pub(super) faults: Vec<Fault>,
    pub(super) faulty: Faulty,
}

/// Walks the tree along the schema.
pub(super) fn check(schema: &Value, root: &Spanned<DeValue<'_>>) -> Shaped {
    let mut walk =
        Walk { root: schema, faults: Faults::default(), faulty: Faulty::default(), path: Path::default() };
    walk.check(schema, root, root.span());
    Shaped { faults: walk.faults.into_vec(), faulty: walk.faulty }
}

/// Whether a fault says that something is not there, rather than that something there is wrong.
pub(super) fn is_about_absence(fault: &Fault) -> bool {
    fault.message.starts_with(MISSING)
}

const MISSING: &str = "missing ";

/// Paths of entries with faults: `pool.shop`, `edge`, `site."shop.test".route."/"`.
#[derive(Default)]
pub(super) struct Faulty(BTreeSet<Vec<String>>);

impl Faulty {
    /// Notes the smallest entry around a fault that can be left out with nothing else looking wrong then.
    fn note(&mut self, path: &[&str]) {
        let depth = match path {
            ["site", _, "route", _, ..] => 4,
            ["service" | "pool" | "site", _, ..] => 2,
            [] => return,
            _ => 1,
        };
        self.0.insert(path[..depth].iter().map(|name| (*name).to_owned()).collect());
    }

    /// Takes the entries with faults out of the tree: the rest can be read and checked further.
    pub(super) fn remove_from(&self, root: &mut Spanned<DeValue<'_>>) {
        for path in &self.0 {
            let Some((last, above)) = path.split_last() else { continue };
            let parent = above.iter().try_fold(&mut *root, |node, name| match node.get_mut() {
                DeValue::Table(table) => table.get_mut(name.as_str()),
                _ => None,
            });
            if let Some(DeValue::Table(table)) = parent.map(Spanned::get_mut) {
                table.remove(last.as_str());
            }
        }
    }
}

struct Walk<'s> {
    root: &'s Value,
    faults: Faults,
    faulty: Faulty,
    path: Path,
}

impl<'s> Walk<'s> {
    /// Checks a value; `name_span` is where its key stands, or the value itself when it has none.
    fn check(&mut self, schema: &'s Value, node: &Spanned<DeValue<'_>>, name_span: Range<usize>) {
        let leaves = self.leaves(schema);
        let kind = Kind::of(node.get_ref());
        let fitting: Vec<&'s Value> = leaves.iter().copied().filter(|leaf| kind.fits(leaf)).collect();
        if fitting.is_empty() {
            let found = kind.described();
            let help = kind::written_as(&leaves, node.get_ref());
            let message = format!("{}expected {}, found {found}", self.subject(), kind::expected(&leaves));
            return self.fault(node.span(), message, help);
        }
        match node.get_ref() {
            DeValue::String(text) => {
                if let Err((message, help)) = scalar::check_text(&fitting, text) {
                    self.fault(node.span(), format!("{}{message}", self.subject()), help);
                }
            }
            DeValue::Integer(integer) => {
                if let Err(message) = scalar::check_integer(fitting[0], integer) {
                    self.fault(node.span(), format!("{}{message}", self.subject()), None);
                }
            }
            DeValue::Array(items) => self.check_array(fitting[0], items.iter(), &node.span()),
            DeValue::Table(table) if fitting.len() == 1 => self.check_table(fitting[0], table, name_span),
            DeValue::Table(table) => self.check_variants(&fitting, table, name_span),
            DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
        }
    }

    /// The schemas without branches that a schema stands for.
    fn leaves(&self, schema: &'s Value) -> Vec<&'s Value> {
        let mut leaves = Vec::new();
        self.add_leaves(schema, &mut leaves);
        leaves
    }

    fn add_leaves(&self, schema: &'s Value, leaves: &mut Vec<&'s Value>) {
        let referred = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|reference| reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)));
        let branches =
            schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array).map(Vec::as_slice);
        match (referred, branches) {
            (Some(referred), _) => self.add_leaves(referred, leaves),
            (None, Some(branches)) => branches.iter().for_each(|branch| self.add_leaves(branch, leaves)),
            (None, None) => leaves.push(schema),
        }
    }

    fn check_array<'n, 'i: 'n>(
        &mut self,
        schema: &'s Value,
        items: impl ExactSizeIterator<Item = &'n Spanned<DeValue<'i>>>,
        span: &Range<usize>,
    ) {
        let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
        let length = items.len() as u64;
        let counted = |count: u64| if count == 1 { "1 item".to_owned() } else { format!("{count} items") };
        let wanted = match (bound("minItems"), bound("maxItems")) {
            (Some(least), _) if length < least => Some(format!("at least {}", counted(least))),
            (_, Some(most)) if length > most => Some(format!("at most {}", counted(most))),
            _ => None,
        };
        if let Some(wanted) = wanted {
            let message = format!("{}expected {wanted}, found {length}", self.subject());
            self.fault(span.clone(), message, None);
        }
        let Some(item_schema) = schema.get("items") else { return };
        for (nth, item) in items.enumerate() {
            self.path.push_index(nth);
            self.check(item_schema, item, item.span());
            self.path.pop();
        }
    }

    fn check_table(&mut self, schema: &'s Value, table: &toml::de::DeTable<'_>, name_span: Range<usize>) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let rest = schema.get("additionalProperties");
        for (key, value) in table.iter() {
            let known = properties.and_then(|properties| properties.get(key.get_ref().as_ref()));
            self.path.push_key(key.get_ref());
            match (known, rest) {
                (Some(schema), _) => self.check(schema, value, key.span()),
                (None, Some(Value::Object(_))) => {
                    self.check(&schema["additionalProperties"], value, key.span());
                }
                (None, Some(Value::Bool(false))) => {
                    let known = properties.into_iter().flat_map(|all| all.keys()).map(String::as_str);
                    self.unknown_key(key, &known.collect::<Vec<_>>());
                }
                (None, _) => {}
            }
            self.path.pop();
        }
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let Some(required) = required.as_str() else { continue };
            if !table.contains_key(required) {
                let message = format!("{MISSING}key `{required}` in `{}`", self.path);
                self.fault(name_span.clone(), message, None);
            }
        }
    }

    /// A table that is one of several variants, each named by its only key: `{ env = "…" }`, `{ file = "…" }`.
    fn check_variants(
        &mut self,
        variants: &[&'s Value],
        table: &toml::de::DeTable<'_>,
        name_span: Range<usize>,
    ) {
        let properties =
            |variant: &'s Value| variant.get("properties").and_then(Value::as_object).into_iter().flatten();
        let tags: Vec<&str> =
            variants.iter().flat_map(|variant| properties(variant)).map(|(tag, _)| tag.as_str()).collect();
        let mut chosen = 0;
        for (key, value) in table.iter() {
            let found = variants
                .iter()
                .find_map(|variant| properties(variant).find(|(tag, _)| *tag == key.get_ref()));
            self.path.push_key(key.get_ref());
            match found {
                Some((_, schema)) => {
                    chosen += 1;
                    self.check(schema, value, key.span());
                }
                None => self.unknown_key(key, &tags),
            }
            self.path.pop();
        }
        let wanted = |word| tags.iter().map(|tag| format!("`{tag}`")).collect::<Vec<_>>().join(word);
        if table.is_empty() {
            self.fault(name_span, format!("{MISSING}{} in `{}`", wanted(" or "), self.path), None);
        } else if chosen > 1 {
            self.fault(
                name_span,
                format!("{}expected only one of {}", self.subject(), wanted(" and ")),
                None,
            );
        }
    }

    /// The path ends with the unknown key.
    fn unknown_key(&mut self, key: &Spanned<std::borrow::Cow<'_, str>>, known: &[&str]) {
        let name = key.get_ref();
        if let Some(help) = super::later::planned(&self.path.names()) {
            let shown = if self.path.is_root() { format!("[{name}]") } else { self.path.to_string() };
            return self.fault(key.span(), format!("`{shown}` is not built yet"), Some(help.into()));
        }
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if !known.is_empty() && known.len() <= 16 => Some(format!("known: {}", known.join(", "))),
            None => None,
        };
        let shown = path::shown_key(name);
        let message = match self.path.parent() {
            None => format!("unknown key `{shown}`"),
            Some(parent) => format!("unknown key `{shown}` in `{parent}`"),
        };
        self.fault(key.span(), message, help);
    }

    /// "`pool.shop.limit`: ", to begin a message with; nothing at the root.
    fn subject(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!("`{}`: ", self.path) }
    }

    fn fault(&mut self, span: Range<usize>, message: String, help: Option<String>) {
        self.faulty.note(&self.path.names());
        match help {
            Some(help) => self.faults.add_with_help(Some(span), message, help),
            None => self.faults.add(Some(span), message),
        }
    }
}
