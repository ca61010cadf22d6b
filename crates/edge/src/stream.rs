//! A connection's bytes, as they are or through TLS, and its two halves, which one task uses side by side.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, tcp};
use tokio_rustls::TlsStream;

/// A TLS connection that both halves of a stream reach: one thread, and no half is in use while the other is.
pub(crate) type SharedTls = RefCell<TlsStream<TcpStream>>;

/// A connection.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<SharedTls>),
}

/// The half that is read.
pub(crate) enum ReadHalf<'a> {
    Plain(tcp::ReadHalf<'a>),
    Tls(&'a SharedTls),
}

/// The half that is written.
pub(crate) enum WriteHalf<'a> {
    Plain(tcp::WriteHalf<'a>),
    Tls(&'a SharedTls),
}

impl Stream {
    pub(crate) fn tls(stream: impl Into<TlsStream<TcpStream>>) -> Self {
        Self::Tls(Box::new(RefCell::new(stream.into())))
    }

    pub(crate) fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        match self {
            Self::Plain(stream) => {
                let (read, write) = stream.split();
                (ReadHalf::Plain(read), WriteHalf::Plain(write))
            }
            Self::Tls(tls) => (ReadHalf::Tls(tls), WriteHalf::Tls(tls)),
        }
    }

    /// Whether nothing has happened on an idle connection. Readiness says so without a system call, where it says
    /// "readable", that may be left from the last message, and the kernel is asked; as it is where `surely` is
    /// wished for.
    pub(crate) fn is_quiet(&self, surely: bool) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        match self {
            Self::Plain(stream) => {
                let is_whole = match stream.poll_read_ready(&mut cx) {
                    Poll::Pending => true,
                    Poll::Ready(_) => {
                        matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
                    }
                };
                is_whole && (!surely || sys::tcp_quiet(stream.as_fd()))
            }
            // Session tickets come unasked and are no bytes of the endpoint's: this read takes them in.
            Self::Tls(tls) => {
                poll_tls_bytes(tls, &mut cx).is_pending()
                    && (!surely || sys::tcp_quiet(tls.borrow().get_ref().0.as_fd()))
            }
        }
    }

    /// Ends the sending side; TLS says so first (RFC 8446 §6.1).
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(tls) => tls.get_mut().shutdown().await,
        }
    }

    /// The connection beneath.
    pub(crate) fn into_tcp(self) -> TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => match tls.into_inner() {
                TlsStream::Client(stream) => stream.into_inner().0,
                TlsStream::Server(stream) => stream.into_inner().0,
            },
        }
    }
}

/// Ready with whether there are bytes (`true`) or the end (`false`).
fn poll_tls_bytes(tls: &SharedTls, cx: &mut Context<'_>) -> Poll<bool> {
    let mut tls = tls.borrow_mut();
    Pin::new(&mut *tls).poll_fill_buf(cx).map(|bytes| bytes.is_ok_and(|bytes| !bytes.is_empty()))
}

impl WriteHalf<'_> {
    /// The connection, where bytes go to it as they are.
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(half) => Some(half.as_ref()),
            Self::Tls(_) => None,
        }
    }

    /// Ready once the peer has closed. Bytes that it has sent (a next request) are left alone, and end the watch.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(half) => poll_tcp_gone(half.as_ref(), cx),
            Self::Tls(tls) => match poll_tls_bytes(tls, cx) {
                Poll::Ready(false) => Poll::Ready(()),
                Poll::Ready(true) | Poll::Pending => Poll::Pending,
            },
        }
    }
}

fn poll_tcp_gone(stream: &TcpStream, cx: &mut Context<'_>) -> Poll<()> {
    match stream.poll_read_ready(cx) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Err(_)) => Poll::Ready(()),
        Poll::Ready(Ok(())) => {
            let mut byte = [0];
            match stream.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => Poll::Ready(()),
                Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
            }
        }
    }
}

impl ReadHalf<'_> {
    /// Ready once there are bytes, or the end.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(half) => half.as_ref().poll_read_ready(cx).map(drop),
            Self::Tls(tls) => poll_tls_bytes(tls, cx).map(drop),
        }
    }
}

/// What every TLS stream does for the one that is borrowed now.
fn with_tls<T>(tls: &SharedTls, act: impl FnOnce(Pin<&mut TlsStream<TcpStream>>) -> T) -> T {
    act(Pin::new(&mut *tls.borrow_mut()))
}

impl AsyncRead for ReadHalf<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(half) => Pin::new(half).poll_read(cx, buf),
            Self::Tls(tls) => with_tls(tls, |tls| tls.poll_read(cx, buf)),
        }
    }
}

impl AsyncWrite for WriteHalf<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Tls(tls) => with_tls(tls, |tls| tls.poll_write(cx, bytes)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(half) => Pin::new(half).poll_write_vectored(cx, parts),
            Self::Tls(tls) => with_tls(tls, |tls| tls.poll_write_vectored(cx, parts)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => with_tls(tls, |tls| tls.poll_flush(cx)),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(half) => Pin::new(half).poll_shutdown(cx),
            Self::Tls(tls) => with_tls(tls, |tls| tls.poll_shutdown(cx)),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls.get_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls.get_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(tls) => Pin::new(tls.get_mut()).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(tls.get_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls.get_mut()).poll_shutdown(cx),
        }
    }
}
