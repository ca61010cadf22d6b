//! Datagrams by the batch: one system call receives what has come, another sends what goes one way, or each answer to
//! whoever asked.

mod answers;

pub use answers::Answers;

use socket2::SockAddr;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The longest payload of a datagram (RFC 768: a length of 16 bits with a header of 8; IPv4 carries 20 less). A buffer
/// that holds it cuts nothing off.
pub const DATAGRAM_BYTES_MAX: usize = 65_527;

/// Datagrams of one system call; the kernel takes up to 1024, but the caches do not.
pub const BATCH_MAX: usize = 64;

/// Room for received datagrams, filled anew by each call. Memory that no datagram has touched is not used.
pub struct Datagrams {
    bytes: Box<[u8]>,
    /// What each of them may have.
    room_bytes: usize,
    names: Box<[MaybeUninit<libc::sockaddr_storage>]>,
    controls: Box<[Control]>,
    received: Vec<Received>,
}

/// Room for what the kernel says besides: the one address of a datagram, aligned as its header must be.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// `CMSG_SPACE(sizeof(struct in6_pktinfo))`, which is the larger of the two, is 40.
const CONTROL_BYTES: usize = 64;

/// A datagram in its place.
#[derive(Debug, Clone, Copy)]
struct Received {
    length: usize,
    /// Of the sender's address, as the kernel has written it.
    name_bytes: libc::socklen_t,
    from: Option<SocketAddr>,
    to: Option<IpAddr>,
}

/// A received datagram.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// What it carries; may be nothing.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub from: Option<SocketAddr>,
    /// The address that it was sent to, where the socket tells: see [`listen_udp`](crate::listen_udp).
    pub to: Option<IpAddr>,
}

/// Where datagrams go that are sent by a socket without a peer of its own.
#[derive(Debug, Clone, Copy)]
pub struct Towards {
    /// Who gets them.
    pub to: SocketAddr,
    /// The address of ours that they leave from; the kernel's choice when absent.
    pub from: Option<IpAddr>,
}

impl Datagrams {
    /// Room for [`BATCH_MAX`] datagrams of any length.
    pub fn new() -> Self {
        Self::with_room(DATAGRAM_BYTES_MAX)
    }

    /// Room for [`BATCH_MAX`] datagrams of at most so many bytes; of a longer one the rest is lost. Rooms that lie a power
    /// of two apart would share the same few lines of a cache.
    ///
    /// # Panics
    /// When there is no room at all.
    pub fn with_room(room_bytes: usize) -> Self {
        assert!(room_bytes > 0, "a datagram needs room");
        Self {
            // Zeroed memory comes from the kernel untouched.
            bytes: vec![0; BATCH_MAX * room_bytes].into(),
            room_bytes,
            names: vec![MaybeUninit::zeroed(); BATCH_MAX].into(),
            controls: vec![Control([0; CONTROL_BYTES]); BATCH_MAX].into(),
            received: Vec::with_capacity(BATCH_MAX),
        }
    }

    /// Receives what is there without waiting, at most `max` datagrams. What was received before is forgotten.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; on a socket with a peer, `ConnectionRefused` when its host said that nobody
    /// listens.
    pub fn receive(&mut self, socket: BorrowedFd<'_>, max: usize) -> io::Result<usize> {
        self.received.clear();
        let max = max.min(BATCH_MAX);
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH_MAX];
        // SAFETY: `mmsghdr` is made of integers and pointers, for which zeroes are values.
        let mut headers: [libc::mmsghdr; BATCH_MAX] = unsafe { std::mem::zeroed() };
        let rooms = self.bytes.chunks_exact_mut(self.room_bytes);
        let places = rooms.zip(self.names.iter_mut()).zip(self.controls.iter_mut());
        for (((header, vector), ((room, name), control)), _) in
            headers.iter_mut().zip(&mut vectors).zip(places).zip(0..max)
        {
            *vector = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = name.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
        }
        let count = loop {
            // SAFETY: the first `max` headers were filled above; each points at memory of its own that is borrowed for
            // the whole of this function and as long as its header says. The kernel writes nowhere else.
            let count = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    headers.as_mut_ptr(),
                    max as libc::c_uint,
                    libc::MSG_DONTWAIT as _,
                    std::ptr::null_mut(),
                )
            };
            match usize::try_from(count) {
                Ok(count) => break count,
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        };
        for (header, name) in headers[..count].iter().zip(&self.names) {
            // SAFETY: the kernel has filled this header, and its control data lies in a buffer that is borrowed still.
            let to = unsafe { destination(&header.msg_hdr) };
            let named = header.msg_hdr.msg_namelen as usize;
            // SAFETY: the storage was zeroed when it was made, so that all of it is initialised, whatever was written.
            let from = (named > 0).then(|| socket_address(unsafe { name.assume_init_ref() })).flatten();
            let (length, name_bytes) = (header.msg_len as usize, header.msg_hdr.msg_namelen);
            self.received.push(Received { length, name_bytes, from, to });
        }
        Ok(count)
    }

    /// A datagram of the last call to [`receive`](Self::receive).
    ///
    /// # Panics
    /// When fewer were received.
    pub fn get(&self, nth: usize) -> Datagram<'_> {
        let Received { length, from, to, .. } = self.received[nth];
        let start = nth * self.room_bytes;
        Datagram { bytes: &self.bytes[start..start + length], from, to }
    }

    /// Sends received datagrams on, by a socket with a peer of its own or to somebody: how many of them went. The
    /// first that cannot go ends the call; it is an error only if it is the very first.
    ///
    /// # Errors
    /// `WouldBlock` when the socket's buffer is full, `ConnectionRefused` as for [`receive`](Self::receive).
    ///
    /// # Panics
    /// When fewer were received.
    pub fn send(
        &self,
        nths: Range<usize>,
        socket: BorrowedFd<'_>,
        towards: Option<&Towards>,
    ) -> io::Result<usize> {
        let name = towards.map(|towards| SockAddr::from(towards.to));
        let mut control = Control([0; CONTROL_BYTES]);
        let control_bytes = towards.and_then(|towards| towards.from).map(|from| source(&mut control, from));
        let count = nths.len().min(BATCH_MAX);
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH_MAX];
        // SAFETY: as in `receive`.
        let mut headers: [libc::mmsghdr; BATCH_MAX] = unsafe { std::mem::zeroed() };
        for ((header, vector), nth) in headers.iter_mut().zip(&mut vectors).zip(nths) {
            let bytes = self.get(nth).bytes;
            *vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            if let Some(name) = &name {
                header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
                header.msg_hdr.msg_namelen = name.len();
            }
            if let Some(bytes) = control_bytes {
                header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = bytes as _;
            }
        }
        // SAFETY: the first `count` headers were filled above and point at memory that is borrowed for the whole of this
        // function.
        unsafe { send_all(socket, &mut headers[..count]) }
    }
}

/// Sends one datagram by a socket without a peer of its own.
///
/// # Errors
/// `WouldBlock` when the socket's buffer is full.
pub fn send_datagram(socket: BorrowedFd<'_>, bytes: &[u8], towards: &Towards) -> io::Result<()> {
    let name = SockAddr::from(towards.to);
    let mut control = Control([0; CONTROL_BYTES]);
    let control_bytes = towards.from.map(|from| source(&mut control, from));
    let mut vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: a header of zeroes is one that points at nothing.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_iov = &raw mut vector;
    header.msg_hdr.msg_iovlen = 1;
    header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
    header.msg_hdr.msg_namelen = name.len();
    if let Some(bytes) = control_bytes {
        header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = bytes as _;
    }
    // SAFETY: the header was filled above and points at memory that is borrowed, or owned, for the whole of this function.
    unsafe { send_all(socket, std::slice::from_mut(&mut header)) }.map(drop)
}

/// Sends what headers point at: how many of them went.
///
/// # Safety
/// Each header must point at memory that is there, as its lengths say; the kernel only reads it.
unsafe fn send_all(socket: BorrowedFd<'_>, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    loop {
        // SAFETY: by this function's own condition; the kernel writes lengths into the headers, and nothing else.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as libc::c_uint,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        match usize::try_from(sent) {
            Ok(sent) => return Ok(sent),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

impl Default for Datagrams {
    fn default() -> Self {
        Self::new()
    }
}

fn socket_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let storage: *const libc::sockaddr_storage = storage;
    // SAFETY: a `sockaddr_storage` is as large and as aligned as each of the two, which are made of integers; the
    // family says which of them the kernel has written.
    unsafe {
        match libc::c_int::from((*storage).ss_family) {
            libc::AF_INET => {
                let v4 = &*storage.cast::<libc::sockaddr_in>();
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                let v6 = &*storage.cast::<libc::sockaddr_in6>();
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

/// The address that a datagram was sent to.
///
/// # Safety
/// `header` must have been filled by the kernel, and its control data must still be there.
unsafe fn destination(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: by this function's own condition. `CMSG_DATA` need not be aligned for what it holds.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let data = libc::CMSG_DATA(message);
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    return Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    return Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                _ => message = libc::CMSG_NXTHDR(header, message),
            }
        }
    }
    None
}

/// Writes the address that datagrams leave from; how many bytes that took.
fn source(control: &mut Control, from: IpAddr) -> usize {
    // SAFETY: zeroes are a value of all three. The header that `CMSG_FIRSTHDR` looks at says where the buffer lies and
    // how long it is, and 64 bytes have room for either record with its own header.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = CONTROL_BYTES as _;
        let message = libc::CMSG_FIRSTHDR(&raw const header);
        let length = match from {
            IpAddr::V4(v4) => {
                let mut info: libc::in_pktinfo = std::mem::zeroed();
                info.ipi_spec_dst.s_addr = u32::from(v4).to_be();
                (*message).cmsg_level = libc::IPPROTO_IP;
                (*message).cmsg_type = libc::IP_PKTINFO;
                libc::CMSG_DATA(message).cast::<libc::in_pktinfo>().write_unaligned(info);
                size_of::<libc::in_pktinfo>()
            }
            IpAddr::V6(v6) => {
                let mut info: libc::in6_pktinfo = std::mem::zeroed();
                info.ipi6_addr.s6_addr = v6.octets();
                (*message).cmsg_level = libc::IPPROTO_IPV6;
                (*message).cmsg_type = libc::IPV6_PKTINFO;
                libc::CMSG_DATA(message).cast::<libc::in6_pktinfo>().write_unaligned(info);
                size_of::<libc::in6_pktinfo>()
            }
        };
        (*message).cmsg_len = libc::CMSG_LEN(length as libc::c_uint) as _;
        libc::CMSG_SPACE(length as libc::c_uint) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp::{connect_udp, listen_udp};
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    fn wait(socket: &UdpSocket) {
        socket.set_nonblocking(false).unwrap();
        // A datagram of no bytes peeks as 0: what counts is that it is there.
        socket.peek_from(&mut []).unwrap();
        socket.set_nonblocking(true).unwrap();
    }

    #[test]
    fn what_has_come_is_received_at_once_and_sent_on_at_once() {
        let front = listen_udp((Ipv4Addr::LOCALHOST, 0).into(), 1 << 20).unwrap();
        let client = connect_udp(front.local_addr().unwrap()).unwrap();
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to_back = connect_udp(back.local_addr().unwrap()).unwrap();
        let long = vec![7; 40_000];
        for bytes in [&b"one"[..], b"", &long] {
            client.send(bytes).unwrap();
        }
        wait(&front);
        let mut batch = Datagrams::new();
        assert_eq!(batch.receive(front.as_fd(), BATCH_MAX).unwrap(), 3);
        assert_eq!((batch.get(0).bytes, batch.get(1).bytes), (&b"one"[..], &b""[..]));
        assert!(batch.get(2).bytes == long);
        assert_eq!(batch.get(0).from, Some(client.local_addr().unwrap()));
        assert_eq!(batch.get(0).to, None, "it listens at one address");
        assert_eq!(batch.send(0..3, to_back.as_fd(), None).unwrap(), 3);
        let mut buffer = vec![0; 65_536];
        let lengths: Vec<usize> = (0..3).map(|_| back.recv(&mut buffer).unwrap()).collect();
        assert_eq!(lengths, [3, 0, 40_000]);
        let error = batch.receive(front.as_fd(), BATCH_MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn no_more_are_received_than_asked_for() {
        let front = listen_udp((Ipv4Addr::LOCALHOST, 0).into(), 1 << 20).unwrap();
        let client = connect_udp(front.local_addr().unwrap()).unwrap();
        (0..3).for_each(|_| assert_eq!(client.send(b"x").unwrap(), 1));
        wait(&front);
        let mut batch = Datagrams::new();
        assert_eq!(batch.receive(front.as_fd(), 2).unwrap(), 2);
        assert_eq!(batch.receive(front.as_fd(), 2).unwrap(), 1);
    }

    #[test]
    fn of_a_datagram_that_has_no_room_the_rest_is_lost() {
        let front = listen_udp((Ipv4Addr::LOCALHOST, 0).into(), 1 << 20).unwrap();
        let client = connect_udp(front.local_addr().unwrap()).unwrap();
        client.send(b"longer than that").unwrap();
        client.send(b"fits").unwrap();
        wait(&front);
        let mut batch = Datagrams::with_room(6);
        assert_eq!(batch.receive(front.as_fd(), BATCH_MAX).unwrap(), 2);
        assert_eq!((batch.get(0).bytes, batch.get(1).bytes), (&b"longer"[..], &b"fits"[..]));
    }

    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked() {
        let front = listen_udp((Ipv4Addr::UNSPECIFIED, 0).into(), 1 << 16).unwrap();
        let port = front.local_addr().unwrap().port();
        // All of 127.0.0.0/8 is this machine.
        let asked = IpAddr::from([127, 0, 0, 77]);
        let client = connect_udp((asked, port).into()).unwrap();
        client.send(b"?").unwrap();
        wait(&front);
        let mut batch = Datagrams::new();
        assert_eq!(batch.receive(front.as_fd(), BATCH_MAX).unwrap(), 1);
        let Datagram { from, to, .. } = batch.get(0);
        assert_eq!(to, Some(asked));
        let towards = Towards { to: from.unwrap(), from: to };
        assert_eq!(batch.send(0..1, front.as_fd(), Some(&towards)).unwrap(), 1);
        // Its socket hears nobody else.
        wait(&client);
        assert_eq!(client.recv(&mut [0; 8]).unwrap(), 1);
    }

    #[test]
    fn so_does_one_over_ipv6() {
        let Ok(front) = listen_udp((Ipv6Addr::UNSPECIFIED, 0).into(), 1 << 16) else { return };
        let port = front.local_addr().unwrap().port();
        let Ok(client) = connect_udp((Ipv6Addr::LOCALHOST, port).into()) else { return };
        client.send(b"?").unwrap();
        wait(&front);
        let mut batch = Datagrams::new();
        assert_eq!(batch.receive(front.as_fd(), BATCH_MAX).unwrap(), 1);
        let Datagram { from, to, .. } = batch.get(0);
        assert_eq!(to, Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(from, Some(client.local_addr().unwrap()));
        let towards = Towards { to: from.unwrap(), from: to };
        assert_eq!(batch.send(0..1, front.as_fd(), Some(&towards)).unwrap(), 1);
        wait(&client);
        assert_eq!(client.recv(&mut [0; 8]).unwrap(), 1);
    }
}
