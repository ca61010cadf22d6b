//! The ACME library's HTTP, by our client: it notes what the library does not tell, when the server wants to be
//! left alone.

use crate::clock::Clock;
use crate::error::{Failure, HttpError};
use crate::http_client::{Bounds, HttpClient};
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, Response, StatusCode};
use instant_acme::{BodyWrapper, BytesResponse};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A chain of certificates is the largest thing an ACME server says.
const BOUNDS: Bounds = Bounds { body_bytes_max: 256 * 1024, time_max: Duration::from_secs(30) };

/// RFC 8555 §6.7.
const RATE_LIMITED: &str = "urn:ietf:params:acme:error:rateLimited";

/// The HTTP of one order.
#[derive(Clone)]
pub(crate) struct AccountHttp {
    client: HttpClient,
    clock: Clock,
    last_refusal: Arc<Mutex<Option<Refusal>>>,
}

/// What the server's last error response said beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    is_rate_limited: bool,
    retry_after: Option<SystemTime>,
}

impl AccountHttp {
    pub(crate) fn new(client: HttpClient, clock: Clock) -> Self {
        Self { client, clock, last_refusal: Arc::default() }
    }

    /// What failed, with what the server said of later.
    pub(crate) fn explain(&self, error: instant_acme::Error) -> Failure {
        let mut failure = Failure::from(error);
        if let Some(refusal) = self.last_refusal().take() {
            failure.is_rate_limited = refusal.is_rate_limited;
            failure.retry_after = refusal.retry_after;
            if failure.reason.starts_with("failed to (de)serialize") {
                failure.reason = format!("the server answers with status {}", refusal.status.as_u16());
            }
        }
        failure
    }

    fn note(&self, response: &Response<Bytes>) {
        let status = response.status();
        let is_error = status.is_client_error() || status.is_server_error();
        *self.last_refusal() = is_error.then(|| Refusal {
            status,
            is_rate_limited: status == StatusCode::TOO_MANY_REQUESTS || is_rate_limited(response.body()),
            retry_after: retry_after(response.headers(), self.clock.now()),
        });
    }

    fn last_refusal(&self) -> MutexGuard<'_, Option<Refusal>> {
        self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl instant_acme::HttpClient for AccountHttp {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            let failed = |error: HttpError| instant_acme::Error::Other(Box::new(error));
            let response = this.client.exchange(request, BOUNDS).await.map_err(failed)?;
            this.note(&response);
            let (parts, body) = response.into_parts();
            Ok(BytesResponse { parts, body: Box::new(body) })
        })
    }
}

fn is_rate_limited(problem: &[u8]) -> bool {
    let problem: serde_json::Value = serde_json::from_slice(problem).unwrap_or_default();
    problem.get("type").and_then(serde_json::Value::as_str) == Some(RATE_LIMITED)
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<SystemTime> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse::<u32>() {
        Ok(seconds) => Some(now + Duration::from_secs(seconds.into())),
        Err(_) => httpdate::parse_http_date(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix_seconds;

    #[test]
    fn later_is_in_seconds_or_a_date() {
        let now = from_unix_seconds(1_000_000_000);
        let read =
            |text: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]), now);
        assert_eq!(read("120"), Some(from_unix_seconds(1_000_000_120)));
        assert_eq!(read("Sun, 09 Sep 2001 01:47:00 GMT"), Some(from_unix_seconds(1_000_000_020)));
        for bad in ["", "-1", "soon", "99999999999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn a_refusal_without_a_problem_is_told_by_its_status_and_a_later_success_ends_it() {
        let http =
            AccountHttp::new(HttpClient::without_tls(crate::http_client::Plain::Loopback), Clock::system());
        let answered = |status: u16, body: &'static str| {
            http.note(&Response::builder().status(status).body(Bytes::from(body)).unwrap());
            http.explain(serde_json::from_str::<u8>("<html>").unwrap_err().into())
        };
        assert_eq!(answered(503, "<html>").reason, "the server answers with status 503");
        assert!(answered(429, "").is_rate_limited);
        assert!(answered(400, r#"{"type":"urn:ietf:params:acme:error:rateLimited"}"#).is_rate_limited);
        assert!(answered(200, "").reason.starts_with("failed to (de)serialize"));
    }
}
