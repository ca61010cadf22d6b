//! Keeps responses fresh: one owned task fetches what is due, handshakes read from memory.

use super::response::{Refused, Validity, judge};
use super::subject::Subject;
use crate::clock::{Clock, unix_ms};
use crate::error::HttpError;
use crate::events::OcspMeters;
use crate::http_client::{Bounds, HttpClient, Plain};
use arc_swap::ArcSwap;
use bytes::Bytes;
use flow::Backoff;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustls::pki_types::CertificateDer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use telemetry::Registry;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Responses are small: one signature and a certificate or two.
const BOUNDS: Bounds = Bounds { body_bytes_max: 64 * 1024, time_max: Duration::from_secs(10) };

/// Responses that are fetched at the same time.
const FETCHES_MAX: usize = 4;

/// After failures; a responder that is gone is asked every hour.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(60), max: Duration::from_secs(3600) };

/// What a stapler needs of its surroundings.
#[derive(Debug, Clone)]
pub struct StaplerContext {
    /// Where the figures go.
    pub registry: Registry,
    /// The time by which responses are judged.
    pub clock: Clock,
    /// How often the clock is looked at.
    pub poll: Duration,
    /// For the spread of pauses; from the system when absent.
    pub seed: Option<u64>,
}

impl StaplerContext {
    /// With the machine's clock.
    pub fn new(registry: Registry) -> Self {
        Self { registry, clock: Clock::system(), poll: Duration::from_secs(5), seed: None }
    }
}

/// OCSP responses by name.
///
/// Told of a certificate by [`Stapler::watch`], it fetches a response if the certificate names a responder, and
/// again at half of the response's validity. Should that fail, the old one stays until it ends; after that there
/// is none, and clients decide.
pub struct Stapler {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    context: StaplerContext,
    /// What handshakes read.
    staples: ArcSwap<HashMap<String, Arc<[u8]>>>,
    entries: Mutex<BTreeMap<String, Entry>>,
    changed: Notify,
    /// Grows with every change of `staples`.
    version: AtomicU64,
    settled: watch::Sender<u64>,
    stop: Notify,
    meters: OcspMeters,
}

struct Entry {
    subject: Subject,
    staple: Option<(Arc<[u8]>, Validity)>,
    next_fetch: SystemTime,
    failures: u32,
    last_error: Option<String>,
    is_fetching: bool,
    is_revoked: bool,
}

/// The OCSP response of one name, as the admin API serves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StapleStatus {
    /// The name.
    pub name: String,
    /// The responder.
    pub responder: String,
    /// Until when the response holds, in milliseconds of the Unix epoch; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until_unix_ms: Option<u64>,
    /// When the responder is asked next.
    pub next_fetch_unix_ms: u64,
    /// Whether the responder last said that the certificate is revoked.
    pub revoked: bool,
    /// Why the last fetch failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl Stapler {
    /// Starts its task on the current runtime.
    pub fn start(context: StaplerContext) -> Self {
        let shared = Arc::new(Shared {
            meters: OcspMeters::new(&context.registry),
            context,
            staples: ArcSwap::default(),
            entries: Mutex::default(),
            changed: Notify::new(),
            version: AtomicU64::new(0),
            settled: watch::Sender::new(0),
            stop: Notify::new(),
        });
        let task = tokio::spawn(run(Arc::clone(&shared)));
        Self { shared, task: Mutex::new(Some(task)) }
    }

    /// Keeps the response for this name's certificate from now on; `chain` is leaf first. The same chain again
    /// changes nothing.
    pub fn watch(&self, name: &str, chain: &[CertificateDer<'_>]) {
        let Some(subject) = Subject::of(chain) else { return self.forget(name) };
        let mut entries = self.shared.entries();
        if entries.get(name).is_some_and(|entry| entry.subject == subject) {
            return;
        }
        let entry = Entry {
            subject,
            staple: None,
            next_fetch: SystemTime::UNIX_EPOCH,
            failures: 0,
            last_error: None,
            is_fetching: false,
            is_revoked: false,
        };
        entries.insert(name.into(), entry);
        self.shared.publish(&entries);
        self.shared.changed.notify_one();
    }

    /// Lets go of a name.
    pub fn forget(&self, name: &str) {
        let mut entries = self.shared.entries();
        if entries.remove(name).is_some() {
            self.shared.publish(&entries);
        }
    }

    /// The response for this name, in DER. It is of the certificate that was told last, and valid.
    pub fn staple(&self, name: &str) -> Option<Arc<[u8]>> {
        self.shared.staples.load().get(name).cloned()
    }

    /// The names whose certificates have been revoked, by the word of their responders.
    pub fn revoked(&self) -> BTreeSet<String> {
        let entries = self.shared.entries();
        entries.iter().filter(|(_, entry)| entry.is_revoked).map(|(name, _)| name.clone()).collect()
    }

    /// A number that grows whenever any response changes.
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// Counts the fetches that have ended, and tells of each.
    pub fn fetched(&self) -> watch::Receiver<u64> {
        self.shared.settled.subscribe()
    }

    /// Looks at the clock now, not only at the next turn.
    pub fn wake(&self) {
        self.shared.changed.notify_one();
    }

    /// What is known, by name.
    pub fn status(&self) -> Vec<StapleStatus> {
        let entries = self.shared.entries();
        let status = |(name, entry): (&String, &Entry)| StapleStatus {
            name: name.clone(),
            responder: entry.subject.url.clone(),
            valid_until_unix_ms: entry.staple.as_ref().map(|(_, validity)| unix_ms(validity.next_update)),
            next_fetch_unix_ms: unix_ms(entry.next_fetch),
            revoked: entry.is_revoked,
            last_error: entry.last_error.clone(),
        };
        entries.iter().map(status).collect()
    }

    /// Ends its task and waits for it. What is stapled stays.
    pub async fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.shared.stop.notify_one();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(target: "acme", %error, "the task of OCSP ended badly");
        }
    }
}

impl Drop for Stapler {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Shared {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets handshakes see what the entries hold.
    fn publish(&self, entries: &BTreeMap<String, Entry>) {
        let staple =
            |(name, entry): (&String, &Entry)| Some((name.clone(), Arc::clone(&entry.staple.as_ref()?.0)));
        self.staples.store(Arc::new(entries.iter().filter_map(staple).collect()));
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Drops what has ended, and says what to fetch now.
    fn due(&self, room: usize) -> Vec<(String, Subject)> {
        let now = self.context.clock.now();
        let mut entries = self.entries();
        let mut has_ended = false;
        for (name, entry) in &mut *entries {
            if entry.staple.as_ref().is_some_and(|(_, validity)| validity.next_update <= now) {
                tracing::warn!(target: "acme", name, "the OCSP response has ended, and there is no newer one");
                (entry.staple, has_ended) = (None, true);
            }
        }
        if has_ended {
            self.publish(&entries);
        }
        let due = entries.iter_mut().filter(|(_, entry)| !entry.is_fetching && entry.next_fetch <= now);
        let begin = |(name, entry): (&String, &mut Entry)| {
            entry.is_fetching = true;
            (name.clone(), entry.subject.clone())
        };
        due.take(room).map(begin).collect()
    }

    fn conclude(&self, fetched: Fetched, rng: &mut StdRng) {
        let Fetched { name, subject, outcome } = fetched;
        let now = self.context.clock.now();
        let mut entries = self.entries();
        // Meanwhile the name may be gone, or have another certificate.
        let Some(entry) = entries.get_mut(&name).filter(|entry| entry.subject == subject) else { return };
        entry.is_fetching = false;
        match outcome {
            Ok((response, validity)) => {
                let life = validity.next_update.duration_since(validity.this_update).unwrap_or_default();
                let half = validity.this_update + life / 2;
                entry.next_fetch = half.max(now + BACKOFF.first);
                entry.staple = Some((response, validity));
                (entry.failures, entry.last_error, entry.is_revoked) = (0, None, false);
                self.meters.stapled.inc();
                self.publish(&entries);
            }
            Err(failure) => {
                let pause = BACKOFF.delay(entry.failures, rng);
                entry.failures = entry.failures.saturating_add(1);
                entry.next_fetch = now + pause;
                entry.is_revoked = failure == FetchFailure::Refused(Refused::Revoked);
                match &failure {
                    FetchFailure::Refused(_) => self.meters.refused.inc(),
                    FetchFailure::Http(_) => self.meters.failed.inc(),
                }
                let (url, error) = (&entry.subject.url, failure.to_string());
                tracing::warn!(target: "acme", name, url, error, "no OCSP response to staple");
                entry.last_error = Some(error);
                // What was "good" an hour ago must not be said of what is revoked now.
                if entry.is_revoked && entry.staple.take().is_some() {
                    self.publish(&entries);
                }
            }
        }
    }
}

struct Fetched {
    name: String,
    subject: Subject,
    outcome: Result<(Arc<[u8]>, Validity), FetchFailure>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum FetchFailure {
    #[error("{0}")]
    Http(String),
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl From<HttpError> for FetchFailure {
    fn from(error: HttpError) -> Self {
        Self::Http(error.to_string())
    }
}

async fn run(shared: Arc<Shared>) {
    let mut fetches: JoinSet<Fetched> = JoinSet::new();
    let mut rng = shared.context.seed.map_or_else(rand::make_rng, StdRng::seed_from_u64);
    loop {
        for (name, subject) in shared.due(FETCHES_MAX - fetches.len()) {
            let clock = shared.context.clock.clone();
            fetches.spawn(async move {
                let outcome = fetch(&subject, &clock).await;
                Fetched { name, subject, outcome }
            });
        }
        tokio::select! {
            () = shared.stop.notified() => break,
            Some(fetched) = fetches.join_next() => {
                match fetched {
                    Ok(fetched) => shared.conclude(fetched, &mut rng),
                    Err(error) => tracing::error!(target: "acme", %error, "a fetch by OCSP ended badly"),
                }
                shared.settled.send_modify(|count| *count += 1);
            }
            () = shared.changed.notified() => {}
            () = tokio::time::sleep(shared.context.poll) => {}
        }
    }
    fetches.shutdown().await;
}

async fn fetch(subject: &Subject, clock: &Clock) -> Result<(Arc<[u8]>, Validity), FetchFailure> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(&subject.url)
        .header(CONTENT_TYPE, "application/ocsp-request")
        .body(Full::new(Bytes::from(subject.request())))
        .map_err(|error| FetchFailure::Http(format!("{}: {error}", subject.url)))?;
    let answer = HttpClient::without_tls(Plain::Everybody).exchange(request, BOUNDS).await?;
    if answer.status() != StatusCode::OK {
        return Err(FetchFailure::Http(format!("{}: status {}", subject.url, answer.status().as_u16())));
    }
    let validity = judge(answer.body(), subject, clock.now())?;
    Ok((answer.body().as_ref().into(), validity))
}
