//! The handle: start, reload, look, stop.

use crate::clock::Clock;
use crate::directory::is_loopback;
use crate::engine::Engine;
use crate::error::Error;
use crate::events::Meters;
use crate::http_client::{HttpClient, Plain, roots};
use crate::lookups::Lookups;
use crate::ocsp::Stapler;
use crate::order::{Answering, Server};
use crate::store::Store;
use crate::{AcmeConfig, AcmeStatus, check_name};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use notation::{Secret, SecretError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use telemetry::Registry;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// What ordering needs to know of its surroundings.
#[derive(Clone)]
pub struct AcmeContext {
    /// The folder that paths of the file start from.
    pub dir: PathBuf,
    /// The node's data folder.
    pub data: PathBuf,
    /// Where the figures go.
    pub registry: Registry,
    /// The time by which certificates are judged.
    pub clock: Clock,
    /// How often things are looked at.
    pub pace: Pace,
    /// For jitter; from the system when absent.
    pub seed: Option<u64>,
}

impl AcmeContext {
    /// With the machine's clock and the usual pace.
    pub fn new(dir: PathBuf, data: PathBuf, registry: Registry) -> Self {
        let (clock, pace) = (Clock::system(), Pace::default());
        Self { dir, data, registry, clock, pace, seed: None }
    }
}

/// How often things are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The clock, and the store's stamp.
    pub poll: Duration,
    /// Between putting a challenge into the store and letting the server look: other nodes find it meanwhile.
    pub settle: Duration,
    /// An order that the server works on, at first; it doubles.
    pub server_poll: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let millis = Duration::from_millis;
        Self { poll: millis(1000), settle: millis(2500), server_poll: millis(1000) }
    }
}

/// Certificates that are ordered, kept and renewed.
///
/// Its one task lives on the runtime that started it (the control plane) and does all I/O. Handshakes and requests
/// ask [`Acme::lookups`], which answers from memory. Until a name's first certificate is there, `certificate`
/// returns `None`; see [`Lookups`]. Dropping it ends the task as well, but leaves the lease on the store to end by
/// itself: [`Acme::stop`] gives it back.
pub struct Acme {
    shared: Arc<Shared>,
    settings: watch::Sender<Arc<Settings>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What the handle and the task have in common.
pub(crate) struct Shared {
    pub(crate) context: AcmeContext,
    pub(crate) lookups: Arc<Lookups>,
    pub(crate) status: watch::Sender<AcmeStatus>,
    pub(crate) turns: watch::Sender<u64>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) stop: Notify,
    pub(crate) meters: Meters,
    /// This process, for other nodes and for people.
    pub(crate) node: String,
}

/// What is ordered, and where.
pub(crate) struct Settings {
    given: Given,
    pub(crate) server: Arc<Server>,
    pub(crate) names: BTreeSet<String>,
    /// Who fetches the OCSP responses of the certificates, if anybody does.
    pub(crate) stapler: Option<Arc<Stapler>>,
}

/// Everything that a [`Server`] is made of.
#[derive(Clone, PartialEq)]
struct Given {
    config: AcmeConfig,
    /// Key identifier and key.
    external: Option<(String, Vec<u8>)>,
    ca: Option<(PathBuf, Vec<u8>)>,
}

/// A reload that can no longer fail: see [`Acme::prepare`].
pub struct Prepared(Arc<Settings>);

impl Acme {
    /// Starts ordering certificates for these names, which have passed [`check_name`]; what the store has is
    /// found as soon as this returns. Their OCSP responses are those that `stapler` has, if there is one. To be
    /// called within the runtime that will run its task.
    ///
    /// # Errors
    /// When the store, the roots or the secret of the external account cannot be used.
    pub fn start(
        context: AcmeContext,
        config: &AcmeConfig,
        names: impl IntoIterator<Item = String>,
        stapler: Option<Arc<Stapler>>,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            meters: Meters::new(&context.registry),
            lookups: Arc::default(),
            status: watch::Sender::new(AcmeStatus::default()),
            turns: watch::Sender::new(0),
            wake: Arc::default(),
            stop: Notify::new(),
            node: node(),
            context,
        });
        let given = Given::read(&shared.context, config)?;
        let server = Arc::new(server(&shared, given.clone())?);
        let settings = Settings { given, server, names: checked(names)?, stapler };
        let (settings, changes) = watch::channel(Arc::new(settings));
        let rng = shared.context.seed.map_or_else(rand::make_rng, StdRng::seed_from_u64);
        let task = tokio::spawn(Engine::new(Arc::clone(&shared), changes, rng).run());
        Ok(Self { shared, settings, task: Mutex::new(Some(task)) })
    }

    /// Everything of a reload that may fail; changes nothing.
    ///
    /// # Errors
    /// As [`Acme::start`].
    pub fn prepare(
        &self,
        config: &AcmeConfig,
        names: impl IntoIterator<Item = String>,
        stapler: Option<Arc<Stapler>>,
    ) -> Result<Prepared, Error> {
        let names = checked(names)?;
        let before = Arc::clone(&self.settings.borrow());
        let given = Given::read(&self.shared.context, config)?;
        // The same server keeps its orders.
        let server = if before.given == given {
            Arc::clone(&before.server)
        } else {
            Arc::new(server(&self.shared, given.clone())?)
        };
        Ok(Prepared(Arc::new(Settings { given, server, names, stapler })))
    }

    /// Applies a reload: names that stay keep their certificates and orders, unless the server has changed.
    pub fn commit(&self, prepared: Prepared) {
        self.settings.send_replace(prepared.0);
    }

    /// What handshakes and requests ask.
    pub fn lookups(&self) -> Arc<Lookups> {
        Arc::clone(&self.shared.lookups)
    }

    /// How every name does.
    pub fn status(&self) -> AcmeStatus {
        self.shared.status.borrow().clone()
    }

    /// The same, now and whenever it changes.
    pub fn changes(&self) -> watch::Receiver<AcmeStatus> {
        self.shared.status.subscribe()
    }

    /// Counts the turns of the task: in each it looks at the clock and the store.
    pub fn turns(&self) -> watch::Receiver<u64> {
        self.shared.turns.subscribe()
    }

    /// Looks at the clock and the store now, not only at the next turn.
    pub fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// Ends its task and waits for it: orders are broken off, and another node may order at once. What is known
    /// stays known to [`Acme::lookups`].
    pub async fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.shared.stop.notify_one();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(target: "acme", %error, "the task of ACME ended badly");
        }
    }
}

impl Drop for Acme {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl fmt::Debug for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acme").field("lookups", &self.shared.lookups).finish_non_exhaustive()
    }
}

fn checked(names: impl IntoIterator<Item = String>) -> Result<BTreeSet<String>, Error> {
    let check = |name: String| Ok(check_name(&name).map(|()| name)?);
    names.into_iter().map(check).collect()
}

impl Given {
    fn read(context: &AcmeContext, config: &AcmeConfig) -> Result<Self, Error> {
        let external = config.external_account.as_ref().map(|external| {
            // RFC 8555 §7.3.4 hands it out as base64url; some authorities add padding.
            let base64 = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
            let key = GeneralPurpose::new(&URL_SAFE, base64).decode(revealed(&external.key, &context.dir)?);
            Ok::<_, Error>((external.key_id.clone(), key.map_err(|_| Error::ExternalKey)?))
        });
        let ca = config.ca.as_ref().map(|ca| {
            let path = context.dir.join(ca);
            match std::fs::read(&path) {
                Ok(pem) => Ok((path, pem)),
                Err(error) => Err(Error::Ca { path, reason: error.to_string() }),
            }
        });
        Ok(Self { config: config.clone(), external: external.transpose()?, ca: ca.transpose()? })
    }

    /// A test server on this machine needs no roots, and a machine without any is still fit for it.
    fn client(&self) -> Result<HttpClient, Error> {
        let uri: Option<http::Uri> = self.config.directory.url().parse().ok();
        let is_plain = uri.is_some_and(|uri| {
            uri.scheme() == Some(&http::uri::Scheme::HTTP) && uri.host().is_some_and(is_loopback)
        });
        if is_plain {
            return Ok(HttpClient::without_tls(Plain::Loopback));
        }
        let ca = self.ca.as_ref().map(|(path, pem)| (path.as_path(), pem.as_slice()));
        Ok(HttpClient::with_roots(roots(ca)?, Plain::Loopback))
    }
}

fn server(shared: &Shared, given: Given) -> Result<Server, Error> {
    let AcmeContext { dir, data, clock, pace, .. } = &shared.context;
    let client = given.client()?;
    let Given { config, external, .. } = given;
    let store = Store::open(config.store_dir(dir, data).join(config.directory.folder()))?;
    Ok(Server {
        directory_url: config.directory.url().to_owned(),
        email: config.email,
        challenge: config.challenge,
        external,
        client,
        store,
        clock: clock.clone(),
        pace: *pace,
        answering: Answering {
            lookups: Arc::clone(&shared.lookups),
            wake: Arc::clone(&shared.wake),
            turns: shared.turns.subscribe(),
        },
    })
}

/// A secret's value; its file is relative to `dir`.
fn revealed(secret: &Secret, dir: &std::path::Path) -> Result<String, SecretError> {
    match secret {
        Secret::File(path) => Secret::File(dir.join(path)).reveal(),
        Secret::Env(_) => secret.reveal(),
    }
}

/// The machine's name, the process, and what makes it this one alone.
fn node() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}:{:08x}", machine.trim(), std::process::id(), rand::rng().random::<u32>())
}
