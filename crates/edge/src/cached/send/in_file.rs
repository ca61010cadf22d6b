//! A body that stays in its file on the cache's disk.

use super::{Sending, has_sent};
use crate::file_answer::{READ_BYTES, SENDFILE_BYTES, read_elsewhere, sendfile_some};
use crate::wire::Coding;
use cdn::store::Pieces;
use files::{OpenFile, ReadNow};
use std::io;
use std::sync::Arc;

impl Sending<'_> {
    /// Sends all of it: by the kernel alone where bytes go to the connection as they are.
    pub(super) async fn send_file(&mut self, pieces: Pieces) -> io::Result<()> {
        let Some((file, mut offset)) = pieces.in_file() else { return Ok(()) };
        let file = OpenFile::of(Arc::clone(file));
        let is_plain =
            self.compressor.is_none() && self.coding == Coding::Identity && self.sink.plain().is_some();
        let mut left = pieces.remaining();
        if left == 0 {
            return self.write(b"", true, false).await;
        }
        while left > 0 {
            // The head and the first bytes go in one packet.
            let sent = if is_plain && self.work.response_out.is_empty() {
                let wanted = at_most(left, SENDFILE_BYTES.min(self.pacing.piece_bytes_max()));
                let timer = &mut self.work.timer;
                let sent = sendfile_some(&mut self.sink, &file, offset, wanted, timer, self.idle).await?;
                has_sent(sent, self.report, &mut self.pacing).await;
                sent
            } else {
                let piece = read_some(&file, offset, at_most(left, READ_BYTES)).await?;
                self.write(&piece, piece.len() as u64 == left, false).await?;
                piece.len()
            };
            offset += sent as u64;
            left -= sent as u64;
        }
        Ok(())
    }
}

fn at_most(left: u64, bytes_max: usize) -> usize {
    usize::try_from(left).unwrap_or(bytes_max).min(bytes_max)
}

async fn read_some(file: &OpenFile, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; bytes_max];
    match file.read_now(offset, &mut piece)? {
        ReadNow::Read(read) => {
            piece.truncate(read);
            Ok(piece)
        }
        ReadNow::WouldBlock => read_elsewhere(file.clone(), offset, bytes_max).await,
    }
}
