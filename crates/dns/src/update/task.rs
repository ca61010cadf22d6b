//! One zone that is updated: requests are made together, kept together, and answered when that is done.

use super::decide::{after, decide, raise_serial, set_serial};
use super::journal::{self, Entries, Fingerprint, Journal, fingerprint};
use super::request::{REFUSED, Request, SERVFAIL};
use super::rules::UpdateRules;
use crate::changes::serve;
use crate::dnssec::signing::SignedZone;
use crate::protocol::Name;
use crate::publishing::Publisher;
use crate::transfer::{Difference, Overlay, is_newer, soa_number};
use crate::zone::Zone;
use domain::base::iana::Rtype;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Requests that are made together.
const TOGETHER_MAX: usize = 256;
/// How often is looked whether another process has let the journal go.
const LOCKED_WAIT: Duration = Duration::from_millis(200);
/// How long until a journal that cannot be opened is tried again.
const FAILED_WAIT: Duration = Duration::from_secs(5);

/// What such a zone hears.
#[derive(Debug)]
pub(crate) enum Update {
    /// A request to change it, whose zone is this one.
    Request {
        message: Vec<u8>,
        client: IpAddr,
        /// The key that it is signed with.
        key: Option<Box<Name>>,
        /// Hears the RCODE.
        answer: oneshot::Sender<u8>,
    },
    /// The file was read again.
    Loaded,
}

/// A zone that is updated, by this process alone.
struct State {
    journal: Journal,
    base: Arc<Zone>,
    fingerprint: Fingerprint,
    content: Arc<Zone>,
    /// The content that is served.
    shown: Option<Arc<Zone>>,
}

/// What one request changes.
struct One {
    message: Vec<u8>,
    client: IpAddr,
    key: Option<Box<Name>>,
}

/// The zone of a file with its journal laid over it.
///
/// # Errors
/// When the journal cannot be read, or makes no zone of this file.
pub(crate) fn content_on_disk(data: &Path, base: &Arc<Zone>) -> Result<Arc<Zone>, String> {
    let path = journal::path(data, base.apex());
    let unusable = |error: String| format!("its journal {} cannot be used: {error}", path.display());
    let entries = journal::read(&path).map_err(|error| unusable(error.to_string()))?;
    replay(base, &fingerprint(base), &entries).map_err(unusable)
}

/// Where the journal is over another file, what it changed is changed in this one too; then the serial number is one that nobody has
/// seen.
fn replay(base: &Arc<Zone>, own: &Fingerprint, entries: &Entries) -> Result<Arc<Zone>, String> {
    let Some(last) = entries.differences.last() else { return Ok(Arc::clone(base)) };
    let mut overlay = Overlay::new(base);
    if entries.base.as_ref() == Some(own) {
        for difference in &entries.differences {
            overlay.apply(difference)?;
        }
    } else {
        for difference in &entries.differences {
            overlay.apply_anyhow(difference)?;
        }
        let serial = base.figures().serial;
        if !is_newer(serial, last.to) {
            let mut soa = overlay.soa();
            set_serial(&mut soa, after(last.to));
            overlay.set(base.apex(), Rtype::SOA, vec![soa]);
        }
    }
    let zone = overlay.build("the journal").map_err(|error| error.to_string())?;
    Ok(Arc::new(zone))
}

impl State {
    /// `Ok(None)`: another process still has the journal.
    fn open(data: &Path, base: Arc<Zone>) -> io::Result<Option<Self>> {
        let Some((journal, entries)) = Journal::open(&journal::path(data, base.apex()))? else {
            return Ok(None);
        };
        let fingerprint = fingerprint(&base);
        let content = replay(&base, &fingerprint, &entries).map_err(io::Error::other)?;
        let mut state = Self { journal, base, fingerprint, content, shown: None };
        if entries.base != Some(fingerprint) {
            state.shorten()?;
        }
        Ok(Some(state))
    }

    /// The file was read again: what was changed is laid over it.
    fn rebase(&mut self, base: Arc<Zone>) -> Result<(), String> {
        let own = fingerprint(&base);
        let net = Difference::of_records(&self.base, &self.content);
        let is_over = self.content.figures().serial != self.base.figures().serial;
        let differences = if is_over { vec![net] } else { Vec::new() };
        let entries = Entries::over(self.fingerprint, differences);
        let content = replay(&base, &own, &entries)?;
        let before = std::mem::replace(&mut self.base, base);
        let old = std::mem::replace(&mut self.content, content);
        let old_fingerprint = std::mem::replace(&mut self.fingerprint, own);
        if own != old_fingerprint
            && let Err(error) = self.shorten()
        {
            (self.base, self.content, self.fingerprint) = (before, old, old_fingerprint);
            return Err(error.to_string());
        }
        Ok(())
    }

    /// One entry takes the place of all.
    fn shorten(&mut self) -> io::Result<()> {
        let difference = Difference::of_records(&self.base, &self.content);
        let is_same =
            difference.from == difference.to && difference.removed.is_empty() && difference.added.is_empty();
        self.journal.rewrite(&self.fingerprint, (!is_same).then_some(&difference))
    }

    /// Serves the content, if that is another one than before. Says whether that could be done.
    fn show(&mut self, publisher: &Publisher) -> bool {
        if self.shown.as_ref().is_some_and(|shown| Arc::ptr_eq(shown, &self.content)) {
            return true;
        }
        let is_served = serve(publisher, &self.content);
        self.shown = is_served.then(|| Arc::clone(&self.content));
        is_served
    }

    /// Makes requests, and says what each is answered. `signed`: the zone is signed here.
    fn make(&mut self, rules: &UpdateRules, requests: &[One], signed: Option<&SignedZone>) -> Vec<u8> {
        let rcodes = match self.together(rules, requests, signed) {
            Ok(rcodes) => rcodes,
            // One of them makes no zone: each for itself.
            Err(_) if requests.len() > 1 => {
                requests.iter().flat_map(|one| self.make(rules, std::slice::from_ref(one), signed)).collect()
            }
            Err(error) => {
                let zone = self.base.apex();
                tracing::warn!(target: "dns", %zone, %error, "an update would make no zone: it is refused");
                vec![REFUSED; requests.len()]
            }
        };
        if self.journal.is_long()
            && let Err(error) = self.shorten()
        {
            let zone = self.base.apex();
            tracing::warn!(target: "dns", %zone, %error, "the journal cannot be made shorter");
        }
        rcodes
    }

    fn together(
        &mut self,
        rules: &UpdateRules,
        requests: &[One],
        signed: Option<&SignedZone>,
    ) -> Result<Vec<u8>, crate::Error> {
        let content = Arc::clone(&self.content);
        let served = signed.map(SignedZone::zone);
        let served = served.as_deref();
        let mut overlay = Overlay::new(&content);
        let mut rcodes: Vec<u8> = Vec::with_capacity(requests.len());
        for One { message, client, key } in requests {
            let request = Request::parse(message, content.apex());
            let decided = request
                .and_then(|request| decide(&request, &mut overlay, rules, *client, key.as_deref(), served));
            rcodes.push(decided.err().unwrap_or(0));
        }
        if !overlay.is_changed() {
            return Ok(rcodes);
        }
        raise_serial(&mut overlay, served);
        let difference = overlay.difference();
        let zone = overlay.build("an update")?;
        if let Some(signed) = signed {
            signed.check(&zone)?;
        }
        if let Err(error) = self.journal.append(&difference) {
            tracing::error!(target: "dns", zone = %zone.apex(), %error, "an update cannot be kept: it is not made");
            // What was refused by what is not there now might not be.
            return Ok(vec![SERVFAIL; requests.len()]);
        }
        debug_assert_eq!(soa_number(&difference.new_soa.data, 0), Some(zone.figures().serial));
        self.content = Arc::new(zone);
        Ok(rcodes)
    }
}

/// Makes the updates of a zone, until it is dropped.
pub(crate) async fn run(
    apex: Name,
    publisher: Publisher,
    data: PathBuf,
    mut updates: mpsc::Receiver<Update>,
) {
    let mut state = opened(&apex, &publisher, &data, &mut updates).await;
    loop {
        if let Some(base) = publisher.loaded_zone(&apex).filter(|base| !Arc::ptr_eq(base, &state.base)) {
            let rebased;
            (state, rebased) = blocking(move || {
                let rebased = state.rebase(base);
                // A reload may have come between, and shows what it found on disk.
                state.shown = None;
                (state, rebased)
            })
            .await;
            if let Err(error) = rebased {
                tracing::error!(target: "dns", zone = %apex, %error, "the zone stays as it was: its journal does not fit its new file");
            }
        }
        let shows = publisher.clone();
        state = blocking(move || {
            state.show(&shows);
            state
        })
        .await;
        let Some(first) = updates.recv().await else { return };
        let (mut requests, mut answers) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(update) = next {
            if let Update::Request { message, client, key, answer } = update {
                requests.push(One { message, client, key });
                answers.push(answer);
            }
            next = if requests.len() < TOGETHER_MAX { updates.try_recv().ok() } else { None };
        }
        let snapshot = publisher.snapshot();
        let rules = snapshot.rules.of(&apex).and_then(|rules| rules.update.clone()).unwrap_or_default();
        let (shows, signed) = (publisher.clone(), publisher.signed_at(&apex));
        let rcodes;
        (state, rcodes) = blocking(move || {
            let mut rcodes = state.make(&rules, &requests, signed.as_deref());
            if !state.show(&shows) {
                // What is kept is there as soon as it can be; but that is not what this answer would say.
                rcodes.iter_mut().filter(|rcode| **rcode == 0).for_each(|rcode| *rcode = SERVFAIL);
            }
            (state, rcodes)
        })
        .await;
        for (answer, rcode) in answers.into_iter().zip(rcodes) {
            // Who asked may be gone.
            let _ = answer.send(rcode);
        }
    }
}

/// What waits for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Waits for the journal, while whoever asks hears that it is not yet time.
async fn opened(
    apex: &Name,
    publisher: &Publisher,
    data: &Path,
    updates: &mut mpsc::Receiver<Update>,
) -> State {
    loop {
        let wait = match publisher.loaded_zone(apex) {
            Some(base) => {
                let data = data.to_owned();
                match blocking(move || State::open(&data, base)).await {
                    Ok(Some(state)) => return state,
                    Ok(None) => LOCKED_WAIT,
                    Err(error) => {
                        tracing::error!(target: "dns", zone = %apex, %error, "the zone cannot be updated");
                        FAILED_WAIT
                    }
                }
            }
            None => FAILED_WAIT,
        };
        let end = tokio::time::Instant::now() + wait;
        while let Ok(Some(update)) = tokio::time::timeout_at(end, updates.recv()).await {
            match update {
                Update::Request { answer, .. } => {
                    let _ = answer.send(SERVFAIL);
                }
                Update::Loaded => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Places, Pools, Route, RouteConfig};
    use crate::update::rules::UpdateRule;
    use crate::zone::ZoneBuilder;

    /// A zone whose apex has the addresses of `www`.
    fn aliased(more: &str) -> Arc<Zone> {
        let apex: Name = "u.test".parse().expect("a name");
        let route = RouteConfig { alias: Some(notation::Name::new("www")), ..RouteConfig::default() };
        let route =
            Route::new(&route, &apex, &Arc::new(Places::default()), &Pools::default()).expect("a route");
        let mut builder = ZoneBuilder::new(apex);
        let text =
            format!("$TTL 60\n@ SOA ns a 7 1 1 1 1\n@ NS ns\nns A 192.0.2.53\nwww A 192.0.2.1\n{more}");
        builder.text("zone", text.as_bytes());
        builder.route("@", route);
        Arc::new(builder.finish().expect("a good zone").zone)
    }

    #[test]
    fn addresses_that_an_alias_has_from_elsewhere_are_not_kept_as_its_own() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut state = State::open(dir.path(), aliased("")).expect("there is room").expect("nobody has it");
        // Another address for `www`.
        let mut message = b"\0\x01\x28\0\0\x01\0\0\0\x02\0\0\x01u\x04test\0\0\x06\0\x01".to_vec();
        message.extend_from_slice(b"\x03www\xc0\x0c\0\x01\0\xff\0\0\0\0\0\0");
        message.extend_from_slice(b"\x03www\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x09");
        let rules = UpdateRules(vec![UpdateRule::for_anybody()]);
        let one = One { message, client: IpAddr::from([127, 0, 0, 1]), key: None };
        assert_eq!(state.make(&rules, &[one], None), [0]);
        for more in ["", "new A 192.0.2.7\n", "newer A 192.0.2.7\n"] {
            let base = aliased(more);
            state.rebase(Arc::clone(&base)).expect("it is laid over the other file");
            let content = content_on_disk(dir.path(), &base).expect("it is after a restart");
            let of = |zone: &Zone| {
                let mut all: Vec<_> = zone.records().filter(|record| record.rtype == Rtype::A).collect();
                all.sort();
                all
            };
            assert_eq!(of(&content), of(&state.content));
            assert_eq!(of(&content).len(), 2 + usize::from(!more.is_empty()));
        }
    }
}
