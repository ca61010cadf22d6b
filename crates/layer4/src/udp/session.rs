//! One client's datagrams on their way to one endpoint and back.

use super::Front;
use super::table::Key;
use crate::events::Ended;
use balance::{Endpoint, EndpointId, Outcome, Picked, Pool};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

pub(super) struct Session {
    pub(super) key: Key,
    /// Where answers leave; gone when nobody listens there any more.
    pub(super) front: Weak<Front>,
    /// Speaks with the endpoint alone, by a port of its own: answers that come there are this client's.
    pub(super) back: UdpSocket,
    pub(super) endpoint: Arc<Endpoint>,
    /// Whose endpoint it is.
    pub(super) pool: Arc<Pool>,
    picked: RefCell<Option<Picked>>,
    task: RefCell<Option<AbortHandle>>,
    answers: Cell<u32>,
    /// When the client was last heard, while that has no answer.
    asked: Cell<Option<Instant>>,
    latency: Cell<Option<Duration>>,
    is_refused: Cell<bool>,
}

impl Session {
    /// A session with a socket of its own. It must be made on a core.
    pub(super) fn open(
        key: Key,
        front: &Rc<Front>,
        pool: Arc<Pool>,
        picked: Picked,
        now: Instant,
    ) -> io::Result<Self> {
        let back = UdpSocket::from_std(sys::connect_udp(picked.endpoint().address())?)?;
        Ok(Self {
            key,
            front: Rc::downgrade(front),
            back,
            endpoint: picked.endpoint().clone(),
            pool,
            picked: RefCell::new(Some(picked)),
            task: RefCell::default(),
            answers: Cell::new(0),
            asked: Cell::new(Some(now)),
            latency: Cell::new(None),
            is_refused: Cell::new(false),
        })
    }

    pub(super) fn endpoint_id(&self) -> EndpointId {
        self.endpoint.id()
    }

    /// The task that waits for answers, to be ended with the session.
    pub(super) fn set_task(&self, task: AbortHandle) {
        self.task.replace(Some(task));
    }

    pub(super) fn heard(&self, now: Instant) {
        self.asked.set(Some(now));
    }

    /// Counts answers; how many there are now.
    pub(super) fn answered(&self, count: usize, now: Instant) -> u32 {
        if let Some(asked) = self.asked.take()
            && self.latency.get().is_none()
        {
            self.latency.set(Some(now.saturating_duration_since(asked)));
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.answers.set(self.answers.get().saturating_add(count));
        self.answers.get()
    }

    /// Since when the client waits for an answer.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.asked.get()
    }

    /// The endpoint's host said that nobody listens there. The session stays, so that the client's next datagram goes
    /// elsewhere.
    pub(super) fn refuse(&self, now: Instant) {
        self.is_refused.set(true);
        let asked = self.asked.take();
        if let Some(picked) = self.picked.take() {
            let latency = asked.map_or(Duration::ZERO, |asked| now.saturating_duration_since(asked));
            picked.finish(Outcome::ConnectFailed, latency, now);
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.is_refused.get()
    }

    /// Tells the pool how it went. A session that was never answered says nothing: its protocol may have no answers.
    pub(super) fn end(&self, now: Instant) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        match (self.picked.take(), self.latency.get()) {
            (Some(picked), Some(latency)) => picked.finish(Outcome::Answered { status: 200 }, latency, now),
            (picked, _) => drop(picked),
        }
    }

    /// Why a session ends that its client cannot go on with.
    pub(super) fn cause(&self) -> Ended {
        if self.is_refused() { Ended::Refused } else { Ended::Moved }
    }
}
