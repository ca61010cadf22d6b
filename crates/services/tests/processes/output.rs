//! What programs print.

use crate::Test;
use crate::world::{World, block_on, status, until};
use std::io;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

pub(crate) const TESTS: &[Test] = &[
    ("lines_of_both_streams_reach_the_log_with_the_name_of_the_instance", lines_reach_the_log),
    ("a_program_that_floods_its_output_is_never_held_up", a_flood_is_never_held_up),
    ("output_held_open_by_a_stranger_does_not_hold_up_the_stop", a_stranger_holds_nothing_up),
];

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn lines_reach_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(log.clone()).finish();
    let _default = tracing::subscriber::set_default(subscriber);
    block_on(async {
        let world = World::new();
        let script = r#"echo to stdout; echo to stderr >&2; printf "no\377text"; exec sleep 1000 >&- 2>&-"#;
        let services = world.start(&format!("[shop]\nrun = ['/bin/sh', '-c', '{script}']")).unwrap();
        let line = |message: &str, stream: &str| {
            let fields = format!(
                r#""fields":{{"message":"{message}","service":"shop","instance":"shop-1","stream":"{stream}"}},"target":"service""#
            );
            move |log: &Log| log.text().contains(&fields)
        };
        let wanted =
            [line("to stdout", "stdout"), line("to stderr", "stderr"), line("no\u{fffd}text", "stdout")];
        until("all lines are there", || wanted.iter().all(|is_in| is_in(&log))).await;
        services.stop().await;
    });
}

fn a_flood_is_never_held_up() {
    block_on(async {
        let world = World::new();
        // Far more than a pipe holds, in one line and in many.
        let script = "head -c 1000000 /dev/zero; yes | head -c 1000000; exit 5";
        let services = world.start(&format!("[loud]\nrun = ['/bin/sh', '-c', '{script}']")).unwrap();
        let told = |text: &str| {
            let rows = status(&services, "loud");
            rows[0].last_exit.as_ref().is_some_and(|exit| exit.starts_with(text))
        };
        until("it has printed everything and ended", || told("exited with status 5 ")).await;
        until("all lines are counted", || {
            let figures = world.registry.render();
            let lines = figures.lines().find(|line| line.contains("output_lines") && line.contains("stdout"));
            lines.is_some_and(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap() >= 500_000)
        })
        .await;
        services.stop().await;
    });
}

fn a_stranger_holds_nothing_up() {
    block_on(async {
        let world = World::new();
        // setsid leaves the group, and is not ours to end; it keeps stdout open.
        let script = "setsid sh -c \"echo \\$\\$ > stranger; exec sleep 1000\" & exec sleep 1000";
        let services = world.start(&format!("[job]\nrun = ['/bin/sh', '-c', '{script}']")).unwrap();
        let stranger = world.number_in("stranger").await;
        let began = std::time::Instant::now();
        services.stop().await;
        assert!(began.elapsed().as_secs() < 30);
        sys::process::signal(stranger, sys::process::Signal::Kill).unwrap();
    });
}
