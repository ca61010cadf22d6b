//! A served folder: from a request to its answer.

use crate::absence::Absences;
use crate::answer::Answer;
use crate::config::{Files, FilesConfig};
use crate::error::Error;
use crate::folder::{Failure, Folder, FoundFile, Patience};
use crate::listing::Listing;
use crate::lookup::{Lookup, Rules, Target};
use crate::multipart::Boundaries;
use crate::opener::Opener;
use crate::path::FilePath;
use crate::recent::Recent;
use crate::replies::{allow, list, refusal, to_slash};
use crate::request::{Method, Request};
use crate::selected::Selected;
use crate::siblings;
use crate::types::Types;
use crate::validators::Validators;
use arc_swap::{ArcSwap, Guard};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How long a folder may have been replaced by another of its path, before that one is served. Those who publish by
/// swapping a symlink, or by removing the folder and making it anew, wait so long.
const REPLACED_MS_MAX: u64 = 1000;

/// A folder whose files are served, open, with the rules for it.
pub struct Root {
    path: PathBuf,
    folder: ArcSwap<Folder>,
    /// When the path was last looked at, in milliseconds since 1970.
    looked_at_ms: AtomicU64,
    rules: Rules,
    precompressed: bool,
    cache_control: Option<Box<[u8]>>,
    types: Types,
    absences: Absences,
    boundaries: Boundaries,
}

impl Root {
    /// Opens the folder, whose path is relative to `base`.
    ///
    /// # Errors
    /// It is not there, no folder, or may not be entered; the kernel is older than Linux 5.6.
    pub fn open(files: &Files, base: &Path) -> Result<Self, Error> {
        let config = FilesConfig::of(files);
        let path = base.join(config.dir.as_str());
        let folder = Folder::at(&path, Patience::Any)
            .and_then(|folder| folder.try_out().map(|()| folder))
            .map_err(|error| match error {
                Errno::NOSYS => Error::OldKernel { folder: path.clone() },
                error => Error::Folder { folder: path.clone(), source: error.into() },
            })?;
        Ok(Self {
            path,
            folder: ArcSwap::from_pointee(folder),
            looked_at_ms: AtomicU64::new(0),
            rules: Rules::of(&config),
            precompressed: config.precompressed,
            cache_control: config.cache_control.as_ref().map(|value| value.as_bytes().into()),
            types: Types::new(&config.types),
            absences: Absences::new(),
            boundaries: Boundaries::new(),
        })
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The answer, if the kernel has what it takes in memory; reading the body is another matter. `None`: the disk
    /// must be asked, or a folder is to be listed. Then let a thread that may wait call [`Root::answer`] with
    /// [`Request::into_owned`]. `recent` is what the caller's core has opened a moment ago.
    pub fn answer_now(&self, request: &Request<'_>, now: SystemTime, recent: &Recent) -> Option<Answer> {
        self.answer_with(request, now, Patience::None, Some(recent)).ok()
    }

    /// The answer. It may wait for the disk, though not for the file's content.
    pub fn answer(&self, request: &Request<'_>, now: SystemTime) -> Answer {
        self.answer_with(request, now, Patience::Any, None)
            .unwrap_or_else(|Cold| unreachable!("who may wait for the disk is not told to ask it"))
    }

    fn answer_with(
        &self,
        request: &Request<'_>,
        now: SystemTime,
        patience: Patience,
        recent: Option<&Recent>,
    ) -> Result<Answer, Cold> {
        match request.method {
            Method::Get | Method::Head => {}
            Method::Options => return Ok(allow(204)),
            Method::Other => return Ok(allow(405)),
        }
        let Some(path) = FilePath::parse(&request.path) else { return Ok(Answer::new(404)) };
        let found = self.folder(now, patience).and_then(|folder| {
            let accept = request.fields.accept.as_deref();
            let opener = Opener { folder: &folder, patience, recent, now };
            let target = Lookup { opener: &opener, rules: &self.rules, accept }.find(&path)?;
            self.show(&opener, &path, target, request)
        });
        match found {
            Ok(answer) => Ok(answer),
            Err(Failure::Cold) => Err(Cold),
            Err(failure) => Ok(refusal(failure)),
        }
    }

    /// The folder that is at the path by now. One that is gone is served from as long as nothing takes its place.
    fn folder(&self, now: SystemTime, patience: Patience) -> Result<Guard<Arc<Folder>>, Failure> {
        let now_ms = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        if now_ms.abs_diff(self.looked_at_ms.load(Ordering::Relaxed)) >= REPLACED_MS_MAX {
            match Folder::at(&self.path, patience) {
                Err(Errno::AGAIN | Errno::INVAL) if patience == Patience::None => return Err(Failure::Cold),
                Ok(there) if !there.is(&self.folder.load()) => self.folder.store(Arc::new(there)),
                Ok(_) | Err(_) => {}
            }
            self.looked_at_ms.store(now_ms, Ordering::Relaxed);
        }
        Ok(self.folder.load())
    }

    fn show(
        &self,
        opener: &Opener<'_>,
        path: &FilePath,
        target: Target,
        request: &Request<'_>,
    ) -> Result<Answer, Failure> {
        match target {
            Target::Slash => Ok(to_slash(request)),
            Target::Listing(_) if opener.patience == Patience::None => Err(Failure::Cold),
            Target::Listing(fd) => {
                let listing = Listing::read(opener.folder, path.name(), &fd).map_err(Failure::Disk)?;
                Ok(list(&listing, path, request))
            }
            Target::File { name, found } => {
                let selected = self.select(opener, &name, found, request)?;
                Ok(selected.answer(request, self.cache_control.as_deref(), &self.boundaries))
            }
        }
    }

    /// Chooses among the file and its siblings.
    fn select(
        &self,
        opener: &Opener<'_>,
        name: &[u8],
        original: FoundFile,
        request: &Request<'_>,
    ) -> Result<Selected, Failure> {
        let content_type = self.types.of(name);
        // Said of every file that may have siblings, not only where one is there: who asks without Accept-Encoding
        // is then spared the look.
        let is_vary_said = self.precompressed && !content_type.is_compressed();
        let accepted = request.fields.accept_encoding.as_deref().filter(|_| is_vary_said);
        let sibling = match accepted {
            Some(accepted) => siblings::choose(opener, name, &original, accepted, &self.absences)?,
            None => None,
        };
        let (found, coding) = match sibling {
            Some((found, coding)) => (found, Some(coding)),
            None => (original, None),
        };
        let validators = Validators::of(&found.stat, coding, opener.now);
        let size = found.size();
        Ok(Selected { file: found.file, size, validators, content_type, coding, is_vary_said })
    }
}

/// [`Patience::None`] was not enough.
struct Cold;
