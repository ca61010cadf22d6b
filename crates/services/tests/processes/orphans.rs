//! A nines that is killed leaves nothing behind.

use crate::Test;
use crate::world::{World, block_on, context, parse, runs, until, until_some};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use sys::process::Signal;

pub(crate) const TESTS: &[Test] = &[
    ("a_killed_nines_leaves_no_process_of_any_group", a_killed_nines_leaves_nothing),
    ("a_guard_that_was_killed_is_replaced", a_killed_guard_is_replaced),
    ("a_guard_ignores_what_is_sent_to_everybody", a_guard_ignores_what_is_sent_to_everybody),
];

/// A nines with the services of a file, until it is killed.
pub(crate) fn host(file: &str) -> ExitCode {
    block_on(async {
        let dir = Path::new(file).parent().unwrap();
        let configs = parse(&fs::read_to_string(file).unwrap());
        let _services =
            services::Services::start(context(dir.into(), telemetry::Registry::new()), configs).unwrap();
        std::future::pending().await
    });
    ExitCode::SUCCESS
}

/// Each instance is two processes that ignore SIGTERM, so that the parent death signal alone is not enough.
struct Host {
    world: World,
    host: Child,
    processes: Vec<u32>,
}

impl Host {
    async fn start() -> Self {
        let world = World::new();
        let script = r#"trap "" TERM
            (echo $(exec sh -c "echo \$PPID") > child-$INSTANCE; while :; do sleep 1000; done) &
            echo $$ > leader-$INSTANCE
            while :; do sleep 1000; done"#;
        let file = world.path("services.toml");
        fs::write(&file, format!("[deaf]\nrun = ['/bin/sh', '-c', '''{script}''']\ninstances = 2")).unwrap();
        let host = Command::new(std::env::current_exe().unwrap()).arg("host").arg(&file).spawn().unwrap();
        let mut processes = Vec::new();
        for name in ["leader-deaf-1", "child-deaf-1", "leader-deaf-2", "child-deaf-2"] {
            processes.push(world.number_in(name).await);
        }
        assert!(processes.iter().all(|&pid| runs(pid)), "{processes:?}");
        Self { world, host, processes }
    }

    /// The guard of this host: its child that was started as `guard`.
    async fn guard(&self, other_than: Option<u32>) -> u32 {
        until_some("there is a guard", || {
            let children = format!("/proc/{0}/task/{0}/children", self.host.id());
            let children = fs::read_to_string(children).ok()?;
            children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|&pid: &u32| {
                let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                arguments.ends_with(b"\0guard\0") && Some(pid) != other_than && runs(pid)
            })
        })
        .await
    }

    /// A guard that has handlers for the signals it survives.
    async fn settled_guard(&self) -> u32 {
        let guard = self.guard(None).await;
        until("the guard catches SIGTERM", || {
            let status = fs::read_to_string(format!("/proc/{guard}/status")).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << (15 - 1)) != 0
        })
        .await;
        guard
    }

    async fn kill_and_expect_nothing_left(mut self) {
        self.host.kill().unwrap();
        self.host.wait().unwrap();
        until("all are gone", || self.processes.iter().all(|&pid| !runs(pid))).await;
        drop(self.world);
    }
}

fn a_killed_nines_leaves_nothing() {
    block_on(async {
        let host = Host::start().await;
        let guard = host.guard(None).await;
        host.kill_and_expect_nothing_left().await;
        until("the guard has ended", || !runs(guard)).await;
    });
}

fn a_killed_guard_is_replaced() {
    block_on(async {
        let host = Host::start().await;
        let first = host.guard(None).await;
        sys::process::signal(first, Signal::Kill).unwrap();
        host.guard(Some(first)).await;
        host.kill_and_expect_nothing_left().await;
    });
}

fn a_guard_ignores_what_is_sent_to_everybody() {
    block_on(async {
        let host = Host::start().await;
        let guard = host.settled_guard().await;
        for signal in [Signal::Int, Signal::Term, Signal::Hup] {
            sys::process::signal(guard, signal).unwrap();
        }
        host.kill_and_expect_nothing_left().await;
    });
}
