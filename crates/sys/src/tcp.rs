//! Listening sockets, one a core, and what can be asked of a connection without reading it.

use rustix::net::{RecvFlags, recv};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::BorrowedFd;

/// A non-blocking listener that shares its port with our other cores (SO_REUSEPORT).
///
/// An IPv6 address takes IPv6 only, so that `[::]:80` and `0.0.0.0:80` can be listed side by side.
/// Another process of the same user can share the port as well: ask [`is_taken`] before the first one.
pub fn listen_tcp(addr: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = bindable(addr)?;
    socket.set_reuse_port(true)?;
    // Accepted connections inherit it, which saves a system call for each. Our writes are whole messages:
    // holding back the last segment until the peer's delayed ACK would cost it 40 ms.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&addr.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// `Err(AddrInUse)` when somebody listens at `addr` already, another nines included; other errors say why
/// nobody could. Port 0 is never taken.
pub fn is_taken(addr: SocketAddr) -> io::Result<()> {
    // Without SO_REUSEPORT a bind conflicts with every listener; nothing is ever accepted here.
    bindable(addr)?.bind(&addr.into())
}

fn bindable(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of a former run that are in TIME_WAIT must not hold the port.
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Whether a connection is open and has nothing to read: fit to be used for a new request.
///
/// One system call, `recv(MSG_PEEK | MSG_DONTWAIT)`: a peer that closed shows as 0 bytes, one that sent
/// something nobody asked for as 1.
pub fn tcp_quiet(fd: BorrowedFd<'_>) -> bool {
    let mut byte = [0u8; 1];
    loop {
        match recv(fd, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            answer => return answer == Err(rustix::io::Errno::AGAIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpStream};
    use std::os::fd::AsFd;

    const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

    /// Both ends of a connection.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(LOOPBACK).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// Waits until there is something to read, an end included.
    fn wait_readable(stream: &TcpStream) {
        assert!(stream.peek(&mut [0]).is_ok());
    }

    #[test]
    fn accepted_connections_send_at_once() {
        let listener = listen_tcp(LOOPBACK.into(), 16).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        assert!(listener.accept().unwrap().0.nodelay().unwrap());
    }

    #[test]
    fn every_core_has_a_listener_of_its_own_on_one_port() {
        let first = listen_tcp(LOOPBACK.into(), 16).unwrap();
        let second = listen_tcp(first.local_addr().unwrap(), 16).unwrap();
        assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
        assert_eq!(first.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_port_is_taken_while_somebody_listens_even_one_who_shares() {
        let listener = listen_tcp(LOOPBACK.into(), 16).unwrap();
        let addr = listener.local_addr().unwrap();
        assert_eq!(is_taken(addr).unwrap_err().kind(), ErrorKind::AddrInUse);
        let everywhere = (Ipv4Addr::UNSPECIFIED, addr.port()).into();
        assert_eq!(is_taken(everywhere).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(listener);
        is_taken(addr).unwrap();
    }

    #[test]
    fn connections_of_a_former_run_do_not_take_the_port() {
        let listener = listen_tcp(LOOPBACK.into(), 16).unwrap();
        let addr = listener.local_addr().unwrap();
        listener.set_nonblocking(false).unwrap();
        let mut client = TcpStream::connect(addr).unwrap();
        let (server, _) = listener.accept().unwrap();
        drop(listener);
        // The side that closes first, ours, goes to TIME_WAIT.
        server.shutdown(Shutdown::Both).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop(client);
        drop(server);
        is_taken(addr).unwrap();
        listen_tcp(addr, 16).unwrap();
    }

    #[test]
    fn a_foreign_address_is_an_error_that_says_so() {
        // TEST-NET-1 is on no interface (RFC 5737).
        let error = listen_tcp((Ipv4Addr::new(192, 0, 2, 1), 0).into(), 16).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn both_families_can_have_the_same_port() {
        let v6 = match listen_tcp((Ipv6Addr::UNSPECIFIED, 0).into(), 16) {
            Ok(v6) => v6,
            // A machine without IPv6 has nothing to mix up.
            Err(error) => return assert!(error.raw_os_error().is_some(), "{error}"),
        };
        let port = v6.local_addr().unwrap().port();
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        // Somebody else may have the port by now; `is_taken` must agree with what happens.
        assert_eq!(is_taken(v4).is_ok(), listen_tcp(v4, 16).is_ok());
    }

    #[test]
    fn a_connection_is_quiet_until_its_peer_sends_or_closes() {
        let (client, mut server) = connection();
        assert!(tcp_quiet(client.as_fd()));
        server.write_all(b"x").unwrap();
        wait_readable(&client);
        assert!(!tcp_quiet(client.as_fd()), "bytes that nobody asked for");

        let (mut client, server) = connection();
        drop(server);
        wait_readable(&client);
        assert!(!tcp_quiet(client.as_fd()), "closed");
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        assert!(!tcp_quiet(client.as_fd()), "still closed");
    }
}
