//! The signals that steer a running node.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGTERM: stop.
    Terminate,
    /// SIGINT: stop, by Ctrl-C.
    Interrupt,
    /// SIGHUP: reload.
    Reload,
}

/// The signals, listened to from the moment that this exists.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Takes the signals over from the kernel's defaults.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal. Cancel safe.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Terminate,
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }

    /// The next signal that asks to stop. Cancel safe.
    pub(super) async fn next_stop(&mut self) -> Asked {
        loop {
            match self.next().await {
                Asked::Reload => tracing::warn!("SIGHUP ignored: the node is stopping"),
                stop => return stop,
            }
        }
    }
}
