//! A core's accept loops, and what the rest of nines may ask of a core.

use crate::arrival::Door;
use crate::connection;
use crate::core::{Core, DRAIN_IDLE, Snapshot};
use crate::events::EdgeEvents;
use crate::gate;
use crate::http3::Endpoint;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, LocalSet};

/// What a core is told.
pub(crate) enum Command {
    /// Accept on these sockets too.
    Listen(Vec<(Door, std::net::TcpListener)>),
    /// Serve HTTP/3 on these sockets too.
    ListenQuic(Vec<UdpSocket>),
    /// End HTTP/3 on these addresses, and what is open there: who has them from now on gets all their packets.
    UnlistenQuic(Vec<SocketAddr>),
    /// Stop accepting on these addresses; their connections go on.
    Unlisten(Vec<SocketAddr>),
    /// Stop accepting, finish what is under way until the deadline, tell whether that was all, and end.
    Drain { deadline: Duration, done: oneshot::Sender<bool> },
}

/// Commands that wait for a core; there are few, and a core takes them at once.
pub(crate) const COMMANDS_MAX: usize = 64;

/// What a core starts with.
pub(crate) struct CoreParts {
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: Arc<EdgeEvents>,
    pub(crate) admission: Arc<gate::Shared>,
    pub(crate) open_everywhere: Arc<AtomicUsize>,
    pub(crate) cores: usize,
}

/// Runs a core on this thread until it has drained, or until nobody can command it any more.
pub(crate) fn run(parts: CoreParts) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, obey(parts));
    // Connections that are left over end with the runtime.
    Ok(())
}

/// Idle connections to endpoints are looked over this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

async fn obey(mut parts: CoreParts) {
    let core = Core::new(parts.snapshots, parts.events, parts.admission, parts.open_everywhere);
    let mut listeners: Vec<(SocketAddr, AbortHandle)> = Vec::new();
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            command = parts.commands.recv() => match command {
                None => return,
                Some(Command::Listen(sockets)) => {
                    listeners.extend(sockets.into_iter().filter_map(|(door, socket)| listen(&core, socket, door, parts.cores)));
                }
                Some(Command::Unlisten(addresses)) => listeners.retain(|(address, task)| {
                    let stays = !addresses.contains(address);
                    if !stays {
                        task.abort();
                    }
                    stays
                }),
                Some(Command::ListenQuic(sockets)) => {
                    for socket in sockets {
                        match Endpoint::open(&core, socket, parts.cores) {
                            Ok(endpoint) => endpoints.push(endpoint),
                            Err(error) => {
                                tracing::error!(target: "edge", %error, "a socket for HTTP/3 could not be used");
                            }
                        }
                    }
                }
                Some(Command::UnlistenQuic(addresses)) => {
                    let goes = |endpoint: &mut Endpoint| {
                        endpoint.address().is_none_or(|address| addresses.contains(&address))
                    };
                    for endpoint in endpoints.extract_if(.., goes) {
                        tokio::task::spawn_local(endpoint.close());
                    }
                }
                Some(Command::Drain { deadline, done }) => {
                    listeners.iter().for_each(|(_, task)| task.abort());
                    endpoints.iter().for_each(Endpoint::stop);
                    let is_drained = drain(&core, deadline).await;
                    for endpoint in endpoints {
                        // A client that does not answer is not waited for.
                        let _ = tokio::time::timeout(DRAIN_IDLE, endpoint.close()).await;
                    }
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(is_drained);
                    return;
                }
            },
            now = sweep.tick() => {
                core.upstreams.sweep(now.into_std());
                core.shrink();
                // A reload may have raised the limit that they wait under.
                core.connection_ended.notify_waiters();
            }
        }
    }
}

/// Starts to accept on a socket.
fn listen(
    core: &Rc<Core>,
    listener: std::net::TcpListener,
    door: Door,
    cores: usize,
) -> Option<(SocketAddr, AbortHandle)> {
    let opened = listener.local_addr().and_then(|address| Ok((address, TcpListener::from_std(listener)?)));
    match opened {
        Ok((address, listener)) => {
            let task = tokio::task::spawn_local(accept(core.clone(), listener, door, cores));
            Some((address, task.abort_handle()))
        }
        Err(error) => {
            tracing::error!(target: "edge", %error, "a listener could not be used");
            None
        }
    }
}

async fn accept(core: Rc<Core>, listener: TcpListener, door: Door, cores: usize) {
    loop {
        let connections_max = core.snapshot().config.limit.connections as usize;
        if core.open_connections() >= connections_max.div_ceil(cores) {
            // What comes now waits in the kernel's backlog, whose end is the client's to notice.
            core.connection_ended.notified().await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Counted at once: the next look at the limit, or a drain, must not miss it.
                let registered = core.register();
                tokio::task::spawn_local(connection::serve(core.clone(), registered, stream, peer, door));
            }
            // A connection that is gone already concerns nobody else; a lack of descriptors passes as
            // connections end, and accepting at full speed would only burn the core.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(target: "edge", %error, "cannot accept connections for the moment");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Waits for the connections to end. Idle ones are given [`DRAIN_IDLE`], then looked at again.
async fn drain(core: &Core, deadline: Duration) -> bool {
    let started = Instant::now();
    core.drain(started);
    let due = tokio::time::Instant::from_std(started + deadline);
    let mut wake = tokio::time::interval(DRAIN_IDLE / 4);
    while core.open_connections() > 0 {
        tokio::select! {
            () = core.connection_ended.notified() => {}
            _ = wake.tick() => core.wake_connections(),
            () = tokio::time::sleep_until(due) => return false,
        }
    }
    true
}
