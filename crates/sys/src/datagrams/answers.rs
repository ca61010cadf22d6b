//! Answers to a batch of datagrams, each to its own sender, by one system call.

use super::{BATCH_MAX, CONTROL_BYTES, Control, Datagrams, send_all, source};
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

/// Answers to the datagrams of one [`Datagrams`]. Their memory is used again and again.
#[derive(Debug, Default)]
pub struct Answers {
    rooms: Vec<Vec<u8>>,
    /// Which datagram each room answers; as many rooms are taken.
    nths: Vec<usize>,
}

impl Answers {
    /// Forgets all answers, to begin the next batch.
    pub fn clear(&mut self) {
        self.nths.clear();
    }

    /// Where the next answer is to be written: it holds whatever was there before. It is none until
    /// [`answer`](Self::answer) says to what.
    pub fn room(&mut self) -> &mut Vec<u8> {
        if self.rooms.len() == self.nths.len() {
            self.rooms.push(Vec::new());
        }
        &mut self.rooms[self.nths.len()]
    }

    /// What was written into the [`room`](Self::room) answers the datagram with this number.
    ///
    /// # Panics
    /// When no room was asked for.
    pub fn answer(&mut self, nth: usize) {
        assert!(self.rooms.len() > self.nths.len(), "an answer is written before it is said what it answers");
        self.nths.push(nth);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.nths.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nths.is_empty()
    }

    /// Bytes of some answers.
    pub fn bytes(&self, range: Range<usize>) -> usize {
        self.rooms[..self.nths.len()][range].iter().map(Vec::len).sum()
    }

    /// Sends answers to those who sent the datagrams of `batch`, from the addresses that they were sent to: how many of
    /// them went. The first that cannot go ends the call; it is an error only if it is the very first.
    ///
    /// # Errors
    /// `WouldBlock` when the socket's buffer is full.
    ///
    /// # Panics
    /// When there are fewer answers, or `batch` holds fewer datagrams than they are for.
    pub fn send(&self, range: Range<usize>, batch: &Datagrams, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let count = range.len().min(BATCH_MAX);
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH_MAX];
        let mut controls = [Control([0; CONTROL_BYTES]); BATCH_MAX];
        // SAFETY: `mmsghdr` is made of integers and pointers, for which zeroes are values.
        let mut headers: [libc::mmsghdr; BATCH_MAX] = unsafe { std::mem::zeroed() };
        let places = headers.iter_mut().zip(&mut vectors).zip(&mut controls);
        for (((header, vector), control), at) in places.zip(range) {
            let (room, nth) = (&self.rooms[at], self.nths[at]);
            let received = &batch.received[nth];
            *vector = libc::iovec { iov_base: room.as_ptr().cast_mut().cast(), iov_len: room.len() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = batch.names[nth].as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = received.name_bytes;
            if let Some(to) = received.to {
                header.msg_hdr.msg_controllen = source(control, to) as _;
                header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            }
        }
        // SAFETY: the first `count` headers were filled above and point at memory that is borrowed for the whole of this
        // function; the names are as long as the kernel has written them.
        unsafe { send_all(socket, &mut headers[..count]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp::{connect_udp, listen_udp};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
    use std::os::fd::AsFd;

    fn hear(socket: &UdpSocket) -> String {
        socket.set_nonblocking(false).unwrap();
        let mut heard = [0; 64];
        let count = socket.recv(&mut heard).unwrap();
        String::from_utf8(heard[..count].to_vec()).unwrap()
    }

    fn wait(socket: &UdpSocket) {
        socket.set_nonblocking(false).unwrap();
        socket.peek_from(&mut []).unwrap();
        socket.set_nonblocking(true).unwrap();
    }

    #[test]
    fn everybody_gets_the_answer_to_their_own_question() {
        let front = listen_udp((Ipv4Addr::LOCALHOST, 0).into(), 1 << 20).unwrap();
        let at = front.local_addr().unwrap();
        let clients: Vec<UdpSocket> = (0..3).map(|_| connect_udp(at).unwrap()).collect();
        for (nth, client) in clients.iter().enumerate() {
            client.send(format!("{nth}?").as_bytes()).unwrap();
        }
        wait(&front);
        let (mut batch, mut answers) = (Datagrams::with_room(100), Answers::default());
        for _ in 0..2 {
            answers.clear();
            assert_eq!(batch.receive(front.as_fd(), BATCH_MAX).unwrap(), 3);
            for nth in [2, 0] {
                let text = format!("answer to {}", String::from_utf8_lossy(batch.get(nth).bytes));
                answers.room().clear();
                answers.room().extend_from_slice(text.as_bytes());
                answers.answer(nth);
            }
            assert_eq!((answers.len(), answers.bytes(0..2)), (2, 24));
            assert_eq!(answers.send(0..2, &batch, front.as_fd()).unwrap(), 2);
            assert_eq!(
                (hear(&clients[0]), hear(&clients[2])),
                ("answer to 0?".into(), "answer to 2?".into())
            );
            clients[1].set_nonblocking(true).unwrap();
            assert!(clients[1].recv(&mut [0]).is_err(), "nobody answers it");
            for (nth, client) in clients.iter().enumerate() {
                client.send(format!("{nth}?").as_bytes()).unwrap();
            }
            wait(&front);
        }
    }

    #[test]
    fn answers_leave_from_the_address_that_was_asked() {
        for (any, asked) in [
            (IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from([127, 0, 0, 77])),
            (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into()),
        ] {
            // A machine without IPv6 has one of them.
            let Ok(front) = listen_udp((any, 0).into(), 1 << 16) else { continue };
            let at = (asked, front.local_addr().unwrap().port()).into();
            let Ok(client) = connect_udp(at) else { continue };
            client.send(b"?").unwrap();
            wait(&front);
            let (mut batch, mut answers) = (Datagrams::with_room(100), Answers::default());
            assert_eq!(batch.receive(front.as_fd(), BATCH_MAX).unwrap(), 1);
            answers.room().push(b'!');
            answers.answer(0);
            assert_eq!(answers.send(0..1, &batch, front.as_fd()).unwrap(), 1);
            // Its socket hears nobody else.
            assert_eq!(hear(&client), "!");
        }
    }
}
