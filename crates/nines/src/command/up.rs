//! `nines up`: the running node.
//!
//! The main thread is the control runtime. It starts what the file names, prints what listens where, and
//! then waits for whatever comes first: a signal, a new process that takes over, the pools being ready.
//! It ends by draining; a second signal ends it at once, which the guard process makes safe: instances do
//! not outlive us, however we end.

mod listing;
mod manager;
mod signals;
mod voice;

use super::Ended;
use crate::cli::{LogFormat, UpArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::print::{self, span};
use flow::Drain;
use listing::{Pushed, Token};
use manager::{Manager, Watchdog};
use signals::{Asked, Signals};
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use topology::{Checked, Running, StartOptions};
use voice::Voice;

/// Which log lines are written unless `NINES_LOG` says otherwise.
const LOG_DEFAULT: &str = "info";
/// How often readiness is looked at until it is there.
const READY_EVERY: Duration = Duration::from_millis(20);
/// The service manager hears that we are ready even with pools that are not: a backend that is down must
/// not keep the rest from being served.
const READY_WAIT: Duration = Duration::from_secs(15);

pub(super) fn run(args: &UpArgs) -> Ended {
    let began = Instant::now();
    let checked = topology::load(&args.file)?;
    let warnings = checked.render_warnings(print::stderr_colors());
    let format = args
        .log
        .unwrap_or_else(|| if std::io::stderr().is_terminal() { LogFormat::Human } else { LogFormat::Json });
    if format == LogFormat::Human {
        print::err(&warnings);
    }
    start_logs(format, &checked)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::CannotStart(format!("the control runtime: {error}")))?;
    let ended = runtime.block_on(serve(checked, args, format, began));
    // A name that is being looked up on a helper thread is nothing to wait for.
    runtime.shutdown_background();
    ended
}

fn start_logs(format: LogFormat, checked: &Checked) -> Result<(), Failure> {
    let filter = std::env::var("NINES_LOG").ok().filter(|filter| !filter.is_empty());
    let form = match format {
        LogFormat::Human => telemetry::LogFormat::Human,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    let started = telemetry::init_logs(form, filter.as_deref().unwrap_or(LOG_DEFAULT));
    started.map_err(|error| Failure::CannotStart(format!("NINES_LOG: {error}")))?;
    if format == LogFormat::Json {
        for warning in &checked.warnings {
            tracing::warn!("{}", warning.one_line());
        }
    }
    Ok(())
}

/// Starts, runs and stops the node.
async fn serve(checked: Checked, args: &UpArgs, format: LogFormat, began: Instant) -> Ended {
    let mut signals = Signals::listen().map_err(|error| Failure::CannotStart(format!("signals: {error}")))?;
    if let Err(error) = sys::raise_open_files() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let nines =
        std::env::current_exe().map_err(|error| Failure::CannotStart(format!("this binary: {error}")))?;
    let options = StartOptions { takeover: args.takeover, nines };
    let running = tokio::select! {
        started = Running::start(checked, options) => started,
        // Nothing is served yet; what was started ends with us, by the guard.
        _ = signals.next_stop() => return Ok(Exit::Done),
    };
    let running = running.map_err(|error| Failure::CannotStart(error.to_string()))?;
    let voice = Voice::of(&running, format);
    let node = Node { admin: Admin::start(&running)?, running, voice, began, is_takeover: args.takeover };
    node.announce();
    let why = node.run(&mut signals).await;
    node.stop(why, &mut signals).await
}

/// Why the node stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    Signal,
    HandedOver,
}

/// The node while it runs.
struct Node {
    running: Arc<Running>,
    admin: Admin,
    voice: Voice,
    began: Instant,
    is_takeover: bool,
}

impl Node {
    /// Says what listens where, in one go.
    fn announce(&self) {
        use topology::Secret;
        let topology = self.running.topology();
        let token = match &topology.node.admin_token {
            None => Token::None,
            Some(Secret::Env(name)) => Token::Env(name),
            Some(Secret::File(path)) => Token::File(path),
        };
        let status = self.running.status();
        let pushed = self.running.pushes().into_iter().map(|assets| Pushed {
            store: assets.name().to_owned(),
            file: assets.manifest(None).and_then(|release| Some(release.files.keys().next()?.to_url())),
        });
        let pushed: Vec<Pushed> = pushed.collect();
        self.voice.say(|paint| listing::listing(&status, &pushed, token, paint));
    }

    /// Until something asks to stop.
    async fn run(&self, signals: &mut Signals) -> Why {
        let mut is_ready = std::pin::pin!(self.ready());
        let mut is_announced = false;
        let mut watchdog = Watchdog::new(self.is_takeover);
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    // A reload that waits for new pools does not keep a stop waiting.
                    Asked::Reload => tokio::select! {
                        () = self.reload() => {}
                        _ = signals.next_stop() => return Why::Signal,
                    },
                    Asked::Terminate | Asked::Interrupt => return Why::Signal,
                },
                () = self.running.handed_over() => return Why::HandedOver,
                () = &mut is_ready, if !is_announced => is_announced = true,
                () = watchdog.due() => Manager.alive(),
            }
        }
    }

    /// Waits until the pools are ready, and says so.
    async fn ready(&self) {
        let mut is_told = false;
        loop {
            let readiness = self.running.readiness();
            let took = self.began.elapsed();
            if readiness.ready {
                self.voice.say(|_| format!("ready in {}\n", short(took)));
                tracing::debug!(took_ms = took.as_millis() as u64, "ready");
                return Manager.ready(self.is_takeover, "ready");
            }
            if took > READY_WAIT && !is_told {
                is_told = true;
                for waiting in &readiness.waiting {
                    tracing::warn!(pool = waiting.pool, why = waiting.why, "still not ready");
                }
                Manager.ready(self.is_takeover, "serving, some pools are not ready");
            }
            sleep(READY_EVERY).await;
        }
    }

    /// Applies the changed file. The topology logs what came of it.
    async fn reload(&self) {
        Manager.reloading();
        let status = match self.running.reload().await {
            Ok(changes) => format!("reloaded: {changes}"),
            Err(_) => "the last reload was refused, nothing changed".into(),
        };
        Manager.ready(self.is_takeover, status.lines().next().unwrap_or_default());
    }

    /// Drains within the deadline; a second signal ends it at once.
    async fn stop(self, why: Why, signals: &mut Signals) -> Ended {
        let Self { running, admin, .. } = self;
        let deadline = running.drain_deadline();
        let stopped = async {
            if why == Why::HandedOver {
                // The new process accepts on the same socket: what we would answer is not about it.
                tracing::info!("a new process serves; finishing what is under way");
                admin.stop().await;
                running.stop(deadline).await
            } else {
                // Whoever asks hears that we drain, until the end.
                Manager.stopping("finishing what is under way");
                let is_drained = running.stop(deadline).await;
                admin.stop().await;
                is_drained
            }
        };
        let cut_short = async {
            if why == Why::HandedOver {
                // Whoever stops nines may mean us both; the first signal asks for what we are at already.
                signals.next_stop().await;
            }
            signals.next_stop().await
        };
        tokio::select! {
            is_drained = stopped => {
                if !is_drained {
                    tracing::warn!("not all was finished within {}", span(deadline));
                }
                Ok(Exit::Done)
            }
            asked = cut_short => Ok(at_once(asked)),
        }
    }
}

/// "0.4s", and below a tenth of a second "37ms".
fn short(took: Duration) -> String {
    if took < Duration::from_millis(100) { span(took) } else { format!("{:.1}s", took.as_secs_f64()) }
}

fn at_once(asked: Asked) -> Exit {
    tracing::warn!("stopped at once");
    if asked == Asked::Interrupt { Exit::Interrupted } else { Exit::Terminated }
}

/// The admin API's task, and the word that ends it.
struct Admin {
    drain: Drain,
    task: JoinHandle<()>,
}

impl Admin {
    fn start(running: &Arc<Running>) -> Result<Self, Failure> {
        let failed = |error| Failure::CannotStart(format!("the admin API: {error}"));
        let listener =
            running.admin_listener().and_then(tokio::net::TcpListener::from_std).map_err(failed)?;
        let drain = Drain::new();
        let served = admin::serve(listener, Arc::clone(running), running.admin_token(), drain.watch());
        Ok(Self { drain, task: tokio::spawn(served) })
    }

    /// Stops accepting, and waits for the requests under way.
    async fn stop(self) {
        self.drain.start();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the admin API ended in a fault of ours");
        }
    }
}
