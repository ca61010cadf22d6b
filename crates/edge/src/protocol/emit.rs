//! Writing heads and frames: whole runs of kept lines are copied at once.

use super::field::Field;

/// Copies the head's field lines that `keep` keeps to `out`, neighbours in one go. `end` is where the last
/// line ends, which is where the empty line starts.
pub(crate) fn copy_kept_lines(
    head: &[u8],
    fields: &[Field],
    end: usize,
    out: &mut Vec<u8>,
    mut keep: impl FnMut(&Field) -> bool,
) {
    let mut run_start = None;
    for field in fields {
        let line_start = field.name.start as usize;
        match (keep(field), run_start) {
            (true, None) => run_start = Some(line_start),
            (false, Some(start)) => {
                out.extend_from_slice(&head[start..line_start]);
                run_start = None;
            }
            _ => {}
        }
    }
    if let Some(start) = run_start {
        out.extend_from_slice(&head[start..end]);
    }
}

/// `HTTP/1.1 200 OK`, with the line's end.
pub(crate) fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// `Content-Length: 5`, with the line's end.
pub(crate) fn write_length(out: &mut Vec<u8>, bytes: u64) {
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(itoa::Buffer::new().format(bytes).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The line before a chunk's data. `bytes` is not 0: that would be the last chunk.
pub(crate) fn write_chunk_start(out: &mut Vec<u8>, bytes: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    debug_assert!(bytes > 0, "an empty chunk would end the body");
    let digits = (usize::BITS - bytes.leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.push(DIGITS[(bytes >> (digit * 4)) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}
