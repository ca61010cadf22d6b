//! A status as a page of text.

use super::cache;
use crate::print::{Paint, Table, counted, latency, memory, since, span};
use std::time::{Duration, SystemTime};
use topology::{
    EndpointStatus, InstanceState, KeyStatus, PoolStatus, ResolverStatus, ServiceStatus, State, Status,
};

/// Zones above look for new keys once a day.
const DS_OVERDUE: Duration = Duration::from_secs(86_400);

/// The whole page: the node, its listeners, pools and services.
pub(super) fn page(status: &Status, paint: Paint, now: SystemTime) -> String {
    let mut text = head(status, paint);
    let mut listeners = Table::new(["LISTENS AT", "TIER", "SPEAKS"]);
    for listener in &status.listeners {
        listeners.row([listener.address.to_string(), listener.tier.clone(), listener.protocol.clone()]);
    }
    text += &listeners.render(paint);
    if !status.layer4.is_empty() {
        let mut table = Table::new(["LAYER 4", "OPEN", "LEADS TO"]);
        for one in &status.layer4 {
            table.row([
                format!("{} {}", one.protocol, one.name),
                one.open.to_string(),
                one.leads_to.join(", "),
            ]);
        }
        text += &format!("\n{}", table.render(paint));
    }
    if !status.zones.is_empty() {
        let mut table = Table::new(["ZONE", "SERIAL", "RECORDS", "NAMES", "MEMORY", "FROM"]);
        for zone in &status.zones {
            table.row([
                zone.name.clone(),
                if zone.withdrawn { paint.bad("withdrawn") } else { zone.serial.to_string() },
                zone.records.to_string(),
                zone.names.to_string(),
                memory(zone.bytes),
                zone.source.as_str().to_owned(),
            ]);
        }
        text += &format!("\n{}", table.render(paint));
    }
    text += &signing(status, paint, now);
    if let Some(resolver) = &status.resolver {
        text += &format!("\n{}", resolver_page(resolver, paint));
    }
    if let Some(cdn) = &status.cdn {
        text += &format!("\n{}", cache::summary(cdn, paint));
    }
    for pool in &status.pools {
        text += &pool_page(pool, paint, now);
    }
    for service in &status.services {
        text += &service_page(service, paint, now);
    }
    text
}

/// The zones that are signed here: their keys, and what the zones above them have to say of these.
fn signing(status: &Status, paint: Paint, now: SystemTime) -> String {
    let signed = status.zones.iter().filter_map(|zone| Some((zone, zone.signing.as_ref()?)));
    let mut table =
        Table::new(["SIGNED ZONE", "KEY", "ALGORITHM", "ROLE", "STATE", "SIGNATURES END", "NEXT"]);
    let mut signers = String::new();
    for (zone, signing) in signed {
        let left = until(signing.signatures_end, now).unwrap_or_else(|| paint.bad("now"));
        for key in &signing.keys {
            let algorithm = match key.algorithm {
                13 => "ecdsa-p256",
                _ => "ed25519",
            };
            table.row([
                zone.name.clone(),
                key.tag.to_string(),
                algorithm.to_owned(),
                key.role.clone(),
                key.state.clone(),
                left.clone(),
                next_of(key, paint, now),
            ]);
            signers += &key.ds.as_ref().map(|ds| format!("{ds}\n")).unwrap_or_default();
        }
    }
    if signers.is_empty() {
        return signers;
    }
    format!("\n{}\nfor the zones above (DS):\n{signers}", table.render(paint))
}

/// `in 3d4h`; `None` if it is over.
fn until(at: u64, now: SystemTime) -> Option<String> {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
    at.duration_since(now).ok().map(|left| format!("in {}", span(left)))
}

/// What comes of a key: `replaced in 60d`, `waits for its DS, 2h`.
fn next_of(key: &KeyStatus, paint: Paint, now: SystemTime) -> String {
    if key.waits_for_ds {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(key.since);
        let waited = now.duration_since(since).unwrap_or_default();
        let text = format!("waits for its DS, {}", span(waited));
        return if waited >= DS_OVERDUE { paint.bad(&text) } else { text };
    }
    let Some(next) = &key.next else { return String::new() };
    format!("{} {}", next.step, until(next.at, now).unwrap_or_else(|| "now".to_owned()))
}

fn resolver_page(resolver: &ResolverStatus, paint: Paint) -> String {
    let mut table = Table::new(["RESOLVER", "ANSWERS", "MEMORY", "LOOKS UP"]);
    let bytes = |bytes: u64| memory(usize::try_from(bytes).unwrap_or(usize::MAX));
    table.row([
        if resolver.upstreams.is_empty() { "from the root" } else { "forwards" }.to_owned(),
        resolver.entries.to_string(),
        format!("{} of {}", bytes(resolver.bytes), bytes(resolver.bytes_max)),
        resolver.lookups.to_string(),
    ]);
    let mut text = table.render(paint);
    if !resolver.upstreams.is_empty() {
        let mut table = Table::new(["UPSTREAM", "STATE", "LATENCY", "LAST FAILURE"]);
        for upstream in &resolver.upstreams {
            table.row([
                upstream.address.clone(),
                if upstream.is_down { "down" } else { "up" }.to_owned(),
                upstream.rtt_us.map_or_else(|| "-".to_owned(), |us| latency(us as f64 / 1000.0)),
                upstream.trouble.clone().unwrap_or_default(),
            ]);
        }
        text += &format!("\n{}", table.render(paint));
    }
    text
}

fn head(status: &Status, paint: Paint) -> String {
    let uptime = span(Duration::from_millis(status.uptime_ms));
    let readiness = &status.readiness;
    let state = match (readiness.stopping, readiness.ready) {
        (true, _) => paint.uneasy("stopping"),
        (_, true) => paint.good("ready"),
        _ => paint.uneasy("not ready"),
    };
    let place = status.at.as_deref().map(|at| format!("  at {at}")).unwrap_or_default();
    let name = format!("{} {}", paint.strong("nines"), status.version);
    let mut text =
        format!("{name}  {state}  up {uptime}  process {}  {}{place}\n", status.pid, status.file.display());
    for waiting in &readiness.waiting {
        text += &format!("  waiting for pool {}: {}\n", waiting.pool, waiting.why);
    }
    text + "\n"
}

fn pool_page(pool: &PoolStatus, paint: Paint, now: SystemTime) -> String {
    let available = format!("{} of {} available", pool.available, pool.endpoints.len());
    let available = match pool.available {
        0 => paint.bad(available),
        some if some < pool.endpoints.len() => paint.uneasy(available),
        _ => paint.good(available),
    };
    let panic = if pool.panic { paint.bad("  too few: all are used") } else { String::new() };
    let load = format!(
        "{} of {} in flight, {} of {} waiting",
        pool.inflight, pool.inflight_max, pool.waiting, pool.waiting_max
    );
    let policy = serde_json::to_value(pool.policy).ok();
    let policy = policy.as_ref().and_then(|policy| policy.as_str()).unwrap_or_default();
    let title = format!("\npool {}  {policy}  {available}{panic}  {load}\n", paint.strong(&pool.name));
    title + &endpoints(&pool.endpoints, paint, now)
}

fn endpoints(endpoints: &[EndpointStatus], paint: Paint, now: SystemTime) -> String {
    if endpoints.is_empty() {
        return "  no endpoints yet\n".into();
    }
    let heads = [
        "ENDPOINT",
        "ADDRESS",
        "STATE",
        "FOR",
        "WEIGHT",
        "IN FLIGHT",
        "REQUESTS",
        "FAILED",
        "LATENCY",
        "CAUSE",
    ];
    let mut table = Table::new(heads);
    // Equal weights are no news.
    let weights = endpoints.iter().any(|endpoint| endpoint.weight != endpoints[0].weight || endpoint.backup);
    for endpoint in endpoints {
        let address = endpoint.address.map(|address| address.to_string()).unwrap_or_default();
        table.row([
            endpoint.name.clone(),
            if address == endpoint.name { String::new() } else { address },
            state(endpoint, paint),
            since(endpoint.since_unix_ms, now),
            if weights { weight(endpoint) } else { String::new() },
            endpoint.inflight.to_string(),
            endpoint.requests.to_string(),
            endpoint.failures.to_string(),
            endpoint.latency_ms.map(latency).unwrap_or_default(),
            if endpoint.state == State::Healthy { String::new() } else { endpoint.cause.clone() },
        ]);
    }
    table.render(paint)
}

fn state(endpoint: &EndpointStatus, paint: Paint) -> String {
    let word = endpoint.state.as_str();
    match endpoint.state {
        State::Healthy if endpoint.slow_start_percent < 100 => {
            paint.good(format!("{word} ({}%)", endpoint.slow_start_percent))
        }
        State::Healthy => paint.good(word),
        State::Unhealthy | State::Ejected => paint.bad(word),
        _ => paint.uneasy(word),
    }
}

fn weight(endpoint: &EndpointStatus) -> String {
    if endpoint.backup { format!("{} backup", endpoint.weight) } else { endpoint.weight.to_string() }
}

fn service_page(service: &ServiceStatus, paint: Paint, now: SystemTime) -> String {
    let running =
        service.instances.iter().filter(|instance| instance.state == InstanceState::Running).count();
    let wanted = counted(service.instances_wanted as usize, "instance");
    let count = format!("{running} of {wanted} running");
    let count =
        if running < service.instances_wanted as usize { paint.uneasy(count) } else { paint.good(count) };
    let mut table = Table::new(["INSTANCE", "STATE", "FOR", "PROCESS", "PORT", "RESTARTS", "LAST EXIT"]);
    for instance in &service.instances {
        let word = instance.state.as_str();
        table.row([
            instance.name.clone(),
            if instance.state == InstanceState::Running { paint.good(word) } else { paint.uneasy(word) },
            since(instance.since_unix_ms, now),
            instance.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            instance.port.map(|port| port.to_string()).unwrap_or_default(),
            instance.restarts.to_string(),
            instance.last_exit.clone().unwrap_or_default(),
        ]);
    }
    format!("\nservice {}  {count}\n", paint.strong(&service.name)) + &table.render(paint)
}
