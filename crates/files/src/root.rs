//! A served folder: from a request to its answer.

use crate::absence::Absences;
use crate::answer::{Answer, Body, Representation};
use crate::config::{Files, FilesConfig};
use crate::error::Error;
use crate::folder::{Entry, Failure, Folder, FoundFile, Patience};
use crate::listing::{ENTRIES_MAX, Listing, names, prefers_json};
use crate::multipart::Boundaries;
use crate::path::FilePath;
use crate::request::{Method, Request};
use crate::selected::Selected;
use crate::siblings;
use crate::types::{MediaType, Types};
use arc_swap::{ArcSwap, Guard};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How long a folder may have been replaced by another of its path, before that one is served. Those who publish by
/// swapping a symlink, or by removing the folder and making it anew, wait so long.
const REPLACED_MS_MAX: u64 = 1000;

/// What may be asked of a file.
const ALLOW: &[u8] = b"GET, HEAD, OPTIONS";

/// A folder whose files are served, open, with the rules for it.
pub struct Root {
    path: PathBuf,
    folder: ArcSwap<Folder>,
    /// When the path was last looked at, in milliseconds since 1970.
    looked_at_ms: AtomicU64,
    index: Vec<Box<[u8]>>,
    listing: bool,
    fallback: Option<FilePath>,
    precompressed: bool,
    cache_control: Option<Box<[u8]>>,
    types: Types,
    absences: Absences,
    boundaries: Boundaries,
}

/// What a path leads to.
enum Target {
    File {
        name: Vec<u8>,
        found: FoundFile,
    },
    /// A folder whose path needs a slash.
    Slash,
    Listing(OwnedFd),
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
            index: config.index.iter().map(|name| name.as_bytes().into()).collect(),
            listing: config.listing,
            fallback: config.fallback.as_ref().and_then(|fallback| FilePath::literal(fallback)),
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
    /// [`Request::into_owned`].
    pub fn answer_now(&self, request: &Request<'_>, now: SystemTime) -> Option<Answer> {
        self.answer_with(request, now, Patience::None).ok()
    }

    /// The answer. It may wait for the disk, though not for the file's content.
    pub fn answer(&self, request: &Request<'_>, now: SystemTime) -> Answer {
        self.answer_with(request, now, Patience::Any)
            .unwrap_or_else(|Cold| unreachable!("who may wait for the disk is not told to ask it"))
    }

    fn answer_with(
        &self,
        request: &Request<'_>,
        now: SystemTime,
        patience: Patience,
    ) -> Result<Answer, Cold> {
        match request.method {
            Method::Get | Method::Head => {}
            Method::Options => return Ok(allow(204)),
            Method::Other => return Ok(allow(405)),
        }
        let Some(path) = FilePath::parse(&request.path) else { return Ok(Answer::new(404)) };
        let found = self.folder(now, patience).and_then(|folder| {
            let target = self.find(&folder, &path, request, patience)?;
            self.show(&folder, &path, target, request, now, patience)
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

    fn find(
        &self,
        folder: &Folder,
        path: &FilePath,
        request: &Request<'_>,
        patience: Patience,
    ) -> Result<Target, Failure> {
        let found = if path.is_folder() {
            self.find_in(folder, path, patience)
        } else {
            match folder.entry(path.name(), patience) {
                Ok(Entry::File(found)) => Ok(Target::File { name: path.name().to_vec(), found }),
                // Only where the slash leads somewhere: else its path is shown as one that is not there.
                Ok(Entry::Folder(_)) => self.find_in(folder, path, patience).map(|_| Target::Slash),
                Err(failure) => Err(failure),
            }
        };
        match (found, &self.fallback) {
            (Err(Failure::Missing), Some(fallback)) if wants_page(path, request) => {
                let found = folder.file(fallback.name(), patience)?;
                Ok(Target::File { name: fallback.name().to_vec(), found })
            }
            (found, _) => found,
        }
    }

    /// What a folder shows: its index, or its entries.
    fn find_in(&self, folder: &Folder, path: &FilePath, patience: Patience) -> Result<Target, Failure> {
        for index in &self.index {
            let name = path.join(index);
            match folder.file(&name, patience) {
                Ok(found) => return Ok(Target::File { name, found }),
                Err(Failure::Missing) => {}
                Err(failure) => return Err(failure),
            }
        }
        if !self.listing {
            return Err(Failure::Missing);
        }
        match folder.entry(path.name(), patience)? {
            Entry::Folder(fd) => Ok(Target::Listing(fd)),
            Entry::File(_) => Err(Failure::Missing),
        }
    }

    fn show(
        &self,
        folder: &Folder,
        path: &FilePath,
        target: Target,
        request: &Request<'_>,
        now: SystemTime,
        patience: Patience,
    ) -> Result<Answer, Failure> {
        match target {
            Target::Slash => Ok(to_slash(request)),
            Target::Listing(_) if patience == Patience::None => Err(Failure::Cold),
            Target::Listing(fd) => {
                let listing = Listing::read(folder, path.name(), &fd).map_err(Failure::Disk)?;
                Ok(list(&listing, path, request))
            }
            Target::File { name, found } => {
                let selected = self.select(folder, &name, found, request, now, patience)?;
                Ok(selected.answer(request, self.cache_control.as_deref(), &self.boundaries, now))
            }
        }
    }

    /// Chooses among the file and its siblings.
    fn select(
        &self,
        folder: &Folder,
        name: &[u8],
        original: FoundFile,
        request: &Request<'_>,
        now: SystemTime,
        patience: Patience,
    ) -> Result<Selected, Failure> {
        let content_type = self.types.of(name);
        // Said of every file that may have siblings, not only where one is there: who asks without Accept-Encoding
        // is then spared the look.
        let is_vary_said = self.precompressed && !content_type.is_compressed();
        let accepted = request.fields.accept_encoding.as_deref().filter(|_| is_vary_said);
        let sibling = match accepted {
            Some(accepted) => {
                siblings::choose(folder, name, &original, accepted, &self.absences, now, patience)?
            }
            None => None,
        };
        Ok(match sibling {
            Some((found, coding)) => Selected { found, content_type, coding: Some(coding), is_vary_said },
            None => Selected { found: original, content_type, coding: None, is_vary_said },
        })
    }
}

/// [`Patience::None`] was not enough.
struct Cold;

/// Whether a path where nothing is asks for a page. What has no extension does, unless `Accept` is for other things
/// than pages, as that of programs; what has one does only where `Accept` names HTML, as browsers do when they
/// navigate, so that a script or an image that is not there is 404 and not a page that does not parse.
fn wants_page(path: &FilePath, request: &Request<'_>) -> bool {
    let accept = request.fields.accept.as_deref();
    let takes = |media_type: &[u8]| accept.is_some_and(|accept| names(accept, media_type));
    let takes_any = accept.is_none() || takes(b"text/*") || takes(b"*/*");
    takes(b"text/html") || (takes_any && !path.has_extension())
}

fn allow(status: u16) -> Answer {
    let mut answer = Answer::new(status);
    answer.line("Allow", ALLOW);
    answer
}

/// 403 and not 404 for what the file system forbids: who runs the site looks for the mistake in the right place.
fn refusal(failure: Failure) -> Answer {
    let (status, fault) = match failure {
        Failure::Forbidden => (403, None),
        Failure::Missing | Failure::Cold => (404, None),
        Failure::Busy(error) => (503, Some(error)),
        Failure::Disk(error) => (500, Some(error)),
    };
    let mut answer = Answer::new(status);
    if status == 503 {
        answer.line("Retry-After", b"1");
    }
    answer.fault = fault;
    answer
}

/// To the same path with a slash, which relative links of the folder's page need.
fn to_slash(request: &Request<'_>) -> Answer {
    // `//evil.test/` would be another host, and browsers read `\` as `/`.
    let start = request.url_path.iter().position(|byte| !matches!(byte, b'/' | b'\\'));
    let path = start.map_or(&b""[..], |start| &request.url_path[start..]);
    let slash = if path.is_empty() { "" } else { "/" };
    let mut target = b"/".to_vec();
    for byte in path.iter().chain(slash.as_bytes()).chain(request.query.iter()) {
        match byte {
            b'!'..=b'~' => target.push(*byte),
            byte => target.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    let mut answer = Answer::new(308);
    answer.line("Location", &target);
    answer.content_length = Some(0);
    answer
}

fn list(listing: &Listing, path: &FilePath, request: &Request<'_>) -> Answer {
    let (content_type, text) = if prefers_json(request.fields.accept.as_deref()) {
        ("application/json", listing.json())
    } else {
        ("text/html; charset=utf-8", listing.html(&request.url_path, path.name().is_empty()))
    };
    let mut answer = Answer::new(200);
    answer.line("Content-Type", content_type.as_bytes());
    answer.line("Vary", b"Accept");
    if listing.is_cut {
        answer.line("X-Listing-Entries-Max", ENTRIES_MAX.to_string().as_bytes());
    }
    answer.content_length = Some(text.len() as u64);
    answer.representation = Some(Representation {
        content_type: MediaType::known(content_type),
        coding: None,
        etag: None,
        is_vary_said: false,
    });
    if request.method == Method::Get {
        answer.body = Body::Bytes(text.into_bytes());
    }
    answer
}
