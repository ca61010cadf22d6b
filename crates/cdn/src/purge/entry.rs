//! A purge by itself, as it is written to the disk and told to other nodes: what it is about (u8), its mode (u8), and the name of
//! its target.

use super::{Mode, TARGET_BYTES_MAX, Target};

/// The payload of an entry: two bytes, and the name.
pub(crate) const FIXED_BYTES: usize = 2;

/// A purge, apart from its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    kind: Kind,
    mode: Mode,
    name: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Everything,
    Key,
    Prefix,
    Tag,
}

impl Entry {
    /// What is purged, and how.
    pub fn new(target: Target<'_>, mode: Mode) -> Self {
        Self { kind: kind(target), mode, name: target.name().into() }
    }

    /// What it is about.
    pub fn target(&self) -> Target<'_> {
        match self.kind {
            Kind::Everything => Target::Everything,
            Kind::Key => Target::Key(&self.name),
            Kind::Prefix => Target::Prefix(&self.name),
            Kind::Tag => std::str::from_utf8(&self.name).map_or(Target::Everything, Target::Tag),
        }
    }

    /// What becomes of that.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        FIXED_BYTES + self.name.len()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        write(self.target(), self.mode, out);
    }

    /// `None`: it is no purge.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (&[kind, mode], name) = bytes.split_first_chunk::<FIXED_BYTES>()?;
        let kinds = [Kind::Everything, Kind::Key, Kind::Prefix, Kind::Tag];
        let kind = kinds.into_iter().find(|known| *known as u8 == kind)?;
        let mode = [Mode::Hard, Mode::Soft].into_iter().find(|known| *known as u8 == mode)?;
        if name.len() > TARGET_BYTES_MAX || (kind == Kind::Tag && std::str::from_utf8(name).is_err()) {
            return None;
        }
        let name = if kind == Kind::Everything { &[][..] } else { name };
        Some(Self { kind, mode, name: name.into() })
    }
}

/// As [`Entry::write`], of what is not owned.
pub(crate) fn write(target: Target<'_>, mode: Mode, out: &mut Vec<u8>) {
    out.extend_from_slice(&[kind(target) as u8, mode as u8]);
    out.extend_from_slice(target.name());
}

fn kind(target: Target<'_>) -> Kind {
    match target {
        Target::Everything => Kind::Everything,
        Target::Key(_) => Kind::Key,
        Target::Prefix(_) => Kind::Prefix,
        Target::Tag(_) => Kind::Tag,
    }
}
