//! Signs zones again while they are served: before signatures end, when keys roll over, and when records change. It runs beside the
//! cores, and signs on threads that may wait. It also asks the zones above for what new keys wait for (`parent`).

use super::SignedZone;
use super::parent::Submissions;
use crate::publishing::Publisher;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::{Counter, Gauge, Registry};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// The clock may be set meanwhile: it is looked at as often.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// After a failure, such as a full disk.
const AGAIN_AFTER: u64 = 60;
/// Zones whose signatures are told by name.
const ZONES_MAX: usize = 1000;

/// Begins to look after the zones of a server. Outside of a runtime there is nobody who could, and `None`.
pub(crate) fn start(publisher: &Publisher, registry: &Registry) -> Option<JoinHandle<()>> {
    let resigning = Resigning {
        publisher: publisher.clone(),
        events: Events::new(registry),
        submissions: Submissions::new(registry),
    };
    Some(Handle::try_current().ok()?.spawn(resigning.run()))
}

struct Resigning {
    publisher: Publisher,
    events: Events,
    submissions: Submissions,
}

impl Resigning {
    async fn run(mut self) {
        loop {
            let next = self.round().await;
            let pause = next.map_or(LOOK_EVERY, |due| Duration::from_secs(due).min(LOOK_EVERY));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.publisher.something_to_sign() => {}
                asked = self.submissions.answered() => {
                    self.submissions.take(&asked, seconds(SystemTime::now()));
                }
            }
        }
    }

    /// Signs what is due. In how many seconds there is something next.
    async fn round(&mut self) -> Option<u64> {
        let loaded = self.publisher.loaded();
        for (name, zone) in loaded.signed() {
            if zone.due() <= seconds(SystemTime::now()) {
                self.step(name, zone).await;
            }
            self.show(zone);
        }
        self.events.show(loaded.signed());
        for (name, zone) in loaded.signed().filter(|(_, zone)| zone.has_to_keep(false)) {
            self.keep(name, zone).await;
        }
        let now = seconds(SystemTime::now());
        let asked = self.submissions.begin(loaded.signed(), now);
        let due = loaded.signed().map(|(_, zone)| zone.due()).chain(asked).min();
        due.map(|due| due.saturating_sub(now).max(1))
    }

    async fn keep(&self, name: &str, zone: &Arc<SignedZone>) {
        let keeping = Arc::clone(zone);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || keeping.keep(false)).await {
            tracing::warn!(target: "dns", zone = name, %error, "signatures cannot be kept for the next start");
        }
    }

    /// Shows what somebody else has signed, such as a reload that came to nothing.
    fn show(&self, zone: &Arc<SignedZone>) {
        let signed = zone.zone();
        let served = self.publisher.served(signed.apex());
        if zone.is_settled() && served.is_some_and(|served| !Arc::ptr_eq(&served, &signed)) {
            self.publisher.show_signed(zone);
        }
    }

    async fn step(&self, name: &str, zone: &Arc<SignedZone>) {
        let signing = Arc::clone(zone);
        let done = tokio::task::spawn_blocking(move || signing.step(SystemTime::now())).await;
        match done {
            Ok(Ok(true)) => {
                self.publisher.show_signed(zone);
                self.events.signed.inc();
                tracing::info!(target: "dns", zone = name, serial = zone.zone().figures().serial, "signed");
            }
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                self.events.failed.inc();
                zone.put_off(seconds(SystemTime::now()) + AGAIN_AFTER);
                tracing::error!(target: "dns", zone = name, %error, "a zone cannot be signed again for the moment");
            }
            Err(error) => {
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}

/// What is counted of signing.
struct Events {
    registry: Registry,
    signed: Counter,
    failed: Counter,
    zones: HashMap<String, ZoneGauges>,
}

/// What is told of one zone.
struct ZoneGauges {
    /// When the first signature ends.
    end: Gauge,
    /// When keys change next.
    keys: Gauge,
    /// Since when a key waits for its DS.
    submitted: Gauge,
}

impl Events {
    fn new(registry: &Registry) -> Self {
        let counter = |outcome| {
            let help = "Zones that were signed again while they were served.";
            registry.counter("nines_dns_zone_signings_total", help, &[("outcome", outcome)])
        };
        Self {
            signed: counter("signed"),
            failed: counter("failed"),
            zones: HashMap::new(),
            registry: registry.clone(),
        }
    }

    fn show<'z>(&mut self, zones: impl Iterator<Item = (&'z str, &'z Arc<SignedZone>)>) {
        for (_, zone) in zones.take(ZONES_MAX) {
            let name = zone.zone().apex().to_string();
            let gauges =
                self.zones.entry(name).or_insert_with_key(|name| ZoneGauges::new(&self.registry, name));
            gauges.end.set(f64::from(zone.first_end()));
            gauges.keys.set(zone.keys_change().unwrap_or(0) as f64);
            gauges.submitted.set(zone.submission().map_or(0, |submission| submission.since) as f64);
        }
    }
}

impl ZoneGauges {
    fn new(registry: &Registry, zone: &str) -> Self {
        let gauge = |name, help| registry.gauge(name, help, &[("zone", zone)]);
        Self {
            end: gauge(
                "nines_dns_zone_signature_expiry_seconds",
                "When the first signature of a zone ends, in seconds since 1970.",
            ),
            keys: gauge(
                "nines_dns_zone_keys_change_timestamp_seconds",
                "When keys of a zone change next by themselves, in seconds since 1970; 0: not at all.",
            ),
            submitted: gauge(
                "nines_dns_zone_key_submitted_timestamp_seconds",
                "Since when a new key of a zone waits for its DS in the zone above; 0: none does.",
            ),
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
