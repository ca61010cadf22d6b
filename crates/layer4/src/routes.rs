//! Which pool a server name leads to: exactly, then by the longest wildcard, then the default.

use std::collections::HashMap;

/// RFC 1035 §2.3.4, as text without the final dot.
const NAME_BYTES_MAX: usize = 253;

/// Values by server name.
#[derive(Debug, Clone)]
pub(crate) struct Routes<T> {
    exact: HashMap<Box<str>, T>,
    /// By what follows `*.`.
    below: HashMap<Box<str>, T>,
    default: Option<T>,
}

/// Which of the rules led somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    Exact,
    /// The wildcard, as in the file.
    Wildcard(String),
    Default,
}

impl<T> Routes<T> {
    pub(crate) fn new<'a>(names: impl Iterator<Item = (&'a str, T)>, default: Option<T>) -> Self {
        let (mut exact, mut below) = (HashMap::new(), HashMap::new());
        for (name, value) in names {
            match name.strip_prefix("*.") {
                Some(rest) => below.insert(rest.into(), value),
                None => exact.insert(name.into(), value),
            };
        }
        Self { exact, below, default }
    }

    /// Whether a server name makes any difference.
    pub(crate) fn ask_for_names(&self) -> bool {
        !self.exact.is_empty() || !self.below.is_empty()
    }

    /// Where a name leads; it is in lower case. No name leads to the default.
    pub(crate) fn find(&self, name: Option<&str>) -> Option<(&T, Rule)> {
        name.and_then(|name| self.named(name))
            .or_else(|| self.default.as_ref().map(|value| (value, Rule::Default)))
    }

    fn named(&self, name: &str) -> Option<(&T, Rule)> {
        if let Some(value) = self.exact.get(name) {
            return Some((value, Rule::Exact));
        }
        let dots = name.bytes().enumerate().filter(|(_, byte)| *byte == b'.');
        // From the left, so that the first is the longest.
        let mut rests = dots.map(|(at, _)| &name[at + 1..]);
        rests.find_map(|rest| self.below.get(rest).map(|value| (value, Rule::Wildcard(format!("*.{rest}")))))
    }
}

/// Whether a key of `sni` can be what a client sends.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.bytes().any(|c| c.is_ascii_uppercase()) {
        return Err(format!("names are written in lower case: {:?}", name.to_ascii_lowercase()));
    }
    let rest = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        let is_allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(is_allowed)
    };
    if rest.len() <= NAME_BYTES_MAX && rest.split('.').all(is_label) {
        return Ok(());
    }
    Err("a server name is \"a.test\", or \"*.b.test\" for all names below".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes<u8> {
        let names = [("a.test", 1), ("*.b.test", 2), ("*.c.b.test", 3), ("*.test", 4)];
        Routes::new(names.into_iter(), Some(0))
    }

    #[test]
    fn the_exact_name_comes_first_then_the_longest_wildcard_then_the_default() {
        let routes = routes();
        let find = |name| routes.find(Some(name)).map(|(value, rule)| (*value, rule));
        assert_eq!(find("a.test"), Some((1, Rule::Exact)));
        assert_eq!(find("x.b.test"), Some((2, Rule::Wildcard("*.b.test".into()))));
        assert_eq!(find("x.y.b.test").map(|found| found.0), Some(2));
        assert_eq!(find("x.c.b.test").map(|found| found.0), Some(3));
        assert_eq!(find("b.test").map(|found| found.0), Some(4), "a wildcard is for names below");
        assert_eq!(find("other.example"), Some((0, Rule::Default)));
        assert_eq!(routes.find(None).map(|found| *found.0), Some(0));
        let strict = Routes::new([("a.test", 1)].into_iter(), None);
        assert_eq!(strict.find(Some("b.test")), None);
        assert!(strict.ask_for_names() && !Routes::new(std::iter::empty(), Some(1)).ask_for_names());
    }

    #[test]
    fn names_are_those_that_clients_send() {
        for name in ["a.test", "*.b.test", "localhost", "_x.a-b.c"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "*", "*.", "A.test", "a..b", "a.*.b", "a.test.", "a b", "a.test:1"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
