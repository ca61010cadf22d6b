//! `Authorization: Basic …` (RFC 7617 §2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// A longer value has no password that a person or a program uses, and hashing takes time by length.
const VALUE_BYTES_MAX: usize = 512;

/// A user and what it says its password is.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Without a colon, and without control characters.
    pub user: String,
    /// Without control characters.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Reads the value of `Authorization`; `None` when it is of another scheme, is no base64 of UTF-8, has no colon, or has
/// control characters in it (RFC 7617 §2).
pub fn parse_basic(value: &[u8]) -> Option<Credentials> {
    if value.len() > VALUE_BYTES_MAX {
        return None;
    }
    let value = value.trim_ascii();
    // RFC 9110 §11.1: the scheme in any case, then at least one space.
    let (scheme, encoded) = value.split_at_checked(b"Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim_ascii_start()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    // The first colon ends the user; all others are the password's.
    let (user, password) = text.split_once(':')?;
    let is_clean = !text.chars().any(char::is_control);
    is_clean.then(|| Credentials { user: user.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<(String, String)> {
        parse_basic(text.as_bytes()).map(|found| (found.user, found.password))
    }

    #[test]
    fn users_and_passwords_are_read() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        // The examples of RFC 7617 §2 and §2.1.
        assert_eq!(read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(read("Basic dGVzdDoxMjPCow=="), pair("test", "123£"));
        assert_eq!(read("bAsIc   QWxhZGRpbjpvcGVuIHNlc2FtZQ==  "), pair("Aladdin", "open sesame"));
        assert_eq!(read(&format!("Basic {}", STANDARD.encode("a:b:c:"))), pair("a", "b:c:"), "colons");
        assert_eq!(read(&format!("Basic {}", STANDARD.encode(":"))), pair("", ""));
    }

    #[test]
    fn what_is_not_basic_is_none() {
        for text in [
            "",
            "Basic",
            "Basic ",
            "Bearer QWxhZGRpbg==",
            "BasicQWxhZGRpbjpvcGVu",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ",
            "Basic !!!!",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        for decoded in [&b"no colon"[..], b"a:\xff", b"a:b\0c", b"a\n:b", b"a:\x7f"] {
            assert_eq!(read(&format!("Basic {}", STANDARD.encode(decoded))), None, "{decoded:?}");
        }
        assert_eq!(
            read(&format!("Basic {}", STANDARD.encode(format!("a:{}", "b".repeat(400))))),
            None,
            "too long"
        );
    }

    #[test]
    fn a_password_is_not_printed() {
        let found = parse_basic(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
        assert!(!format!("{found:?}").contains("sesame"));
    }

    proptest! {
        #[test]
        fn what_is_sent_is_read(user in "[^:\\p{Cc}]{0,20}", password in "[^\\p{Cc}]{0,40}") {
            let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            prop_assert_eq!(read(&value), Some((user, password)));
        }

        #[test]
        fn no_bytes_make_it_panic(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse_basic(&value);
            let _ = parse_basic(&[b"Basic ", &value[..]].concat());
        }
    }
}
