//! What the edge counts, and one line of its access log.

use crate::flood::Flood;
use crate::forwarding::RequestIds;
use encoding::{Coding, Reason};
use std::time::{Duration, SystemTime};
use telemetry::{Counter, Gauge, Histogram, Registry};

/// Counted for the edge as a whole.
pub(crate) struct EdgeEvents {
    pub(crate) accepted: Counter,
    pub(crate) open: Gauge,
    pub(crate) upstream_opened: Counter,
    pub(crate) upstream_reused: Counter,
    pub(crate) tunnels: Counter,
    pub(crate) client_gone: Counter,
    pub(crate) http2: Http2Events,
    pub(crate) http3: Http3Events,
    pub(crate) tls: tls::Events,
    pub(crate) compression: CompressionEvents,
    /// Of connections, before a site is known.
    pub(crate) admission: admission::Events,
    /// Requests that no site is known for: refused heads and unknown hosts.
    pub(crate) unrouted: SiteEvents,
}

impl EdgeEvents {
    pub(crate) fn new(registry: &Registry) -> Self {
        let upstream = |how| {
            let help = "Connections to endpoints, opened and reused.";
            registry.counter("nines_edge_upstream_connections_total", help, &[("how", how)])
        };
        Self {
            accepted: registry.counter("nines_edge_connections_total", "Client connections accepted.", &[]),
            open: registry.gauge("nines_edge_connections", "Client connections open.", &[]),
            upstream_opened: upstream("opened"),
            upstream_reused: upstream("reused"),
            tunnels: registry.counter("nines_edge_tunnels_total", "Upgraded connections.", &[]),
            client_gone: registry.counter(
                "nines_edge_client_gone_total",
                "Requests whose client left before the answer.",
                &[],
            ),
            http2: Http2Events::new(registry),
            http3: Http3Events::new(registry),
            tls: tls::Events::new(registry, "edge"),
            compression: CompressionEvents::new(registry),
            admission: admission::Events::new(registry, "edge", &[("site", "")]),
            unrouted: SiteEvents::new(registry, ""),
        }
    }
}

/// Counted for HTTP/2.
pub(crate) struct Http2Events {
    pub(crate) connections: Counter,
    pub(crate) streams: Counter,
    floods: [Counter; Flood::ALL.len()],
    ended: [Counter; ENDINGS.len()],
}

/// Reasons to end a connection (RFC 9113 §7), as labels; the last stands for all others.
const ENDINGS: [(h2::Reason, &str); 7] = [
    (h2::Reason::PROTOCOL_ERROR, "protocol_error"),
    (h2::Reason::FLOW_CONTROL_ERROR, "flow_control_error"),
    (h2::Reason::FRAME_SIZE_ERROR, "frame_size_error"),
    (h2::Reason::COMPRESSION_ERROR, "compression_error"),
    (h2::Reason::STREAM_CLOSED, "stream_closed"),
    (h2::Reason::ENHANCE_YOUR_CALM, "enhance_your_calm"),
    (h2::Reason::INTERNAL_ERROR, "other"),
];

impl Http2Events {
    fn new(registry: &Registry) -> Self {
        let help = "Connections of HTTP/2 that were ended for a flood of frames, by kind.";
        let floods = Flood::ALL
            .map(|flood| registry.counter("nines_edge_http2_floods_total", help, &[("kind", flood.name())]));
        let help = "Connections of HTTP/2 that broke the protocol, by the error code that they were told.";
        let ended = ENDINGS
            .map(|(_, name)| registry.counter("nines_edge_http2_errors_total", help, &[("code", name)]));
        let counter = |name, help| registry.counter(name, help, &[]);
        Self {
            connections: counter("nines_edge_http2_connections_total", "Connections of HTTP/2."),
            streams: counter("nines_edge_http2_streams_total", "Requests of HTTP/2."),
            floods,
            ended,
        }
    }

    pub(crate) fn flood(&self, flood: Flood) {
        self.floods[flood as usize].inc();
    }

    pub(crate) fn ended(&self, reason: h2::Reason) {
        let place = ENDINGS.iter().position(|(known, _)| *known == reason);
        self.ended[place.unwrap_or(ENDINGS.len() - 1)].inc();
    }
}

/// Counted for HTTP/3.
pub(crate) struct Http3Events {
    pub(crate) connections: Counter,
    pub(crate) streams: Counter,
}

impl Http3Events {
    fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help, &[]);
        Self {
            connections: counter("nines_edge_http3_connections_total", "Connections of HTTP/3."),
            streams: counter("nines_edge_http3_streams_total", "Requests of HTTP/3."),
        }
    }
}

/// Counted where compression is wished for.
pub(crate) struct CompressionEvents {
    encoded: [Counter; Coding::ALL.len()],
    passed: [Counter; REASONS.len()],
}

const REASONS: [Reason; 6] =
    [Reason::Status, Reason::Encoded, Reason::NoTransform, Reason::Type, Reason::Short, Reason::NotAccepted];

impl CompressionEvents {
    fn new(registry: &Registry) -> Self {
        let help = "Responses that were compressed, by coding.";
        let encoded = Coding::ALL.map(|coding| {
            registry.counter("nines_edge_compressed_total", help, &[("coding", coding.token())])
        });
        let help = "Responses that were passed on as they are where compression is on, by reason.";
        let passed = REASONS.map(|reason| {
            registry.counter("nines_edge_uncompressed_total", help, &[("reason", reason.as_str())])
        });
        Self { encoded, passed }
    }

    pub(crate) fn encoded(&self, coding: Coding) {
        if let Some(place) = Coding::ALL.iter().position(|known| *known == coding) {
            self.encoded[place].inc();
        }
    }

    pub(crate) fn passed(&self, reason: Reason) {
        if let Some(place) = REASONS.iter().position(|known| *known == reason) {
            self.passed[place].inc();
        }
    }
}

/// Counted for each site.
pub(crate) struct SiteEvents {
    /// By the first digit of the status, from 1 to 5.
    requests: [Counter; 5],
    seconds: Histogram,
    pub(crate) sent: Counter,
    pub(crate) retries: Counter,
}

impl SiteEvents {
    pub(crate) fn new(registry: &Registry, site: &str) -> Self {
        let requests = ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|code| {
            let help = "Requests by their status.";
            registry.counter("nines_edge_requests_total", help, &[("site", site), ("code", code)])
        });
        let seconds = registry.histogram(
            "nines_edge_request_seconds",
            "From a request's head to the end of its answer.",
            &[("site", site)],
            telemetry::LATENCY_BOUNDS,
        );
        let labels = [("site", site)];
        Self {
            requests,
            seconds,
            sent: registry.counter(
                "nines_edge_sent_bytes_total",
                "Bytes of bodies sent to clients.",
                &labels,
            ),
            retries: registry.counter("nines_edge_retries_total", "Tries after a request's first.", &labels),
        }
    }

    /// Counts one request.
    pub(crate) fn answered(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.requests[class].inc();
        self.seconds.observe(took);
    }
}

/// One request, as the access log tells it.
pub(crate) struct AccessRecord<'a> {
    pub(crate) client: &'a str,
    pub(crate) method: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) path: &'a [u8],
    pub(crate) query: &'a [u8],
    pub(crate) version: &'static str,
    pub(crate) status: u16,
    pub(crate) sent_bytes: u64,
    pub(crate) took: Duration,
    pub(crate) site: &'a str,
    pub(crate) route: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) tries: u32,
    pub(crate) referer: &'a [u8],
    pub(crate) user_agent: &'a [u8],
    pub(crate) cause: &'a str,
    pub(crate) cache: &'a str,
    pub(crate) ids: &'a RequestIds,
    pub(crate) at: SystemTime,
}

impl AccessRecord<'_> {
    /// Appends the record as one line of JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut text = |key: &str, value: &[u8]| {
            if !value.is_empty() {
                out.extend_from_slice(b"\"");
                out.extend_from_slice(key.as_bytes());
                out.extend_from_slice(b"\":");
                telemetry::json::write_str(out, value);
                out.push(b',');
            }
        };
        text("ts", &telemetry::Rfc3339(self.at).text());
        text("client", self.client.as_bytes());
        text("version", self.version.as_bytes());
        text("method", self.method);
        text("host", self.host);
        text("path", self.path);
        text("query", self.query);
        text("site", self.site.as_bytes());
        text("route", self.route.as_bytes());
        text("endpoint", self.endpoint.as_bytes());
        text("cache", self.cache.as_bytes());
        text("referer", self.referer);
        text("user_agent", self.user_agent);
        text("cause", self.cause.as_bytes());
        text("request_id", &self.ids.request_id);
        text("trace_id", &self.ids.trace.trace_id_text());
        text("span_id", &self.ids.trace.span_id_text());
        let mut number = |key: &str, value: u64, last: bool| {
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
            out.extend_from_slice(if last { b"}" } else { b"," });
        };
        number("\"status\":", u64::from(self.status), false);
        number("\"sent_bytes\":", self.sent_bytes, false);
        number("\"tries\":", u64::from(self.tries), false);
        number("\"took_us\":", self.took.as_micros() as u64, true);
    }
}
