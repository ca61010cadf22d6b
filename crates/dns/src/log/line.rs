//! A query and its answer as one line of JSON.

use super::Record;
use crate::limit::Verdict;
use crate::protocol::Query;
use crate::protocol::name::write_text;
use std::fmt::Write;
use std::time::SystemTime;
use telemetry::{Rfc3339, json};

/// Flags of an answer, by octet and bit (RFC 1035 §4.1.1, RFC 4035 §3.2), as dig calls them.
const FLAGS: [(usize, u8, &str); 6] =
    [(2, 0x04, "aa"), (2, 0x02, "tc"), (2, 0x01, "rd"), (3, 0x80, "ra"), (3, 0x20, "ad"), (3, 0x10, "cd")];

/// Appends the line, without its end.
pub(super) fn write(record: &Record<'_>, received: SystemTime, out: &mut Vec<u8>) {
    let Record { outcome, query, .. } = record;
    let mut text = String::new();
    let mut line = Line { out, separator: b'{' };
    line.bytes("ts", &Rfc3339(received).text());
    let _ = write!(text, "{}", record.client.ip().to_canonical());
    line.text("client", &mut text);
    line.number("port", record.client.port().into());
    line.bytes("transport", record.transport.as_str().as_bytes());
    if let Some(query) = query {
        // As it was asked for: some clients hide a number in the case of the letters.
        let _ = write_text(query.name_as_asked(), &mut text);
        line.text("name", &mut text);
        let _ = write!(text, "{}", query.rtype);
        line.text("type", &mut text);
        let _ = write!(text, "{}", query.class);
        line.text("class", &mut text);
        if let Some(subnet) = query.edns.and_then(|edns| edns.client_subnet) {
            let _ = write!(text, "{}/{}", subnet.address, subnet.prefix);
            line.text("subnet", &mut text);
        }
    }
    let _ = write!(text, "{}", outcome.rcode);
    line.text("rcode", &mut text);
    line.bytes("kind", outcome.kind.as_str().as_bytes());
    for (at, bit, name) in FLAGS {
        if record.answer.get(at).is_some_and(|octet| octet & bit != 0) {
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(name);
        }
    }
    if query.is_some_and(Query::dnssec_ok) {
        text.push_str(if text.is_empty() { "do" } else { " do" });
    }
    line.text("flags", &mut text);
    if let Some(zone) = outcome.zone {
        let _ = write!(text, "{}", zone.apex());
        line.text("zone", &mut text);
    }
    match record.verdict {
        Verdict::Sent => {}
        Verdict::Slipped => line.bytes("limited", b"slipped"),
        Verdict::Dropped => line.bytes("limited", b"dropped"),
    }
    line.number("received_bytes", record.message.len() as u64);
    line.number("sent_bytes", record.answer.len() as u64);
    line.number("took_us", record.took.as_micros() as u64);
    line.out.push(b'}');
}

struct Line<'o> {
    out: &'o mut Vec<u8>,
    /// What stands before the next member.
    separator: u8,
}

impl Line<'_> {
    fn key(&mut self, key: &str) {
        self.out.push(std::mem::replace(&mut self.separator, b','));
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn bytes(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        json::write_str(self.out, value);
    }

    /// Nothing if it is empty; it is empty afterwards.
    fn text(&mut self, key: &str, value: &mut String) {
        if !value.is_empty() {
            self.bytes(key, value.as_bytes());
            value.clear();
        }
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        // Writing into memory does not fail.
        let _ = std::io::Write::write_fmt(self.out, format_args!("{value}"));
    }
}
