//! A connection whose writes are gathered: `h2` flushes after each frame, and a system call or a record of TLS for
//! each answer is most of what it costs.

use crate::stream::Stream;
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More is not gathered: it is written, or whoever writes waits.
const GATHERED_BYTES_MAX: usize = 64 << 10;
/// What is worth a write of its own, and no copy.
const WRITE_BYTES_MIN: usize = 16 << 10;

/// A connection that is shared by who writes frames and who sends them off.
#[derive(Clone)]
pub(crate) struct Gathered(Rc<RefCell<Inner>>);

struct Inner {
    stream: Stream,
    out: Vec<u8>,
    /// Bytes of `out` that have gone.
    sent: usize,
}

thread_local! {
    /// Connections that have nothing to write have no memory for it.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Gathered {
    pub(crate) fn new(stream: Stream) -> Self {
        Self(Rc::new(RefCell::new(Inner { stream, out: Vec::new(), sent: 0 })))
    }

    /// Sends off what was gathered.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_send(cx)
    }
}

impl Inner {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out[self.sent..]))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        if self.out.capacity() > 0 {
            let mut out = std::mem::take(&mut self.out);
            out.clear();
            SPARE.set(out);
            self.sent = 0;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_gather(&mut self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if !self.out.is_empty() && self.out.len() + bytes > GATHERED_BYTES_MAX {
            ready!(self.poll_send(cx))?;
        }
        if self.out.is_empty() {
            if bytes >= WRITE_BYTES_MIN {
                return Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
            }
            self.out = SPARE.take();
        }
        parts.iter().for_each(|part| self.out.extend_from_slice(part));
        Poll::Ready(Ok(bytes))
    }
}

impl AsyncRead for Gathered {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gathered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_gather(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_gather(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Whoever owns the connection sends off what was gathered, once there is no more to gather.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        ready!(inner.poll_send(cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn small_writes_go_together_and_in_order_with_large_ones() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let mut gathered = Gathered::new(Stream::Plain(near));
        let large = vec![b'l'; GATHERED_BYTES_MAX];
        gathered.write_all(b"one").await.unwrap();
        gathered.flush().await.unwrap();
        gathered.write_all(b"two").await.unwrap();
        assert!(far.try_read(&mut [0]).is_err(), "nothing has gone yet");
        std::future::poll_fn(|cx| gathered.poll_send(cx)).await.unwrap();
        let mut got = [0; 6];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"onetwo");
        let writing = async {
            gathered.write_all(b"small").await.unwrap();
            gathered.write_all(&large).await.unwrap();
            gathered.write_all(b"end").await.unwrap();
            gathered.shutdown().await.unwrap();
        };
        let mut rest = Vec::new();
        let (_, read) = tokio::join!(writing, far.read_to_end(&mut rest));
        read.unwrap();
        assert_eq!(rest, [b"small", &large[..], b"end"].concat());
    }
}
