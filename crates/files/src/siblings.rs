//! Files that lie beside another in a content coding: `app.js.br` beside `app.js`.

use crate::absence::Absences;
use crate::folder::{Failure, FoundFile};
use crate::opener::Opener;
use encoding::{Choice, Coding, negotiate};

/// What a sibling's name ends in.
fn ending(coding: Coding) -> &'static str {
    match coding {
        Coding::Zstd => ".zst",
        Coding::Br => ".br",
        Coding::Gzip => ".gz",
    }
}

/// The sibling that a client likes best of those that are there. One that is older than the file is left: somebody
/// changed the file and forgot it. Times are compared by the second, which is all that some copies keep.
///
/// # Errors
/// [`Failure::Cold`] only: a sibling that cannot be opened is as good as none.
pub(crate) fn choose(
    opener: &Opener<'_>,
    name: &[u8],
    original: &FoundFile,
    accept_encoding: &[u8],
    absences: &Absences,
) -> Result<Option<(FoundFile, Coding)>, Failure> {
    let mut offered = Coding::ALL;
    let mut left = offered.len();
    while let Choice::Encode(coding) = negotiate([accept_encoding], &offered[..left]) {
        if !absences.knows(name, coding, opener.now) {
            if let Some(sibling) = look(opener, name, original, coding)? {
                return Ok(Some((sibling, coding)));
            }
            absences.note(name, coding, opener.now);
        }
        let at = offered.iter().position(|one| *one == coding).unwrap_or(0);
        offered[at..left].rotate_left(1);
        left -= 1;
    }
    Ok(None)
}

fn look(
    opener: &Opener<'_>,
    name: &[u8],
    original: &FoundFile,
    coding: Coding,
) -> Result<Option<FoundFile>, Failure> {
    let mut beside = Vec::with_capacity(name.len() + 4);
    beside.extend_from_slice(name);
    beside.extend_from_slice(ending(coding).as_bytes());
    match opener.file(&beside) {
        Ok(sibling) => Ok((sibling.stat.st_mtime >= original.stat.st_mtime).then_some(sibling)),
        Err(Failure::Cold) => Err(Failure::Cold),
        Err(_) => Ok(None),
    }
}
