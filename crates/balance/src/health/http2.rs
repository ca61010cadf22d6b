//! One request over an HTTP/2 connection of its own (RFC 9113 §3.3: by prior knowledge, or as ALPN agreed).

use super::Stream;
use super::judge::Found;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// Sends a request and judges its answer. The connection is driven here, and ends with the check.
pub(super) async fn ask<F: Future<Output = Found>>(
    request: Request<Full<Bytes>>,
    stream: Stream,
    fails: impl Fn(&dyn Display) -> String,
    judge: impl FnOnce(Response<Incoming>) -> F,
) -> Found {
    let tasks = Tasks::default();
    let connected = http2::handshake(tasks.clone(), TokioIo::new(stream)).await;
    let (mut sender, connection) = connected.map_err(|error| fails(&error))?;
    let mut connection = pin!(connection);
    let mut answer = pin!(async {
        let response = sender.send_request(request).await.map_err(|error| fails(&error))?;
        judge(response).await
    });
    tokio::select! {
        found = &mut answer => found,
        _ = &mut connection => answer.await,
    }
}

/// Where hyper puts what it runs beside the connection; all of it ends when the check does.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, task: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(async move {
            task.await;
        });
    }
}
