//! Holding all that is on the disk against purges, so that these can be forgotten.

use super::Shared;
use super::files::SegmentFile;
use super::reading::{Any, Begun, read_any};
use crate::purge::Verdict;
use crate::store::record::{At, Fate};
use std::fs;
use std::io;
use std::sync::atomic::Ordering;

/// Takes a segment out of the folder.
fn leave(file: &SegmentFile) -> Option<()> {
    match fs::remove_file(&file.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => None,
        _ => Some(()),
    }
}

impl Shared {
    /// Holds each record against all purges, in the order in which they stand; what is purged goes, and what is purged softly is marked so.
    /// Returned is the place before which this is done, unless the disk is closed meanwhile.
    pub(super) fn hold(&self) -> Option<At> {
        let upto = self.purges.sequence();
        let files: Vec<_> = self.files.all().into_iter().map(|file| (file.len(), file)).collect();
        for (len, file) in &files {
            self.hold_segment(file, *len, upto)?;
        }
        let end = files.last().map(|(len, file)| At { segment: file.number, offset: *len });
        Some(end.unwrap_or(At { segment: 0, offset: 0 }))
    }

    fn hold_segment(&self, file: &SegmentFile, len: u64, upto: u64) -> Option<()> {
        let mut at = At { segment: file.number, offset: 0 };
        while at.offset < len {
            if self.is_closed.load(Ordering::Relaxed) {
                return None;
            }
            // What cannot be read is not served either, nor is what follows it, which cannot be found; and the next start must not
            // find it, as it would be taken for held.
            let Some(any) = read_any(&file.file, at.offset) else { return leave(file) };
            if let Any::Response(begun) = &any {
                self.hold_record(at, begun, upto);
            }
            at.offset += any.head().record_len();
        }
        Some(())
    }

    fn hold_record(&self, at: At, begun: &Begun, upto: u64) {
        let hash = self.hash(&begun.key);
        let Some(entry) = self.index.at(hash, at).filter(|entry| entry.held < upto) else { return };
        let (verdict, upto) = self.purges.verdict(&begun.key, &begun.stored.tags, entry.held);
        if verdict == Verdict::Hard {
            self.mark_gone(&self.index.remove(hash, |other| other.at() == at));
            return;
        }
        self.index.hold(hash, at, upto, verdict == Verdict::Soft);
        if verdict == Verdict::Soft {
            self.mark(at, Fate::Soft);
            // Whoever has taken it out meanwhile has marked it too, and perhaps before.
            if self.index.at(hash, at).is_none() {
                self.mark(at, Fate::Gone);
            }
        }
    }
}
