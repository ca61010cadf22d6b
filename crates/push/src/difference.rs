//! What a folder has that a release has not.

use crate::manifest::{Draft, Manifest};
use crate::path::AssetPath;
use serde::Serialize;

/// The paths of a draft beside those of a release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In the draft only.
    pub added: Vec<AssetPath>,
    /// In both, with another content.
    pub changed: Vec<AssetPath>,
    /// In the release only.
    pub removed: Vec<AssetPath>,
    /// How many are the same in both.
    pub unchanged: usize,
}

impl Difference {
    /// What the draft changes; all of it is new where there is no release.
    pub fn between(release: Option<&Manifest>, draft: &Draft) -> Self {
        let before = |path: &AssetPath| release.and_then(|release| release.files.get(path));
        let mut difference = Self::default();
        for (path, entry) in &draft.files {
            match before(path) {
                None => difference.added.push(path.clone()),
                Some(old) if old.hash == entry.hash => difference.unchanged += 1,
                Some(_) => difference.changed.push(path.clone()),
            }
        }
        let old = release.into_iter().flat_map(|release| release.files.keys());
        difference.removed = old.filter(|path| !draft.files.contains_key(*path)).cloned().collect();
        difference
    }

    /// Whether the draft is what the release is.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;
    use crate::manifest::{DraftEntry, Entry, VERSION};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn draft(files: &BTreeMap<u8, u8>) -> Draft {
        let entry = |content: &u8| DraftEntry {
            hash: Hash::of(&[*content]),
            size_bytes: 1,
            media_type: None,
            expires_unix_ms: None,
        };
        let files = files.iter().map(|(path, content)| (format!("f{path}").parse().unwrap(), entry(content)));
        Draft { files: files.collect(), ..Draft::default() }
    }

    fn release(draft: &Draft) -> Manifest {
        let entry = |(path, entry): (&AssetPath, &DraftEntry)| {
            (path.clone(), Entry::of(path, entry, "text/plain".into(), None))
        };
        Manifest {
            version: VERSION,
            release: "a".parse().unwrap(),
            sequence: 1,
            created_unix_ms: 0,
            expires_unix_ms: None,
            files: draft.files.iter().map(entry).collect(),
        }
    }

    proptest! {
        #[test]
        fn a_release_and_its_difference_make_the_draft(
            old in proptest::collection::btree_map(0u8..9, 0u8..3, 0..9),
            new in proptest::collection::btree_map(0u8..9, 0u8..3, 0..9),
        ) {
            let (before, after) = (release(&draft(&old)), draft(&new));
            let difference = Difference::between(Some(&before), &after);
            let mut files: BTreeMap<_, _> =
                before.files.iter().map(|(path, entry)| (path.clone(), entry.hash)).collect();
            for path in &difference.removed {
                files.remove(path);
            }
            for path in difference.added.iter().chain(&difference.changed) {
                files.insert(path.clone(), after.files[path].hash);
            }
            let wanted: BTreeMap<_, _> = after.files.iter().map(|(path, entry)| (path.clone(), entry.hash)).collect();
            prop_assert_eq!(files, wanted);
            prop_assert_eq!(difference.is_empty(), old == new);
        }
    }
}
