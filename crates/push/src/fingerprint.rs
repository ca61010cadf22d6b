//! Names that change with the content: `app.css` is also `app.3f2a9c1d04be.css`.

use crate::hash::Hash;
use crate::path::AssetPath;

/// Digits of the hash in a name: 48 bits. Two versions of one path that browsers remember for a year must not share a
/// name; among a thousand versions of a path, that happens once in 500 million paths.
const DIGITS: usize = 12;

/// The name that this path has with this content. `None`: the path is too long to become longer.
pub fn fingerprinted(path: &AssetPath, hash: &Hash) -> Option<AssetPath> {
    let (folder, name, digits) = (path.folder(), path.file_name(), hash.digits(DIGITS));
    let text = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => format!("{folder}{stem}.{digits}.{extension}"),
        _ => format!("{folder}{name}.{digits}"),
    };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_stands_before_the_extension() {
        let hash = Hash::of(b"abc");
        for (path, expected) in [
            ("app.css", "app.ba7816bf8f01.css"),
            ("js/app.min.js", "js/app.min.ba7816bf8f01.js"),
            ("LICENSE", "LICENSE.ba7816bf8f01"),
            ("a.b/LICENSE", "a.b/LICENSE.ba7816bf8f01"),
            (".hidden", ".hidden.ba7816bf8f01"),
        ] {
            assert_eq!(fingerprinted(&path.parse().unwrap(), &hash).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn a_path_at_its_longest_has_no_further_name() {
        let path = "a".repeat(1020).parse().unwrap();
        assert_eq!(fingerprinted(&path, &Hash::of(b"")), None);
    }
}
