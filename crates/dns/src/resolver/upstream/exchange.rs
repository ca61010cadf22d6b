//! One question and its answer, over a datagram or a connection.

use super::super::key::Asked;
use super::super::wire::{Reply, Unfit, parse};
use super::message::query;
use super::{Manner, Upstream};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::PoisonError;
use tokio::net::UdpSocket;

/// What may come instead of an answer before somebody is taken to be guessing: then it is asked over TCP, which cannot be guessed.
const FOREIGN_MAX: usize = 16;
/// An answer that is longer than what was allowed is still read.
const DATAGRAM_BYTES: usize = 4096;

/// A question for one upstream.
pub(super) struct Exchange {
    message: Vec<u8>,
    by_datagram: bool,
}

impl Exchange {
    /// By a datagram, or by a connection.
    pub(super) fn new(
        upstream: &Upstream,
        name: &[u8],
        asked: Asked,
        manner: Manner,
        by_datagram: bool,
    ) -> Self {
        let is_encrypted = upstream.address.transport.is_encrypted();
        // Where nobody can guess, a cookie only tells that it is the same client again.
        let cookie = if is_encrypted { Vec::new() } else { upstream.cookie() };
        let message = query(name, asked, &cookie, (manner.random_case, is_encrypted), &mut rand::rng());
        Self { message, by_datagram }
    }

    pub(super) async fn run(self, upstream: &Upstream) -> io::Result<Reply> {
        if !self.by_datagram {
            return self.over_connection(upstream).await;
        }
        match self.over_udp(upstream).await? {
            Some(reply) if !reply.is_truncated => Ok(reply),
            _ => self.over_connection(upstream).await,
        }
    }

    /// `None`: the true answer cannot be told from others.
    async fn over_udp(&self, upstream: &Upstream) -> io::Result<Option<Reply>> {
        let at = upstream.address.at;
        let any: SocketAddr = match at {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        // RFC 5452 §9.2: each question leaves from a port of its own, which the kernel draws, and hears nobody but the upstream.
        let socket = UdpSocket::bind(any).await?;
        socket.connect(at).await?;
        socket.send(&self.message).await?;
        let mut room = vec![0; DATAGRAM_BYTES];
        for _ in 0..FOREIGN_MAX {
            let count = socket.recv(&mut room).await?;
            match parse(&room[..count], &self.message) {
                Ok(reply) => match self.judge(upstream, &reply) {
                    Shown::Ours => return Ok(Some(reply)),
                    Shown::Nothing => return Ok(None),
                    Shown::Foreign => {}
                },
                // RFC 5452 §9.1: somebody who guesses is not listened to, and the answer is still waited for.
                Err(Unfit::Foreign | Unfit::Malformed) => {}
            }
            upstream.events.foreign.inc();
        }
        Ok(None)
    }

    async fn over_connection(&self, upstream: &Upstream) -> io::Result<Reply> {
        let answer =
            upstream.connections.ask(&upstream.dialer, &self.message).await.map_err(io::Error::other)?;
        let unfit = |cause: &'static str| io::Error::new(io::ErrorKind::InvalidData, cause);
        let mut reply = parse(&answer.message, &self.message).map_err(|unread| match unread {
            Unfit::Foreign => unfit("what it answers is not what was asked"),
            Unfit::Malformed => unfit("its answer cannot be read"),
        })?;
        if reply.is_truncated {
            return Err(unfit("it cuts off its answer on a connection"));
        }
        for record in &mut reply.records {
            record.ttl = record.ttl.saturating_sub(answer.age_s);
        }
        if !upstream.address.transport.is_encrypted() {
            self.judge(upstream, &reply);
        }
        Ok(reply)
    }

    /// RFC 7873 §5.3: an answer shows the cookie that it was asked with; one without is believed only of those who have none.
    fn judge(&self, upstream: &Upstream, reply: &Reply) -> Shown {
        let mut known = upstream.server_cookie.lock().unwrap_or_else(PoisonError::into_inner);
        match reply.cookie.as_deref().and_then(|cookie| cookie.split_at_checked(upstream.cookie.len())) {
            Some((ours, theirs)) if ours == upstream.cookie => {
                if (8..=32).contains(&theirs.len()) && known.as_deref() != Some(theirs) {
                    *known = Some(theirs.into());
                }
                Shown::Ours
            }
            Some(_) => Shown::Foreign,
            None if known.is_some() => {
                // A connection tells whether it has forgotten what cookies are.
                *known = None;
                Shown::Nothing
            }
            None => Shown::Ours,
        }
    }
}

/// What the cookie of an answer shows.
enum Shown {
    Ours,
    Foreign,
    /// It has none, though there were some before.
    Nothing,
}
