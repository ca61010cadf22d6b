//! Which purges there were: their numbers by what they are about.

use super::{ENTRIES_BYTES_MAX, ENTRIES_MAX, Mode, PREFIXES_MAX, Target, Verdict};
use std::collections::HashMap;

/// The numbers of the last purges of one target; 0 is none.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    hard: u64,
    soft: u64,
}

impl Marks {
    fn enter(&mut self, sequence: u64, mode: Mode) {
        let mark = match mode {
            Mode::Hard => &mut self.hard,
            Mode::Soft => &mut self.soft,
        };
        *mark = sequence.max(*mark);
    }

    fn last(self) -> u64 {
        self.hard.max(self.soft)
    }

    fn verdict(self, since: u64) -> Verdict {
        match self {
            Self { hard, .. } if hard > since => Verdict::Hard,
            Self { soft, .. } if soft > since => Verdict::Soft,
            Self { .. } => Verdict::Clean,
        }
    }

    fn each(self) -> impl Iterator<Item = (u64, Mode)> {
        [(self.hard, Mode::Hard), (self.soft, Mode::Soft)].into_iter().filter(|(sequence, _)| *sequence > 0)
    }
}

#[derive(Default)]
pub(super) struct Table {
    everything: Marks,
    keys: HashMap<Box<[u8]>, Marks>,
    tags: HashMap<Box<str>, Marks>,
    /// By the number of the last purge, the oldest first.
    prefixes: Vec<(Box<[u8]>, Marks)>,
    last_tag: u64,
    /// Of keys and tags.
    bytes: usize,
}

impl Table {
    pub(super) fn enter(&mut self, sequence: u64, target: Target<'_>, mode: Mode) {
        match target {
            Target::Everything => self.everything.enter(sequence, mode),
            Target::Key(key) => {
                if enter(&mut self.keys, key, sequence, mode) {
                    self.bytes += key.len();
                }
            }
            Target::Tag(tag) => {
                self.last_tag = sequence.max(self.last_tag);
                if enter(&mut self.tags, tag, sequence, mode) {
                    self.bytes += tag.len();
                }
            }
            Target::Prefix(prefix) => self.enter_prefix(prefix, sequence, mode),
        }
        if self.entries() > ENTRIES_MAX
            || self.bytes > ENTRIES_BYTES_MAX
            || self.prefixes.len() > PREFIXES_MAX
        {
            self.forget_half();
        }
    }

    fn enter_prefix(&mut self, prefix: &[u8], sequence: u64, mode: Mode) {
        let known = self.prefixes.iter().position(|(known, _)| **known == *prefix);
        let (prefix, mut marks) =
            known.map_or_else(|| (prefix.into(), Marks::default()), |at| self.prefixes.remove(at));
        marks.enter(sequence, mode);
        let at = self.prefixes.partition_point(|(_, other)| other.last() < marks.last());
        self.prefixes.insert(at, (prefix, marks));
    }

    pub(super) fn verdict(&self, key: &[u8], tags: &[Box<str>], since: u64) -> Verdict {
        let mut verdict = self.everything.verdict(since);
        if let Some(marks) = self.keys.get(key) {
            verdict = verdict.max(marks.verdict(since));
        }
        if self.last_tag > since {
            for marks in tags.iter().filter_map(|tag| self.tags.get(tag)) {
                verdict = verdict.max(marks.verdict(since));
            }
        }
        let recent = self.prefixes.iter().rev().take_while(|(_, marks)| marks.last() > since);
        recent
            .filter(|(prefix, _)| key.starts_with(prefix))
            .map(|(_, marks)| marks.verdict(since))
            .fold(verdict, Ord::max)
    }

    /// The number of the last purge of any tag.
    pub(super) fn last_tag(&self) -> u64 {
        self.last_tag
    }

    pub(super) fn entries(&self) -> usize {
        self.keys.len() + self.tags.len()
    }

    pub(super) fn prefixes(&self) -> usize {
        self.prefixes.len()
    }

    /// Forgets single purges up to a number, and takes them for purges of everything.
    pub(super) fn forget(&mut self, upto: u64) {
        let mut forgotten = Marks::default();
        let mut stays = |marks: &mut Marks| {
            if marks.last() > upto {
                return true;
            }
            forgotten = Marks { hard: forgotten.hard.max(marks.hard), soft: forgotten.soft.max(marks.soft) };
            false
        };
        self.keys.retain(|_, marks| stays(marks));
        self.tags.retain(|_, marks| stays(marks));
        self.prefixes.retain_mut(|(_, marks)| stays(marks));
        let keys = self.keys.keys().map(|key| key.len());
        self.bytes = keys.chain(self.tags.keys().map(|tag| tag.len())).sum();
        for (sequence, mode) in forgotten.each() {
            self.everything.enter(sequence, mode);
        }
    }

    /// The older half of all goes: the table is full.
    fn forget_half(&mut self) {
        let marks = self.keys.values().chain(self.tags.values());
        let mut lasts: Vec<u64> = if self.prefixes.len() > PREFIXES_MAX {
            self.prefixes.iter().map(|(_, marks)| marks.last()).collect()
        } else {
            marks.map(|marks| marks.last()).collect()
        };
        let middle = lasts.len() / 2;
        let upto = *lasts.select_nth_unstable(middle).1;
        self.forget(upto);
    }

    /// All that is remembered, in the order of its numbers.
    pub(super) fn all(&self) -> Vec<(u64, Target<'_>, Mode)> {
        let keys = self.keys.iter().map(|(key, marks)| (Target::Key(key), *marks));
        let tags = self.tags.iter().map(|(tag, marks)| (Target::Tag(tag), *marks));
        let prefixes = self.prefixes.iter().map(|(prefix, marks)| (Target::Prefix(prefix), *marks));
        let everything = std::iter::once((Target::Everything, self.everything));
        let targets = everything.chain(keys).chain(tags).chain(prefixes);
        let mut all: Vec<_> = targets
            .flat_map(|(target, marks)| marks.each().map(move |(sequence, mode)| (sequence, target, mode)))
            .collect();
        all.sort_unstable_by_key(|(sequence, ..)| *sequence);
        all
    }
}

/// Whether it is new.
fn enter<K: std::hash::Hash + Eq + ?Sized>(
    known: &mut HashMap<Box<K>, Marks>,
    name: &K,
    sequence: u64,
    mode: Mode,
) -> bool
where
    for<'k> Box<K>: From<&'k K>,
{
    match known.get_mut(name) {
        Some(marks) => {
            marks.enter(sequence, mode);
            false
        }
        None => {
            known.entry(name.into()).or_default().enter(sequence, mode);
            true
        }
    }
}
