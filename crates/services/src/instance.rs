//! The life of one instance: start, run, end, pause, start again; until it is told to stop.

use crate::board::{Board, Key};
use crate::guard::Groups;
use crate::ports::{Lease, Ports};
use crate::process::{Process, accepts};
use crate::program::Program;
use crate::restart::{Restarts, describe, rounded};
use crate::{RestartConfig, StopConfig};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// An instance that does not accept connections by then is worth a warning.
pub(crate) const ACCEPT_WAIT: Duration = Duration::from_secs(10);

/// What an instance that ended by itself left running gets at most, so that its next run is not held up.
const LEFTOVER_WAIT: Duration = Duration::from_secs(2);

/// A run that ends sooner than this, and without having accepted a connection, may have found its port taken.
const PORT_SUSPECT: Duration = Duration::from_secs(1);

/// What the instances of a service share.
pub(crate) struct Shared {
    /// The service's name.
    pub(crate) service: String,
    /// Who the instances are.
    pub(crate) board: Board,
    /// Where ports come from.
    pub(crate) ports: Ports,
    /// What the guard knows.
    pub(crate) groups: Groups,
    /// How they are watched over; a reload may change it while they run.
    pub(crate) care: Mutex<Care>,
}

/// How instances are watched over.
#[derive(Clone, PartialEq)]
pub(crate) struct Care {
    /// What happens after one ends by itself.
    pub(crate) restart: RestartConfig,
    /// How one is ended.
    pub(crate) stop: StopConfig,
}

impl Shared {
    fn care(&self) -> Care {
        self.care.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Watches over them like this from now on; says whether that is another way than before.
    pub(crate) fn set_care(&self, care: Care) -> bool {
        let mut now = self.care.lock().unwrap_or_else(PoisonError::into_inner);
        let other = *now != care;
        *now = care;
        other
    }
}

/// What an instance is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Run,
    /// Take the time to drain, then end.
    Retire,
    /// End.
    Stop,
}

/// An instance, seen by its service.
pub(crate) struct Instance {
    /// Its row on the board.
    pub(crate) key: Key,
    /// What it runs.
    pub(crate) program: Arc<Program>,
    order: watch::Sender<Order>,
    task: JoinHandle<()>,
}

impl Instance {
    /// Starts an instance; pools see it at once if it is `listed`.
    pub(crate) fn start(shared: &Arc<Shared>, program: &Arc<Program>, number: u32, listed: bool) -> Self {
        let name = format!("{}-{number}", shared.service);
        let key = shared.board.add(number, &name, listed);
        let (order, orders) = watch::channel(Order::Run);
        let life = Life {
            shared: Arc::clone(shared),
            program: Arc::clone(program),
            name,
            key,
            orders,
            rng: SmallRng::from_rng(&mut rand::rng()),
        };
        Self { key, program: Arc::clone(program), order, task: tokio::spawn(life.live()) }
    }

    /// Takes it out of its pools, lets it drain, and ends it.
    pub(crate) fn retire(&self) {
        self.order.send_if_modified(|order| {
            let runs = *order == Order::Run;
            if runs {
                *order = Order::Retire;
            }
            runs
        });
    }

    /// Ends it without a time to drain.
    pub(crate) fn stop(&self) {
        self.order.send_replace(Order::Stop);
    }

    /// Waits until nothing of it is left; as soon as `hurry` resolves it is no longer given time to drain.
    pub(crate) async fn ended(mut self, hurry: impl Future<Output = ()>) {
        let result = tokio::select! {
            result = &mut self.task => result,
            () = hurry => {
                self.stop();
                self.task.await
            }
        };
        if let Err(error) = result {
            tracing::error!(target: "services", %error, "an instance's task ended badly");
        }
    }
}

struct Life {
    shared: Arc<Shared>,
    program: Arc<Program>,
    name: String,
    key: Key,
    orders: watch::Receiver<Order>,
    rng: SmallRng,
}

/// How a run ended.
enum End {
    /// We ended it.
    Told,
    /// There was no run.
    NeverBegan { cause: String },
    /// It ended by itself, after so long; its port may be used again.
    ByItself { cause: String, ran: Duration, port: Option<Lease> },
}

impl Life {
    async fn live(mut self) {
        let (mut restarts, mut port) = (Restarts::default(), None);
        loop {
            let end = match self.start(port.take()) {
                Ok(process) => self.watch(process).await,
                Err(cause) => End::NeverBegan { cause },
            };
            let ran = if let End::ByItself { ran, .. } = &end { *ran } else { Duration::ZERO };
            let pause = restarts.pause(ran, &self.shared.care().restart, &mut self.rng);
            let (service, instance, restart_in) = (&self.shared.service, &self.name, rounded(pause));
            match end {
                End::Told => break,
                End::NeverBegan { cause } => {
                    tracing::error!(target: "services", %service, %instance, %restart_in, %cause, "instance cannot be started");
                    self.shared.board.meters().start_failures.inc();
                    self.shared.board.ended(self.key, format!("cannot be started: {cause}"));
                }
                End::ByItself { cause, port: lease, .. } => {
                    tracing::warn!(target: "services", %service, %instance, %restart_in, %cause, "instance ended by itself");
                    port = lease;
                }
            }
            tokio::select! {
                () = sleep(pause) => self.shared.board.restarting(self.key),
                () = told(&mut self.orders, Order::Retire) => break,
            }
        }
        self.shared.board.remove(self.key);
    }

    fn start(&mut self, port_before: Option<Lease>) -> Result<Process, String> {
        let wished = port_before.as_ref().map(Lease::port);
        drop(port_before);
        let lease = self
            .shared
            .ports
            .lease(wished, &mut self.rng)
            .map_err(|error| format!("no free port: {error}"))?;
        let names = (self.shared.service.as_str(), self.name.as_str());
        let process = Process::start(&self.program, names, lease, &self.shared.board, &self.shared.groups)?;
        self.shared.board.started(self.key, process.pid(), process.port());
        Ok(process)
    }

    async fn watch(&mut self, mut process: Process) -> End {
        let port = process.port();
        let patience = sleep_until(Instant::now() + ACCEPT_WAIT);
        tokio::pin!(patience);
        let probe = accepts(port);
        tokio::pin!(probe);
        let (mut accepting, mut warned) = (false, false);
        loop {
            tokio::select! {
                biased;
                () = told(&mut self.orders, Order::Retire) => {
                    self.end(process).await;
                    return End::Told;
                }
                status = process.ended() => {
                    let ran = process.ran();
                    let cause = status.map_or_else(|error| error.to_string(), |status| describe(status, ran));
                    return self.after(process, cause, ran, accepting).await;
                }
                () = &mut probe, if !accepting => {
                    accepting = true;
                    self.shared.board.accepting(self.key);
                    tracing::info!(
                        target: "services",
                        service = %self.shared.service,
                        instance = %self.name,
                        pid = process.pid(),
                        port,
                        after = %rounded(process.ran()),
                        "instance accepts connections"
                    );
                }
                () = &mut patience, if !accepting && !warned => {
                    warned = true;
                    tracing::warn!(
                        target: "services",
                        service = %self.shared.service,
                        instance = %self.name,
                        pid = process.pid(),
                        "instance does not accept connections on 127.0.0.1:{port} after {}",
                        rounded(ACCEPT_WAIT)
                    );
                }
            }
        }
    }

    /// It ended by itself. The pools hear of it first; then what it left behind is ended.
    async fn after(&self, process: Process, cause: String, ran: Duration, accepted: bool) -> End {
        self.shared.board.ended(self.key, cause.clone());
        let wait = self.shared.care().stop.wait.get().min(LEFTOVER_WAIT);
        let (lease, _) = process.end(wait).await;
        let port = (accepted || ran >= PORT_SUSPECT).then_some(lease);
        End::ByItself { cause, ran, port }
    }

    async fn end(&mut self, mut process: Process) {
        self.shared.board.stopping(self.key);
        let stop = self.shared.care().stop;
        let mut orders = self.orders.clone();
        tokio::select! {
            () = told(&mut orders, Order::Stop) => {}
            () = sleep(stop.drain.get()) => {}
            _ = process.ended() => {}
        }
        let (began, pid) = (Instant::now(), process.pid());
        let (_, killed) = process.end(stop.wait.get()).await;
        let (service, instance) = (&self.shared.service, &self.name);
        if killed {
            self.shared.board.meters().kills.inc();
            let wait = stop.wait;
            tracing::warn!(target: "services", %service, %instance, pid, "instance killed: it did not end within {wait}");
        } else {
            let after = rounded(began.elapsed());
            tracing::info!(target: "services", %service, %instance, pid, %after, "instance stopped");
        }
    }
}

/// Waits until the order is `least` or firmer. An instance whose service is gone is told to stop. Cancel safe.
async fn told(orders: &mut watch::Receiver<Order>, least: Order) {
    // An error says that the sender is gone.
    let _ = orders.wait_for(|order| *order == Order::Stop || (*order == least)).await;
}
