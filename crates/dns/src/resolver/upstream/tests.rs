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
