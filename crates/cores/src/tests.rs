use crate::{Address, Cores, Error, Open, Socket, Work, accept};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Says the door's name to everybody who comes, and stays until they leave.
#[derive(Default)]
struct Greeter {
    open: Open,
}

impl Work for Greeter {
    type Door = &'static str;

    async fn serve(self: Rc<Self>, door: &'static str, socket: Socket) {
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

    async fn drain(self: Rc<Self>) {
        self.open.none().await;
    }
}

fn anywhere() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
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
    open(&cores, &[(Address::tcp(anywhere()), "a"), (Address::tcp(anywhere()), "b")]);
    let (a, b) = (at(&cores, "a"), at(&cores, "b"));
    // Port 0 stays what it became; the address of b is for c now; d is new.
    open(&cores, &[(Address::tcp(anywhere()), "a"), (Address::tcp(b), "c"), (Address::tcp(anywhere()), "d")]);
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
    old.stop_listening();
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
