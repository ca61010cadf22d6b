//! What the machine gives us: cores and open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::sync::OnceLock;

/// What the limits were before we raised them.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// How many threads can run at once, by affinity and by cgroup quota; at least 1.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Raises the soft limit of open files to the hard one, and says what it is now; `u64::MAX` for "none".
///
/// Children inherit it, and some cannot live with it (`select` knows 1024 files):
/// [`process::usual_open_files`](crate::process::usual_open_files) gives them what we were given.
pub fn raise_open_files() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    BEFORE.get_or_init(|| limit);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    }
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// The limits before the first [`raise_open_files`], if that was called.
pub(crate) fn open_files_before() -> Option<Rlimit> {
    BEFORE.get().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_core() {
        assert!(cores() >= 1);
    }
}
