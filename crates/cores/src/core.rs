//! One core: a thread that obeys commands and works in between.

use crate::socket::{Address, Socket};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet};

/// What a core does. It is made on the core's own thread and never leaves it; tasks of its own it spawns with
/// `tokio::task::spawn_local`, and those that are left when the core ends are dropped.
pub trait Work: 'static {
    /// What a socket is for, said by whoever had it opened: which of the file's listeners it belongs to.
    type Door: Clone + PartialEq + Send + 'static;

    /// Takes what comes by a socket. The future is dropped when the socket is no longer listened on, be it because the core
    /// drains, of which it has heard before ([`Work::drain`]).
    fn serve(self: Rc<Self>, door: Self::Door, socket: Socket) -> impl Future<Output = ()> + 'static;

    /// Called every second: for what is looked over now and then.
    fn tick(&self, now: Instant);

    /// Called when the core begins to drain, before anything else; then nothing is listened on any more, and the future
    /// is waited for: it is ready when nothing is under way, or dropped at the deadline.
    fn drain(self: Rc<Self>) -> impl Future<Output = ()> + 'static;

    /// The core ends, drained or not: time for a last word to whoever is still there. Nothing bounds it but itself.
    fn end(self: Rc<Self>) -> impl Future<Output = ()> + 'static {
        async {}
    }

    /// Whether a process that takes over goes on with the sockets of this door. Where it does not, it opens its own beside
    /// ours: for what cannot change hands, such as sockets that hold connections of their own.
    fn hands_over(_: &Self::Door) -> bool {
        true
    }
}

/// What a core is told.
pub(crate) enum Command<D> {
    /// Serve these sockets too.
    Listen(Vec<(D, Socket)>),
    /// Stop listening at these addresses; what is under way goes on.
    Unlisten(Vec<Address>),
    /// Stop listening, finish what is under way until the deadline, tell whether that was all, and end.
    Drain { deadline: Duration, done: oneshot::Sender<bool> },
}

/// Commands that wait for a core; there are few, and a core takes them at once.
pub(crate) const COMMANDS_MAX: usize = 64;

const TICK: Duration = Duration::from_secs(1);

/// Runs a core on this thread until it has drained, or until nobody can command it any more.
pub(crate) fn run<W: Work>(
    make: impl FnOnce() -> W,
    commands: mpsc::Receiver<Command<W::Door>>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        obey(Rc::new(make()), commands).await;
    });
    // What is left over ends with the runtime.
    Ok(())
}

async fn obey<W: Work>(work: Rc<W>, mut commands: mpsc::Receiver<Command<W::Door>>) {
    let mut served: Vec<(Address, JoinHandle<()>)> = Vec::new();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                None => return,
                Some(Command::Listen(sockets)) => {
                    served.extend(sockets.into_iter().filter_map(|(door, socket)| {
                        let address = socket.address().ok()?;
                        let task = tokio::task::spawn_local(work.clone().serve(door, socket));
                        Some((address, task))
                    }));
                }
                Some(Command::Unlisten(addresses)) => {
                    end(served.extract_if(.., |(address, _)| addresses.contains(address)).collect()).await;
                }
                Some(Command::Drain { deadline, done }) => {
                    let drained = work.clone().drain();
                    end(served).await;
                    let is_drained = tokio::time::timeout(deadline, drained).await.is_ok();
                    work.end().await;
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(is_drained);
                    return;
                }
            },
            now = tick.tick() => work.tick(now.into_std()),
        }
    }
}

/// Ends the serving of sockets. What the work does as they go is done before the next command is obeyed.
async fn end(served: Vec<(Address, JoinHandle<()>)>) {
    served.iter().for_each(|(_, task)| task.abort());
    for (_, task) in served {
        // It ends because it was told to.
        let _ = task.await;
    }
}
