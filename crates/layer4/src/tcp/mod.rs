//! One connection, from its acceptance to its end.

mod arrival;
mod forward;
mod reach;
pub(crate) mod splice;
mod stream;

use crate::core::Core;
use crate::error::Refusal;
use crate::snapshot::TcpPart;
use arrival::{Arrived, arrive};
use balance::Outcome;
use flow::Permit;
use forward::{End, Side, join};
pub(crate) use reach::is_our_lack;
use reach::{Reached, reach};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use stream::Stream;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// Accepts on a socket for as long as it is listened on.
pub(crate) async fn listen(core: Rc<Core>, name: &str, listener: std::net::TcpListener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            return tracing::error!(target: "layer4", listener = name, %error, "a listener could not be used");
        }
    };
    loop {
        let (stream, peer) = cores::accept(&listener, "layer4").await;
        // One connection waits here, what comes after it in the kernel's backlog, whose end is the client's to notice.
        let permit = match core.tcp_part(name) {
            Some(part) => part.live.gate.enter().await.ok(),
            None => None,
        };
        let Some((part, permit)) = core.tcp_part(name).zip(permit) else {
            Stream::Plain(stream).reset();
            continue;
        };
        // Counted at once: a drain must not miss it.
        let counted = Counted::new(&core, part, permit);
        tokio::task::spawn_local(serve(core.clone(), counted, stream, peer));
    }
}

/// A connection that is open, as it is counted.
struct Counted {
    part: Arc<TcpPart>,
    _open: cores::Guard,
    _permit: Permit,
}

impl Counted {
    fn new(core: &Core, part: Arc<TcpPart>, permit: Permit) -> Self {
        part.live.open.fetch_add(1, Ordering::Relaxed);
        part.live.events.open.inc();
        part.live.events.accepted.inc();
        Self { part, _open: core.connections.enter(), _permit: permit }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.part.live.open.fetch_sub(1, Ordering::Relaxed);
        self.part.live.events.open.dec();
    }
}

async fn serve(core: Rc<Core>, counted: Counted, stream: TcpStream, peer: SocketAddr) {
    let part = &*counted.part;
    let arrived = match arrive(part, stream, peer).await {
        Ok(arrived) => arrived,
        Err(refused) => return refuse(part, refused).await,
    };
    let Reached { picked, took, mut stream } = match reach(&core, part, &arrived).await {
        Ok(reached) => reached,
        Err(refusal) => return refuse(part, Refused { stream: Some(arrived.stream), refusal }).await,
    };
    let Arrived { stream: mut client, sent, held, .. } = arrived;
    part.live.events.received.add(sent.len() as u64);
    drop(sent);
    let (end, has_answered) = join(&core, part, &mut client, &mut stream).await;
    match end {
        End::Both => {}
        End::Idle => part.live.events.idle.inc(),
        End::Broken(_) => part.live.events.reset.inc(),
    }
    if end != End::Both {
        // Whoever gets half of a stream must not take it for the whole.
        client.reset();
        stream.reset();
    }
    let outcome = match end {
        End::Broken(Side::Endpoint) if !has_answered => Outcome::Reset,
        _ => Outcome::Answered { status: 200 },
    };
    picked.finish(outcome, took, Instant::now());
    drop(held);
}

/// A connection that goes no further.
struct Refused {
    /// `None` when it is closed already.
    stream: Option<Stream>,
    refusal: Refusal,
}

/// How long a client has to take an alert.
const ALERT_TIME: Duration = Duration::from_secs(1);

/// RFC 8446 §6: `unrecognized_name` (112) as a fatal alert, in plain text.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

async fn refuse(part: &TcpPart, refused: Refused) {
    part.live.events.refused(refused.refusal);
    match (refused.stream, refused.refusal) {
        (None, _) => {}
        (Some(Stream::Plain(mut stream)), Refusal::ServerName) => {
            // Whether it hears why is its own affair.
            let told = async {
                stream.write_all(&UNRECOGNIZED_NAME).await?;
                stream.shutdown().await
            };
            let _ = tokio::time::timeout(ALERT_TIME, told).await;
        }
        (Some(stream), _) => stream.reset(),
    }
}
