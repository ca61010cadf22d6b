//! NOTIFY to those who copy a zone (RFC 1996): sent until it is answered, a few times.

use super::Direction;
use crate::protocol::message::{AUTHORITATIVE, Header, NOTIFY, Writer};
use crate::snapshot::Live;
use crate::transfer::soa_of;
use crate::tsig::{Key, Session};
use crate::zone::Zone;
use domain::base::iana::Rtype;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, timeout_at};

/// RFC 1996 §3.6: how often one is sent at most.
const ATTEMPTS_MAX: u32 = 5;
/// How long the first is waited for; each one after it twice as long as that before.
const WAIT_FIRST: Duration = Duration::from_secs(3);

/// What is being sent.
pub(super) struct Notifier {
    live: Arc<Live>,
    under_way: HashMap<(Box<[u8]>, SocketAddr), AbortHandle>,
}

impl Notifier {
    pub(super) fn new(live: Arc<Live>) -> Self {
        Self { live, under_way: HashMap::new() }
    }

    /// Tells a server of a zone, in the place of what it was to be told of it before.
    pub(super) fn notify(&mut self, zone: &Arc<Zone>, peer: SocketAddr, key: Option<&Arc<Key>>) {
        let (live, zone, key) = (Arc::clone(&self.live), Arc::clone(zone), key.cloned());
        let place = (zone.apex().as_wire().into(), peer);
        let task = spawn_local(async move {
            let told = tell(&live.changing.notifications, &zone, peer, key.as_ref()).await;
            live.changing.events.notify(Direction::Out, told.is_ok());
            let serial = zone.figures().serial;
            match told {
                Ok(()) => tracing::debug!(target: "dns", zone = %zone.apex(), %peer, serial, "notified"),
                Err(error) => {
                    tracing::warn!(target: "dns", zone = %zone.apex(), %peer, serial, %error, "could not be notified");
                }
            }
        });
        self.under_way.retain(|_, task| !task.is_finished());
        if let Some(before) = self.under_way.insert(place, task.abort_handle()) {
            before.abort();
        }
    }
}

async fn tell(places: &Semaphore, zone: &Zone, peer: SocketAddr, key: Option<&Arc<Key>>) -> io::Result<()> {
    let local: SocketAddr = match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    let mut wait = WAIT_FIRST;
    for _ in 0..ATTEMPTS_MAX {
        // Never closed. With many zones to tell of, or many servers that do not answer, the rest come later.
        let place = places.acquire().await;
        let end = Instant::now() + wait;
        wait *= 2;
        // A socket for each: its port is new, and what comes late for another does not disturb.
        let socket = UdpSocket::bind(local).await?;
        socket.connect(peer).await?;
        match attempt(&socket, zone, key, end).await {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
            Err(error) => last = error,
        }
        drop((socket, place));
        // Where nobody listens that is known at once.
        tokio::time::sleep_until(end).await;
    }
    Err(last)
}

/// Sends one and waits for its answer.
async fn attempt(socket: &UdpSocket, zone: &Zone, key: Option<&Arc<Key>>, end: Instant) -> io::Result<()> {
    let id = super::random_u64() as u16;
    let mut writer = Writer::new(id, NOTIFY, AUTHORITATIVE, zone.apex(), Rtype::SOA);
    let soa = soa_of(zone);
    writer.record(1, &soa.owner, soa.rtype, soa.ttl, &soa.data);
    let mut message = writer.message;
    let mut session = key.map(|key| Session::request(key, &mut message, super::unix_now()));
    socket.send(&message).await?;
    let mut room = vec![0; 4096];
    loop {
        let count = timeout_at(end, socket.recv(&mut room)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let answer = &room[..count];
        let Some(header) = Header::of(answer) else { continue };
        if header.id != id || !header.is_response() || header.opcode() != NOTIFY {
            continue;
        }
        if let Some(session) = &mut session {
            // One that cannot be verified may be anybody's.
            if let Err(what) = session.verify_answer(answer, super::unix_now()) {
                tracing::debug!(target: "dns", zone = %zone.apex(), what, "an answer to a notification is not believed");
                continue;
            }
        }
        return match header.rcode() {
            0 => Ok(()),
            rcode => {
                let rcode = domain::base::iana::Rcode::masked_from_int(rcode);
                Err(io::Error::new(io::ErrorKind::InvalidData, format!("it answered {rcode}")))
            }
        };
    }
}
