//! Writes whole lines to something that may fail at any byte.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

/// How long a non-blocking target that takes nothing is left alone, and how often until that is a failure.
const RETRY_AFTER: Duration = Duration::from_millis(10);
const RETRIES_MAX: u32 = 100;

/// The target of a log, and what a failed write has left undone.
pub(super) struct Sink {
    out: Box<dyn Write + Send>,
    /// The rest of a line of which the beginning is written: it comes before anything else.
    torn: Vec<u8>,
    is_failing: bool,
}

impl Sink {
    pub(super) fn new(out: impl Write + Send + 'static) -> Self {
        Self { out: Box::new(out), torn: Vec::new(), is_failing: false }
    }

    /// Goes on with another target; says how many lines were lost with the old one.
    pub(super) fn replace(&mut self, out: impl Write + Send + 'static) -> u64 {
        // The old one's last chance; its half line must not open the new one.
        self.write(&[]);
        self.out = Box::new(out);
        u64::from(!std::mem::take(&mut self.torn).is_empty())
    }

    /// Writes lines; says how many were lost. A line is written whole, or its rest is kept for later, or
    /// none of it is written.
    pub(super) fn write(&mut self, lines: &[u8]) -> u64 {
        if self.torn.is_empty() && lines.is_empty() {
            return 0;
        }
        let (torn_written, mut error) = write_all(&mut *self.out, &self.torn);
        self.torn.drain(..torn_written);
        let mut lost = lines;
        if error.is_none() {
            let written;
            (written, error) = write_all(&mut *self.out, lines);
            let whole = whole_lines(lines, written);
            self.torn.extend_from_slice(&lines[written..whole]);
            lost = &lines[whole..];
        }
        self.tell(error);
        lost.iter().filter(|byte| **byte == b'\n').count() as u64
    }

    /// Logs the first failure and the recovery, not each round.
    fn tell(&mut self, error: Option<io::Error>) {
        let was_failing = std::mem::replace(&mut self.is_failing, error.is_some());
        match error {
            Some(error) if !was_failing => {
                tracing::error!(target: "telemetry", %error, "access log cannot be written, its lines are dropped");
            }
            None if was_failing => tracing::info!(target: "telemetry", "access log is written again"),
            _ => {}
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("is_failing", &self.is_failing).finish_non_exhaustive()
    }
}

/// Writes as much as can be; unlike the standard library's it says how much that was.
fn write_all(out: &mut dyn Write, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let (mut written, mut retries) = (0, 0);
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(more) => (written, retries) = (written + more, 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && retries < RETRIES_MAX => {
                retries += 1;
                std::thread::sleep(RETRY_AFTER);
            }
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}

/// The end of the line that `written` cuts, or `written` where it cuts none.
fn whole_lines(lines: &[u8], written: usize) -> usize {
    if written == 0 || lines[written - 1] == b'\n' {
        return written;
    }
    lines[written..].iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| written + at + 1)
}
