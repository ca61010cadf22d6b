//! One core's own state: what it answers from, what it has open, and the memory that it uses again and again.

use crate::listener::{tcp, udp};
use crate::snapshot::Snapshot;
use cores::{Open, Socket, Work};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Notify, watch};

/// What comes to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Messages, as they are.
    Plain,
    /// Messages within TLS.
    Tls,
}

pub(crate) struct Core {
    snapshots: RefCell<watch::Receiver<Arc<Snapshot>>>,
    snapshot: RefCell<Arc<Snapshot>>,
    pub(crate) batch: RefCell<udp::Batch>,
    pub(crate) connections: Open,
    pub(crate) spares: tcp::Spares,
    pub(crate) is_draining: Cell<bool>,
    pub(crate) draining: Notify,
}

impl Core {
    pub(crate) fn new(mut snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        let first = snapshots.borrow_and_update().clone();
        Self {
            snapshots: RefCell::new(snapshots),
            snapshot: RefCell::new(first),
            batch: RefCell::default(),
            connections: Open::default(),
            spares: tcp::Spares::default(),
            is_draining: Cell::new(false),
            draining: Notify::new(),
        }
    }

    /// Whether there is a newer snapshot than this core has seen: a look at a line that nobody writes between changes.
    #[inline]
    pub(crate) fn has_newer(&self) -> bool {
        self.snapshots.borrow().has_changed().unwrap_or(false)
    }

    /// The newest snapshot: one is taken for each batch.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        let mut snapshots = self.snapshots.borrow_mut();
        // A server that is gone has no newer one.
        if snapshots.has_changed().unwrap_or(false) {
            *self.snapshot.borrow_mut() = snapshots.borrow_and_update().clone();
        }
        self.snapshot.borrow().clone()
    }
}

impl Work for Core {
    type Door = Door;

    async fn serve(self: Rc<Self>, door: Door, socket: Socket) {
        match socket {
            Socket::Tcp(listener) => tcp::listen(self, listener, door).await,
            Socket::Udp(socket) => udp::listen(self, socket).await,
        }
    }

    fn tick(&self, _: Instant) {
        self.spares.shrink();
    }

    async fn drain(self: Rc<Self>) {
        self.is_draining.set(true);
        self.draining.notify_waiters();
        self.connections.none().await;
    }
}
