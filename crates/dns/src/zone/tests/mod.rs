//! Zone files: what is read, what is refused and in which words, what is warned of.

mod directives;
mod faults;
mod records;
mod robustness;
mod rules;
mod syntax;
mod types;

use super::{Limits, Loaded, ZoneBuilder};
use crate::Error;

/// What every zone needs; three lines.
const HEAD: &str = "$TTL 3600\n@ SOA ns admin 1 2 3 4 5\n@ NS ns.elsewhere.test.\n";

fn built(apex: &str, text: &str) -> Result<Loaded, Error> {
    let mut builder = ZoneBuilder::new(apex.parse().expect("a name"));
    builder.text("zone", text.as_bytes());
    builder.finish()
}

/// A zone `example.org` of these lines after [`HEAD`], whose first is line 4.
fn loaded(lines: &str) -> Loaded {
    built("example.org", &format!("{HEAD}{lines}")).unwrap_or_else(|error| panic!("{error}\nof\n{lines}"))
}

/// The errors of such a zone, each a line.
fn errors(lines: &str) -> Vec<String> {
    match built("example.org", &format!("{HEAD}{lines}")) {
        Ok(loaded) => panic!("no error in {lines}: {loaded:?}"),
        Err(Error::Zone { faults, .. }) => faults.iter().map(ToString::to_string).collect(),
        Err(error) => panic!("{error}"),
    }
}

fn warnings(lines: &str) -> Vec<String> {
    loaded(lines).warnings.iter().map(ToString::to_string).collect()
}

/// The data of the first record of a name and type, as it is in the arena.
fn data(loaded: &Loaded, name: &str, rtype: &str) -> Option<Vec<u8>> {
    rrset(loaded, name, rtype).map(|(_, data)| data[0].clone())
}

/// TTL, and the data of each record.
fn rrset(loaded: &Loaded, name: &str, rtype: &str) -> Option<(u32, Vec<Vec<u8>>)> {
    let name: crate::Name = name.parse().expect("a name");
    let key = super::hash::Key::of_process();
    let apex = key.name(loaded.zone.apex());
    let super::Found::Name(node) = loaded.zone.look_up(&name, apex, key.name(&name)) else { return None };
    let rrset = node.rrset(rtype.parse().expect("a type"))?;
    let data = rrset.starts().map(|start| {
        let length = usize::from(u16::from_be_bytes([rrset.wire[start + 10], rrset.wire[start + 11]]));
        rrset.wire[start + 12..start + 12 + length].to_vec()
    });
    Some((rrset.ttl(), data.collect()))
}

fn limited(limits: Limits) -> ZoneBuilder {
    let mut builder = ZoneBuilder::new("example.org".parse().expect("a name")).with_limits(limits);
    builder.text("head", HEAD.as_bytes());
    builder
}
