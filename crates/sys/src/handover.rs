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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::{FdFlags, fcntl_getfd};
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::thread;

    fn streams() -> (UnixStream, UnixStream) {
        UnixStream::pair().unwrap()
    }

    /// Sends from another thread: what does not fit into the socket's buffer needs a reader.
    fn handed_over(bytes: &[u8], fds: &[BorrowedFd<'_>]) -> (Vec<u8>, Vec<OwnedFd>) {
        let (sender, receiver) = streams();
        thread::scope(|scope| {
            scope.spawn(move || send(&sender, bytes, fds).unwrap());
            let mut received = b"from before".to_vec();
            let fds = receive(&receiver, &mut received).unwrap();
            (received, fds)
        })
    }

    #[test]
    fn what_arrives_is_what_was_sent() {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<File> =
            (0..3).map(|index| File::create(dir.path().join(index.to_string())).unwrap()).collect();
        let fds: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let (bytes, received) = handed_over(b"{}", &fds);
        assert_eq!(bytes, b"{}");
        assert_eq!(received.len(), 3);
        for (index, fd) in received.into_iter().enumerate() {
            assert!(fcntl_getfd(&fd).unwrap().contains(FdFlags::CLOEXEC));
            File::from(fd).write_all(&[index as u8]).unwrap();
            let text = std::fs::read(dir.path().join(index.to_string())).unwrap();
            assert_eq!(text, [index as u8], "in the order in which they were sent");
        }
    }

    #[test]
    fn nothing_can_be_handed_over() {
        let (bytes, fds) = handed_over(b"", &[]);
        assert!(bytes.is_empty() && fds.is_empty());
    }

    #[test]
    fn any_number_of_sockets_and_a_long_text_pass() {
        let null = File::open("/dev/null").unwrap();
        let text: Vec<u8> = (0..3_000_000u32).map(|index| index as u8).collect();
        for count in [1, 249, 250, 251, 400] {
            let (bytes, fds) = handed_over(&text, &vec![null.as_fd(); count]);
            assert!(bytes == text);
            assert_eq!(fds.len(), count);
        }
    }

    #[test]
    fn a_message_that_comes_byte_by_byte_is_put_together() {
        let (mut sender, receiver) = streams();
        let receiving = thread::spawn(move || {
            let mut bytes = Vec::new();
            receive(&receiver, &mut bytes).map(|fds| (bytes, fds.len()))
        });
        let null = File::open("/dev/null").unwrap();
        let head = [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3];
        for byte in head {
            sender.write_all(&[byte]).unwrap();
            thread::yield_now();
        }
        send_fds(&sender, &[null.as_fd(), null.as_fd()]).unwrap();
        for byte in b"abc" {
            sender.write_all(&[*byte]).unwrap();
            thread::yield_now();
        }
        assert_eq!(receiving.join().unwrap().unwrap(), (b"abc".to_vec(), 2));
    }

    #[test]
    fn several_messages_follow_each_other() {
        let (sender, receiver) = streams();
        let null = File::open("/dev/null").unwrap();
        send(&sender, b"first", &[null.as_fd()]).unwrap();
        send(&sender, b"second", &[null.as_fd(), null.as_fd()]).unwrap();
        let mut bytes = Vec::new();
        assert_eq!(receive(&receiver, &mut bytes).unwrap().len(), 1);
        assert_eq!(bytes, b"first");
        assert_eq!(receive(&receiver, &mut bytes).unwrap().len(), 2);
        assert_eq!(bytes, b"second");
    }

    #[test]
    fn a_sender_that_ends_early_is_an_error_wherever_it_ends() {
        let head = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3];
        for end in 0..=head.len() {
            let (mut sender, receiver) = streams();
            sender.write_all(&head[..end]).unwrap();
            drop(sender);
            let error = receive(&receiver, &mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "after {end} bytes");
        }
        let (mut sender, receiver) = streams();
        sender.write_all(&head).unwrap();
        send_fds(&sender, &[File::open("/dev/null").unwrap().as_fd()]).unwrap();
        sender.write_all(b"ab").unwrap();
        drop(sender);
        assert_eq!(receive(&receiver, &mut Vec::new()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_head_beyond_the_limits_is_refused_before_anything_is_read() {
        for head in [[0xff; 12], [0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 1], [0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]] {
            let (mut sender, receiver) = streams();
            sender.write_all(&head).unwrap();
            let error = receive(&receiver, &mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{head:?}");
        }
    }

    #[test]
    fn a_stranger_who_sends_no_sockets_is_refused() {
        let (mut sender, receiver) = streams();
        sender.write_all(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, b'x']).unwrap();
        let error = receive(&receiver, &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "handover: 0 of 1 sockets arrived (open file limit?)");
    }

    #[test]
    fn a_receiver_that_is_gone_is_an_error_and_no_signal() {
        let (sender, receiver) = streams();
        drop(receiver);
        assert_eq!(send(&sender, b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
