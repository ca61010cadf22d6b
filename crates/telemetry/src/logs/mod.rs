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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written while `work` runs.
    fn logged(format: LogFormat, is_coloured: bool, work: impl FnOnce()) -> String {
        let written = Written::default();
        let out = {
            let written = written.clone();
            move || written.clone()
        };
        let lines = Lines { format, is_coloured, out };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), work);
        String::from_utf8(std::mem::take(&mut written.0.lock().unwrap())).unwrap()
    }

    fn eject() {
        tracing::warn!(target: "balance", pool = "shop", failures = 5u32, cause = %"GET /healthz answered 500", "endpoint is out");
    }

    #[test]
    fn a_person_reads_time_level_target_message_and_fields() {
        let line = logged(LogFormat::Human, false, eject);
        let (time, rest) = line.split_at("12:30:00.250Z".len());
        assert!(time.ends_with('Z') && time.matches(':').count() == 2, "{time}");
        assert_eq!(
            rest,
            " WARN  balance: endpoint is out pool=shop failures=5 cause=\"GET /healthz answered 500\"\n"
        );
    }

    #[test]
    fn a_terminal_shows_the_level_in_colour() {
        let line = logged(LogFormat::Human, true, eject);
        assert!(line.contains("\x1b[33mWARN \x1b[0m"), "{line:?}");
        assert!(line.contains("\x1b[2mpool=\x1b[0mshop"), "{line:?}");
    }

    #[test]
    fn text_from_outside_breaks_no_line_and_steers_no_terminal() {
        let line = logged(LogFormat::Human, false, || {
            tracing::info!(output = "one\ntwo\x1b[2J", empty = "", "said\r\n{}", "\u{9b}31m");
        });
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.ends_with("said\\r\\n\\u{9b}31m output=one\\ntwo\\u{1b}[2J empty=\"\"\n"), "{line:?}");
    }

    #[test]
    fn a_quote_within_a_value_does_not_end_it() {
        let line = logged(LogFormat::Human, false, || tracing::info!(value = r#"a" b="c\"#, "x"));
        assert!(line.trim_end().ends_with(r#"x value="a\" b=\"c\\""#), "{line}");
    }

    #[test]
    fn a_machine_reads_one_flat_object_a_line() {
        let lines = logged(LogFormat::Json, false, || {
            eject();
            tracing::info!(target: "edge", ratio = 0.5, nan = f64::NAN, ok = true, big = u128::MAX, ts = "mine", "say \"hi\"\n");
        });
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [first, second] = &lines[..] else { panic!("{lines:?}") };
        let ts = first["ts"].as_str().unwrap();
        assert_eq!((ts.len(), &ts[10..11], &ts[23..]), (24, "T", "Z"));
        assert_eq!(first["level"], "warn");
        assert_eq!(first["target"], "balance");
        assert_eq!(first["message"], "endpoint is out");
        assert_eq!(first["failures"], 5);
        assert_eq!(first["cause"], "GET /healthz answered 500");
        assert_eq!(second["message"], "say \"hi\"\n");
        assert_eq!(
            (&second["ratio"], &second["nan"], &second["ok"]),
            (&0.5.into(), &"NaN".into(), &true.into())
        );
        assert_eq!(second["field.ts"], "mine");
        assert!(second["big"].is_number());
    }

    #[test]
    fn a_filter_that_does_not_parse_is_refused_and_named() {
        let error = init_logs(LogFormat::Json, "balance=loud").unwrap_err();
        assert!(error.to_string().starts_with("log filter \"balance=loud\": "), "{error}");
    }
}
