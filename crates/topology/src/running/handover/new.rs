//! The side that takes over.

use super::message::{Answer, Ask, PoolPower, Tier, VERSION};
use super::peer::Peer;
use crate::running::home::Home;
use crate::running::listen::Inherited;
use crate::running::{StartError, TakeoverError};
use balance::PoolStatus;
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;

/// How long the running process may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// How long its lock may take to come free when it died after it was told that this one serves.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How often the lock is tried.
const LOCK_EVERY: Duration = Duration::from_millis(20);

/// The process that serves, while this one prepares.
pub(in crate::running) struct Previous {
    pub(in crate::running) pid: u32,
    peer: Peer,
    pools: BTreeMap<String, PoolPower>,
}

impl Previous {
    /// Says hello to the running nines; `None` when none runs.
    pub(in crate::running) async fn find(socket: &Path) -> Result<Option<Self>, TakeoverError> {
        let stream = match UnixStream::connect(socket).await {
            Ok(stream) => stream,
            // Nobody's socket, or a dead process's.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let mut peer = Peer::new(stream);
        let hello = Ask::Hello { version: VERSION, pid: std::process::id() };
        match ask(&mut peer, &hello).await? {
            (Answer::Hello { pid, pools, .. }, _) => Ok(Some(Self { pid, peer, pools })),
            (answer, _) => Err(unexpected(&answer)),
        }
    }

    /// What the pools here cannot do yet and the previous ones can. A pool that is down on both sides, or
    /// that is new, keeps nobody waiting for more than its first checks.
    pub(in crate::running) fn better_at(&self, pools: &[PoolStatus]) -> Vec<String> {
        let missing = pools.iter().filter_map(|pool| {
            let before = self.pools.get(&pool.name);
            let was_ready = before.is_none_or(|before| before.ready);
            let had_endpoints = before.is_some_and(|before| before.available > 0);
            if was_ready && !pool.ready {
                return Some(format!("pool {} has not seen all its endpoints yet", pool.name));
            }
            (had_endpoints && pool.available == 0)
                .then(|| format!("pool {} has no healthy endpoint", pool.name))
        });
        missing.collect()
    }

    /// The listening sockets.
    pub(in crate::running) async fn listeners(&mut self) -> Result<Inherited, StartError> {
        let (answer, fds) = ask(&mut self.peer, &Ask::Listeners).await?;
        let Answer::Listeners { listeners } = answer else { return Err(unexpected(&answer).into()) };
        if listeners.len() != fds.len() {
            let error = format!("{} listeners were announced and {} arrived", listeners.len(), fds.len());
            return Err(TakeoverError::Io(io::Error::new(io::ErrorKind::InvalidData, error)).into());
        }
        let mut inherited = Inherited::default();
        for (listener, fd) in listeners.iter().zip(fds) {
            match listener.tier {
                Tier::Admin => inherited.admin.push(TcpListener::from(fd)),
                Tier::Edge => inherited.edge.push(TcpListener::from(fd)),
            }
        }
        Ok(inherited)
    }

    /// Tells the running one that this one serves, and takes the lock that it lets go of.
    pub(in crate::running) async fn serving(mut self, home: &Home) -> Result<(), StartError> {
        match ask(&mut self.peer, &Ask::Serving).await {
            Ok((Answer::Yours, _)) => {}
            Ok((answer, _)) => return Err(unexpected(&answer).into()),
            // It may have died after it let go: then the lock is free.
            Err(error) => {
                tracing::warn!(target: "topology", %error, "the process before this one fell silent")
            }
        }
        let end = tokio::time::Instant::now() + LOCK_WAIT;
        loop {
            match home.lock() {
                Err(StartError::Locked { .. }) if tokio::time::Instant::now() < end => {
                    tokio::time::sleep(LOCK_EVERY).await;
                }
                result => return result,
            }
        }
    }
}

async fn ask(peer: &mut Peer, ask: &Ask) -> Result<(Answer, Vec<OwnedFd>), TakeoverError> {
    peer.send(ask, &[])?;
    Ok(peer.receive::<Answer>(ANSWER_WAIT).await?)
}

fn unexpected(answer: &Answer) -> TakeoverError {
    match answer {
        Answer::Refused { why } => TakeoverError::Refused(why.clone()),
        other => TakeoverError::Refused(format!("an answer that was not asked for: {other:?}")),
    }
}
