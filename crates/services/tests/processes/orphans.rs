//! A nines that is killed leaves nothing behind.

use crate::Test;
use crate::world::{World, block_on, context, parse, runs, until, until_some};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use sys::process::Signal;

pub(crate) const TESTS: &[Test] = &[
    ("a_killed_nines_leaves_no_process_of_any_group", a_killed_nines_leaves_nothing),
    ("a_guard_ignores_what_is_sent_to_everybody", a_guard_ignores_what_is_sent_to_everybody),
];

/// A nines with the services of a file, until it is killed.
pub(crate) fn host(file: &str) -> ExitCode {
    block_on(async {
        let (dir, registry) = (Path::new(file).parent().unwrap(), telemetry::Registry::new());
        let configs = parse(&fs::read_to_string(file).unwrap());
        let _services = services::Services::start(context(dir.into(), registry.clone()), configs).unwrap();
        let guarded = || registry.render().contains("\nnines_services_guarded_groups 2\n");
        until("the guard knows of both instances", guarded).await;
        fs::write(dir.join("guarded"), "2").unwrap();
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}

/// Each instance is two processes that ignore SIGTERM, so that the parent death signal alone is not enough.
struct Host {
    _world: World,
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
        world.number_in("guarded").await;
        assert!(processes.iter().all(|&pid| runs(pid)), "{processes:?}");
        Self { _world: world, host, processes }
    }

    /// The guard of this host: its child that was started as `guard`.
    async fn guard(&self) -> u32 {
        until_some("there is a guard", || {
            let children = format!("/proc/{0}/task/{0}/children", self.host.id());
            let children = fs::read_to_string(children).ok()?;
            children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid: &u32| {
                let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                arguments.ends_with(b"\0guard\0")
            })
        })
        .await
    }

    /// A guard that has handlers for the signals it survives.
    async fn settled_guard(&self) -> u32 {
        let guard = self.guard().await;
        let all = [1, 2, 3, 15].into_iter().fold(0u64, |set, signal| set | 1 << (signal - 1));
        until("the guard catches what it survives", || {
            let status = fs::read_to_string(format!("/proc/{guard}/status")).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(caught.trim(), 16).unwrap() & all == all
        })
        .await;
        guard
    }

    async fn kill_and_expect_nothing_left(mut self) {
        self.host.kill().unwrap();
        self.host.wait().unwrap();
        until("all are gone", || self.processes.iter().all(|&pid| !runs(pid))).await;
    }
}

/// A test that fails leaves nothing behind either.
impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.host.kill();
        let _ = self.host.wait();
        for &pid in self.processes.iter().filter(|&&pid| runs(pid)) {
            let _ = sys::process::signal(pid, Signal::Kill);
        }
    }
}

fn a_killed_nines_leaves_nothing() {
    block_on(async {
        let host = Host::start().await;
        let guard = host.guard().await;
        host.kill_and_expect_nothing_left().await;
        until("the guard has ended", || !runs(guard)).await;
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
