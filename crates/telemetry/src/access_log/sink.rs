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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::sync::{Arc, Mutex, PoisonError};

    /// What the target does when it is written to.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Take(usize),
        Interrupt,
        Block,
        Fail,
        TakeNothing,
    }

    /// A target that does one step after the other, then takes everything.
    #[derive(Clone, Default)]
    struct Target {
        steps: Arc<Mutex<Vec<Step>>>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Target {
        fn with(steps: &[Step]) -> Self {
            let steps = steps.iter().rev().copied().collect();
            Self { steps: Arc::new(Mutex::new(steps)), taken: Arc::default() }
        }

        fn taken(&self) -> String {
            let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&taken).into_owned()
        }
    }

    impl Write for Target {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let step = self.steps.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let taking = match step {
                Some(Step::Interrupt) => return Err(io::ErrorKind::Interrupted.into()),
                Some(Step::Block) => return Err(io::ErrorKind::WouldBlock.into()),
                Some(Step::Fail) => return Err(io::ErrorKind::StorageFull.into()),
                Some(Step::TakeNothing) => 0,
                Some(Step::Take(taking)) => taking.min(bytes.len()),
                None => bytes.len(),
            };
            self.taken.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..taking]);
            Ok(taking)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_a_failure_cuts_is_finished_before_the_next() {
        let target = Target::with(&[Step::Take(5), Step::Fail]);
        let mut sink = Sink::new(target.clone());
        assert_eq!(sink.write(b"one\ntwo\nthree\n"), 1, "three is lost");
        assert_eq!(target.taken(), "one\nt");
        assert_eq!(sink.write(b"four\n"), 0);
        assert_eq!(target.taken(), "one\ntwo\nfour\n");
    }

    #[test]
    fn while_the_rest_of_a_line_cannot_be_written_nothing_else_is() {
        let target = Target::with(&[Step::Take(1), Step::Fail, Step::Take(1), Step::Fail]);
        let mut sink = Sink::new(target.clone());
        assert_eq!(sink.write(b"one\n"), 0);
        assert_eq!(sink.write(b"two\nthree\n"), 2);
        assert_eq!(target.taken(), "on");
        assert_eq!(sink.write(b""), 0, "an empty round tries again");
        assert_eq!(target.taken(), "one\n");
    }

    #[test]
    fn a_new_target_does_not_begin_with_half_a_line() {
        let old = Target::with(&[Step::Take(1), Step::Fail, Step::Fail]);
        let new = Target::default();
        let mut sink = Sink::new(old.clone());
        assert_eq!(sink.write(b"one\n"), 0);
        assert_eq!(sink.replace(new.clone()), 1, "one is lost after all");
        sink.write(b"two\n");
        assert_eq!((old.taken(), new.taken()), ("o".into(), "two\n".into()));
    }

    #[test]
    fn a_target_that_blocks_for_a_moment_loses_nothing() {
        let target = Target::with(&[Step::Block, Step::Take(2), Step::Interrupt, Step::Block]);
        assert_eq!(Sink::new(target.clone()).write(b"one\ntwo\n"), 0);
        assert_eq!(target.taken(), "one\ntwo\n");
    }

    #[test]
    fn a_target_that_blocks_for_good_is_a_failure() {
        let target = Target::with(&[Step::Block; RETRIES_MAX as usize + 1]);
        assert_eq!(Sink::new(target).write(b"one\ntwo\n"), 2);
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1..9usize).prop_map(Step::Take),
            1 => Just(Step::Interrupt),
            2 => Just(Step::Fail),
            1 => Just(Step::TakeNothing),
        ];
        vec(step, 0..40)
    }

    proptest! {
        #[test]
        fn every_line_is_written_whole_and_in_order_or_counted_as_lost(
            steps in steps(),
            rounds in vec(0..6usize, 1..12),
        ) {
            let target = Target::with(&steps);
            let mut sink = Sink::new(target.clone());
            let (mut sent, mut lost) = (Vec::new(), 0);
            for lines in rounds {
                let round: Vec<String> = (0..lines).map(|index| format!("line {}\n", sent.len() + index)).collect();
                lost += sink.write(round.concat().as_bytes());
                sent.extend(round);
            }
            // The target has recovered by now, or does so step by step.
            while !sink.torn.is_empty() {
                lost += sink.write(b"");
            }
            let taken = target.taken();
            let mut expected = sent.iter();
            for line in taken.split_inclusive('\n') {
                prop_assert!(expected.any(|sent| sent == line), "{line:?} is torn or out of order");
            }
            prop_assert_eq!(taken.lines().count() as u64 + lost, sent.len() as u64);
        }
    }
}
