//! Which purges were about a response, in words.

use super::table::Table;
use super::{Mode, Target};
use std::fmt;

/// A purge that is about a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its number.
    pub sequence: u64,
    /// What becomes of the response.
    pub mode: Mode,
    /// What it was of.
    target: Box<str>,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.mode == Mode::Soft { "soft " } else { "" };
        write!(f, "{how}purge {} of {}", self.sequence, self.target)
    }
}

impl About {
    fn of(sequence: u64, mode: Mode, target: Target<'_>) -> Self {
        let target = match target {
            Target::Everything => "everything".to_owned(),
            Target::Key(_) => "this URL".to_owned(),
            Target::Prefix(prefix) => format!("all below {}", String::from_utf8_lossy(prefix)),
            Target::Tag(tag) => format!("tag {tag}"),
        };
        Self { sequence, mode, target: target.into() }
    }

    /// All after number `since`, the last first. It looks at all purges: not for the data plane.
    pub(super) fn all(table: &Table, key: &[u8], tags: &[Box<str>], since: u64) -> Vec<Self> {
        let is_about = |target: Target<'_>| match target {
            Target::Everything => true,
            Target::Key(bytes) => bytes == key,
            Target::Prefix(bytes) => key.starts_with(bytes),
            Target::Tag(tag) => tags.iter().any(|own| **own == *tag),
        };
        let all = table.all();
        let newer = all.into_iter().rev().take_while(|(sequence, ..)| *sequence > since);
        newer
            .filter(|(_, target, _)| is_about(*target))
            .map(|(sequence, target, mode)| Self::of(sequence, mode, target))
            .collect()
    }
}
