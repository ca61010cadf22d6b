//! `allow`, `deny`, `proxy_protocol`: lists of networks, as the file has them.

use super::network::{Network, NotANetwork};
use notation::{Faults, TextOr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::PathBuf;

/// One entry of a list: `"10.0.0.0/8"`, `"2001:db8::1"`, or `{ file = "lists/deny.txt" }`.
pub type NetworkEntry = TextOr<NetworkFile>;

/// Networks that stand in a file of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// A file with one network a line; blank lines and lines that begin with `#` are skipped. It is read again when
    /// it changes.
    pub file: PathBuf,
}

/// Every text is a network, every file has a name. `whose` names the list in messages: `edge: proxy_protocol`.
pub fn check_networks(
    entries: &[NetworkEntry],
    whose: &str,
    span: Option<&Range<usize>>,
    faults: &mut Faults,
) {
    for entry in entries {
        match entry {
            TextOr::Text(name) => {
                let Err(cause) = name.parse::<Network>() else { continue };
                let (span, message) = (name.span().or_else(|| span.cloned()), format!("{whose}: {cause}"));
                match help(&cause) {
                    Some(help) => faults.add_with_help(span, message, help),
                    None => faults.add(span, message),
                }
            }
            TextOr::Long(list) if list.file.as_os_str().is_empty() => {
                faults.add(span.cloned(), format!("{whose}: a file without a name"));
            }
            TextOr::Long(_) => {}
        }
    }
}

fn help(cause: &NotANetwork) -> Option<String> {
    let NotANetwork::Malformed(text) = cause else { return cause.help() };
    // A path where a network should be.
    let is_path = text.contains(['/', '.'])
        && text.contains(|c: char| c.is_ascii_alphabetic() && !c.is_ascii_hexdigit());
    is_path.then(|| format!("a list file is written {{ file = {text:?} }}"))
}

/// `allow` and `deny` of one place. `whose` names the place: `site shop.test`.
pub fn check_access(
    allow: Option<&[NetworkEntry]>,
    deny: &[NetworkEntry],
    whose: &str,
    span: Option<&Range<usize>>,
    faults: &mut Faults,
) {
    if allow.is_some_and(<[_]>::is_empty) {
        let message = format!("{whose}: allow is empty, so that nobody may come");
        faults.add_with_help(span.cloned(), message, "without `allow`, everybody may who is not denied");
    }
    check_networks(allow.unwrap_or_default(), &format!("{whose}: allow"), span, faults);
    check_networks(deny, &format!("{whose}: deny"), span, faults);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Place {
        allow: Option<Vec<NetworkEntry>>,
        #[serde(default)]
        deny: Vec<NetworkEntry>,
    }

    fn faults(text: &str) -> Vec<(String, Option<String>)> {
        let place: Place = toml::from_str(text).unwrap();
        let mut faults = Faults::default();
        check_access(place.allow.as_deref(), &place.deny, "edge", Some(&(3..7)), &mut faults);
        let faults = faults.into_vec();
        assert!(faults.iter().all(|fault| fault.span.is_some()), "each has its place");
        faults.into_iter().map(|fault| (fault.message, fault.help)).collect()
    }

    #[test]
    fn entries_are_networks_addresses_or_files() {
        let text = "deny = [\"203.0.113.0/24\", \"2001:db8::1\", { file = \"lists/deny.txt\" }]";
        assert_eq!(faults(text), []);
        let place: Place = toml::from_str(text).unwrap();
        assert_eq!(toml::from_str::<Place>(&toml::to_string(&place).unwrap()).unwrap(), place);
        for bad in [
            "deny = [1]",
            "deny = [{ path = \"a\" }]",
            "deny = [{ file = \"a\", more = 1 }]",
            "deny = \"10.0.0.0/8\"",
        ] {
            assert!(toml::from_str::<Place>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_network_is_told_with_what_to_write() {
        let found = faults(
            "allow = [\"10.1.0.0/8\", \"lists/allow.txt\", { file = \"\" }]\ndeny = [\"10.0.0.0/33\", \"x\"]",
        );
        let malformed =
            |text| format!("{text:?} is not a network, for example \"10.0.0.0/8\" or \"2001:db8::1\"");
        let expected = [
            (
                "edge: allow: \"10.1.0.0/8\" has bits set behind its prefix".to_owned(),
                Some("the network is \"10.0.0.0/8\""),
            ),
            (
                format!("edge: allow: {}", malformed("lists/allow.txt")),
                Some("a list file is written { file = \"lists/allow.txt\" }"),
            ),
            ("edge: allow: a file without a name".to_owned(), None),
            ("edge: deny: \"10.0.0.0/33\": a prefix of IPv4 has at most 32 bits".to_owned(), None),
            (format!("edge: deny: {}", malformed("x")), None),
        ];
        assert_eq!(found, expected.map(|(message, help)| (message, help.map(str::to_owned))));
    }

    #[test]
    fn an_allow_that_lets_nobody_in_is_a_slip() {
        assert_eq!(faults("allow = []")[0].0, "edge: allow is empty, so that nobody may come");
        assert_eq!(faults(""), []);
    }
}
