//! GET a path, and look at the status, headers and body of the answer.

use super::expect::Statuses;
use super::judge::Found;
use super::{BODY_MAX, Stream, Target, http2};
use crate::config::HealthConfig;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::pin::pin;

pub(super) async fn check(target: &Target<'_>, path: &str, stream: Stream) -> Found {
    let fails = |error: &dyn std::fmt::Display| format!("GET {path}: {error}");
    if target.speaks_h2() {
        let request = Request::get(format!("{}://{}{path}", target.scheme(), target.authority()))
            .header(USER_AGENT, "nines-health")
            .body(Full::default())
            .map_err(|error| fails(&error))?;
        return http2::ask(request, stream, fails, |response| judge(target.rules, path, response)).await;
    }
    let request = Request::get(path)
        .header(HOST, target.authority())
        .header(USER_AGENT, "nines-health")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| fails(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| fails(&error))?;
    // The connection is driven here and not by a task of its own: it ends with the check.
    let mut connection = pin!(connection);
    let mut answer = pin!(async {
        let response = sender.send_request(request).await.map_err(|error| fails(&error))?;
        judge(target.rules, path, response).await
    });
    tokio::select! {
        found = &mut answer => found,
        // The last bytes of an answer are still to be read when its connection has ended.
        _ = &mut connection => answer.await,
    }
}

async fn judge(rules: &HealthConfig, path: &str, response: Response<Incoming>) -> Found {
    let status = response.status().as_u16();
    if !Statuses::parse(&rules.status).is_some_and(|statuses| statuses.contain(status)) {
        return Err(format!("GET {path} answered {status}"));
    }
    for (name, wanted) in &rules.headers {
        let values: Vec<_> = response.headers().get_all(name).iter().collect();
        if !values.iter().any(|value| value.as_bytes() == wanted.as_bytes()) {
            let found = values.first().map_or("nothing".into(), |value| format!("{value:?}"));
            return Err(format!("GET {path} answered {status} with {found} as {name}, not {wanted:?}"));
        }
    }
    if let Some(wanted) = &rules.body {
        let body = first_bytes(path, response.into_body()).await?;
        if !contains(&body, wanted.as_bytes()) {
            return Err(format!("GET {path} answered {status} without {wanted:?} in its body"));
        }
    }
    Ok(format!("GET {path} answered {status}"))
}

/// The body up to [`BODY_MAX`]; what comes after is not read.
async fn first_bytes(path: &str, mut body: Incoming) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("GET {path}: its body broke off: {error}"))?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data[..data.len().min(BODY_MAX - bytes.len())]);
        }
        if bytes.len() == BODY_MAX {
            break;
        }
    }
    Ok(bytes)
}

fn contains(body: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || body.windows(wanted.len()).any(|window| window == wanted)
}
