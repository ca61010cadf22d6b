//! Which file of a release a reference leads to (RFC 3986 §5), and the same reference with another name.

use crate::path::{AssetPath, percent_encoded};

/// Where references start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The URL's path that the root of the release has: `/assets/`.
    root: String,
    /// The folder of the document from the root of the site on, `/assets/css/`; `None` where relative references
    /// lead elsewhere.
    folder: Option<String>,
}

impl Base {
    /// References of this document. `root` is the URL's path of the release, with a slash at both ends.
    pub fn of(document: &AssetPath, root: &str) -> Self {
        let folder = format!("{root}{}", percent_encoded(document.folder()));
        Self { root: root.to_owned(), folder: Some(folder) }
    }

    /// The same with the `href` of a `<base>` (HTML, "the base element").
    pub(crate) fn with_base_element(&self, href: &[u8]) -> Self {
        let folder = self.resolve(href).map(|path| path[..=path.rfind('/').unwrap_or(0)].to_owned());
        Self { root: self.root.clone(), folder }
    }

    /// The file that a reference leads to; `None` for what is no file of the release.
    pub(crate) fn file(&self, reference: &[u8]) -> Option<AssetPath> {
        let path = self.resolve(reference)?;
        let within = path.strip_prefix(&self.root)?;
        // A folder's page is not asked for by its name.
        if within.is_empty() || within.ends_with('/') {
            return None;
        }
        AssetPath::of_url(within.as_bytes())
    }

    /// The reference's path from the root of the site on, without dot segments, still percent-encoded.
    fn resolve(&self, reference: &[u8]) -> Option<String> {
        let path = std::str::from_utf8(&reference[..path_len(reference)]).ok()?;
        // A colon in the first segment ends a scheme (RFC 3986 §4.2); `//` begins a host; `\` is read as `/` by browsers.
        let first = path.split('/').next().unwrap_or_default();
        if path.is_empty() || path.starts_with("//") || first.contains(':') || path.contains('\\') {
            return None;
        }
        let whole = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("{}{path}", self.folder.as_deref()?),
        };
        without_dots(&whole)
    }
}

/// Where the path of a reference ends: before its query and its fragment.
fn path_len(reference: &[u8]) -> usize {
    reference.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(reference.len())
}

/// RFC 3986 §5.2.4. `None`: it leads above the root.
fn without_dots(path: &str) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let last = segments.len() - 1;
    for (at, segment) in segments.into_iter().enumerate() {
        let is_up = is_dots(segment, 2);
        if !is_up && !is_dots(segment, 1) {
            kept.push(segment);
            continue;
        }
        if is_up {
            kept.pop()?;
        }
        if at == last {
            kept.push("");
        }
    }
    Some(format!("/{}", kept.join("/")))
}

/// Whether it is `.` or `..`, also percent-encoded.
fn is_dots(segment: &str, count: usize) -> bool {
    let plain = segment.replace("%2e", ".").replace("%2E", ".");
    plain.len() == count && plain.bytes().all(|byte| byte == b'.')
}

/// The reference with another file name: what stands before it, its query and its fragment stay.
pub(crate) fn renamed(reference: &[u8], name: &str) -> Vec<u8> {
    let (path, rest) = reference.split_at(path_len(reference));
    let folder = &path[..path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1)];
    [folder, percent_encoded(name).as_bytes(), rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(reference: &str) -> Option<String> {
        let base = Base::of(&"css/app.css".parse().unwrap(), "/assets/");
        base.file(reference.as_bytes()).map(|path| path.to_string())
    }

    #[test]
    fn a_reference_leads_to_a_file_from_its_document_s_folder_on() {
        for (reference, expected) in [
            ("a.png", "css/a.png"),
            ("./a.png", "css/a.png"),
            ("../img/a%20b.png?v=1#x", "img/a b.png"),
            ("/assets/img/a.png", "img/a.png"),
            ("x/%2e%2e/a.png", "css/a.png"),
        ] {
            assert_eq!(file(reference).as_deref(), Some(expected), "{reference}");
        }
    }

    #[test]
    fn what_leads_out_of_the_release_is_no_file_of_it() {
        for reference in [
            "",
            "#top",
            "?x",
            "http://other.test/a.png",
            "//other.test/a.png",
            "data:image/png;base64,AA",
            "/img/a.png",
            "../../a.png",
            "../../../../a.png",
            "mailto:a",
            "img/",
            "..",
            "a\\b.png",
            "a%2Fb.png",
        ] {
            assert_eq!(file(reference), None, "{reference}");
        }
    }

    #[test]
    fn only_the_name_of_a_reference_changes() {
        let of = |reference: &str| String::from_utf8(renamed(reference.as_bytes(), "a b.1.png")).unwrap();
        assert_eq!(of("../img/a.png?v=1#x/y"), "../img/a%20b.1.png?v=1#x/y");
        assert_eq!(of("a.png"), "a%20b.1.png");
    }

    #[test]
    fn a_base_element_moves_relative_references_alone() {
        let base = Base::of(&"a/index.html".parse().unwrap(), "/");
        let moved = base.with_base_element(b"/b/x.html");
        assert_eq!(moved.file(b"c.png").unwrap().as_str(), "b/c.png");
        assert_eq!(moved.file(b"/a/c.png").unwrap().as_str(), "a/c.png");
        assert_eq!(base.with_base_element(b"https://other.test/").file(b"c.png"), None);
    }
}
