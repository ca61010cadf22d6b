//! The first bytes of a body, looked at before its route is chosen. They stay where they are, to be passed on.

use crate::core::{Snapshot, Work};
use crate::error::Refusal;
use crate::io::read;
use crate::json_field::JsonSearch;
use crate::request::Client;
use crate::sites::Site;
use crate::wire::{Coding, Part};
use std::io;
use std::time::Instant;

/// Frames around a body's bytes may take as much room as the bytes, in chunks of a few.
const FRAMES_SHARE: usize = 2;

/// Reads as much of the body as it takes to know the fields that the site's routes ask for, at most
/// `limit.json_prefix`.
pub(crate) async fn find_fields<'s>(
    snapshot: &Snapshot,
    client: &mut Client,
    work: &mut Work,
    site: &'s Site,
) -> Result<JsonSearch<'s>, Refusal> {
    let mut search = site.json.search();
    let mut body = work.request.body.clone();
    let bytes_max = snapshot.config.limit.json_prefix.as_usize();
    let idle = snapshot.config.timeout.body_idle.get();
    // What of the buffer has been decoded, and how many bytes of the body that were.
    let (mut seen, mut passed) = (0, 0);
    loop {
        // A copy: the bytes themselves are decoded once they are passed on.
        let mut copy = work.down.filled()[seen..].to_vec();
        let decoded = body.decode(&mut copy, 0)?;
        seen += decoded.consumed;
        // However the network cuts a body, the same bytes of it are looked at.
        let data = &copy[decoded.data];
        let data = &data[..data.len().min(bytes_max - passed)];
        passed += data.len();
        let may_tell_more = search.feed(data);
        if body.is_finished() && passed < bytes_max {
            search.end();
            return Ok(search);
        }
        if !may_tell_more || passed >= bytes_max {
            return Ok(search);
        }
        if work.down.spare().is_empty() {
            work.down.grow(work.down.held().len() + bytes_max * FRAMES_SHARE);
        }
        // Frames alone fill the room: what is in them stays unknown.
        if work.down.spare().is_empty() {
            return Ok(search);
        }
        // RFC 9110 §10.1.1: a client that waits to be asked for its body is asked here, and not again by the endpoint.
        if std::mem::take(&mut work.request.expects_continue) {
            let part = Part { head: b"HTTP/1.1 100 Continue\r\n\r\n", data: b"", end: None };
            let (_, mut sink) = client.wire.split();
            let asked = sink.write(part, Coding::Identity, &mut work.timer, idle).await;
            asked.map_err(|_| Refusal::ClientTimeout)?;
        }
        work.timer.set(Instant::now() + idle);
        let (mut source, _) = client.wire.split();
        match read(&mut source, &mut work.down, &mut work.timer).await {
            Ok(0) => body.end_of_connection()?,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Refusal::ClientTimeout),
            Err(_) => return Err(Refusal::Body(crate::protocol::BadBody::Incomplete)),
        }
    }
}
