//! `$PORT`, `$INSTANCE` and `$NINES` in the arguments of a program.
//!
//! There is no shell in between: a value is never split into words and needs no quotes. Other names are left as
//! they stand, so that `["sh", "-c", "echo $HOME"]` means what it says.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What the names stand for, for one run of one instance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a> {
    /// The port the instance is asked to listen on.
    pub(crate) port: u16,
    /// The instance's name.
    pub(crate) instance: &'a str,
    /// The running nines binary.
    pub(crate) nines: &'a OsStr,
}

impl Values<'_> {
    fn get(&self, name: &[u8]) -> Option<OsString> {
        match name {
            b"PORT" => Some(self.port.to_string().into()),
            b"INSTANCE" => Some(self.instance.into()),
            b"NINES" => Some(self.nines.into()),
            _ => None,
        }
    }
}

/// Replaces every `$NAME` and `${NAME}` that `values` know; a name is as long as it can be, `$PORTS` is not
/// `$PORT` and an `S`. What was put in is not searched again.
pub(crate) fn substitute(text: &str, values: &Values<'_>) -> OsString {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some(dollar) = rest.iter().position(|byte| *byte == b'$') {
        out.extend_from_slice(&rest[..dollar]);
        rest = &rest[dollar..];
        let (name, length) = name_after_dollar(&rest[1..]);
        match values.get(name) {
            Some(value) => out.extend_from_slice(value.as_bytes()),
            None => out.extend_from_slice(&rest[..=length]),
        }
        rest = &rest[1 + length..];
    }
    out.extend_from_slice(rest);
    OsString::from_vec(out)
}

/// The name that follows a `$`, and how many bytes it takes with its braces. No name is an empty one.
fn name_after_dollar(text: &[u8]) -> (&[u8], usize) {
    let word = |text: &[u8]| {
        text.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').unwrap_or(text.len())
    };
    if let Some(braced) = text.strip_prefix(b"{") {
        let length = word(braced);
        return if braced.get(length) == Some(&b'}') { (&braced[..length], length + 2) } else { (b"", 0) };
    }
    let length = word(text);
    (&text[..length], length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replaced(text: &str) -> String {
        let values = Values { port: 3001, instance: "shop-1", nines: OsStr::new("/usr/bin/nines") };
        substitute(text, &values).into_string().unwrap()
    }

    #[test]
    fn known_names_are_replaced_wherever_they_stand() {
        assert_eq!(replaced("$PORT"), "3001");
        assert_eq!(replaced("--listen=127.0.0.1:${PORT}/x"), "--listen=127.0.0.1:3001/x");
        assert_eq!(replaced("$NINES-$INSTANCE.$PORT"), "/usr/bin/nines-shop-1.3001");
        assert_eq!(replaced("${INSTANCE}${PORT}"), "shop-13001");
        assert_eq!(replaced("ü$PORT€"), "ü3001€");
    }

    #[test]
    fn everything_else_is_left_to_whoever_reads_it() {
        for text in
            ["", "$", "$$", "$HOME", "$PORTS", "$port", "${PORT", "${}", "${PORT-1}", "a$", "$1", "{PORT}"]
        {
            assert_eq!(replaced(text), text);
        }
        assert_eq!(replaced("$$PORT"), "$3001");
        assert_eq!(replaced("${$PORT}"), "${3001}");
    }

    #[test]
    fn what_was_put_in_is_not_searched_again() {
        let values = Values { port: 1, instance: "$PORT", nines: OsStr::new("$INSTANCE") };
        assert_eq!(substitute("$NINES $INSTANCE", &values), "$INSTANCE $PORT");
    }

    proptest! {
        #[test]
        fn a_text_without_a_dollar_is_unchanged(text in "[^$]*") {
            prop_assert_eq!(replaced(&text), text);
        }

        #[test]
        fn both_spellings_mean_the_same(before in "[^$]*", after in "([^A-Za-z0-9_$][^$]*)?") {
            prop_assert_eq!(replaced(&format!("{before}$PORT{after}")), format!("{before}3001{after}"));
            prop_assert_eq!(replaced(&format!("{before}${{PORT}}{after}")), format!("{before}3001{after}"));
        }

        #[test]
        fn an_unknown_name_is_never_touched(name in "[A-Z_]{1,8}") {
            prop_assume!(!["PORT", "INSTANCE", "NINES"].contains(&name.as_str()));
            let text = format!("a${name} b${{{name}}}");
            prop_assert_eq!(replaced(&text), text);
        }
    }
}
