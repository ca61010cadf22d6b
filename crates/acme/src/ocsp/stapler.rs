//! Keeps responses fresh: one owned task fetches what is due, handshakes read from memory.

use super::response::{Refused, Validity, judge};
use super::subject::{Key, NoSubject, Subject};
use crate::clock::{Clock, unix_ms};
use crate::error::HttpError;
use crate::events::OcspMeters;
use crate::http_client::{Bounds, HttpClient, Plain};
use arc_swap::ArcSwapOption;
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
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};
use telemetry::Registry;
use tls::{EdgeTls, OcspFetch, TlsConfig};
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

/// OCSP responses of certificates.
///
/// Told of a certificate by [`Stapler::watch`], it fetches a response if the certificate names a responder, and
/// again at half of the response's validity, for as long as anybody has a [`Watch`] on it. Should that fail, the old
/// one stays until it ends; after that there is none, and clients decide.
pub struct Stapler {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// The response of one certificate, for whoever shows that. It is asked for as long as one of its watches is there.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Live>);

/// What handshakes read.
#[derive(Debug, Default)]
struct Live {
    response: ArcSwapOption<Vec<u8>>,
    is_revoked: AtomicBool,
}

impl Watch {
    /// The response in DER: of this certificate, believed, and valid.
    pub fn response(&self) -> Option<Arc<Vec<u8>>> {
        self.0.response.load_full()
    }

    /// Whether the responder last said that the certificate is revoked.
    pub fn is_revoked(&self) -> bool {
        self.0.is_revoked.load(Ordering::Relaxed)
    }
}

impl tls::Staple for Watch {
    fn response(&self) -> Option<Arc<Vec<u8>>> {
        self.response()
    }
}

struct Shared {
    context: StaplerContext,
    entries: Mutex<BTreeMap<Key, Entry>>,
    changed: Notify,
    /// Grows with every change of a response.
    version: AtomicU64,
    settled: watch::Sender<u64>,
    stop: Notify,
    meters: OcspMeters,
}

/// One certificate, until nobody watches it.
struct Entry {
    /// Of a site that shows it.
    name: String,
    subject: Subject,
    live: Weak<Live>,
    /// Of the response, if there is one.
    validity: Option<Validity>,
    next_fetch: SystemTime,
    failures: u32,
    last_error: Option<String>,
    is_fetching: bool,
}

/// The OCSP response of one certificate, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StapleStatus {
    /// The name of a site that shows the certificate.
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
            entries: Mutex::default(),
            changed: Notify::new(),
            version: AtomicU64::new(0),
            settled: watch::Sender::new(0),
            stop: Notify::new(),
        });
        let task = tokio::spawn(run(Arc::clone(&shared)));
        Self { shared, task: Mutex::new(Some(task)) }
    }

    /// Who fetches for these certificates from now on: the one before, with what it knows, or a new one, started as
    /// by [`Stapler::start`]. `None` if nobody is to be asked.
    pub fn succeed<'a>(
        before: Option<&Arc<Self>>,
        edge: &EdgeTls,
        certificates: impl IntoIterator<Item = &'a TlsConfig>,
        registry: &Registry,
    ) -> Option<Arc<Self>> {
        let is_wanted =
            edge.ocsp == OcspFetch::Fetch && certificates.into_iter().any(TlsConfig::wants_responses);
        let new = || Arc::new(Self::start(StaplerContext::new(registry.clone())));
        is_wanted.then(|| before.map_or_else(new, Arc::clone))
    }

    /// Keeps a response for a certificate from now on; `chain` is leaf first, `name` that of a site which shows it.
    /// The same chain again is the same response. `None` when there is nobody to ask: the certificate names no
    /// responder, or the issuer's is not in the chain.
    pub fn watch(&self, name: &str, chain: &[CertificateDer<'_>]) -> Option<Watch> {
        let subject = match Subject::of(chain) {
            Ok(subject) => subject,
            Err(NoSubject::NoResponder) => return None,
            Err(reason @ NoSubject::NoIssuer) => {
                tracing::warn!(target: "acme", name, %reason, "no OCSP response to staple to the certificate");
                return None;
            }
        };
        let mut entries = self.shared.entries();
        if let Some(live) = entries.get(&subject.key).and_then(|entry| entry.live.upgrade()) {
            return Some(Watch(live));
        }
        let live = Arc::<Live>::default();
        let entry = Entry {
            name: name.into(),
            live: Arc::downgrade(&live),
            validity: None,
            next_fetch: SystemTime::UNIX_EPOCH,
            failures: 0,
            last_error: None,
            is_fetching: false,
            subject,
        };
        entries.insert(entry.subject.key, entry);
        self.shared.changed.notify_one();
        Some(Watch(live))
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

    /// What is known of the certificates that are asked for, by name. One that nobody watches any more is among them
    /// until the task's next turn.
    pub fn status(&self) -> Vec<StapleStatus> {
        let entries = self.shared.entries();
        let status = |entry: &Entry| StapleStatus {
            name: entry.name.clone(),
            responder: entry.subject.url.clone(),
            valid_until_unix_ms: entry.validity.map(|validity| unix_ms(validity.next_update)),
            next_fetch_unix_ms: unix_ms(entry.next_fetch),
            revoked: entry.live.upgrade().is_some_and(|live| Watch(live).is_revoked()),
            last_error: entry.last_error.clone(),
        };
        let mut all: Vec<StapleStatus> = entries.values().map(status).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Ends the task of `before` where `now` is another, or none: connections may hold what was before for long, and nobody
    /// is to be asked for that. What is stapled stays.
    pub fn retire(before: Option<&Arc<Self>>, now: Option<&Arc<Self>>) {
        if let Some(gone) = before.filter(|before| now.is_none_or(|now| !Arc::ptr_eq(before, now))) {
            gone.shared.stop.notify_one();
        }
    }

    /// Whether its task has ended: nobody is asked any more.
    pub fn is_ended(&self) -> bool {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends its task and waits for it. What is stapled stays.
    pub async fn stop(&self) {
        self.shared.stop.notify_one();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
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

impl tls::Staples for Stapler {
    fn watch(&self, whose: &str, chain: &[CertificateDer<'_>]) -> Option<Box<dyn tls::Staple>> {
        Some(Box::new(self.watch(whose, chain)?))
    }
}

impl Shared {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets handshakes see another response, or none.
    fn publish(&self, live: &Live, response: Option<Arc<Vec<u8>>>) {
        live.response.store(response);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Forgets what nobody watches, drops what has ended, and says what to fetch now.
    fn due(&self, room: usize) -> Vec<Subject> {
        let now = self.context.clock.now();
        let mut entries = self.entries();
        entries.retain(|_, entry| entry.live.strong_count() > 0);
        for entry in entries.values_mut() {
            if entry.validity.is_some_and(|validity| validity.next_update <= now) {
                entry.validity = None;
                if let Some(live) = entry.live.upgrade() {
                    self.publish(&live, None);
                }
                let (name, demanded) = (&entry.name, entry.subject.demands_staple);
                tracing::warn!(
                    target: "acme", name, demanded, "the OCSP response has ended, and there is no newer one"
                );
            }
        }
        let due = entries.values_mut().filter(|entry| !entry.is_fetching && entry.next_fetch <= now);
        let begin = |entry: &mut Entry| {
            entry.is_fetching = true;
            entry.subject.clone()
        };
        due.take(room).map(begin).collect()
    }

    fn conclude(&self, fetched: Fetched, rng: &mut StdRng) {
        let Fetched { key, outcome } = fetched;
        match &outcome {
            Ok(_) => self.meters.stapled.inc(),
            Err(FetchFailure::Refused(_)) => self.meters.refused.inc(),
            Err(FetchFailure::Http(_)) => self.meters.failed.inc(),
        }
        let now = self.context.clock.now();
        let mut entries = self.entries();
        // Meanwhile nobody may want it any more.
        let Some(entry) = entries.get_mut(&key) else { return };
        let Some(live) = entry.live.upgrade() else { return };
        entry.is_fetching = false;
        let is_revoked = matches!(outcome, Err(FetchFailure::Refused(Refused::Revoked)));
        // A responder that did not answer has said nothing else.
        if is_revoked || outcome.is_ok() {
            live.is_revoked.store(is_revoked, Ordering::Relaxed);
        }
        match outcome {
            Ok((response, validity)) => {
                entry.note_success(validity, now);
                self.publish(&live, Some(Arc::new(response)));
            }
            Err(failure) => {
                // What was "good" an hour ago must not be said of what is revoked now.
                if is_revoked && entry.validity.take().is_some() {
                    self.publish(&live, None);
                }
                entry.note_failure(&failure, now, rng);
            }
        }
    }
}

impl Entry {
    fn note_success(&mut self, validity: Validity, now: SystemTime) {
        let life = validity.next_update.duration_since(validity.this_update).unwrap_or_default();
        self.next_fetch = (validity.this_update + life / 2).max(now + BACKOFF.first);
        (self.validity, self.failures) = (Some(validity), 0);
        if self.last_error.take().is_some() {
            tracing::info!(target: "acme", name = self.name, url = self.subject.url, "there is an OCSP response again");
        }
    }

    /// Tells of it once, not each time that it is tried again.
    fn note_failure(&mut self, failure: &FetchFailure, now: SystemTime, rng: &mut StdRng) {
        self.next_fetch = now + BACKOFF.delay(self.failures, rng);
        self.failures = self.failures.saturating_add(1);
        let error = failure.to_string();
        if self.last_error.as_ref() == Some(&error) {
            return;
        }
        let (name, url) = (&self.name, &self.subject.url);
        if self.validity.is_some() {
            tracing::warn!(target: "acme", name, url, error, "no newer OCSP response, the one before stays until it ends");
        } else if self.subject.demands_staple {
            tracing::warn!(
                target: "acme", name, url, error,
                "no OCSP response to staple, and the certificate demands one (RFC 7633): clients may refuse it"
            );
        } else {
            tracing::warn!(target: "acme", name, url, error, "no OCSP response to staple");
        }
        self.last_error = Some(error);
    }
}

struct Fetched {
    key: Key,
    outcome: Result<(Vec<u8>, Validity), FetchFailure>,
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
        for subject in shared.due(FETCHES_MAX - fetches.len()) {
            let clock = shared.context.clock.clone();
            fetches.spawn(async move {
                let outcome = fetch(&subject, &clock).await;
                Fetched { key: subject.key, outcome }
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

async fn fetch(subject: &Subject, clock: &Clock) -> Result<(Vec<u8>, Validity), FetchFailure> {
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
    Ok((answer.body().to_vec(), validity))
}
