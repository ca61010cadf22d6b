//! One core's own state: what it decides by, what it has open, and the memory that it uses again and again.

use crate::snapshot::{Snapshot, TcpPart, UdpPart};
use crate::tcp::splice::Pipes;
use crate::{tcp, udp};
use cores::{Open, Socket, Work};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use sys::Datagrams;
use tokio::sync::watch;

/// Which listener of the file a socket belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Door {
    Tcp(Arc<str>),
    Udp(Arc<str>),
}

/// A buffer for what is passed on: a usual message of a database or a chat, and what comes before bulk.
pub(crate) const BUFFER_BYTES: usize = 16 << 10;
/// Buffers that a core keeps; more are freed.
const SPARE_BUFFERS_MAX: usize = 256;

pub(crate) struct Core {
    snapshots: RefCell<watch::Receiver<Arc<Snapshot>>>,
    snapshot: RefCell<Arc<Snapshot>>,
    pub(crate) rng: RefCell<SmallRng>,
    pub(crate) pipes: Pipes,
    pub(crate) connections: Open,
    pub(crate) udp: udp::Listening,
    /// Room for the datagrams of one call; nothing is kept in it over an await.
    pub(crate) datagrams: RefCell<Datagrams>,
    buffers: RefCell<Vec<Vec<u8>>>,
}

impl Core {
    pub(crate) fn new(mut snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        let first = snapshots.borrow_and_update().clone();
        Self {
            snapshots: RefCell::new(snapshots),
            snapshot: RefCell::new(first),
            rng: RefCell::new(SmallRng::from_rng(&mut rand::rng())),
            pipes: Pipes::default(),
            connections: Open::default(),
            udp: udp::Listening::default(),
            datagrams: RefCell::default(),
            buffers: RefCell::default(),
        }
    }

    fn snapshot(&self) -> std::cell::Ref<'_, Arc<Snapshot>> {
        let mut snapshots = self.snapshots.borrow_mut();
        // A layer 4 that is gone has no newer one.
        if snapshots.has_changed().unwrap_or(false) {
            *self.snapshot.borrow_mut() = snapshots.borrow_and_update().clone();
        }
        self.snapshot.borrow()
    }

    /// The file's listener of this name as it is now; `None` once it is gone.
    pub(crate) fn tcp_part(&self, name: &str) -> Option<Arc<TcpPart>> {
        self.snapshot().tcp.get(name).cloned()
    }

    /// The same of UDP.
    pub(crate) fn udp_part(&self, name: &str) -> Option<Arc<UdpPart>> {
        self.snapshot().udp.get(name).cloned()
    }

    /// A buffer with [`BUFFER_BYTES`] of room: the one that was used last, whose memory is warm.
    pub(crate) fn take_buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_else(|| vec![0; BUFFER_BYTES])
    }

    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < SPARE_BUFFERS_MAX {
            buffers.push(buffer);
        }
    }
}

impl Work for Core {
    type Door = Door;

    async fn serve(self: Rc<Self>, door: Door, socket: Socket) {
        match (door, socket) {
            (Door::Tcp(name), Socket::Tcp(listener)) => tcp::listen(self, &name, listener).await,
            (Door::Udp(name), Socket::Udp(socket)) => udp::listen(self, name, socket).await,
            // A takeover may hand over a socket of the wrong kind only if its address said so.
            (door, _) => tracing::error!(target: "layer4", ?door, "a socket of the wrong kind"),
        }
    }

    fn tick(&self, now: Instant) {
        // A core that nobody comes to lets go of what a reload has replaced: certificates, watches.
        drop(self.snapshot());
        self.udp.tick(self, now);
        self.pipes.shrink();
        let mut buffers = self.buffers.borrow_mut();
        // A burst is forgotten.
        let kept = buffers.len().div_ceil(2);
        buffers.truncate(kept);
    }

    async fn drain(self: Rc<Self>) {
        tokio::join!(self.connections.none(), self.udp.drain());
    }
}
