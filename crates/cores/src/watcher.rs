//! A thread that looks at files now and then, away from the cores.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Files are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks for changed files until it is dropped.
pub struct Watcher {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Calls `look` every second, on a thread of this name.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn start(name: &str, mut look: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let (end, ended) = channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                look();
            }
        })?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(target: "cores", "the watch over files ended by a panic");
        }
    }
}
