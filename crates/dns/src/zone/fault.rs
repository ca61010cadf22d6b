//! What is wrong with a zone's text: each with its file, line and column.

use std::fmt;
use std::sync::Arc;

/// Faults that are kept; of the others only the number.
const FAULTS_MAX: usize = 50;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was named, or what else the text is.
    pub source: Arc<str>,
    /// The line, from 1; 0 if it is about all of the source.
    pub line: u32,
    /// The column in octets, from 1; 0 if it is about the line.
    pub column: u32,
    /// What is wrong; lower case, no full stop.
    pub message: String,
}

/// All that is wrong, in the order it was found. The first ones are kept, the rest is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    faults: Vec<Fault>,
    more: usize,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: impl FnOnce() -> Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault());
        } else {
            self.more += 1;
        }
    }

    /// Those that were kept.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }

    /// How many there are, those included that were not kept.
    pub fn len(&self) -> usize {
        self.faults.len() + self.more
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.source)?;
        if self.line > 0 {
            write!(formatter, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(formatter, ":{}", self.column)?;
        }
        write!(formatter, ": {}", self.message)
    }
}

/// One fault a line.
impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.faults.iter().enumerate() {
            if number > 0 {
                formatter.write_str("\n")?;
            }
            fault.fmt(formatter)?;
        }
        if self.more > 0 {
            write!(formatter, "\n… and {} more", self.more)?;
        }
        Ok(())
    }
}
