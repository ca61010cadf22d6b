//! A folder of files that are named by their content, and answers with them.

use crate::answer::Answer;
use crate::error::Error;
use crate::folder::{Failure, Folder, Patience};
use crate::multipart::Boundaries;
use crate::opener::Opener;
use crate::recent::Recent;
use crate::replies::{allow, refusal};
use crate::request::{Method, Request};
use crate::selected::Selected;
use crate::types::MediaType;
use crate::validators::Validators;
use encoding::Coding;
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A folder whose files never change once they are there, as their names are those of their contents. Who they are to
/// clients says a [`Document`].
pub struct Vault {
    path: PathBuf,
    folder: Folder,
    boundaries: Boundaries,
}

/// What a client asked for, as one file of a [`Vault`].
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// The file's name below the folder.
    pub name: &'a str,
    /// How long it must be, in bytes: of a file with another length nothing is sent.
    pub size: u64,
    /// What its strong entity-tag holds between the quotes.
    pub tag: &'a str,
    /// When this became what the path leads to: `Last-Modified`.
    pub modified: SystemTime,
    /// `Content-Type`.
    pub content_type: MediaType,
    /// The coding that the file is in.
    pub coding: Option<Coding>,
    /// Whether another client could get another file for the same path, by its `Accept-Encoding`.
    pub is_varied: bool,
    /// `Cache-Control`.
    pub cache_control: &'a str,
}

impl Vault {
    /// Opens the folder.
    ///
    /// # Errors
    /// It is not there, no folder, or may not be entered; the kernel is older than Linux 5.6.
    pub fn open(path: PathBuf) -> Result<Self, Error> {
        let opened = Folder::at(&path, Patience::Any)
            .and_then(|folder| folder.try_out().map(|()| folder))
            .map_err(|error| match error {
                Errno::NOSYS => Error::OldKernel { folder: path.clone() },
                error => Error::Folder { folder: path.clone(), source: error.into() },
            })?;
        Ok(Self { path, folder: opened, boundaries: Boundaries::new() })
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The answer, if the kernel has what it takes in memory. `None`: let a thread that may wait for the disk call
    /// [`Vault::answer`]. `recent` is what the caller's core has opened a moment ago.
    pub fn answer_now(
        &self,
        document: &Document<'_>,
        request: &Request<'_>,
        now: SystemTime,
        recent: &Recent,
    ) -> Option<Answer> {
        let opener = Opener { folder: &self.folder, patience: Patience::None, recent: Some(recent), now };
        self.answer_with(&opener, document, request)
    }

    /// The answer. It may wait for the disk, though not for the file's content.
    pub fn answer(&self, document: &Document<'_>, request: &Request<'_>, now: SystemTime) -> Answer {
        let opener = Opener { folder: &self.folder, patience: Patience::Any, recent: None, now };
        self.answer_with(&opener, document, request)
            .unwrap_or_else(|| unreachable!("who may wait for the disk is not told to ask it"))
    }

    /// What is answered where nothing is: 404, and what else does not depend on a file.
    pub fn nothing(method: Method) -> Answer {
        refused_method(method).unwrap_or_else(|| Answer::new(404))
    }

    fn answer_with(
        &self,
        opener: &Opener<'_>,
        document: &Document<'_>,
        request: &Request<'_>,
    ) -> Option<Answer> {
        if let Some(answer) = refused_method(request.method) {
            return Some(answer);
        }
        let found = match opener.file(document.name.as_bytes()) {
            Ok(found) if found.size() == document.size => found,
            Ok(found) => {
                let words = format!("{} has {} bytes, not {}", document.name, found.size(), document.size);
                return Some(refusal(Failure::Disk(io::Error::new(io::ErrorKind::InvalidData, words))));
            }
            Err(Failure::Cold) => return None,
            // Who named it knows that it was there.
            Err(Failure::Missing) => {
                let words = format!("{} is missing", document.name);
                return Some(refusal(Failure::Disk(io::Error::new(io::ErrorKind::NotFound, words))));
            }
            Err(failure) => return Some(refusal(failure)),
        };
        let selected = Selected {
            file: found.file,
            size: document.size,
            validators: validators(document, opener.now),
            content_type: document.content_type.clone(),
            coding: document.coding,
            is_vary_said: document.is_varied,
        };
        Some(selected.answer(request, Some(document.cache_control.as_bytes()), &self.boundaries))
    }
}

/// OPTIONS, and methods that no file answers.
fn refused_method(method: Method) -> Option<Answer> {
    match method {
        Method::Get | Method::Head => None,
        Method::Options => Some(allow(204)),
        Method::Other => Some(allow(405)),
    }
}

/// The tag is of the content and strong (RFC 9110 §8.8.3). A date is weak: two releases may share a second (§8.8.2.2).
/// Names lead back to older releases too, and clocks of several nodes say when: only a date that is the same counts.
fn validators(document: &Document<'_>, now: SystemTime) -> Validators {
    let (dash, coding) = document.coding.map_or(("", ""), |coding| ("-", coding.token()));
    let since = document.modified.min(now).duration_since(UNIX_EPOCH).unwrap_or_default();
    Validators {
        etag: format!("\"{}{dash}{coding}\"", document.tag),
        modified: UNIX_EPOCH + Duration::from_secs(since.as_secs()),
        is_date_strong: false,
        is_date_out_of_order: true,
    }
}
