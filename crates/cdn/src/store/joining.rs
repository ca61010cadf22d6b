//! Parts of one version that touch become one (RFC 9111 §3.4).

use super::body::Body;
use super::object::Object;
use crate::rules::joined;
use std::sync::Arc;

/// A part, with those of `others` that it touches and that are of its version: more of the response, or all of it. The head is that of
/// `part`, which is the newest. No more than `bytes_max` bytes are put together.
///
/// What differs by its tags is left apart: what is joined is purged by those of its head.
pub(crate) fn join(part: Object, others: &[Arc<Object>], bytes_max: u64) -> Object {
    let mut part = part;
    let mut others: Vec<&Arc<Object>> = others.iter().collect();
    loop {
        let found = others.iter().enumerate().find_map(|(at, other)| {
            let range =
                joined(&part.stored, &other.stored).filter(|(start, end)| end - start <= bytes_max)?;
            let is_kin = part.stored.vary == other.stored.vary && part.stored.tags == other.stored.tags;
            is_kin.then_some((at, range))
        });
        let Some((at, range)) = found else { return part };
        let other = others.swap_remove(at);
        let body = body_of(&part, other, range);
        part = Object::new(part.key.clone(), part.stored.clone().of_range(range), body, part.asked());
        if part.stored.range.is_none() {
            return part;
        }
    }
}

fn body_of(part: &Object, other: &Object, (start, end): (u64, u64)) -> Body {
    let (Some((part_start, part_end)), Some((other_start, _))) = (part.stored.range, other.stored.range)
    else {
        unreachable!("what is joined are parts");
    };
    let before = other.body.pieces(0..part_start - start);
    let after = if end > part_end { part_end - other_start..end - other_start } else { 0..0 };
    Body::join([before, part.body.pieces(0..u64::MAX), other.body.pieces(after)])
}
