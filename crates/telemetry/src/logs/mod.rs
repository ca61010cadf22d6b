//! What happened, for people and for machines: `tracing` events to standard error.

mod event;
mod human;
mod json;

use event::Fields;
use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line to read: time of day in UTC, level (in colour on a terminal), target, message, fields.
    Human,
    /// One JSON object a line: `ts`, `level`, `target`, `message`, and the event's fields beside them.
    Json,
}

/// Why logs were not set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter does not parse.
    #[error("log filter {filter:?}: {source}")]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody has set up logs before.
    #[error("logs are set up already")]
    SetUpAlready,
}

/// Sends the process's `tracing` events to standard error, from now on and for good.
///
/// `filter` is a level (`"info"`) or directives (`"warn,balance=debug"`). An event is formatted first and
/// written with one call, so lines of different threads do not mix. Events are meant to be rare (a changed
/// state, a failure), never one a request: for these there is [`crate::AccessLog`].
pub fn init_logs(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let is_coloured =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    let lines = Lines { format, is_coloured, out: io::stderr };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::SetUpAlready)
}

/// Writes each event as a line.
struct Lines<W> {
    format: LogFormat,
    is_coloured: bool,
    out: W,
}

impl<S: Subscriber, W: for<'a> MakeWriter<'a> + 'static> Layer<S> for Lines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (now, fields) = (SystemTime::now(), Fields::of(event));
        let line = match self.format {
            LogFormat::Human => human::line(now, event.metadata(), &fields, self.is_coloured),
            LogFormat::Json => json::line(now, event.metadata(), &fields),
        };
        // There is nobody left to tell when standard error is gone.
        let _ = self.out.make_writer().write_all(&line);
    }
}
