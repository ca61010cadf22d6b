//! One run of an instance: a process with its group, its port and its output.

use crate::board::Board;
use crate::group;
use crate::guard::Groups;
use crate::output::{Source, forward};
use crate::ports::{Lease, address};
use crate::program::Program;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;
use sys::process::{Signal, signal_group};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// After the last process of an instance has ended, somebody outside its group may still hold its output open;
/// nobody waits longer than this for the rest of it.
const OUTPUT_WAIT: Duration = Duration::from_secs(1);

/// The pauses between two tries whether an instance accepts connections.
const PROBE_FIRST: Duration = Duration::from_millis(10);
/// The longest such pause.
const PROBE_MAX: Duration = Duration::from_millis(500);

/// A running process that leads a process group.
pub(crate) struct Process {
    child: Child,
    pgid: u32,
    lease: Lease,
    began: Instant,
    output: JoinSet<()>,
    groups: Groups,
}

impl Process {
    /// Starts a program for an instance. `Err` says why that is not possible now.
    pub(crate) fn start(
        program: &Program,
        (service, instance): (&str, &str),
        lease: Lease,
        board: &Board,
        groups: &Groups,
    ) -> Result<Self, String> {
        let command = program.command(instance, lease.port())?;
        let path = command.get_program().to_owned();
        let cannot = |error: io::Error| format!("{}: {error}", path.display());
        // Should this be dropped before its time, at least the leader dies with it.
        let mut child = Command::from(command).kill_on_drop(true).spawn().map_err(cannot)?;
        let pgid = child.id().expect("a child that nobody has waited for has a pid");
        groups.add(pgid);
        let source = |stream, lines: &telemetry::Counter| Source {
            service: service.into(),
            instance: instance.into(),
            stream,
            lines: lines.clone(),
        };
        let mut output = JoinSet::new();
        if let Some(pipe) = child.stdout.take() {
            output.spawn(forward(pipe, source("stdout", &board.meters().stdout_lines)));
        }
        if let Some(pipe) = child.stderr.take() {
            output.spawn(forward(pipe, source("stderr", &board.meters().stderr_lines)));
        }
        Ok(Self { child, pgid, lease, began: Instant::now(), output, groups: groups.clone() })
    }

    /// Its process, whose group has the same number.
    pub(crate) fn pid(&self) -> u32 {
        self.pgid
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.lease.port()
    }

    /// How long it has been running.
    pub(crate) fn ran(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits until it ends by itself. Cancel safe.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends what is left of it: SIGTERM to the group, and SIGKILL once `wait` has passed. Returns its port, and
    /// whether SIGKILL was needed.
    pub(crate) async fn end(mut self, wait: Duration) -> (Lease, bool) {
        let deadline = Instant::now() + wait;
        // An error says that nobody is left, which is what is wanted.
        let _ = signal_group(self.pgid, Signal::Term);
        let killed = timeout_at(deadline, self.all_ended()).await.is_err();
        if killed {
            let _ = signal_group(self.pgid, Signal::Kill);
            if timeout(group::KILL_WAIT, self.all_ended()).await.is_err() {
                tracing::error!(target: "services", pgid = self.pgid, "a killed process group does not end");
            }
        }
        self.groups.remove(self.pgid);
        let rest = async { while self.output.join_next().await.is_some() {} };
        if timeout(OUTPUT_WAIT, rest).await.is_err() {
            self.output.shutdown().await;
        }
        (self.lease, killed)
    }

    async fn all_ended(&mut self) {
        let _ = self.child.wait().await;
        group::gone(self.pgid).await;
    }
}

/// Waits until somebody accepts connections at a port of ours. Without a bound of its own.
pub(crate) async fn accepts(port: u16) {
    let mut pause = PROBE_FIRST;
    while !connects(port).await {
        sleep(pause).await;
        pause = (pause * 2).min(PROBE_MAX);
    }
}

async fn connects(port: u16) -> bool {
    match timeout(PROBE_MAX, TcpStream::connect(address(port))).await {
        // A socket that connects to a port of the kernel's own range can meet itself.
        Ok(Ok(stream)) => stream.local_addr().ok() != stream.peer_addr().ok(),
        _ => false,
    }
}
