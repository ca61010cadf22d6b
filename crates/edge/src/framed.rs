//! Requests that come in frames, of HTTP/2 and HTTP/3: each is a stream of its own, and served as any other once its head
//! is lines.

use crate::arrival::Peer;
use crate::connection::LINGER_TIME;
use crate::core::{Core, Work};
use crate::error::Refusal;
use crate::forwarding::websocket_key;
use crate::message::{Message, lines};
use crate::protocol::{BadHead, RequestLimits, Version};
use crate::request::{Client, refuse_head, serve_request};
use crate::wire::Wire;
use std::cell::Cell;
use std::rc::Rc;

/// What is told of a request that comes in frames besides its head.
pub(crate) struct Opening {
    /// No body follows.
    pub(crate) is_whole: bool,
    /// What an extended CONNECT asks for (RFC 8441).
    pub(crate) protocol: Option<String>,
    pub(crate) version: Version,
}

/// Counts a request of a connection that has many, until it ends.
pub(crate) struct Open(Rc<Cell<usize>>);

impl Open {
    pub(crate) fn new(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Serves a request that came in frames.
pub(crate) async fn serve_message(
    core: &Rc<Core>,
    peer: Rc<Peer>,
    message: Message,
    head: &http::request::Parts,
    opening: &Opening,
) {
    let mut work = core.take_work();
    let mut client = Client { wire: Wire::Frames(Box::new(message)), peer };
    match take_head(core, &mut work, head, opening) {
        // RFC 8441 §4: only what is known can be switched to.
        Ok(()) if opening.protocol.as_deref().is_some_and(|protocol| protocol != "websocket") => {
            refuse_head(core, &mut client, &mut work, &Refusal::Protocol).await;
        }
        Ok(()) => {
            serve_request(core, &mut client, &mut work).await;
        }
        Err(bad) => {
            refuse_head(core, &mut client, &mut work, &bad.into()).await;
        }
    }
    work.down.release();
    core.give_back(work);
    if let Wire::Frames(mut message) = client.wire {
        message.outgoing.reset();
        // Silence here is the client's business.
        let _ = tokio::time::timeout(LINGER_TIME, message.incoming.end()).await;
    }
}

/// Holds a head that came in frames against the rules for all heads.
fn take_head(
    core: &Core,
    work: &mut Work,
    head: &http::request::Parts,
    opening: &Opening,
) -> Result<(), BadHead> {
    let key =
        opening.protocol.as_ref().map(|_| websocket_key(&mut *core.rng.borrow_mut())).unwrap_or_default();
    let Work { down, out, request, .. } = work;
    out.clear();
    request.clear();
    request.version = opening.version;
    lines::write_request(head, opening.protocol.as_deref(), &key, out)?;
    down.grow(out.len());
    down.spare()[..out.len()].copy_from_slice(out);
    down.fill(out.len());
    // Lines are longer than what h2 counts: the limit was held there.
    let limits = core.snapshot().limits;
    let parsed = request.parse(down.filled(), 0, RequestLimits { head_bytes_max: out.len(), ..limits });
    request.set_framed(opening.version, opening.is_whole);
    match parsed? {
        // RFC 8441 §4: such a request has no length.
        true if opening.protocol.is_some() && request.upgrade.is_none() => Err(BadHead::ContentLength),
        true => Ok(()),
        false => Err(BadHead::RequestLine),
    }
}
