//! Zones from lines, questions as text, and responses as lines that can be compared.

use crate::{Facts, Outcome, Query, Transport, Zone, ZoneBuilder, Zones, answer};
use domain::base::iana::{Class, Rtype};
use domain::base::message::RecordSection;
use domain::base::{Message, MessageBuilder, Name, ParsedRecord};
use domain::rdata::AllRecordData;
use std::sync::Arc;

/// The zone of these lines, whose TTL is an hour if they do not say otherwise.
pub(crate) fn zone(apex: &str, lines: &str) -> Arc<Zone> {
    let mut builder = ZoneBuilder::new(apex.parse().expect("a name"));
    // Indented as the tests are, which means nothing here.
    builder.lines("test", ["$TTL 3600"].into_iter().chain(lines.lines().map(str::trim_start)));
    match builder.finish() {
        Ok(loaded) => Arc::new(loaded.zone),
        Err(error) => panic!("{error}"),
    }
}

/// A zone with an SOA and a server beside these lines.
pub(crate) fn plain_zone(apex: &str, lines: &str) -> Arc<Zone> {
    zone(apex, &format!("@ SOA ns admin 7 3600 600 86400 300\n@ NS ns.elsewhere.test.\n{lines}"))
}

pub(crate) fn zones(zones: impl IntoIterator<Item = Arc<Zone>>) -> Zones {
    Zones::new(zones)
}

/// A query in wire form.
pub(crate) fn question(name: &str, rtype: Rtype, class: Class) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec().question();
    builder.header_mut().set_id(0x1234);
    builder.push((name.parse::<Name<Vec<u8>>>().expect("a name"), rtype, class)).expect("it fits");
    builder.finish()
}

/// A response, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) rcode: String,
    /// `aa`, `tc`, `rd`, `cd`, as far as they are set.
    pub(crate) flags: String,
    pub(crate) question: Vec<String>,
    pub(crate) answer: Vec<String>,
    pub(crate) authority: Vec<String>,
    pub(crate) additional: Vec<String>,
    pub(crate) bytes: usize,
}

/// `name type` asked over TCP without EDNS.
pub(crate) fn ask(zones: &Zones, asked: &str) -> Response {
    ask_over(zones, asked, &Facts::of_transport(Transport::Tcp)).0
}

pub(crate) fn ask_over<'z>(zones: &'z Zones, asked: &str, facts: &Facts<'_>) -> (Response, Outcome<'z>) {
    let (name, rtype) = asked.split_once(' ').expect("a name and a type");
    let message = question(name, rtype.parse().expect("a type"), Class::IN);
    send(zones, &message, facts)
}

pub(crate) fn send<'z>(zones: &'z Zones, message: &[u8], facts: &Facts<'_>) -> (Response, Outcome<'z>) {
    let query = Query::parse(message).expect("a query");
    let mut out = Vec::new();
    let outcome = answer(zones, &query, facts, &mut out);
    let response = read(&out);
    assert_eq!(outcome.truncated, response.flags.contains("tc"));
    (response, outcome)
}

/// Takes a response apart; it must be whole.
pub(crate) fn read(wire: &[u8]) -> Response {
    let message = Message::from_octets(wire).expect("a header");
    let header = message.header();
    assert!(header.qr(), "a response says so");
    let flags = [(header.aa(), "aa"), (header.tc(), "tc"), (header.rd(), "rd"), (header.cd(), "cd")];
    let flags: Vec<&str> = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, word)| *word).collect();
    let question = message
        .question()
        .map(|question| question.expect("a whole question"))
        .map(|question| format!("{} {}", question.qname(), question.qtype()))
        .collect();
    let (_, answer, authority, additional) = message.sections().expect("whole sections");
    let response = Response {
        rcode: message.opt_rcode().to_string(),
        flags: flags.join(" "),
        question,
        answer: lines(answer),
        authority: lines(authority),
        additional: lines(additional),
        bytes: wire.len(),
    };
    let counts = message.header_counts();
    assert_eq!(usize::from(counts.ancount()), response.answer.len());
    assert_eq!(usize::from(counts.nscount()), response.authority.len());
    assert_eq!(usize::from(counts.arcount()), response.additional.len());
    response
}

fn lines(section: RecordSection<'_, &[u8]>) -> Vec<String> {
    section.map(|record| line(&record.expect("a whole record"))).collect()
}

fn line(record: &ParsedRecord<'_, &[u8]>) -> String {
    let parsed = record
        .to_any_record::<AllRecordData<_, domain::base::ParsedName<&[u8]>>>()
        .expect("data of its type");
    if parsed.rtype() == Rtype::OPT {
        return format!("OPT {}", parsed.class().to_int());
    }
    let owner = parsed.owner().to_string();
    let owner = if owner.is_empty() { "." } else { owner.as_str() };
    format!("{owner} {} {} {}", parsed.ttl().as_secs(), parsed.rtype(), parsed.data())
}

impl Response {
    /// `NOERROR aa`, or whatever it is.
    pub(crate) fn status(&self) -> String {
        format!("{} {}", self.rcode, self.flags).trim_end().to_owned()
    }
}
