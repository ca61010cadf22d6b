//! All cores of a tier together: started, given sockets, drained.

use crate::core::{COMMANDS_MAX, Command, Work, run};
use crate::error::Error;
use crate::socket::{Address, Socket, fill};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The cores of a tier. `D` says what a socket is for: [`Work::Door`].
pub struct Cores<D> {
    tier: &'static str,
    threads: Vec<CoreHandle<D>>,
    /// The sockets of each address, one a core.
    open: Mutex<BTreeMap<Address, Listening<D>>>,
    /// [`Work::hands_over`].
    hands_over: fn(&D) -> bool,
}

struct CoreHandle<D> {
    commands: mpsc::Sender<Command<D>>,
    thread: JoinHandle<()>,
}

/// The sockets of an address.
struct Listening<D> {
    door: D,
    sockets: Vec<Socket>,
}

/// Sockets that are open, and not served yet. Dropped, they are closed, and nothing has happened.
#[must_use = "it is made true by `commit`"]
pub struct Prepared<D> {
    opened: BTreeMap<Address, Listening<D>>,
    closed: Vec<Address>,
}

impl<D: Clone + PartialEq + Send + 'static> Cores<D> {
    /// Starts `count` threads; `make` makes the work of one on its own thread. `tier` names the threads.
    ///
    /// # Errors
    /// When a thread cannot be made; those that were are ended.
    pub fn start<W: Work<Door = D>>(
        tier: &'static str,
        count: usize,
        make: impl Fn() -> W + Clone + Send + 'static,
    ) -> Result<Self, Error> {
        let mut threads = Vec::new();
        for index in 0..count {
            let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
            let make = make.clone();
            let thread = std::thread::Builder::new()
                .name(format!("{tier}-{index}"))
                .spawn(move || {
                    if let Err(error) = run(make, receiver) {
                        tracing::error!(target: "cores", tier, %error, "a core has no runtime");
                    }
                })
                .map_err(Error::Core)?;
            threads.push(CoreHandle { commands, thread });
        }
        Ok(Self { tier, threads, open: Mutex::new(BTreeMap::new()), hands_over: W::hands_over })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Opens what is wanted and not open yet, except where `inherited` has sockets of a process before this one; what is
    /// open and not wanted will be closed. An address with port 0 is met by whatever port its door has already.
    ///
    /// Where a process before this one goes on with sockets that it does not hand over ([`Work::hands_over`]), its
    /// addresses are opened beside it; all others must be free.
    ///
    /// # Errors
    /// When an address cannot be listened on: nothing has changed then.
    pub fn prepare(&self, wanted: &[(Address, D)], inherited: Vec<Socket>) -> Result<Prepared<D>, Error> {
        let is_takeover = !inherited.is_empty();
        let mut left_behind: BTreeMap<Address, Vec<Socket>> = BTreeMap::new();
        for socket in inherited {
            if let Ok(address) = socket.address() {
                left_behind.entry(address).or_default().push(socket);
            }
        }
        let mut present: BTreeMap<Address, D> =
            self.lock().iter().map(|(address, listening)| (*address, listening.door.clone())).collect();
        let mut opened = BTreeMap::new();
        // Whoever names a port comes before those who take any.
        let (named, any): (Vec<_>, Vec<_>) = wanted.iter().partition(|(address, _)| address.at.port() != 0);
        for (address, door) in named.into_iter().chain(any) {
            let open = present.iter().find(|(open, held)| *held == door && address.is_met_by(open));
            if let Some(open) = open.map(|(open, _)| *open) {
                present.remove(&open);
                continue;
            }
            let before = left_behind.keys().find(|open| address.is_met_by(open)).copied();
            // An address that changes its door keeps its sockets, and who waits in them.
            let kept = match before.and_then(|before| left_behind.remove(&before)) {
                Some(sockets) => sockets,
                None => {
                    self.copies_at(*address).map_err(|source| Error::Listen { address: *address, source })?
                }
            };
            present.remove(address);
            let is_shared = is_takeover && !(self.hands_over)(door);
            let sockets = fill(*address, kept, self.count(), is_shared)?;
            let opened_at =
                sockets[0].address().map_err(|source| Error::Listen { address: *address, source })?;
            opened.insert(opened_at, Listening { door: door.clone(), sockets });
        }
        Ok(Prepared { opened, closed: present.into_keys().collect() })
    }

    /// Serves what was opened, and stops to listen where nothing is wanted any more.
    pub fn commit(&self, prepared: Prepared<D>) {
        let replaced = prepared.opened.keys().filter(|address| self.lock().contains_key(address)).copied();
        let gone: Vec<Address> = replaced.collect::<Vec<_>>().into_iter().chain(prepared.closed).collect();
        self.unlisten(&gone);
        self.listen(prepared.opened);
    }

    /// Every address that is open, with what it is for.
    pub fn listening(&self) -> Vec<(Address, D)> {
        self.lock().iter().map(|(address, listening)| (*address, listening.door.clone())).collect()
    }

    /// Copies of all sockets that are handed over ([`Work::hands_over`]), for a process that takes over.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn sockets(&self) -> io::Result<Vec<Socket>> {
        let open = self.lock();
        let handed_over = open.values().filter(|listening| (self.hands_over)(&listening.door));
        handed_over.flat_map(|listening| &listening.sockets).map(Socket::try_clone).collect()
    }

    /// Stops to listen at these doors; what is under way goes on. A process that has taken over goes on with the sockets.
    pub fn stop_listening(&self, at: impl Fn(&D) -> bool) {
        let open = self.lock();
        let left = open.iter().filter(|(_, listening)| at(&listening.door));
        let left: Vec<Address> = left.map(|(address, _)| *address).collect();
        drop(open);
        self.unlisten(&left);
    }

    /// Finishes what is under way, at most until the deadline, and ends the cores. `false`: something was cut off.
    pub async fn drain(self, deadline: Duration) -> bool {
        // The cores close theirs.
        self.lock().clear();
        let mut waiting = Vec::new();
        for core in &self.threads {
            let (done, drained) = oneshot::channel();
            if core.commands.send(Command::Drain { deadline, done }).await.is_ok() {
                waiting.push(drained);
            }
        }
        let mut all = true;
        for drained in waiting {
            all &= drained.await.unwrap_or(false);
        }
        for core in self.threads {
            drop(core.commands);
            // The thread has nothing left to do but to free what is left.
            if core.thread.join().is_err() {
                tracing::error!(target: "cores", tier = self.tier, "a core ended by a panic");
            }
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Address, Listening<D>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copies_at(&self, address: Address) -> io::Result<Vec<Socket>> {
        match self.lock().get(&address) {
            Some(listening) => listening.sockets.iter().map(Socket::try_clone).collect(),
            None => Ok(Vec::new()),
        }
    }

    /// Gives each core its share of the sockets, in one command. An inherited set may be larger than there are cores: all
    /// of them are served, since the kernel spreads clients over all of them.
    fn listen(&self, opened: BTreeMap<Address, Listening<D>>) {
        let mut shares: Vec<Vec<(D, Socket)>> = self.threads.iter().map(|_| Vec::new()).collect();
        for (address, listening) in opened {
            for (index, socket) in listening.sockets.iter().enumerate() {
                match socket.try_clone() {
                    Ok(socket) => shares[index % self.threads.len()].push((listening.door.clone(), socket)),
                    Err(error) => {
                        tracing::error!(target: "cores", tier = self.tier, %address, %error, "a socket cannot be shared");
                    }
                }
            }
            self.lock().insert(address, listening);
        }
        for (core, share) in self.threads.iter().zip(shares).filter(|(_, share)| !share.is_empty()) {
            self.tell(core, Command::Listen(share));
        }
    }

    fn unlisten(&self, addresses: &[Address]) {
        if addresses.is_empty() {
            return;
        }
        for core in &self.threads {
            self.tell(core, Command::Unlisten(addresses.to_vec()));
        }
        let mut open = self.lock();
        for address in addresses {
            open.remove(address);
        }
    }

    fn tell(&self, core: &CoreHandle<D>, command: Command<D>) {
        if core.commands.try_send(command).is_err() {
            tracing::error!(target: "cores", tier = self.tier, "a core does not listen to commands");
        }
    }
}
