//! Sockets that take what comes: found free, opened once a core, or inherited from the process before.

use crate::error::Error;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

/// Connections that wait in the kernel until they are accepted.
const BACKLOG: i32 = 4096;

/// What the kernel holds of datagrams while a core is busy, if it may: some milliseconds of full speed.
const DATAGRAM_BUFFER_BYTES: usize = 4 << 20;

/// What is spoken right above IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Where something is listened for. TCP and UDP have ports of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// What is spoken there.
    pub transport: Transport,
    /// Address and port; port 0 asks the kernel for one.
    pub at: SocketAddr,
}

impl Address {
    /// Of TCP.
    pub fn tcp(at: SocketAddr) -> Self {
        Self { transport: Transport::Tcp, at }
    }

    /// Of UDP.
    pub fn udp(at: SocketAddr) -> Self {
        Self { transport: Transport::Udp, at }
    }

    /// Whether what is open at `open` is what this asks for.
    pub(crate) fn is_met_by(&self, open: &Self) -> bool {
        self == open
            || (self.at.port() == 0 && self.transport == open.transport && self.at.ip() == open.at.ip())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::Tcp => self.at.fmt(f),
            Transport::Udp => write!(f, "{} (UDP)", self.at),
        }
    }
}

/// An open socket that takes what comes, non-blocking.
#[derive(Debug)]
pub enum Socket {
    /// A listener.
    Tcp(TcpListener),
    /// A bound socket.
    Udp(UdpSocket),
}

impl Socket {
    /// Where it is open.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(Address::tcp),
            Self::Udp(socket) => socket.local_addr().map(Address::udp),
        }
    }

    /// Another handle of the same socket.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Udp(socket) => socket.try_clone().map(Self::Udp),
        }
    }

    fn open(address: Address) -> io::Result<Self> {
        match address.transport {
            Transport::Tcp => sys::listen_tcp(address.at, BACKLOG).map(Self::Tcp),
            Transport::Udp => sys::listen_udp(address.at, DATAGRAM_BUFFER_BYTES).map(Self::Udp),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
        }
    }
}

/// Whether an address can be listened on: cores share a port, so that a second process of the same user could share it
/// too, and nobody would notice.
///
/// # Errors
/// When somebody listens there, by name where that can be known; or nobody could.
pub fn check_free(address: Address) -> Result<(), Error> {
    let asked = match address.transport {
        Transport::Tcp => sys::is_taken(address.at),
        Transport::Udp => sys::is_taken_udp(address.at),
    };
    asked.map_err(|source| refused(address, source))
}

/// `sockets` that are open at an address, and more beside them until there are `count`. Without any, the address must be
/// free, unless it is shared with the process before this one.
pub(crate) fn fill(
    address: Address,
    mut sockets: Vec<Socket>,
    count: usize,
    is_shared: bool,
) -> Result<Vec<Socket>, Error> {
    let failed = |source| refused(address, source);
    if sockets.is_empty() {
        if !is_shared {
            check_free(address)?;
        }
        sockets.push(Socket::open(address).map_err(failed)?);
    }
    // Port 0 asks the kernel for a port; it is known by what it became.
    let opened_at = sockets[0].address().map_err(failed)?;
    while sockets.len() < count {
        sockets.push(Socket::open(opened_at).map_err(failed)?);
    }
    Ok(sockets)
}

fn refused(address: Address, source: io::Error) -> Error {
    if source.kind() != io::ErrorKind::AddrInUse {
        return Error::Listen { address, source };
    }
    let process = match address.transport {
        Transport::Tcp => sys::listening_process(address.at),
        Transport::Udp => sys::listening_process_udp(address.at),
    };
    Error::Taken { address, holder: process.map(|process| format!("{} (pid {})", process.name, process.pid)) }
}
