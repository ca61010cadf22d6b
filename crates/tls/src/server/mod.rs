//! Which certificate a client is shown, and what it must show: by the name it asks for.
//!
//! A name is looked up exactly, then by its wildcards from the longest, then as `default`, as the edge looks up
//! sites. A [`Server`] is immutable but for what its files say: [`Server::refresh`] looks for changed ones and
//! swaps what belongs to a name as a whole, under handshakes that go on.

mod challenge;
mod names;
mod quic;
mod shown;
mod site;

use crate::clients::Terms;
use crate::config::{TlsConfig, Version};
use crate::error::Error;
use crate::tickets::Tickets;
use names::Names;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use site::Site;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use telemetry::Registry;
use thiserror::Error;

/// Who answers TLS-ALPN-01 challenges (RFC 8737): certificates for connections that speak `acme-tls/1` only.
pub trait Challenges: Send + Sync {
    /// The certificate that proves control of `name`, in lower case, while a challenge for it is under way.
    fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>>;
}

/// Who has certificates for `tls = "acme"`. It is asked at each handshake, and must answer from memory.
pub trait Issued: Send + Sync {
    /// The certificate for a site by the site's name, `"shop.test"` or `"*.shop.test"`; with its OCSP response, if
    /// it is to be stapled.
    fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>>;
}

/// Who fetches OCSP responses (RFC 6960) for certificates of files, and fetches them again before they end.
pub trait Staples: Send + Sync {
    /// Keeps the response of a certificate fresh until what is returned is dropped. `chain` is leaf first; the same
    /// chain again, for whomever, is the same response. `None` when there is nobody to ask. `whose` it is, is for people.
    fn watch(&self, whose: &str, chain: &[CertificateDer<'_>]) -> Option<Box<dyn Staple>>;
}

/// The OCSP response of one certificate, kept fresh by others.
pub trait Staple: Send + Sync {
    /// What clients may be shown now, in DER, from memory. `None` before the first fetch, and after the end of a
    /// response that nobody could renew.
    fn response(&self) -> Option<Arc<Vec<u8>>>;
}

/// What a server is made with.
#[derive(Clone)]
pub struct ServerContext {
    /// Who listens, `"edge"` or `"tcp db"`: a label of metrics, and a border that no session is resumed across.
    pub listener: String,
    /// The folder that paths of the file start from.
    pub dir: PathBuf,
    /// The node's data folder, where certificates of its own are kept.
    pub data: PathBuf,
    /// The protocols within, by preference: `h2`, `http/1.1`. When there are some, a client that speaks ALPN must
    /// name one of them.
    pub alpn: Vec<Vec<u8>>,
    /// The versions of TLS.
    pub versions: Vec<Version>,
    /// The keys of session tickets.
    pub tickets: Arc<Tickets>,
    /// Who answers challenges, if anybody does.
    pub challenges: Option<Arc<dyn Challenges>>,
    /// Who has issued certificates, if anybody has.
    pub issued: Option<Arc<dyn Issued>>,
    /// Who fetches the OCSP responses of certificates from files, if anybody does.
    pub staples: Option<Arc<dyn Staples>>,
    /// The clock.
    pub time: Arc<dyn TimeProvider>,
    /// Where the ends of certificates are told.
    pub registry: Registry,
}

/// The certificates and terms of all names of a listener.
pub struct Server {
    names: Arc<Names>,
    challenge: Option<Arc<ServerConfig>>,
    context: ServerContext,
}

/// How a handshake goes on.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// What to go on with: `StartHandshake::into_stream`.
    pub config: Arc<ServerConfig>,
    /// The name of the site as it stands in the file; `None` for a challenge.
    pub site: Option<Arc<str>>,
    /// What was asked of the client. Requests on this connection are for hosts that [`Server::allows`].
    pub terms: Terms,
    /// Whether this is a challenge of a certificate authority: the connection is closed after the handshake.
    pub is_challenge: bool,
}

/// Why a handshake ends before it began. Whoever refuses sends [`alert`](Self::alert) and closes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// No site has this name.
    #[error("no certificate for {}", name.as_deref().map_or_else(|| "clients that name no server".into(), |name| format!("{name:?}")))]
    UnknownName {
        /// What the client asked for.
        name: Option<String>,
    },
    /// The site's certificate has not been issued yet.
    #[error("the certificate of {site} has not been issued yet")]
    NotIssued {
        /// The site.
        site: String,
    },
}

impl Refused {
    /// The alert that says so, as a whole record in plain text (RFC 8446 §5.1, §6).
    pub fn alert(&self) -> [u8; 7] {
        const ALERT: u8 = 21;
        const FATAL: u8 = 2;
        let description = match self {
            // unrecognized_name (RFC 6066 §3).
            Self::UnknownName { .. } => 112,
            // internal_error: the name is right, and a later try may succeed.
            Self::NotIssued { .. } => 80,
        };
        [ALERT, 3, 3, 0, 2, FATAL, description]
    }
}

impl Server {
    /// Loads the certificates of all sites, by their names in the file: `"shop.test"`, `"*.shop.test"`, `"default"`.
    /// A listener without names has the one site `"default"`.
    ///
    /// # Errors
    /// When any certificate, key or authority cannot be used; the error names its file.
    pub fn load<'a>(
        context: ServerContext,
        sites: impl IntoIterator<Item = (&'a str, &'a TlsConfig)>,
    ) -> Result<Arc<Self>, Error> {
        let sites: Result<Vec<_>, Error> =
            sites.into_iter().map(|(name, config)| Site::load(&context, name, config)).collect();
        let challenge = match &context.challenges {
            None => None,
            Some(challenges) => Some(challenge::config(&context, challenges)?),
        };
        Ok(Arc::new(Self { names: Arc::new(Names::of(sites?)), challenge, context }))
    }

    /// Chooses how to go on after a client's first message.
    pub fn choose(&self, hello: &ClientHello<'_>) -> Result<Chosen, Refused> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        if let Some(config) = &self.challenge
            && challenge::is_one(hello)
        {
            return self.challenged(config, name);
        }
        let Some(site) = self.names.find(name.as_deref()) else {
            return Err(Refused::UnknownName { name });
        };
        if !site.has_certificate() {
            return Err(Refused::NotIssued { site: site.name.to_string() });
        }
        let live = site.live();
        Ok(Chosen {
            config: Arc::clone(&live.config),
            site: Some(Arc::clone(&site.name)),
            terms: live.terms.clone(),
            is_challenge: false,
        })
    }

    fn challenged(&self, config: &Arc<ServerConfig>, name: Option<String>) -> Result<Chosen, Refused> {
        let challenges = self.context.challenges.as_ref();
        if name.as_deref().and_then(|name| challenges?.certificate(name)).is_none() {
            return Err(Refused::UnknownName { name });
        }
        let config = Arc::clone(config);
        Ok(Chosen { config, site: None, terms: Terms::default(), is_challenge: true })
    }

    /// Whether a request for `host` (without its port) may come on a connection with these terms. A host that asks
    /// nothing of clients may come on any; another one, only where the same was asked. Otherwise the answer is 421
    /// (RFC 9110 §15.5.20), upon which a client tries again on a connection of its own.
    pub fn allows(&self, terms: &Terms, host: &str) -> bool {
        if !self.names.any_asks_for_certificates() {
            return true;
        }
        let host = host.to_ascii_lowercase();
        match self.names.find(Some(&host)) {
            None => true,
            Some(site) => {
                let live = site.live();
                !live.terms.ask_for_certificates() || live.terms == *terms
            }
        }
    }

    /// Whether a host asks its clients for certificates: it cannot be reached over HTTP/3, see [`quic`](Self::quic).
    pub fn asks_for_certificates(&self, host: &str) -> bool {
        !self.allows(&Terms::default(), host)
    }

    /// The configuration for QUIC (RFC 9001): TLS 1.3 without early data, certificates by name. A QUIC endpoint
    /// has one configuration for all names, so that those that ask clients for certificates are not served by
    /// it: their handshakes fail, and clients use TCP.
    ///
    /// # Errors
    /// When rustls refuses the configuration.
    pub fn quic(&self, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, Error> {
        quic::config(&self.context, &self.names, alpn)
    }

    /// Looks for changed files and ending certificates of our own, and loads them anew; staples the OCSP responses
    /// that have been fetched. To be called every second or so. What cannot be loaded is told once, and what was there
    /// before stays. It reads files: not for a thread that serves.
    pub fn refresh(&self) {
        for site in self.names.all() {
            site.refresh(&self.context);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.names.all().map(|site| &*site.name).collect();
        f.debug_struct("Server").field("listener", &self.context.listener).field("names", &names).finish()
    }
}
