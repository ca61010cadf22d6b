//! Datagrams. At a socket of one address they are received and answered one after the other; where the kernel must say which
//! address each was sent to, a batch is received, answered, and its answers sent, by two system calls.
//!
//! A call for each costs less than a header for each, which the kernel copies in and out with everything that it points at: a quarter of a
//! microsecond a query where system calls are cheap, as on today's processors.

use super::responder::{Arrival, Responded, renew, respond, respond_later};
use super::special::{Later, Special, begin, is_special};
use crate::core::Core;
use crate::events::Dropped;
use crate::protocol::Transport;
use crate::resolver::Waiting;
use crate::snapshot::Snapshot;
use std::io;
use std::net::{IpAddr, SocketAddr};
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
    query: Box<[u8]>,
    answer: Vec<u8>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            queries: Datagrams::with_room(QUERY_BYTES_MAX),
            answers: Answers::default(),
            query: vec![0; QUERY_BYTES_MAX].into(),
            answer: Vec::new(),
        }
    }
}

/// Answers on a socket for as long as it is listened on.
pub(crate) async fn listen(core: Rc<Core>, socket: std::net::UdpSocket) {
    let socket = match UdpSocket::from_std(socket) {
        Ok(socket) => Rc::new(socket),
        Err(error) => return tracing::error!(target: "dns", %error, "a socket could not be used"),
    };
    let tells_addresses = socket.local_addr().is_ok_and(|at| at.ip().is_unspecified());
    let mut batches = 0;
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        let received = {
            let mut batch = core.batch.borrow_mut();
            match tells_addresses {
                true => batch.answer_all(&core, &socket),
                false => batch.answer_each(&core, &socket),
            }
        };
        match received {
            Ok(BATCH_MAX) => batches += 1,
            Ok(_) => batches = 0,
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

/// A query, where it came from, and to which address if that is known.
struct Asked<'q> {
    bytes: &'q [u8],
    from: SocketAddr,
    to: Option<IpAddr>,
    received: Option<Instant>,
}

/// Writes the answer to a query, or sees to it that it is sent later. Whether there is one to be sent now.
#[inline]
fn answers(
    core: &Rc<Core>,
    snapshot: &Snapshot,
    socket: &Rc<UdpSocket>,
    query: &Asked<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let arrival = Arrival { client: query.from, transport: Transport::Udp, received: query.received };
    let towards = Towards { to: query.from, from: query.to };
    let responded = if is_special(query.bytes) {
        match begin(snapshot, query.bytes, arrival, out) {
            Special::Responded(responded) => responded,
            Special::Later(later) => {
                send_later(core, socket, later, towards);
                Responded::Not
            }
            // There are none in datagrams.
            Special::Transfer(_) => Responded::Not,
        }
    } else {
        respond(snapshot, query.bytes, arrival, out)
    };
    match responded {
        Responded::Not => false,
        Responded::Now => true,
        Responded::Due(key) => {
            renew(&core.connections, snapshot, &key);
            true
        }
        Responded::Later(waiting) => {
            answer_later(core, socket, query.bytes.into(), arrival, towards, waiting);
            false
        }
    }
}

impl Batch {
    /// Answers what is there, one query after the other, at most a batch of them. How many came.
    fn answer_each(&mut self, core: &Rc<Core>, socket: &Rc<UdpSocket>) -> io::Result<usize> {
        let (mut count, mut received_bytes, mut sent_bytes) = (0, 0, 0);
        let mut snapshot = core.snapshot();
        let ended = loop {
            if count == BATCH_MAX {
                break Ok(());
            }
            let (length, from) = match socket.try_recv_from(&mut self.query) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => break Err(error),
            };
            count += 1;
            received_bytes += length;
            // Port 0 is nobody's.
            if from.port() == 0 {
                continue;
            }
            // Whoever has seen a change asks after it, and is answered by it.
            if core.has_newer() {
                snapshot = core.snapshot();
            }
            let received = snapshot.wants_time().then(Instant::now);
            let query = Asked { bytes: &self.query[..length], from, to: None, received };
            if answers(core, &snapshot, socket, &query, &mut self.answer) {
                match send_at_once(socket, &self.answer, from) {
                    Ok(()) => sent_bytes += self.answer.len(),
                    Err(_) => snapshot.live.events.dropped(Dropped::Unsent, 1),
                }
            }
        };
        let events = &snapshot.live.events;
        events.udp.received_bytes.add(received_bytes as u64);
        events.udp.sent_bytes.add(sent_bytes as u64);
        // What came before an error is answered, and the error comes again.
        if count > 0 { Ok(count) } else { ended.map(|()| count) }
    }

    /// Answers what is there all at once, at most a batch. How many came.
    fn answer_all(&mut self, core: &Rc<Core>, socket: &Rc<UdpSocket>) -> io::Result<usize> {
        let Self { queries, answers: all, .. } = self;
        let count = receive(queries, socket)?;
        let snapshot = core.snapshot();
        all.clear();
        let mut received_bytes = 0;
        let received = snapshot.wants_time().then(Instant::now);
        for nth in 0..count {
            let query = queries.get(nth);
            received_bytes += query.bytes.len();
            // Port 0 is nobody's.
            let Some(from) = query.from.filter(|from| from.port() != 0) else { continue };
            let query = Asked { bytes: query.bytes, from, to: query.to, received };
            if answers(core, &snapshot, socket, &query, all.room()) {
                all.answer(nth);
            }
        }
        snapshot.live.events.udp.received_bytes.add(received_bytes as u64);
        send(&snapshot, queries, all, socket);
        Ok(count)
    }
}

/// Receives what is there: nothing, perhaps. A batch that is not full was all there was: the socket need not be asked again.
fn receive(queries: &mut Datagrams, socket: &UdpSocket) -> io::Result<usize> {
    let mut received = Ok(0);
    let _ = socket.try_io(Interest::READABLE, || {
        received = queries.receive(socket.as_fd(), BATCH_MAX);
        match received {
            Ok(BATCH_MAX) => Ok(()),
            Err(ref error) if error.kind() != io::ErrorKind::WouldBlock => Ok(()),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    });
    match received {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        received => received,
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

/// Sends an answer without waiting. A socket that was full is asked itself whether it still is: it is not said to have room before half
/// of it is free.
#[inline]
fn send_at_once(socket: &UdpSocket, answer: &[u8], to: SocketAddr) -> io::Result<()> {
    match socket.try_send_to(answer, to) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            sys::send_datagram(socket.as_fd(), answer, &Towards { to, from: None })
        }
        sent => sent.map(drop),
    }
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
