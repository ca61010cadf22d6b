//! Header lines as they stand in a head or in the store, and what their values are made of.

/// Iterates over header lines, each `name: value` ended by CRLF: the name, and the value without the whitespace around it. Ends
/// with the bytes, or at an empty line. What has no colon is left out.
#[derive(Debug, Clone)]
pub struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    /// Over these lines; the start line is none of them.
    pub fn of(lines: &'a [u8]) -> Self {
        Self(lines)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.0.is_empty() {
                return None;
            }
            let end = self.0.iter().position(|byte| *byte == b'\n').unwrap_or(self.0.len());
            let line = self.0[..end].trim_ascii_end();
            self.0 = self.0.get(end + 1..).unwrap_or_default();
            if line.is_empty() {
                self.0 = &[];
                return None;
            }
            if let Some(colon) = line.iter().position(|byte| *byte == b':') {
                return Some((&line[..colon], trim(&line[colon + 1..])));
            }
        }
    }
}

/// Writes one header line.
pub(crate) fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Without the spaces and tabs around it (OWS, RFC 9110 §5.6.3).
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The members of a list (RFC 9110 §5.6.1), trimmed, without the empty ones. A comma in a quoted string parts nothing.
pub(crate) fn members(value: &[u8]) -> Members<'_> {
    Members(value)
}

/// See [`members`].
#[derive(Debug, Clone)]
pub(crate) struct Members<'a>(&'a [u8]);

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.0.is_empty() {
            let end = member_end(self.0);
            let member = trim(&self.0[..end]);
            self.0 = self.0.get(end + 1..).unwrap_or_default();
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

/// Where the first member ends: at a comma outside of quotes. A quote that is never closed is a character like any other, so that
/// it hides nothing behind it.
fn member_end(text: &[u8]) -> usize {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b',' => return at,
            b'"' => at += quoted_len(&text[at..]).unwrap_or(1),
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of the quoted string that begins here, with both quotes (RFC 9110 §5.6.4); `None` if it has no end.
pub(crate) fn quoted_len(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// A list's member as a weighted name (RFC 9110 §12.4.2), in thousandths. A weight that is malformed counts as none.
pub(crate) fn weighted(member: &[u8]) -> (&[u8], u16) {
    let Some(semicolon) = member.iter().position(|byte| *byte == b';') else { return (member, 1000) };
    let name = trim(&member[..semicolon]);
    let weight =
        member[semicolon + 1..].split(|byte| *byte == b';').find_map(|parameter| match trim(parameter) {
            [b'q' | b'Q', b'=', digits @ ..] => Some(qvalue(digits)),
            _ => None,
        });
    (name, weight.unwrap_or(1000))
}

fn qvalue(digits: &[u8]) -> u16 {
    match digits {
        [b'1', ..] => 1000,
        [b'0'] => 0,
        [b'0', b'.', decimals @ ..] => {
            let digit = |place: usize| {
                decimals.get(place).filter(|byte| byte.is_ascii_digit()).map_or(0, |byte| byte - b'0')
            };
            u16::from(digit(0)) * 100 + u16::from(digit(1)) * 10 + u16::from(digit(2))
        }
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_names_and_values_without_the_space_around_them() {
        let lines = b"A: 1\r\nb:\t two words \r\nempty:\r\nnone\r\nc:d:e\r\n\r\nbody: no\r\n";
        let found: Vec<_> = Lines::of(lines).collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"A", b"1"), (b"b", b"two words"), (b"empty", b""), (b"c", b"d:e")];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_comma_in_quotes_parts_nothing_and_an_open_quote_hides_nothing() {
        let all = |text: &'static str| {
            members(text.as_bytes()).map(|m| String::from_utf8_lossy(m).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(all(" , a,\"b,c\" ,, d=\"e\\\",f\""), ["a", "\"b,c\"", "d=\"e\\\",f\""]);
        assert_eq!(all("a=\"b, no-store"), ["a=\"b", "no-store"]);
    }

    #[test]
    fn weights_are_thousandths() {
        for (member, expected) in [
            ("a", 1000),
            ("a;q=0", 0),
            ("a; q=0.5", 500),
            ("a;q=0.001", 1),
            ("a;v=1;q=0.25", 250),
            ("a;q=1.0", 1000),
        ] {
            assert_eq!(weighted(member.as_bytes()), (&b"a"[..], expected), "{member}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_their_end(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b','), Just(b'\\'), Just(b'\n'), Just(b':')], 0..80)) {
            prop_assert!(Lines::of(&bytes).count() <= bytes.len());
            for member in members(&bytes) {
                prop_assert!(!member.is_empty());
                weighted(member);
            }
        }
    }
}
