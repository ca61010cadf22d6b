//! What types cannot say of zones that change.

use super::{SecondaryConfig, TransferConfig, UpdateConfig};
use crate::config::DnsConfig;
use crate::update::{OF_SIGNERS, Pattern};
use crate::zone::is_stored;
use admission::Network;
use domain::base::iana::Rtype;
use notation::{Faults, Name};

/// Checks keys, and who may do what with which zone.
pub(crate) fn check_changes(config: &DnsConfig, faults: &mut Faults) {
    for key in config.key.keys() {
        if let Err(error) = key.parse::<crate::Name>() {
            faults.add(key.span(), format!("{:?} cannot be a key: {error}", key.as_str()));
        }
    }
    for (name, zone) in &config.zone {
        if let Some(secondary) = &zone.secondary {
            check_secondary(config, name, secondary, faults);
            let others = [
                ("update", !zone.update.is_empty()),
                ("file", zone.file.is_some()),
                ("records", !zone.records.is_empty()),
                ("route", !zone.route.is_empty()),
            ];
            for (key, _) in others.iter().filter(|(_, is_there)| *is_there) {
                let message = format!("zone {name} has {key}, but it comes from its primaries");
                faults.add(name.span(), message);
            }
        }
        for update in &zone.update {
            check_update(config, name, update, faults);
        }
        if let Some(transfer) = &zone.transfer {
            check_transfer(config, name, transfer, faults);
        }
    }
}

fn check_secondary(config: &DnsConfig, name: &Name, secondary: &SecondaryConfig, faults: &mut Faults) {
    if secondary.primaries.is_empty() {
        let help = "add `primaries = [\"192.0.2.1\"]`";
        faults.add_with_help(name.span(), format!("zone {name}: secondary has no primaries"), help);
    }
    check_key(config, &format!("zone {name}: secondary"), secondary.key.as_ref(), faults);
}

fn check_transfer(config: &DnsConfig, name: &Name, transfer: &TransferConfig, faults: &mut Faults) {
    if transfer.to.is_empty() && transfer.key.is_none() {
        let help = "add `to = [\"192.0.2.7\"]`, or `key = \"…\"`";
        faults.add_with_help(name.span(), format!("zone {name}: transfer allows it to nobody"), help);
    }
    check_key(config, &format!("zone {name}: transfer"), transfer.key.as_ref(), faults);
    check_networks(&format!("zone {name}: transfer.to"), &transfer.to, faults);
}

fn check_update(config: &DnsConfig, name: &Name, update: &UpdateConfig, faults: &mut Faults) {
    let whose = format!("zone {name}: update");
    check_key(config, &whose, Some(&update.key), faults);
    check_networks(&format!("{whose}.from"), &update.from, faults);
    let Ok(apex) = name.parse() else { return };
    for pattern in &update.names {
        match Pattern::parse(pattern, &apex) {
            Ok(known) if known.is_within(&apex) => {}
            Ok(_) => {
                faults.add(pattern.span(), format!("{whose}: {:?} is not in the zone", pattern.as_str()));
            }
            Err(error) => {
                faults.add(pattern.span(), format!("{whose}: {:?} is no name: {error}", pattern.as_str()));
            }
        }
    }
    for rtype in &update.types {
        if !rtype.parse::<Rtype>().is_ok_and(is_stored) {
            faults.add(rtype.span(), format!("{whose}: {:?} is no type of record", rtype.as_str()));
        } else if rtype.parse::<Rtype>().is_ok_and(|rtype| OF_SIGNERS.contains(&rtype)) {
            faults.add(
                rtype.span(),
                format!("{whose}: {rtype} is what signing makes: no update may change it"),
            );
        }
    }
}

fn check_networks(whose: &str, networks: &[Name], faults: &mut Faults) {
    for network in networks {
        if let Err(cause) = network.parse::<Network>() {
            let message = format!("{whose}: {cause}");
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

#[cfg(test)]
mod tests {
    use notation::Faults;

    fn faults_of(zone: &str) -> Vec<String> {
        let text =
            format!("listen = '127.0.0.1:53'\nkey.known.secret.env = 'KEY'\n[zone.'a.test']\n{zone}\n");
        let mut faults = Faults::default();
        crate::check(&toml::from_str(&text).expect("it has the right shape"), &mut faults);
        faults.into_vec().into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn a_zone_that_may_change_says_how_and_by_whom() {
        let good = "file = 'a'\ntransfer = { to = ['192.0.2.1', '2001:db8::/32'], key = 'known', notify = ['::1'] }\n\
            update = [{ key = 'known', names = ['@', 'a', '*.dyn', '*'], types = ['A', 'TYPE65280'] }]";
        assert_eq!(faults_of(good), [""; 0]);
        assert_eq!(
            faults_of("secondary = { primaries = ['192.0.2.1', '[::1]:5301'], key = 'known' }"),
            [""; 0]
        );
        assert_eq!(faults_of("file = 'a'\ntransfer = {}"), ["zone a.test: transfer allows it to nobody"]);
        assert_eq!(
            faults_of("file = 'a'\ntransfer = { to = ['192.0.2.300'], key = 'none' }"),
            [
                "zone a.test: transfer names the key none, which is not there",
                "zone a.test: transfer.to: \"192.0.2.300\" is not a network, for example \"10.0.0.0/8\" or \"2001:db8::1\"",
            ]
        );
        assert_eq!(
            faults_of("file = 'a'\nsecondary = {}"),
            [
                "zone a.test: secondary has no primaries",
                "zone a.test has file, but it comes from its primaries",
            ]
        );
        assert_eq!(
            faults_of(
                "file = 'a'\nupdate = [{ key = 'none', names = ['x.b.test.', 'a..b'], types = ['ANY', 'X', 'RRSIG'] }]"
            ),
            [
                "zone a.test: update names the key none, which is not there",
                "zone a.test: update: \"x.b.test.\" is not in the zone",
                "zone a.test: update: \"a..b\" is no name: the name has an empty label",
                "zone a.test: update: \"ANY\" is no type of record",
                "zone a.test: update: \"X\" is no type of record",
                "zone a.test: update: RRSIG is what signing makes: no update may change it",
            ]
        );
    }

    #[test]
    fn a_server_is_an_address_with_a_port_or_without() {
        let peer = |text: &str| {
            text.parse::<super::super::Peer>().map(|peer| (peer.0.to_string(), peer.to_string()))
        };
        assert_eq!(peer("192.0.2.1"), Ok(("192.0.2.1:53".into(), "192.0.2.1".into())));
        assert_eq!(peer("[::1]:5301"), Ok(("[::1]:5301".into(), "[::1]:5301".into())));
        assert_eq!(peer("::1"), Ok(("[::1]:53".into(), "::1".into())));
        assert!(peer("ns.example").is_err());
    }
}
