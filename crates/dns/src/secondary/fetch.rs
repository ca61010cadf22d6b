//! One primary is asked for what is newer, over TCP, by differences if something is there already.

use crate::changes::{random_u64, unix_now};
use crate::protocol::message::Writer;
use crate::transfer::{Asked, Incoming, IncomingFault, Received, soa_of};
use crate::tsig::{Key, Session};
use crate::zone::Zone;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long the next message may take.
const MESSAGE_WAIT: Duration = Duration::from_secs(30);
/// How long all of it may take.
const WAIT: Duration = Duration::from_secs(3600);
/// What a transfer may have, of names and data.
const BYTES_MAX: usize = 1 << 30;

/// Why nothing came.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Incoming(#[from] IncomingFault),
    /// A message is not signed as it should be.
    #[error("{0}")]
    Unsigned(&'static str),
}

/// What a primary has that is newer than this zone.
pub(super) async fn fetch(
    primary: SocketAddr,
    key: Option<&Arc<Key>>,
    zone: &Zone,
    asked: Asked,
) -> Result<Received, FetchError> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let all = async {
        let mut stream = timeout(CONNECT_WAIT, TcpStream::connect(primary)).await.map_err(late)??;
        let id = random_u64() as u16;
        let mut writer = Writer::new(id, 0, 0, zone.apex(), asked.rtype());
        if let Asked::Since(_) = asked {
            let soa = soa_of(zone);
            writer.record(2, &soa.owner, soa.rtype, soa.ttl, &soa.data);
        }
        let mut message = writer.message;
        let mut session = key.map(|key| Session::request(key, &mut message, unix_now()));
        let framed = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
        stream.write_all(&framed).await?;
        let mut incoming = Incoming::new(zone.apex().clone(), asked, id, BYTES_MAX);
        loop {
            timeout(MESSAGE_WAIT, read(&mut stream, &mut message)).await.map_err(late)??;
            if let Some(session) = &mut session {
                session.verify_answer(&message, unix_now()).map_err(FetchError::Unsigned)?;
            }
            if incoming.take(&message)? {
                break;
            }
        }
        if session.is_some_and(|session| !session.is_whole()) {
            return Err(FetchError::Unsigned("the last message is not signed"));
        }
        Ok(incoming.finish()?)
    };
    timeout(WAIT, all).await.map_err(late)?
}

async fn read(stream: &mut TcpStream, message: &mut Vec<u8>) -> io::Result<()> {
    let length = stream.read_u16().await?;
    message.resize(length.into(), 0);
    stream.read_exact(message).await?;
    Ok(())
}
