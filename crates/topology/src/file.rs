//! From text to a [`Topology`] that is known to be sound, or to everything that is wrong with it.
//!
//! text ─► `toml` (syntax, every error) ─► [`shape`] (keys and types, against the JSON Schema) ─► serde
//!      ─► [`checks`] (what needs more than one value: references, addresses, each tier's own rules)
//!
//! A step that finds faults does not end the reading: the parts it found sound go on to the next one,
//! so that a file's faults come all at once. Nothing here touches the world; [`load`] reads the file
//! and looks whether its secrets can be read.

use crate::config::Topology;
use crate::problem::{self, Level, Lines, Problem, Rejected};
use dns::ZoneSet;
use notation::{Fault, Faults};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

mod checks;
mod later;
mod secrets;
mod shape;
mod tree;
mod zones;

use tree::Tree;

/// A larger file is refused unread; a thousand sites take a tenth of it.
const FILE_BYTES_MAX: usize = 4 << 20;

/// A file that passed every check.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What the file says.
    pub topology: Topology,
    /// The file as it was named.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// What works, but probably not as meant.
    pub warnings: Vec<Problem>,
    /// The zones of `[dns]`, as far as they were read.
    pub(crate) zones: ZoneSet,
}

impl Checked {
    /// The folder that relative paths of the file start from.
    pub fn dir(&self) -> &Path {
        match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        }
    }

    /// The warnings with excerpts of the file; empty when there are none.
    pub fn render_warnings(&self, color: bool) -> String {
        problem::render_all(&self.warnings, &self.text, color)
    }
}

/// Reads and checks a file and its zones, and that its secrets can be read. Changes nothing.
pub fn load(path: &Path) -> Result<Checked, Rejected> {
    load_after(path, &ZoneSet::default())
}

/// As [`load`]; zones that are as they were `before` are not read again.
pub(crate) fn load_after(path: &Path, before: &ZoneSet) -> Result<Checked, Rejected> {
    let unreadable =
        |message: String| Rejected { problems: vec![Problem::of_file(path, message)], text: String::new() };
    let bytes = std::fs::read(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        unreadable(format!("is not UTF-8 text (byte {})", error.utf8_error().valid_up_to()))
    })?;
    let mut checked = parse(&text, path)?;
    let mut faults = Faults::default();
    secrets::check(&checked.topology, &tree_of(&checked.text), checked.dir(), &mut faults);
    let mut problems = located(path, &checked.text, faults.into_vec(), Level::Error);
    problems.extend(zones::load(&mut checked, before));
    if problems.is_empty() {
        return Ok(checked);
    }
    problems.extend(checked.warnings);
    Err(Rejected { problems, text: checked.text })
}

/// Checks a file's text. `path` is named in the problems; nothing is read, written or asked.
pub fn parse(text: &str, path: &Path) -> Result<Checked, Rejected> {
    let mut found = Found::default();
    let topology = read(text, &mut found);
    let mut problems = located(path, text, found.errors.into_vec(), Level::Error);
    let warnings = located(path, text, found.warnings.into_vec(), Level::Warning);
    match topology {
        Some(topology) if problems.is_empty() => Ok(Checked {
            topology,
            path: path.to_owned(),
            text: text.to_owned(),
            warnings,
            zones: ZoneSet::default(),
        }),
        _ => {
            problems.extend(warnings);
            Err(Rejected { problems, text: text.to_owned() })
        }
    }
}

/// What is wrong, and what is odd.
#[derive(Default)]
struct Found {
    errors: Faults,
    warnings: Faults,
}

/// Reads as far as the text allows. `None` only after an error was noted.
fn read(text: &str, found: &mut Found) -> Option<Topology> {
    if text.len() > FILE_BYTES_MAX {
        found.errors.add(
            None,
            format!("the file has {} bytes, more than the {FILE_BYTES_MAX} that are read", text.len()),
        );
        return None;
    }
    let (table, broken) = DeTable::parse_recoverable(text);
    let root = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
    let shape = shape::check(crate::schema::raw(), &root);
    if !broken.is_empty() {
        note_syntax(text, broken, shape, &mut found.errors);
        return None;
    }
    let mut sound = root.clone();
    let tree = Tree(root);
    shape.faulty.remove_from(&mut sound);
    let is_whole = shape.faults.is_empty();
    for fault in shape.faults {
        add(&mut found.errors, fault);
    }
    let table = table_of(sound)?;
    match Topology::deserialize(toml::de::Deserializer::from(table)) {
        Ok(topology) => {
            checks::check(&topology, &tree, is_whole, found);
            Some(topology)
        }
        Err(error) => {
            // The shape holds everything that serde asks for; what it lets through is a value's own check.
            found.errors.add(error.span(), error.message().trim());
            None
        }
    }
}

/// The tree of a text that was parsed before.
fn tree_of(text: &str) -> Tree<'_> {
    let (table, _) = DeTable::parse_recoverable(text);
    Tree(Spanned::new(table.span(), DeValue::Table(table.into_inner())))
}

fn table_of(node: Spanned<DeValue<'_>>) -> Option<Spanned<DeTable<'_>>> {
    let span = node.span();
    match node.into_inner() {
        DeValue::Table(table) => Some(Spanned::new(span, table)),
        _ => None,
    }
}

/// Syntax errors, and the faults of lines that have none: after an error the tree is a guess, and a key
/// that is missing from a guess may well be there.
fn note_syntax(text: &str, broken: Vec<toml::de::Error>, shape: shape::Shaped, errors: &mut Faults) {
    let lines = Lines::of(text);
    let mut broken_lines = BTreeSet::new();
    for error in broken {
        let span = error.span().unwrap_or(0..0);
        let line = lines.place(span.start).0;
        // What follows on the same line follows from it.
        if broken_lines.insert(line) {
            errors.add(Some(span), error.message().trim());
        }
    }
    let first = broken_lines.first().copied().unwrap_or(0);
    for fault in shape.faults {
        let line = fault.span.as_ref().map_or(usize::MAX, |span| lines.place(span.start).0);
        if line < first && !shape::is_about_absence(&fault) {
            add(errors, fault);
        }
    }
}

fn add(faults: &mut Faults, fault: Fault) {
    match fault.help {
        Some(help) => faults.add_with_help(fault.span, fault.message, help),
        None => faults.add(fault.span, fault.message),
    }
}

/// Faults as problems, in the order of the file.
fn located(path: &Path, text: &str, mut faults: Vec<Fault>, level: Level) -> Vec<Problem> {
    let lines = Lines::of(text);
    faults.sort_by_key(|fault| fault.span.as_ref().map_or(0, |span| span.start));
    faults.dedup();
    faults.into_iter().map(|fault| Problem::new(level, path, &lines, fault)).collect()
}
