//! The surrogate keys of a response: what it is purged by.

/// Tags of one response, and the bytes of one. A response with more is not stored: it could not be purged exactly.
pub const TAGS_MAX: usize = 256;
/// See [`TAGS_MAX`].
pub const TAG_BYTES_MAX: usize = 1024;

/// Whether this field holds tags: `Surrogate-Key` and `xkey`, separated by space; `Cache-Tag`, by commas.
pub(crate) fn is_tag_field(name: &[u8]) -> bool {
    separators(name).is_some()
}

fn separators(name: &[u8]) -> Option<&'static [u8]> {
    match name.len() {
        4 if name.eq_ignore_ascii_case(b"xkey") => Some(b" \t,"),
        9 if name.eq_ignore_ascii_case(b"cache-tag") => Some(b","),
        13 if name.eq_ignore_ascii_case(b"surrogate-key") => Some(b" \t"),
        _ => None,
    }
}

/// All tags of a response, each once, sorted; `None` if they are too many, or one too long. What is no UTF-8 is read as near to it as
/// can be, by the purge as well.
pub(crate) fn tags<'a>(lines: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<Box<[Box<str>]>> {
    let mut tags: Vec<Box<str>> = Vec::new();
    for (name, value) in lines {
        let Some(separators) = separators(name) else { continue };
        for tag in value.split(|byte| separators.contains(byte)).map(<[u8]>::trim_ascii) {
            if tag.is_empty() {
                continue;
            }
            if tag.len() > TAG_BYTES_MAX {
                return None;
            }
            tags.push(String::from_utf8_lossy(tag).into());
        }
        tags.sort_unstable();
        tags.dedup();
        if tags.len() > TAGS_MAX {
            return None;
        }
    }
    Some(tags.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Lines;

    fn read(lines: &str) -> Option<Vec<String>> {
        tags(Lines::of(lines.as_bytes())).map(|tags| tags.iter().map(|tag| (**tag).to_owned()).collect())
    }

    #[test]
    fn the_fields_of_all_vendors_are_read() {
        let lines = "Surrogate-Key: b a\tb\r\nCache-Tag: c d , e,,\r\nXKey: f, g  h\r\nOther: i\r\n";
        assert_eq!(read(lines).unwrap(), ["a", "b", "c d", "e", "f", "g", "h"]);
        assert_eq!(read("").unwrap(), [""; 0]);
    }

    #[test]
    fn too_many_and_too_long_ones_are_refused() {
        let many = |count: usize| {
            format!("xkey: {}\r\n", (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(read(&many(TAGS_MAX)).unwrap().len(), TAGS_MAX);
        assert_eq!(read(&many(TAGS_MAX + 1)), None);
        assert!(read(&format!("xkey: {}\r\n", "a".repeat(TAG_BYTES_MAX))).is_some());
        assert_eq!(read(&format!("xkey: {}\r\n", "a".repeat(TAG_BYTES_MAX + 1))), None);
    }
}
