//! Chunks decode to the same data however they are cut, and decoding never reads past the body.
#![no_main]

use edge::protocol::{BadBody, Body};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&cut, wire)) = input.split_first() else { return };
    let whole = decode(wire, wire.len().max(1));
    let pieces = decode(wire, usize::from(cut).max(1));
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces),
        (Err(_), Err(_)) => {}
        (whole, pieces) => panic!("whole: {whole:?}, in pieces: {pieces:?}"),
    }
});

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    data: Vec<u8>,
    trailers: Vec<u8>,
    rest: Vec<u8>,
    is_finished: bool,
}

fn decode(wire: &[u8], cut: usize) -> Result<Seen, BadBody> {
    let mut body = Body::chunked();
    let mut seen = Seen { data: Vec::new(), trailers: Vec::new(), rest: Vec::new(), is_finished: false };
    for piece in wire.chunks(cut) {
        seen.rest.extend_from_slice(piece);
        if !body.is_finished() {
            let decoded = body.decode(&mut seen.rest, 0)?;
            assert!(decoded.data.end <= decoded.consumed && decoded.consumed <= seen.rest.len());
            seen.data.extend_from_slice(&seen.rest[decoded.data.clone()]);
            seen.trailers.extend_from_slice(&seen.rest[decoded.trailers.clone()]);
            seen.rest.drain(..decoded.consumed);
        }
    }
    seen.is_finished = body.is_finished();
    Ok(seen)
}
