//! Why a connection or a datagram would go where it goes.

use crate::error::{Error, ExplainError};
use crate::routes::Rule;
use crate::running::Layer4Parts;
use crate::snapshot::{Snapshot, TcpPart, UdpPart, hash_of};
use balance::{Pool, PoolExplanation, Wish};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Instant;
use telemetry::Registry;

/// Which connection or datagram is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Whether it is a datagram.
    pub udp: bool,
    /// The listener's name.
    pub listener: String,
    /// Who comes.
    pub client: IpAddr,
    /// The server name that the client asks for, if it speaks TLS.
    pub server_name: Option<String>,
}

/// What would be done, step by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// What is decided, in its order.
    pub steps: Vec<String>,
    /// The pool with its choice; absent when the client does not get so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolExplanation>,
}

/// What would be done by a file that does not run.
///
/// # Errors
/// When the file's lists or certificates cannot be used.
pub fn explain(parts: &Layer4Parts, question: &Question) -> Result<Result<Explanation, ExplainError>, Error> {
    let mut parts = parts.clone();
    // What is said does not depend on certificates, which may not be on this machine.
    parts.tcp.values_mut().for_each(|config| config.tls = None);
    Ok(explain_snapshot(&Snapshot::compile(&parts, &Registry::new(), None)?, question))
}

pub(crate) fn explain_snapshot(
    snapshot: &Snapshot,
    question: &Question,
) -> Result<Explanation, ExplainError> {
    let unknown = |kind| ExplainError::NoListener { kind, name: question.listener.clone() };
    if question.udp {
        let part = snapshot.udp.get(question.listener.as_str()).ok_or_else(|| unknown("udp"))?;
        Ok(datagram(part, question))
    } else {
        let part = snapshot.tcp.get(question.listener.as_str()).ok_or_else(|| unknown("tcp"))?;
        Ok(connection(part, question))
    }
}

fn connection(part: &TcpPart, question: &Question) -> Explanation {
    let mut steps = Vec::new();
    if part.proxies.as_ref().is_some_and(|proxies| proxies.contains(question.client)) {
        steps.push(format!("{} is a proxy: its header says who the client is", question.client));
    }
    steps.extend(part.access.explain(question.client));
    if part.access.judge(question.client).is_err() {
        steps.push("the connection is reset".into());
        return Explanation { steps, pool: None };
    }
    let name = question.server_name.as_deref().map(str::to_ascii_lowercase);
    let asked = match &name {
        Some(name) => format!("server name {name:?}"),
        None => "no server name".into(),
    };
    let Some((pool, rule)) = part.routes.find(name.as_deref()) else {
        steps.push(format!("{asked}: no pool, the client hears `unrecognized_name`"));
        return Explanation { steps, pool: None };
    };
    let pool_name = pool.name();
    steps.push(match rule {
        Rule::Exact => format!("{asked}: `sni` names pool {pool_name}"),
        Rule::Wildcard(wildcard) => format!("{asked}: `sni` has {wildcard:?}, pool {pool_name}"),
        Rule::Default => format!("pool {pool_name}"),
    });
    Explanation { steps, pool: Some(choice(pool, question.client)) }
}

fn datagram(part: &UdpPart, question: &Question) -> Explanation {
    let mut steps: Vec<String> = part.access.explain(question.client).into_iter().collect();
    if part.access.judge(question.client).is_err() {
        steps.push("the datagram is dropped".into());
        return Explanation { steps, pool: None };
    }
    steps.push(format!("pool {}, unless the client's session has an endpoint", part.pool.name()));
    Explanation { steps, pool: Some(choice(&part.pool, question.client)) }
}

fn choice(pool: &Pool, client: IpAddr) -> PoolExplanation {
    let wish = Wish { hash: hash_of(pool, client), ..Wish::default() };
    pool.explain(&wish, Instant::now())
}
