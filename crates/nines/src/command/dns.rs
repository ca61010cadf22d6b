//! `nines dns`: the keys of zones that are signed here, and the zones above them.

use super::Ended;
use crate::cli::{DnsArgs, DnsCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::node::Node;
use crate::print::{self, span};
use serde_json::json;
use std::time::{Duration, SystemTime};
use topology::{KeyStatus, RolledKey, SigningStatus, Status};

pub(super) fn run(command: &DnsCommand) -> Ended {
    let now = SystemTime::now();
    match command {
        DnsCommand::Flush(args) => return super::flush::run(args),
        DnsCommand::Ds(args) => {
            let status: Status = Node::find(&args.node)?.get("/api/v1/status")?;
            print::out(&page(&args.zone, &signing(args, status)?, now));
        }
        DnsCommand::DsSeen { args, ttl } => {
            let body = json!({ "zone": args.zone, "ttl": ttl });
            let RolledKey { zone, tag, trusted_at } =
                Node::find(&args.node)?.post("/api/v1/dns/ds-seen", &body)?;
            let left = left_until(trusted_at.unwrap_or(0), now);
            print::out(&format!("{zone}: key {tag} takes the place of the one before it {left}\n"));
        }
        DnsCommand::RollOver(args) => {
            let body = json!({ "zone": args.zone });
            let RolledKey { zone, tag, .. } = Node::find(&args.node)?.post("/api/v1/dns/roll-over", &body)?;
            print::out(&format!("{zone}: key {tag} is new; `nines status` tells how it fares\n"));
        }
    }
    Ok(Exit::Done)
}

/// How the zone is signed.
fn signing(args: &DnsArgs, status: Status) -> Result<SigningStatus, Failure> {
    let same = |name: &str| name.trim_end_matches('.').eq_ignore_ascii_case(args.zone.trim_end_matches('.'));
    let found = status.zones.into_iter().find(|zone| same(&zone.name));
    found
        .and_then(|zone| zone.signing)
        .ok_or_else(|| Failure::Failed(format!("{:?} is no zone that is signed here", args.zone)))
}

/// The DS as lines of a zone file, and how the keys fare as comments.
fn page(zone: &str, signing: &SigningStatus, now: SystemTime) -> String {
    let mut text = String::new();
    for key in signing.keys.iter().filter(|key| key.role != "zsk") {
        text += &format!("; {}\n", said(key, now));
    }
    let lines: Vec<&str> = signing.keys.iter().filter_map(|key| key.ds.as_deref()).collect();
    text += &format!("; CDS and CDNSKEY of {zone} name what follows\n");
    lines.iter().for_each(|line| text += &format!("{line}\n"));
    text
}

fn said(key: &KeyStatus, now: SystemTime) -> String {
    let head = format!("key {} ({}) is {}", key.tag, key.role, key.state);
    if key.waits_for_ds {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(key.since);
        let waited = now.duration_since(since).unwrap_or_default();
        return format!("{head}, and waits for its DS in the zone above since {}", span(waited));
    }
    match &key.next {
        Some(next) => format!("{head}, and {} {}", next.step, left_until(next.at, now)),
        None => head,
    }
}

fn left_until(at: u64, now: SystemTime) -> String {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
    at.duration_since(now).map_or_else(|_| "now".to_owned(), |left| format!("in {}", span(left)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology::NextStep;

    #[test]
    fn what_is_printed_is_a_zone_file_for_the_zone_above() {
        let key = |tag, role: &str, state: &str, ds: Option<&str>, next| KeyStatus {
            tag,
            algorithm: 13,
            role: role.to_owned(),
            state: state.to_owned(),
            since: 0,
            ds: ds.map(str::to_owned),
            next,
            waits_for_ds: state == "submitted",
        };
        let next = NextStep { step: "removed".to_owned(), at: 7200 };
        let signing = SigningStatus {
            signatures_end: 0,
            keys: vec![
                key(1, "ksk", "active", None, None),
                key(2, "ksk", "submitted", Some("shop.test. IN DS 2 13 2 AB"), None),
                key(3, "ksk", "retired", None, Some(next)),
                key(4, "zsk", "active", None, None),
            ],
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(3600);
        assert_eq!(
            page("shop.test", &signing, now),
            "; key 1 (ksk) is active\n\
             ; key 2 (ksk) is submitted, and waits for its DS in the zone above since 1h\n\
             ; key 3 (ksk) is retired, and removed in 1h\n\
             ; CDS and CDNSKEY of shop.test name what follows\n\
             shop.test. IN DS 2 13 2 AB\n"
        );
    }
}
