//! References in CSS (CSS Syntax Level 3 §4): `url(…)`, quoted or not, and the string of `@import`.

use std::ops::Range;

/// The places of all references, in their order. Comments and strings that are no references are passed over; a
/// reference with an escape (`\`) is left as it is.
pub fn references(css: &[u8]) -> Vec<Range<usize>> {
    let mut scanner = Scanner { css, at: 0, found: Vec::new() };
    scanner.run();
    scanner.found
}

/// The text with each reference replaced for which `renamed` has another.
pub fn rewrite(css: &[u8], mut renamed: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    splice(css, references(css).into_iter().map(|place| (renamed(&css[place.clone()]), place)))
}

/// The text with some places replaced.
pub(super) fn splice(
    text: &[u8],
    places: impl IntoIterator<Item = (Option<Vec<u8>>, Range<usize>)>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut copied = 0;
    for (new, place) in places {
        let Some(new) = new else { continue };
        out.extend_from_slice(&text[copied..place.start]);
        out.extend_from_slice(&new);
        copied = place.end;
    }
    out.extend_from_slice(&text[copied..]);
    out
}

struct Scanner<'a> {
    css: &'a [u8],
    at: usize,
    found: Vec<Range<usize>>,
}

impl Scanner<'_> {
    fn run(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                b'/' if self.peek(1) == Some(b'*') => self.comment(),
                b'"' | b'\'' => drop(self.string(byte)),
                b'\\' => self.at += 2,
                b'@' => self.at_keyword(),
                byte if is_name(byte) => self.word(),
                _ => self.at += 1,
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.css.get(self.at + ahead).copied()
    }

    fn comment(&mut self) {
        let rest = &self.css[self.at + 2..];
        self.at = memchr::memmem::find(rest, b"*/").map_or(self.css.len(), |end| self.at + 2 + end + 2);
    }

    /// Passes over a string; its inner place if it is whole and without escapes.
    fn string(&mut self, quote: u8) -> Option<Range<usize>> {
        let start = self.at + 1;
        self.at = start;
        let mut is_plain = true;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\\' => {
                    is_plain = false;
                    self.at += 2;
                }
                // A line's end ends a bad string (§4.3.5).
                b'\n' | b'\r' | 0x0c => return None,
                byte if byte == quote => {
                    self.at += 1;
                    return is_plain.then_some(start..self.at - 1);
                }
                _ => self.at += 1,
            }
        }
        self.at = self.css.len();
        None
    }

    fn at_keyword(&mut self) {
        self.at += 1;
        let word = self.name();
        if !self.css[word].eq_ignore_ascii_case(b"import") {
            return;
        }
        self.blanks_and_comments();
        if let Some(quote @ (b'"' | b'\'')) = self.peek(0)
            && let Some(place) = self.string(quote)
        {
            self.found.push(place);
        }
    }

    /// A name; if it is `url(`, what it refers to.
    fn word(&mut self) {
        let word = self.name();
        if self.peek(0) != Some(b'(') || !self.css[word].eq_ignore_ascii_case(b"url") {
            return;
        }
        self.at += 1;
        self.blanks();
        let place = match self.peek(0) {
            Some(quote @ (b'"' | b'\'')) => self.string(quote),
            _ => self.unquoted(),
        };
        self.found.extend(place);
    }

    /// What stands unquoted in `url( … )` (§4.3.6).
    fn unquoted(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let mut is_plain = true;
        while let Some(byte) = self.peek(0) {
            match byte {
                b')' => break,
                b'\\' => {
                    is_plain = false;
                    self.at += 1;
                }
                b'"' | b'\'' | b'(' => is_plain = false,
                _ => {}
            }
            self.at += 1;
        }
        self.at = self.at.min(self.css.len());
        let text = self.css[start..self.at].trim_ascii_end();
        let place = start..start + text.len();
        self.at = (self.at + 1).min(self.css.len());
        let is_one = !text.is_empty() && !text.iter().any(u8::is_ascii_whitespace);
        (is_plain && is_one).then_some(place)
    }

    fn name(&mut self) -> Range<usize> {
        let start = self.at;
        while self.peek(0).is_some_and(is_name) {
            self.at += 1;
        }
        start..self.at
    }

    fn blanks(&mut self) {
        while self.peek(0).is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn blanks_and_comments(&mut self) {
        loop {
            self.blanks();
            if self.peek(0) != Some(b'/') || self.peek(1) != Some(b'*') {
                return;
            }
            self.comment();
        }
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(css: &str) -> Vec<&str> {
        references(css.as_bytes()).into_iter().map(|place| &css[place]).collect()
    }

    #[test]
    fn urls_are_found_however_they_are_written() {
        assert_eq!(found("a{b:url(x.png)}"), ["x.png"]);
        assert_eq!(found("a{b:URL( 'x y.png' ), url(\n\"z.png\")}"), ["x y.png", "z.png"]);
        assert_eq!(found("a{b:url( x.png )c:url(y.png"), ["x.png", "y.png"]);
        assert_eq!(
            found("@import 'a.css';@IMPORT/**/ \"b.css\" screen;@import url(c.css);"),
            ["a.css", "b.css", "c.css"]
        );
        assert_eq!(found("@font-face{src:url(a.woff2)format('woff2'),url(b.woff)}"), ["a.woff2", "b.woff"]);
    }

    #[test]
    fn what_only_looks_like_a_url_is_none() {
        for css in [
            "/* url(x.png) */",
            "a{content:'url(x.png)'}",
            "a{b:curl(x.png)}",
            "a{b:my-url(x.png)}",
            "a{b:url()}",
            "a{b:url(x\\.png)}",
            "a{b:url('x\\.png')}",
            "a{b:url(x y)}",
            "@charset 'utf-8'",
            "a{b:'\nurl(",
            "\\",
            "/*",
            "@import",
            "a{b:url('x",
            "a{b:\\url(x)}",
        ] {
            assert_eq!(found(css), [""; 0], "{css}");
        }
    }

    proptest! {
        #[test]
        fn a_text_whose_references_keep_their_names_stays_as_it_is(css in "[a(){}'\"url/*@import; \\\\\n.]{0,60}") {
            prop_assert_eq!(rewrite(css.as_bytes(), |old| Some(old.to_vec())), css.as_bytes());
        }

        #[test]
        fn a_rewritten_sheet_has_as_many_references(css in "[a(){}'\"url/*@import; \\\\\n.]{0,60}") {
            let new = rewrite(css.as_bytes(), |_| Some(b"n.0123456789ab.png".to_vec()));
            prop_assert_eq!(references(&new).len(), references(css.as_bytes()).len(), "{}", String::from_utf8_lossy(&new));
        }

        #[test]
        fn references_are_apart_and_in_their_order(css in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut end = 0;
            for place in references(&css) {
                prop_assert!(place.start >= end && place.end <= css.len() && !place.is_empty() || place.start == place.end);
                end = place.end;
            }
        }
    }
}
