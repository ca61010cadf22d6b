//! What a path leads to: a file, an index, a listing, the slash that is missing, or the fallback.

use crate::config::FilesConfig;
use crate::folder::{Entry, Failure, FoundFile};
use crate::listing::names;
use crate::opener::Opener;
use crate::path::FilePath;
use std::os::fd::OwnedFd;

/// What is shown of folders, and where nothing is.
pub(crate) struct Rules {
    index: Vec<Box<[u8]>>,
    listing: bool,
    fallback: Option<FilePath>,
}

/// What a path leads to.
pub(crate) enum Target {
    File {
        name: Vec<u8>,
        found: FoundFile,
    },
    /// A folder whose path needs a slash.
    Slash,
    Listing(OwnedFd),
}

/// One look into a folder.
pub(crate) struct Lookup<'a> {
    pub(crate) opener: &'a Opener<'a>,
    pub(crate) rules: &'a Rules,
    /// The request's `Accept`.
    pub(crate) accept: Option<&'a [u8]>,
}

impl Rules {
    pub(crate) fn of(config: &FilesConfig) -> Self {
        Self {
            index: config.index.iter().map(|name| name.as_bytes().into()).collect(),
            listing: config.listing,
            fallback: config.fallback.as_ref().and_then(|fallback| FilePath::literal(fallback)),
        }
    }
}

impl Lookup<'_> {
    pub(crate) fn find(&self, path: &FilePath) -> Result<Target, Failure> {
        let found = if path.is_folder() {
            self.find_in(path)
        } else {
            match self.opener.entry(path.name()) {
                Ok(Entry::File(found)) => Ok(Target::File { name: path.name().to_vec(), found }),
                // Only where the slash leads somewhere: else its path is shown as one that is not there.
                Ok(Entry::Folder(_)) => self.find_in(path).map(|_| Target::Slash),
                Err(failure) => Err(failure),
            }
        };
        match (found, &self.rules.fallback) {
            (Err(Failure::Missing), Some(fallback)) if wants_page(path, self.accept) => {
                let found = self.opener.file(fallback.name())?;
                Ok(Target::File { name: fallback.name().to_vec(), found })
            }
            (found, _) => found,
        }
    }

    /// What a folder shows: its index, or its entries.
    fn find_in(&self, path: &FilePath) -> Result<Target, Failure> {
        for index in &self.rules.index {
            let name = path.join(index);
            match self.opener.file(&name) {
                Ok(found) => return Ok(Target::File { name, found }),
                Err(Failure::Missing) => {}
                Err(failure) => return Err(failure),
            }
        }
        if !self.rules.listing {
            return Err(Failure::Missing);
        }
        match self.opener.entry(path.name())? {
            Entry::Folder(fd) => Ok(Target::Listing(fd)),
            Entry::File(_) => Err(Failure::Missing),
        }
    }
}

/// Whether a path where nothing is asks for a page. What has no extension does, unless `Accept` is for other things
/// than pages, as that of programs; what has one does only where `Accept` names HTML, as browsers do when they
/// navigate, so that a script or an image that is not there is 404 and not a page that does not parse.
fn wants_page(path: &FilePath, accept: Option<&[u8]>) -> bool {
    let takes = |media_type: &[u8]| accept.is_some_and(|accept| names(accept, media_type));
    let takes_any = accept.is_none() || takes(b"text/*") || takes(b"*/*");
    takes(b"text/html") || (takes_any && !path.has_extension())
}
