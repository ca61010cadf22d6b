//! What is told of queries: a line of JSON (`line`), and the messages themselves in the format of dnstap (`dnstap`).
//!
//! Whether a query is told is decided when it comes, by chance, so that those that are not cost nothing. Neither way waits for a
//! reader: what it is too slow for is dropped and counted.

mod config;
mod dnstap;
mod line;

pub(crate) use config::check;
pub use config::{DnstapConfig, LogConfig};

use crate::answer::Outcome;
use crate::error::Error;
use crate::limit::Verdict;
use crate::protocol::{Query, Transport};
use dnstap::Tap;
use notation::LogTarget;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telemetry::{AccessLog, Hook, Registry};

/// Where queries are told.
pub(crate) struct QueryLog {
    config: LogConfig,
    /// The draws that are taken: those below. All if there is none.
    taken_below: Option<u64>,
    lines: Option<AccessLog>,
    tap: Option<Arc<Tap>>,
    _counted: Hook,
}

/// A query and what became of it.
pub(crate) struct Record<'r> {
    pub(crate) client: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) message: &'r [u8],
    /// If it was understood.
    pub(crate) query: Option<&'r Query<'r>>,
    pub(crate) outcome: &'r Outcome<'r>,
    /// What was sent; empty for nothing.
    pub(crate) answer: &'r [u8],
    pub(crate) verdict: Verdict,
    /// From its arrival until now.
    pub(crate) took: Duration,
}

impl QueryLog {
    /// What the file wants, if it is anything: the one that was there before, if it wanted the same.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn open(
        config: &LogConfig,
        dir: &Path,
        identity: Option<&str>,
        before: Option<&Arc<Self>>,
        registry: &Registry,
    ) -> Result<Option<Arc<Self>>, Error> {
        let config = config.within(dir);
        if let Some(before) = before.filter(|before| before.config == config) {
            return Ok(Some(Arc::clone(before)));
        }
        if !config.is_on() {
            return Ok(None);
        }
        let lines = match before {
            Some(before) if before.config.queries == config.queries => before.lines.clone(),
            _ => open_lines(&config.queries)?,
        };
        let tap = match (before, &config.dnstap) {
            (Some(before), wanted) if before.config.dnstap == *wanted => before.tap.clone(),
            (_, Some(wanted)) => Some(Arc::new(Tap::open(wanted, identity)?)),
            (_, None) => None,
        };
        let counted = count_dropped(lines.as_ref(), tap.as_ref(), registry);
        let ratio = config.sample.ratio();
        let taken_below = (ratio < 1.0).then_some((ratio * u64::MAX as f64) as u64);
        Ok(Some(Arc::new(Self { config, taken_below, lines, tap, _counted: counted })))
    }

    /// Whether a query is told, by a number that is another one for each.
    #[inline]
    pub(crate) fn takes(&self, draw: u64) -> bool {
        self.taken_below.is_none_or(|below| draw < below)
    }

    /// Tells a query.
    pub(crate) fn tell(&self, record: &Record<'_>) {
        let answered = SystemTime::now();
        let received = answered.checked_sub(record.took).unwrap_or(answered);
        if let Some(lines) = &self.lines {
            lines.line(|out| line::write(record, received, out));
        }
        if let Some(tap) = &self.tap {
            tap.tell(record, received, answered);
        }
    }

    /// A file that was moved away is begun anew; one that cannot be, goes on where it is.
    pub(crate) fn reopen(&self) {
        if let Some(Err(error)) = self.lines.as_ref().map(AccessLog::reopen) {
            tracing::warn!(target: "dns", %error, "the query log could not be reopened");
        }
    }

    /// Waits until what was told is written, for a few seconds at most: nothing more is told.
    pub(crate) fn end(&self) {
        if let Some(lines) = &self.lines {
            lines.flush();
        }
        if let Some(tap) = &self.tap {
            tap.end();
        }
    }
}

fn open_lines(target: &LogTarget) -> Result<Option<AccessLog>, Error> {
    let target = match target {
        LogTarget::Off => return Ok(None),
        LogTarget::Stdout => telemetry::Target::Stdout,
        LogTarget::Stderr => telemetry::Target::Stderr,
        LogTarget::File(path) => telemetry::Target::File(path.clone()),
    };
    let path = match &target {
        telemetry::Target::File(path) => path.clone(),
        other => PathBuf::from(format!("{other:?}").to_lowercase()),
    };
    AccessLog::open(target).map(Some).map_err(|source| Error::Log { path, source })
}

fn count_dropped(lines: Option<&AccessLog>, tap: Option<&Arc<Tap>>, registry: &Registry) -> Hook {
    let counter = |log| {
        let help = "Queries that were not told because who reads them was too slow, by log.";
        registry.counter("nines_dns_log_dropped_total", help, &[("log", log)])
    };
    let (of_lines, of_tap) = (counter("queries"), counter("dnstap"));
    let (lines, tap) = (lines.cloned(), tap.map(Arc::downgrade));
    // Both count on their own: what was there before this hook is counted already.
    let mut seen = (lines.as_ref().map_or(0, AccessLog::lines_dropped), 0);
    seen.1 = tap.as_ref().and_then(std::sync::Weak::upgrade).map_or(0, |tap| tap.dropped());
    let seen = std::sync::Mutex::new(seen);
    registry.on_render(move || {
        let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let dropped = lines.as_ref().map_or(0, AccessLog::lines_dropped);
        of_lines.add(dropped.saturating_sub(seen.0));
        seen.0 = dropped;
        if let Some(tap) = tap.as_ref().and_then(std::sync::Weak::upgrade) {
            let dropped = tap.dropped();
            of_tap.add(dropped.saturating_sub(seen.1));
            seen.1 = dropped;
        }
    })
}
