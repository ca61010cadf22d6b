//! Sockets for datagrams: listening ones, one a core, and those that speak with one peer.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::mem::size_of;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// A non-blocking socket that shares its port with our other cores (SO_REUSEPORT). On a wildcard address it tells of
/// each datagram which address it was sent to, so that answers can leave from there.
///
/// `buffer_bytes` is what the kernel may hold for us while we are busy, as far as it lets us have it
/// (`net.core.rmem_max`). An IPv6 address takes IPv6 only.
pub fn listen_udp(addr: SocketAddr, buffer_bytes: usize) -> io::Result<UdpSocket> {
    let socket = bindable(addr)?;
    socket.set_reuse_port(true)?;
    // A smaller buffer than wished for is no reason not to serve.
    let _ = socket.set_recv_buffer_size(buffer_bytes);
    let _ = socket.set_send_buffer_size(buffer_bytes);
    if addr.ip().is_unspecified() {
        let (level, option) = match addr {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        };
        turn_on(&socket, level, option)?;
    }
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// `Err(AddrInUse)` when somebody has bound `addr` already. Port 0 is never taken.
pub fn is_taken_udp(addr: SocketAddr) -> io::Result<()> {
    // Without SO_REUSEPORT a bind conflicts with every other; nothing is ever received here.
    bindable(addr)?.bind(&addr.into())
}

/// A non-blocking socket that speaks with `peer` alone; a refusal by its host is heard as an error.
pub fn connect_udp(peer: SocketAddr) -> io::Result<UdpSocket> {
    let socket = bindable(peer)?;
    socket.set_nonblocking(true)?;
    socket.connect(&peer.into())?;
    Ok(socket.into())
}

fn bindable(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn turn_on(socket: &Socket, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is an int that lives through the call, and its size is given; the kernel only reads it.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::Ipv4Addr;

    const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

    #[test]
    fn every_core_has_a_socket_of_its_own_on_one_port() {
        let first = listen_udp(LOOPBACK.into(), 1 << 16).unwrap();
        let second = listen_udp(first.local_addr().unwrap(), 1 << 16).unwrap();
        assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
        assert_eq!(first.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_port_is_taken_while_somebody_has_it_even_one_who_shares() {
        let socket = listen_udp(LOOPBACK.into(), 1 << 16).unwrap();
        let addr = socket.local_addr().unwrap();
        assert_eq!(is_taken_udp(addr).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(socket);
        is_taken_udp(addr).unwrap();
    }

    #[test]
    fn a_peer_that_is_not_there_is_heard_of() {
        let gone = UdpSocket::bind(LOOPBACK).unwrap().local_addr().unwrap();
        let socket = connect_udp(gone).unwrap();
        socket.send(b"x").unwrap();
        socket.set_nonblocking(false).unwrap();
        assert_eq!(socket.recv(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}
