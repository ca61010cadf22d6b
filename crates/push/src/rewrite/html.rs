//! References in HTML: the tokens that matter of the standard's "tokenization", on bytes, whatever their charset above
//! ASCII is.

use super::css;
use super::reference::{Base, renamed};
use super::srcset;
use std::ops::Range;

/// What an attribute's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One reference, with blanks around it maybe.
    Url,
    /// `srcset`.
    Srcset,
    /// CSS: of `style`, or of a `<style>` element.
    Css,
    /// The `href` of `<base>`.
    Base,
}

/// A place where references are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What is there.
    pub kind: Kind,
    /// Where.
    pub place: Range<usize>,
    /// The tag has `integrity`: what it refers to must stay as it is.
    pub is_pinned: bool,
}

/// All places where references are, in their order. Links that people follow (`<a>`, `<area>`, `<link rel=canonical>`)
/// are none: what they lead to keeps its name.
pub fn find(html: &[u8]) -> Vec<Found> {
    let mut scanner = Scanner { html, at: 0, found: Vec::new() };
    scanner.run();
    scanner.found
}

/// The page with each reference replaced for which `new_name` has another file name. It is given the base that the
/// page's references start from, which a `<base>` may move, and the reference.
pub fn rewrite(
    html: &[u8],
    base: &Base,
    mut new_name: impl FnMut(&Base, &[u8]) -> Option<String>,
) -> Vec<u8> {
    let found = find(html);
    let base = page_base(html, base, &found);
    let mut named = |reference: &[u8]| {
        let name = new_name(&base, &unescaped(reference)?)?;
        Some(renamed(reference, &name))
    };
    let places = found.into_iter().map(|found| {
        let value = &html[found.place.clone()];
        let new = match found.kind {
            Kind::Base => None,
            Kind::Url => named(value),
            Kind::Srcset => {
                let places = srcset::references(value).into_iter();
                Some(css::splice(value, places.map(|place| (named(&value[place.clone()]), place))))
            }
            Kind::Css => Some(css::rewrite(value, &mut named)),
        };
        (new, found.place)
    });
    css::splice(html, places)
}

/// Calls for each reference of a page, with the base it starts from and whether it is pinned.
pub(super) fn each(html: &[u8], base: &Base, mut see: impl FnMut(&Base, &[u8], bool)) {
    let found = find(html);
    let base = page_base(html, base, &found);
    for found in found.iter().filter(|found| found.kind == Kind::Url) {
        if let Some(reference) = unescaped(&html[found.place.clone()]) {
            see(&base, &reference, found.is_pinned);
        }
    }
}

/// The first `<base>` with a `href` counts, for what stands before it too.
fn page_base(html: &[u8], base: &Base, found: &[Found]) -> Base {
    match found.iter().find(|found| found.kind == Kind::Base) {
        Some(element) => base.with_base_element(&html[element.place.clone()]),
        None => base.clone(),
    }
}

/// A value without character references, of which `&amp;` alone is decoded: the others have no business in a path.
fn unescaped(value: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'&', rest) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        // Behind the path of a reference it does not matter what is written.
        if plain.iter().any(|byte| matches!(byte, b'?' | b'#')) {
            break;
        }
        rest = rest.strip_prefix(b"&amp;")?;
        plain.push(b'&');
    }
    plain.extend_from_slice(rest);
    Some(plain)
}

struct Scanner<'a> {
    html: &'a [u8],
    at: usize,
    found: Vec<Found>,
}

/// An attribute of a tag: its name, and its value without quotes.
type Attribute = (Range<usize>, Range<usize>);

impl Scanner<'_> {
    fn run(&mut self) {
        while let Some(open) = memchr::memchr(b'<', self.rest()) {
            self.at += open;
            match self.html.get(self.at + 1) {
                Some(b'!') if self.rest().starts_with(b"<!--") => self.comment(),
                Some(b'!' | b'?') => self.skip_past(b">"),
                Some(b'/') if self.html.get(self.at + 2).is_some_and(u8::is_ascii_alphabetic) => {
                    self.at += 2;
                    self.tag();
                }
                Some(byte) if byte.is_ascii_alphabetic() => {
                    self.at += 1;
                    self.start_tag();
                }
                _ => self.at += 1,
            }
        }
    }

    fn rest(&self) -> &[u8] {
        self.html.get(self.at..).unwrap_or_default()
    }

    fn skip_past(&mut self, what: &[u8]) {
        let rest = self.rest();
        let end = memchr::memmem::find(rest, what).map_or(rest.len(), |end| end + what.len());
        self.at += end;
    }

    /// `<!-- … -->`; `<!-->` and `<!--->` are whole as well, and `--!>` ends one too.
    fn comment(&mut self) {
        self.at += 4;
        if self.rest().starts_with(b">") || self.rest().starts_with(b"->") {
            return self.skip_past(b">");
        }
        let rest = self.rest();
        let ends = [&b"-->"[..], b"--!>"].map(|end| memchr::memmem::find(rest, end).map(|at| at + end.len()));
        let end = ends.into_iter().flatten().min().unwrap_or(rest.len());
        self.at += end;
    }

    fn start_tag(&mut self) {
        let (name, attributes) = self.tag();
        let name = self.html[name].to_ascii_lowercase();
        self.note(&name, &attributes);
        match name.as_slice() {
            b"style" => {
                let start = self.at;
                self.skip_raw(&name);
                self.found.push(Found { kind: Kind::Css, place: start..self.at, is_pinned: false });
            }
            // What stands in these is text, up to their own end tags.
            b"script" | b"title" | b"textarea" | b"xmp" | b"iframe" | b"noembed" | b"noframes" => {
                self.skip_raw(&name);
            }
            b"plaintext" => self.at = self.html.len(),
            _ => {}
        }
    }

    /// Up to the end tag of this name, or to the end of the page.
    fn skip_raw(&mut self, name: &[u8]) {
        while let Some(open) = memchr::memmem::find(self.rest(), b"</") {
            self.at += open;
            let after = &self.rest()[2..];
            let is_name = after.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
            let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>');
            if is_name && after.get(name.len()).is_some_and(ends) {
                return;
            }
            self.at += 2;
        }
        self.at = self.html.len();
    }

    /// The rest of a tag, from its name to behind its `>`.
    fn tag(&mut self) -> (Range<usize>, Vec<Attribute>) {
        let name = self.until(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'));
        let mut attributes = Vec::new();
        loop {
            self.until(|byte| !byte.is_ascii_whitespace() && byte != b'/');
            match self.html.get(self.at) {
                None => return (name, attributes),
                Some(b'>') => {
                    self.at += 1;
                    return (name, attributes);
                }
                Some(_) => attributes.extend(self.attribute()),
            }
        }
    }

    /// One attribute; `None` for one without a value.
    fn attribute(&mut self) -> Option<Attribute> {
        let start = self.at;
        // A `=` at its beginning is part of its name.
        self.at += 1;
        self.until(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>' | b'='));
        let name = start..self.at;
        self.until(|byte| !byte.is_ascii_whitespace());
        if self.html.get(self.at) != Some(&b'=') {
            return None;
        }
        self.at += 1;
        self.until(|byte| !byte.is_ascii_whitespace());
        let value = match self.html.get(self.at) {
            Some(quote @ (b'"' | b'\'')) => {
                self.at += 1;
                let value = self.until(|byte| byte == *quote);
                // A value that never ends is part of no tag.
                if self.at == self.html.len() {
                    return None;
                }
                self.at += 1;
                value
            }
            _ => self.until(|byte| byte.is_ascii_whitespace() || byte == b'>'),
        };
        Some((name, value))
    }

    /// Moves to the first byte that is such, or to the end; what was passed.
    fn until(&mut self, is_end: impl Fn(u8) -> bool) -> Range<usize> {
        let start = self.at;
        let passed = self.rest().iter().position(|byte| is_end(*byte));
        self.at = passed.map_or(self.html.len(), |passed| start + passed);
        start..self.at
    }

    /// Notes the attributes of a tag that hold references.
    fn note(&mut self, tag: &[u8], attributes: &[Attribute]) {
        let value = |wanted: &[u8]| {
            // Of two of one name the first counts.
            let found =
                attributes.iter().find(|(name, _)| self.html[name.clone()].eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.clone())
        };
        let is_pinned = value(b"integrity").is_some();
        let rel = value(b"rel").map(|rel| self.html[rel].to_ascii_lowercase());
        let mut found: Vec<Found> = ATTRIBUTES
            .iter()
            .filter(|(_, tags, _)| tags.is_empty() || tags.iter().any(|known| known.as_bytes() == tag))
            .filter(|(name, ..)| tag != b"link" || *name != "href" || rel.as_deref().is_some_and(is_loaded))
            .filter_map(|(name, _, kind)| {
                let place = trimmed(self.html, value(name.as_bytes())?);
                let kind = if tag == b"base" { Kind::Base } else { *kind };
                Some(Found { kind, place, is_pinned })
            })
            .collect();
        found.sort_by_key(|found| found.place.start);
        self.found.append(&mut found);
    }
}

/// Attributes with references, the tags that have them (all, if none is named), and what they hold.
const ATTRIBUTES: [(&str, &[&str], Kind); 11] = [
    ("src", &["img", "script", "source", "audio", "video", "track", "embed", "input"], Kind::Url),
    ("href", &["link", "image", "use", "feimage", "base"], Kind::Url),
    ("xlink:href", &["image", "use", "feimage"], Kind::Url),
    ("srcset", &["img", "source"], Kind::Srcset),
    ("imagesrcset", &["link"], Kind::Srcset),
    ("poster", &["video"], Kind::Url),
    ("data", &["object"], Kind::Url),
    ("data-src", &["img", "source", "video", "audio"], Kind::Url),
    ("data-srcset", &["img", "source"], Kind::Srcset),
    ("background", &["body", "table", "td", "th"], Kind::Url),
    ("style", &[], Kind::Css),
];

/// Whether a browser loads what a `<link>` of this `rel` names, rather than that people go there.
fn is_loaded(rel: &[u8]) -> bool {
    const LOADED: [&[u8]; 8] = [
        b"stylesheet",
        b"icon",
        b"preload",
        b"modulepreload",
        b"prefetch",
        b"manifest",
        b"apple-touch-icon",
        b"mask-icon",
    ];
    rel.split(u8::is_ascii_whitespace).any(|word| LOADED.contains(&word))
}

fn trimmed(html: &[u8], place: Range<usize>) -> Range<usize> {
    let value = &html[place.clone()];
    let start = place.start + (value.len() - value.trim_ascii_start().len());
    start..start + value.trim_ascii().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(html: &str) -> Vec<&str> {
        find(html.as_bytes()).into_iter().map(|found| &html[found.place]).collect()
    }

    fn rewritten(html: &str) -> String {
        let base = Base::of(&"index.html".parse().unwrap(), "/");
        let new = rewrite(html.as_bytes(), &base, |base, reference| {
            let path = base.file(reference)?;
            (path.extension() != "html").then(|| format!("N-{}", path.file_name()))
        });
        String::from_utf8(new).unwrap()
    }

    #[test]
    fn references_are_found_however_a_tag_is_written() {
        assert_eq!(
            values("<img src=a.png><IMG SRC = 'b.png' alt=\"src='x'\"><img/src=\"c.png\"/>"),
            ["a.png", "b.png", "c.png"]
        );
        assert_eq!(values("<video poster=\" p.png \" src=v.mp4>"), ["p.png", "v.mp4"]);
        assert_eq!(
            values("<link href=a.css rel='preload stylesheet'><svg><use xlink:href='s.svg#i'>"),
            ["a.css", "s.svg#i"]
        );
    }

    #[test]
    fn what_only_looks_like_a_reference_is_none() {
        for html in [
            "<!-- <img src=a.png> -->",
            "<script>'<img src=a.png>'</script>",
            "<title><img src=a.png></title>",
            "<textarea><img src=a.png></textareaa></textarea>",
            "<a href=a.png>",
            "<link rel=canonical href=a.html>",
            "<link href=a.css>",
            "< img src=a.png>",
            "<img src=\"a.png",
            "<img data-x='src=a.png'>",
            "</img src=>",
            "<!doctype html src=a.png>",
            "<img alt=1 src>",
            "<",
            "<i",
            "</",
            "<!--",
            "<!-->",
            "<style>",
            "<style></style",
        ] {
            let found: Vec<_> = values(html).into_iter().filter(|value| value.contains("a.")).collect();
            assert_eq!(found, [""; 0], "{html}");
        }
        assert_eq!(values("<!--><img src=a.png>"), ["a.png"]);
        assert_eq!(values("<script>x</script ><img src=a.png>"), ["a.png"]);
    }

    #[test]
    fn names_change_and_nothing_else_does() {
        assert_eq!(rewritten("<img src='i/a.png?x=1&amp;y#z'>"), "<img src='i/N-a.png?x=1&amp;y#z'>");
        assert_eq!(rewritten("<img srcset='a.png 1x, b.png 2x'>"), "<img srcset='N-a.png 1x, N-b.png 2x'>");
        assert_eq!(
            rewritten("<p style=\"background:url('a.png')\">"),
            "<p style=\"background:url('N-a.png')\">"
        );
        assert_eq!(
            rewritten("<style>@import 'a.css';b{c:url(d.png)}</style>"),
            "<style>@import 'N-a.css';b{c:url(N-d.png)}</style>"
        );
        assert_eq!(rewritten("<img src='a&amp;b.png'>"), "<img src='N-a%26b.png'>");
        assert_eq!(rewritten("<img src='a&#46;png'>"), "<img src='a&#46;png'>");
        assert_eq!(rewritten("<img src='http://other.test/a.png'>"), "<img src='http://other.test/a.png'>");
    }

    #[test]
    fn a_base_element_counts_for_the_whole_page() {
        let html = "<img src=a.png><base href=/sub/><base href=/other/>";
        let mut seen = Vec::new();
        each(html.as_bytes(), &Base::of(&"index.html".parse().unwrap(), "/"), |base, reference, _| {
            seen.extend(base.file(reference).map(|path| path.to_string()));
        });
        assert_eq!(seen, ["sub/a.png"]);
    }

    #[test]
    fn a_tag_with_integrity_pins_what_it_names() {
        let found = find(b"<link rel=stylesheet href=a.css integrity=sha384-x><img src=b.png>");
        assert_eq!(found.iter().map(|found| found.is_pinned).collect::<Vec<_>>(), [true, false]);
    }

    proptest! {
        #[test]
        fn a_page_none_of_whose_references_changes_stays_as_it_is(html in "[<>/!a-z='\" \n-]{0,80}") {
            let base = Base::of(&"index.html".parse().unwrap(), "/");
            prop_assert_eq!(rewrite(html.as_bytes(), &base, |_, _| None), html.as_bytes());
        }

        #[test]
        fn a_rewritten_page_has_the_same_places(html in "(<(img|style|link|!--|/style)?( (src|srcset|href|style|rel)=?['\"]?[a-z(),/]{0,6}['\"]?)*>?){0,12}") {
            let base = Base::of(&"index.html".parse().unwrap(), "/");
            let new = rewrite(html.as_bytes(), &base, |_, _| Some("n.0123456789ab.png".into()));
            let kinds = |html: &[u8]| find(html).iter().map(|found| (found.kind, found.is_pinned)).collect::<Vec<_>>();
            prop_assert_eq!(kinds(&new), kinds(html.as_bytes()), "{}", String::from_utf8_lossy(&new));
        }

        #[test]
        fn places_are_apart_and_in_their_order(html in "(<(img|style|link|!--|/style)?( (src|srcset|href|style|rel)=?['\"]?[a-z(),]{0,6}['\"]?)*>?){0,12}") {
            let mut end = 0;
            for found in find(html.as_bytes()) {
                prop_assert!(found.place.start >= end && found.place.end <= html.len(), "{:?}", found);
                end = found.place.end;
            }
        }
    }
}
