//! Bodies in chunks: a range or a stream is made of slices of them, without a copy.

use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Every chunk but the last has this length, so that a byte is found by a division.
pub const CHUNK_BYTES: usize = 64 << 10;

/// A whole body. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Body {
    chunks: Arc<[Bytes]>,
    /// In place of chunks.
    file: Option<Arc<InFile>>,
    len: u64,
}

/// Where a body stands in a file that only grows. Each byte of it was checked; the file stays as long as it is held, wherever its name goes.
#[derive(Debug)]
struct InFile {
    file: Arc<File>,
    offset: u64,
    crc: u32,
}

impl Body {
    /// The bytes of these, one after another. A chunk that comes to stand where a chunk begins is shared; the others are copied.
    pub fn join(parts: impl IntoIterator<Item = Pieces>) -> Self {
        let mut chunks: Vec<Bytes> = Vec::new();
        let mut open = BytesMut::new();
        for mut piece in parts.into_iter().flatten() {
            if open.is_empty() && piece.len() == CHUNK_BYTES {
                chunks.push(piece);
                continue;
            }
            while !piece.is_empty() {
                let fits = piece.split_to(piece.len().min(CHUNK_BYTES - open.len()));
                open.extend_from_slice(&fits);
                if open.len() == CHUNK_BYTES {
                    chunks.push(std::mem::take(&mut open).freeze());
                }
            }
        }
        if !open.is_empty() {
            chunks.push(Bytes::copy_from_slice(&open));
        }
        Self::of_chunks(chunks)
    }

    /// A body of chunks that are full, but for the last.
    pub(crate) fn of_chunks(chunks: Vec<Bytes>) -> Self {
        let (last, full) = chunks.split_last().map_or((0, &chunks[..0]), |(last, full)| (last.len(), full));
        assert!(full.iter().all(|chunk| chunk.len() == CHUNK_BYTES), "a chunk in the middle is not full");
        Self { len: (full.len() * CHUNK_BYTES + last) as u64, chunks: chunks.into(), file: None }
    }

    /// A body that stands in a file and was checked, with the CRC-32 of its bytes.
    pub(crate) fn in_file(file: Arc<File>, offset: u64, len: u64, crc: u32) -> Self {
        Self { chunks: Arc::default(), file: Some(Arc::new(InFile { file, offset, crc })), len }
    }

    /// Whether it is in a file and not in memory.
    pub fn is_in_file(&self) -> bool {
        self.file.is_some()
    }

    /// The CRC-32 of its bytes.
    pub(crate) fn crc(&self) -> u32 {
        if let Some(file) = &self.file {
            return file.crc;
        }
        let mut crc = crc32fast::Hasher::new();
        self.chunks.iter().for_each(|chunk| crc.update(chunk));
        crc.finalize()
    }

    /// A body of bytes that are in one place.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self::of_chunks(bytes.chunks(CHUNK_BYTES).map(Bytes::copy_from_slice).collect())
    }

    /// Bytes that it has.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its chunks, each of [`CHUNK_BYTES`] but for the last; none of a body in a file.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// The bytes of a range, in slices of chunks. What lies beyond the body is left out.
    pub fn pieces(&self, range: Range<u64>) -> Pieces {
        let end = range.end.min(self.len);
        Pieces { chunks: Arc::clone(&self.chunks), file: self.file.clone(), at: range.start.min(end), end }
    }
}

/// What is left of a range. It holds the body. Of a body in a file the pieces are read as they are asked for; where that fails, they end
/// with bytes still to come.
#[derive(Debug, Clone)]
pub struct Pieces {
    chunks: Arc<[Bytes]>,
    file: Option<Arc<InFile>>,
    at: u64,
    end: u64,
}

impl Pieces {
    /// Bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        self.end - self.at
    }

    /// The file that the body stands in, if it does, and where in it the next byte is.
    pub fn in_file(&self) -> Option<(&Arc<File>, u64)> {
        self.file.as_ref().map(|body| (&body.file, body.offset + self.at))
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.at == self.end {
            return None;
        }
        if let Some((file, offset)) = self.in_file() {
            let mut piece = vec![0; self.remaining().min(CHUNK_BYTES as u64) as usize];
            file.read_exact_at(&mut piece, offset).ok()?;
            self.at += piece.len() as u64;
            return Some(piece.into());
        }
        let chunk = &self.chunks[(self.at / CHUNK_BYTES as u64) as usize];
        let start = (self.at % CHUNK_BYTES as u64) as usize;
        let piece = chunk.slice(start..chunk.len().min(start + (self.end - self.at) as usize));
        self.at += piece.len() as u64;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn any_range_is_what_it_is_of_the_whole(len in 0usize..500_000, start in any::<u64>(), end in any::<u64>()) {
            let whole: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let body = Body::copy_of(&whole);
            prop_assert_eq!(body.len(), whole.len() as u64);
            let (start, end) = (start % 400_000, end % 400_000);
            let pieces = body.pieces(start..end);
            let (from, to) = (whole.len().min(start as usize), whole.len().min(end as usize));
            let expected = if from < to { &whole[from..to] } else { &[] };
            prop_assert_eq!(pieces.remaining(), expected.len() as u64);
            let got: Vec<u8> = pieces.flat_map(|piece| piece.to_vec()).collect();
            prop_assert_eq!(&got[..], expected);
        }
    }

    proptest! {
        #[test]
        fn joined_bodies_are_one_after_another(lengths in proptest::collection::vec(0usize..150_000, 0..5), skipped in 0u64..70_000) {
            let whole = |len: usize| -> Vec<u8> { (0..len).map(|at| (at % 241) as u8).collect() };
            let bodies: Vec<Vec<u8>> = lengths.iter().map(|len| whole(*len)).collect();
            let joined = Body::join(bodies.iter().map(|body| Body::copy_of(body).pieces(skipped..u64::MAX)));
            let expected: Vec<u8> = bodies.iter().flat_map(|body| body.iter().skip(skipped as usize).copied()).collect();
            prop_assert_eq!(joined.len(), expected.len() as u64);
            let got: Vec<u8> = joined.pieces(0..u64::MAX).flat_map(|piece| piece.to_vec()).collect();
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn bodies_that_end_with_a_chunk_are_joined_without_a_copy() {
        let (one, other) =
            (Body::copy_of(&vec![1; 2 * CHUNK_BYTES]), Body::copy_of(&vec![2; CHUNK_BYTES + 5]));
        let joined = Body::join([one.pieces(0..u64::MAX), other.pieces(0..u64::MAX)]);
        let places = |body: &Body| body.chunks().iter().map(|chunk| chunk.as_ptr()).collect::<Vec<_>>();
        assert_eq!(places(&joined)[..3], [&places(&one)[..], &places(&other)[..1]].concat());
    }

    #[test]
    fn chunks_take_no_more_memory_than_their_bytes() {
        let bytes = vec![7; 2 * CHUNK_BYTES + 100];
        let body = Body::copy_of(&bytes);
        let lengths: Vec<usize> = body.chunks().iter().map(Bytes::len).collect();
        assert_eq!(lengths, [CHUNK_BYTES, CHUNK_BYTES, 100]);
        for chunk in body.chunks().to_vec() {
            drop(chunk);
        }
        let last = body.chunks()[2].clone();
        drop(body);
        assert!(last.try_into_mut().unwrap().capacity() <= 128);
    }
}
