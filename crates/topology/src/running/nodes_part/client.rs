//! Messages to another node's admin API, one after the other on one connection.

use bytes::Bytes;
use cdn::nodes::MESSAGE_BYTES_MAX;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a node may take to accept a connection, and to answer.
const CONNECT_WAIT: Duration = Duration::from_secs(1);
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Why nothing came of an exchange.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum Missed {
    /// The machine says that nobody listens there.
    #[error("connection refused")]
    Refused,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// A client of one node.
pub(super) struct Client {
    at: SocketAddr,
    authorization: Option<String>,
    answer_wait: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// What drives the connection. It ends with this.
    driver: JoinSet<()>,
}

impl Client {
    pub(super) fn new(at: SocketAddr, token: Option<&str>, silent: Duration) -> Self {
        let authorization = token.map(|token| format!("Bearer {token}"));
        // An answer that comes later says nothing any more.
        let answer_wait = ANSWER_WAIT.min(silent / 2);
        Self { at, authorization, answer_wait, sender: None, driver: JoinSet::new() }
    }

    /// Says something and hears the answer. A connection that has ended meanwhile is opened anew once: a message may come twice.
    pub(super) async fn exchange(&mut self, message: Vec<u8>) -> Result<Bytes, Missed> {
        let message = Bytes::from(message);
        if let Some(sender) = self.sender.take()
            && let Ok(answer) = self.ask(sender, message.clone()).await
        {
            return Ok(answer);
        }
        let sender = self.connect().await?;
        self.ask(sender, message).await
    }

    async fn connect(&mut self) -> Result<SendRequest<Full<Bytes>>, Missed> {
        self.driver.abort_all();
        let stream = match timeout(CONNECT_WAIT, TcpStream::connect(self.at)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(Missed::Refused);
            }
            Ok(Err(error)) => return Err(Missed::Failed(error.to_string())),
            Err(_) => return Err(Missed::Failed("no connection in time".into())),
        };
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        self.driver.spawn(async move {
            // Whoever asks hears of it.
            let _ = connection.await;
        });
        Ok(sender)
    }

    async fn ask(&mut self, mut sender: SendRequest<Full<Bytes>>, message: Bytes) -> Result<Bytes, Missed> {
        let mut request = Request::post("/api/v1/cdn/exchange")
            .header(header::HOST, self.at.to_string())
            .header(header::CONTENT_TYPE, "application/octet-stream");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(message)).map_err(failed)?;
        let asked = async {
            let response = sender.send_request(request).await.map_err(failed)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MESSAGE_BYTES_MAX).collect().await;
            let body = body.map_err(failed)?.to_bytes();
            if status == StatusCode::OK {
                Ok(body)
            } else {
                Err(Missed::Failed(format!("it answers {status}")))
            }
        };
        let answer = timeout(self.answer_wait, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(Missed::Failed("no answer in time".into())))?;
        self.sender = Some(sender);
        Ok(answer)
    }
}

fn failed(error: impl std::fmt::Display) -> Missed {
    Missed::Failed(error.to_string())
}
