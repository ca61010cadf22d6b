//! Datagrams: a batch is received, answered, and its answers sent, by two system calls.

use super::responder::{Arrival, respond};
use super::special::{Later, Special, begin, is_special};
use crate::core::Core;
use crate::events::Dropped;
use crate::protocol::Transport;
use crate::snapshot::Snapshot;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
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
                let later = core.batch.borrow_mut().answer(&snapshot, &socket, count);
                for (answer, towards) in later {
                    send_later(&core, &socket, answer, towards);
                }
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
    /// Says what is answered later.
    fn answer(
        &mut self,
        snapshot: &Snapshot,
        socket: &UdpSocket,
        count: usize,
    ) -> Vec<(Box<Later>, Towards)> {
        let Self { queries, answers } = self;
        let mut later = Vec::new();
        answers.clear();
        let mut received_bytes = 0;
        for nth in 0..count {
            let query = queries.get(nth);
            received_bytes += query.bytes.len();
            // Port 0 is nobody's.
            let Some(from) = query.from.filter(|from| from.port() != 0) else { continue };
            let arrival = Arrival { client: from.ip(), transport: Transport::Udp };
            let is_answered = if is_special(query.bytes) {
                match begin(snapshot, query.bytes, arrival, answers.room()) {
                    Special::Answered => true,
                    Special::Later(answer) => {
                        later.push((answer, Towards { to: from, from: query.to }));
                        false
                    }
                    // A transfer does not come by datagrams.
                    Special::Silent | Special::Transfer(_) => false,
                }
            } else {
                respond(snapshot, query.bytes, arrival, answers.room())
            };
            if is_answered {
                answers.answer(nth);
            }
        }
        snapshot.live.events.udp.received_bytes.add(received_bytes as u64);
        send(snapshot, queries, answers, socket);
        later
    }
}

/// Sends an answer once it is there. It is waited for when this core drains.
fn send_later(core: &Rc<Core>, socket: &Rc<UdpSocket>, later: Box<Later>, towards: Towards) {
    let (guard, socket) = (core.connections.enter(), Rc::clone(socket));
    let live = Arc::clone(&core.snapshot().live);
    tokio::task::spawn_local(async move {
        let answer = later.answer().await;
        let send = || sys::send_datagram(socket.as_fd(), &answer, &towards);
        match socket.async_io(Interest::WRITABLE, send).await {
            Ok(()) => live.events.udp.sent_bytes.add(answer.len() as u64),
            Err(_) => live.events.dropped(Dropped::Unsent, 1),
        }
        drop(guard);
    });
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
