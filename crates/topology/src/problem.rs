//! What is wrong with a file, with its place, as text with an excerpt or as data.

use notation::Fault;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::{Path, PathBuf};

mod place;
mod render;

pub(crate) use place::Lines;

/// Whether a problem keeps the file from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The file is refused.
    Error,
    /// The file works, but probably not as meant.
    Warning,
}

/// One thing that is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Error or warning.
    pub level: Level,
    /// The file as it was named.
    pub file: PathBuf,
    /// The line, from 1; absent when the problem is about the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// Who, what and which limit.
    pub message: String,
    /// What to do about it, when that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The place in bytes, for the excerpt.
    #[serde(skip)]
    pub(crate) span: Option<Range<usize>>,
}

impl Problem {
    /// A problem of the file as a whole.
    pub(crate) fn of_file(path: &Path, message: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            file: path.to_owned(),
            line: None,
            column: None,
            message: message.into(),
            help: None,
            span: None,
        }
    }

    /// A problem of another file, at a line and a column that are 0 where it has none.
    pub(crate) fn elsewhere(level: Level, path: &Path, place: (u32, u32), message: String) -> Self {
        let known = |number: u32| (number > 0).then_some(number as usize);
        let (line, column) = (known(place.0), known(place.1));
        Self { level, file: path.to_owned(), line, column, message, help: None, span: None }
    }

    /// A fault with its line and column looked up.
    pub(crate) fn new(level: Level, path: &Path, lines: &Lines<'_>, fault: Fault) -> Self {
        let place = fault.span.as_ref().map(|span| lines.place(span.start));
        Self {
            level,
            file: path.to_owned(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            message: fault.message,
            help: fault.help,
            span: fault.span,
        }
    }

    /// One line, `nines.toml:12:11: error: …`, as editors and compilers write it.
    pub fn one_line(&self) -> String {
        let file = self.file.display();
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        let help = self.help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default();
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{file}:{line}:{column}: {level}: {}{help}", self.message),
            (Some(line), None) => format!("{file}:{line}: {level}: {}{help}", self.message),
            _ => format!("{file}: {level}: {}{help}", self.message),
        }
    }
}

/// A file that cannot be used: everything that is wrong with it, in the order of the file.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// At least one of them is an error.
    pub problems: Vec<Problem>,
    /// The file's text, for excerpts; empty when it could not be read.
    pub(crate) text: String,
}

impl Rejected {
    /// All problems with excerpts of the file, as a compiler shows them.
    pub fn render(&self, color: bool) -> String {
        render::render(&self.problems, &self.text, color)
    }

    /// How many of the problems are errors.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.level == Level::Error).count()
    }
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (nth, problem) in self.problems.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&problem.one_line())?;
        }
        Ok(())
    }
}

impl std::error::Error for Rejected {}

impl Serialize for Rejected {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.problems.serialize(serializer)
    }
}

/// Warnings with excerpts of the file they are about.
pub(crate) fn render_all(problems: &[Problem], text: &str, color: bool) -> String {
    render::render(problems, text, color)
}
