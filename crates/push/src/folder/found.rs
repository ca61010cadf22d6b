//! The files of a folder, with their hashes.

use crate::error::Error;
use crate::hash::{Hash, Hasher};
use crate::manifest::FILES_MAX;
use crate::path::{AssetPath, BadPath};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// A file of the folder.
#[derive(Debug)]
pub struct Found {
    /// Where it is.
    pub file: PathBuf,
    /// Of its content.
    pub hash: Hash,
    /// How long it is.
    pub size_bytes: u64,
}

/// All files below a folder, by their paths from it on. Names that begin with a dot are left out, but for `.well-known`.
///
/// # Errors
/// The folder cannot be read, has no files or too many; or a link leads to a folder.
pub fn read(dir: &Path) -> Result<BTreeMap<AssetPath, Found>, Error> {
    let mut files = Vec::new();
    list(dir, "", &mut files)?;
    if files.is_empty() {
        return Err(unfit(dir, "it has no files"));
    }
    if files.len() > FILES_MAX {
        return Err(unfit(
            dir,
            format!("it has {} files, more than the {FILES_MAX} of a release", files.len()),
        ));
    }
    hashed(&files)
}

fn unfit(path: &Path, cause: impl Into<String>) -> Error {
    Error::Unfit { path: path.to_owned(), cause: cause.into() }
}

fn list(dir: &Path, prefix: &str, files: &mut Vec<(AssetPath, PathBuf)>) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(Error::disk(dir))? {
        let entry = entry.map_err(Error::disk(dir))?;
        let path = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(unfit(&path, "its name is no UTF-8"));
        };
        if name.starts_with('.') && name != ".well-known" {
            continue;
        }
        // A link to a file is that file; one to a folder may lead in circles.
        let kind = entry.file_type().map_err(Error::disk(&path))?;
        if kind.is_dir() {
            list(&path, &format!("{prefix}{name}/"), files)?;
            continue;
        }
        let about = fs::metadata(&path).map_err(Error::disk(&path))?;
        if !about.is_file() {
            return Err(unfit(&path, "neither a file nor a folder of its own"));
        }
        let asset = format!("{prefix}{name}").parse();
        let asset = asset.map_err(|error: BadPath| unfit(&path, error.to_string()))?;
        files.push((asset, path));
    }
    Ok(())
}

/// Hashes files on all cores.
fn hashed(files: &[(AssetPath, PathBuf)]) -> Result<BTreeMap<AssetPath, Found>, Error> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(AssetPath, Found)>, Error> {
        let mut done = Vec::new();
        while let Some((asset, file)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (hash, size_bytes) = hash(file).map_err(Error::disk(file))?;
            done.push((asset.clone(), Found { file: file.clone(), hash, size_bytes }));
        }
        Ok(done)
    };
    let threads = sys::cores().min(files.len());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = BTreeMap::new();
        for worker in workers {
            let done = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.extend(done?);
        }
        Ok(all)
    })
}

fn hash(path: &Path) -> io::Result<(Hash, u64)> {
    let (mut file, mut hasher, mut size) = (File::open(path)?, Hasher::default(), 0);
    let mut part = vec![0; READ_BYTES];
    loop {
        match file.read(&mut part) {
            Ok(0) => return Ok((hasher.finish(), size)),
            Ok(read) => {
                hasher.update(&part[..read]);
                size += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_s_files_are_found_without_the_hidden_ones() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["index.html", "css/app.css", ".git/config", ".well-known/x", "css/.hidden"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let found = read(dir.path()).unwrap();
        let names: Vec<_> = found.keys().map(AssetPath::as_str).collect();
        assert_eq!(names, [".well-known/x", "css/app.css", "index.html"]);
        assert_eq!(found["index.html"].hash, Hash::of(b"index.html"));
        assert_eq!(found["index.html"].size_bytes, 10);
    }

    #[test]
    fn an_empty_folder_is_no_release() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().ends_with(": it has no files"));
    }
}
