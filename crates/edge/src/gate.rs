//! Whether a request is served: everything that its site and its route ask before it costs anybody anything.

mod signature;
mod terms;

use crate::arrival::Secure;
use crate::core::{Core, Snapshot, Work};
use crate::error::Refusal;
use crate::protocol::{FieldKind, Version};
use crate::request::Client;
use crate::sites::{Route, Site};
use admission::{
    Access, BasicAuth, By, Decision, Denied, Events, Held, Judged, Key, Limited, PerClient, RateLimit,
    RateTable, Refreshed, Signed, Unsigned, Verifiers, parse_basic,
};
pub(crate) use signature::{Shown, strip};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
pub(crate) use terms::Gates;

/// Passwords that are verified at once, each on a thread of its own.
const VERIFYING_MAX: usize = 4;

/// How long a request waits while too many passwords are being verified, and how often it looks.
const PASSWORD_WAIT: Duration = Duration::from_secs(1);
const PASSWORD_LOOK_EVERY: Duration = Duration::from_millis(20);

/// What all cores and all files of a node's life share: who has come how often, and what is known of them.
pub(crate) struct Shared {
    rates: RateTable,
    /// Connections and requests at once.
    per_client: PerClient,
    verifiers: Arc<Verifiers>,
}

impl Shared {
    pub(crate) fn new(registry: &telemetry::Registry) -> Arc<Self> {
        Arc::new(Self {
            rates: RateTable::new(RateTable::ENTRIES, Instant::now(), registry),
            per_client: PerClient::new(),
            verifiers: Verifiers::new(VERIFYING_MAX),
        })
    }

    /// A connection of a client, unless it has `max` already.
    pub(crate) fn connection(&self, client: std::net::IpAddr, max: u32) -> Option<Held> {
        self.per_client.try_enter(Key::of_client(client), max)
    }
}

/// What a site or a route asks of its clients.
pub(crate) struct Gate {
    access: Option<Access>,
    auth: Option<BasicAuth>,
    signed: Option<Signed>,
    requests_at_once: Option<(Vec<u8>, u32)>,
    rate: Option<(RateLimit, By)>,
    pub(crate) bytes_per_second: Option<u64>,
    events: Events,
}

impl Gate {
    /// Who may come by address, in words.
    pub(crate) fn explain_access(&self, client: std::net::IpAddr) -> Option<String> {
        let denied = self.access.as_ref()?.judge(client).err()?;
        Some(self.access.as_ref()?.explain(client).unwrap_or_else(|| denied.to_string()))
    }

    /// Whether a user and a password are asked for.
    pub(crate) fn asks_for_users(&self) -> bool {
        self.auth.is_some()
    }

    /// The keys of who may come by a signature, where one is asked for.
    pub(crate) fn signed(&self) -> Option<&Signed> {
        self.signed.as_ref()
    }

    /// Looks for changed files.
    pub(crate) fn refresh(&self) -> Refreshed {
        let access = self.access.as_ref().map(Access::refresh).unwrap_or_default();
        access.and(self.auth.as_ref().map(BasicAuth::refresh).unwrap_or_default())
    }
}

/// A request that may be served. It counts among its client's until this is dropped.
pub(crate) struct Passed {
    _held: Option<Held>,
}

/// What a gate has against a request.
#[derive(Clone, Copy)]
enum Objection<'g> {
    Denied(Denied),
    TooOften(&'g RateLimit, Decision),
    TooManyAtOnce,
    Unsigned(Unsigned),
    NoUser(&'g BasicAuth, admission::Refusal),
}

/// What is asked of a request before its body is read to see which of these routes answers it: everything, where they
/// ask the same. Where they do not, it is refused if each of them would refuse it; else the one that answers it asks.
pub(crate) async fn pass_unread(
    core: &Core,
    work: &mut Work,
    routes: &[&Arc<Route>],
) -> Result<Option<Passed>, Refusal> {
    let Some((last, others)) = routes.split_last() else { return Ok(None) };
    if others.iter().all(|route| Arc::ptr_eq(&route.gate, &last.gate)) {
        return last.gate.pass(core, work).await.map(Some);
    }
    if others.iter().any(|route| route.gate.foresee(core, work).is_none()) {
        return Ok(None);
    }
    match last.gate.foresee(core, work) {
        None => Ok(None),
        Some(objection) => Err(last.gate.refuse(objection, work)),
    }
}

/// What a site asks before a route is looked for, and before a body is read for that. Notes the lines that the answer
/// gets, whatever that is.
pub(crate) fn enter(
    core: &Core,
    snapshot: &Snapshot,
    client: &Client,
    work: &mut Work,
    site: &Site,
) -> Result<(), Refusal> {
    // Who came by a proxy that is believed was not judged when the connection was.
    let is_named = work.client != client.peer.address;
    if is_named && snapshot.access.as_ref().is_some_and(|access| access.judge(work.client).is_err()) {
        core.events.admission.denied();
        return Err(Refusal::Denied("may not come to this edge".into()));
    }
    let secure = client.peer.secure.as_ref();
    if work.is_secure {
        work.extra.extend_from_slice(&site.secure_lines);
    }
    // RFC 9114 §3.1.1: who is there already need not be told.
    if secure.is_some() && work.request.version != Version::Http3 && !site.asks_for_certificates {
        work.extra.extend_from_slice(&snapshot.alt_svc_line);
    }
    if let (false, Some(port)) = (work.is_secure, site.https_port) {
        return Err(Refusal::HttpsOnly(port));
    }
    // RFC 9110 §7.4: who was asked for nothing, or for another certificate, has not come to this site.
    if site.asks_for_certificates {
        let host = std::str::from_utf8(&work.host).unwrap_or_default();
        let was_asked =
            |secure: &Secure| snapshot.tls.as_ref().is_some_and(|tls| tls.server.allows(&secure.terms, host));
        if !secure.is_some_and(was_asked) {
            return Err(Refusal::Certificate);
        }
    }
    Ok(())
}

impl Gate {
    /// Asks everything, cheap questions first, and counts the request.
    pub(crate) async fn pass(&self, core: &Core, work: &mut Work) -> Result<Passed, Refusal> {
        if let Some(objection) = self.judge_address(work) {
            return Err(self.refuse(objection, work));
        }
        if let Some((rate, by)) = &self.rate {
            let decision = core.admission.rates.check(rate, counted_by(by, work), Instant::now());
            if !decision.is_allowed {
                return Err(self.refuse(Objection::TooOften(rate, decision), work));
            }
            rate.write_lines(&decision, &mut work.extra);
        }
        let held = match &self.requests_at_once {
            None => None,
            Some((scope, max)) => {
                let held = core.admission.per_client.try_enter(key_within(scope, work.client), *max);
                Some(held.ok_or_else(|| self.refuse(Objection::TooManyAtOnce, work))?)
            }
        };
        if let Some(objection) = self.judge_signature(work) {
            return Err(self.refuse(objection, work));
        }
        if let Some(auth) = &self.auth {
            let verified = verify(auth, work).await;
            verified.map_err(|refusal| self.refuse(Objection::NoUser(auth, refusal), work))?;
        }
        if let Some(signed) = &self.signed {
            strip(signed, &mut work.request, work.down.held_mut());
        }
        Ok(Passed { _held: held })
    }

    /// What [`Gate::pass`] would object to, with nothing counted and no password verified.
    fn foresee(&self, core: &Core, work: &Work) -> Option<Objection<'_>> {
        let too_often = || {
            let (rate, by) = self.rate.as_ref()?;
            let decision = core.admission.rates.foresee(rate, counted_by(by, work), Instant::now());
            (!decision.is_allowed).then_some(Objection::TooOften(rate, decision))
        };
        let too_many = || {
            let (scope, max) = self.requests_at_once.as_ref()?;
            let count = core.admission.per_client.count(key_within(scope, work.client));
            (count >= *max).then_some(Objection::TooManyAtOnce)
        };
        let no_user = || {
            let auth = self.auth.as_ref()?;
            let shows_user = authorization(work).is_some_and(|value| parse_basic(value).is_some());
            (!shows_user).then_some(Objection::NoUser(auth, admission::Refusal::Missing))
        };
        let unsigned = || self.judge_signature(work);
        self.judge_address(work).or_else(too_often).or_else(too_many).or_else(unsigned).or_else(no_user)
    }

    fn judge_signature(&self, work: &Work) -> Option<Objection<'_>> {
        let signed = self.signed.as_ref()?;
        let Work { request, host, path, client, .. } = work;
        let shown = Shown { request, head: work.down.held(), host, path, client: *client };
        shown.judge(signed, SystemTime::now()).err().map(Objection::Unsigned)
    }

    fn judge_address(&self, work: &Work) -> Option<Objection<'_>> {
        self.access.as_ref()?.judge(work.client).err().map(Objection::Denied)
    }

    /// Counts a refusal, and adds the lines that its answer gets.
    fn refuse(&self, objection: Objection<'_>, work: &mut Work) -> Refusal {
        if let Some(signed) = &self.signed {
            // One that is good, here or elsewhere, is in no log.
            strip(signed, &mut work.request, work.down.held_mut());
        }
        match objection {
            Objection::Denied(denied) => {
                self.events.denied();
                Refusal::Denied(denied.to_string())
            }
            Objection::TooOften(rate, decision) => {
                self.events.limited(Limited::Requests);
                rate.write_lines(&decision, &mut work.extra);
                Refusal::TooMany { cause: "this client sends requests too often", retry_after_secs: None }
            }
            Objection::TooManyAtOnce => {
                self.events.limited(Limited::Connections);
                let cause = "too many requests of this client at once";
                Refusal::TooMany { cause, retry_after_secs: Some(1) }
            }
            Objection::Unsigned(unsigned) => {
                self.events.unsigned();
                Refusal::Unsigned(unsigned)
            }
            Objection::NoUser(_, refusal @ admission::Refusal::Busy) => {
                self.events.limited(Limited::Passwords);
                Refusal::Busy(refusal.as_str().into())
            }
            Objection::NoUser(auth, refusal) => {
                self.events.auth_failed();
                work.extra.extend_from_slice(auth.challenge_line());
                Refusal::Unauthorized(refusal.as_str())
            }
        }
    }
}

async fn verify(auth: &BasicAuth, work: &Work) -> Result<(), admission::Refusal> {
    let began = Instant::now();
    loop {
        match judge(auth, authorization(work)).await {
            // A page's parts come all at once with one password, which is known once the first was verified.
            Err(admission::Refusal::Busy) if began.elapsed() < PASSWORD_WAIT => {
                tokio::time::sleep(PASSWORD_LOOK_EVERY).await;
            }
            judged => return judged,
        }
    }
}

/// Verifying takes a processor for as long as it was made to take, which nobody else waits for.
async fn judge(auth: &BasicAuth, given: Option<&[u8]>) -> Result<(), admission::Refusal> {
    match auth.judge(given, Instant::now()) {
        Judged::User(_) => Ok(()),
        Judged::Refused(refusal) => Err(refusal),
        Judged::Verify(verification) => {
            let now = Instant::now();
            let verified = tokio::task::spawn_blocking(move || verification.run(now)).await;
            verified.map_err(|_| admission::Refusal::Busy)?.map(drop)
        }
    }
}

fn authorization(work: &Work) -> Option<&[u8]> {
    work.request.value(work.down.held(), FieldKind::Authorization)
}

/// The client that a request is counted for.
fn counted_by(by: &By, work: &Work) -> Key {
    let head = work.down.held();
    let value = by.header().and_then(|name| work.request.value_of(head, name.as_bytes()));
    by.key(work.client, value)
}

/// A client within a site or a route.
fn key_within(scope: &[u8], client: std::net::IpAddr) -> Key {
    let mut text = scope.to_vec();
    match admission::client_key(client) {
        std::net::IpAddr::V4(address) => text.extend_from_slice(&address.octets()),
        std::net::IpAddr::V6(address) => text.extend_from_slice(&address.octets()),
    }
    Key::of_value(&text)
}
