use crate::{Address, Cores, Error, Open, Socket, Work, accept};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Says the door's name to everybody who comes, and stays until they leave.
#[derive(Default)]
struct Greeter {
    open: Open,
    steps: Steps,
}

/// What work has gone through, in order.
type Steps = Arc<Mutex<Vec<&'static str>>>;

fn note(steps: &Steps, step: &'static str) {
    steps.lock().unwrap().push(step);
}

/// Tells that a socket is no longer listened on.
struct Listening(Steps);

impl Drop for Listening {
    fn drop(&mut self) {
        note(&self.0, "unlistened");
    }
}

impl Work for Greeter {
    type Door = &'static str;

    async fn serve(self: Rc<Self>, door: &'static str, socket: Socket) {
        let _listening = Listening(self.steps.clone());
        match socket {
            Socket::Tcp(listener) => {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (mut stream, _) = accept(&listener, "greeter").await;
                    let guard = self.open.enter();
                    tokio::task::spawn_local(async move {
                        stream.write_all(door.as_bytes()).await.unwrap();
                        let _ = stream.read(&mut [0]).await;
                        drop(guard);
                    });
                }
            }
            Socket::Udp(socket) => {
                let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
                loop {
                    let (_, from) = socket.recv_from(&mut [0; 8]).await.unwrap();
                    socket.send_to(door.as_bytes(), from).await.unwrap();
                }
            }
        }
    }

    fn tick(&self, _: Instant) {}

    fn drain(self: Rc<Self>) -> impl Future<Output = ()> + 'static {
        note(&self.steps, "draining");
        async move { self.open.none().await }
    }

    async fn end(self: Rc<Self>) {
        note(&self.steps, if self.open.count() > 0 { "cut off" } else { "drained" });
    }

    fn hands_over(door: &&'static str) -> bool {
        *door != KEPT
    }
}

/// A door whose sockets are not handed over.
const KEPT: &str = "kept";

fn anywhere() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// The same at an address of the test's own: a port that is closed there is opened by nobody else.
fn apart(last: u8) -> SocketAddr {
    ([127, 0, 1, last], 0).into()
}

fn cores(count: usize) -> Cores<&'static str> {
    Cores::start("greeter", count, Greeter::default).unwrap()
}

fn open(cores: &Cores<&'static str>, wanted: &[(Address, &'static str)]) {
    cores.commit(cores.prepare(wanted, Vec::new()).unwrap());
}

fn at(cores: &Cores<&'static str>, door: &str) -> SocketAddr {
    cores.listening().iter().find(|(_, name)| *name == door).unwrap().0.at
}

/// Comes to a door, and hears its name.
fn greeted(address: SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut name = [0; 8];
    let length = stream.read(&mut name).unwrap();
    (stream, String::from_utf8(name[..length].to_vec()).unwrap())
}

#[tokio::test]
async fn every_core_serves_the_same_port() {
    let cores = cores(3);
    open(&cores, &[(Address::tcp(anywhere()), "a"), (Address::udp(anywhere()), "b")]);
    assert_eq!(cores.sockets().unwrap().len(), 6);
    for _ in 0..20 {
        assert_eq!(greeted(at(&cores, "a")).1, "a");
    }
    let client = UdpSocket::bind(anywhere()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.send_to(b"?", at(&cores, "b")).unwrap();
    let mut answer = [0; 8];
    assert_eq!(client.recv(&mut answer).unwrap(), 1);
    assert_eq!(answer[0], b'b');
    assert!(cores.drain(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn a_change_keeps_ports_closes_what_goes_and_moves_doors() {
    let cores = cores(2);
    open(&cores, &[(Address::tcp(apart(1)), "a"), (Address::tcp(apart(1)), "b")]);
    let (a, b) = (at(&cores, "a"), at(&cores, "b"));
    // Port 0 stays what it became; the address of b is for c now; d is new.
    open(&cores, &[(Address::tcp(apart(1)), "a"), (Address::tcp(b), "c"), (Address::tcp(apart(1)), "d")]);
    assert_eq!(at(&cores, "a"), a);
    assert_eq!(at(&cores, "c"), b);
    assert_eq!(cores.listening().len(), 3);
    open(&cores, &[(Address::tcp(b), "c")]);
    assert_eq!(greeted(b).1, "c");
    assert_eq!(cores.listening(), [(Address::tcp(b), "c")]);
    assert!(cores.drain(Duration::from_secs(10)).await);
    assert!(TcpStream::connect(b).is_err(), "closed");
}

#[tokio::test]
async fn a_taken_address_is_refused_by_name_and_changes_nothing() {
    let cores = cores(1);
    for (address, taken) in [
        (Address::tcp(anywhere()), std::net::TcpListener::bind(anywhere()).map(Socket::Tcp).unwrap()),
        (Address::udp(anywhere()), UdpSocket::bind(anywhere()).map(Socket::Udp).unwrap()),
    ] {
        let held = taken.address().unwrap();
        let Err(error) = cores.prepare(&[(address, "a"), (held, "b")], Vec::new()) else {
            panic!("{held} could be opened twice")
        };
        assert!(matches!(&error, Error::Taken { address, .. } if *address == held), "{error}");
        assert!(error.to_string().contains(&format!("(pid {})", std::process::id())), "{error}");
    }
    assert_eq!(cores.listening(), []);
    cores.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn a_process_that_takes_over_goes_on_with_the_sockets() {
    let (old, new) = (cores(3), cores(2));
    open(&old, &[(Address::tcp(anywhere()), "old")]);
    let address = at(&old, "old");
    let (client, _) = greeted(address);
    let prepared = new.prepare(&[(Address::tcp(anywhere()), "new")], old.sockets().unwrap()).unwrap();
    new.commit(prepared);
    old.stop_listening(|_| true);
    assert_eq!(at(&new, "new"), address);
    // Every socket is served, though there are fewer cores: the kernel spreads connections over all three. The old
    // cores may take a last few before they hear that they should not.
    let mut news = 0;
    while news < 20 {
        news += usize::from(greeted(address).1 == "new");
    }
    drop(client);
    assert!(old.drain(Duration::from_secs(10)).await);
    assert!(new.drain(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn what_is_not_handed_over_is_opened_beside_the_process_that_goes() {
    let (old, new) = (cores(2), cores(3));
    open(&old, &[(Address::tcp(anywhere()), "a"), (Address::udp(anywhere()), KEPT)]);
    let (a, kept) = (Address::tcp(at(&old, "a")), Address::udp(at(&old, KEPT)));
    let handed_over = old.sockets().unwrap();
    assert!(handed_over.len() == 2 && handed_over.iter().all(|socket| socket.address().unwrap() == a));
    // Who takes nothing over finds it taken, and so does who wants it for what could be handed over.
    assert!(matches!(new.prepare(&[(kept, KEPT)], Vec::new()), Err(Error::Taken { .. })));
    assert!(matches!(new.prepare(&[(kept, "b")], old.sockets().unwrap()), Err(Error::Taken { .. })));
    new.commit(new.prepare(&[(a, "a"), (kept, KEPT)], handed_over).unwrap());
    assert_eq!(new.listening(), old.listening());
    assert!(old.drain(Duration::from_secs(10)).await);
    let client = UdpSocket::bind(anywhere()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.send_to(b"?", kept.at).unwrap();
    assert_eq!(client.recv(&mut [0; 8]).unwrap(), KEPT.len(), "nobody but the new one listens there");
    assert!(new.drain(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn some_doors_stop_to_be_listened_at_and_others_go_on() {
    let cores = cores(2);
    open(&cores, &[(Address::tcp(apart(2)), "a"), (Address::tcp(apart(2)), "b")]);
    let (a, b) = (at(&cores, "a"), at(&cores, "b"));
    cores.stop_listening(|door| *door == "a");
    assert_eq!(cores.listening(), [(Address::tcp(b), "b")]);
    // A core that has not heard of it yet may take a last one.
    while TcpStream::connect(a).is_ok() {}
    assert_eq!(greeted(b).1, "b");
    assert!(cores.drain(Duration::from_secs(10)).await);
}

/// One core with two sockets, and what its work goes through.
fn noted() -> (Cores<&'static str>, Steps) {
    let steps = Steps::default();
    let noted = steps.clone();
    let make = move || Greeter { steps: noted.clone(), ..Greeter::default() };
    let cores = Cores::start("greeter", 1, make).unwrap();
    open(&cores, &[(Address::tcp(apart(2)), "a"), (Address::udp(apart(2)), "b")]);
    // A socket that has served somebody is known to be served.
    drop(greeted(at(&cores, "a")));
    (cores, steps)
}

#[tokio::test]
async fn sockets_that_are_no_longer_listened_on_are_gone_before_a_drain_begins() {
    let (cores, steps) = noted();
    cores.stop_listening(|_| true);
    assert!(cores.drain(Duration::from_secs(10)).await);
    assert_eq!(*steps.lock().unwrap(), ["unlistened", "unlistened", "draining", "drained"]);
}

#[tokio::test]
async fn work_hears_of_a_drain_before_its_sockets_go_and_of_the_end_last() {
    for (client_stays, last) in [(false, "drained"), (true, "cut off")] {
        let (cores, steps) = noted();
        let client = client_stays.then(|| greeted(at(&cores, "a")));
        let deadline = if client_stays { Duration::ZERO } else { Duration::from_secs(10) };
        assert_eq!(cores.drain(deadline).await, !client_stays);
        assert_eq!(*steps.lock().unwrap(), ["draining", "unlistened", "unlistened", last]);
        drop(client);
    }
}

#[tokio::test]
async fn a_drain_waits_for_what_is_open_until_the_deadline() {
    let patient = cores(1);
    open(&patient, &[(Address::tcp(anywhere()), "a")]);
    let (mut client, _) = greeted(at(&patient, "a"));
    let leaving = std::thread::spawn(move || client.write_all(b"bye").unwrap());
    assert!(patient.drain(Duration::from_secs(10)).await);
    leaving.join().unwrap();

    let hasty = cores(1);
    open(&hasty, &[(Address::tcp(anywhere()), "a")]);
    let (mut client, _) = greeted(at(&hasty, "a"));
    assert!(!hasty.drain(Duration::from_millis(1)).await, "it was cut off");
    assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
}
