//! Connections (RFC 7766): queries as they come, any number after each other, and their answers in the same order.
//!
//! A connection that waits has no memory; one that works has some of the core's spare one. Answers to queries that came
//! together leave together. Who does not take them is not read from. Answers that others have to give leave as they come (RFC 7766 §7).

use super::responder::{Arrival, Responded, renew, respond, respond_later};
use super::special::{Special, Transfer, begin, is_special};
use super::wire::Wire;
use crate::changes::{Changing, Direction, TransferKind, TransferOutcome, unix_now};
use crate::core::{Core, Door};
use crate::events::Ended;
use crate::protocol::MESSAGE_BYTES_MAX;
use crate::resolver::Waiting;
use crate::snapshot::{Live, Snapshot};
use crate::tsig::RECORD_BYTES_MAX;
use admission::{Held, Key};
use flow::Permit;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Answers that are gathered before they are sent.
const GATHERED_BYTES: usize = 32 << 10;
/// The length before each message (RFC 1035 §4.2.2).
const LENGTH_BYTES: usize = 2;
/// Spare memory that a core keeps, in connections that work.
const SPARES_MAX: usize = 64;
/// Memory that is not worth to be kept: few answers are so long.
const SPARE_BYTES_MAX: usize = 128 << 10;
/// Queries of a connection that wait for others; it is not read from while they are so many.
const PENDING_MAX: usize = 64;
/// How long a connection may be silent once this process drains: a query that is under way is still answered.
const DRAIN_SILENCE: Duration = Duration::from_secs(1);
/// Once half of all connections are taken, one that is idle is closed so many times sooner.
const HURRY: u32 = 10;

/// The memory of a connection that works.
#[derive(Default)]
struct Buffers {
    /// What has come and is not answered yet: at most a message and what is read at once.
    input: Vec<u8>,
    answer: Vec<u8>,
    /// Answers with their lengths.
    output: Vec<u8>,
}

/// Memory for connections that begin to work.
#[derive(Default)]
pub(crate) struct Spares(RefCell<Vec<Buffers>>);

impl Spares {
    /// The memory that was used last, which is warm.
    fn take(&self) -> Buffers {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    fn give_back(&self, mut buffers: Buffers) {
        let mut spares = self.0.borrow_mut();
        let bytes = buffers.input.capacity() + buffers.answer.capacity() + buffers.output.capacity();
        if spares.len() < SPARES_MAX && bytes <= SPARE_BYTES_MAX {
            buffers.input.clear();
            buffers.output.clear();
            spares.push(buffers);
        }
    }

    /// Forgets a burst, now and then.
    pub(crate) fn shrink(&self) {
        let mut spares = self.0.borrow_mut();
        let kept = spares.len().div_ceil(2);
        spares.truncate(kept);
    }
}

/// Accepts on a socket for as long as it is listened on.
pub(crate) async fn listen(core: Rc<Core>, listener: std::net::TcpListener, door: Door) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(target: "dns", %error, "a listener could not be used"),
    };
    loop {
        let (stream, peer) = cores::accept(&listener, "dns").await;
        let snapshot = core.snapshot();
        // One connection waits here, what comes after it in the kernel's backlog, whose end is the client's to notice.
        let Ok(permit) = snapshot.live.gate.enter().await else { continue };
        let client = Key::of_client(peer.ip());
        let Some(held) = snapshot.live.clients.try_enter(client, snapshot.limit.connections_per_client)
        else {
            snapshot.live.events.client_limit.inc();
            reset(&stream);
            continue;
        };
        // Counted at once: a drain must not miss it.
        let counted = Counted::new(&core, snapshot.live.clone(), permit, held);
        let core = core.clone();
        // Not the snapshot itself: a connection that stays open would keep its zones, however often they are replaced.
        let (tls, patience) = (snapshot.tls.clone(), patience_now(&snapshot));
        tokio::task::spawn_local(async move {
            let ended = match door {
                Door::Plain => serve(&core, &stream, peer).await,
                Door::Tls => {
                    let entered = match tls {
                        Some(tls) => tls.enter(stream, patience, &counted.live.events.handshakes).await,
                        // The certificates have gone, and the socket is about to.
                        None => None,
                    };
                    match entered {
                        Some(secured) => serve(&core, &secured, peer).await,
                        None => Ended::Handshake,
                    }
                }
            };
            counted.live.events.ended(ended);
        });
    }
}

/// Answers on a connection to its end.
async fn serve(core: &Rc<Core>, stream: &impl Wire, client: SocketAddr) -> Ended {
    let ended = Connection { core, stream, client }.serve().await;
    match ended {
        // Half of an answer is none.
        Ended::Slow => reset(stream.tcp()),
        _ => stream.say_end(),
    }
    ended
}

/// Lets a connection be closed at once, without what may wait in its buffers.
fn reset(stream: &TcpStream) {
    // A socket that refuses this is closed in the ordinary way.
    let _ = stream.set_zero_linger();
}

/// A connection that is open, as it is counted.
struct Counted {
    live: Arc<Live>,
    _open: cores::Guard,
    _permit: Permit,
    _held: Held,
}

impl Counted {
    fn new(core: &Core, live: Arc<Live>, permit: Permit, held: Held) -> Self {
        live.events.connections.inc();
        live.events.open.inc();
        Self { live, _open: core.connections.enter(), _permit: permit, _held: held }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.live.events.open.dec();
    }
}

/// How long a connection may be idle while `open` of `most` are open.
fn patience(idle: Duration, open: usize, most: usize) -> Duration {
    if open > most / 2 { idle / HURRY } else { idle }
}

/// How long one may be so at this moment.
fn patience_now(snapshot: &Snapshot) -> Duration {
    patience(snapshot.idle, snapshot.live.gate.inflight(), snapshot.limit.connections as usize)
}

/// A transfer, which is counted when it ends, however it does.
struct CountedTransfer<'c> {
    changing: &'c Changing,
    kind: TransferKind,
    outcome: TransferOutcome,
}

impl Drop for CountedTransfer<'_> {
    fn drop(&mut self) {
        self.changing.events.transfer(Direction::Out, self.kind, self.outcome);
    }
}

struct Connection<'c, W> {
    core: &'c Rc<Core>,
    stream: &'c W,
    client: SocketAddr,
}

/// Answers that others have to give, of one connection.
type Pending = JoinSet<Option<Vec<u8>>>;

/// What a connection goes on with.
enum Next {
    /// Something may be read.
    Readable,
    /// An answer of somebody else has come.
    Answer(Option<Vec<u8>>),
}

impl<W: Wire> Connection<'_, W> {
    /// Answers until the client has had enough, or this side.
    async fn serve(&self) -> Ended {
        let mut buffers = None;
        let mut pending = Pending::new();
        let (mut last, mut is_closed) = (Instant::now(), false);
        while !is_closed || !pending.is_empty() {
            let next = match self.next(last, &mut pending, is_closed).await {
                Ok(next) => next,
                Err(ended) => return ended,
            };
            let mut working = buffers.take().unwrap_or_else(|| self.core.spares.take());
            let snapshot = self.core.snapshot();
            let answered = match next {
                Next::Readable => self.work(&snapshot, &mut working, &mut pending).await,
                Next::Answer(answer) => self.late(&snapshot, &mut working, &mut pending, answer).await,
            };
            match answered {
                Ok(0) => {}
                Ok(_) => last = Instant::now(),
                // Who says no more may still want its answers.
                Err(Ended::Client) if !pending.is_empty() => is_closed = true,
                Err(ended) => {
                    self.core.spares.give_back(working);
                    return ended;
                }
            }
            if working.input.is_empty() {
                self.core.spares.give_back(working);
            } else {
                buffers = Some(working);
            }
        }
        Ended::Client
    }

    /// Waits for what comes next: a query, or an answer to an earlier one.
    async fn next(&self, last: Instant, pending: &mut Pending, is_closed: bool) -> Result<Next, Ended> {
        let reads = !is_closed && pending.len() < PENDING_MAX;
        if reads && self.stream.has_more() {
            return Ok(Next::Readable);
        }
        if pending.is_empty() {
            return self.readable(last).await.map(|()| Next::Readable);
        }
        tokio::select! {
            biased;
            Some(answer) = pending.join_next() => Ok(Next::Answer(answer.unwrap_or_default())),
            ready = self.stream.tcp().readable(), if reads => ready.map(|()| Next::Readable).map_err(|_| Ended::Broken),
        }
    }

    /// Sends an answer that has come late, and goes on with what has had to wait for it.
    async fn late(
        &self,
        snapshot: &Snapshot,
        buffers: &mut Buffers,
        pending: &mut Pending,
        answer: Option<Vec<u8>>,
    ) -> Result<usize, Ended> {
        if let Some(answer) = answer {
            frame(&answer, &mut buffers.output);
        }
        self.answer(snapshot, buffers, pending).await.map(|messages| messages + 1)
    }

    /// Waits until something comes, at most as long as a client may take since its last query.
    async fn readable(&self, last: Instant) -> Result<(), Ended> {
        let mut readable = pin!(self.stream.tcp().readable());
        loop {
            // Nothing of the snapshot is kept while this waits: zones that were replaced go.
            let idle = patience_now(&self.core.snapshot());
            let is_draining = self.core.is_draining.get();
            let (until, ended) = if is_draining {
                (last.max(Instant::now()) + DRAIN_SILENCE.min(idle), Ended::Drained)
            } else {
                (last + idle, Ended::Idle)
            };
            tokio::select! {
                biased;
                ready = &mut readable => return ready.map_err(|_| Ended::Broken),
                () = self.core.draining.notified(), if !is_draining => {}
                () = tokio::time::sleep_until(until) => return Err(ended),
            }
        }
    }

    /// Reads what is there and answers what of it is whole: how many messages that were.
    async fn work(
        &self,
        snapshot: &Snapshot,
        buffers: &mut Buffers,
        pending: &mut Pending,
    ) -> Result<usize, Ended> {
        match self.stream.try_read(&mut buffers.input) {
            Ok(0) => return Err(if buffers.input.is_empty() { Ended::Client } else { Ended::Broken }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(_) => return Err(Ended::Broken),
        }
        self.answer(snapshot, buffers, pending).await
    }

    /// Answers what has come and is whole.
    async fn answer(
        &self,
        snapshot: &Snapshot,
        buffers: &mut Buffers,
        pending: &mut Pending,
    ) -> Result<usize, Ended> {
        let Buffers { input, answer, output } = buffers;
        let received = snapshot.wants_time().then(std::time::Instant::now);
        let arrival = Arrival { client: self.client, transport: W::TRANSPORT, received };
        let (mut at, mut messages) = (0, 0);
        while pending.len() < PENDING_MAX
            && let Some(message) = first_message(&input[at..])
        {
            let responded = if is_special(message) {
                match begin(snapshot, message, arrival, answer) {
                    Special::Responded(responded) => responded,
                    Special::Later(later) => {
                        pending.spawn_local(async move { Some(later.answer().await) });
                        at += LENGTH_BYTES + message.len();
                        messages += 1;
                        continue;
                    }
                    Special::Transfer(transfer) => {
                        self.write(snapshot, output).await?;
                        self.transfer(snapshot, *transfer, answer, output).await?;
                        at += LENGTH_BYTES + message.len();
                        messages += 1;
                        continue;
                    }
                }
            } else {
                respond(snapshot, message, arrival, answer)
            };
            match responded {
                // Who sends what is no query has lost its place.
                Responded::Not => return Err(Ended::Broken),
                Responded::Now => frame(answer, output),
                Responded::Due(key) => {
                    frame(answer, output);
                    renew(&self.core.connections, snapshot, &key);
                }
                Responded::Later(waiting) => self.answer_later(message.into(), arrival, waiting, pending),
            }
            at += LENGTH_BYTES + message.len();
            messages += 1;
            if output.len() >= GATHERED_BYTES {
                self.write(snapshot, output).await?;
            }
        }
        snapshot.live.events.of(W::TRANSPORT).received_bytes.add((at - messages * LENGTH_BYTES) as u64);
        input.drain(..at);
        self.write(snapshot, output).await?;
        Ok(messages)
    }

    /// Sends a transfer, as fast as the client takes it. Others have their turn after each message.
    async fn transfer(
        &self,
        snapshot: &Snapshot,
        transfer: Transfer,
        message: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> Result<(), Ended> {
        let Transfer { mut outgoing, kind, mut session, _place } = transfer;
        let changing = &snapshot.live.changing;
        let mut counted = CountedTransfer { changing, kind, outcome: TransferOutcome::Failed };
        let reserved = if session.is_some() { RECORD_BYTES_MAX } else { 0 };
        loop {
            match outgoing.next_message(message, MESSAGE_BYTES_MAX, reserved) {
                Ok(true) => {}
                Ok(false) => break,
                // Half of a transfer is none.
                Err(_) => return Err(Ended::Slow),
            }
            if let Some(session) = &mut session {
                session.sign(message, unix_now());
            }
            frame(message, output);
            self.write(snapshot, output).await?;
            tokio::task::yield_now().await;
        }
        let is_current = kind == TransferKind::Ixfr && outgoing.sent_records() == 1;
        counted.outcome = if is_current { TransferOutcome::Current } else { TransferOutcome::Done };
        Ok(())
    }

    /// Answers a query once somebody else has.
    fn answer_later(&self, message: Box<[u8]>, arrival: Arrival, waiting: Waiting, pending: &mut Pending) {
        let core = Rc::clone(self.core);
        pending.spawn_local(async move {
            let mut answer = Vec::new();
            respond_later(&core, &message, arrival, &mut answer, waiting).await.then_some(answer)
        });
    }

    /// Sends what is gathered, within the time that a client may take.
    async fn write(&self, snapshot: &Snapshot, output: &mut Vec<u8>) -> Result<(), Ended> {
        let mut at = 0;
        let until = Instant::now() + snapshot.idle;
        loop {
            let tried = match &output[at..] {
                [] => self.stream.try_flush().map(|()| None),
                rest => self.stream.try_write(rest).map(Some),
            };
            match tried {
                Ok(Some(count)) => at += count,
                Ok(None) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let writable = timeout_at(until, self.stream.tcp().writable()).await;
                    writable.map_err(|_| Ended::Slow)?.map_err(|_| Ended::Broken)?;
                }
                Err(_) => return Err(Ended::Broken),
            }
        }
        snapshot.live.events.of(W::TRANSPORT).sent_bytes.add(output.len() as u64);
        output.clear();
        Ok(())
    }
}

/// Appends an answer with its length.
fn frame(answer: &[u8], output: &mut Vec<u8>) {
    debug_assert!(answer.len() <= MESSAGE_BYTES_MAX, "a message has a length of 16 bits");
    output.extend_from_slice(&(answer.len() as u16).to_be_bytes());
    output.extend_from_slice(answer);
}

/// The first message of what has come, if all of it is there.
fn first_message(input: &[u8]) -> Option<&[u8]> {
    let (length, rest) = input.split_first_chunk::<LENGTH_BYTES>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}
