//! When an instance that ended by itself is started again, and how its end is told.

use crate::RestartConfig;
use flow::Backoff;
use rand::Rng;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

/// Runs in a row that were too short.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    in_a_row: u32,
}

impl Restarts {
    /// The pause before the next run, after one that took `ran`.
    pub(crate) fn pause(&mut self, ran: Duration, config: &RestartConfig, rng: &mut impl Rng) -> Duration {
        if ran >= config.stable.get() {
            self.in_a_row = 0;
        }
        let backoff = Backoff { first: config.after.get(), max: config.after_max.get() };
        let pause = backoff.delay(self.in_a_row, rng);
        self.in_a_row = self.in_a_row.saturating_add(1);
        pause
    }
}

/// `exited with status 3 after 1.2s`, `killed by signal 9 (SIGKILL) after 40ms`.
pub(crate) fn describe(status: ExitStatus, ran: Duration) -> String {
    let ran = rounded(ran);
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code} after {ran}"),
        (None, Some(signal)) => match signal_name(signal) {
            Some(name) => format!("killed by signal {signal} ({name}) after {ran}"),
            None => format!("killed by signal {signal} after {ran}"),
        },
        (None, None) => format!("ended after {ran}"),
    }
}

/// The signals that end programs in practice, by their numbers on Linux.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return None,
    })
}

/// A length of time as a person would say it: `40ms`, `1.2s`, `3m20s`.
pub(crate) fn rounded(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{}ms", time.as_millis()),
        1..60 => format!("{:.1}s", time.as_secs_f64()),
        secs => notation::Duration::secs(secs).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    const SHORT: Duration = Duration::from_millis(5);

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let (config, mut rng) = (RestartConfig::default(), SmallRng::seed_from_u64(1));
        let mut restarts = Restarts::default();
        let pauses: Vec<Duration> = (0..12).map(|_| restarts.pause(SHORT, &config, &mut rng)).collect();
        assert!(pauses[0] <= Duration::from_millis(240), "{pauses:?}");
        assert!(pauses[3] >= Duration::from_millis(1280), "{pauses:?}");
        assert!(pauses[11] > Duration::from_secs(23) && pauses[11] <= Duration::from_secs(30), "{pauses:?}");
    }

    #[test]
    fn a_stable_run_starts_the_row_anew() {
        let (config, mut rng) = (RestartConfig::default(), SmallRng::seed_from_u64(1));
        let mut restarts = Restarts::default();
        for _ in 0..8 {
            restarts.pause(SHORT, &config, &mut rng);
        }
        assert!(restarts.pause(config.stable.get(), &config, &mut rng) <= Duration::from_millis(240));
    }

    #[test]
    fn an_end_is_told_with_its_status_or_signal_and_the_length_of_the_run() {
        let told = |raw, ms| describe(ExitStatus::from_raw(raw), Duration::from_millis(ms));
        assert_eq!(told(3 << 8, 1230), "exited with status 3 after 1.2s");
        assert_eq!(told(0, 200_000), "exited with status 0 after 3m20s");
        assert_eq!(told(9, 40), "killed by signal 9 (SIGKILL) after 40ms");
        assert_eq!(told(40, 40), "killed by signal 40 after 40ms");
    }
}
