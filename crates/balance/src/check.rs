//! What a pool's configuration must satisfy beyond its types.

use crate::config::{HashKey, HealthConfig, Policy, PoolConfig, ServerConfig, Sticky};
use crate::health::expect::Statuses;
use crate::sources::{Host, WEIGHT_MAX, address_of, host_and_port};
use notation::{Duration, Faults, Name, TextOr};
use rustls::pki_types::ServerName;
use std::collections::HashSet;

/// Tries of one request.
const ATTEMPTS_MAX: u32 = 10;

/// Checks what more than one value decides, and values whose types allow too much. `name` is the pool's, as
/// it stands in the file.
pub fn check(config: &PoolConfig, name: &Name, faults: &mut Faults) {
    let mut report = Report { whose: format!("pool `{name}`"), name, faults };
    sources(config, &mut report);
    choice(config, &mut report);
    transport(config, &mut report);
    if let Some(health) = &config.health {
        health_rules(health, &mut report);
    }
    limits(config, &mut report);
}

/// Checks `health` of a pool or a service; `whose` says in a fault whose it is: "service `shop`".
pub fn check_health(config: &HealthConfig, whose: &str, name: &Name, faults: &mut Faults) {
    health_rules(config, &mut Report { whose: whose.into(), name, faults });
}

/// Faults of one part of the file. A value that knows its place is shown there, others at the part's name.
struct Report<'a> {
    whose: String,
    name: &'a Name,
    faults: &'a mut Faults,
}

impl Report<'_> {
    fn add(&mut self, message: &str) {
        self.faults.add(self.name.span(), format!("{}: {message}", self.whose));
    }

    fn add_with_help(&mut self, message: &str, help: &str) {
        self.faults.add_with_help(self.name.span(), format!("{}: {message}", self.whose), help);
    }

    fn add_at(&mut self, place: &Name, message: &str) {
        let span = place.span().or_else(|| self.name.span());
        self.faults.add(span, format!("{}: {message}", self.whose));
    }

    fn positive(&mut self, what: &str, duration: Duration) {
        if duration.get().is_zero() {
            self.add(&format!("`{what}` must be above 0"));
        }
    }

    fn at_least_one(&mut self, what: &str, number: u32) {
        if number == 0 {
            self.add(&format!("`{what}` must be at least 1"));
        }
    }
}

fn sources(config: &PoolConfig, report: &mut Report<'_>) {
    let given = [config.servers.is_some(), config.service.is_some(), config.dns.is_some()];
    match given.into_iter().filter(|given| *given).count() {
        0 => report.add_with_help(
            "nothing says who its endpoints are",
            "give one of `servers = [\"10.0.0.1:3000\"]`, `service = \"…\"` and `dns = \"…\"`",
        ),
        1 => {}
        _ => report.add("only one of `servers`, `service` and `dns` may say who its endpoints are"),
    }
    if let Some(name) = &config.dns
        && let Err(shape) = host_and_port(name)
    {
        report.add_at(name, &format!("`dns` is {:?}: {shape}", name.as_str()));
    }
    if let Some(all) = &config.servers {
        servers(all, report);
    }
}

fn servers(servers: &[TextOr<ServerConfig>], report: &mut Report<'_>) {
    if servers.is_empty() {
        report.add("`servers` is empty");
    }
    let mut seen = HashSet::new();
    for server in servers {
        let address = address_of(server);
        if let Err(shape) = host_and_port(address) {
            report.add_at(address, &format!("server {:?}: {shape}", address.as_str()));
        }
        if !seen.insert(address.as_str()) {
            report.add_at(address, &format!("server {:?} stands here twice", address.as_str()));
        }
        if let TextOr::Long(ServerConfig { weight, .. }) = server
            && *weight > WEIGHT_MAX
        {
            report.add_at(
                address,
                &format!("server {:?}: weight {weight} is above {WEIGHT_MAX}", address.as_str()),
            );
        }
    }
    let takes_work =
        |server: &TextOr<ServerConfig>| !matches!(server, TextOr::Long(ServerConfig { weight: 0, .. }));
    if !servers.is_empty() && !servers.iter().any(takes_work) {
        report.add("every server has weight 0, so that none takes work");
    }
}

/// Whom certificates of endpoints are asked to name.
fn transport(config: &PoolConfig, report: &mut Report<'_>) {
    let Some(tls) = &config.tls else { return };
    tls::check_client(tls, report.name, report.faults);
    if tls.0.server_name.is_some() || !tls.0.verify {
        return;
    }
    for name in config.servers.iter().flatten().map(address_of).chain(&config.dns) {
        if let Ok((Host::Name(host), _)) = host_and_port(name)
            && ServerName::try_from(host.as_str()).is_err()
        {
            let message = format!("no certificate can name {host:?}; give the pool `tls.server_name`");
            report.add_at(name, &message);
        }
    }
}

fn choice(config: &PoolConfig, report: &mut Report<'_>) {
    let hashes = matches!(config.balance, Policy::RingHash | Policy::Maglev);
    if hashes && config.hash.is_none() {
        let message = "`balance` hashes, but nothing says what";
        report.add_with_help(
            message,
            "add `hash = \"client-address\"`, `\"path\"`, `{ header = \"…\" }` or `{ cookie = \"…\" }`",
        );
    }
    if !hashes && config.hash.is_some() {
        report.add_with_help(
            "`hash` is given, but `balance` does not hash",
            "use `balance = \"ring-hash\"` or `\"maglev\"`; to keep clients at their endpoints use `sticky`",
        );
    }
    if hashes && matches!(config.sticky, Some(Sticky::Header(_) | Sticky::ClientAddress)) {
        report.add_with_help(
            "`sticky` by header or client address is a hash itself, and leaves nothing for `balance` to hash",
            "choose one of `sticky` and `hash`",
        );
    }
    if let Some(HashKey::Header(name)) = &config.hash {
        token("hash.header", name, report);
    }
    if let Some(HashKey::Cookie(name)) = &config.hash {
        token("hash.cookie", name, report);
    }
    match &config.sticky {
        Some(Sticky::Cookie(name)) => token("sticky.cookie", name, report),
        Some(Sticky::Header(name)) => token("sticky.header", name, report),
        Some(Sticky::ClientAddress) | None => {}
    }
}

/// A header's or cookie's name (RFC 9110 §5.6.2, RFC 6265 §4.1.1).
fn token(what: &str, name: &str, report: &mut Report<'_>) {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        report.add(&format!(
            "`{what}` is {name:?}, which cannot be a name: letters, digits and `-` `_` make one"
        ));
    }
}

fn health_rules(health: &HealthConfig, report: &mut Report<'_>) {
    let kinds = [health.http.is_some(), health.tcp, health.grpc.is_some()];
    match kinds.into_iter().filter(|kind| *kind).count() {
        0 => report.add_with_help(
            "`health` does not say how to check",
            "give one of `http = \"/healthz\"`, `tcp = true` and `grpc = \"\"`",
        ),
        1 => {}
        _ => report.add("`health` may check in only one way: `http`, `tcp` or `grpc`"),
    }
    if let Some(path) = &health.http
        && (!path.starts_with('/')
            || path.parse::<hyper::http::uri::PathAndQuery>().is_err()
            || path.contains('#'))
    {
        report.add_at(
            path,
            &format!("`health.http` is {:?}, which is no path: one begins with `/`", path.as_str()),
        );
    }
    if health.http.is_none() {
        let only_http = [
            ("status", health.status.as_str() != HealthConfig::default().status.as_str()),
            ("body", health.body.is_some()),
            ("headers", !health.headers.is_empty()),
            ("host", health.host.is_some() && health.grpc.is_none()),
        ];
        for (key, _) in only_http.into_iter().filter(|(_, given)| *given) {
            report.add(&format!("`health.{key}` is for checks by `http` only"));
        }
    }
    if Statuses::parse(&health.status).is_none() {
        let message = format!(
            "`health.status` is {:?}; it is written \"200-399\" or \"200,204\"",
            health.status.as_str()
        );
        report.add_at(&health.status, &message);
    }
    for (name, value) in &health.headers {
        token("health.headers", name, report);
        if hyper::header::HeaderValue::from_str(value).is_err() {
            report.add(&format!("`health.headers`: {value:?} cannot be a header's value"));
        }
    }
    if let Some(host) = &health.host
        && host.parse::<hyper::http::uri::Authority>().is_err()
    {
        report.add(&format!("`health.host` is {host:?}, which is no host"));
    }
    if health.port == Some(0) {
        report.add("`health.port` must be at least 1");
    }
    report.positive("health.every", health.every);
    report.positive("health.timeout", health.timeout);
    report.at_least_one("health.fall", health.fall);
    report.at_least_one("health.rise", health.rise);
}

fn limits(config: &PoolConfig, report: &mut Report<'_>) {
    report.at_least_one("limit.inflight", config.limit.inflight);
    if let Some(most) = config.limit.inflight_per_endpoint {
        report.at_least_one("limit.inflight_per_endpoint", most);
    }
    if !(1..=ATTEMPTS_MAX).contains(&config.retry.attempts) {
        report.add(&format!(
            "`retry.attempts` is {}; from 1 to {ATTEMPTS_MAX} are possible",
            config.retry.attempts
        ));
    }
    let eject = &config.eject;
    report.positive("eject.window", eject.window);
    report.positive("eject.for", eject.for_);
    report.at_least_one("eject.requests_min", eject.requests_min);
    if eject.for_max.get() < eject.for_.get() {
        report.add(&format!("`eject.for_max` is {}, below `eject.for`, {}", eject.for_max, eject.for_));
    }
    if eject.ratio.is_some_and(|ratio| ratio.ratio() == 0.0) {
        report.add_with_help("`eject.ratio` is 0%", "leave it out to turn this rule off");
    }
    if let Some(whole) = config.slow_start {
        report.positive("slow_start", whole);
    }
    report.positive("timeout.connect", config.timeout.connect);
    report.positive("timeout.first_byte", config.timeout.first_byte);
    report.positive("timeout.idle", config.timeout.idle);
}
