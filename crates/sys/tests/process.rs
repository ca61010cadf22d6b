//! Children: how they are ended, and what they are given. Apart from the unit tests, because a child that is
//! being started holds copies of all our sockets for a moment.

use rustix::process::{Resource, getrlimit};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use sys::process::{Signal, die_with_parent, own_group, signal, signal_group, usual_open_files};
use sys::raise_open_files;

fn killed_by(child: &mut Child) -> Option<i32> {
    child.wait().expect("a child that was started").signal()
}

#[test]
fn a_signal_to_the_group_reaches_grandchildren() {
    let mut command = Command::new("sh");
    // It says when the grandchild runs; both hold the other end of our pipe.
    command.args(["-c", "sleep 1000 & echo started; wait"]).stdout(Stdio::piped());
    own_group(&mut command);
    let mut child = command.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    signal_group(child.id(), Signal::Kill).unwrap();
    assert_eq!(killed_by(&mut child), Some(9));
    assert_eq!(output.read_to_end(&mut Vec::new()).unwrap(), 0, "the pipe ends when the last one has");
}

#[test]
fn a_group_of_which_nobody_is_left_is_not_found() {
    let mut command = Command::new("true");
    own_group(&mut command);
    let mut child = command.spawn().unwrap();
    child.wait().unwrap();
    assert_eq!(signal_group(child.id(), Signal::Term).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_signal_reaches_its_process() {
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    signal(child.id(), Signal::Term).unwrap();
    assert_eq!(killed_by(&mut child), Some(15));
    assert_eq!(signal(child.id(), Signal::Term).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn nobody_signals_itself_or_everybody_by_mistake() {
    for pid in [0, 1, u32::MAX, 1 << 31] {
        assert_eq!(signal(pid, Signal::Kill).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{pid}");
        assert_eq!(signal_group(pid, Signal::Kill).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{pid}");
    }
}

#[test]
fn a_child_ends_with_the_thread_that_started_it() {
    let spawn = || {
        let mut command = Command::new("sleep");
        command.arg("1000");
        die_with_parent(&mut command);
        command.spawn().unwrap()
    };
    let mut child = std::thread::spawn(spawn).join().unwrap();
    assert_eq!(killed_by(&mut child), Some(15));
}

#[test]
fn the_soft_limit_is_the_hard_one_for_us_and_what_it_was_for_children() {
    let before = getrlimit(Resource::Nofile);
    let raised = raise_open_files().unwrap();
    let after = getrlimit(Resource::Nofile);
    assert_eq!(after.current, before.maximum);
    assert_eq!(after.current.unwrap_or(u64::MAX), raised);
    assert_eq!(raise_open_files().unwrap(), raised, "again changes nothing");

    let soft = before.current.map_or("unlimited".into(), |soft| soft.to_string());
    let mut child = Command::new("sh");
    child.args(["-c", &format!("test \"$(ulimit -S -n)\" = {soft}")]);
    usual_open_files(&mut child);
    assert_eq!(child.status().unwrap().into_raw(), 0, "the child does not see {soft}");
}
