//! A core's own connections to endpoints: kept after a response, and never handed out half-closed.

use crate::events::EdgeEvents;
use balance::{Endpoint, EndpointId, KeepaliveConfig};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// A connection to an endpoint.
pub(crate) struct Upstream {
    pub(crate) stream: TcpStream,
    /// It has served a request before: its end may have crossed with our request.
    pub(crate) is_reused: bool,
}

/// The idle connections of one endpoint, the latest used last.
struct Kept {
    endpoint: Arc<Endpoint>,
    idle: Vec<(TcpStream, Instant)>,
    idle_max: Duration,
}

/// Idle connections by endpoint. Bounded by `keepalive.connections` an endpoint.
#[derive(Default)]
pub(crate) struct Upstreams {
    kept: RefCell<HashMap<EndpointId, Kept>>,
}

impl Upstreams {
    /// The most recently used idle connection that is still whole. `surely` asks the kernel, at the price of
    /// a system call: for requests that must not be sent twice.
    pub(crate) fn take(&self, endpoint: &Endpoint, surely: bool) -> Option<Upstream> {
        let mut kept = self.kept.borrow_mut();
        let kept = kept.get_mut(&endpoint.id())?;
        while let Some((stream, _)) = kept.idle.pop() {
            if is_whole(&stream) && (!surely || sys::tcp_quiet(stream.as_fd())) {
                return Some(Upstream { stream, is_reused: true });
            }
        }
        None
    }

    /// Keeps a connection whose response has ended.
    pub(crate) fn keep(
        &self,
        endpoint: &Arc<Endpoint>,
        stream: TcpStream,
        config: &KeepaliveConfig,
        now: Instant,
    ) {
        if config.connections == 0 || endpoint.is_gone() {
            return;
        }
        let mut kept = self.kept.borrow_mut();
        let kept = kept.entry(endpoint.id()).or_insert_with(|| Kept {
            endpoint: endpoint.clone(),
            idle: Vec::new(),
            idle_max: config.idle.get(),
        });
        kept.idle_max = config.idle.get();
        if kept.idle.len() < config.connections as usize {
            kept.idle.push((stream, now));
        }
    }

    /// Closes what has idled for too long, what the endpoint has closed, and all of endpoints that are gone.
    pub(crate) fn sweep(&self, now: Instant) {
        self.kept.borrow_mut().retain(|_, kept| {
            let Kept { endpoint, idle, idle_max } = kept;
            idle.retain(|(stream, since)| {
                now.saturating_duration_since(*since) < *idle_max && is_whole(stream)
            });
            !endpoint.is_gone() && !idle.is_empty()
        });
    }
}

/// Whether nothing has happened on an idle connection. The runtime's readiness says so without a system call;
/// where it says "readable", that may be left from the last response, and the kernel is asked.
fn is_whole(stream: &TcpStream) -> bool {
    match stream.poll_read_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => true,
        Poll::Ready(_) => {
            let mut byte = [0];
            matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
        }
    }
}

/// Opens a connection to an endpoint.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    timeout: Duration,
    events: &EdgeEvents,
) -> io::Result<Upstream> {
    let connecting = TcpStream::connect(endpoint.address());
    let stream = tokio::time::timeout(timeout, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    events.upstream_opened.inc();
    Ok(Upstream { stream, is_reused: false })
}

/// Whether a connection failed for want of something on this side (descriptors, ports, memory), which says
/// nothing about the endpoint.
pub(crate) fn is_our_lack(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const EADDRNOTAVAIL: i32 = 99;
    const ENOBUFS: i32 = 105;
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE | EADDRNOTAVAIL | ENOBUFS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_descriptors_is_ours_and_a_refused_connection_is_the_endpoint_s() {
        assert!(is_our_lack(&io::Error::from_raw_os_error(24)));
        assert!(!is_our_lack(&io::Error::from_raw_os_error(111)));
        assert!(!is_our_lack(&io::ErrorKind::TimedOut.into()));
    }
}
