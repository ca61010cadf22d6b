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
