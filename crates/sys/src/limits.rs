//! What the machine gives us: cores and open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// How many threads can run at once, by affinity and by cgroup quota; at least 1.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Raises the soft limit of open files to the hard one, and says what it is now.
/// `u64::MAX` stands for "no limit".
pub fn raise_open_files() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(maximum.unwrap_or(u64::MAX))
}
