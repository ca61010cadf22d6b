//! What the service manager is told (sd_notify(3)). Without one, nothing happens.

use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The service manager, if there is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manager;

impl Manager {
    /// We serve. After a takeover we are also the process to watch from now on.
    pub(super) fn ready(self, is_takeover: bool, status: &str) {
        let pid = if is_takeover { format!("MAINPID={}\n", std::process::id()) } else { String::new() };
        self.tell(&format!("{pid}READY=1\nSTATUS={status}"));
    }

    /// A reload begins; `ready` ends it.
    pub(super) fn reloading(self) {
        // The time lets the manager tell this reload's READY=1 from an earlier one (`Type=notify-reload`).
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", sys::monotonic().as_micros()));
    }

    /// We stop.
    pub(super) fn stopping(self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={status}"));
    }

    /// We are alive.
    pub(super) fn alive(self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(self, state: &str) {
        if let Err(error) = sys::notify(state) {
            tracing::warn!(%error, "the service manager could not be told");
        }
    }
}

/// Tells the service manager that we are alive, if it wants to know.
pub(super) struct Watchdog(Option<Interval>);

impl Watchdog {
    /// Reads what the manager asks for.
    pub(super) fn new(is_takeover: bool) -> Self {
        Self(watchdog_every(is_takeover).map(|every| {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        }))
    }

    /// Resolves when it is time; never, when nobody wants to know. Cancel safe.
    pub(super) async fn due(&mut self) {
        match &mut self.0 {
            Some(ticks) => {
                ticks.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// How often to say that we are alive: twice in the time that the manager gives (sd_watchdog_enabled(3)).
fn watchdog_every(is_takeover: bool) -> Option<Duration> {
    let read = |name| std::env::var(name).ok();
    watchdog(
        read("WATCHDOG_USEC").as_deref(),
        read("WATCHDOG_PID").as_deref(),
        std::process::id(),
        is_takeover,
    )
}

fn watchdog(usec: Option<&str>, pid: Option<&str>, own_pid: u32, is_takeover: bool) -> Option<Duration> {
    // A pid that is not ours means another process; after a takeover it is the one that we replace.
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(own_pid)) || is_takeover;
    let usec: u64 = usec?.parse().ok().filter(|usec| *usec > 0)?;
    is_ours.then(|| Duration::from_micros(usec / 2).max(Duration::from_millis(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_twice_in_its_time_if_it_watches_this_process() {
        let second = Some(Duration::from_millis(500));
        assert_eq!(watchdog(Some("1000000"), None, 7, false), second);
        assert_eq!(watchdog(Some("1000000"), Some("7"), 7, false), second);
        assert_eq!(watchdog(Some("1000000"), Some("8"), 7, false), None);
        assert_eq!(watchdog(Some("1000000"), Some("8"), 7, true), second);
        assert_eq!(watchdog(Some("0"), None, 7, false), None);
        assert_eq!(watchdog(Some("soon"), None, 7, false), None);
        assert_eq!(watchdog(None, None, 7, false), None);
    }
}
