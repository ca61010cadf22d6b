//! One HTTP/1.1 exchange on a connection of its own, bounded in time and size. A few of them an order and one a
//! staple do not want connections kept.

use crate::Error;
use crate::directory::is_loopback;
use crate::error::HttpError;
use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Body;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A client that verifies.
#[derive(Clone)]
pub(crate) struct HttpClient {
    /// Absent where nobody but loopback and plain hosts is talked to.
    tls: Option<TlsConnector>,
    plain: Plain,
}

/// Who may be talked to without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    /// This machine.
    Loopback,
    /// Everybody: what is asked for carries a signature of its own.
    Everybody,
}

/// What one exchange may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) body_bytes_max: usize,
    /// From the name's look-up to the last byte.
    pub(crate) time_max: Duration,
}

const AGENT: &str = concat!("nines/", env!("CARGO_PKG_VERSION"));

impl HttpClient {
    /// One that believes these roots.
    pub(crate) fn with_roots(roots: RootCertStore, plain: Plain) -> Self {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(tls::provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { tls: Some(TlsConnector::from(Arc::new(config))), plain }
    }

    /// One that speaks plain HTTP only.
    pub(crate) fn without_tls(plain: Plain) -> Self {
        Self { tls: None, plain }
    }

    /// Sends `request`, whose URI is absolute, and collects the answer.
    pub(crate) async fn exchange<B>(
        &self,
        request: Request<B>,
        bounds: Bounds,
    ) -> Result<Response<Bytes>, HttpError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync,
    {
        let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let exchanged = Box::pin(self.exchange_however_long(request, bounds.body_bytes_max));
        match tokio::time::timeout(bounds.time_max, exchanged).await {
            Ok(outcome) => outcome,
            Err(_) => Err(HttpError::Late { authority, seconds: bounds.time_max.as_secs() }),
        }
    }

    async fn exchange_however_long<B>(
        &self,
        request: Request<B>,
        body_bytes_max: usize,
    ) -> Result<Response<Bytes>, HttpError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync,
    {
        let uri = request.uri().clone();
        let wrong = |reason| HttpError::Url { url: uri.to_string(), reason };
        let authority = uri.authority().ok_or_else(|| wrong("the URL names no host"))?.to_string();
        let host = uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        if !is_tls && self.plain == Plain::Loopback && !is_loopback(host) {
            return Err(wrong("plain http is for loopback addresses"));
        }
        let request = relative(request, &uri)?;
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let connected = TcpStream::connect((bare, port)).await;
        let stream =
            connected.map_err(|source| HttpError::Connect { authority: authority.clone(), source })?;
        if !is_tls {
            return converse(stream, request, authority, body_bytes_max).await;
        }
        let tls = self.tls.as_ref().ok_or_else(|| wrong("https, but only http is spoken here"))?;
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| wrong("no host name"))?;
        let secured = tls.connect(name, stream).await;
        let stream = secured.map_err(|source| HttpError::Connect { authority: authority.clone(), source })?;
        converse(stream, request, authority, body_bytes_max).await
    }
}

/// The request as an origin server wants it (RFC 9112 §3.2.1).
fn relative<B>(mut request: Request<B>, uri: &Uri) -> Result<Request<B>, HttpError> {
    let wrong = |reason| HttpError::Url { url: uri.to_string(), reason };
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    if authority.contains('@') {
        return Err(wrong("the URL carries credentials"));
    }
    let host = HeaderValue::from_str(authority).map_err(|_| wrong("no host"))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|_| wrong("no path"))?;
    request.headers_mut().insert(HOST, host);
    // RFC 8555 §6.1: the client names itself.
    let agent = match request.headers().get(USER_AGENT).and_then(|library| library.to_str().ok()) {
        Some(library) => format!("{AGENT} {library}"),
        None => AGENT.to_owned(),
    };
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_str(&agent).map_err(|_| wrong("no agent"))?);
    Ok(request)
}

async fn converse<S, B>(
    stream: S,
    request: Request<B>,
    authority: String,
    body_bytes_max: usize,
) -> Result<Response<Bytes>, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let failed = |reason: String| HttpError::Exchange { authority: authority.clone(), reason };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, body_bytes_max).collect().await;
        let body = body.map_err(|error| failed(format!("{error} (limit: {body_bytes_max} bytes)")))?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    };
    // The connection is driven beside the answer, and ends with it: there is no task to own.
    let mut answer = std::pin::pin!(answer);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => {
            if let Err(error) = ended {
                return Err(failed(error.to_string()));
            }
            answer.await
        }
    }
}

/// The roots of a PEM file, given with its path for what is wrong with it, or those of the machine.
pub(crate) fn roots(ca: Option<(&Path, &[u8])>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let Some((path, pem)) = ca else {
        // What of it cannot be read is as good as not there: one that is needed shows in the first handshake.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err(Error::NoRoots) } else { Ok(roots) };
    };
    let wrong = |reason: String| Error::Ca { path: path.to_owned(), reason };
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("no certificate in it".into()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Empty;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const BOUNDS: Bounds = Bounds { body_bytes_max: 10, time_max: Duration::from_secs(10) };

    async fn answered(answer: &'static str, bounds: Bounds) -> (Result<Response<Bytes>, HttpError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/a?b", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 1000];
            let got = stream.read(&mut head).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _closed = stream.read(&mut [0]).await;
            String::from_utf8(head[..got].to_vec()).unwrap()
        });
        let request = Request::get(url).body(Empty::<Bytes>::new()).unwrap();
        let answer = HttpClient::without_tls(Plain::Loopback).exchange(request, bounds).await;
        (answer, server.await.unwrap())
    }

    #[tokio::test]
    async fn an_answer_is_collected_and_the_request_names_us_and_the_host() {
        let (answer, head) = answered("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", BOUNDS).await;
        assert_eq!(answer.unwrap().into_body(), "hello");
        assert!(head.starts_with("GET /a?b HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("host: 127.0.0.1:") && head.contains("user-agent: nines/"), "{head}");
    }

    #[tokio::test]
    async fn a_body_above_the_limit_is_refused() {
        let (answer, _) = answered("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world", BOUNDS).await;
        let error = answer.unwrap_err().to_string();
        assert!(error.contains("limit: 10 bytes"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_left() {
        let bounds = Bounds { time_max: Duration::from_millis(20), ..BOUNDS };
        let (answer, _) = answered("HTTP/1.1 200", bounds).await;
        assert!(matches!(answer, Err(HttpError::Late { .. })));
    }

    #[tokio::test]
    async fn plain_http_leaves_the_machine_only_where_it_may() {
        let request = |url: &str| Request::get(url).body(Empty::<Bytes>::new()).unwrap();
        let client = HttpClient::without_tls(Plain::Loopback);
        for url in ["http://ca.test/", "http://192.0.2.1/", "https://127.0.0.1/", "http://a@127.0.0.1/"] {
            let error = client.exchange(request(url), BOUNDS).await.unwrap_err();
            assert!(matches!(error, HttpError::Url { .. } | HttpError::Connect { .. }), "{url}: {error}");
            if !url.starts_with("https") {
                assert!(matches!(error, HttpError::Url { .. }), "{url}: {error}");
            }
        }
    }

    #[test]
    fn a_file_of_roots_has_one_at_least() {
        let path = Path::new("ca.pem");
        for bad in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(roots(Some((path, bad.as_bytes()))), Err(Error::Ca { .. })));
        }
        let error = roots(Some((path, b""))).unwrap_err().to_string();
        assert_eq!(error, "acme: ca ca.pem: no certificate in it");
        let key = rcgen::KeyPair::generate().unwrap();
        let root = rcgen::CertificateParams::new(["root.test".into()]).unwrap().self_signed(&key).unwrap();
        assert_eq!(roots(Some((path, root.pem().as_bytes()))).unwrap().len(), 1);
    }
}
