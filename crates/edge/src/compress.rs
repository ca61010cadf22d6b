//! Compressing a response on its way: what is said of it in the head, and its body through an encoder.

use crate::protocol::{FieldKind, RequestHead};
use encoding::{Action, Compression, EncodeError, Encoder, Plan, VOID_WHEN_ENCODED, is_vary_complete};

/// What a response is compressed by: the file's word, and the client's.
pub(crate) struct Wanted<'a> {
    pub(crate) compression: &'a Compression,
    /// All of `Accept-Encoding`, as one list.
    pub(crate) accept: Vec<u8>,
    pub(crate) if_none_match: Option<Vec<u8>>,
}

impl<'a> Wanted<'a> {
    /// Copies: the head that they stand in may go while the response is awaited.
    pub(crate) fn new(compression: &'a Compression, request: &RequestHead, head: &[u8]) -> Self {
        let mut accept = Vec::new();
        for field in request.fields.iter().filter(|field| field.kind == FieldKind::AcceptEncoding) {
            accept.extend_from_slice(if accept.is_empty() { b"" } else { b", " });
            accept.extend_from_slice(field.value.of_head(head));
        }
        let if_none_match = request.value_of(head, b"if-none-match").map(<[u8]>::to_vec);
        Self { compression, accept, if_none_match }
    }
}

/// A body in passing.
pub(crate) struct Compressor {
    encoder: Encoder,
    flushes_each_piece: bool,
    /// What is ready to go.
    pub(crate) ready: Vec<u8>,
}

impl Compressor {
    /// For a plan that encodes.
    pub(crate) fn new(encoder: Encoder, flushes_each_piece: bool) -> Self {
        Self { encoder, flushes_each_piece, ready: Vec::new() }
    }

    /// Takes a piece. `is_last`: it is the end of the body. `pauses`: nothing more is here yet, so that what is here
    /// goes out.
    pub(crate) fn pass(&mut self, data: &[u8], is_last: bool, pauses: bool) -> Result<(), EncodeError> {
        self.ready.clear();
        self.encoder.push(data, &mut self.ready)?;
        if is_last {
            self.encoder.finish(&mut self.ready)
        } else if pauses || self.flushes_each_piece {
            self.encoder.flush(&mut self.ready)
        } else {
            Ok(())
        }
    }
}

/// Whether a header of the response is no longer true, or is written anew.
pub(crate) fn voids(plan: &Plan, name: &[u8]) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let is_encoded = matches!(plan.action, Action::Encode { .. });
    (is_encoded && (VOID_WHEN_ENCODED.into_iter().any(is) || is("content-encoding")))
        || (plan.is_etag_weakened && is("etag"))
}

/// Writes what is said of a response that is, or could have been, compressed.
pub(crate) fn write_lines(plan: &Plan, vary: Option<&[u8]>, etag: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Action::Encode { coding, .. } = plan.action {
        out.extend_from_slice(b"Content-Encoding: ");
        out.extend_from_slice(coding.token().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if let (true, Some(etag)) = (plan.is_etag_weakened, etag) {
        out.extend_from_slice(b"ETag: W/");
        out.extend_from_slice(etag);
        out.extend_from_slice(b"\r\n");
    }
    if plan.is_vary_due && !vary.is_some_and(is_vary_complete) {
        out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
    }
}
