//! Passing open sockets to another process (unix(7), SCM_RIGHTS).
//!
//! A message is a head of 12 bytes (number of descriptors as u32, length of the text as u64, both big-endian),
//! one byte for every 250 descriptors with these attached to it, then the text. The kernel never joins two
//! attachments in one read, and one byte cannot be read in part, so no attachment is cut.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The kernel takes 253 at once (SCM_MAX_FD).
const FDS_PER_BYTE: usize = 250;
/// More than any set of listeners; a head that says more is no head of ours.
const FDS_MAX: usize = 65_536;
/// More than any state that travels with them.
const BYTES_MAX: usize = 64 << 20;

/// Sends `bytes` and `fds` as one message. The stream must be blocking; its write timeout holds.
pub fn send(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fds.len() > FDS_MAX || bytes.len() > BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("handover of {} sockets and {} bytes is beyond the limit", fds.len(), bytes.len()),
        ));
    }
    let mut head = Vec::with_capacity(12);
    head.extend_from_slice(&(fds.len() as u32).to_be_bytes());
    head.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    send_all(stream, &head)?;
    for chunk in fds.chunks(FDS_PER_BYTE) {
        send_fds(stream, chunk)?;
    }
    send_all(stream, bytes)
}

/// Receives one message: its text replaces what `bytes` held. The stream must be blocking; its read timeout
/// holds. The descriptors are close-on-exec. After an error the stream is of no further use.
pub fn receive(stream: &UnixStream, bytes: &mut Vec<u8>) -> io::Result<Vec<OwnedFd>> {
    let mut reader = stream;
    let mut head = [0u8; 12];
    reader.read_exact(&mut head)?;
    let [a, b, c, d, length @ ..] = head;
    let fds_len = u32::from_be_bytes([a, b, c, d]) as usize;
    let bytes_len = u64::from_be_bytes(length);
    if fds_len > FDS_MAX || bytes_len > BYTES_MAX as u64 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("handover of {fds_len} sockets and {bytes_len} bytes is beyond the limit"),
        ));
    }
    let mut fds = Vec::new();
    while fds.len() < fds_len {
        let wanted = (fds_len - fds.len()).min(FDS_PER_BYTE);
        receive_fds(stream, wanted, &mut fds)?;
    }
    bytes.clear();
    // `take` grows the buffer as bytes come: a false length costs its sender the bytes.
    if reader.take(bytes_len).read_to_end(bytes)? as u64 != bytes_len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(fds)
}

/// Like `write_all`, but a peer that is gone is an error and never SIGPIPE.
fn send_all(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::net::send(stream, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn send_fds(stream: &UnixStream, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_PER_BYTE))];
    loop {
        let mut attached = SendAncillaryBuffer::new(&mut space);
        assert!(attached.push(SendAncillaryMessage::ScmRights(fds)), "a chunk fits the space made for it");
        match sendmsg(stream, &[IoSlice::new(&[0])], &mut attached, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Receives one byte and the `wanted` descriptors attached to it.
fn receive_fds(stream: &UnixStream, wanted: usize, fds: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_PER_BYTE))];
    let mut byte = [0u8; 1];
    let before = fds.len();
    loop {
        let mut attached = RecvAncillaryBuffer::new(&mut space);
        let answer =
            recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut attached, RecvFlags::CMSG_CLOEXEC);
        let answer = match answer {
            Err(rustix::io::Errno::INTR) => continue,
            answer => answer?,
        };
        for message in attached.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        let got = fds.len() - before;
        return match answer.bytes {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ if got == wanted && !answer.flags.contains(ReturnFlags::CTRUNC) => Ok(()),
            // The kernel cuts the list when it meets our limit of open files.
            _ => Err(io::Error::other(format!(
                "handover: {got} of {wanted} sockets arrived (open file limit?)"
            ))),
        };
    }
}
