//! What a connection is read from and written to: a socket, or TLS over one (RFC 7858).

use crate::protocol::Transport;
use bytes::BufMut;
use rustls::ServerConnection;
use std::cell::RefCell;
use std::io::{self, Read, Write};
use tokio::net::TcpStream;

/// What is read at once: some hundred queries.
pub(super) const READ_BYTES: usize = 16 << 10;

/// A stream that is tried, and waited for where there is nothing yet.
pub(super) trait Wire {
    const TRANSPORT: Transport;

    /// The socket.
    fn tcp(&self) -> &TcpStream;

    /// Whether there is more to be read without the socket: it need not be waited for.
    fn has_more(&self) -> bool;

    /// Appends what has come, so much at most. 0: the other side says no more.
    fn try_read(&self, input: &mut Vec<u8>) -> io::Result<usize>;

    /// Takes of these bytes what there is room for, at least one.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Hands on what was taken.
    fn try_flush(&self) -> io::Result<()>;

    /// Says that nothing more comes, if it can be said at once.
    fn say_end(&self);
}

impl Wire for TcpStream {
    const TRANSPORT: Transport = Transport::Tcp;

    fn tcp(&self) -> &TcpStream {
        self
    }

    fn has_more(&self) -> bool {
        false
    }

    fn try_read(&self, input: &mut Vec<u8>) -> io::Result<usize> {
        input.reserve(READ_BYTES);
        // Bounded, whatever capacity there is.
        let mut room = BufMut::limit(input, READ_BYTES);
        self.try_read_buf(&mut room)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match Self::try_write(self, bytes)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            count => Ok(count),
        }
    }

    fn try_flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn say_end(&self) {}
}

/// TLS, after its handshake.
pub(super) struct Secured {
    tcp: TcpStream,
    session: RefCell<ServerConnection>,
}

/// A socket as rustls reads and writes it: what cannot be done at once is an error.
struct Socket<'s>(&'s TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(room)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Secured {
    pub(super) fn new(tcp: TcpStream, session: ServerConnection) -> Self {
        Self { tcp, session: RefCell::new(session) }
    }

    /// Sends what rustls has to send, as far as the socket takes it.
    fn push(&self, session: &mut ServerConnection) -> io::Result<()> {
        while session.wants_write() {
            if session.write_tls(&mut Socket(&self.tcp))? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

impl Wire for Secured {
    const TRANSPORT: Transport = Transport::Tls;

    fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// What came with the end of the handshake, or in one piece with what was read before.
    fn has_more(&self) -> bool {
        let state = self.session.borrow_mut().process_new_packets();
        state.is_ok_and(|state| state.plaintext_bytes_to_read() > 0 || state.peer_has_closed())
    }

    fn try_read(&self, input: &mut Vec<u8>) -> io::Result<usize> {
        let session = &mut *self.session.borrow_mut();
        let start = input.len();
        loop {
            input.resize(start + READ_BYTES, 0);
            let read = session.reader().read(&mut input[start..]);
            input.truncate(start + read.as_ref().copied().unwrap_or(0));
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Many close without a word. What is cut off is seen by the length before it.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            session.read_tls(&mut Socket(&self.tcp))?;
            let processed = session.process_new_packets();
            // What is to be said about it, an alert or a new key, goes out as far as it can.
            let _ = self.push(session);
            processed.map_err(io::Error::other)?;
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let session = &mut *self.session.borrow_mut();
        // What rustls holds back is bounded: with a full socket it takes no more.
        let count = session.writer().write(bytes)?;
        match self.push(session) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock || count == 0 => Err(error),
            _ => Ok(count),
        }
    }

    fn try_flush(&self) -> io::Result<()> {
        self.push(&mut self.session.borrow_mut())
    }

    fn say_end(&self) {
        let session = &mut *self.session.borrow_mut();
        session.send_close_notify();
        let _ = self.push(session);
    }
}
