//! Frames of HTTP/2 that cost us more than they cost the client, bounded for each connection: resets that cancel
//! work as fast as it is asked for (CVE-2023-44487), and control frames that each want an answer or a buffer
//! (CVE-2019-9512, 9515, 9518; CVE-2024-27316).
//!
//! A pure watch over the bytes that are read: it sees the frames' heads and nothing else. What a head alone shows to
//! be wrong it tells by its right name, where `h2` calls everything a PROTOCOL_ERROR.

use crate::config::Http2Config;
use std::time::{Duration, Instant};

/// What a connection was flooded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flood {
    Resets,
    Settings,
    Pings,
    Continuations,
    EmptyData,
    Priorities,
}

impl Flood {
    pub(crate) const ALL: [Self; 6] =
        [Self::Resets, Self::Settings, Self::Pings, Self::Continuations, Self::EmptyData, Self::Priorities];

    /// Its name in the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::Settings => "settings",
            Self::Pings => "pings",
            Self::Continuations => "continuations",
            Self::EmptyData => "empty_data",
            Self::Priorities => "priorities",
        }
    }
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Flood(Flood),
    /// A frame's length is none that its type can have (RFC 9113 §4.2).
    FrameSize,
    /// The first frame is not SETTINGS (RFC 9113 §3.4).
    Preface,
}

impl Verdict {
    /// What the client is told.
    pub(crate) fn reason(self) -> h2::Reason {
        match self {
            Self::Flood(_) => h2::Reason::ENHANCE_YOUR_CALM,
            Self::FrameSize => h2::Reason::FRAME_SIZE_ERROR,
            Self::Preface => h2::Reason::PROTOCOL_ERROR,
        }
    }
}

/// RFC 9113 §3.4: 24 bytes before the first frame.
const PREFACE_BYTES: usize = 24;
/// RFC 9113 §4.1.
const FRAME_HEAD_BYTES: usize = 9;
/// Frames of one header block after its first, beyond those that a head of the largest size fills.
const CONTINUATIONS_MAX: u32 = 16;
/// RFC 9113 §4.2: what a frame may hold unless more was agreed on, which we do not.
const FRAME_BYTES_MAX: u64 = 16 << 10;

/// Watches the frames of one connection.
pub(crate) struct FloodWatch {
    head: [u8; FRAME_HEAD_BYTES],
    /// Bytes of `head` that have come.
    has: usize,
    /// Bytes to pass over: the preface, then payloads.
    skip: usize,
    has_settings: bool,
    continuations: u32,
    continuations_max: u32,
    resets: Allowance,
    controls: Allowance,
}

impl FloodWatch {
    /// `head_bytes_max` is what a request's head may measure.
    pub(crate) fn new(config: &Http2Config, head_bytes_max: u64) -> Self {
        Self {
            head: [0; FRAME_HEAD_BYTES],
            has: 0,
            skip: PREFACE_BYTES,
            has_settings: false,
            continuations: 0,
            continuations_max: CONTINUATIONS_MAX + (head_bytes_max / FRAME_BYTES_MAX) as u32,
            resets: Allowance::new(config.resets.per_second()),
            controls: Allowance::new(config.control_frames.per_second()),
        }
    }

    /// Looks at the next bytes that were read. The clock is asked only for frames that are counted.
    pub(crate) fn see(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) -> Result<(), Verdict> {
        loop {
            let passed = self.skip.min(bytes.len());
            self.skip -= passed;
            bytes = &bytes[passed..];
            if bytes.is_empty() {
                return Ok(());
            }
            let taken = (FRAME_HEAD_BYTES - self.has).min(bytes.len());
            self.head[self.has..self.has + taken].copy_from_slice(&bytes[..taken]);
            self.has += taken;
            bytes = &bytes[taken..];
            if self.has == FRAME_HEAD_BYTES {
                self.has = 0;
                self.count(&now)?;
            }
        }
    }

    fn count(&mut self, now: &impl Fn() -> Instant) -> Result<(), Verdict> {
        const END_STREAM: u8 = 1;
        const ACK: u8 = 1;
        let [a, b, c, kind, flags, ..] = self.head;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        let is_of_wrong_size = match kind {
            2 => self.skip != 5,
            3 | 8 => self.skip != 4,
            4 => !self.skip.is_multiple_of(6) || (flags & ACK != 0 && self.skip != 0),
            6 => self.skip != 8,
            _ => false,
        };
        if is_of_wrong_size {
            return Err(Verdict::FrameSize);
        }
        if !std::mem::replace(&mut self.has_settings, true) && kind != 4 {
            return Err(Verdict::Preface);
        }
        if kind != 9 {
            self.continuations = 0;
        }
        let (allowance, flood) = match kind {
            0 if self.skip == 0 && flags & END_STREAM == 0 => (&mut self.controls, Flood::EmptyData),
            2 => (&mut self.controls, Flood::Priorities),
            3 => (&mut self.resets, Flood::Resets),
            4 => (&mut self.controls, Flood::Settings),
            6 => (&mut self.controls, Flood::Pings),
            9 => {
                self.continuations += 1;
                return if self.continuations > self.continuations_max {
                    Err(Verdict::Flood(Flood::Continuations))
                } else {
                    Ok(())
                };
            }
            _ => return Ok(()),
        };
        if allowance.take(now()) { Ok(()) } else { Err(Verdict::Flood(flood)) }
    }
}

/// So many a second, and two seconds' worth at once.
struct Allowance {
    every: Duration,
    /// The time up to which the allowance is used up.
    used_to: Option<Instant>,
}

const BURST: u32 = 2;

impl Allowance {
    fn new(per_second: f64) -> Self {
        Self { every: Duration::from_secs_f64(1.0 / per_second.max(0.001)), used_to: None }
    }

    fn take(&mut self, now: Instant) -> bool {
        let next = self.used_to.map_or(now, |used_to| used_to.max(now)) + self.every;
        if next > now + Duration::from_secs(u64::from(BURST)) {
            return false;
        }
        self.used_to = Some(next);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![0, (payload >> 8) as u8, payload as u8, kind, flags, 0, 0, 0, 1];
        frame.resize(FRAME_HEAD_BYTES + payload, 0);
        frame
    }

    fn watch() -> FloodWatch {
        let mut watch = FloodWatch::new(&Http2Config::default(), 0);
        watch.see(&[b'x'; PREFACE_BYTES], Instant::now).unwrap();
        watch.see(&frame(4, 0, 0), Instant::now).unwrap();
        watch
    }

    #[test]
    fn resets_as_fast_as_requests_are_a_flood_and_slow_ones_are_not() {
        let start = Instant::now();
        let mut fast = watch();
        let found = (0..1000).find_map(|_| fast.see(&frame(3, 0, 4), || start).err());
        assert_eq!(found, Some(Verdict::Flood(Flood::Resets)));
        let mut slow = watch();
        for tenth in 0..1000 {
            let now = start + Duration::from_millis(tenth * 100);
            assert_eq!(slow.see(&frame(3, 0, 4), || now), Ok(()));
        }
    }

    #[test]
    fn each_kind_is_told_by_its_name_and_data_with_bytes_is_free() {
        let start = Instant::now();
        let flooded = |frame: Vec<u8>| {
            let mut watch = watch();
            (0..100_000).find_map(|_| watch.see(&frame, || start).err())
        };
        assert_eq!(flooded(frame(0, 0, 0)), Some(Verdict::Flood(Flood::EmptyData)));
        assert_eq!(flooded(frame(2, 0, 5)), Some(Verdict::Flood(Flood::Priorities)));
        assert_eq!(flooded(frame(4, 0, 0)), Some(Verdict::Flood(Flood::Settings)));
        assert_eq!(flooded(frame(6, 0, 8)), Some(Verdict::Flood(Flood::Pings)));
        assert_eq!(flooded(frame(9, 0, 3)), Some(Verdict::Flood(Flood::Continuations)));
        assert_eq!(flooded(frame(0, 0, 10)), None);
        assert_eq!(flooded(frame(8, 0, 4)), None, "windows are opened as often as bytes are taken");
    }

    #[test]
    fn a_length_that_a_frame_cannot_have_is_told_as_what_it_is() {
        let now = Instant::now();
        for (kind, flags, payload) in [(2, 0, 4), (3, 0, 5), (4, 0, 5), (4, 1, 6), (6, 0, 7), (8, 0, 3)] {
            let found = watch().see(&frame(kind, flags, payload), || now);
            assert_eq!(found, Err(Verdict::FrameSize), "{kind} {payload}");
        }
        let mut first = FloodWatch::new(&Http2Config::default(), 0);
        first.see(&[b'x'; PREFACE_BYTES], || now).unwrap();
        assert_eq!(first.see(&frame(6, 0, 8), || now), Err(Verdict::Preface));
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let start = Instant::now();
        let mut bytes = Vec::new();
        for _ in 0..CONTINUATIONS_MAX {
            bytes.extend(frame(9, 0, 300));
        }
        bytes.extend(frame(1, 0, 5));
        for size in [1, 2, 7, 9, 10, 400] {
            let mut watch = watch();
            for piece in bytes.chunks(size) {
                assert_eq!(watch.see(piece, || start), Ok(()));
            }
            assert_eq!((watch.has, watch.skip), (0, 0));
        }
    }
}
