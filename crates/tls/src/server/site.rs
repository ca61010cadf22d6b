//! What belongs to one name: its certificates, and what is asked of its clients.

use super::shown::{Shown, pick};
use super::{Issued, ServerContext, Staple};
use crate::clients::{self, Terms};
use crate::config::{Automatic, TlsConfig, TlsTable};
use crate::error::Error;
use crate::events::Expiry;
use crate::facts::{self, Facts};
use crate::own::OwnAuthority;
use crate::pem::Pair;
use crate::provider::{provider, seconds, supported};
use crate::watched::{Files, Watched};
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A name with its certificates.
pub(super) struct Site {
    pub(super) name: Arc<str>,
    source: Source,
    live: Watched<Live>,
    /// The issued certificate whose end is told.
    told: Mutex<Option<(Arc<CertifiedKey>, Option<Expiry>)>>,
}

/// Where certificates come from.
#[derive(Clone)]
enum Source {
    Files(Vec<Pair>),
    Own,
    Issued(Arc<dyn Issued>),
}

/// What is true at one time.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) config: Arc<ServerConfig>,
    pub(super) terms: Terms,
    /// By preference; empty for issued ones, which their issuer keeps.
    keys: Arc<[Shown]>,
    /// When all this is to be made anew though no file changes: a certificate of our own or a staple of a file ends.
    /// In seconds since 1970.
    renew_at: Option<u64>,
    _expiries: Vec<Expiry>,
}

impl Site {
    pub(super) fn load(context: &ServerContext, name: &str, config: &TlsConfig) -> Result<Self, Error> {
        let source = Source::of(context, name, &config.0)?;
        let maker = Maker {
            context: context.clone(),
            name: name.to_owned(),
            source: source.clone(),
            clients: config.0.clients.clone(),
        };
        let live = Watched::new(move |files| maker.make(files))?;
        Ok(Self { name: name.into(), source, live, told: Mutex::default() })
    }

    pub(super) fn live(&self) -> arc_swap::Guard<Arc<Live>> {
        self.live.get()
    }

    /// Whether its certificate comes from outside, sooner or later.
    pub(super) fn is_issued(&self) -> bool {
        matches!(self.source, Source::Issued(_))
    }

    pub(super) fn has_certificate(&self) -> bool {
        match &self.source {
            Source::Issued(issued) => issued.certificate(&self.name).is_some(),
            Source::Files(_) | Source::Own => true,
        }
    }

    /// Its certificate for a client, if there is one that the client can verify.
    pub(super) fn certificate(&self, live: &Live, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match &self.source {
            Source::Issued(issued) => {
                let schemes = hello.signature_schemes();
                issued.certificate(&self.name).filter(|key| key.key.choose_scheme(schemes).is_some())
            }
            Source::Files(_) | Source::Own => pick(&live.keys, hello),
        }
    }

    pub(super) fn refresh(&self, context: &ServerContext) {
        if let Source::Issued(issued) = &self.source {
            self.tell_expiry(issued.certificate(&self.name), context);
        }
        let is_due = self.live().renew_at.is_some_and(|at| at <= seconds(&*context.time));
        match self.live.refresh(is_due) {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!(target: "tls", listener = context.listener, name = %self.name, "certificate loaded anew");
            }
            Err(error) => {
                tracing::error!(
                    target: "tls", listener = context.listener, name = %self.name, %error,
                    "the changed files cannot be used, the certificate before stays"
                );
            }
        }
        self.live().keys.iter().for_each(Shown::refresh);
    }
}

impl Site {
    /// Tells when an issued certificate ends, if it is another than before.
    fn tell_expiry(&self, key: Option<Arc<CertifiedKey>>, context: &ServerContext) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_told = match (&key, &*told) {
            (Some(key), Some((of, _))) => Arc::ptr_eq(key, of),
            (None, None) => true,
            _ => false,
        };
        if !is_told {
            *told = key.map(|key| {
                let end = expiry(context, &self.name, &key);
                (key, end)
            });
        }
    }
}

impl Source {
    fn of(context: &ServerContext, name: &str, table: &TlsTable) -> Result<Self, Error> {
        match table.auto {
            Some(Automatic::SelfSigned) => return Ok(Self::Own),
            Some(Automatic::Acme) => {
                let issued = context.issued.clone();
                return issued.map(Self::Issued).ok_or_else(|| Error::NoAcme { name: name.to_owned() });
            }
            None => {}
        }
        let pair = |cert: &Path, key: &Path, ocsp: Option<&Path>| Pair {
            cert: context.dir.join(cert),
            key: context.dir.join(key),
            ocsp: ocsp.map(|path| context.dir.join(path)),
        };
        let single = table.cert.as_deref().zip(table.key.as_deref());
        let single = single.map(|(cert, key)| pair(cert, key, table.ocsp.as_deref()));
        let several = table.certs.iter().map(|each| pair(&each.cert, &each.key, each.ocsp.as_deref()));
        Ok(Self::Files(single.into_iter().chain(several).collect()))
    }
}

/// Makes what is live of a site.
struct Maker {
    context: ServerContext,
    name: String,
    source: Source,
    clients: Option<crate::config::ClientsConfig>,
}

impl Maker {
    fn make(&self, files: &mut Files) -> Result<Live, Error> {
        let context = &self.context;
        let now = seconds(&*context.time);
        let mut renew_at = None;
        let keys: Vec<Shown> = match &self.source {
            Source::Files(pairs) => {
                let mut keys = Vec::new();
                for pair in pairs {
                    let (key, changes_at) = self.of_files(pair, files, now)?;
                    keys.push(key);
                    renew_at = [renew_at, changes_at].into_iter().flatten().min();
                }
                keys
            }
            Source::Own => {
                let (key, renewal) = OwnAuthority::open(&context.data, now)?.certificate(&self.name, now)?;
                renew_at = Some(renewal);
                vec![Shown::new(key, None)]
            }
            Source::Issued(_) => Vec::new(),
        };
        let keys: Arc<[_]> = keys.into();
        let (config, terms) = self.config(Arc::clone(&keys), files)?;
        let expiries = keys.iter().filter_map(|key| expiry(context, &self.name, &key.now())).collect();
        Ok(Live { config, terms, keys, renew_at, _expiries: expiries })
    }

    /// A certificate of files with its staple; and when the file's staple ends.
    fn of_files(&self, pair: &Pair, files: &mut Files, now: u64) -> Result<(Shown, Option<u64>), Error> {
        let mut key = pair.load(files)?;
        if let Some(oddity) = facts::oddity(&key, &self.name, now) {
            tracing::warn!(target: "tls", name = self.name, file = %pair.cert.display(), "certificate: {oddity}");
        }
        let Some(staple) = pair.staple(&key, files)? else { return Ok((self.watched(key), None)) };
        if staple.until.is_some_and(|until| until <= now) {
            // A client that is shown an old response gives up; shown none, most do without.
            let demanded = facts::demands_staple(&key.cert[0]);
            tracing::warn!(target: "tls", name = self.name, demanded, "the OCSP response has ended, none is stapled");
            return Ok((Shown::new(key, None), None));
        }
        key.ocsp = Some(staple.der);
        Ok((Shown::new(key, None), staple.until))
    }

    /// A certificate whose response no file has: it is fetched, if there is somebody to ask.
    fn watched(&self, key: CertifiedKey) -> Shown {
        let staples = self.context.staples.as_ref();
        let whose = format!("{} ({})", self.name, self.context.listener);
        let staple: Option<Box<dyn Staple>> = staples.and_then(|staples| staples.watch(&whose, &key.cert));
        if staple.is_none() && key.cert.first().is_some_and(facts::demands_staple) {
            tracing::warn!(
                target: "tls", name = self.name,
                "the certificate demands an OCSP response (RFC 7633), and nobody is asked for one: clients may refuse it"
            );
        }
        Shown::new(key, staple)
    }

    fn config(&self, keys: Arc<[Shown]>, files: &mut Files) -> Result<(Arc<ServerConfig>, Terms), Error> {
        let context = &self.context;
        let builder = ServerConfig::builder_with_details(Arc::clone(provider()), Arc::clone(&context.time))
            .with_protocol_versions(&supported(&context.versions))
            .map_err(|source| Error::Rustls { what: format!("tls of {}", self.name), source })?;
        let (builder, terms) = match &self.clients {
            None => (builder.with_no_client_auth(), Terms::default()),
            Some(clients) => {
                let ca = context.dir.join(&clients.ca);
                let (verifier, terms) = clients::verifier(&ca, clients.required, files)?;
                (builder.with_client_cert_verifier(verifier), terms)
            }
        };
        let resolver: Arc<dyn ResolvesServerCert> = match &self.source {
            Source::Issued(issued) => {
                Arc::new(IssuedFor { name: self.name.clone(), issued: Arc::clone(issued) })
            }
            Source::Files(_) | Source::Own => Arc::new(Fixed(keys)),
        };
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols.clone_from(&context.alpn);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = context.tickets.under(&terms.label(&context.listener));
        config.max_early_data_size = 0;
        Ok((Arc::new(config), terms))
    }
}

/// Tells when a certificate ends.
fn expiry(context: &ServerContext, name: &str, key: &CertifiedKey) -> Option<Expiry> {
    let not_after = Facts::of(key.cert.first()?)?.not_after;
    Some(Expiry::told(&context.registry, &context.listener, name, facts::kind(key), not_after))
}

/// Certificates of files.
#[derive(Debug)]
struct Fixed(Arc<[Shown]>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        pick(&self.0, &hello)
    }
}

/// A certificate that its issuer is asked for at each handshake.
struct IssuedFor {
    name: String,
    issued: Arc<dyn Issued>,
}

impl ResolvesServerCert for IssuedFor {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.issued.certificate(&self.name)
    }
}

impl fmt::Debug for IssuedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedFor").field("name", &self.name).finish_non_exhaustive()
    }
}
