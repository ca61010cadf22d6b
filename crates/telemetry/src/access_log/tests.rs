//! The access log as a whole: buffers, the thread, and targets that misbehave.

use super::*;
use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Longer than anything here takes; only a defect waits this long.
const LONG: Duration = Duration::from_secs(30);

/// A target that is a channel: it blocks while the channel is full.
struct Channel(SyncSender<Vec<u8>>);

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log_to_channel(depth: usize) -> (AccessLog, Receiver<Vec<u8>>) {
    let (sender, receiver) = sync_channel(depth);
    (AccessLog::start(Target::Stdout, Sink::new(Channel(sender))).unwrap(), receiver)
}

fn log_to_file() -> (AccessLog, PathBuf, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    (AccessLog::open(Target::File(path.clone())).unwrap(), path, dir)
}

fn say(log: &AccessLog, text: &str) {
    log.line(|line| line.extend_from_slice(text.as_bytes()));
}

/// However long a busy machine takes.
fn flush(log: &AccessLog) {
    while !log.flush() {}
}

#[test]
fn the_last_line_of_an_idle_thread_comes_out_by_itself() {
    let (log, lines) = log_to_channel(1);
    say(&log, "GET /");
    assert_eq!(lines.recv_timeout(LONG).unwrap(), b"GET /\n");
}

#[test]
fn a_flush_returns_when_the_lines_before_it_are_written() {
    let (log, path, _dir) = log_to_file();
    for round in 1..20 {
        say(&log, "line");
        flush(&log);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "line\n".repeat(round));
    }
}

#[test]
fn dropping_the_last_clone_writes_what_is_left() {
    let (log, path, _dir) = log_to_file();
    let clone = log.clone();
    say(&log, "one");
    drop(log);
    say(&clone, "two");
    drop(clone);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
}

#[test]
fn lines_of_many_threads_are_all_there_and_whole() {
    const THREADS: usize = 6;
    const LINES: usize = 3000;
    let (log, path, _dir) = log_to_file();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                for index in 0..LINES {
                    say(log, &format!("{thread} {index} {}", "x".repeat(index % 50)));
                }
            });
        }
    });
    flush(&log);
    assert_eq!(log.lines_dropped(), 0);
    let mut next = [0; THREADS];
    for line in std::fs::read_to_string(&path).unwrap().lines() {
        let mut parts = line.split(' ');
        let thread: usize = parts.next().unwrap().parse().unwrap();
        let index: usize = parts.next().unwrap().parse().unwrap();
        assert_eq!(parts.next().unwrap().len(), index % 50);
        assert_eq!(index, next[thread], "the lines of one thread are in its order");
        next[thread] += 1;
    }
    assert_eq!(next, [LINES; THREADS]);
}

#[test]
fn a_reader_that_has_stopped_blocks_nobody_and_lines_are_counted_as_lost() {
    let (log, lines) = log_to_channel(0);
    let line = "x".repeat(999);
    // Far more than the buffer; the writer holds at most one more of it.
    let total = 4 * BUFFER_BYTES_MAX / 1000;
    for _ in 0..total {
        say(&log, &line);
    }
    assert!(log.lines_dropped() > 0);
    assert!(!log.flush(), "nobody reads");
    let dropped = log.lines_dropped() as usize;
    let reader = std::thread::spawn(move || lines.iter().map(|bytes| bytes.len()).sum::<usize>());
    flush(&log);
    drop(log);
    assert_eq!(reader.join().unwrap(), (total - dropped) * 1000, "what was not lost was written");
}

#[test]
fn a_full_disk_loses_lines_and_nothing_else() {
    let log = AccessLog::open(Target::File("/dev/full".into())).unwrap();
    for expected in 1..4 {
        say(&log, "line");
        flush(&log);
        assert_eq!(log.lines_dropped(), expected);
    }
}

#[test]
fn after_a_rotation_lines_go_to_the_new_file() {
    let (log, path, dir) = log_to_file();
    say(&log, "old");
    flush(&log);
    let rotated = dir.path().join("access.log.1");
    std::fs::rename(&path, &rotated).unwrap();
    say(&log, "still old");
    flush(&log);
    log.reopen().unwrap();
    flush(&log);
    say(&log, "new");
    flush(&log);
    assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "old\nstill old\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
}

#[test]
fn a_file_that_cannot_be_reopened_stays_open() {
    let (log, path, dir) = log_to_file();
    let moved = dir.path().join("moved");
    std::fs::rename(&path, &moved).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(log.reopen().is_err());
    say(&log, "kept");
    flush(&log);
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "kept\n");
}

#[test]
fn a_file_is_continued_and_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    std::fs::write(&path, "before\n").unwrap();
    say(&AccessLog::open(Target::File(path.clone())).unwrap(), "after");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\nafter\n");
}

#[test]
fn a_target_that_cannot_be_opened_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = Target::File(dir.path().join("no/such/dir"));
    assert_eq!(AccessLog::open(nowhere).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn half_a_line_of_one_who_panicked_is_not_written() {
    let (log, path, _dir) = log_to_file();
    say(&log, "before");
    let half = std::panic::AssertUnwindSafe(|| {
        log.line(|line| {
            line.extend_from_slice(b"half");
            panic!("on purpose");
        });
    });
    assert!(std::panic::catch_unwind(half).is_err());
    say(&log, "after");
    flush(&log);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\nafter\n");
}

#[test]
fn a_line_longer_than_the_buffer_is_dropped_alone() {
    let (log, path, _dir) = log_to_file();
    say(&log, "before");
    say(&log, &"x".repeat(BUFFER_BYTES_MAX));
    say(&log, "after");
    flush(&log);
    assert_eq!(log.lines_dropped(), 1);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\nafter\n");
}
