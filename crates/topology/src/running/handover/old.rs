//! The side that serves, and lets go once another does.

use super::message::{Answer, Ask, Listener, PoolPower, Tier, VERSION};
use super::peer::Peer;
use crate::running::{Phase, Running, report};
use cores::Socket;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;
use tokio::net::UnixListener;

/// How long a new process may take from one message to the next: it starts services in between.
const SUCCESSOR_WAIT: Duration = Duration::from_secs(120);

/// Listens for a new process from now on. A node that cannot be taken over still serves.
pub(in crate::running) fn await_successor(running: &Arc<Running>) {
    let path = running.home.socket();
    let listener = match listen(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(target: "topology", path = %path.display(), %error, "no restart without a gap: the socket for it cannot be made");
            return;
        }
    };
    let task = tokio::spawn(serve(listener, Arc::downgrade(running)));
    running.successor.lock().unwrap_or_else(PoisonError::into_inner).replace(task);
}

/// The lock on the data folder is ours, so that a socket there is a dead process's.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn serve(mut listener: UnixListener, running: Weak<Running>) {
    loop {
        let accepted = listener.accept().await;
        let Some(running) = running.upgrade() else { return };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: the next try is worth a pause.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        match converse(Peer::new(stream), &running).await {
            Ok(true) => {
                running.phase.send_replace(Phase::HandedOver);
                return;
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(target: "topology", %error, "a takeover broke off, this process carries on");
            }
        }
        running.live().cdn.forsake_successor();
        // The socket may have been removed for a successor that then died.
        if !running.home.socket().exists() {
            match listen(&running.home.socket()) {
                Ok(again) => listener = again,
                Err(error) => {
                    tracing::warn!(target: "topology", %error, "no restart without a gap any more");
                    return;
                }
            }
        }
    }
}

/// Talks with one new process; `true` when that one serves now.
async fn converse(mut peer: Peer, running: &Running) -> io::Result<bool> {
    loop {
        let (ask, _) = peer.receive::<Ask>(SUCCESSOR_WAIT).await?;
        match ask {
            Ask::Hello { version, .. } if version != VERSION => {
                let why = format!("version {version} of the takeover was asked for, this is {VERSION}");
                peer.send(&Answer::Refused { why }, &[])?;
                return Ok(false);
            }
            Ask::Hello { .. } if running.phase() != Phase::Serving => {
                peer.send(&Answer::Refused { why: "it is stopping".into() }, &[])?;
                return Ok(false);
            }
            Ask::Hello { pid, .. } => {
                tracing::info!(target: "topology", by_pid = pid, "a new process prepares to take over");
                peer.send(&hello(running), &[])?;
            }
            Ask::Listeners { purges } => send_listeners(&mut peer, running, purges)?,
            Ask::Serving => return let_go(&mut peer, running),
        }
    }
}

fn hello(running: &Running) -> Answer {
    let live = running.live();
    let pools = live.pools.values().map(|part| {
        let status = part.pool.status();
        let power = PoolPower { ready: report::is_ready(&status), available: status.available };
        (status.name, power)
    });
    Answer::Hello { version: VERSION, pid: std::process::id(), pools: pools.collect() }
}

fn send_listeners(peer: &mut Peer, running: &Running, with_purges: bool) -> io::Result<()> {
    let admin = (Tier::Admin, Socket::Tcp(running.admin.try_clone()?));
    let (edge, layer4, dns, purges) = {
        let live = running.live();
        let purges = if with_purges { live.cdn.to_successor()? } else { None };
        (live.edge.listeners()?, live.layer4.sockets()?, live.dns.sockets()?, purges)
    };
    let edge = edge.into_iter().map(|listener| (Tier::Edge, Socket::Tcp(listener)));
    let layer4 = layer4.into_iter().map(|socket| match socket {
        Socket::Tcp(_) => (Tier::Tcp, socket),
        Socket::Udp(_) => (Tier::Udp, socket),
    });
    let dns = dns.into_iter().map(|socket| match socket {
        Socket::Tcp(_) => (Tier::DnsTcp, socket),
        Socket::Udp(_) => (Tier::DnsUdp, socket),
    });
    let sockets: Vec<(Tier, Socket)> = std::iter::once(admin).chain(edge).chain(layer4).chain(dns).collect();
    let listeners = sockets
        .iter()
        .map(|(tier, socket)| Ok(Listener { tier: *tier, address: socket.address()?.at }))
        .collect::<io::Result<Vec<_>>>()?;
    let mut fds: Vec<BorrowedFd<'_>> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    fds.extend(purges.as_ref().map(AsFd::as_fd));
    peer.send(&Answer::Listeners { listeners, purges: purges.is_some() }, &fds)
}

/// Gives up the lock and the socket. Whether the new process still lives is known only once it was told.
fn let_go(peer: &mut Peer, running: &Running) -> io::Result<bool> {
    let _ = fs::remove_file(running.home.socket());
    running.home.unlock();
    if let Err(error) = peer.send(&Answer::Yours, &[]) {
        running.home.lock().map_err(io::Error::other)?;
        return Err(error);
    }
    let mut live = running.live();
    live.edge.hand_over();
    live.layer4.stop_accepting();
    live.dns.stop_accepting();
    if let Some(hand_over) = live.cdn.hand_over() {
        live.leaving.spawn(async move {
            let _ = tokio::task::spawn_blocking(hand_over).await;
        });
    }
    drop(live);
    tracing::info!(target: "topology", "another process has taken over");
    Ok(true)
}
