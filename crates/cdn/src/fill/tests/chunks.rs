//! Bodies become chunks as they come.

use super::*;
use crate::store::{Body, CHUNK_BYTES};
use bytes::Bytes;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::prop_oneof;

const MIB: usize = 1 << 20;

fn bytes_of(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

fn large() -> FillLimits {
    FillLimits { object_bytes_max: 4 * MIB as u64, filling_bytes_max: 16 * MIB as u64, ..limits() }
}

fn places(chunks: &[Bytes]) -> Vec<*const u8> {
    chunks.iter().map(|chunk| chunk.as_ptr()).collect()
}

/// Nothing that is left when a fetch ends grows with the body.
#[tokio::test]
async fn a_chunk_is_put_together_when_it_is_full_and_not_when_the_body_ends() {
    let flights = flights(large());
    let mut lead = lead(&flights, "a");
    let mut early = lead.own_reader();
    lead.keep(stored(), Instant::now());
    let whole = bytes_of(3 * CHUNK_BYTES + 100);
    for part in whole.chunks(1000) {
        lead.push(part, Instant::now()).await.unwrap();
    }
    let mut late = follow(&flights, "a");
    let mut read = Vec::new();
    while let Some(Ok(Some(piece))) = now(|context| late.poll_piece(context)) {
        read.push(piece);
    }
    let finished = lead.finish().unwrap().unwrap();
    assert_eq!(places(&read[..3]), places(&finished.body.chunks()[..3]), "what was read is what is kept");
    assert_eq!(
        finished.body.chunks().iter().map(Bytes::len).collect::<Vec<_>>(),
        [CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, 100]
    );
    assert_eq!(rest(&mut early).await.unwrap(), whole);
}

#[tokio::test]
async fn chunks_that_are_in_memory_are_shared_and_not_copied() {
    let flights = flights(large());
    let mut lead = lead(&flights, "a");
    lead.keep(stored(), Instant::now());
    let kept = Body::copy_of(&bytes_of(2 * CHUNK_BYTES));
    for piece in kept.pieces(0..u64::MAX) {
        lead.push_shared(&piece, Instant::now()).await.unwrap();
    }
    lead.push(b"the rest", Instant::now()).await.unwrap();
    let finished = lead.finish().unwrap().unwrap();
    assert_eq!(places(&finished.body.chunks()[..2]), places(kept.chunks()));
    assert_eq!(finished.body.len(), 2 * CHUNK_BYTES as u64 + 8);
}

/// What happens to a fetch.
#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Share,
    Join,
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1usize..100_000).prop_map(Step::Push),
        1 => Just(Step::Share),
        1 => Just(Step::Join),
        4 => any::<usize>().prop_map(Step::Read),
    ]
}

proptest! {
    #[test]
    fn whoever_reads_whenever_reads_all_of_it(steps in proptest::collection::vec(step(), 1..40), is_known in any::<bool>(), is_kept in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let sizes = steps.iter().map(|step| match step { Step::Push(len) => *len, Step::Share => CHUNK_BYTES, _ => 0 });
            let whole = bytes_of(sizes.sum());
            // What is too large becomes a window on its way, which is wide enough here for one that does not read.
            let object_bytes_max = if is_kept { 8 * MIB as u64 } else { whole.len() as u64 / 2 };
            let flights = flights(FillLimits { object_bytes_max, window_bytes: 8 * MIB as u64, filling_bytes_max: 64 * MIB as u64, ..limits() });
            let mut lead = lead(&flights, "a");
            let mut readers = vec![(lead.own_reader(), Vec::new())];
            let length = is_known.then_some(whole.len() as u64).filter(|_| is_kept);
            lead.keep(Stored { length, ..stored() }, Instant::now());
            let mut at = 0;
            for step in &steps {
                match step {
                    Step::Push(len) => {
                        lead.push(&whole[at..at + len], Instant::now()).await.unwrap();
                        at += len;
                    }
                    Step::Share => {
                        let piece = Bytes::copy_from_slice(&whole[at..at + CHUNK_BYTES]);
                        lead.push_shared(&piece, Instant::now()).await.unwrap();
                        at += CHUNK_BYTES;
                    }
                    Step::Join => {
                        if let Place::Follow(reader) = flights.join(&key("a"), 0, Instant::now()) {
                            readers.push((reader, Vec::new()));
                        }
                    }
                    Step::Read(which) => {
                        let which = which % readers.len();
                        let (reader, read) = &mut readers[which];
                        if let Some(Ok(Some(piece))) = now(|context| reader.poll_piece(context)) {
                            read.extend_from_slice(&piece);
                        }
                    }
                }
            }
            let finished = lead.finish().unwrap();
            prop_assert!(finished.is_some() || !is_kept);
            for (reader, read) in &mut readers {
                read.extend(rest(reader).await.unwrap());
                prop_assert_eq!(&*read, &whole);
            }
            if let Some(finished) = finished {
                let kept: Vec<u8> = finished.body.pieces(0..u64::MAX).flat_map(|piece| piece.to_vec()).collect();
                prop_assert_eq!(kept, whole);
            }
            drop(readers);
            prop_assert_eq!(flights.figures().filling_bytes, 0);
            Ok(())
        })?;
    }
}
