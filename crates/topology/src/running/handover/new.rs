//! The side that takes over.

use super::message::{Answer, Ask, PoolPower, Tier, VERSION};
use super::peer::Peer;
use crate::running::home::Home;
use crate::running::listen::Inherited;
use crate::running::{StartError, TakeoverError, report};
use balance::{PoolStatus, State};
use cores::Socket;
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream as Conversation;

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
        let stream = match Conversation::connect(socket).await {
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

    /// What the pools here cannot do yet and the previous ones can, pool by pool.
    pub(in crate::running) fn better_at(&self, pools: &[(PoolStatus, usize)]) -> Vec<String> {
        let missing = pools.iter().filter_map(|(pool, instances)| {
            let before = self.pools.get(&pool.name).copied();
            lack(before, pool, *instances).map(|lack| format!("pool {}: {lack}", pool.name))
        });
        missing.collect()
    }

    /// The listening sockets.
    pub(in crate::running) async fn listeners(&mut self) -> Result<Inherited, StartError> {
        let (answer, mut fds) = ask(&mut self.peer, &Ask::Listeners { purges: true }).await?;
        let Answer::Listeners { listeners, purges } = answer else { return Err(unexpected(&answer).into()) };
        let announced = listeners.len() + usize::from(purges);
        if announced != fds.len() {
            let error = format!("{announced} sockets were announced and {} arrived", fds.len());
            return Err(TakeoverError::Io(io::Error::new(io::ErrorKind::InvalidData, error)).into());
        }
        let purges = if purges { fds.pop() } else { None };
        let mut inherited = Inherited { purges: purges.map(UnixStream::from), ..Inherited::default() };
        for (listener, fd) in listeners.iter().zip(fds) {
            match listener.tier {
                Tier::Admin => inherited.admin.push(TcpListener::from(fd)),
                Tier::Edge => inherited.edge.push(TcpListener::from(fd)),
                Tier::Tcp => inherited.layer4.push(Socket::Tcp(fd.into())),
                Tier::Udp => inherited.layer4.push(Socket::Udp(fd.into())),
                Tier::DnsTcp => inherited.dns.push(Socket::Tcp(fd.into())),
                Tier::DnsUdp => inherited.dns.push(Socket::Udp(fd.into())),
            }
        }
        Ok(inherited)
    }

    /// Tells the running one that this one serves, and takes the lock that it lets go of.
    pub(in crate::running) async fn serving(&mut self, home: &Home) -> Result<(), StartError> {
        match ask(&mut self.peer, &Ask::Serving).await {
            Ok((Answer::Yours, _)) => {}
            Ok((answer, _)) => return Err(unexpected(&answer).into()),
            // It may have died after it let go: then the lock is free.
            Err(error) => {
                tracing::warn!(target: "topology", %error, "the process before this one fell silent");
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

/// What a pool lacks that the previous process had. One that is down on both sides, or that is new, keeps
/// nobody waiting for more than its first checks. `instances` is how many its service should have.
fn lack(before: Option<PoolPower>, now: &PoolStatus, instances: usize) -> Option<String> {
    if before.is_none_or(|before| before.ready) && !report::is_ready(now) {
        return Some("its endpoints are not known yet".into());
    }
    let available = before.map_or(0, |before| before.available);
    if now.available >= available {
        return None;
    }
    if now.available == 0 {
        return Some(format!("no healthy endpoint, the running nines has {available}"));
    }
    let is_judged = |state| !matches!(state, State::Unresolved | State::NotReady | State::Unknown);
    let is_complete =
        now.endpoints.len() >= instances && now.endpoints.iter().all(|one| is_judged(one.state));
    (!is_complete).then(|| format!("{} of {instances} instances are up", now.available))
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

#[cfg(test)]
mod tests {
    use super::*;
    use balance::{EndpointStatus, Policy};

    fn pool(states: &[State]) -> PoolStatus {
        let endpoint = |(nth, state): (usize, &State)| EndpointStatus {
            name: format!("shop-{nth}"),
            address: None,
            state: *state,
            cause: String::new(),
            since_unix_ms: 0,
            available: *state == State::Healthy,
            weight: 1,
            slow_start_percent: 100,
            at: None,
            backup: false,
            inflight: 0,
            requests: 0,
            failures: 0,
            ejections: 0,
            latency_ms: None,
        };
        let is_judged = |state: &State| matches!(state, State::Healthy | State::Unhealthy);
        PoolStatus {
            name: "shop".into(),
            policy: Policy::default(),
            ready: states.iter().any(is_judged),
            panic: false,
            available: states.iter().filter(|state| **state == State::Healthy).count(),
            inflight: 0,
            inflight_max: 1,
            waiting: 0,
            waiting_max: 1,
            endpoints: states.iter().enumerate().map(endpoint).collect(),
        }
    }

    #[test]
    fn a_takeover_waits_until_the_pools_can_do_what_they_could() {
        use State::{Healthy, NotReady, Unhealthy, Unknown};
        let before = |ready, available| Some(PoolPower { ready, available });
        let lacks = |before, states: &[State], instances| lack(before, &pool(states), instances).is_some();
        // Nothing is known yet, or not of all of them.
        assert!(lacks(before(true, 3), &[], 3));
        assert!(lacks(before(true, 3), &[Healthy], 3), "two instances have not begun");
        assert!(lacks(before(true, 3), &[Healthy, Unknown, Healthy], 3));
        assert!(lacks(before(true, 3), &[Healthy, NotReady, Healthy], 3));
        assert!(lacks(before(true, 1), &[Unhealthy], 1), "the old one is healthy");
        assert!(lacks(None, &[Unknown], 1), "a new pool has its first check");
        // As good as it gets.
        assert!(!lacks(before(true, 3), &[Healthy, Healthy, Healthy], 3));
        assert!(!lacks(before(true, 3), &[Healthy], 1), "the file asks for fewer");
        assert!(!lacks(before(true, 3), &[Healthy, Unhealthy, Healthy], 3), "one is down, and known to be");
        assert!(!lacks(before(true, 0), &[Unhealthy], 1), "down on both sides");
        assert!(!lacks(before(false, 0), &[], 0), "a name that has no address on either side");
        assert!(!lacks(None, &[Unhealthy], 1));
    }
}
