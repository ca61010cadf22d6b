//! One zone from elsewhere, for as long as the file says so.

use super::fetch::{FetchError, fetch};
use super::store;
use super::timers::{Intervals, Timers};
use crate::changes::{
    Changing, Direction, TransferKind, TransferOutcome, random_u64, serve, unix_now, unsigned,
};
use crate::dnssec::signing;
use crate::dnssec::signing::config::SignConfig;
use crate::error::Error;
use crate::protocol::Name;
use crate::publishing::Publisher;
use crate::transfer::{Asked, IncomingFault, Received, applied, is_newer, soa_of};
use crate::tsig::Key;
use crate::zone::Zone;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use telemetry::Gauge;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// From where a zone comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secondary {
    pub(crate) primaries: Vec<SocketAddr>,
    pub(crate) key: Option<Arc<Key>>,
}

/// A primary says that the zone has changed, and perhaps to which serial number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notified(pub(crate) Option<u32>);

struct Task {
    apex: Name,
    secondary: Secondary,
    publisher: Publisher,
    path: PathBuf,
    expiry: Gauge,
    timers: Timers,
    /// The primary that answered last.
    primary: usize,
    /// The serial number that a primary has told, if it is not here yet.
    told: Option<u32>,
    /// As it came; withdrawn, if nothing has or what has is not believed any more.
    content: Arc<Zone>,
}

/// Follows its primaries, until it is dropped.
pub(crate) async fn run(
    apex: Name,
    secondary: Secondary,
    publisher: Publisher,
    data: PathBuf,
    mut notified: mpsc::Receiver<Notified>,
) {
    let expiry = publisher.registry().gauge(
        "nines_dns_zone_expiry_timestamp_seconds",
        "When a zone from elsewhere is withdrawn unless a primary confirms it before.",
        &[("zone", &apex.to_string())],
    );
    let path = store::path(&data, &apex);
    let restored = restored(&apex, &publisher, &path);
    let (content, known) = match restored {
        Some((zone, intervals, confirmed)) => (zone, Some((intervals, confirmed))),
        None => (Arc::new(Zone::withdrawn(apex.clone())), None),
    };
    // Time begins with 1970, so that what was confirmed before has a place in it; but it does not jump.
    let (begun, offset) = (Instant::now(), Duration::from_secs(unix_now()));
    let timers = Timers::new(known, offset);
    let mut task = Task { apex, secondary, publisher, path, expiry, timers, primary: 0, told: None, content };
    task.show();
    loop {
        let now = offset + begun.elapsed();
        if task.timers.expiry().is_some_and(|expiry| expiry <= now) {
            tracing::error!(target: "dns", zone = %task.apex, "no primary has confirmed the zone for too long: it is withdrawn");
            task.publisher.withdraw(&task.apex);
            task.content = Arc::new(Zone::withdrawn(task.apex.clone()));
            task.timers.expire();
            task.show();
        }
        if task.timers.next() <= now {
            task.timers.ask(now);
            let intervals = task.ask().await;
            let now = offset + begun.elapsed();
            match intervals {
                Some(intervals) => task.timers.confirmed(intervals, now, random_u64()),
                None => task.timers.failed(now, random_u64()),
            }
            task.show();
            continue;
        }
        let next = task.timers.expiry().map_or(task.timers.next(), |expiry| expiry.min(task.timers.next()));
        tokio::select! {
            () = tokio::time::sleep(next.saturating_sub(now)) => {}
            Some(Notified(serial)) = notified.recv() => {
                let ours = (!task.content.is_withdrawn()).then(|| task.content.figures().serial);
                // RFC 1996 §4.7: what is known is no news.
                if serial.zip(ours).is_none_or(|(theirs, ours)| is_newer(theirs, ours)) {
                    task.told = serial;
                    task.timers.notified(offset + begun.elapsed());
                }
            }
        }
    }
}

/// What is on disk, and since when it is confirmed. It is served, if nothing is yet, or what is older: another process may have kept it since.
pub(crate) fn restored(
    apex: &Name,
    publisher: &Publisher,
    path: &Path,
) -> Option<(Arc<Zone>, Intervals, Duration)> {
    let (zone, intervals, confirmed) = kept(apex, path)?;
    if let Some(signed) = publisher.signed_at(apex) {
        let (source, content) = (signed.source(), unsigned(&zone));
        if !can_be_signed(&signed.check(&content), apex) {
            return None;
        }
        if source.is_withdrawn() || !is_newer(source.figures().serial, content.figures().serial) {
            publisher.replace(&zone);
        }
    } else if publisher.served(apex).is_some_and(|served| {
        served.is_withdrawn() || is_newer(zone.figures().serial, served.figures().serial)
    }) {
        publisher.replace(&zone);
    }
    Some((zone, intervals, confirmed))
}

/// What is on disk of a zone that is signed here, to be signed; withdrawn if there is nothing.
pub(crate) fn signable(data: &Path, apex: &Name, config: &SignConfig, is_copied: bool) -> Arc<Zone> {
    let zone = kept(apex, &store::path(data, apex)).map(|(zone, ..)| unsigned(&zone));
    zone.filter(|zone| can_be_signed(&signing::check(zone, config, is_copied), apex))
        .unwrap_or_else(|| Arc::new(Zone::withdrawn(apex.clone())))
}

fn can_be_signed(checked: &Result<(), Error>, apex: &Name) -> bool {
    if let Err(error) = checked {
        tracing::error!(target: "dns", zone = %apex, %error, "what was kept of the zone cannot be signed");
    }
    checked.is_ok()
}

fn kept(apex: &Name, path: &Path) -> Option<(Arc<Zone>, Intervals, Duration)> {
    let stored = match store::load(path, apex) {
        Ok(stored) => stored?,
        Err(error) => {
            tracing::warn!(target: "dns", zone = %apex, path = %path.display(), %error, "what was kept of the zone cannot be used");
            return None;
        }
    };
    let intervals = Intervals::of_soa(&soa_of(&stored.zone).data)?;
    let now = Duration::from_secs(unix_now());
    let confirmed = Duration::from_secs(stored.confirmed).min(now);
    if Timers::new(Some((intervals, confirmed)), now).expiry()? <= now {
        return None;
    }
    Some((Arc::new(stored.zone), intervals, confirmed))
}

impl Task {
    fn show(&self) {
        self.expiry.set(self.timers.expiry().map_or(0.0, |expiry| expiry.as_secs_f64()));
    }

    /// Asks one primary after the other, beginning with the one that answered last. Where one has told of a change, those that do not have
    /// it yet are not all that is asked.
    async fn ask(&mut self) -> Option<Intervals> {
        let snapshot = self.publisher.snapshot();
        // Never closed. With many zones the rest come later: one that is expired meanwhile, or told of again, is asked for all the same.
        let _place = snapshot.live.changing.fetches.acquire().await;
        let (first, told) = (self.primary, self.told.take());
        let mut confirmed = None;
        for nth in 0..self.secondary.primaries.len() {
            let at = (first + nth) % self.secondary.primaries.len();
            let Some(intervals) = self.ask_one(self.secondary.primaries[at]).await else { continue };
            self.primary = at;
            confirmed = Some(intervals);
            if told.is_none_or(|told| !is_newer(told, self.content.figures().serial)) {
                break;
            }
        }
        confirmed
    }

    async fn ask_one(&mut self, primary: SocketAddr) -> Option<Intervals> {
        let zone = Arc::clone(&self.content);
        let snapshot = self.publisher.snapshot();
        let changing = &snapshot.live.changing;
        let mut kinds = vec![(TransferKind::Axfr, Asked::Whole)];
        if !zone.is_withdrawn() {
            kinds.insert(0, (TransferKind::Ixfr, Asked::Since(zone.figures().serial)));
        }
        for (kind, asked) in kinds {
            let key = self.secondary.key.clone();
            let fetched = fetch(primary, key.as_ref(), &zone, asked).await;
            match self.take(&zone, fetched).await {
                Ok((is_new, of_kind)) => {
                    let outcome = if is_new { TransferOutcome::Done } else { TransferOutcome::Current };
                    changing.events.transfer(Direction::In, of_kind.unwrap_or(kind), outcome);
                    return Intervals::of_soa(&soa_of(&self.content).data);
                }
                Err(error) => {
                    self.said_no(changing, primary, kind, &error);
                    // All of it would be as old.
                    if matches!(error, FetchError::Incoming(IncomingFault::Older { .. })) {
                        break;
                    }
                }
            }
        }
        None
    }

    fn said_no(&self, changing: &Changing, primary: SocketAddr, kind: TransferKind, error: &FetchError) {
        let is_refused = matches!(error, FetchError::Incoming(IncomingFault::Rcode(_)));
        let outcome = if is_refused { TransferOutcome::Refused } else { TransferOutcome::Failed };
        changing.events.transfer(Direction::In, kind, outcome);
        tracing::warn!(target: "dns", zone = %self.apex, %primary, %error, "a transfer has failed");
    }

    /// Keeps and serves what came, if it is newer.
    async fn take(
        &mut self,
        before: &Arc<Zone>,
        fetched: Result<Received, FetchError>,
    ) -> Result<(bool, Option<TransferKind>), FetchError> {
        let (zone, kind) = match fetched? {
            Received::Current => (None, None),
            Received::Whole(zone) => (Some(*zone), Some(TransferKind::Axfr)),
            Received::Differences(differences) => {
                let zone = applied(before, &differences).map_err(IncomingFault::Wrong)?;
                (Some(zone), Some(TransferKind::Ixfr))
            }
        };
        let is_news =
            |zone: &Zone| before.is_withdrawn() || is_newer(zone.figures().serial, before.figures().serial);
        let (theirs, ours) = (zone.as_ref().map(|zone| zone.figures().serial), before.figures().serial);
        if let Some(theirs) = theirs.filter(|theirs| !before.is_withdrawn() && is_newer(ours, *theirs)) {
            return Err(IncomingFault::Older { theirs, ours }.into());
        }
        let Some(zone) = zone.filter(is_news).map(Arc::new) else {
            if let Err(error) = store::confirm(&self.path) {
                tracing::debug!(target: "dns", zone = %self.apex, %error, "that the zone is confirmed is not kept");
            }
            return Ok((false, kind));
        };
        let (path, taken, publisher) = (self.path.clone(), Arc::clone(&zone), self.publisher.clone());
        // A large zone takes a while, more so if it is signed.
        let taken = tokio::task::spawn_blocking(move || keep_and_serve(&taken, &path, &publisher));
        match taken.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(IncomingFault::Wrong(error.to_string()).into()),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down, and this task with it.
                Err(_) => std::future::pending().await,
            },
        }
        let serial = zone.figures().serial;
        tracing::info!(target: "dns", zone = %self.apex, serial, "a zone has come");
        self.content = zone;
        Ok((true, kind))
    }
}

/// Serves a zone that has come. One that is to be signed here and cannot be is none.
fn keep_and_serve(zone: &Arc<Zone>, path: &Path, publisher: &Publisher) -> Result<(), Error> {
    if let Some(signed) = publisher.signed_at(zone.apex()) {
        signed.check(&unsigned(zone))?;
    }
    if let Err(error) = store::save(path, zone) {
        // It is served nonetheless; a restart will ask for it again.
        tracing::error!(target: "dns", zone = %zone.apex(), path = %path.display(), %error, "the zone cannot be kept");
    }
    serve(publisher, zone);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loading::ZoneSet;
    use crate::running::DnsParts;
    use crate::snapshot::{Live, Snapshot};
    use crate::zone::ZoneBuilder;
    use std::time::SystemTime;
    use telemetry::Registry;

    const FILE: &str =
        "listen = '127.0.0.1:0'\n[zone.'a.test']\nsecondary = { primaries = ['127.0.0.1:9'] }\n";

    fn parts(dir: &Path, file: &str, before: &ZoneSet) -> DnsParts {
        let config: crate::DnsConfig = toml::from_str(file).expect("a good file");
        let mut zones = ZoneSet::load(&config, dir, before).expect("good zones");
        zones.sign(dir, SystemTime::now(), before).expect("keys");
        DnsParts {
            config,
            zones,
            cookie_key: [7; 16],
            keys: crate::Keys::default(),
            dir: dir.to_owned(),
            data: dir.to_owned(),
            node_data: dir.to_owned(),
            tls: tls::EdgeTls::default(),
        }
    }

    fn snapshot(parts: &DnsParts) -> Snapshot {
        let registry = Registry::new();
        let live = Arc::new(Live::new(&parts.config.limit, &registry));
        Snapshot::new(parts, live, &registry, None).expect("a good snapshot")
    }

    fn zone(serial: u32, more: &str) -> Arc<Zone> {
        let mut builder = ZoneBuilder::new("a.test".parse().expect("a name"));
        let text = format!("$TTL 60\n@ SOA ns a {serial} 60 60 86400 60\n@ NS ns.b.test.\n{more}");
        builder.text("zone", text.as_bytes());
        Arc::new(builder.finish().expect("a good zone").zone)
    }

    #[test]
    fn what_another_process_has_kept_since_it_was_read_is_served() {
        for sign in ["", "sign = true"] {
            let (dir, apex): (_, Name) =
                (tempfile::tempdir().expect("a folder"), "a.test".parse().expect("a name"));
            let path = store::path(dir.path(), &apex);
            store::save(&path, &zone(1, "")).expect("there is room");
            let parts = parts(dir.path(), &format!("{FILE}{sign}"), &ZoneSet::default());
            let publisher = Publisher::new(snapshot(&parts), parts.zones.clone(), Registry::new());
            let serial = || match publisher.signed_at(&apex) {
                Some(signed) => signed.source().figures().serial,
                None => publisher.served(&apex).expect("it is there").figures().serial,
            };
            for (kept, served) in [(1, 1), (3, 3), (2, 3)] {
                store::save(&path, &zone(kept, "")).expect("there is room");
                assert!(restored(&apex, &publisher, &path).is_some());
                assert_eq!(serial(), served, "{sign}");
            }
        }
    }

    #[test]
    fn what_is_kept_and_cannot_be_signed_is_not_signed() {
        let (dir, apex): (_, Name) =
            (tempfile::tempdir().expect("a folder"), "a.test".parse().expect("a name"));
        let path = store::path(dir.path(), &apex);
        store::save(&path, &zone(1, "*.x NS ns.b.test.")).expect("there is room");
        let plain = parts(dir.path(), FILE, &ZoneSet::default());
        let publisher = Publisher::new(snapshot(&plain), plain.zones.clone(), Registry::new());
        assert!(restored(&apex, &publisher, &path).is_some());
        assert!(!publisher.served(&apex).expect("it is there").is_withdrawn());
        let signed = parts(dir.path(), &format!("{FILE}sign = true"), &plain.zones);
        publisher.commit(snapshot(&signed), signed.zones.clone(), &[]);
        let source = || publisher.signed_at(&apex).expect("it is signed").source();
        assert!(source().is_withdrawn());
        assert!(restored(&apex, &publisher, &path).is_none());
        assert!(source().is_withdrawn());
        let plain = parts(dir.path(), FILE, &signed.zones);
        publisher.commit(snapshot(&plain), plain.zones.clone(), &[]);
        assert!(!publisher.served(&apex).expect("it is there").is_withdrawn());
    }
}
