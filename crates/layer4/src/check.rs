//! What types cannot say of `[tcp.NAME]` and `[udp.NAME]`.

use crate::config::{TcpConfig, UdpConfig};
use crate::routes::check_name;
use admission::{check_access, check_networks};
use notation::{Faults, Name};
use tls::Automatic;

/// Checks one `[tcp.NAME]`. That its pools exist is the file's affair.
pub fn check_tcp(config: &TcpConfig, name: &Name, faults: &mut Faults) {
    let span = name.span();
    let whose = format!("tcp {name}");
    if config.listen.0.is_empty() {
        faults.add_with_help(
            span.clone(),
            format!("{whose} listens nowhere"),
            "add `listen = \"127.0.0.1:6432\"`",
        );
    }
    if config.pool.is_none() && config.sni.is_empty() {
        faults.add_with_help(span.clone(), format!("{whose} leads nowhere"), "add `pool = \"NAME\"`");
    }
    for server_name in config.sni.keys() {
        if let Err(why) = check_name(server_name) {
            let message = format!("{whose}: {:?} is no server name", server_name.as_str());
            faults.add_with_help(server_name.span(), message, why);
        }
    }
    if let Some(tls) = &config.tls {
        tls::check_server(tls, &whose, name, faults);
        if tls.0.auto == Some(Automatic::Acme) {
            let help = "a listener of TCP answers no challenges: use \"self-signed\" or files";
            faults.add_with_help(span.clone(), format!("{whose}: no certificate comes by ACME here"), help);
        }
    }
    check_networks(&config.proxy_protocol, &format!("{whose}: proxy_protocol"), span.as_ref(), faults);
    check_access(config.allow.as_deref(), &config.deny, &whose, span.as_ref(), faults);
    let zeroes = [
        ("limit.connections", config.limit.connections == 0),
        ("limit.connections_per_client", config.limit.connections_per_client == Some(0)),
        ("limit.bandwidth", config.limit.bandwidth.is_some_and(|bandwidth| bandwidth.get() == 0)),
        ("timeout.hello", config.timeout.hello.get().is_zero()),
        ("timeout.idle", config.timeout.idle.get().is_zero()),
    ];
    check_zeroes(&whose, &zeroes, name, faults);
}

/// Checks one `[udp.NAME]`.
pub fn check_udp(config: &UdpConfig, name: &Name, faults: &mut Faults) {
    let span = name.span();
    let whose = format!("udp {name}");
    if config.listen.0.is_empty() {
        faults.add_with_help(
            span.clone(),
            format!("{whose} listens nowhere"),
            "add `listen = \"127.0.0.1:5353\"`",
        );
    }
    if config.pool.is_none() {
        faults.add_with_help(span.clone(), format!("{whose} leads nowhere"), "add `pool = \"NAME\"`");
    }
    check_access(config.allow.as_deref(), &config.deny, &whose, span.as_ref(), faults);
    let zeroes = [
        ("sessions", config.sessions == 0),
        ("idle", config.idle.get().is_zero()),
        ("responses", config.responses == Some(0)),
    ];
    check_zeroes(&whose, &zeroes, name, faults);
}

fn check_zeroes(whose: &str, zeroes: &[(&str, bool)], name: &Name, faults: &mut Faults) {
    for (key, _) in zeroes.iter().filter(|(_, is_zero)| *is_zero) {
        faults.add(name.span(), format!("{whose}: {key} is zero: nothing would ever pass"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of_tcp(text: &str) -> Vec<String> {
        let mut faults = Faults::default();
        check_tcp(&toml::from_str(text).unwrap(), &Name::new("db"), &mut faults);
        faults.into_vec().into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn a_listener_listens_somewhere_and_leads_somewhere() {
        assert_eq!(faults_of_tcp("listen = '127.0.0.1:1'\npool = 'db'"), [""; 0]);
        assert_eq!(faults_of_tcp("listen = '127.0.0.1:1'\nsni = { 'a.test' = 'db' }"), [""; 0]);
        assert_eq!(faults_of_tcp(""), ["tcp db listens nowhere", "tcp db leads nowhere"]);
        let mut faults = Faults::default();
        check_udp(&toml::from_str("responses = 0").unwrap(), &Name::new("dns"), &mut faults);
        let messages: Vec<String> = faults.into_vec().into_iter().map(|fault| fault.message).collect();
        assert_eq!(
            messages,
            [
                "udp dns listens nowhere",
                "udp dns leads nowhere",
                "udp dns: responses is zero: nothing would ever pass"
            ]
        );
    }

    #[test]
    fn names_networks_and_numbers_are_looked_at() {
        let of = |more: &str| faults_of_tcp(&format!("listen = '127.0.0.1:1'\npool = 'db'\n{more}"));
        assert_eq!(of("sni = { 'A.test' = 'db' }"), ["tcp db: \"A.test\" is no server name"]);
        assert_eq!(of("sni = { 'a.*.test' = 'db' }"), ["tcp db: \"a.*.test\" is no server name"]);
        assert_eq!(of("deny = ['300.0.0.1']").len(), 1);
        assert_eq!(of("proxy_protocol = ['x']").len(), 1);
        assert_eq!(of("tls = 'acme'"), ["tcp db: no certificate comes by ACME here"]);
        assert_eq!(
            of("limit = { bandwidth = '0' }\ntimeout = { idle = '0s' }"),
            [
                "tcp db: limit.bandwidth is zero: nothing would ever pass",
                "tcp db: timeout.idle is zero: nothing would ever pass"
            ]
        );
    }
}
