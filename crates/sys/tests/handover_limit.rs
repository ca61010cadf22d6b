//! Alone in its process, because the limit of open files is the process's.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

#[test]
fn sockets_that_do_not_fit_our_limit_of_open_files_are_an_error() {
    let (sender, receiver) = UnixStream::pair().unwrap();
    let null = File::open("/dev/null").unwrap();
    sys::handover::send(&sender, b"", &vec![null.as_fd(); 200]).unwrap();
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(50), maximum }).unwrap();
    let error = sys::handover::receive(&receiver, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().ends_with("of 200 sockets arrived (open file limit?)"), "{error}");
}
