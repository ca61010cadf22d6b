//! Connections (RFC 7766): queries as they come, any number after each other, and their answers in the same order.
//!
//! A connection that waits has no memory; one that works has some of the core's spare one. Answers to queries that came
//! together leave together. Who does not take them is not read from.

use super::responder::{Arrival, respond};
use super::special::{Special, Transfer, begin, is_special};
use crate::changes::{Changing, Direction, TransferKind, TransferOutcome, unix_now};
use crate::core::Core;
use crate::events::Ended;
use crate::protocol::{MESSAGE_BYTES_MAX, Transport};
use crate::snapshot::{Live, Snapshot};
use crate::tsig::RECORD_BYTES_MAX;
use admission::{Held, Key};
use flow::Permit;
use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};

/// What is read at once: some hundred queries.
const READ_BYTES: usize = 16 << 10;
/// Answers that are gathered before they are sent.
const GATHERED_BYTES: usize = 32 << 10;
/// The length before each message (RFC 1035 §4.2.2).
const LENGTH_BYTES: usize = 2;
/// Spare memory that a core keeps, in connections that work.
const SPARES_MAX: usize = 64;
/// Memory that is not worth to be kept: few answers are so long.
const SPARE_BYTES_MAX: usize = 128 << 10;
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
pub(crate) async fn listen(core: Rc<Core>, listener: std::net::TcpListener) {
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
        tokio::task::spawn_local(async move {
            let ended = Connection { core: &core, stream: &stream, client: peer.ip() }.serve().await;
            counted.live.events.ended(ended);
            if ended == Ended::Slow {
                // Half of an answer is none.
                reset(&stream);
            }
        });
    }
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

struct Connection<'c> {
    core: &'c Core,
    stream: &'c TcpStream,
    client: IpAddr,
}

impl Connection<'_> {
    /// Answers until the client has had enough, or this side.
    async fn serve(&self) -> Ended {
        let mut buffers = None;
        let mut last = Instant::now();
        loop {
            if let Err(ended) = self.readable(last).await {
                return ended;
            }
            let mut working = buffers.take().unwrap_or_else(|| self.core.spares.take());
            let snapshot = self.core.snapshot();
            let answered = self.work(&snapshot, &mut working).await;
            match answered {
                Ok(0) => {}
                Ok(_) => last = Instant::now(),
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
    }

    /// Waits until something comes, at most as long as a client may take since its last query.
    async fn readable(&self, last: Instant) -> Result<(), Ended> {
        let mut readable = pin!(self.stream.readable());
        loop {
            let snapshot = self.core.snapshot();
            let open = snapshot.live.gate.inflight();
            let idle = patience(snapshot.idle, open, snapshot.limit.connections as usize);
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
    async fn work(&self, snapshot: &Snapshot, buffers: &mut Buffers) -> Result<usize, Ended> {
        match self.read(&mut buffers.input) {
            Ok(0) => return Err(if buffers.input.is_empty() { Ended::Client } else { Ended::Broken }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(_) => return Err(Ended::Broken),
        }
        let Buffers { input, answer, output } = buffers;
        let arrival = Arrival { client: self.client, transport: Transport::Tcp };
        let (mut at, mut messages) = (0, 0);
        while let Some(message) = first_message(&input[at..]) {
            let is_answered = if is_special(message) {
                match begin(snapshot, message, arrival, answer) {
                    Special::Silent => false,
                    Special::Answered => true,
                    Special::Later(later) => {
                        self.write(snapshot, output).await?;
                        *answer = later.answer().await;
                        true
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
            if !is_answered {
                // Who sends what is no query has lost its place.
                return Err(Ended::Broken);
            }
            at += LENGTH_BYTES + message.len();
            messages += 1;
            debug_assert!(answer.len() <= MESSAGE_BYTES_MAX, "a message has a length of 16 bits");
            output.extend_from_slice(&(answer.len() as u16).to_be_bytes());
            output.extend_from_slice(answer);
            if output.len() >= GATHERED_BYTES {
                self.write(snapshot, output).await?;
            }
        }
        snapshot.live.events.tcp.received_bytes.add((at - messages * LENGTH_BYTES) as u64);
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
            output.extend_from_slice(&(message.len() as u16).to_be_bytes());
            output.extend_from_slice(message);
            self.write(snapshot, output).await?;
            tokio::task::yield_now().await;
        }
        let is_current = kind == TransferKind::Ixfr && outgoing.sent_records() == 1;
        counted.outcome = if is_current { TransferOutcome::Current } else { TransferOutcome::Done };
        Ok(())
    }

    fn read(&self, input: &mut Vec<u8>) -> io::Result<usize> {
        input.reserve(READ_BYTES);
        // Bounded, whatever capacity there is.
        let mut room = bytes::BufMut::limit(input, READ_BYTES);
        self.stream.try_read_buf(&mut room)
    }

    /// Sends what is gathered, within the time that a client may take.
    async fn write(&self, snapshot: &Snapshot, output: &mut Vec<u8>) -> Result<(), Ended> {
        let mut at = 0;
        let until = Instant::now() + snapshot.idle;
        while at < output.len() {
            match self.stream.try_write(&output[at..]) {
                Ok(0) => return Err(Ended::Broken),
                Ok(count) => at += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let writable = timeout_at(until, self.stream.writable()).await;
                    writable.map_err(|_| Ended::Slow)?.map_err(|_| Ended::Broken)?;
                }
                Err(_) => return Err(Ended::Broken),
            }
        }
        snapshot.live.events.tcp.sent_bytes.add(output.len() as u64);
        output.clear();
        Ok(())
    }
}

/// The first message of what has come, if all of it is there.
fn first_message(input: &[u8]) -> Option<&[u8]> {
    let (length, rest) = input.split_first_chunk::<LENGTH_BYTES>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}
