//! Process groups: whether anything in one still runs, and ending one.

use std::fs;
use std::time::Duration;

/// Pauses between two looks at a group that is ending.
pub(crate) const LOOK_FIRST: Duration = Duration::from_millis(5);
/// The longest such pause.
pub(crate) const LOOK_MAX: Duration = Duration::from_millis(100);

/// How long killed processes get to disappear. SIGKILL cannot be refused, only delayed by the kernel.
pub(crate) const KILL_WAIT: Duration = Duration::from_secs(2);

/// Whether a process of the group still runs.
///
/// Those that have ended but were not waited for do not count: where no init collects orphans, as in many
/// containers, they stay for ever.
pub(crate) fn is_alive(pgid: u32) -> bool {
    sys::process::group_exists(pgid) && has_running_member(pgid)
}

/// Waits until no process of the group runs. Without a bound of its own.
pub(crate) async fn gone(pgid: u32) {
    let mut pause = LOOK_FIRST;
    while is_alive(pgid) {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK_MAX);
    }
}

fn has_running_member(pgid: u32) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    processes
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit))
        .filter_map(|entry| fs::read(entry.path().join("stat")).ok())
        .any(|stat| {
            state_and_group(&stat).is_some_and(|(state, group)| group == pgid && !b"ZXx".contains(&state))
        })
}

/// The state and the process group in `/proc/PID/stat` (proc(5)): `pid (name) state ppid pgrp …`, where the
/// name may hold anything, parentheses included.
fn state_and_group(stat: &[u8]) -> Option<(u8, u32)> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = stat[name_end + 1..].split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let state = *fields.next()?.first()?;
    let group = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
    Some((state, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_misleads_nobody() {
        assert_eq!(state_and_group(b"77 (a) R 1) S 1 4242 77 0 -1"), Some((b'S', 4242)));
        assert_eq!(state_and_group(b"77 (sh"), None);
        assert_eq!(state_and_group(b""), None);
    }

    #[test]
    fn a_group_whose_only_process_is_a_zombie_is_not_alive() {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", "read line"]).stdin(std::process::Stdio::piped());
        sys::process::own_group(&mut command);
        let mut child = command.spawn().unwrap();
        let pgid = child.id();
        assert!(is_alive(pgid));
        drop(child.stdin.take());
        // It ends at the end of its input; nobody has waited for it yet.
        while is_alive(pgid) {
            std::thread::yield_now();
        }
        assert!(sys::process::group_exists(pgid));
        child.wait().unwrap();
        assert!(!sys::process::group_exists(pgid));
    }
}
