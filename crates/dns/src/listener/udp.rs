//! Datagrams: a batch is received, answered, and its answers sent, by two system calls.

use super::responder::{Arrival, Responded, renew, respond, respond_later};
use super::special::{Later, Special, begin, is_special};
use crate::core::Core;
use crate::events::Dropped;
use crate::protocol::Transport;
use crate::resolver::Waiting;
use crate::snapshot::Snapshot;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};
use sys::{Answers, BATCH_MAX, Datagrams, Towards};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Longer queries do not come by UDP: a name, and some options of EDNS. An odd number of cache lines, so that queries do
/// not lie in the same few of them.
const QUERY_BYTES_MAX: usize = 25 * 64;
/// How long is waited when a socket fails: at full speed it would only burn the core.
const PAUSE: Duration = Duration::from_millis(50);
/// Full batches that are answered before others have their turn.
const BATCHES_MAX: usize = 8;

/// What one core receives into, and answers from. Nothing is kept in it over an await.
pub(crate) struct Batch {
    queries: Datagrams,
    answers: Answers,
}

impl Default for Batch {
    fn default() -> Self {
        Self { queries: Datagrams::with_room(QUERY_BYTES_MAX), answers: Answers::default() }
    }
}

/// Answers on a socket for as long as it is listened on.
pub(crate) async fn listen(core: Rc<Core>, socket: std::net::UdpSocket) {
    let socket = match UdpSocket::from_std(socket) {
        Ok(socket) => Rc::new(socket),
        Err(error) => return tracing::error!(target: "dns", %error, "a socket could not be used"),
    };
    let mut batches = 0;
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        match receive(&core, &socket) {
            Ok(count) => {
                let snapshot = core.snapshot();
                core.batch.borrow_mut().answer(&core, &snapshot, &socket, count);
                batches = if count == BATCH_MAX { batches + 1 } else { 0 };
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => batches = 0,
            Err(error) => {
                tracing::warn!(target: "dns", %error, "cannot receive for the moment");
                tokio::time::sleep(PAUSE).await;
            }
        }
        // A flood does not keep connections and commands waiting.
        if batches == BATCHES_MAX {
            batches = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Receives what is there. A batch that is not full was all there is: the socket need not be asked again.
fn receive(core: &Core, socket: &UdpSocket) -> io::Result<usize> {
    let mut received = Err(io::ErrorKind::WouldBlock.into());
    let _ = socket.try_io(Interest::READABLE, || {
        received = core.batch.borrow_mut().queries.receive(socket.as_fd(), BATCH_MAX);
        match received {
            Ok(BATCH_MAX) => Ok(()),
            Err(ref error) if error.kind() != io::ErrorKind::WouldBlock => Ok(()),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    });
    received
}

impl Batch {
    fn answer(&mut self, core: &Rc<Core>, snapshot: &Snapshot, socket: &Rc<UdpSocket>, count: usize) {
        let Self { queries, answers } = self;
        answers.clear();
        let mut received_bytes = 0;
        let received = snapshot.wants_time().then(Instant::now);
        for nth in 0..count {
            let query = queries.get(nth);
            received_bytes += query.bytes.len();
            // Port 0 is nobody's.
            let Some(from) = query.from.filter(|from| from.port() != 0) else { continue };
            let arrival = Arrival { client: from, transport: Transport::Udp, received };
            let responded = if is_special(query.bytes) {
                match begin(snapshot, query.bytes, arrival, answers.room()) {
                    Special::Responded(responded) => responded,
                    Special::Later(later) => {
                        send_later(core, socket, later, Towards { to: from, from: query.to });
                        Responded::Not
                    }
                    // There are none in datagrams.
                    Special::Transfer(_) => Responded::Not,
                }
            } else {
                respond(snapshot, query.bytes, arrival, answers.room())
            };
            match responded {
                Responded::Not => {}
                Responded::Now => answers.answer(nth),
                Responded::Due(key) => {
                    answers.answer(nth);
                    renew(&core.connections, snapshot, &key);
                }
                Responded::Later(waiting) => {
                    let towards = Towards { to: from, from: query.to };
                    answer_later(core, socket, query.bytes.into(), arrival, towards, waiting);
                }
            }
        }
        snapshot.live.events.udp.received_bytes.add(received_bytes as u64);
        send(snapshot, queries, answers, socket);
    }
}

/// Answers a query once somebody else has; a drain waits for it.
fn answer_later(
    core: &Rc<Core>,
    socket: &Rc<UdpSocket>,
    message: Box<[u8]>,
    arrival: Arrival,
    towards: Towards,
    waiting: Waiting,
) {
    let (core, socket, guard) = (Rc::clone(core), Rc::clone(socket), core.connections.enter());
    tokio::task::spawn_local(async move {
        let mut answer = Vec::new();
        if respond_later(&core, &message, arrival, &mut answer, waiting).await {
            send_one(&core, &socket, &answer, &towards).await;
        }
        drop(guard);
    });
}

/// Answers an update once it is made; a drain waits for it.
fn send_later(core: &Rc<Core>, socket: &Rc<UdpSocket>, later: Box<Later>, towards: Towards) {
    let (core, socket, guard) = (Rc::clone(core), Rc::clone(socket), core.connections.enter());
    tokio::task::spawn_local(async move {
        let answer = later.answer().await;
        send_one(&core, &socket, &answer, &towards).await;
        drop(guard);
    });
}

/// Sends an answer that comes alone.
async fn send_one(core: &Core, socket: &UdpSocket, answer: &[u8], towards: &Towards) {
    let send = || sys::send_datagram(socket.as_fd(), answer, towards);
    let sent = socket.async_io(Interest::WRITABLE, send).await;
    let events = &core.snapshot().live.events;
    match sent {
        Ok(()) => events.udp.sent_bytes.add(answer.len() as u64),
        Err(_) => events.dropped(Dropped::Unsent, 1),
    }
}

fn send(snapshot: &Snapshot, queries: &Datagrams, answers: &Answers, socket: &UdpSocket) {
    let mut left = 0..answers.len();
    while !left.is_empty() {
        match answers.send(left.clone(), queries, socket.as_fd()) {
            Ok(sent) => {
                let gone = left.start..left.start + sent;
                snapshot.live.events.udp.sent_bytes.add(answers.bytes(gone.clone()) as u64);
                left.start = gone.end;
            }
            // No room, or nobody to be reached: the next one may go.
            Err(_) => {
                snapshot.live.events.dropped(Dropped::Unsent, 1);
                left.start += 1;
            }
        }
    }
}
