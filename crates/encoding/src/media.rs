//! Media types as the file names them: `text/css`, `text/*`, `application/*+json`, `*/*`.

use crate::accept::trim;

/// What is compressed unless the file says otherwise: text, and the binary formats that are not compressed
/// inside.
pub(crate) const DEFAULT_TYPES: [&str; 20] = [
    "text/*",
    "application/javascript",
    "application/x-javascript",
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/xml",
    "application/*+xml",
    "application/wasm",
    "application/rtf",
    "application/vnd.ms-fontobject",
    "font/ttf",
    "font/otf",
    "font/collection",
    "image/svg+xml",
    "image/bmp",
    "image/x-icon",
    "image/vnd.microsoft.icon",
    "model/gltf+json",
    "message/rfc822",
];

/// A media type or a family of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TypePattern {
    /// `*/*`
    Any,
    /// `text/*`: up to and with the slash.
    Family(Box<str>),
    /// `application/*+json`: up to and with the slash, and the suffix with its plus (RFC 6839).
    Suffix(Box<str>, Box<str>),
    /// `text/css`
    Exact(Box<str>),
}

impl TypePattern {
    /// Reads a pattern; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (family, subtype) = text.split_once('/')?;
        let is_token = |text: &str| !text.is_empty() && text.bytes().all(is_type_char);
        if (family, subtype) == ("*", "*") {
            return Some(Self::Any);
        }
        if !is_token(family) {
            return None;
        }
        let stem = || format!("{family}/").into();
        match subtype.strip_prefix('*') {
            Some("") => Some(Self::Family(stem())),
            Some(suffix) => (suffix.starts_with('+') && is_token(&suffix[1..]))
                .then(|| Self::Suffix(stem(), suffix.into())),
            None => is_token(subtype).then(|| Self::Exact(text.into())),
        }
    }

    /// Whether a media type without parameters is meant.
    pub(crate) fn matches(&self, essence: &[u8]) -> bool {
        let starts = |stem: &str| {
            essence.get(..stem.len()).is_some_and(|start| start.eq_ignore_ascii_case(stem.as_bytes()))
        };
        match self {
            Self::Any => true,
            Self::Family(stem) => starts(stem),
            Self::Suffix(stem, suffix) => {
                let rest = essence.get(stem.len()..).unwrap_or_default();
                let from = rest.len().checked_sub(suffix.len());
                starts(stem) && from.is_some_and(|from| rest[from..].eq_ignore_ascii_case(suffix.as_bytes()))
            }
            Self::Exact(name) => essence.eq_ignore_ascii_case(name.as_bytes()),
        }
    }
}

/// RFC 6838 §4.2: what a name of a type is made of.
fn is_type_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte)
}

/// The media type in a `Content-Type`, without its parameters.
pub(crate) fn essence(content_type: &[u8]) -> &[u8] {
    let end = content_type.iter().position(|byte| *byte == b';').unwrap_or(content_type.len());
    trim(&content_type[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, content_type: &str) -> bool {
        TypePattern::parse(pattern).unwrap().matches(essence(content_type.as_bytes()))
    }

    #[test]
    fn a_type_is_matched_without_its_parameters_and_in_any_case() {
        assert!(matches("text/html", "text/html"));
        assert!(matches("text/html", " Text/HTML ; charset=utf-8"));
        assert!(matches("Text/HTML", "text/html;charset=utf-8"));
        assert!(!matches("text/html", "text/htm"));
        assert!(!matches("text/html", "text/html5"));
        assert!(!matches("text/html", ""));
    }

    #[test]
    fn families_and_suffixes_are_matched() {
        assert!(matches("text/*", "TEXT/css"));
        assert!(!matches("text/*", "textual/css"));
        assert!(!matches("text/*", "text"));
        assert!(matches("application/*+json", "application/problem+json; a=b"));
        assert!(!matches("application/*+json", "application/json"));
        assert!(!matches("application/*+json", "application/json+x"));
        assert!(!matches("application/*+json", "image/x+json"));
        assert!(matches("*/*", "application/octet-stream"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in [
            "",
            "text",
            "text/",
            "/html",
            "*",
            "*/html",
            "te*/html",
            "text/ht*",
            "text/*json",
            "text/*+",
            "text/html; a",
            "a/b/c",
            "text/*+*",
        ] {
            assert_eq!(TypePattern::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_default_types_are_patterns_and_miss_what_is_compressed_inside() {
        let defaults: Vec<_> = DEFAULT_TYPES.iter().map(|text| TypePattern::parse(text).unwrap()).collect();
        let is_default = |name: &str| defaults.iter().any(|pattern| pattern.matches(name.as_bytes()));
        for name in
            ["text/html", "application/json", "application/ld+json", "image/svg+xml", "application/wasm"]
        {
            assert!(is_default(name), "{name}");
        }
        for name in [
            "image/png",
            "image/jpeg",
            "video/mp4",
            "font/woff2",
            "application/zip",
            "application/grpc",
            "application/octet-stream",
        ] {
            assert!(!is_default(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_type_makes_it_panic(content_type in prop::collection::vec(any::<u8>(), 0..40)) {
            for pattern in DEFAULT_TYPES {
                TypePattern::parse(pattern).unwrap().matches(essence(&content_type));
            }
        }
    }
}
