//! A response as it stands on the disk.
//!
//! Each record is a head of fixed length, the key, what is stored of the response's head, and the body. The head has a CRC-32 of itself, of
//! what lies between it and the body, and of the body, so that each can be trusted when it is read alone. Numbers are little-endian.
//! Another layout is another [`MAGIC`]: what an older version has written is then not read, and fetched again.
//!
//! One byte of a record changes after it was written, its [`Fate`]: so what is gone is so for whoever reads the folder next, at the price
//! of one byte. A response that was confirmed is written again without its body: its record says where that stands. And a
//! record without key and response says against which purges all before it was held.

use crate::rules::Stored;
use crate::store::Object;
use std::time::{Duration, SystemTime};

const MAGIC: [u8; 3] = *b"9c2";
/// Where in a record its fate stands.
pub(crate) const FATE_AT: u64 = MAGIC.len() as u64;
/// Bytes of a record's head.
pub(crate) const HEAD_BYTES: usize = 56;
/// Between head and body there is no more than this: what says so is damaged.
pub(crate) const META_BYTES_MAX: u32 = 1 << 20;

/// What has become of a record. No two of these bytes differ by one bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fate {
    /// It is as it was written.
    Kept = b'l',
    /// A purge has made it stale since.
    Soft = b's',
    /// It was replaced, removed or purged.
    Gone = b'g',
}

/// Where a record, or a body, stands: the number of the segment, and bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) segment: u32,
    pub(crate) offset: u64,
}

/// What a record is, before any of it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) fate: Fate,
    pub(crate) meta_len: u32,
    meta_crc: u32,
    pub(crate) body_len: u64,
    pub(crate) body_crc: u32,
    key_len: u32,
    /// The purges that it was held against.
    pub(crate) asked: u64,
    /// One of these made it stale.
    pub(crate) is_soft: bool,
    /// Where its body is, if that does not follow.
    pub(crate) body_at: Option<At>,
}

impl Head {
    /// The head of an object's record, and what follows it up to the body.
    pub(crate) fn of(object: &Object) -> Option<(Self, Vec<u8>)> {
        let mut meta = object.key.bytes.to_vec();
        write_stored(&object.stored, &mut meta);
        let (asked, is_soft) = object.held();
        let head = Self {
            fate: Fate::Kept,
            meta_len: u32::try_from(meta.len()).ok().filter(|len| *len <= META_BYTES_MAX)?,
            meta_crc: crc32fast::hash(&meta),
            body_len: object.body.len(),
            body_crc: object.body.crc(),
            key_len: object.key.bytes.len() as u32,
            asked,
            is_soft,
            body_at: None,
        };
        Some((head, meta))
    }

    /// The head of a record that says: all that stands before `at` was held against purges up to this number.
    pub(crate) fn held_before(at: At, upto: u64) -> Self {
        let nothing = crc32fast::hash(&[]);
        Self {
            fate: Fate::Kept,
            meta_len: 0,
            meta_crc: nothing,
            body_len: 0,
            body_crc: nothing,
            key_len: 0,
            asked: upto,
            is_soft: false,
            body_at: Some(at),
        }
    }

    /// What [`Head::held_before`] says, if it is one.
    pub(crate) fn holds_before(&self) -> Option<(At, u64)> {
        // A response's head is never empty.
        self.body_at.filter(|_| self.meta_len == 0).map(|at| (at, self.asked))
    }

    /// Bytes of the whole record.
    pub(crate) fn record_len(&self) -> u64 {
        self.begun_len() + if self.body_at.is_some() { 0 } else { self.body_len }
    }

    /// Bytes of the record up to the body.
    pub(crate) fn begun_len(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.meta_len)
    }

    /// Where the body of the record is that stands here.
    pub(crate) fn body_of(&self, record: At) -> At {
        self.body_at.unwrap_or(At { offset: record.offset + self.begun_len(), ..record })
    }

    pub(crate) fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let body_at = self.body_at.unwrap_or(At { segment: 0, offset: 0 });
        let mut bytes = [0; HEAD_BYTES];
        bytes[..3].copy_from_slice(&MAGIC);
        bytes[3] = self.fate as u8;
        bytes[8..12].copy_from_slice(&self.meta_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.meta_crc.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.body_crc.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.key_len.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.asked.to_le_bytes());
        bytes[40..48].copy_from_slice(&body_at.offset.to_le_bytes());
        bytes[48..52].copy_from_slice(&body_at.segment.to_le_bytes());
        bytes[52] = u8::from(self.is_soft);
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes.get(..HEAD_BYTES)?);
        let magic: [u8; 3] = input.array()?;
        let fates = [Fate::Kept, Fate::Soft, Fate::Gone];
        let fate = input.u8()?;
        let fate = fates.into_iter().find(|known| *known as u8 == fate)?;
        let crc = input.u32()?;
        if magic != MAGIC || crc != crc32fast::hash(input.0) {
            return None;
        }
        let mut head = Self {
            fate,
            meta_len: input.u32()?,
            meta_crc: input.u32()?,
            body_len: input.u64()?,
            body_crc: input.u32()?,
            key_len: input.u32()?,
            asked: input.u64()?,
            is_soft: false,
            body_at: None,
        };
        let at = At { offset: input.u64()?, segment: input.u32()? };
        head.is_soft = input.u8()? == 1;
        // Segments are counted from 1 on.
        head.body_at = (at.segment > 0).then_some(at);
        let is_sound = head.meta_len <= META_BYTES_MAX
            && head.key_len <= head.meta_len
            && head.body_len < 1 << 48
            && at.offset < 1 << 48
            && head.asked < 1 << 62;
        is_sound.then_some(head)
    }

    /// The key, and what is stored of the response's head.
    pub(crate) fn read_meta<'m>(&self, meta: &'m [u8]) -> Option<(&'m [u8], Stored)> {
        if crc32fast::hash(meta) != self.meta_crc {
            return None;
        }
        let (key, rest) = meta.split_at_checked(self.key_len as usize)?;
        Some((key, read_stored(rest)?))
    }
}

/// Writes all of it. Whoever adds a field finds here that the layout changes, and [`MAGIC`] with it.
fn write_stored(stored: &Stored, out: &mut Vec<u8>) {
    let Stored {
        status,
        lines,
        unsent,
        requested,
        received,
        initial_age,
        lifetime,
        stale_while_revalidate,
        stale_if_error,
        must_revalidate,
        no_cache,
        vary,
        tags,
        length,
        range,
        not_stored,
    } = stored;
    assert!(not_stored.is_none(), "what is kept is stored");
    out.extend_from_slice(&status.to_le_bytes());
    for time in [requested, received] {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        out.extend_from_slice(&since.as_secs().to_le_bytes());
        out.extend_from_slice(&since.subsec_nanos().to_le_bytes());
    }
    for seconds in [initial_age, lifetime, stale_while_revalidate, stale_if_error] {
        out.extend_from_slice(&seconds.to_le_bytes());
    }
    let flags = [*must_revalidate, *no_cache, length.is_some(), range.is_some()];
    out.push(flags.iter().enumerate().map(|(bit, flag)| u8::from(*flag) << bit).sum());
    if let Some(length) = length {
        out.extend_from_slice(&length.to_le_bytes());
    }
    if let Some((start, end)) = range {
        out.extend_from_slice(&start.to_le_bytes());
        out.extend_from_slice(&end.to_le_bytes());
    }
    write_bytes(lines, out);
    write_bytes(unsent, out);
    out.extend_from_slice(&(vary.len() as u32).to_le_bytes());
    for (name, value) in vary {
        write_bytes(name.as_bytes(), out);
        write_bytes(value, out);
    }
    out.extend_from_slice(&(tags.len() as u32).to_le_bytes());
    tags.iter().for_each(|tag| write_bytes(tag.as_bytes(), out));
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn read_stored(bytes: &[u8]) -> Option<Stored> {
    let mut input = Input(bytes);
    let status = input.u16()?;
    let (requested, received) = (input.time()?, input.time()?);
    let [initial_age, lifetime, stale_while_revalidate, stale_if_error] =
        [input.u32()?, input.u32()?, input.u32()?, input.u32()?];
    let flags = input.u8()?;
    let is_set = |bit: u8| flags >> bit & 1 == 1;
    let stored = Stored {
        status,
        requested,
        received,
        initial_age,
        lifetime,
        stale_while_revalidate,
        stale_if_error,
        must_revalidate: is_set(0),
        no_cache: is_set(1),
        length: if is_set(2) { Some(input.u64()?) } else { None },
        range: if is_set(3) { Some((input.u64()?, input.u64()?)) } else { None },
        lines: input.bytes()?.into(),
        unsent: input.bytes()?.into(),
        vary: input.list(|input| Some((input.text()?.into(), input.bytes()?.into())))?,
        tags: input.list(|input| Some(input.text()?.into()))?,
        not_stored: None,
    };
    (input.0.is_empty() && flags < 16).then_some(stored)
}

/// What is left to be read.
struct Input<'i>(&'i [u8]);

impl<'i> Input<'i> {
    fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Option<SystemTime> {
        let (seconds, nanos) = (self.u64()?, self.u32()?);
        let since = (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))?;
        SystemTime::UNIX_EPOCH.checked_add(since)
    }

    fn bytes(&mut self) -> Option<&'i [u8]> {
        let len = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'i str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Box<[T]>> {
        // An item has four bytes at least: a count that lies makes no room.
        let count = self.u32()? as usize;
        (count <= self.0.len() / 4).then(|| (0..count).map(|_| item(self)).collect())?
    }
}

/// Reads any bytes as a record; what it is read as is written again as the same bytes. For the fuzz target.
pub(crate) fn check_any(bytes: &[u8]) {
    if let Some(head) = Head::parse(bytes) {
        assert_eq!(Head::parse(&head.to_bytes()), Some(head));
    }
    if let Some(stored) = read_stored(bytes) {
        let mut written = Vec::new();
        write_stored(&stored, &mut written);
        assert_eq!(written, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Body;
    use crate::store::samples::{key, stored};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            status in any::<u16>(), numbers in any::<[u32; 4]>(), flags in any::<[bool; 2]>(),
            times in any::<[u32; 4]>(), length in any::<Option<u64>>(), range in any::<Option<(u64, u64)>>(),
            lines in any::<Vec<u8>>(), unsent in any::<Vec<u8>>(),
            vary in any::<Vec<(String, Vec<u8>)>>(), tags in any::<Vec<String>>(), cut in any::<usize>(),
        ) {
            let time = |seconds, nanos| SystemTime::UNIX_EPOCH + Duration::new(u64::from(seconds), nanos % 1_000_000_000);
            let stored = Stored {
                status,
                lines: lines.into(),
                unsent: unsent.into(),
                requested: time(times[0], times[1]),
                received: time(times[2], times[3]),
                initial_age: numbers[0],
                lifetime: numbers[1],
                stale_while_revalidate: numbers[2],
                stale_if_error: numbers[3],
                must_revalidate: flags[0],
                no_cache: flags[1],
                vary: vary.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
                tags: tags.into_iter().map(Into::into).collect(),
                length,
                range,
                not_stored: None,
            };
            let mut bytes = Vec::new();
            write_stored(&stored, &mut bytes);
            prop_assert_eq!(read_stored(&bytes), Some(stored));
            prop_assert!(read_stored(&bytes[..cut % bytes.len()]).is_none());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            check_any(&bytes);
        }
    }

    /// The seeds of the fuzz target are what they are meant to be.
    #[test]
    fn the_seeds_are_read() {
        let confirmed =
            Head::parse(include_bytes!("../../../../fuzz/corpus/cdn_disk/record_confirmed")).unwrap();
        let at = At { segment: 3, offset: 4096 };
        assert_eq!((confirmed.fate, confirmed.body_at, confirmed.body_len), (Fate::Soft, Some(at), 5));
        let held = Head::parse(include_bytes!("../../../../fuzz/corpus/cdn_disk/record_held")).unwrap();
        assert_eq!((held, held.holds_before()), (Head::held_before(at, 9), Some((at, 9))));
        let record = include_bytes!("../../../../fuzz/corpus/cdn_disk/record");
        let head = Head::parse(record).unwrap();
        let (key, read) = head.read_meta(&record[HEAD_BYTES..][..head.meta_len as usize]).unwrap();
        assert_eq!(
            (key, head.record_len(), head.is_soft),
            (&b"https://shop.test/a"[..], record.len() as u64, true)
        );
        assert_eq!(read_stored(include_bytes!("../../../../fuzz/corpus/cdn_disk/stored")), Some(read));
    }

    #[test]
    fn a_record_of_which_any_bit_is_wrong_is_refused() {
        let object = Object::new(key("a"), stored(), Body::copy_of(b"body"), 7);
        let (head, meta) = Head::of(&object).unwrap();
        let record = [&head.to_bytes()[..], &meta].concat();
        let read = |record: &[u8]| {
            let head = Head::parse(record)?;
            let (key, stored) = head.read_meta(&record[HEAD_BYTES..])?;
            Some((head, key.to_vec(), stored))
        };
        assert_eq!(read(&record), Some((head, b"a".to_vec(), stored())));
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&damaged), None, "{bit}");
        }
    }
}
