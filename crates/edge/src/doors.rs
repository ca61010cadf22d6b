//! Where clients arrive: the sockets of each address, one a core.

use crate::arrival::Door;
use crate::config::EdgeConfig;
use crate::error::Error;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

/// Connections that wait in the kernel until they are accepted.
const BACKLOG: i32 = 4096;

/// The sockets of an address.
pub(crate) struct Listening {
    pub(crate) door: Door,
    pub(crate) sockets: Vec<TcpListener>,
}

/// Where the file wants to be reached, and how.
pub(crate) fn doors(config: &EdgeConfig) -> impl Iterator<Item = (Door, SocketAddr)> + '_ {
    let http = config.http.iter().map(|address| (Door::Http, *address));
    http.chain(config.https.iter().map(|address| (Door::Https, *address)))
}

pub(crate) fn copies(sockets: &[TcpListener]) -> io::Result<Vec<TcpListener>> {
    sockets.iter().map(TcpListener::try_clone).collect()
}

/// Sockets that were left behind, and more beside them until each core has one.
pub(crate) fn one_each(
    address: SocketAddr,
    mut sockets: Vec<TcpListener>,
    cores: usize,
) -> Result<Vec<TcpListener>, Error> {
    while sockets.len() < cores {
        let socket = sys::listen_tcp(address, BACKLOG).map_err(|source| Error::Listen { address, source })?;
        sockets.push(socket);
    }
    Ok(sockets)
}

pub(crate) fn open(address: SocketAddr, cores: usize) -> Result<Vec<TcpListener>, Error> {
    let taken = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => {
            let holder = sys::listening_process(address)
                .map(|process| format!("{} (pid {})", process.name, process.pid));
            Error::Taken { address, holder }
        }
        _ => Error::Listen { address, source },
    };
    sys::is_taken(address).map_err(taken)?;
    let first = sys::listen_tcp(address, BACKLOG).map_err(taken)?;
    let opened_at = first.local_addr().map_err(taken)?;
    let mut sockets = vec![first];
    for _ in 1..cores {
        sockets.push(sys::listen_tcp(opened_at, BACKLOG).map_err(taken)?);
    }
    Ok(sockets)
}

/// What waits in the kernel of what clients send by UDP.
const UDP_BUFFER_BYTES: usize = 4 << 20;

/// Sockets for HTTP/3, one a core. A nines that is taken over holds the address as well, until it lets go.
pub(crate) fn open_quic(
    address: SocketAddr,
    cores: usize,
    is_takeover: bool,
) -> Result<Vec<UdpSocket>, Error> {
    let fails = |source: io::Error| Error::Listen { address, source };
    if !is_takeover {
        sys::is_taken_udp(address).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => Error::Taken {
                address,
                holder: sys::listening_process_udp(address)
                    .map(|process| format!("{} (pid {})", process.name, process.pid)),
            },
            _ => fails(source),
        })?;
    }
    (0..cores).map(|_| sys::listen_udp(address, UDP_BUFFER_BYTES).map_err(fails)).collect()
}
