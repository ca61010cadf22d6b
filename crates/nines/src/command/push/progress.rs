//! How far uploads are: a bar on a terminal, a line elsewhere.

use super::upload::Step;
use crate::print::{self, counted, memory};
use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often the bar is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// Cells of the bar.
const CELLS: u64 = 30;

/// Uploads on their way.
pub(super) struct Progress {
    files: usize,
    bytes: u64,
    done_files: usize,
    done_bytes: u64,
    is_drawn: bool,
}

impl Progress {
    pub(super) fn begin(files: usize, bytes: u64) -> Self {
        let is_drawn = std::io::stderr().is_terminal() && files > 0;
        Self { files, bytes, done_files: 0, done_bytes: 0, is_drawn }
    }

    /// Draws until nobody sends any more.
    pub(super) fn follow(&mut self, steps: &Receiver<Step>) {
        let mut draw_at = Instant::now();
        loop {
            match steps.recv_timeout(DRAW_EVERY) {
                Ok((bytes, ends_file)) => {
                    self.done_bytes += bytes;
                    self.done_files += usize::from(ends_file);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.is_drawn && Instant::now() >= draw_at {
                print::err(&format!("\r{}\x1b[K", self.line()));
                draw_at = Instant::now() + DRAW_EVERY;
            }
        }
    }

    pub(super) fn end(&self, is_done: bool) {
        if self.is_drawn {
            print::err(&format!("\r{}\x1b[K{}", self.line(), if is_done { "\n" } else { " broken off\n" }));
        } else if is_done && self.files > 0 {
            print::out(&format!("uploaded {}, {}\n", counted(self.files, "file"), size(self.done_bytes)));
        }
    }

    /// "[####----] 3 of 12 files, 1.2MiB of 5.6MiB".
    fn line(&self) -> String {
        // What is empty is done with its files.
        let filled = match self.bytes {
            0 => CELLS * self.done_files as u64 / (self.files as u64).max(1),
            bytes => CELLS * self.done_bytes.min(bytes) / bytes,
        } as usize;
        let bar = "#".repeat(filled) + &"-".repeat(CELLS as usize - filled);
        let (done, all) = (size(self.done_bytes), size(self.bytes));
        format!("[{bar}] {} of {}, {done} of {all}", self.done_files, counted(self.files, "file"))
    }
}

fn size(bytes: u64) -> String {
    memory(usize::try_from(bytes).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_as_full_as_bytes_are_sent() {
        let line = |done_files, done_bytes, bytes| {
            Progress { files: 4, bytes, done_files, done_bytes, is_drawn: false }.line()
        };
        assert_eq!(
            line(1, 1024, 2048),
            format!("[{}{}] 1 of 4 files, 1.0KiB of 2.0KiB", "#".repeat(15), "-".repeat(15))
        );
        assert!(line(4, 0, 0).starts_with(&format!("[{}]", "#".repeat(30))));
    }

    #[test]
    fn what_is_told_is_counted_until_nobody_tells_any_more() {
        let mut progress = Progress { files: 2, bytes: 9, done_files: 0, done_bytes: 0, is_drawn: false };
        let (told, tell) = std::sync::mpsc::channel();
        for step in [(4, false), (1, true), (4, true)] {
            told.send(step).unwrap();
        }
        drop(told);
        progress.follow(&tell);
        assert_eq!((progress.done_files, progress.done_bytes), (2, 9));
    }
}
