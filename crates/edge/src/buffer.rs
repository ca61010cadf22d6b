//! A reused buffer with a front that can be held: a request's head stays readable while its body passes.

/// Bytes between an emptied front and a spare end.
///
/// Invariant: `held <= start <= end <= bytes.len()`.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    held: usize,
    start: usize,
    end: usize,
}

/// A place in a buffer, see [`Buffer::mark`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    start: usize,
    end: usize,
}

impl Mark {
    /// Bytes between its ends.
    pub(crate) fn len(self) -> usize {
        self.end - self.start
    }
}

impl Buffer {
    /// An empty buffer; its memory is zeroed once, and reused from then on.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity], held: 0, start: 0, end: 0 }
    }

    /// The bytes that wait to be used.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Everything up to the end of the filled bytes, and where those start: for decoders that work in place.
    pub(crate) fn filled_in_place(&mut self) -> (&mut [u8], usize) {
        (&mut self.bytes[..self.end], self.start)
    }

    /// Bytes at places that a decoder told.
    pub(crate) fn at(&self, range: std::ops::Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// The bytes before the used ones, kept by [`Buffer::hold`].
    pub(crate) fn held(&self) -> &[u8] {
        &self.bytes[..self.held]
    }

    /// The same, to be changed.
    pub(crate) fn held_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.held]
    }

    /// Uses up the filled bytes before the place `to`.
    pub(crate) fn consume_to(&mut self, to: usize) {
        assert!(self.start <= to && to <= self.end, "only filled bytes are used up");
        self.start = to;
        if self.start == self.end {
            (self.start, self.end) = (self.held, self.held);
        }
    }

    /// Uses up `count` filled bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.consume_to(self.start + count);
    }

    /// Uses up the first `count` bytes but keeps them in place until [`Buffer::release`].
    pub(crate) fn hold(&mut self, count: usize) {
        assert!(self.held == 0, "one head is held at a time");
        self.compact();
        assert!(count <= self.end, "only filled bytes are held");
        (self.held, self.start) = (count, count);
    }

    /// Where the filled bytes stand now.
    pub(crate) fn mark(&self) -> Mark {
        Mark { start: self.start, end: self.end }
    }

    /// Makes the bytes at a mark the filled ones again. Nothing may have been read into the buffer since,
    /// unless it was read behind them.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        assert!(self.held <= mark.start && mark.end <= self.bytes.len(), "a mark is of this buffer");
        (self.start, self.end) = (mark.start, mark.end);
    }

    /// Lets go of the held bytes.
    pub(crate) fn release(&mut self) {
        self.held = 0;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room for more bytes, after what is filled. Empty when the buffer is full of bytes in use.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() {
            self.compact();
        }
        &mut self.bytes[self.end..]
    }

    /// Notes that `count` bytes of the spare room have been filled.
    pub(crate) fn fill(&mut self, count: usize) {
        assert!(count <= self.bytes.len() - self.end, "no more is filled than there was room for");
        self.end += count;
    }

    /// Makes the buffer at least this large.
    pub(crate) fn grow(&mut self, capacity: usize) {
        if self.bytes.len() < capacity {
            self.bytes.resize(capacity, 0);
        }
    }

    /// Its size in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Gives back all room but that of the held and the filled bytes.
    pub(crate) fn trim(&mut self) {
        self.compact();
        self.bytes.truncate(self.end);
        self.bytes.shrink_to_fit();
    }

    /// Forgets everything, and has room for `capacity` bytes, no more and no less.
    pub(crate) fn reset(&mut self, capacity: usize) {
        (self.held, self.start, self.end) = (0, 0, 0);
        if self.bytes.len() != capacity {
            *self = Self::new(capacity);
        }
    }

    fn compact(&mut self) {
        self.bytes.copy_within(self.start..self.end, self.held);
        self.end = self.held + (self.end - self.start);
        self.start = self.held;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled_with(text: &[u8]) -> Buffer {
        let mut buffer = Buffer::new(8);
        buffer.spare()[..text.len()].copy_from_slice(text);
        buffer.fill(text.len());
        buffer
    }

    #[test]
    fn a_held_head_survives_the_body_that_passes_behind_it() {
        let mut buffer = filled_with(b"HEADbody");
        buffer.hold(4);
        assert_eq!(buffer.filled(), b"body");
        buffer.consume(4);
        buffer.spare()[..4].copy_from_slice(b"more");
        buffer.fill(4);
        assert_eq!((buffer.held(), buffer.filled()), (&b"HEAD"[..], &b"more"[..]));
        assert!(buffer.spare().is_empty());
        buffer.release();
        assert_eq!(buffer.spare().len(), 4, "the head's room is there again");
        assert_eq!(buffer.filled(), b"more");
    }

    #[test]
    fn a_full_buffer_makes_room_by_moving_what_is_left() {
        let mut buffer = filled_with(b"abcdefgh");
        buffer.consume(6);
        assert_eq!(buffer.spare().len(), 6);
        assert_eq!(buffer.filled(), b"gh");
        buffer.grow(16);
        assert_eq!((buffer.capacity(), buffer.filled()), (16, &b"gh"[..]));
        buffer.reset(8);
        assert_eq!((buffer.capacity(), buffer.filled()), (8, &b""[..]));
    }

    #[test]
    fn a_trimmed_buffer_holds_what_is_in_it_and_grows_back_when_it_is_reset() {
        let mut buffer = filled_with(b"HEADab");
        buffer.hold(4);
        buffer.consume(1);
        buffer.trim();
        assert_eq!((buffer.capacity(), buffer.held(), buffer.filled()), (5, &b"HEAD"[..], &b"b"[..]));
        buffer.reset(8);
        assert_eq!(buffer.spare().len(), 8, "a next request can be read");
    }
}
