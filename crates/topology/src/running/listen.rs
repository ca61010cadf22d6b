//! Addresses to listen on: those that another process hands over, and those that must be free.

use super::StartError;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;

/// Sockets that came from the process that ran before.
#[derive(Default)]
pub(super) struct Inherited {
    pub(super) admin: Vec<TcpListener>,
    pub(super) edge: Vec<TcpListener>,
    pub(super) layer4: Vec<cores::Socket>,
    pub(super) dns: Vec<cores::Socket>,
    /// Over which purges go, between the two.
    pub(super) purges: Option<UnixStream>,
}

impl Inherited {
    /// The admin API's listener: inherited when the address is the same, bound otherwise.
    pub(super) fn admin(&mut self, address: SocketAddr) -> Result<TcpListener, StartError> {
        const WHAT: &str = "the admin API";
        let listener = match self.admin.iter().position(|listener| is_at(listener, address)) {
            Some(nth) => self.admin.swap_remove(nth),
            None => TcpListener::bind(address).map_err(|error| refusal(WHAT, address, error))?,
        };
        match listener.set_nonblocking(true) {
            Ok(()) => Ok(listener),
            Err(source) => Err(StartError::Listen { what: WHAT, address, source }),
        }
    }

    /// Where the edge listened, each address once.
    pub(super) fn edge_addresses(&self) -> Vec<SocketAddr> {
        distinct_addresses(&self.edge)
    }
}

/// The addresses of listeners, each once.
pub(super) fn distinct_addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> =
        listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Whether a listener is the one that an address of the file asks for; port 0 asks for any.
fn is_at(listener: &TcpListener, wanted: SocketAddr) -> bool {
    listener
        .local_addr()
        .is_ok_and(|local| local == wanted || (wanted.port() == 0 && local.ip() == wanted.ip()))
}

/// Whether the edge can listen on `address`. It shares its ports between cores, so that a second nines of
/// the same user could share them too: this asks first.
pub(super) fn check_free(address: SocketAddr) -> Result<(), StartError> {
    sys::is_taken(address).map_err(|error| refusal("the edge", address, error))
}

fn refusal(what: &'static str, address: SocketAddr, error: io::Error) -> StartError {
    if error.kind() != io::ErrorKind::AddrInUse {
        return StartError::Listen { what, address, source: error };
    }
    let by =
        sys::listening_process(address).map(|process| format!("{} (process {})", process.name, process.pid));
    StartError::PortTaken { what, address, by }
}
