//! A request's path as a file's name below the root.

/// A name of a file or folder: NAME_MAX of Linux.
const SEGMENT_BYTES_MAX: usize = 255;

/// A whole path: PATH_MAX of Linux, less the final NUL.
const PATH_BYTES_MAX: usize = 4095;

/// The one name with a dot before it that is shown, at the root (RFC 8615 §3).
const WELL_KNOWN: &[u8] = b".well-known";

/// A path below the root, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePath {
    /// Relative, without a slash at its end; empty for the root.
    name: Vec<u8>,
    /// The path ends in a slash.
    is_folder: bool,
}

impl FilePath {
    /// Decodes a path, once. `None` is for paths that no file here has; they are 404 and not 400, being well-formed
    /// (RFC 3986 §3.3): names with a slash (`%2F`), a backslash or control bytes in them, which who looks at the
    /// path before or after us could take apart in another way; empty segments and dot segments, by which another
    /// route's files could be reached; names that begin with a dot; and names too long for the file system.
    pub(crate) fn parse(path: &[u8]) -> Option<Self> {
        let mut name = Vec::with_capacity(path.len() + 16);
        let mut rest = path.strip_prefix(b"/")?;
        while let Some((byte, after)) = decode(rest)? {
            let is_separator = rest[0] == b'/';
            match byte {
                b'/' if is_separator => end_segment(&mut name, true)?,
                b'/' | b'\\' | 0..=0x1f | 0x7f => return None,
                byte => name.push(byte),
            }
            rest = after;
        }
        let is_folder = name.last().is_none_or(|byte| *byte == b'/');
        if is_folder {
            name.pop();
        } else {
            end_segment(&mut name, false)?;
        }
        (name.len() <= PATH_BYTES_MAX).then_some(Self { name, is_folder })
    }

    /// A path as the file of the configuration has it: nothing is decoded, a slash may lead, none may follow.
    pub(crate) fn literal(text: &str) -> Option<Self> {
        let mut name = Vec::with_capacity(text.len());
        for segment in text.strip_prefix('/').unwrap_or(text).split('/') {
            if segment.bytes().any(|byte| matches!(byte, b'\\' | 0..=0x1f | 0x7f)) {
                return None;
            }
            if !name.is_empty() {
                name.push(b'/');
            }
            name.extend_from_slice(segment.as_bytes());
            end_segment(&mut name, false)?;
        }
        (name.len() <= PATH_BYTES_MAX).then_some(Self { name, is_folder: false })
    }

    /// The name below the root, without a slash at its end; empty for the root.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether the path ends in a slash.
    pub(crate) fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// The path of something in this folder.
    pub(crate) fn join(&self, name: &[u8]) -> Vec<u8> {
        let mut joined = Vec::with_capacity(self.name.len() + 1 + name.len());
        joined.extend_from_slice(&self.name);
        if !joined.is_empty() {
            joined.push(b'/');
        }
        joined.extend_from_slice(name);
        joined
    }

    /// Whether the last segment has an extension.
    pub(crate) fn has_extension(&self) -> bool {
        !self.is_folder && extension(&self.name).is_some()
    }
}

/// What follows the last dot of a path's last segment; not of one that begins with its only dot.
pub(crate) fn extension(name: &[u8]) -> Option<&[u8]> {
    let last = name.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let dot = name[last..].iter().rposition(|byte| *byte == b'.')?;
    (dot > 0 && last + dot + 1 < name.len()).then(|| &name[last + dot + 1..])
}

/// Whether a name may be asked for: what [`FilePath::parse`] would let through as a segment.
pub(crate) fn is_shown(name: &[u8]) -> bool {
    !name.is_empty()
        && name[0] != b'.'
        && !name.iter().any(|byte| matches!(byte, b'\\' | b'/' | 0..=0x1f | 0x7f))
}

/// The first byte that `text` stands for and what follows; `Some(None)` at its end, `None` for half an escape.
#[allow(clippy::option_option)]
pub(crate) fn decode(text: &[u8]) -> Option<Option<(u8, &[u8])>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match text {
        [] => Some(None),
        [b'%', high, low, rest @ ..] => Some(Some(((digit(*high)? << 4 | digit(*low)?) as u8, rest))),
        [b'%', ..] => None,
        [byte, rest @ ..] => Some(Some((*byte, rest))),
    }
}

/// Checks the segment that `name` ends with, and puts a slash after it.
fn end_segment(name: &mut Vec<u8>, slash: bool) -> Option<()> {
    let start = name.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let segment = &name[start..];
    let is_hidden = segment.first() == Some(&b'.') && !(start == 0 && segment == WELL_KNOWN);
    if segment.is_empty() || is_hidden || segment.len() > SEGMENT_BYTES_MAX {
        return None;
    }
    if slash {
        name.push(b'/');
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(path: &str) -> Option<String> {
        FilePath::parse(path.as_bytes()).map(|path| String::from_utf8_lossy(path.name()).into_owned())
    }

    #[test]
    fn a_path_is_decoded_exactly_once() {
        assert_eq!(name("/a%20b/%C3%BC.txt").as_deref(), Some("a b/ü.txt"));
        assert_eq!(name("/a%2520b").as_deref(), Some("a%20b"));
        assert_eq!(name("/%252e%252e/x").as_deref(), Some("%2e%2e/x"));
        assert_eq!(name("/a+b").as_deref(), Some("a+b"), "a plus is a space in queries only");
    }

    #[test]
    fn a_slash_at_the_end_asks_for_a_folder() {
        for (path, expected, is_folder) in
            [("/", "", true), ("/a", "a", false), ("/a/", "a", true), ("/a/b/", "a/b", true)]
        {
            let parsed = FilePath::parse(path.as_bytes()).unwrap();
            assert_eq!((parsed.name(), parsed.is_folder()), (expected.as_bytes(), is_folder), "{path}");
        }
    }

    #[test]
    fn no_encoding_of_a_traversal_is_let_through() {
        for path in [
            "/..",
            "/../etc/passwd",
            "/a/../b",
            "/%2e%2e/etc/passwd",
            "/%2E%2e/x",
            "/.%2e/x",
            "/a/%2e",
            "/./a",
            "/..%2fetc/passwd",
            "/%2e%2e%2fetc%2fpasswd",
            "/a%2fb",
            "/a%2Fb",
            "/..\\etc",
            "/..%5cetc",
            "/a%5Cb",
            "/a%00.txt",
            "/%00",
            "/a%0ab",
            "/a%7f",
            "//etc/passwd",
            "/a//b",
            "/a//",
            "//",
            "/%",
            "/%2",
            "/%zz",
            "etc/passwd",
            "",
            "*",
        ] {
            assert_eq!(name(path), None, "{path}");
        }
    }

    #[test]
    fn names_with_a_dot_before_them_are_hidden_but_the_well_known_folder() {
        for path in [
            "/.git/config",
            "/.env",
            "/a/.htpasswd",
            "/%2ehidden",
            "/a/.well-known/x",
            "/.well-knownx",
            "/...",
        ] {
            assert_eq!(name(path), None, "{path}");
        }
        assert_eq!(name("/.well-known/security.txt").as_deref(), Some(".well-known/security.txt"));
        assert_eq!(name("/.well-known/.x"), None);
        assert_eq!(name("/a.b..c").as_deref(), Some("a.b..c"));
    }

    #[test]
    fn names_longer_than_the_file_system_has_are_refused() {
        assert!(name(&format!("/{}", "a".repeat(255))).is_some());
        assert!(name(&format!("/{}", "a".repeat(256))).is_none());
        assert!(name(&format!("/{}", "%61".repeat(255))).is_some());
        assert!(name(&format!("{}/x", "/abcdefg".repeat(511))).is_some());
        assert!(name(&format!("{}/abcdefgh", "/abcdefg".repeat(511))).is_none());
    }

    #[test]
    fn an_extension_is_what_follows_the_last_dot() {
        for (name, expected) in [
            ("a.txt", Some("txt")),
            ("a/b.tar.gz", Some("gz")),
            ("a.b/c", None),
            ("a.", None),
            (".well-known", None),
            ("a/.x", None),
            ("", None),
        ] {
            assert_eq!(extension(name.as_bytes()), expected.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn the_configuration_s_names_are_taken_as_they_stand() {
        let literal = |text| FilePath::literal(text).map(|path| String::from_utf8(path.name).unwrap());
        assert_eq!(literal("/app/index.html").as_deref(), Some("app/index.html"));
        assert_eq!(literal("a%20b").as_deref(), Some("a%20b"));
        for bad in ["", "/", "a/", "../a", "/a/../b", "//a", "a\\b", ".env", "a\nb"] {
            assert_eq!(literal(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_let_through_stays_below_the_root(path in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(parsed) = FilePath::parse(&path) {
                for segment in parsed.name().split(|byte| *byte == b'/') {
                    prop_assert!(parsed.name().is_empty() || !segment.is_empty());
                    prop_assert!(segment != b"." && segment != b"..");
                    prop_assert!(!segment.iter().any(|byte| matches!(byte, 0 | b'\\')));
                }
            }
        }

        #[test]
        fn every_name_that_is_shown_can_be_asked_for(name in "[^/\\\\\\p{Cc}.][^/\\\\\\p{Cc}]{0,20}") {
            prop_assert!(is_shown(name.as_bytes()));
            let mut path = b"/".to_vec();
            for byte in name.bytes() {
                path.extend_from_slice(format!("%{byte:02x}").as_bytes());
            }
            let parsed = FilePath::parse(&path).unwrap();
            prop_assert_eq!(parsed.name(), name.as_bytes());
        }
    }
}
