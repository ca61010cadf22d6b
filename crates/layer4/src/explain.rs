//! Why a connection or a datagram would go where it goes.

use crate::error::ExplainError;
use crate::routes::Rule;
use crate::running::Layer4Parts;
use crate::snapshot::{Snapshot, TcpPart, UdpPart, hash_of};
use admission::Access;
use balance::{Pool, PoolExplanation, Wish};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;
use telemetry::Registry;

/// Which connection or datagram is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Whether it is a datagram.
    pub udp: bool,
    /// The listener's name.
    pub listener: String,
    /// Who comes; without it nothing is said of lists, and nothing is hashed.
    pub client: Option<IpAddr>,
    /// The server name that the client asks for, if it speaks TLS.
    pub server_name: Option<String>,
}

impl Question {
    /// A question about `tcp:NAME` or `udp:NAME`, with nothing known of the client; `None` for any other text.
    pub fn about(listener: &str) -> Option<Self> {
        let (kind, name) = listener.split_once(':')?;
        let udp = match kind {
            "tcp" => false,
            "udp" => true,
            _ => return None,
        };
        Some(Self { udp, listener: name.to_owned(), client: None, server_name: None })
    }

    /// The listener as [`Question::about`] reads it: `tcp:db`.
    pub fn subject(&self) -> String {
        format!("{}:{}", self.kind(), self.listener)
    }

    /// That there is no such listener, but those `known`.
    pub fn unknown(&self, known: Vec<String>) -> ExplainError {
        ExplainError::NoListener { kind: self.kind(), name: self.listener.clone(), known }
    }

    fn kind(&self) -> &'static str {
        if self.udp { "udp" } else { "tcp" }
    }
}

/// What would be done, step by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ListenerExplanation")]
pub struct Explanation {
    /// Where it listens, as in the file.
    pub listeners: Vec<SocketAddr>,
    /// What is decided, in its order.
    pub steps: Vec<String>,
    /// The pool with its choice; absent when the client does not get so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolExplanation>,
}

/// What would be done by a file that does not run.
///
/// # Errors
/// When there is no such listener, or a list of the file cannot be used.
pub fn explain(parts: &Layer4Parts, question: &Question) -> Result<Explanation, ExplainError> {
    let mut parts = parts.clone();
    // What is said does not depend on certificates, which may not be on this machine.
    parts.tcp.values_mut().for_each(|config| config.tls = None);
    explain_snapshot(&Snapshot::compile(&parts, &Registry::new(), None)?, question)
}

pub(crate) fn explain_snapshot(
    snapshot: &Snapshot,
    question: &Question,
) -> Result<Explanation, ExplainError> {
    let name = question.listener.as_str();
    let explained = if question.udp {
        snapshot.udp.get(name).map(|part| datagram(part, question))
    } else {
        snapshot.tcp.get(name).map(|part| connection(part, question))
    };
    explained.ok_or_else(|| question.unknown(known(snapshot)))
}

/// Every listener, as [`Question::about`] reads it.
fn known(snapshot: &Snapshot) -> Vec<String> {
    let tcp = snapshot.tcp.keys().map(|name| format!("tcp:{name}"));
    let udp = snapshot.udp.keys().map(|name| format!("udp:{name}"));
    let mut known: Vec<String> = tcp.chain(udp).collect();
    known.sort_unstable();
    known
}

fn connection(part: &TcpPart, question: &Question) -> Explanation {
    let listeners = part.config.listen.0.clone();
    let mut steps = Vec::new();
    if let (Some(client), Some(proxies)) = (question.client, &part.proxies)
        && proxies.contains(client)
    {
        steps.push(format!("{client} is a proxy: its header says who the client is"));
    }
    if !is_let_in(&part.access, question.client, &mut steps) {
        steps.push("the connection is reset".into());
        return Explanation { listeners, steps, pool: None };
    }
    let name = question.server_name.as_deref().map(str::to_ascii_lowercase);
    let asked = match &name {
        Some(name) => format!("server name {name:?}"),
        None => "no server name".into(),
    };
    let Some((pool, rule)) = part.routes.find(name.as_deref()) else {
        steps.push(format!("{asked}: no pool, the client hears `unrecognized_name`"));
        return Explanation { listeners, steps, pool: None };
    };
    let pool_name = pool.name();
    steps.push(match rule {
        Rule::Exact => format!("{asked}: `sni` names pool {pool_name}"),
        Rule::Wildcard(wildcard) => format!("{asked}: `sni` has {wildcard:?}, pool {pool_name}"),
        Rule::Default => format!("pool {pool_name}"),
    });
    Explanation { listeners, steps, pool: Some(choice(pool, question.client)) }
}

fn datagram(part: &UdpPart, question: &Question) -> Explanation {
    let listeners = part.config.listen.0.clone();
    let mut steps = Vec::new();
    if !is_let_in(&part.access, question.client, &mut steps) {
        steps.push("the datagram is dropped".into());
        return Explanation { listeners, steps, pool: None };
    }
    steps.push(format!("pool {}, unless the client's session has an endpoint", part.pool.name()));
    Explanation { listeners, steps, pool: Some(choice(&part.pool, question.client)) }
}

/// What the lists say of a client, and whether it may come. Of nobody they say nothing.
fn is_let_in(access: &Access, client: Option<IpAddr>, steps: &mut Vec<String>) -> bool {
    steps.extend(client.and_then(|client| access.explain(client)));
    client.is_none_or(|client| access.judge(client).is_ok())
}

fn choice(pool: &Pool, client: Option<IpAddr>) -> PoolExplanation {
    let hash = client.and_then(|client| hash_of(pool, client));
    let wish = Wish { hash, ..Wish::default() };
    pool.explain(&wish, Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_named_by_its_kind_and_its_name() {
        for (text, udp, name) in
            [("tcp:db", false, "db"), ("udp:dns", true, "dns"), ("tcp:a:b", false, "a:b")]
        {
            let question = Question::about(text).unwrap();
            assert_eq!((question.udp, question.listener.as_str()), (udp, name));
            assert_eq!(question.subject(), text);
        }
        for text in ["http://tcp:80/", "/tcp:db", "db", "sctp:db", "TCP:db", "[tcp.db]", ""] {
            assert_eq!(Question::about(text), None, "{text}");
        }
    }
}
