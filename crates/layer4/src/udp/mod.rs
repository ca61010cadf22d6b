//! Datagrams, each to the endpoint of its session, and answers back to the client.

mod session;
mod table;

use crate::core::Core;
use crate::events::{Dropped, Ended};
use crate::snapshot::{UdpPart, hash_of};
use crate::tcp::is_our_lack;
use balance::{PickError, Picked, State, Wish};
use session::Session;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use sys::{BATCH_MAX, Datagrams, Towards};
use table::{Id, Key, Table};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Answers that are received at once: most sessions have one.
const ANSWERS_MAX: usize = 8;
/// How long a drain waits for an answer to a client's last datagram.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// How often a drain looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The sessions of one core.
#[derive(Default)]
pub(crate) struct Listening {
    /// By listener.
    sessions: RefCell<HashMap<Arc<str>, Rc<Sessions>>>,
    /// Sockets that are no longer listened on, kept for the answers that are under way.
    closing: RefCell<Vec<(Rc<Front>, Instant)>>,
}

/// The sessions of one listener on one core.
struct Sessions {
    table: RefCell<Table<Rc<Session>>>,
    part: RefCell<Arc<UdpPart>>,
    /// Endpoints that are out of the choice, as of the last second.
    lost: RefCell<HashSet<SocketAddr>>,
    has_lost: Cell<bool>,
}

/// A listening socket.
pub(crate) struct Front {
    socket: UdpSocket,
    local: SocketAddr,
}

/// Keeps a socket for a moment when nobody listens on it any more.
struct Closing {
    core: Rc<Core>,
    front: Rc<Front>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.core.udp.closing.borrow_mut().push((self.front.clone(), Instant::now()));
    }
}

/// Receives on a socket for as long as it is listened on. Its sessions end soon after that.
pub(crate) async fn listen(core: Rc<Core>, name: Arc<str>, socket: std::net::UdpSocket) {
    let opened = socket.local_addr().and_then(|local| Ok((UdpSocket::from_std(socket)?, local)));
    let front = match opened {
        Ok((socket, local)) => Rc::new(Front { socket, local }),
        Err(error) => {
            return tracing::error!(target: "layer4", listener = &*name, %error, "a socket could not be used");
        }
    };
    let _closing = Closing { core: core.clone(), front: front.clone() };
    loop {
        if front.socket.readable().await.is_err() {
            return;
        }
        let received = receive(&core, &front.socket, BATCH_MAX);
        let Some(part) = core.udp_part(&name) else { return };
        let sessions = core.udp.of(&part);
        match received {
            Ok(count) => sessions.take_in(&core, &part, &front, count, Instant::now()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::warn!(target: "layer4", listener = &*name, %error, "cannot receive for the moment");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        // Answers have their turn too.
        tokio::task::yield_now().await;
    }
}

/// Receives what is there. A batch that is not full was all there is: the socket need not be asked again.
fn receive(core: &Core, socket: &UdpSocket, max: usize) -> io::Result<usize> {
    let mut received = Err(io::ErrorKind::WouldBlock.into());
    let _ = socket.try_io(Interest::READABLE, || {
        received = core.datagrams.borrow_mut().receive(socket.as_fd(), max);
        match received {
            Ok(count) if count == max => Ok(()),
            Err(ref error) if error.kind() != io::ErrorKind::WouldBlock => Ok(()),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    });
    received
}

impl Listening {
    fn of(&self, part: &Arc<UdpPart>) -> Rc<Sessions> {
        if let Some(sessions) = self.sessions.borrow().get(&part.name) {
            return sessions.clone();
        }
        let sessions = Rc::new(Sessions {
            table: RefCell::new(Table::new()),
            part: RefCell::new(part.clone()),
            lost: RefCell::default(),
            has_lost: Cell::new(false),
        });
        self.sessions.borrow_mut().insert(part.name.clone(), sessions.clone());
        sessions
    }

    /// Closes sockets that are kept for answers since before `until`, and ends what came by them.
    fn close(&self, until: Instant) {
        let mut closing = self.closing.borrow_mut();
        let before = closing.len();
        closing.retain(|(_, since)| *since > until);
        if closing.len() == before {
            return;
        }
        drop(closing);
        let now = Instant::now();
        for sessions in self.sessions.borrow().values() {
            let is_cut_off = |session: &Rc<Session>| session.front.strong_count() == 0;
            for session in sessions.remove_if(is_cut_off) {
                sessions.end(&session, Ended::Moved, now);
            }
        }
    }

    /// Ends sessions that are idle, and looks which endpoints are out of the choice.
    pub(crate) fn tick(&self, core: &Core, now: Instant) {
        if let Some(until) = now.checked_sub(ANSWER_WAIT) {
            self.close(until);
        }
        for (name, sessions) in &*self.sessions.borrow() {
            if let Some(part) = core.udp_part(name) {
                sessions.part.replace(part);
            }
            let part = sessions.part.borrow().clone();
            let idle = part.config.idle.get();
            while let Some(session) = sessions.expire(now, idle) {
                sessions.end(&session, Ended::Idle, now);
            }
            sessions.look(&part);
        }
    }

    /// Waits for the answers that clients wait for, and closes all sockets.
    pub(crate) async fn drain(&self) {
        while self.is_awaited(Instant::now()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.close(Instant::now());
    }

    fn is_awaited(&self, now: Instant) -> bool {
        let is_awaited = |session: &Rc<Session>| {
            session.waits_since().is_some_and(|since| now.saturating_duration_since(since) < ANSWER_WAIT)
        };
        self.sessions.borrow().values().any(|sessions| sessions.table.borrow().all().any(is_awaited))
    }
}

impl Sessions {
    /// Sends received datagrams on, those of one client in a row together.
    fn take_in(
        self: &Rc<Self>,
        core: &Rc<Core>,
        part: &Arc<UdpPart>,
        front: &Rc<Front>,
        count: usize,
        now: Instant,
    ) {
        let datagrams = core.datagrams.borrow();
        let key_of = |nth| {
            let datagram = datagrams.get(nth);
            let local = datagram.to.map_or(front.local, |to| SocketAddr::new(to, front.local.port()));
            datagram.from.map(|client| Key { client, local })
        };
        let mut start = 0;
        while start < count {
            let key = key_of(start);
            let mut end = start + 1;
            while end < count && key_of(end) == key {
                end += 1;
            }
            if let Some(key) = key {
                let sent = self.forward(core, part, front, &datagrams, key, start..end, now);
                if let Err(dropped) = sent {
                    part.live.events.dropped(dropped, end - start);
                }
            }
            start = end;
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of them are of this one batch")]
    fn forward(
        self: &Rc<Self>,
        core: &Rc<Core>,
        part: &Arc<UdpPart>,
        front: &Rc<Front>,
        datagrams: &Datagrams,
        key: Key,
        nths: Range<usize>,
        now: Instant,
    ) -> Result<(), Dropped> {
        if part.access.judge(key.client.ip()).is_err() {
            return Err(Dropped::Denied);
        }
        let (mut id, mut session) = self.session(core, part, front, key, now)?;
        session.heard(now);
        self.table.borrow_mut().heard(id, now);
        let mut left = nths;
        while !left.is_empty() {
            match datagrams.send(left.clone(), session.back.as_fd(), None) {
                Ok(sent) => {
                    let passed = left.start..left.start + sent;
                    let bytes = passed.clone().map(|nth| datagrams.get(nth).bytes.len()).sum();
                    part.live.events.received.passed(sent, bytes);
                    left.start = passed.end;
                }
                // What an earlier datagram has met with; these are still here, and go elsewhere.
                Err(error) if is_refusal(&error) && !session.is_refused() => {
                    session.refuse(now);
                    let moved = self.session(core, part, front, key, now)?;
                    if Rc::ptr_eq(&moved.1, &session) {
                        return Err(Dropped::NoEndpoint);
                    }
                    (id, session) = moved;
                    self.table.borrow_mut().heard(id, now);
                }
                // No room, or too long for the path: the next one may pass.
                Err(_) => {
                    part.live.events.dropped(Dropped::Unsent, 1);
                    left.start += 1;
                }
            }
        }
        Ok(())
    }

    /// The client's session, moved to another endpoint where it has to be; a new one where there is none.
    fn session(
        self: &Rc<Self>,
        core: &Rc<Core>,
        part: &Arc<UdpPart>,
        front: &Rc<Front>,
        key: Key,
        now: Instant,
    ) -> Result<(Id, Rc<Session>), Dropped> {
        let found = self.table.borrow().find(&key);
        let Some(id) = found else {
            let picked = pick(core, part, key, None, now).map_err(|_| Dropped::NoEndpoint)?;
            return self.begin(core, part, front, key, picked, now);
        };
        let held = self.table.borrow().get(id).cloned();
        let session = held.expect("what was found is there");
        if !self.must_move(&session, part) {
            return Ok((id, session));
        }
        match pick(core, part, key, Some(&session), now) {
            Ok(picked) => {
                self.table.borrow_mut().remove(id);
                self.end(&session, session.cause(), now);
                self.begin(core, part, front, key, picked, now)
            }
            // Where there is no better one, one that is thought to be ill may still answer.
            Err(_) if !session.endpoint.is_gone() && !session.is_refused() => Ok((id, session)),
            Err(_) => Err(Dropped::NoEndpoint),
        }
    }

    fn must_move(&self, session: &Session, part: &UdpPart) -> bool {
        session.is_refused()
            || session.front.strong_count() == 0
            || !Arc::ptr_eq(&session.pool, &part.pool)
            || session.endpoint.is_gone()
            || (self.has_lost.get() && self.lost.borrow().contains(&session.endpoint.address()))
    }

    fn begin(
        self: &Rc<Self>,
        core: &Rc<Core>,
        part: &Arc<UdpPart>,
        front: &Rc<Front>,
        key: Key,
        picked: Picked,
        now: Instant,
    ) -> Result<(Id, Rc<Session>), Dropped> {
        if part.live.open.load(Ordering::Relaxed) >= part.config.sessions as usize {
            let evicted = self.table.borrow_mut().evict().ok_or(Dropped::Sessions)?;
            self.end(&evicted, Ended::Evicted, now);
        }
        let session = match Session::open(key, front, part.pool.clone(), picked, now) {
            Ok(session) => Rc::new(session),
            Err(error) if is_our_lack(&error) => return Err(Dropped::NoSocket),
            Err(_) => return Err(Dropped::NoEndpoint),
        };
        part.live.open.fetch_add(1, Ordering::Relaxed);
        part.live.events.open.inc();
        part.live.events.sessions.inc();
        let held = session.clone();
        let id = self.table.borrow_mut().insert(key, now, |_| held);
        let task = answers(core.clone(), self.clone(), id, session.clone());
        session.set_task(tokio::task::spawn_local(task).abort_handle());
        Ok((id, session))
    }

    fn remove_if(&self, is_meant: impl Fn(&Rc<Session>) -> bool) -> Vec<Rc<Session>> {
        let mut table = self.table.borrow_mut();
        let meant: Vec<Key> =
            table.all().filter(|session| is_meant(session)).map(|session| session.key).collect();
        let ids: Vec<Id> = meant.iter().filter_map(|key| table.find(key)).collect();
        ids.into_iter().filter_map(|id| table.remove(id)).collect()
    }

    fn expire(&self, now: Instant, idle: Duration) -> Option<Rc<Session>> {
        self.table.borrow_mut().expire(now, idle)
    }

    /// Ends a session that has been taken out of the table.
    fn end(&self, session: &Session, why: Ended, now: Instant) {
        session.end(now);
        let part = self.part.borrow();
        part.live.open.fetch_sub(1, Ordering::Relaxed);
        part.live.events.open.dec();
        part.live.events.ended(why);
    }

    /// Looks which endpoints are out of the choice; those that drain keep their sessions.
    fn look(&self, part: &UdpPart) {
        let is_lost = |state| matches!(state, State::Unhealthy | State::Ejected);
        let endpoints = part.pool.status().endpoints.into_iter();
        let lost = endpoints.filter(|endpoint| !endpoint.available && is_lost(endpoint.state));
        let lost: HashSet<SocketAddr> = lost.filter_map(|endpoint| endpoint.address).collect();
        self.has_lost.set(!lost.is_empty());
        self.lost.replace(lost);
    }
}

/// An endpoint for a client; another than that of `before`, if there is one.
fn pick(
    core: &Core,
    part: &UdpPart,
    key: Key,
    before: Option<&Session>,
    now: Instant,
) -> Result<Picked, PickError> {
    let avoid: Vec<_> = before.map(Session::endpoint_id).into_iter().collect();
    let wish = Wish { hash: hash_of(&part.pool, key.client.ip()), sticky: None, avoid: &avoid };
    let rng = &mut core.rng.borrow_mut();
    match part.pool.pick(&wish, now, rng) {
        // With one endpoint only, it may be back by now.
        Err(PickError::AllTried { .. }) if before.is_some_and(Session::is_refused) => {
            part.pool.pick(&Wish { avoid: &[], ..wish }, now, rng)
        }
        picked => picked,
    }
}

/// Passes on what the endpoint answers, until the session ends.
async fn answers(core: Rc<Core>, sessions: Rc<Sessions>, id: Id, session: Rc<Session>) {
    // A socket at one address answers from there without being told.
    let is_anywhere = session.front.upgrade().is_some_and(|front| front.local.ip().is_unspecified());
    let from = is_anywhere.then(|| session.key.local.ip());
    let towards = Towards { to: session.key.client, from };
    loop {
        if session.back.readable().await.is_err() {
            return;
        }
        let received = receive(&core, &session.back, ANSWERS_MAX);
        let now = Instant::now();
        let part = sessions.part.borrow().clone();
        match received {
            Ok(count) => {
                // A socket that is closed ends its sessions.
                let Some(front) = session.front.upgrade() else { return };
                answer(&core, &part, &front, &towards, count);
                sessions.table.borrow_mut().answered(id, now);
                let answers = session.answered(count, now);
                if part.config.responses.is_some_and(|responses| answers >= responses) {
                    // Ends this very task, at its next wait.
                    if let Some(session) = sessions.table.borrow_mut().remove(id) {
                        sessions.end(&session, Ended::Answered, now);
                    }
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if is_refusal(&error) => return session.refuse(now),
            Err(error) => {
                tracing::debug!(target: "layer4", listener = &*part.name, %error, "no answer from {}", session.endpoint.name());
            }
        }
    }
}

fn answer(core: &Core, part: &UdpPart, front: &Front, towards: &Towards, count: usize) {
    let datagrams = core.datagrams.borrow();
    let mut left = 0..count;
    while !left.is_empty() {
        match datagrams.send(left.clone(), front.socket.as_fd(), Some(towards)) {
            Ok(sent) => {
                let passed = left.start..left.start + sent;
                let bytes = passed.clone().map(|nth| datagrams.get(nth).bytes.len()).sum();
                part.live.events.sent.passed(sent, bytes);
                left.start = passed.end;
            }
            Err(_) => {
                part.live.events.dropped(Dropped::Unsent, 1);
                left.start += 1;
            }
        }
    }
}

/// Whether an error says that the endpoint cannot be reached, as its host or a router on the way has told.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}
