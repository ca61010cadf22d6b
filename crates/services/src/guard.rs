//! The guard: a small process of ours that outlives a nines that was killed, and ends what it left behind.
//!
//! nines holds the only writing end of a pipe to it and writes which process groups there are. However nines
//! ends, kill -9 included, the kernel closes that end; the guard reads the end of the pipe and ends the groups.
//! The kernel's parent death signal, which instances have as well, reaches neither their children nor one that
//! ignores SIGTERM.

use crate::group;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::collections::BTreeSet;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};
use sys::process::{Signal, signal_group};
use telemetry::{Gauge, Registry};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Time between SIGTERM and SIGKILL for the groups of a nines that was killed.
const WAIT: Duration = Duration::from_secs(2);

/// The signals with which terminals and service managers end everything at once: the guard must come last.
const SURVIVED: [fn() -> SignalKind; 4] =
    [SignalKind::interrupt, SignalKind::terminate, SignalKind::hangup, SignalKind::quit];

/// How soon a guard that died is replaced.
const RESTART: flow::Backoff =
    flow::Backoff { first: Duration::from_millis(500), max: Duration::from_secs(60) };

/// The process groups that have to end with us.
#[derive(Clone, Default)]
pub(crate) struct Groups(watch::Sender<BTreeSet<u32>>);

impl Groups {
    /// From now on the guard ends this group if we do not.
    pub(crate) fn add(&self, pgid: u32) {
        self.0.send_modify(|groups| {
            groups.insert(pgid);
        });
    }

    /// Nothing of this group is left.
    pub(crate) fn remove(&self, pgid: u32) {
        self.0.send_modify(|groups| {
            groups.remove(&pgid);
        });
    }
}

/// The running guard, seen from nines.
pub(crate) struct Guard {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Guard {
    /// Starts the guard and keeps it running.
    pub(crate) fn start(nines: PathBuf, groups: &Groups, registry: &Registry) -> Self {
        let (stop, stopped) = watch::channel(false);
        let guarded = registry.gauge(
            "nines_services_guarded_groups",
            "Process groups that the guard will end should nines be killed.",
            &[],
        );
        Self { stop, task: tokio::spawn(keep(nines, groups.0.subscribe(), guarded, stopped)) }
    }

    /// Ends it. The groups that are left, if any, end with it.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(target: "services", %error, "the guard's task ended badly");
        }
    }
}

async fn keep(
    nines: PathBuf,
    mut groups: watch::Receiver<BTreeSet<u32>>,
    guarded: Gauge,
    mut stopped: watch::Receiver<bool>,
) {
    let mut rng = SmallRng::from_rng(&mut rand::rng());
    for attempt in 0.. {
        let cause = match spawn(&nines) {
            Ok(mut child) => tokio::select! {
                cause = feed(&mut child, &mut groups, &guarded) => cause,
                () = told(&mut stopped) => return end(child).await,
            },
            Err(error) => error,
        };
        guarded.set(0.0);
        tracing::warn!(
            target: "services",
            program = %nines.display(),
            %cause,
            "the guard is not running: until it is, a kill -9 of nines can leave processes of its services behind"
        );
        tokio::select! {
            () = tokio::time::sleep(RESTART.delay(attempt, &mut rng)) => {}
            () = told(&mut stopped) => return,
        }
    }
}

async fn told(stopped: &mut watch::Receiver<bool>) {
    // An error says that all services are gone.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn spawn(nines: &Path) -> io::Result<Child> {
    let mut command = std::process::Command::new(nines);
    command.arg("guard").current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    sys::process::own_group(&mut command);
    Command::from(command).spawn()
}

/// Tells the guard every change; returns why that is no longer possible.
async fn feed(child: &mut Child, groups: &mut watch::Receiver<BTreeSet<u32>>, guarded: &Gauge) -> io::Error {
    let Some(mut pipe) = child.stdin.take() else { return io::ErrorKind::BrokenPipe.into() };
    let mut told = BTreeSet::new();
    let ended = |status: io::Result<_>| {
        status.map_or_else(|error| error, |status| io::Error::other(format!("{status}")))
    };
    loop {
        let now = groups.borrow_and_update().clone();
        let lines = difference(&told, &now);
        tokio::select! {
            result = pipe.write_all(lines.as_bytes()) => if let Err(error) = result { return error },
            status = child.wait() => return ended(status),
        }
        told = now;
        guarded.set(told.len() as f64);
        tokio::select! {
            // The sender lives in every service; when all are gone nothing changes any more.
            result = groups.changed() => if result.is_err() { return ended(child.wait().await) },
            status = child.wait() => return ended(status),
        }
    }
}

/// What the guard has to be told so that it knows `now` after it knew `told`.
fn difference(told: &BTreeSet<u32>, now: &BTreeSet<u32>) -> String {
    let added = now.difference(told).map(|pgid| format!("add {pgid}\n"));
    added.chain(told.difference(now).map(|pgid| format!("remove {pgid}\n"))).collect()
}

/// `feed` was dropped and with it the pipe: the guard sees the end and ends what is left.
async fn end(mut child: Child) {
    if tokio::time::timeout(WAIT + group::KILL_WAIT, child.wait()).await.is_err() {
        tracing::warn!(target: "services", "the guard did not end in time");
    }
}

/// The hidden subcommand `nines guard`: reads `add PGID` and `remove PGID`, one a line, from its standard input;
/// at its end it sends the groups that are left SIGTERM, and after two seconds SIGKILL.
pub fn guard_main() -> ExitCode {
    // Handlers that nobody listens to: the default, which is to end, is gone. Without them the guard still
    // does its work, only not against a signal sent to everybody.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let _handlers: Vec<_> = runtime
        .iter()
        .flat_map(|runtime| {
            let _context = runtime.enter();
            SURVIVED.map(|kind| signal(kind()).ok())
        })
        .collect();
    let left = read_groups(io::stdin().lock());
    end_groups(left);
    ExitCode::SUCCESS
}

/// The groups that were added and not removed when the input ends.
fn read_groups(mut input: impl BufRead) -> BTreeSet<u32> {
    let (mut groups, mut line) = (BTreeSet::new(), String::new());
    while input.read_line(&mut line).is_ok_and(|length| length > 0) {
        // A line without its break was cut short by the death of its writer, and so may its number be.
        let whole = line.strip_suffix('\n').and_then(|line| line.split_once(' '));
        match whole.map(|(verb, pgid)| (verb, pgid.parse::<u32>())) {
            Some(("add", Ok(pgid))) => groups.insert(pgid),
            Some(("remove", Ok(pgid))) => groups.remove(&pgid),
            _ => false,
        };
        line.clear();
    }
    groups
}

fn end_groups(mut groups: BTreeSet<u32>) {
    for (signal, wait) in [(Signal::Term, WAIT), (Signal::Kill, group::KILL_WAIT)] {
        for &pgid in &groups {
            // One that is gone is what is wanted.
            let _ = signal_group(pgid, signal);
        }
        let (began, mut pause) = (Instant::now(), group::LOOK_FIRST);
        loop {
            groups.retain(|&pgid| group::is_alive(pgid));
            if groups.is_empty() || began.elapsed() >= wait {
                break;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(group::LOOK_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_knows_what_was_added_and_not_removed() {
        let input = "add 10\nadd 11\nremove 10\nadd x\n\nadd 12\nremove 99\nadd 13";
        assert_eq!(read_groups(input.as_bytes()), BTreeSet::from([11, 12]));
        assert!(read_groups(&b""[..]).is_empty());
    }

    #[test]
    fn the_guard_is_told_differences_only() {
        let (told, now) = (BTreeSet::from([1, 2]), BTreeSet::from([2, 3, 4]));
        assert_eq!(difference(&told, &now), "add 3\nadd 4\nremove 1\n");
        assert_eq!(difference(&now, &now), "");
    }
    #[tokio::test]
    async fn a_guard_that_died_is_replaced_and_told_everything_again() {
        let dir = tempfile::tempdir().unwrap();
        let (program, told) = (dir.path().join("nines"), dir.path().join("told"));
        let script = format!("#!/bin/sh\necho \"pid $$\" >> {0}\nexec cat >> {0}\n", told.display());
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let groups = Groups::default();
        let guard = Guard::start(program, &groups, &Registry::new());
        groups.add(4_000_001);
        groups.add(4_000_002);
        let has = |text: &str| std::fs::read_to_string(&told).is_ok_and(|told| told.ends_with(text));
        until(|| has("add 4000001\nadd 4000002\n")).await;
        groups.remove(4_000_001);
        until(|| has("remove 4000001\n")).await;
        let text = std::fs::read_to_string(&told).unwrap();
        let pid = text.lines().next().and_then(|line| line.strip_prefix("pid ")).unwrap();
        sys::process::signal(pid.parse().unwrap(), Signal::Kill).unwrap();
        until(|| {
            has("\nadd 4000002\n") && std::fs::read_to_string(&told).unwrap().matches("pid").count() == 2
        })
        .await;
        guard.stop().await;
    }

    async fn until(is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap();
    }
}
