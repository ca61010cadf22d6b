//! What types cannot say of zones that change.

use super::TransferConfig;
use crate::config::DnsConfig;
use admission::Network;
use notation::{Faults, Name};

/// Checks keys, and who may do what with which zone.
pub(crate) fn check_changes(config: &DnsConfig, faults: &mut Faults) {
    for key in config.key.keys() {
        if let Err(error) = key.parse::<crate::Name>() {
            faults.add(key.span(), format!("{:?} cannot be a key: {error}", key.as_str()));
        }
    }
    for (name, zone) in &config.zone {
        if let Some(transfer) = &zone.transfer {
            check_transfer(config, name, transfer, faults);
        }
    }
}

fn check_transfer(config: &DnsConfig, name: &Name, transfer: &TransferConfig, faults: &mut Faults) {
    if transfer.to.is_empty() && transfer.key.is_none() {
        let help = "add `to = [\"192.0.2.7\"]`, or `key = \"…\"`";
        faults.add_with_help(name.span(), format!("zone {name}: transfer allows it to nobody"), help);
    }
    check_key(config, &format!("zone {name}: transfer"), transfer.key.as_ref(), faults);
    for network in &transfer.to {
        if let Err(cause) = network.parse::<Network>() {
            let message = format!("zone {name}: transfer.to: {cause}");
            match cause.help() {
                Some(help) => faults.add_with_help(network.span(), message, help),
                None => faults.add(network.span(), message),
            }
        }
    }
}

/// A key that is named is there.
fn check_key(config: &DnsConfig, whose: &str, key: Option<&Name>, faults: &mut Faults) {
    let Some(key) = key.filter(|key| !config.key.contains_key(key.as_str())) else { return };
    let message = format!("{whose} names the key {}, which is not there", key.as_str());
    let help = format!("add `[dns.key.\"{key}\"]`");
    faults.add_with_help(key.span(), message, help);
}
