//! Structured fields (RFC 9651), as far as a dictionary is to be read: keys and bare values. Parameters and the members of inner lists
//! are checked and left.

/// The bare value of a dictionary's member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bare<'a> {
    /// `60`, as its digits, with the sign.
    Integer(&'a [u8]),
    /// `"text"`, without the quotes, escapes as they stand.
    String(&'a [u8]),
    /// `?1`, or a key alone.
    Boolean(bool),
    /// Decimals, tokens, bytes, dates, display strings, inner lists.
    Other,
}

/// What is no dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Iterates over a dictionary's members; after `Err` it ends.
pub(crate) struct Dictionary<'a> {
    rest: &'a [u8],
    is_first: bool,
}

impl<'a> Dictionary<'a> {
    pub(crate) fn of(text: &'a [u8]) -> Self {
        Self { rest: without(text, b" "), is_first: true }
    }

    fn member(&mut self) -> Result<(&'a [u8], Bare<'a>), Malformed> {
        if !self.is_first {
            let comma = self.rest.strip_prefix(b",").ok_or(Malformed)?;
            self.rest = without(comma, b" \t");
        }
        self.is_first = false;
        let key = self.key()?;
        let value = match self.rest.strip_prefix(b"=") {
            Some(rest) => {
                self.rest = rest;
                if rest.starts_with(b"(") { self.inner_list()? } else { self.bare()? }
            }
            None => Bare::Boolean(true),
        };
        self.parameters()?;
        // Spaces at the end belong to the field, tabs do not (§4.2).
        let rest = without(self.rest, b" \t");
        if rest.is_empty() && self.rest.contains(&b'\t') {
            return Err(Malformed);
        }
        self.rest = rest;
        Ok((key, value))
    }

    fn key(&mut self) -> Result<&'a [u8], Malformed> {
        if !self.rest.first().is_some_and(|byte| byte.is_ascii_lowercase() || *byte == b'*') {
            return Err(Malformed);
        }
        Ok(self.take(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)))
    }

    /// `;key` and `;key=value`, any number of them.
    fn parameters(&mut self) -> Result<(), Malformed> {
        while let Some(rest) = self.rest.strip_prefix(b";") {
            self.rest = without(rest, b" ");
            self.key()?;
            if let Some(rest) = self.rest.strip_prefix(b"=") {
                self.rest = rest;
                self.bare()?;
            }
        }
        Ok(())
    }

    fn inner_list(&mut self) -> Result<Bare<'a>, Malformed> {
        self.rest = &self.rest[1..];
        loop {
            self.rest = without(self.rest, b" ");
            if let Some(rest) = self.rest.strip_prefix(b")") {
                self.rest = rest;
                return Ok(Bare::Other);
            }
            self.bare()?;
            self.parameters()?;
            if !matches!(self.rest.first(), Some(b' ' | b')')) {
                return Err(Malformed);
            }
        }
    }

    fn bare(&mut self) -> Result<Bare<'a>, Malformed> {
        match self.rest.first() {
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'"') => self.string().map(Bare::String),
            Some(b'?') => {
                let (value, rest) = self.rest[1..].split_first().ok_or(Malformed)?;
                self.rest = rest;
                if matches!(value, b'0' | b'1') { Ok(Bare::Boolean(*value == b'1')) } else { Err(Malformed) }
            }
            Some(b':') => self.enclosed(b':', |byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)),
            Some(b'@') => {
                self.rest = &self.rest[1..];
                if matches!(self.number()?, Bare::Integer(_)) { Ok(Bare::Other) } else { Err(Malformed) }
            }
            Some(b'%') => {
                self.rest = self.rest[1..].strip_prefix(b"\"").map(|_| &self.rest[1..]).ok_or(Malformed)?;
                self.enclosed(b'"', |byte| matches!(byte, b' '..=b'~'))
            }
            Some(first) if first.is_ascii_alphabetic() || *first == b'*' => {
                self.take(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
                Ok(Bare::Other)
            }
            _ => Err(Malformed),
        }
    }

    /// Up to 15 digits; or up to 12, a point and up to three (§3.3.1, §3.3.2).
    fn number(&mut self) -> Result<Bare<'a>, Malformed> {
        let all = self.rest;
        self.rest = self.rest.strip_prefix(b"-").unwrap_or(self.rest);
        let whole = self.take(|byte| byte.is_ascii_digit()).len();
        let Some(rest) = self.rest.strip_prefix(b".") else {
            let text = &all[..all.len() - self.rest.len()];
            return if (1..=15).contains(&whole) { Ok(Bare::Integer(text)) } else { Err(Malformed) };
        };
        self.rest = rest;
        let decimals = self.take(|byte| byte.is_ascii_digit()).len();
        if (1..=12).contains(&whole) && (1..=3).contains(&decimals) {
            Ok(Bare::Other)
        } else {
            Err(Malformed)
        }
    }

    fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let text = &self.rest[1..];
        let mut at = 0;
        loop {
            match text.get(at) {
                Some(b'"') => {
                    self.rest = &text[at + 1..];
                    return Ok(&text[..at]);
                }
                Some(b'\\') if matches!(text.get(at + 1), Some(b'"' | b'\\')) => at += 2,
                Some(b' '..=b'[' | b']'..=b'~') => at += 1,
                _ => return Err(Malformed),
            }
        }
    }

    fn enclosed(&mut self, mark: u8, is_allowed: impl Fn(u8) -> bool) -> Result<Bare<'a>, Malformed> {
        self.rest = &self.rest[1..];
        self.take(|byte| byte != mark && is_allowed(byte));
        self.rest = self.rest.strip_prefix(&[mark]).ok_or(Malformed)?;
        Ok(Bare::Other)
    }

    fn take(&mut self, is_part: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self.rest.iter().position(|byte| !is_part(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }
}

impl<'a> Iterator for Dictionary<'a> {
    type Item = Result<(&'a [u8], Bare<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let member = self.member();
        if member.is_err() {
            self.rest = &[];
        }
        Some(member)
    }
}

fn without<'a>(mut text: &'a [u8], space: &[u8]) -> &'a [u8] {
    while let [first, rest @ ..] = text
        && space.contains(first)
    {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<(&[u8], Bare<'_>)>, Malformed> {
        Dictionary::of(text.as_bytes()).collect()
    }

    #[test]
    fn members_have_keys_values_and_parameters() {
        let text = " a=1, b;x=1;y=\"q\" ,\tc=\"d, e\\\"\",f=?0, g=(1 \"2\";p tok), h=:aGk=:, i=1.5, j=@5, k=%\"f%c3\", *l=tok/x  ";
        let expected = [
            (&b"a"[..], Bare::Integer(b"1")),
            (b"b", Bare::Boolean(true)),
            (b"c", Bare::String(b"d, e\\\"")),
            (b"f", Bare::Boolean(false)),
            (b"g", Bare::Other),
            (b"h", Bare::Other),
            (b"i", Bare::Other),
            (b"j", Bare::Other),
            (b"k", Bare::Other),
            (b"*l", Bare::Other),
        ];
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        for text in [
            ",",
            "a,",
            "a=",
            "a==",
            "a=1 b",
            "A=1",
            "a=\"x",
            "a=?2",
            "a=?",
            "a=(1",
            "a=(1,2)",
            "a=(1\"2\")",
            "a=:x",
            "a=1.",
            "a=.5",
            "a=1234567890123456",
            "a=1.2345",
            "a=@x",
            "a=%x",
            "a;",
            "a;=1",
            "a=1;B",
            "a\t",
            "1=a",
            "-a",
            "a=\u{e9}",
            "a=\"\\x\"",
        ] {
            assert_eq!(read(text), Err(Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_all_of_it_is_read(text in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'='), Just(b','), Just(b';'), Just(b'"'), Just(b'('), Just(b')'), Just(b'a'), Just(b'1')], 0..60)) {
            prop_assert!(Dictionary::of(&text).count() <= text.len());
        }
    }
}
