//! A server that a resolver asks, of which a test says what it answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What it does with a query: answers, each a message.
type Says = dyn Fn(&Asked<'_>) -> Vec<Vec<u8>> + Send + Sync;

pub(crate) struct Upstream {
    pub(crate) at: SocketAddr,
    asked: Arc<AtomicUsize>,
}

/// A query as it came.
pub(crate) struct Asked<'q> {
    pub(crate) message: &'q [u8],
    pub(crate) over_tcp: bool,
}

impl Upstream {
    pub(crate) fn new(says: impl Fn(&Asked<'_>) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        // A port that is free for datagrams may be taken for connections.
        let both = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let listener = TcpListener::bind(socket.local_addr().unwrap()).ok()?;
            Some((socket, listener))
        };
        let (socket, listener) = std::iter::repeat_with(both).take(100).flatten().next().unwrap();
        let at = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let says: Arc<Says> = Arc::new(says);
        let (udp_says, udp_asked) = (Arc::clone(&says), Arc::clone(&asked));
        std::thread::spawn(move || {
            let mut room = [0; 4096];
            while let Ok((count, from)) = socket.recv_from(&mut room) {
                udp_asked.fetch_add(1, Ordering::SeqCst);
                for answer in udp_says(&Asked { message: &room[..count], over_tcp: false }) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        let tcp_asked = Arc::clone(&asked);
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut message).unwrap();
                tcp_asked.fetch_add(1, Ordering::SeqCst);
                for answer in says(&Asked { message: &message, over_tcp: true }) {
                    stream.write_all(&crate::world::framed(&answer)).unwrap();
                }
            }
        });
        Self { at, asked }
    }

    /// One that says the same address of every name.
    pub(crate) fn of_address(address: [u8; 4], ttl: u32) -> Self {
        Self::new(move |asked| vec![asked.address(address, ttl)])
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Asked<'_> {
    /// Where the question ends.
    fn question_end(&self) -> usize {
        let mut at = 12;
        while self.message[at] != 0 {
            at += 1 + usize::from(self.message[at]);
        }
        at + 5
    }

    /// The question's name, with dots.
    pub(crate) fn name(&self) -> String {
        let name = &self.message[12..self.question_end() - 5];
        let mut text = String::new();
        let mut at = 0;
        while at < name.len() {
            let end = at + 1 + usize::from(name[at]);
            text += &String::from_utf8_lossy(&name[at + 1..end]);
            text.push('.');
            at = end;
        }
        text
    }

    pub(crate) fn empty(&self, rcode: u8) -> Vec<u8> {
        let mut answer = self.message[..self.question_end()].to_vec();
        answer[2] |= 0x80;
        answer[3] = 0x80 | rcode;
        answer[6..12].fill(0);
        answer
    }

    pub(crate) fn address(&self, address: [u8; 4], ttl: u32) -> Vec<u8> {
        let mut answer = self.empty(0);
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1]);
        answer.extend(ttl.to_be_bytes());
        answer.extend([0, 4]);
        answer.extend(address);
        answer
    }
}
