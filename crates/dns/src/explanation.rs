//! What would be answered to a question at this moment, and why: what `nines explain dns` tells.

use crate::answer::{Facts, answer};
use crate::listener::draw;
use crate::loading::ZoneSet;
use crate::policy::{self, Client};
use crate::protocol::{Name, NameError, Query, Transport};
use crate::zones::Zones;
use domain::base::iana::{Class, Rtype};
use domain::base::message::RecordSection;
use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt};
use domain::base::{Message, ParsedName};
use domain::rdata::AllRecordData;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use thiserror::Error;

/// A question that is not asked over the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name.
    pub name: Name,
    /// The type.
    pub rtype: Rtype,
    /// For whom; routes may look at it.
    pub client: Option<IpAddr>,
}

/// Why something is no question.
#[derive(Debug, Error)]
pub enum QuestionError {
    /// Its name is none.
    #[error("{name:?} is no name: {why}")]
    Name {
        /// The text.
        name: String,
        /// What is wrong with it.
        why: NameError,
    },
    /// There is no such type.
    #[error("{0:?} is no type of record: A, AAAA, MX, … or TYPE65534")]
    Type(String),
}

/// What would be answered to a question, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    /// The name that was asked about.
    pub name: String,
    /// The type of records.
    #[serde(rename = "type")]
    pub rtype: String,
    /// For whom, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// The zone that answers; without one the question is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What kind of answer it is: `positive`, `nodata`, `nxdomain`, `referral`, `alias` (one that leads out of the zones), `error`.
    pub outcome: String,
    /// The response code.
    pub rcode: String,
    /// The records that answer, each as a line of a zone file.
    pub answer: Vec<String>,
    /// The records of the authority section: who is asked instead, or how long it may be remembered that something is not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authority: Vec<String>,
    /// How the addresses were chosen, where a route chooses them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<policy::Explanation>,
}

impl Question {
    /// A question for this name and type, A when there is none.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn new(name: &str, rtype: Option<&str>, client: Option<IpAddr>) -> Result<Self, QuestionError> {
        let rtype = rtype.map_or(Ok(Rtype::A), |rtype| {
            Rtype::from_str(&rtype.to_ascii_uppercase()).map_err(|_| QuestionError::Type(rtype.to_owned()))
        })?;
        let name = name.parse().map_err(|why| QuestionError::Name { name: name.to_owned(), why })?;
        Ok(Self { name, rtype, client })
    }

    /// The question as a message.
    fn message(&self) -> Vec<u8> {
        let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(self.name.as_wire());
        message.extend_from_slice(&self.rtype.to_int().to_be_bytes());
        message.extend_from_slice(&Class::IN.to_int().to_be_bytes());
        message
    }
}

impl ZoneSet {
    /// What would be answered to a question by these zones, and why.
    pub fn explain(&self, question: &Question) -> Explained {
        self.zones().explain(question, draw())
    }
}

impl Zones {
    /// What would be answered to a question, and why. `draw` is the chance of routes that choose by it.
    pub(crate) fn explain(&self, question: &Question, draw: u64) -> Explained {
        let message = question.message();
        let query = Query::parse(&message).expect("this is a question, and nothing else");
        let sender = question.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let facts = Facts { sender, draw, ..Facts::of_transport(Transport::Tcp) };
        let mut out = Vec::new();
        let outcome = answer(self, &query, &facts, &mut out);
        let is_routed = matches!(question.rtype, Rtype::A | Rtype::AAAA | Rtype::ANY);
        let route = is_routed.then(|| policy::explain(self, &question.name, Client::of(sender, None), draw));
        let [answer, authority] = sections(&out);
        Explained {
            name: question.name.to_string(),
            rtype: question.rtype.to_string(),
            client: question.client,
            zone: outcome.zone.map(|zone| zone.apex().to_string()),
            outcome: outcome.kind.as_str().to_owned(),
            rcode: outcome.rcode.to_string(),
            answer,
            authority,
            route: route.flatten(),
        }
    }
}

/// The answer and the authority section of a response of ours, each record as a line.
fn sections(response: &[u8]) -> [Vec<String>; 2] {
    let message = Message::from_octets(response).expect("a response has a header");
    let answer = message.answer().expect("a response has whole sections");
    let authority = message.authority().expect("a response has whole sections");
    [lines(answer), lines(authority)]
}

fn lines(section: RecordSection<'_, &[u8]>) -> Vec<String> {
    let records = section.limit_to::<AllRecordData<&[u8], ParsedName<&[u8]>>>();
    // One that cannot be read would be one that nobody can read.
    let lines =
        records.filter_map(Result::ok).map(|record| record.display_zonefile(DisplayKind::Simple).to_string());
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ZoneBuilder;
    use std::sync::Arc;

    fn zones() -> Zones {
        let mut builder = ZoneBuilder::new("shop.test".parse().expect("a name"));
        let lines = [
            "@ 1h SOA ns1 admin 7 1d 2h 4w 5m",
            "@ 1h NS ns1",
            "ns1 1h A 192.0.2.1",
            "www 60 CNAME ns1",
            "sub 1h NS ns.sub",
        ];
        builder.lines("test", lines);
        Zones::new([Arc::new(builder.finish().expect("a zone").zone)])
    }

    fn explained(name: &str, rtype: &str) -> Explained {
        zones().explain(&Question::new(name, Some(rtype), None).expect("a question"), 1)
    }

    #[test]
    fn an_answer_is_told_with_its_records() {
        let told = explained("www.shop.test", "a");
        assert_eq!(
            (told.zone.as_deref(), told.outcome.as_str(), told.rcode.as_str()),
            (Some("shop.test"), "positive", "NOERROR")
        );
        assert_eq!(
            told.answer,
            ["www.shop.test. 60 IN CNAME ns1.shop.test.", "ns1.shop.test. 3600 IN A 192.0.2.1"]
        );
        assert_eq!((told.authority, told.route), (vec![], None));
    }

    #[test]
    fn what_is_not_there_not_ours_or_elsewhere_says_so() {
        let told = explained("nothing.shop.test", "A");
        assert_eq!(
            (told.outcome.as_str(), told.rcode.as_str(), told.answer.len()),
            ("nxdomain", "NXDOMAIN", 0)
        );
        assert!(told.authority[0].starts_with("shop.test. 300 IN SOA "), "{:?}", told.authority);
        assert_eq!(
            explained("a.sub.shop.test", "A").authority,
            ["sub.shop.test. 3600 IN NS ns.sub.shop.test."]
        );
        let told = explained("example.test", "MX");
        assert_eq!((told.zone, told.rcode.as_str()), (None, "REFUSED"));
    }

    #[test]
    fn a_wrong_name_or_type_is_no_question() {
        let wrong =
            |name, rtype| Question::new(name, Some(rtype), None).expect_err("no question").to_string();
        assert_eq!(
            wrong("a.test", "ADDRESS"),
            "\"ADDRESS\" is no type of record: A, AAAA, MX, … or TYPE65534"
        );
        assert!(wrong("a..test", "A").starts_with("\"a..test\" is no name: "));
    }
}
