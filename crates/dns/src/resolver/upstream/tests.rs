//! Whom a question goes to, and how often.

use super::*;
use std::sync::mpsc;

fn upstream(address: &str) -> Arc<Upstream> {
    Arc::new(Upstream::new(address.parse().unwrap(), None, &Registry::new()))
}

#[test]
fn one_that_is_there_twice_is_not_waited_for() {
    let one = upstream("192.0.2.1");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let both = [Arc::clone(&one), one];
        sender.send(chosen(&both, Instant::now(), &mut rand::rng()).len())
    });
    assert_eq!(receiver.recv_timeout(Duration::from_secs(20)), Ok(2));
}

#[test]
fn nobody_is_asked_more_than_twice_by_connections() {
    let planned = |addresses: &[&str]| -> Vec<(usize, bool)> {
        let upstreams: Vec<_> = addresses.iter().map(|address| upstream(address)).collect();
        let order: Vec<_> = (0..upstreams.len()).collect();
        plan(&upstreams, &order).iter().map(|one| (one.at, one.is_by_datagram(&upstreams[one.at]))).collect()
    };
    assert_eq!(planned(&["tcp://192.0.2.1"]), [(0, false); 2]);
    assert_eq!(planned(&["192.0.2.1"]), [(0, true), (0, true), (0, false), (0, false)]);
    let both = [(0, false), (1, true), (0, false), (1, true), (1, false), (1, false)];
    assert_eq!(planned(&["tcp://192.0.2.1", "192.0.2.2"]), both);
    let many: Vec<_> = (1..9).map(|host| format!("tcp://192.0.2.{host}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(planned(&many).len(), 8, "each at least once");
}

#[test]
fn a_connection_is_waited_for_before_it_is_asked_again() {
    let upstreams = [upstream("192.0.2.1"), upstream("tcp://192.0.2.2")];
    upstreams.iter().for_each(|one| one.has_answered(Duration::from_millis(1)));
    let patience = |at, round| {
        let one = Try { at, round };
        super::patience(&upstreams, one, Try { at, round: round + 1 })
    };
    assert_eq!(patience(0, 0), Duration::from_millis(150));
    assert_eq!(patience(0, 1), Duration::from_millis(300), "by a datagram, and then by a connection");
    assert_eq!((patience(0, 2), patience(1, 0)), (connections::PATIENCE_MIN, connections::PATIENCE_MIN));
}

#[test]
fn that_there_is_no_place_is_told_apart_from_other_failures() {
    assert!(is_full(&io::Error::other(Lost::Full)));
    assert!(!is_full(&io::Error::other(Lost::Died { answered: 1 })));
    assert!(!is_full(&io::ErrorKind::TimedOut.into()));
}

#[test]
fn those_who_are_kept_over_a_reload_believe_the_authorities_that_the_system_has_since() {
    let client = || {
        let table = tls::ClientTable { verify: false, ..tls::ClientTable::default() };
        let client = tls::Client::load(&tls::ClientTls(table), "x", "/".as_ref(), &[], tls::system_time());
        Arc::new(client.unwrap())
    };
    let believes_new = |ca: Option<&str>| {
        let (before, after) = (client(), client());
        let forwarder = |tls: &Arc<tls::Client>| Forwarder {
            address: "tls://192.0.2.1".parse().unwrap(),
            ca: ca.map(Into::into),
            tls: Some(Arc::clone(tls)),
        };
        let first = Upstream::of(&forwarder(&before), None, &Registry::new());
        let kept = Upstream::of(&forwarder(&after), Some(Arc::clone(&first)), &Registry::new());
        assert!(Arc::ptr_eq(&first, &kept));
        Arc::ptr_eq(&kept.dialer.believed().unwrap(), &after)
    };
    assert!(believes_new(None));
    assert!(!believes_new(Some("/ca.pem")), "which is read again by itself");
}
