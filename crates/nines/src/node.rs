//! A running node, as the commands see it: where its admin API is, and what it answers.

use crate::cli::NodeArgs;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use topology::Rejected;
use ureq::http::{Method, Request, StatusCode};

/// Where the token stands when it is in no file.
pub(crate) const TOKEN_VARIABLE: &str = "NINES_ADMIN_TOKEN";

/// The file that every command means when it is told none.
pub(crate) const FILE_DEFAULT: &str = "nines.toml";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A reload may wait for instances; the node itself gives up after a minute.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(65);
/// A part of a file may be copied to a bucket and compressed; the node itself gives up after ten minutes.
const PATIENT_TIMEOUT: Duration = Duration::from_secs(610);
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Why a node did not do what it was asked.
#[derive(Debug, Error)]
pub(crate) enum NodeError {
    /// The file that says where the node is cannot be used.
    #[error("{0}")]
    File(Rejected),
    /// `--admin` is not an address.
    #[error("--admin {0:?} is no address of an admin API, for example 127.0.0.1:9900 or http://host:9900")]
    Address(String),
    /// Nobody listens there, or does not answer.
    #[error("no nines answers at {at} ({cause}); is `nines up` running?")]
    Unreachable { at: String, cause: String },
    /// Somebody else listens there.
    #[error("what answers at {at} is no nines admin API ({cause})")]
    Foreign { at: String, cause: String },
    /// The node said no.
    #[error("{detail}")]
    Refused { status: u16, detail: String, body: Value },
}

/// A node's admin API.
#[derive(Debug)]
pub(crate) struct Node {
    at: String,
    token: Option<String>,
    /// The environment variable that a token is set in.
    variable: String,
    agent: ureq::Agent,
}

impl Node {
    /// The node that the arguments mean: `--admin`, else the file's `[node] admin`, else the default address.
    pub(crate) fn find(args: &NodeArgs) -> Result<Self, NodeError> {
        let token = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        if let Some(admin) = &args.admin {
            // The file's token is for the file's node, not for whatever is named here.
            return Ok(Self::new(authority(admin)?, token));
        }
        let place = Place::of(args.file.as_deref())?;
        Ok(Self::new(reachable(place.admin).to_string(), token.or(place.token)))
    }

    /// The same node, asked with another token if there is one; `variable` is where it is to be set.
    pub(crate) fn with_token(mut self, token: Option<String>, variable: &str) -> Self {
        self.token = token.or(self.token);
        self.variable = variable.to_owned();
        self
    }

    fn new(at: String, token: Option<String>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // A proxy of the environment is for the world outside; the admin API is ours.
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(ANSWER_TIMEOUT))
            .user_agent(concat!("nines/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { at, token, variable: TOKEN_VARIABLE.into(), agent: config.new_agent() }
    }

    /// Where it is, `127.0.0.1:9900`.
    pub(crate) fn at(&self) -> &str {
        &self.at
    }

    /// Asks for something.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, NodeError> {
        let request = self.request(Method::GET, path).body(()).map_err(|error| self.failed(error.into()))?;
        self.answer(self.agent.run(request))
    }

    /// Asks that something be done.
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, NodeError> {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        let request = request.body(body.to_string()).map_err(|error| self.failed(error.into()))?;
        self.answer(self.agent.run(request))
    }

    /// Asks that something be removed.
    pub(crate) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, NodeError> {
        let request =
            self.request(Method::DELETE, path).body(()).map_err(|error| self.failed(error.into()))?;
        self.answer(self.agent.run(request))
    }

    /// Sends bytes. They may take long to be dealt with.
    pub(crate) fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<T, NodeError> {
        let request = self.request(Method::PUT, path).header("content-type", media_type);
        let request = request.body(bytes).map_err(|error| self.failed(error.into()))?;
        self.answer(self.agent.run(self.patiently(request)))
    }

    /// Asks for what may take long to be done.
    pub(crate) fn post_patiently<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<T, NodeError> {
        let body = serde_json::to_vec(body).expect("our own types always serialize to JSON");
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        let request = request.body(body).map_err(|error| self.failed(error.into()))?;
        self.answer(self.agent.run(self.patiently(request)))
    }

    fn patiently<B: ureq::AsSendBody>(&self, request: Request<B>) -> Request<B> {
        self.agent.configure_request(request).timeout_global(Some(PATIENT_TIMEOUT)).build()
    }

    fn request(&self, method: Method, path: &str) -> ureq::http::request::Builder {
        let request = Request::builder().method(method).uri(format!("http://{}{path}", self.at));
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn answer<T: DeserializeOwned>(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, NodeError> {
        let mut response = answer.map_err(|error| self.failed(error))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| self.failed(error))?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.foreign(&error));
        }
        let problem: Value = serde_json::from_slice(&body).map_err(|_| self.foreign(&status))?;
        let detail = problem["detail"].as_str().ok_or_else(|| self.foreign(&status))?;
        let detail = match status {
            StatusCode::UNAUTHORIZED => format!(
                "the node at {} wants its token: {detail} (set {}, or name the file with --file)",
                self.at, self.variable
            ),
            _ => detail.to_owned(),
        };
        Err(NodeError::Refused { status: status.as_u16(), detail, body: problem })
    }

    fn foreign(&self, cause: &dyn std::fmt::Display) -> NodeError {
        NodeError::Foreign { at: self.at.clone(), cause: cause.to_string() }
    }

    fn failed(&self, error: ureq::Error) -> NodeError {
        let cause = match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "connection refused".into()
            }
            ureq::Error::Timeout(_) => "no answer in time".into(),
            ureq::Error::Protocol(error) => return self.foreign(&error),
            error => error.to_string(),
        };
        NodeError::Unreachable { at: self.at.clone(), cause }
    }
}

/// What a file says about its node.
struct Place {
    admin: SocketAddr,
    token: Option<String>,
}

impl Place {
    fn of(file: Option<&Path>) -> Result<Self, NodeError> {
        let path = file.map_or_else(|| PathBuf::from(FILE_DEFAULT), Path::to_owned);
        if file.is_none() && !path.exists() {
            return Ok(Self { admin: topology::ADMIN_DEFAULT, token: None });
        }
        match topology::load(&path) {
            Ok(checked) => {
                let node = checked.topology.node;
                // The node will say that it wants a token, should this be the reason.
                let token = node.admin_token.and_then(|secret| secret.reveal().ok());
                Ok(Self { admin: node.admin, token })
            }
            // A file that is being edited still says where its node is, and the node runs on.
            Err(rejected) => Self::of_broken(&path).ok_or(NodeError::File(rejected)),
        }
    }

    fn of_broken(path: &Path) -> Option<Self> {
        let table: toml::Table = std::fs::read_to_string(path).ok()?.parse().ok()?;
        let node = table.get("node");
        let admin = match node.and_then(|node| node.get("admin")) {
            Some(admin) => admin.as_str()?.parse().ok()?,
            None => topology::ADMIN_DEFAULT,
        };
        let secret = node.and_then(|node| node.get("admin_token")).cloned();
        let secret: Option<topology::Secret> = secret.and_then(|secret| secret.try_into().ok());
        Some(Self { admin, token: secret.and_then(|secret| secret.reveal().ok()) })
    }
}

/// An address to connect to, where the file says "every address".
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// `host:port` of what was given as `--admin`.
fn authority(admin: &str) -> Result<String, NodeError> {
    let rest = admin.strip_prefix("http://").unwrap_or(admin).trim_end_matches('/');
    let wrong = || NodeError::Address(admin.to_owned());
    if rest.contains(['/', '@', '?', '#']) {
        return Err(wrong());
    }
    let parsed: ureq::http::uri::Authority = rest.parse().map_err(|_| wrong())?;
    match parsed.port_u16() {
        Some(_) => Ok(rest.to_owned()),
        None => Ok(format!("{rest}:{}", topology::ADMIN_DEFAULT.port())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_address_may_be_written_in_several_ways() {
        for (given, expected) in [
            ("127.0.0.1:9900", "127.0.0.1:9900"),
            ("http://127.0.0.1:1/", "127.0.0.1:1"),
            ("nines.internal", "nines.internal:9900"),
            ("[::1]:7", "[::1]:7"),
            ("http://[::1]", "[::1]:9900"),
        ] {
            assert_eq!(authority(given).unwrap(), expected);
        }
        for given in ["https://host:1", "http://host/path", "user@host", ""] {
            assert!(authority(given).is_err(), "{given}");
        }
    }

    #[test]
    fn an_unspecified_address_is_reached_over_loopback() {
        assert_eq!(reachable("0.0.0.0:9".parse().unwrap()).to_string(), "127.0.0.1:9");
        assert_eq!(reachable("[::]:9".parse().unwrap()).to_string(), "[::1]:9");
        assert_eq!(reachable("10.0.0.1:9".parse().unwrap()).to_string(), "10.0.0.1:9");
    }

    #[test]
    fn a_file_with_a_mistake_elsewhere_still_says_where_its_node_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("broken.toml");
        std::fs::write(&path, "[node]\nadmin = \"127.0.0.1:9911\"\n[pool.x]\nblance = \"random\"\n").unwrap();
        assert_eq!(Place::of(Some(&path)).unwrap().admin.to_string(), "127.0.0.1:9911");
        std::fs::write(&path, "[node\n").unwrap();
        assert!(matches!(Place::of(Some(&path)), Err(NodeError::File(_))));
    }
}
