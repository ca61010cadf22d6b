//! What a core does with its sockets: accept loops, a look around now and then, a drain.

use crate::arrival::Door;
use crate::connection;
use crate::core::{Core, DRAIN_IDLE};
use crate::http3;
use cores::Socket;
use std::rc::Rc;
use std::time::Instant;
use tokio::net::TcpListener;

impl cores::Work for Core {
    type Door = Door;

    async fn serve(self: Rc<Self>, door: Door, socket: Socket) {
        match (door, socket) {
            (Door::Http | Door::Https, Socket::Tcp(listener)) => match TcpListener::from_std(listener) {
                Ok(listener) => accept(self, listener, door).await,
                Err(error) => tracing::error!(target: "edge", %error, "a listener could not be used"),
            },
            (Door::Http3, Socket::Udp(socket)) => http3::listen(self, socket).await,
            // A takeover may hand over a socket of the wrong kind only if its address said so.
            (door, _) => tracing::error!(target: "edge", ?door, "a socket of the wrong kind"),
        }
    }

    fn tick(&self, now: Instant) {
        // A core that nobody comes to lets go of what a reload has replaced: certificates, folders, watches.
        self.snapshot();
        self.upstreams.sweep(now);
        self.shrink();
        // A reload may have raised the limit that they wait under.
        self.connection_ended.notify_waiters();
    }

    fn drain(self: Rc<Self>) -> impl Future<Output = ()> + 'static {
        self.begin_to_drain(Instant::now());
        ended(self)
    }

    async fn end(self: Rc<Self>) {
        self.quic.close().await;
    }

    /// Packets of a connection of QUIC reach whichever socket of its address the kernel chooses: what is open at one ends
    /// with it, and so a process that takes over begins with sockets of its own.
    fn hands_over(door: &Door) -> bool {
        *door != Door::Http3
    }
}

async fn accept(core: Rc<Core>, listener: TcpListener, door: Door) {
    loop {
        if core.open_connections() >= core.connections_max(&core.snapshot().config) {
            // What comes now waits in the kernel's backlog, whose end is the client's to notice.
            core.connection_ended.notified().await;
            continue;
        }
        let (stream, peer) = cores::accept(&listener, "edge").await;
        // Counted at once: the next look at the limit, or a drain, must not miss it.
        let registered = core.register();
        tokio::task::spawn_local(connection::serve(core.clone(), registered, stream, peer, door));
    }
}

/// Waits for the connections to end, and for fetches of the cache that others read. Idle ones are given [`DRAIN_IDLE`], then looked at again.
async fn ended(core: Rc<Core>) {
    let mut wake = tokio::time::interval(DRAIN_IDLE / 4);
    while core.is_busy() {
        tokio::select! {
            () = core.connection_ended.notified() => {}
            _ = wake.tick() => core.wake_connections(),
        }
    }
}
