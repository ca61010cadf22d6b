//! A body, encoded piece by piece.

use crate::context::{Context, Step};
use crate::{Coding, spare};
use std::ops::RangeInclusive;
use thiserror::Error;

/// An encoder failed: it could not have memory, or the body has not the length that was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{coding} encoder: {cause}")]
pub struct EncodeError {
    /// Which one.
    pub coding: Coding,
    /// In the library's own words.
    pub cause: &'static str,
}

/// Encodes one body. Its memory does not grow with the body: a window (zstd 512 KiB, brotli 256 KiB, gzip 32 KiB)
/// and tables by the level. That is 2 MiB for zstd, 3 MiB for brotli and 0.3 MiB for gzip at the default levels,
/// and 12 MiB, 5 MiB and 0.3 MiB at the highest. Some of it is kept by the thread for the next body.
///
/// What a push adds to `out` is at most what was pushed since the last flush and a few bytes a block.
#[derive(Debug)]
pub struct Encoder {
    coding: Coding,
    /// `None` only while it is dropped.
    context: Option<Context>,
    is_finished: bool,
}

/// The levels of a coding that are on offer.
pub(crate) fn levels(coding: Coding) -> RangeInclusive<u8> {
    match coding {
        Coding::Zstd | Coding::Gzip => 1..=9,
        Coding::Br => 0..=6,
    }
}

impl Encoder {
    /// An encoder at a level, which is brought into the coding's range. It is one that this thread has spare where
    /// it has one: tables that are warm cost less than new ones. When dropped it is spare again.
    ///
    /// `body_bytes` is the exact length of the body where that is known: for a short one zstd sets up smaller
    /// tables, and a body of another length is an error to it.
    ///
    /// # Errors
    /// When memory cannot be had.
    pub fn lend(coding: Coding, level: u8, body_bytes: Option<u64>) -> Result<Self, EncodeError> {
        let range = levels(coding);
        let level = level.clamp(*range.start(), *range.end());
        let spare = spare::take(coding);
        let context = Context::ready(coding, level, body_bytes, spare)
            .map_err(|cause| EncodeError { coding, cause })?;
        Ok(Self { coding, context: Some(context), is_finished: false })
    }

    /// An encoder for a body that is encoded once and sent often: its level is the highest there is, ten times the time
    /// of what is encoded while a client waits. It is 9 for a body above 4 MiB, which would take zstd and brotli minutes.
    ///
    /// # Errors
    /// When memory cannot be had.
    pub fn to_keep(coding: Coding, body_bytes: u64) -> Result<Self, EncodeError> {
        const HIGHEST_BYTES_MAX: u64 = 4 << 20;
        let level = match coding {
            Coding::Zstd if body_bytes <= HIGHEST_BYTES_MAX => 19,
            Coding::Br if body_bytes <= HIGHEST_BYTES_MAX => 11,
            Coding::Zstd | Coding::Br | Coding::Gzip => 9,
        };
        let context = Context::ready(coding, level, Some(body_bytes), None)
            .map_err(|cause| EncodeError { coding, cause })?;
        Ok(Self { coding, context: Some(context), is_finished: false })
    }

    /// The coding it speaks.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Takes a piece of the body, and appends to `out` what is ready. Often that is nothing: it is kept until
    /// enough has come to be encoded well.
    ///
    /// # Errors
    /// Where the library fails; the encoder is of no use then.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.step(input, Step::Push, out)
    }

    /// Appends to `out` all that has been pushed. It costs a few bytes and some of the ratio, so it is for when
    /// the client would otherwise wait.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.step(&[], Step::Flush, out)
    }

    /// Appends the rest and the end. Nothing is pushed after it.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.step(&[], Step::Finish, out)?;
        self.is_finished = true;
        Ok(())
    }

    fn step(&mut self, input: &[u8], step: Step, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        assert!(!self.is_finished, "nothing is encoded after the end of a body");
        let context = self.context.as_mut().expect("an encoder has its context until it is dropped");
        context.run(input, step, out).map_err(|cause| EncodeError { coding: self.coding, cause })
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        if let Some(context) = self.context.take() {
            spare::give(context);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoder_may_move_to_another_thread_with_its_response() {
        let mut encoder = Encoder::lend(Coding::Zstd, 3, None).unwrap();
        let encoded = std::thread::spawn(move || {
            let mut out = Vec::new();
            encoder.push(b"body", &mut out).and_then(|()| encoder.finish(&mut out)).map(|()| out)
        });
        assert!(!encoded.join().unwrap().unwrap().is_empty());
    }

    #[test]
    fn a_level_out_of_range_is_brought_into_it() {
        for coding in Coding::ALL {
            let encoded = |level| {
                let (mut encoder, mut out) = (Encoder::lend(coding, level, None).unwrap(), Vec::new());
                encoder.push(&b"<li>one</li><li>two</li>".repeat(99), &mut out).unwrap();
                encoder.finish(&mut out).unwrap();
                out
            };
            assert_eq!(encoded(255), encoded(*levels(coding).end()), "{coding}");
        }
    }
}
