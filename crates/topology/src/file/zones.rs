//! The zones of `[dns]`: read with the file, and what is wrong with them told with what is wrong with it.

use super::{Checked, tree_of};
use crate::problem::{Level, Lines, Problem};
use dns::{Place, ZoneFault, ZoneSet};
use notation::Fault;

/// Reads the zones into the checked file, all but those that are as they were `before`; what is wrong with any of them.
pub(super) fn load(checked: &mut Checked, before: &ZoneSet) -> Vec<Problem> {
    let Some(config) = &checked.topology.dns else { return Vec::new() };
    match ZoneSet::load(config, checked.dir(), before) {
        Ok(zones) => {
            let warnings = problems(checked, zones.warnings(), Level::Warning);
            checked.warnings.extend(warnings);
            checked.zones = zones;
            Vec::new()
        }
        Err(faults) => problems(checked, faults, Level::Error),
    }
}

fn problems(checked: &Checked, faults: Vec<ZoneFault>, level: Level) -> Vec<Problem> {
    if faults.is_empty() {
        return Vec::new();
    }
    let (tree, lines) = (tree_of(&checked.text), Lines::of(&checked.text));
    let problem = |fault: ZoneFault| {
        let names = &["dns", "zone", &fault.zone];
        let message = match fault.place {
            Place::Geo => format!("dns: {}", fault.message),
            Place::Resolver => format!("dns.resolver: {}", fault.message),
            _ => format!("zone {}: {}", fault.zone, fault.message),
        };
        let span = match fault.place {
            Place::File { path, line, column } => {
                return Problem::elsewhere(level, &path, (line, column), message);
            }
            Place::Record(nth) => {
                tree.texts(&[&names[..], &["records"]].concat()).nth(nth).map(|(_, span)| span)
            }
            Place::Zone => tree.name(names),
            Place::Geo => tree.value(&["dns", "geo"]),
            Place::Resolver => tree.name(&["dns", "resolver"]),
        };
        Problem::new(level, &checked.path, &lines, Fault { span, message, help: None })
    };
    faults.into_iter().map(problem).collect()
}
