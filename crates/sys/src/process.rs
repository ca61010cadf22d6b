//! Children in process groups of their own, which end with us.

use rustix::process::{Pid, kill_process, kill_process_group, test_kill_process_group};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The signals that nines sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Please end: SIGTERM.
    Term,
    /// End now: SIGKILL.
    Kill,
    /// Read your configuration again: SIGHUP.
    Hup,
    /// As if by Ctrl-C: SIGINT.
    Int,
    /// Meaning left to the program: SIGUSR1.
    Usr1,
    /// Meaning left to the program: SIGUSR2.
    Usr2,
}

impl From<Signal> for rustix::process::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Term => Self::TERM,
            Signal::Kill => Self::KILL,
            Signal::Hup => Self::HUP,
            Signal::Int => Self::INT,
            Signal::Usr1 => Self::USR1,
            Signal::Usr2 => Self::USR2,
        }
    }
}

/// The child becomes the leader of a new process group, whose number is its pid: what it starts in turn
/// can be ended with it, and Ctrl-C in our terminal reaches only us.
pub fn own_group(command: &mut Command) {
    command.process_group(0);
}

/// The child is sent SIGTERM by the kernel when we end, even by kill -9.
///
/// "We" is the thread that spawns it (prctl(2), PR_SET_PDEATHSIG): spawn from a thread that lives as long
/// as the process. It is lost when the child changes user or runs a set-uid program, and does not reach
/// grandchildren; `nines guard` is what makes sure.
pub fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let hook = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
        // We may have ended between fork and prctl; then nobody would send the signal.
        match rustix::process::getppid() {
            Some(pid) if pid.as_raw_nonzero().get().unsigned_abs() == parent => Ok(()),
            _ => Err(io::Error::from(io::ErrorKind::NotConnected)),
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The hook makes two plain
    // system calls, allocates nothing (a simple io::Error is no allocation) and takes no lock.
    unsafe {
        command.pre_exec(hook);
    }
}

/// The child has the limit of open files that we were started with, not the one of
/// [`raise_open_files`](crate::raise_open_files).
pub fn usual_open_files(command: &mut Command) {
    let Some(before) = crate::limits::open_files_before() else { return };
    let hook = move || {
        use rustix::process::{Resource, setrlimit};
        Ok(setrlimit(Resource::Nofile, before)?)
    };
    // SAFETY: as above; one plain system call.
    unsafe {
        command.pre_exec(hook);
    }
}

/// Sends a signal to one process. `Err` with `NotFound` when it is gone.
pub fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    kill_process(checked(pid)?, signal.into()).map_err(gone)
}

/// Sends a signal to every process of a group. `Err` with `NotFound` when none is left; one that has ended
/// counts until its parent has taken note of it, which an orphan's may never do in a container without init.
pub fn signal_group(pgid: u32, signal: Signal) -> io::Result<()> {
    kill_process_group(checked(pgid)?, signal.into()).map_err(gone)
}

/// Whether a group has a process left; one that has ended and was not waited for yet counts.
pub fn group_exists(pgid: u32) -> bool {
    // Not being allowed to signal them (EPERM) means that there are some.
    checked(pgid).is_ok_and(|group| test_kill_process_group(group) != Err(rustix::io::Errno::SRCH))
}

/// 0 means "my own group" to the kernel, and group 1 would become "everybody": neither is ever a child.
fn checked(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{pid} is no process that may be signalled"))
    })
}

fn gone(errno: rustix::io::Errno) -> io::Error {
    match errno {
        rustix::io::Errno::SRCH => io::Error::new(io::ErrorKind::NotFound, "no such process"),
        errno => errno.into(),
    }
}
