//! Alone in its process, because the environment is the process's.

use std::os::unix::net::UnixDatagram;

#[test]
fn the_service_manager_is_told_if_there_is_one() {
    let set = |value: &std::ffi::OsStr| {
        // SAFETY: this is the only test of this process, and no other thread of it reads the environment.
        unsafe { std::env::set_var("NOTIFY_SOCKET", value) };
    };
    set("".as_ref());
    assert!(!sys::notify("READY=1").unwrap());

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    set(path.as_os_str());
    assert!(sys::notify("READY=1").unwrap());
    let mut text = [0; 16];
    assert_eq!(manager.recv(&mut text).unwrap(), 7);
    assert_eq!(&text[..7], b"READY=1");
}
