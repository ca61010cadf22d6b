//! Two tiers: fetches go to other nodes first, the shield, which keep the same and ask the origin.
//!
//! The file is the same at all nodes. A fetch says whose it is, and which purges it knows that others may not; the shield answers it
//! out of its cache only if it knows them too, and never asks another node. What it sends has all that is for caches, and a line that says so:
//! an answer without it was not made for a node, and the origin is asked instead.

use super::Cached;
use crate::core::Work;
use crate::error::Refusal;
use cdn::Engine;
use cdn::nodes::{ANSWERED, FETCHED, Fetched, LOOP, is_loop, write_loop};

/// What becomes of a request, before it is looked up.
pub(super) enum Arrived {
    /// It is looked up.
    Welcome,
    /// It knows of purges that are not known here: what is kept may be older.
    Ahead,
}

/// Finds out whether another node asks.
pub(super) fn arrive(cached: &mut Cached<'_>) -> Result<Arrived, Refusal> {
    let work = &mut *cached.work;
    let head = work.down.held();
    // Whoever comes without these lines is a client; the nodes are behind a lock.
    if cached.route.to_shield.is_none() || work.request.value_of(head, LOOP.as_bytes()).is_none() {
        return Ok(Arrived::Welcome);
    }
    let Some(nodes) = cached.caching.engine.nodes() else { return Ok(Arrived::Welcome) };
    if is_loop(nodes.own(), work.request.values_of(head, LOOP.as_bytes())) {
        return Err(Refusal::Loop);
    }
    let said = work.request.value_of(head, FETCHED.as_bytes()).filter(|_| work.is_trusted);
    let Some(fetched) = said.and_then(Fetched::read).filter(|fetched| nodes.is_one(fetched.from)) else {
        return Ok(Arrived::Welcome);
    };
    work.is_for_node = true;
    // What the gate says is for a client of this node, and would be kept there for all.
    work.extra.clear();
    Ok(if nodes.covers(&fetched.vector) { Arrived::Welcome } else { Arrived::Ahead })
}

/// What a fetch says to the origin.
pub(super) fn line_for_origin(engine: &Engine) -> Vec<u8> {
    let mut line = Vec::new();
    if let Some(nodes) = engine.nodes() {
        write_loop(nodes.own(), &mut line);
    }
    line
}

/// What a fetch says to the shield; `None` where the origin is to be asked.
pub(super) fn lines(engine: &Engine, asking: &Work) -> Option<Vec<u8>> {
    if asking.is_for_node {
        return None;
    }
    let fetched = engine.nodes()?.fetched()?;
    let mut lines = Vec::with_capacity(160);
    write_loop(fetched.from, &mut lines);
    fetched.write(&mut lines);
    Some(lines)
}

/// Says that an answer was made for a node.
pub(super) fn write_answered(out: &mut Vec<u8>) {
    out.extend_from_slice(ANSWERED.as_bytes());
    out.extend_from_slice(b": 1\r\n");
}
