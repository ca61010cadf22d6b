//! What a try means: for the endpoint, for its connection, for the client.

use super::receive::{ReceiveEnd, Received};
use super::{Exchange, Reach, Try};
use crate::core::{Core, Work};
use crate::error::Refusal;
use crate::request::{After, Client, Report};
use crate::retry;
use crate::tunnel::Tunnel;
use crate::upstream::{Towards, Upstream};
use crate::wire::Wire;
use balance::{Outcome, Picked, RetryOn};
use std::time::{Duration, Instant};

/// nginx's status for a client that left before its answer; it is logged and counted, never sent.
pub(crate) const CLIENT_GONE: u16 = 499;

/// How one conversation with an endpoint ended.
pub(super) struct Talked {
    pub(super) received: Result<Received, ReceiveEnd>,
    /// The client broke a rule while its body was on its way.
    pub(super) refused: Option<Refusal>,
    pub(super) reach: Reach,
    /// All of the request was read from the client.
    pub(super) is_whole: bool,
}

impl Exchange<'_> {
    /// Draws the conclusions from a try: for the endpoint, for its connection, for the client.
    pub(super) fn conclude(
        &mut self,
        towards: &Towards<'_>,
        picked: Picked,
        upstream: Upstream,
        talked: Talked,
        began: Instant,
    ) -> Try {
        let now = Instant::now();
        let progress = &self.report.progress;
        let latency = progress.head_at.get().unwrap_or(now) - began;
        let status = progress.status.get();
        let has_begun = progress.has_begun.get();
        self.report.sent_bytes = progress.sent_bytes.get();
        if status != 0 {
            self.report.status = status;
        }
        if let Some(refusal) = talked.refused {
            // The client's own fault; the endpoint is not blamed, but its connection is in the middle of things.
            drop(picked);
            self.report.cause = Some(refusal.to_string().into());
            return if has_begun {
                if status == 0 {
                    self.report.status = refusal.status();
                }
                Try::Answered(After::Close)
            } else {
                Try::Failed { refusal, on: None, sent: talked.reach }
            };
        }
        let failed = |refusal, on| Try::Failed { refusal, on: Some(on), sent: talked.reach };
        match talked.received {
            Ok(Received::Whole { is_reusable, keeps_connection }) => {
                if is_reusable {
                    self.core.upstreams.keep(towards, upstream, now);
                }
                picked.finish(Outcome::Answered { status }, latency, now);
                Try::Answered(if keeps_connection {
                    After::Keep
                } else if talked.is_whole {
                    After::Close
                } else {
                    After::Linger
                })
            }
            Ok(Received::Switched) => {
                self.core.events.tunnels.inc();
                Try::Switched(Switched { picked, upstream, latency })
            }
            Ok(Received::Unwanted) => {
                picked.finish(Outcome::Answered { status }, latency, now);
                let on = retry::unwanted_as(status);
                Try::Failed { refusal: Refusal::EndpointStatus(status), on, sent: talked.reach }
            }
            Err(ReceiveEnd::ClientGone) => Try::Answered(self.client_left("client left")),
            Err(ReceiveEnd::ClientStalled) => Try::Answered(self.client_left("client stopped reading")),
            Ok(Received::NotSwitched) => {
                picked.finish(Outcome::Answered { status: self.work.response.status }, latency, now);
                let refusal = Refusal::Endpoint("it did not change the protocol");
                Try::Failed { refusal, on: None, sent: talked.reach }
            }
            Err(ReceiveEnd::Stalled) => {
                upstream.give_up();
                picked.finish(Outcome::Broken, latency, now);
                self.report.cause = Some("endpoint stalled in its body".into());
                Try::Answered(After::Close)
            }
            Err(ReceiveEnd::Broken(cause)) => {
                picked.finish(Outcome::Broken, latency, now);
                self.report.cause = Some(cause.into());
                Try::Answered(After::Close)
            }
            // It was not sent, as far as the endpoint is concerned. One that ends its connections now and then has done
            // nothing wrong; one that has too much to do is spared by the pool's own rules.
            Err(ReceiveEnd::Unseen { is_busy }) => {
                if is_busy {
                    picked.finish(Outcome::Reset, latency, now);
                } else {
                    drop(picked);
                }
                let sent = if talked.reach == Reach::Replayable { Reach::Nowhere } else { talked.reach };
                let refusal = Refusal::Endpoint("the request was not accepted");
                Try::Failed { refusal, on: Some(RetryOn::Connect), sent }
            }
            Err(ReceiveEnd::Reset { .. }) => {
                picked.finish(Outcome::Reset, latency, now);
                failed(Refusal::Endpoint("connection ended before the response"), RetryOn::Reset)
            }
            Err(ReceiveEnd::FirstByteTimeout) => {
                upstream.give_up();
                picked.finish(Outcome::FirstByteTimeout, latency, now);
                failed(Refusal::EndpointTimeout, RetryOn::FirstByte)
            }
            Err(ReceiveEnd::Malformed(bad)) => {
                picked.finish(Outcome::Reset, latency, now);
                Try::Failed { refusal: Refusal::EndpointHead(bad), on: None, sent: talked.reach }
            }
        }
    }

    /// Notes that the client ended the exchange, which says nothing about the endpoint.
    pub(super) fn client_left(&mut self, cause: &'static str) -> After {
        // Of those who read what the cache fetches, each says so itself.
        if !matches!(self.client.wire, Wire::Cache(_)) {
            self.core.events.client_gone.inc();
        }
        if self.report.status == 0 {
            self.report.status = CLIENT_GONE;
        }
        self.report.cause = Some(cause.into());
        After::Close
    }
}

/// An endpoint that speaks another protocol with the client from now on. Until that ends it counts as in flight
/// at the endpoint (for the policies, for `limit.inflight_per_endpoint` and for a drain), but no longer in the
/// pool's gate.
pub(crate) struct Switched {
    picked: Picked,
    upstream: Upstream,
    latency: Duration,
}

impl Switched {
    /// Passes bytes until both sides have ended. `idle` is how long both may be silent.
    pub(crate) async fn run(
        mut self,
        core: &Core,
        client: &mut Client,
        work: &mut Work,
        idle: Duration,
        report: &mut Report,
    ) -> After {
        // A tunnel lasts: it keeps no more memory than what it still has to say.
        work.down.trim();
        work.up.trim();
        let tunnel = Tunnel {
            client: &mut client.wire,
            endpoint: &mut self.upstream.wire,
            from_client: work.down.filled(),
            from_endpoint: work.up.filled(),
            idle,
        };
        report.sent_bytes = Box::pin(tunnel.run()).await;
        core.take_back(&mut work.up);
        self.picked.finish(Outcome::Answered { status: 101 }, self.latency, Instant::now());
        After::Close
    }
}
