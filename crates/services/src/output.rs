//! What an instance prints becomes lines of our log.
//!
//! The pipes are read as long as somebody holds them, so that a chatty program never stands still, and a line
//! is handed on in pieces once it is too long to be kept.

use telemetry::Counter;
use tokio::io::{AsyncRead, AsyncReadExt};

/// A longer line is logged in pieces of this size.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// How much is read at once.
const READ_BYTES: usize = 8 * 1024;

/// Whose output it is.
#[derive(Clone)]
pub(crate) struct Source {
    /// The service's name.
    pub(crate) service: String,
    /// The instance's name.
    pub(crate) instance: String,
    /// `stdout` or `stderr`.
    pub(crate) stream: &'static str,
    /// Counts the lines.
    pub(crate) lines: Counter,
}

/// Logs what arrives, line by line, until the last writer has closed its end.
pub(crate) async fn forward(mut pipe: impl AsyncRead + Unpin, source: Source) {
    let mut lines = Lines::default();
    let mut bytes = vec![0; READ_BYTES];
    loop {
        match pipe.read(&mut bytes).await {
            Ok(0) | Err(_) => break,
            Ok(length) => lines.push(&bytes[..length], |line| source.log(line)),
        }
        // A pipe that always has more must not keep the thread from health checks and signals.
        tokio::task::yield_now().await;
    }
    lines.finish(|line| source.log(line));
}

impl Source {
    fn log(&self, line: &[u8]) {
        self.lines.inc();
        let text = String::from_utf8_lossy(line);
        tracing::info!(
            target: "service",
            service = %self.service,
            instance = %self.instance,
            stream = self.stream,
            "{text}"
        );
    }
}

/// Cuts a stream of bytes into lines, without their line breaks.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.begun.len();
            let window = &bytes[..bytes.len().min(room)];
            if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
                self.begun.extend_from_slice(&window[..end]);
                self.emit(&mut line);
                bytes = &bytes[end + 1..];
            } else {
                self.begun.extend_from_slice(window);
                bytes = &bytes[window.len()..];
                // A line that ends right here is whole: its break must not become an empty line.
                if self.begun.len() == LINE_BYTES_MAX {
                    self.emit(&mut line);
                    bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
                }
            }
        }
    }

    /// The last line of a stream may have no line break.
    fn finish(mut self, mut line: impl FnMut(&[u8])) {
        if !self.begun.is_empty() {
            self.emit(&mut line);
        }
    }

    fn emit(&mut self, line: &mut impl FnMut(&[u8])) {
        line(self.begun.strip_suffix(b"\r").unwrap_or(&self.begun));
        self.begun.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece, |line| out.push(String::from_utf8_lossy(line).into_owned()));
        }
        lines.finish(|line| out.push(String::from_utf8_lossy(line).into_owned()));
        out
    }

    #[test]
    fn lines_come_out_without_their_breaks_and_the_last_one_too() {
        assert_eq!(cut([b"one\ntw".as_slice(), b"o\r\n\nthree"]), ["one", "two", "", "three"]);
        assert!(cut([b"".as_slice()]).is_empty());
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(cut([b"a\xffb\n".as_slice()]), ["a\u{fffd}b"]);
    }

    #[test]
    fn a_line_without_end_comes_in_pieces_and_is_never_kept_whole() {
        let long = vec![b'x'; LINE_BYTES_MAX * 2 + 5];
        let mut lines = Lines::default();
        let mut lengths = Vec::new();
        for piece in long.chunks(1000) {
            lines.push(piece, |line| lengths.push(line.len()));
            assert!(lines.begun.len() < LINE_BYTES_MAX);
        }
        lines.finish(|line| lengths.push(line.len()));
        assert_eq!(lengths, [LINE_BYTES_MAX, LINE_BYTES_MAX, 5]);
    }

    proptest! {
        #[test]
        fn how_the_bytes_arrive_does_not_matter(text in "[a-c\n]{0,200}", size in 1usize..40) {
            let expected: Vec<&str> = text.strip_suffix('\n').unwrap_or(&text).split('\n').collect();
            let found = cut(text.as_bytes().chunks(size));
            if text.is_empty() {
                prop_assert!(found.is_empty());
            } else {
                prop_assert_eq!(found, expected);
            }
        }
    }
}
