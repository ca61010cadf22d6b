//! The cache between a process and the one that takes over from it.

use cdn::store::forget_later;
use cdn::twin::{OnEvent, Side, TOLD_WAIT, TwinEvent};
use cdn::{Engine, EngineConfig, Error};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

/// Opens the cache; `before` leads to the process that this one takes over from. Where the disk is in use by that one, it comes later. Where it is in use
/// and nobody tells of purges, it never does: what is there would miss them, and is forgotten at the next start.
pub(super) fn open_engine(
    wanted: &EngineConfig,
    folder: &Path,
    before: Option<UnixStream>,
) -> Result<Arc<Engine>, Error> {
    let engine = match Engine::open(wanted) {
        Err(Error::Disk { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => {
            let engine = Arc::new(Engine::open_awaiting(wanted)?);
            return match before.is_some_and(|before| is_joined(&engine, before)) {
                true => Ok(engine),
                false => in_memory(wanted, folder),
            };
        }
        opened => Arc::new(opened?),
    };
    if let Some(before) = before {
        is_joined(&engine, before);
    }
    Ok(engine)
}

fn in_memory(wanted: &EngineConfig, folder: &Path) -> Result<Arc<Engine>, Error> {
    forget_later(folder)?;
    tracing::warn!(target: "topology", "the cache's disk is still in use by the process or the file before: until the next start, responses are kept in memory alone");
    Ok(Arc::new(Engine::open(&EngineConfig { disk: None, ..wanted.clone() })?))
}

/// Whether each of the two processes is told of all purges of the other from now on.
fn is_joined(engine: &Arc<Engine>, before: UnixStream) -> bool {
    match engine.join_twin(Side::New, before, on_event()) {
        Ok(true) => return true,
        Ok(false) => {
            tracing::warn!(target: "topology", "the process before this one does not answer: purges of the one may miss what the other keeps");
        }
        Err(error) => {
            tracing::warn!(target: "topology", %error, "purges of the process before this one may miss what is kept here");
        }
    }
    false
}

/// What leads to this process, for the one that is about to take over.
pub(super) fn to_successor(engine: &Arc<Engine>) -> io::Result<OwnedFd> {
    let (here, there) = UnixStream::pair()?;
    engine.join_twin(Side::Old, here, on_event())?;
    Ok(there.into())
}

/// Lets go of the disk, for the process that serves now.
pub(super) fn hand_over(engine: &Engine) {
    if let Err(error) = engine.hand_over() {
        tracing::warn!(target: "topology", %error, "the cache's disk may be forgotten at the next start");
    }
}

fn on_event() -> OnEvent {
    Arc::new(|event| match event {
        TwinEvent::Late => {
            let waited_ms = TOLD_WAIT.as_millis() as u64;
            tracing::warn!(target: "topology", waited_ms, "the other process of the takeover has not acknowledged a purge: it holds there later");
        }
        TwinEvent::Gone => {
            tracing::debug!(target: "topology", "the other process of the takeover is told of purges no longer");
        }
        TwinEvent::Malformed => {
            tracing::warn!(target: "topology", "what the other process of the takeover says of purges cannot be read: it is told of them no longer");
        }
        TwinEvent::DiskTaken(responses) => {
            tracing::info!(target: "topology", responses, "the cache's disk is taken over");
        }
        TwinEvent::DiskLost(error) => {
            tracing::warn!(target: "topology", %error, "the cache's disk cannot be taken over: until the next start, which finds it empty, responses are kept in memory alone");
        }
    })
}
