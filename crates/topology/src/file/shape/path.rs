//! Where the walk is: `site."shop.test".route."/"[1].pool`.

use std::fmt;

#[derive(Default)]
pub(super) struct Path(Vec<Step>);

enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    pub(super) fn push_key(&mut self, key: &str) {
        self.0.push(Step::Key(key.to_owned()));
    }

    pub(super) fn push_index(&mut self, index: usize) {
        self.0.push(Step::Index(index));
    }

    pub(super) fn pop(&mut self) {
        self.0.pop();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is a key of the file's top level.
    pub(super) fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// The keys alone: which of several items of an array makes no difference to what may stand in it.
    pub(super) fn names(&self) -> Vec<&str> {
        let keys = self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        });
        keys.collect()
    }

    /// The table that holds the last key; `None` at the top level.
    pub(super) fn parent(&self) -> Option<String> {
        match self.0.split_last() {
            Some((_, parent)) if !parent.is_empty() => Some(shown(parent)),
            _ => None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

fn shown(steps: &[Step]) -> String {
    let mut out = String::new();
    for step in steps {
        match step {
            Step::Key(key) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(&shown_key(key));
            }
            Step::Index(index) => out.push_str(&format!("[{index}]")),
        }
    }
    out
}

/// A key as it would be written in the file, cut when it is very long.
pub(super) fn shown_key(key: &str) -> String {
    const CHARS_MAX: usize = 80;
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if key.chars().count() > CHARS_MAX {
        let start: String = key.chars().take(CHARS_MAX).collect();
        return format!("{:?}…", start);
    }
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { format!("{key:?}") }
}
