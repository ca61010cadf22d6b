//! What is counted of queries, answers and connections.

use crate::answer::SignedNow;
use crate::cookies::Shown;
use crate::protocol::Transport;
use crate::zone::Zone;
use crate::zones::Zones;
use domain::base::iana::{OptRcode, Rtype};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use telemetry::{Counter, Gauge, Registry};

/// Types that are counted by name; all others are `other`, so that no client chooses how many series there are.
const TYPES: [(Rtype, &str); 20] = [
    (Rtype::A, "A"),
    (Rtype::AAAA, "AAAA"),
    (Rtype::ANY, "ANY"),
    (Rtype::AXFR, "AXFR"),
    (Rtype::CAA, "CAA"),
    (Rtype::CNAME, "CNAME"),
    (Rtype::DNSKEY, "DNSKEY"),
    (Rtype::DS, "DS"),
    (Rtype::HTTPS, "HTTPS"),
    (Rtype::IXFR, "IXFR"),
    (Rtype::MX, "MX"),
    (Rtype::NAPTR, "NAPTR"),
    (Rtype::NS, "NS"),
    (Rtype::PTR, "PTR"),
    (Rtype::SOA, "SOA"),
    (Rtype::SRV, "SRV"),
    (Rtype::SSHFP, "SSHFP"),
    (Rtype::SVCB, "SVCB"),
    (Rtype::TLSA, "TLSA"),
    (Rtype::TXT, "TXT"),
];
/// What counts the rest, and what was not understood.
const TYPE_OTHER: u8 = TYPES.len() as u8;
const TYPE_NONE: u8 = TYPE_OTHER + 1;

/// RCODEs that are counted by name.
const RCODES: [(OptRcode, &str); 8] = [
    (OptRcode::NOERROR, "NOERROR"),
    (OptRcode::FORMERR, "FORMERR"),
    (OptRcode::SERVFAIL, "SERVFAIL"),
    (OptRcode::NXDOMAIN, "NXDOMAIN"),
    (OptRcode::NOTIMP, "NOTIMP"),
    (OptRcode::REFUSED, "REFUSED"),
    (OptRcode::BADVERS, "BADVERS"),
    (OptRcode::BADCOOKIE, "BADCOOKIE"),
];

/// Zones that are counted by name; what exceeds them is `other`.
const ZONES_MAX: usize = 1000;

/// Where a type's counter is; the numbers of those that are counted are below 258.
static TYPE_PLACES: [u8; 258] = {
    let mut places = [TYPE_OTHER; 258];
    let mut at = 0;
    while at < TYPES.len() {
        places[TYPES[at].0.to_int() as usize] = at as u8;
        at += 1;
    }
    places
};

/// Counted of all queries.
pub(crate) struct Events {
    pub(crate) udp: TransportEvents,
    tcp: TransportEvents,
    tls: TransportEvents,
    https: TransportEvents,
    pub(crate) handshakes: tls::Events,
    /// Answers over UDP that were too long for it.
    pub(crate) truncated: Counter,
    dropped: [Counter; Dropped::ALL.len()],
    cookies: [Counter; SHOWN.len()],
    /// Limited answers, by what became of them.
    pub(crate) slipped: Counter,
    pub(crate) limited: Counter,
    /// Signatures that were made with an answer, and answers for which none was made any more.
    signatures_made: Counter,
    signatures_refused: Counter,
    pub(crate) connections: Counter,
    pub(crate) open: Gauge,
    /// Connections that were reset because their client has as many as it may have.
    pub(crate) client_limit: Counter,
    ended: [Counter; Ended::ALL.len()],
}

/// Counted of what one transport carries.
pub(crate) struct TransportEvents {
    types: [Counter; TYPES.len() + 2],
    rcodes: [Counter; RCODES.len() + 1],
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
}

/// What cookies show, in the words of the metric.
const SHOWN: [(Shown, &str); 3] = [(Shown::New, "new"), (Shown::Good, "good"), (Shown::Bad, "bad")];

/// Why a message has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// It is an answer itself, or too short to be anything.
    NotAQuery,
    /// The answer could not be sent: a full buffer, or a client that cannot be reached.
    Unsent,
}

impl Dropped {
    const ALL: [(Self, &'static str); 2] = [(Self::NotAQuery, "not_a_query"), (Self::Unsent, "unsent")];
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The client closed it.
    Client,
    /// Nothing whole came in time.
    Idle,
    /// The client did not take its answers in time.
    Slow,
    /// It broke, or carried what is no query.
    Broken,
    /// Its TLS never began.
    Handshake,
    /// This process drains.
    Drained,
}

impl Ended {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Client, "client"),
        (Self::Idle, "idle"),
        (Self::Slow, "slow"),
        (Self::Broken, "broken"),
        (Self::Handshake, "handshake"),
        (Self::Drained, "drained"),
    ];
}

impl Events {
    pub(crate) fn new(registry: &Registry) -> Self {
        let by_reason = |name: &str, help: &str, reason| registry.counter(name, help, &[("reason", reason)]);
        let ended = |(_, reason)| {
            by_reason(
                "nines_dns_connections_ended_total",
                "Connections of TCP that ended, by reason.",
                reason,
            )
        };
        let limited = |outcome| {
            let help = "Answers over UDP that were limited, by what became of them.";
            registry.counter("nines_dns_limited_total", help, &[("outcome", outcome)])
        };
        let signatures = |outcome| {
            let help = "Signatures that were made with an answer, or refused as too many in a second.";
            registry.counter("nines_dns_signatures_on_demand_total", help, &[("outcome", outcome)])
        };
        Self {
            signatures_made: signatures("made"),
            signatures_refused: signatures("refused"),
            udp: TransportEvents::new(registry, Transport::Udp),
            tcp: TransportEvents::new(registry, Transport::Tcp),
            tls: TransportEvents::new(registry, Transport::Tls),
            https: TransportEvents::new(registry, Transport::Https),
            handshakes: tls::Events::new(registry, "dns"),
            truncated: registry.counter(
                "nines_dns_truncated_total",
                "Answers over UDP that sent the client to TCP (TC).",
                &[],
            ),
            dropped: Dropped::ALL.map(|(_, reason)| {
                by_reason("nines_dns_dropped_total", "Messages without an answer, by reason.", reason)
            }),
            cookies: SHOWN.map(|(_, outcome)| {
                let help = "Queries with a cookie, by what it showed.";
                registry.counter("nines_dns_cookies_total", help, &[("outcome", outcome)])
            }),
            slipped: limited("slipped"),
            limited: limited("dropped"),
            connections: registry.counter("nines_dns_connections_total", "Connections of TCP accepted.", &[]),
            open: registry.gauge("nines_dns_connections", "Connections of TCP open.", &[]),
            client_limit: registry.counter(
                "nines_dns_connections_refused_total",
                "Connections of TCP that were reset: their client has too many.",
                &[],
            ),
            ended: Ended::ALL.map(ended),
        }
    }

    /// What is counted of this transport.
    #[inline]
    pub(crate) fn of(&self, transport: Transport) -> &TransportEvents {
        match transport {
            Transport::Udp => &self.udp,
            Transport::Tcp => &self.tcp,
            Transport::Tls => &self.tls,
            Transport::Https => &self.https,
        }
    }

    pub(crate) fn dropped(&self, dropped: Dropped, messages: usize) {
        self.dropped[dropped as usize].add(messages as u64);
    }

    #[cold]
    pub(crate) fn signed(&self, signed: SignedNow) {
        self.signatures_made.add(signed.made.into());
        if signed.is_refused {
            self.signatures_refused.inc();
        }
    }

    pub(crate) fn cookie(&self, shown: Shown) {
        self.cookies[shown as usize].inc();
    }

    pub(crate) fn ended(&self, ended: Ended) {
        self.ended[ended as usize].inc();
    }
}

impl TransportEvents {
    fn new(registry: &Registry, transport: Transport) -> Self {
        let by = |name: &str, help: &str, label, value| {
            registry.counter(name, help, &[("transport", transport.as_str()), (label, value)])
        };
        let types = |at: usize| {
            let name = match at as u8 {
                TYPE_OTHER => "other",
                TYPE_NONE => "none",
                at => TYPES[usize::from(at)].1,
            };
            by("nines_dns_queries_total", "Queries, by the type that was asked for.", "type", name)
        };
        let rcodes = |at: usize| {
            let name = RCODES.get(at).map_or("other", |(_, name)| name);
            by("nines_dns_responses_total", "Answers, by RCODE.", "rcode", name)
        };
        let bytes = |direction| by("nines_dns_bytes_total", "Bytes of messages.", "direction", direction);
        Self {
            types: std::array::from_fn(types),
            rcodes: std::array::from_fn(rcodes),
            received_bytes: bytes("received"),
            sent_bytes: bytes("sent"),
        }
    }

    /// One message, whatever becomes of it.
    #[inline]
    pub(crate) fn asked(&self, rtype: Option<Rtype>) {
        self.types[usize::from(place_of(rtype))].inc();
    }

    /// One message that is answered.
    #[inline]
    pub(crate) fn answered(&self, rtype: Option<Rtype>, rcode: OptRcode) {
        self.asked(rtype);
        let at = RCODES.iter().position(|(known, _)| *known == rcode).unwrap_or(RCODES.len());
        self.rcodes[at].inc();
    }
}

#[inline]
fn place_of(rtype: Option<Rtype>) -> u8 {
    match rtype {
        Some(rtype) => TYPE_PLACES.get(usize::from(rtype.to_int())).copied().unwrap_or(TYPE_OTHER),
        None => TYPE_NONE,
    }
}

/// Counted of each zone of one snapshot. What is counted of a zone goes on over reloads.
#[derive(Clone)]
pub(crate) struct ZoneEvents {
    by_zone: HashMap<usize, Counter, BuildHasherDefault<ByAddress>>,
    other: Counter,
    serials: Vec<Serial>,
}

#[derive(Clone)]
struct Serial {
    zone: usize,
    gauge: Gauge,
    serial: u32,
}

impl Serial {
    fn of(zone: &Arc<Zone>, registry: &Registry) -> Self {
        let name = zone.apex().to_string();
        let gauge =
            registry.gauge("nines_dns_zone_serial", "The serial number of a zone.", &[("zone", &name)]);
        Self { zone: address_of(zone), gauge, serial: zone.figures().serial }
    }
}

/// Hashes addresses of zones, which no client chooses.
#[derive(Default, Clone)]
struct ByAddress(u64);

impl Hasher for ByAddress {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers");
    }

    fn write_usize(&mut self, key: usize) {
        // The lower bits of an address are the same for all, and the upper ones choose the place within a bucket.
        self.0 = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

impl ZoneEvents {
    pub(crate) fn new(registry: &Registry, zones: &Zones) -> Self {
        let counter = |zone: &str| {
            registry.counter("nines_dns_zone_queries_total", "Queries answered by a zone.", &[("zone", zone)])
        };
        let mut counted: Vec<&Arc<Zone>> = zones.iter().collect();
        // The same ones after a reload.
        counted.sort_by_key(|zone| zone.apex().as_wire().to_vec());
        counted.truncate(ZONES_MAX);
        Self {
            serials: counted.iter().map(|zone| Serial::of(zone, registry)).collect(),
            by_zone: counted
                .iter()
                .map(|zone| (address_of(zone), counter(&zone.apex().to_string())))
                .collect(),
            other: counter("other"),
        }
    }

    /// The same with another zone in the place of one: what was counted of that goes on.
    pub(crate) fn with(&self, before: Option<&Arc<Zone>>, zone: &Arc<Zone>, registry: &Registry) -> Self {
        let mut all = self.clone();
        let Some(before) = before.map(address_of) else { return all };
        if let Some(counter) = all.by_zone.remove(&before) {
            all.by_zone.insert(address_of(zone), counter);
        }
        if let Some(serial) = all.serials.iter_mut().find(|serial| serial.zone == before) {
            *serial = Serial::of(zone, registry);
        }
        all
    }

    /// Tells the serial numbers: these are the zones that are served now.
    pub(crate) fn show(&self) {
        for Serial { gauge, serial, .. } in &self.serials {
            gauge.set(f64::from(*serial));
        }
    }

    #[inline]
    pub(crate) fn answered(&self, zone: &Arc<Zone>) {
        self.by_zone.get(&address_of(zone)).unwrap_or(&self.other).inc();
    }
}

fn address_of(zone: &Arc<Zone>) -> usize {
    Arc::as_ptr(zone).addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_place_and_none_is_another_s() {
        for (at, (rtype, name)) in TYPES.iter().enumerate() {
            assert_eq!(usize::from(place_of(Some(*rtype))), at, "{name}");
            assert_eq!(rtype.to_string(), *name);
        }
        assert_eq!(place_of(Some(Rtype::from_int(65280))), TYPE_OTHER);
        assert_eq!(place_of(Some(Rtype::HINFO)), TYPE_OTHER);
        assert_eq!(place_of(None), TYPE_NONE);
    }
}
