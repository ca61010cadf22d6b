//! A bucket of S3 as an object store, over connections of our own: with hyper and rustls, as everything here.

use crate::config::S3Config;
use crate::error::Error;
use http_body_util::{BodyExt, Limited};
use hyper::Uri;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::{ClientOptions, RetryConfig};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The largest answer: objects are asked for in parts of 8 MiB, and a list has a thousand entries.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// One exchange, from the name's look-up to the last byte.
const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a request that fails is tried again.
const RETRY_TIME_MAX: Duration = Duration::from_secs(20);

/// The bucket. Nothing is asked of it yet.
pub(super) fn bucket(store: &str, config: &S3Config, keys: (String, String)) -> Result<AmazonS3, Error> {
    let wrong = |cause: String| Error::Config { store: store.to_owned(), cause };
    let endpoint = match &config.endpoint {
        Some(endpoint) => endpoint.to_string(),
        None => format!("https://s3.{}.amazonaws.com", config.region),
    };
    let connector = Connector::new(endpoint.starts_with("https://")).map_err(wrong)?;
    let retry = RetryConfig { max_retries: 5, retry_timeout: RETRY_TIME_MAX, ..RetryConfig::default() };
    AmazonS3Builder::new()
        .with_bucket_name(config.bucket.as_str())
        .with_region(&config.region)
        .with_allow_http(endpoint.starts_with("http://"))
        .with_endpoint(endpoint)
        .with_access_key_id(keys.0)
        .with_secret_access_key(keys.1)
        .with_virtual_hosted_style_request(false)
        // One by one is what everything that speaks S3 can do.
        .with_disable_bulk_delete(true)
        .with_http_connector(connector)
        .with_retry(retry)
        .build()
        .map_err(|error| wrong(error.to_string()))
}

/// Makes one connection for each request: pushing is rare, and a connection that is kept would need an owner.
#[derive(Clone)]
struct Connector {
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("tls", &self.tls.is_some()).finish()
    }
}

impl Connector {
    fn new(with_tls: bool) -> Result<Self, String> {
        if !with_tls {
            return Ok(Self { tls: None });
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("this machine has no certificate authorities to verify `s3.endpoint` with".into());
        }
        let mut config = ClientConfig::builder_with_provider(Arc::clone(tls::provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Some(TlsConnector::from(Arc::new(config))) })
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = request.uri().clone();
        let host = uri.host().ok_or_else(|| failed(HttpErrorKind::Unknown, "the URL names no host"))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let connect = |error| HttpError::new::<io::Error>(HttpErrorKind::Connect, error);
        let stream = TcpStream::connect((bare.as_str(), port)).await.map_err(connect)?;
        let Some(tls) = &self.tls else { return converse(stream, request, &uri).await };
        let name =
            ServerName::try_from(bare).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        converse(tls.connect(name, stream).await.map_err(connect)?, request, &uri).await
    }
}

fn failed(kind: HttpErrorKind, words: &'static str) -> HttpError {
    HttpError::new(kind, io::Error::other(words))
}

async fn converse<S>(stream: S, mut request: HttpRequest, uri: &Uri) -> Result<HttpResponse, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let wrong = |_| failed(HttpErrorKind::Unknown, "the URL is none of HTTP");
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // RFC 9112 §3.2.1: an origin server is asked by the path alone.
    *request.uri_mut() = Uri::try_from(path).map_err(|_| wrong(()))?;
    let host = HeaderValue::from_str(&authority).map_err(|_| wrong(()))?;
    request.headers_mut().insert(HOST, host);
    let interrupted = |error| HttpError::new::<hyper::Error>(HttpErrorKind::Interrupted, error);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(interrupted)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(interrupted)?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body =
            body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, io::Error::other(error)))?;
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body.to_bytes())))
    };
    // The connection is driven beside the answer, and ends with it: there is no task to own.
    let mut answer = std::pin::pin!(answer);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended.map_err(interrupted)?;
            answer.await
        }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Connector {
    // What the macro `async_trait`, which the trait is written with, makes of `async fn call`.
    fn call<'s, 'f>(
        &'s self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let exchanged = tokio::time::timeout(EXCHANGE_TIME_MAX, Box::pin(self.exchange(request))).await;
            exchanged.unwrap_or_else(|_| Err(failed(HttpErrorKind::Timeout, "no answer within 60 s")))
        })
    }
}
