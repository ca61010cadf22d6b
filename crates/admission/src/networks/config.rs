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
