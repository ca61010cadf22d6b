//! Dynamic updates (RFC 2136): a signed message changes a zone, all of it or nothing, and what was acknowledged is on disk.
//!
//! `request` reads a message, `decide` judges it by the zone and the rules and lays its changes over the zone; both are pure. `task` does
//! it for one zone, many messages at a time; `journal` keeps what changed.
//!
//! The content of such a zone is that of its file, and the journal over it. Where the file changes, the journal is laid over the new one:
//! what was acknowledged stays.

mod decide;
mod journal;
mod request;
mod rules;
#[cfg(test)]
mod signed_tests;
mod task;
#[cfg(test)]
mod tests;

pub(crate) use request::zone_of;
pub(crate) use rules::{OF_SIGNERS, Pattern, UpdateRule, UpdateRules};
pub(crate) use task::{Update, content_on_disk, run};

use crate::protocol::Name;
use crate::zone::Zone;
use std::net::IpAddr;

/// Judges an update that needs no signature, and makes the zone that it leads to: for tests from outside.
///
/// `Ok(None)`: nothing changes. `Err`: the RCODE.
pub fn judge_update(zone: &Zone, message: &[u8]) -> Result<Option<Zone>, u8> {
    let request = request::Request::parse(message, zone.apex())?;
    let mut overlay = crate::transfer::Overlay::new(zone);
    let rules = UpdateRules(vec![UpdateRule::for_anybody()]);
    decide::decide(&request, &mut overlay, &rules, IpAddr::from([127, 0, 0, 1]), None::<&Name>, None)?;
    if !overlay.is_changed() {
        return Ok(None);
    }
    decide::raise_serial(&mut overlay, None);
    overlay.build("update").map(Some).map_err(|_| request::REFUSED)
}
