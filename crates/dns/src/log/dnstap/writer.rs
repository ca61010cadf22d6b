//! The thread that gathers frames and sends them.

use super::frames::{self, Control};
use super::{END_WAIT, Order, Shared, Target, lock};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The longest that a frame waits for its buffer to fill.
const TICK: Duration = Duration::from_millis(100);
/// A reader that is not there is asked for again so often.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a reader may take for the smallest thing before it is looked whether this is the end.
const PATIENCE: Duration = Duration::from_millis(200);

/// Whoever reads.
enum Reader {
    Socket(UnixStream),
    File(File),
}

struct Writer<'s> {
    shared: &'s Shared,
    target: Target,
    reader: Option<Reader>,
    /// Frames that were taken, and how much of them is sent.
    taken: Vec<u8>,
    sent: usize,
    asked: Option<Instant>,
    is_failing: bool,
}

/// Runs until it is to end; then sends what is left.
pub(super) fn run(shared: &Shared, target: Target) {
    let mut writer =
        Writer { shared, target, reader: None, taken: Vec::new(), sent: 0, asked: None, is_failing: false };
    loop {
        let ends = *lock(&shared.order) == Order::End;
        // Before gathering: a buffer that fills up from here on asks for a round of its own.
        shared.is_nudged.store(false, Ordering::Release);
        writer.round(ends);
        if ends {
            writer.end();
            *lock(&shared.order) = Order::Ended;
            shared.ended.notify_all();
            return;
        }
        std::thread::park_timeout(TICK);
    }
}

impl Writer<'_> {
    /// Sends what there is. While nobody reads nothing is taken from the buffers, which fill up to their bound.
    fn round(&mut self, ends: bool) {
        let until = Instant::now() + END_WAIT;
        if !self.is_connected() || !self.send(ends, until) {
            return;
        }
        for buffer in self.shared.buffers.iter() {
            self.taken.clear();
            self.sent = 0;
            std::mem::swap(&mut *lock(buffer), &mut self.taken);
            if !self.send(ends, until) {
                return;
            }
        }
    }

    /// Sends what was taken. `false`: not all of it could be.
    fn send(&mut self, ends: bool, until: Instant) -> bool {
        while self.sent < self.taken.len() {
            let rest = &self.taken[self.sent..];
            let written = match &mut self.reader {
                Some(Reader::Socket(stream)) => stream.write(rest),
                Some(Reader::File(file)) => file.write(rest),
                None => return false,
            };
            match written {
                Ok(0) => self.lose(&io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It is slow: the frame that has begun goes on where it was.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ends = ends || *lock(&self.shared.order) == Order::End;
                    if ends && Instant::now() >= until {
                        return false;
                    }
                }
                Err(error) => self.lose(&error),
            }
        }
        true
    }

    /// The reader is gone, and with it the frame that it has half of.
    fn lose(&mut self, error: &io::Error) {
        let whole = frames::first_from(&self.taken, self.sent);
        let mut lost = u64::from(whole > self.sent);
        self.sent = whole;
        // Whatever follows half a frame in a file could not be read.
        if matches!(self.reader, Some(Reader::File(_))) {
            lost += frames::count(&self.taken[self.sent..]);
            self.sent = self.taken.len();
        }
        self.shared.dropped.fetch_add(lost, Ordering::Relaxed);
        self.reader = None;
        self.tell(Some(error));
    }

    fn is_connected(&mut self) -> bool {
        if self.reader.is_some() {
            return true;
        }
        if self.asked.is_some_and(|asked| asked.elapsed() < AGAIN) {
            return false;
        }
        self.asked = Some(Instant::now());
        let opened = match &mut self.target {
            Target::Socket(path) => connected(path).map(Reader::Socket),
            Target::File(file) => match file.take() {
                Some(file) => begun(file).map(Reader::File),
                // It has failed; a reload begins another.
                None => return false,
            },
        };
        match opened {
            Ok(reader) => {
                self.reader = Some(reader);
                self.tell(None);
                true
            }
            Err(error) => {
                self.tell(Some(&error));
                false
            }
        }
    }

    /// Logs the first failure and the recovery, not each round.
    fn tell(&mut self, error: Option<&io::Error>) {
        let was_failing = std::mem::replace(&mut self.is_failing, error.is_some());
        match error {
            Some(error) if !was_failing => {
                tracing::warn!(target: "dns", %error, "dnstap cannot be written, its frames are dropped once buffers are full");
            }
            None if was_failing => tracing::info!(target: "dns", "dnstap is written again"),
            _ => {}
        }
    }

    /// Says that nothing more comes, if all that was begun is whole.
    fn end(&mut self) {
        if self.sent < self.taken.len() {
            return;
        }
        // Who is gone by now need not hear it.
        match &mut self.reader {
            Some(Reader::Socket(stream)) => {
                let said = stream.write_all(&Control::Stop.frame());
                let _ = said.and_then(|()| frames::expect(stream, Control::Finish));
            }
            Some(Reader::File(file)) => drop(file.write_all(&Control::Stop.frame())),
            None => {}
        }
    }
}

fn connected(path: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(END_WAIT))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    frames::shake_hands(&mut stream)?;
    Ok(stream)
}

fn begun(mut file: File) -> io::Result<File> {
    file.write_all(&Control::Start.frame())?;
    Ok(file)
}
