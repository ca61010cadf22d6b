//! What is wrong with a file: all of it at once, each with its place.

use std::ops::Range;

/// One thing that is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, in bytes from the start of the file; `None` when it is about the file as a whole.
    pub span: Option<Range<usize>>,
    /// Who, what and which limit; lower case, no full stop.
    pub message: String,
    /// What to do about it, when that is known: "did you mean `shop`?".
    pub help: Option<String>,
}

/// The faults of a file, in the order they were found.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Notes a fault at a place.
    pub fn add(&mut self, span: Option<Range<usize>>, message: impl Into<String>) {
        self.0.push(Fault { span, message: message.into(), help: None });
    }

    /// Notes a fault at a place, with what to do about it.
    pub fn add_with_help(
        &mut self,
        span: Option<Range<usize>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.0.push(Fault { span, message: message.into(), help: Some(help.into()) });
    }

    /// Notes that `name` names nothing of the `known`, and the nearest of them.
    pub fn unknown<'a>(
        &mut self,
        span: Option<Range<usize>>,
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) {
        let known: Vec<&str> = known.into_iter().collect();
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if known.is_empty() => Some(format!("the file has no {what}")),
            None if known.len() <= 12 => Some(format!("known: {}", known.join(", "))),
            None => None,
        };
        self.0.push(Fault { span, message: format!("unknown {what} `{name}`"), help });
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All faults, in the order they were found.
    pub fn into_vec(self) -> Vec<Fault> {
        self.0
    }
}

/// The candidate nearest to `name` by edit distance, if any is near enough to be what was meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance_max = (name.chars().count() / 3).max(1) + 1;
    candidates
        .into_iter()
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= distance_max && *distance < candidate.chars().count().max(2)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits from one string to the other, a swap of neighbours being one (optimal string alignment).
fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut two_above: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for row in 1..=from.len() {
        let mut here = vec![row; to.len() + 1];
        for column in 1..=to.len() {
            let differs = usize::from(from[row - 1] != to[column - 1]);
            let mut cost = (above[column] + 1).min(here[column - 1] + 1).min(above[column - 1] + differs);
            if row > 1 && column > 1 && from[row - 1] == to[column - 2] && from[row - 2] == to[column - 1] {
                cost = cost.min(two_above[column - 2] + 1);
            }
            here[column] = cost;
        }
        two_above = std::mem::replace(&mut above, here);
    }
    above[to.len()]
}
