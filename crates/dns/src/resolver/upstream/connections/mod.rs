//! Connections to an upstream that stay: each carries many questions at once (RFC 7766 §6.2.1.1, RFC 7858 §3.4, RFC 8484).
//!
//! Cores share them. A task of the core that first needs one makes it (`dial`) and carries what is handed to it (`framed`, `http`);
//! what is under way on it, `pipeline` knows. It ends when nobody has asked for half a minute, when nothing comes, and with its core.
//!
//! Bounds: [`LINES_MAX`] connections, and [`PLACES`] questions on them; who comes beyond waits for a place within its own time.

mod dial;
mod framed;
mod frames;
mod http;
mod pipeline;

use super::{Address, Transport};
use bytes::BytesMut;
use dial::Dialed;
pub(super) use dial::Dialer;
pub use frames::framed_messages;
use pipeline::{Answer, Outcome, Pipeline, QUESTIONS_MAX, SUSPECT_AFTER, State};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use telemetry::{Counter, Registry};
use thiserror::Error;
use tokio::sync::{Notify, Semaphore, oneshot};

/// To one upstream, those included that nothing is asked on any more.
const LINES_MAX: usize = 8;
/// Of those new questions go to so many.
const LINES_IN_USE_MAX: usize = 4;
/// Questions at once to one upstream.
const PLACES: usize = LINES_IN_USE_MAX * QUESTIONS_MAX;
/// Questions at once that each have a connection of their own.
const ALONE_MAX: usize = 16;
/// How often a connection is looked at whether it has a use.
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// For so long it is no use to ask again by the same connection: it loses nothing.
pub(super) const PATIENCE_MIN: Duration = SUSPECT_AFTER;

/// Why an answer has not come.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Lost {
    /// There is no connection.
    #[error("{0}")]
    Unreachable(Box<str>),
    /// There was one, which has ended after so many answers.
    #[error("the connection ended before the answer came")]
    Died { answered: u64 },
    /// What came is no answer.
    #[error("{0}")]
    Unfit(Box<str>),
    /// All connections have as much as they take, and none of it is answered.
    #[error("its connections are full of questions that it does not answer")]
    Full,
}

/// The connections to one upstream.
pub(super) struct Connections {
    lines: Mutex<Vec<Arc<Line>>>,
    places: Semaphore,
    alone: Semaphore,
    events: Arc<Events>,
}

/// What is counted of them.
struct Events {
    opened: Counter,
    resumed: Counter,
    failed: Counter,
    foreign: Counter,
}

/// One connection, as those see it who ask.
struct Line {
    pipeline: Mutex<Pipeline>,
    more: Notify,
}

impl Line {
    fn new(now: Instant) -> Self {
        Self { pipeline: Mutex::new(Pipeline::new(now)), more: Notify::new() }
    }

    fn pipeline(&self) -> MutexGuard<'_, Pipeline> {
        self.pipeline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, message: &[u8], now: Instant) -> Option<oneshot::Receiver<Outcome>> {
        let receiver = self.pipeline().submit(message.to_vec(), now, &mut rand::rng())?;
        self.more.notify_one();
        Some(receiver)
    }

    /// Takes questions that are to be sent, about so many octets.
    fn collect(&self, bytes: usize, out: &mut BytesMut) {
        let mut pipeline = self.pipeline();
        while out.len() < bytes
            && let Some((_, message)) = pipeline.next()
        {
            frames::add(&message, out);
        }
    }
}

impl Connections {
    pub(super) fn new(registry: &Registry, upstream: &str, foreign: Counter) -> Self {
        let counter = |outcome| {
            registry.counter(
                "nines_dns_resolver_upstream_connections_total",
                "Connections to an upstream: made, made with a session of TLS that was there before, and not made.",
                &[("upstream", upstream), ("outcome", outcome)],
            )
        };
        let (opened, resumed, failed) = (counter("opened"), counter("resumed"), counter("failed"));
        Self {
            lines: Mutex::default(),
            places: Semaphore::new(PLACES),
            alone: Semaphore::new(ALONE_MAX),
            events: Arc::new(Events { opened, resumed, failed, foreign }),
        }
    }

    /// Asks by a connection that is there, or by a new one. One that ends under a question costs a second try.
    pub(super) async fn ask(&self, dialer: &Dialer, message: &[u8]) -> Result<Answer, Lost> {
        let _place = self.places.acquire().await.expect("places are never closed");
        let answered = match self.ask_once(dialer, message).await {
            Err(Lost::Died { answered }) => answered,
            outcome => return outcome,
        };
        // Some servers close after one answer: nobody is to wait on their connections behind another.
        if dialer.address.transport.is_encrypted() || answered > 1 {
            return self.ask_once(dialer, message).await;
        }
        let _alone = self.alone.acquire().await.expect("places are never closed");
        let line = self.open(dialer);
        let receiver = line.submit(message, Instant::now());
        // Nobody finds it again: it is to end with this question, not when it was idle for long.
        line.pipeline().close();
        heard(receiver).await
    }

    async fn ask_once(&self, dialer: &Dialer, message: &[u8]) -> Result<Answer, Lost> {
        let now = Instant::now();
        let receiver = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.retain(|line| line.pipeline().state(now) != State::Over);
            match chosen(&lines, now) {
                Some(line) => line.submit(message, now),
                None if lines.len() < LINES_MAX => {
                    let line = self.open(dialer);
                    lines.push(Arc::clone(&line));
                    line.submit(message, now)
                }
                None => None,
            }
        };
        heard(receiver).await
    }

    /// Begins a connection: what is asked meanwhile waits for it.
    fn open(&self, dialer: &Dialer) -> Arc<Line> {
        let line = Arc::new(Line::new(Instant::now()));
        let carrier = Carrier { line: Arc::clone(&line), is_made: false, cause: None };
        tokio::task::spawn_local(carrier.carry(dialer.clone(), Arc::clone(&self.events)));
        line
    }

    /// How many there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.lines.lock().unwrap().len()
    }
}

async fn heard(receiver: Option<oneshot::Receiver<Outcome>>) -> Result<Answer, Lost> {
    let Some(receiver) = receiver else { return Err(Lost::Full) };
    receiver.await.unwrap_or(Err(Lost::Died { answered: u64::MAX }))
}

/// The oldest that is free, so that few are in use. `None`: a new one is to be made, if there may be one more.
fn chosen(lines: &[Arc<Line>], now: Instant) -> Option<&Arc<Line>> {
    let state = |line: &Arc<Line>| line.pipeline().state(now);
    if let Some(free) = lines.iter().find(|line| state(line) == State::Free) {
        return Some(free);
    }
    let mut suspect: Vec<_> = lines.iter().filter(|line| state(line) == State::Suspect).collect();
    if suspect.len() < LINES_IN_USE_MAX && lines.len() < LINES_MAX {
        return None;
    }
    suspect.sort_by_key(|line| line.pipeline().len());
    suspect.first().copied()
}

/// The duty to carry what is asked: when it ends, for whatever reason, everybody who waits hears so.
struct Carrier {
    line: Arc<Line>,
    is_made: bool,
    cause: Option<String>,
}

impl Carrier {
    async fn carry(mut self, dialer: Dialer, events: Arc<Events>) {
        let dialed = match dialer.dial().await {
            Ok(dialed) => dialed,
            Err(error) => {
                events.failed.inc();
                self.cause = Some(error.to_string());
                return;
            }
        };
        self.is_made = true;
        let is_resumed = matches!(dialed, Dialed::Tls { is_resumed: true, .. });
        if is_resumed { &events.resumed } else { &events.opened }.inc();
        let (line, address) = (&*self.line, &*dialer.address);
        let ended = match dialed {
            Dialed::Tls { stream, .. } if address.transport == Transport::Https => {
                http::drive(stream, line, address).await
            }
            Dialed::Tls { stream, .. } => framed::drive(stream, line, &events.foreign).await,
            Dialed::Plain(stream) => framed::drive(stream, line, &events.foreign).await,
        };
        if let Err(error) = ended {
            tracing::debug!(target: "dns", upstream = %address, %error, "resolver: a connection to an upstream ended");
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let cause = self.cause.as_deref().unwrap_or("its core has ended");
        self.line.pipeline().end((!self.is_made).then_some(cause));
    }
}

#[cfg(test)]
mod tests;
