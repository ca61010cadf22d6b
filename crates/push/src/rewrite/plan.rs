//! A folder whose pages and style sheets refer to fingerprinted names.

use super::reference::{Base, renamed};
use super::{css, html};
use crate::fingerprint::fingerprinted;
use crate::hash::Hash;
use crate::path::AssetPath;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Files above this are not rewritten: nobody writes such by hand, and all of it is held.
const REWRITTEN_BYTES_MAX: u64 = 16 << 20;

/// A rewritten folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// The further name of each file that is referred to by it.
    pub map: BTreeMap<AssetPath, AssetPath>,
    /// The content of files that are other than in the folder.
    pub changed: BTreeMap<AssetPath, Vec<u8>>,
}

/// Points the references in HTML and CSS of a folder to fingerprinted names. `files` are its files, with the hashes and
/// sizes of what they contain now; `root` is the URL's path that they will be served at, `/assets/`.
///
/// Pages keep their names, so that people find them: no reference to a page is changed. Style sheets that refer to each
/// other in a circle have no order in which their contents could be known: one reference of the circle keeps the plain
/// name. A style sheet that a page names with `integrity` stays as it is.
///
/// # Errors
/// When a file cannot be read.
pub fn plan(
    files: &BTreeMap<AssetPath, (Hash, u64)>,
    root: &str,
    read: impl FnMut(&AssetPath) -> io::Result<Vec<u8>>,
) -> io::Result<Rewritten> {
    let mut planning = Planning {
        files,
        root,
        read,
        names: BTreeMap::new(),
        open: BTreeSet::new(),
        pinned: BTreeSet::new(),
        done: Rewritten::default(),
    };
    let pages: Vec<&AssetPath> = files.keys().filter(|path| is_page(path)).collect();
    for page in &pages {
        planning.note_pinned(page)?;
    }
    for path in files.keys().filter(|path| path.extension() == "css") {
        planning.name_of(path)?;
    }
    for page in pages {
        planning.rewrite_page(page)?;
    }
    Ok(planning.done)
}

fn is_page(path: &AssetPath) -> bool {
    matches!(path.extension().as_str(), "html" | "htm" | "xhtml")
}

struct Planning<'a, R> {
    files: &'a BTreeMap<AssetPath, (Hash, u64)>,
    root: &'a str,
    read: R,
    /// Further names, as far as they are known.
    names: BTreeMap<AssetPath, Option<AssetPath>>,
    /// Style sheets that are being rewritten.
    open: BTreeSet<AssetPath>,
    /// Files that must stay as they are.
    pinned: BTreeSet<AssetPath>,
    done: Rewritten,
}

impl<R: FnMut(&AssetPath) -> io::Result<Vec<u8>>> Planning<'_, R> {
    fn content(&mut self, path: &AssetPath) -> io::Result<Option<Vec<u8>>> {
        let size = self.files.get(path).map_or(0, |(_, size)| *size);
        if size > REWRITTEN_BYTES_MAX { Ok(None) } else { (self.read)(path).map(Some) }
    }

    fn note_pinned(&mut self, page: &AssetPath) -> io::Result<()> {
        let Some(content) = self.content(page)? else { return Ok(()) };
        let pinned = &mut self.pinned;
        html::each(&content, &Base::of(page, self.root), |base, reference, is_pinned| {
            pinned.extend(base.file(reference).filter(|_| is_pinned));
        });
        Ok(())
    }

    /// The file name that references to this file get. `None`: they stay.
    fn name_of(&mut self, path: &AssetPath) -> io::Result<Option<AssetPath>> {
        let Some((hash, _)) = self.files.get(path) else { return Ok(None) };
        if let Some(name) = self.names.get(path) {
            return Ok(name.clone());
        }
        if is_page(path) || self.open.contains(path) {
            return Ok(None);
        }
        let mut hash = *hash;
        if path.extension() == "css" && !self.pinned.contains(path) {
            self.open.insert(path.clone());
            if let Some(content) = self.rewritten_css(path)? {
                hash = Hash::of(&content);
                self.done.changed.insert(path.clone(), content);
            }
            self.open.remove(path);
        }
        let name = fingerprinted(path, &hash);
        self.names.insert(path.clone(), name.clone());
        Ok(name)
    }

    /// A style sheet with its references changed; `None` if none is.
    fn rewritten_css(&mut self, path: &AssetPath) -> io::Result<Option<Vec<u8>>> {
        let Some(content) = self.content(path)? else { return Ok(None) };
        let base = Base::of(path, self.root);
        let mut failed = None;
        let new = css::rewrite(&content, |reference| {
            let name = self.new_name(&base, reference).unwrap_or_else(|error| {
                failed.get_or_insert(error);
                None
            })?;
            Some(renamed(reference, &name))
        });
        failed.map_or(Ok((new != content).then_some(new)), Err)
    }

    fn rewrite_page(&mut self, page: &AssetPath) -> io::Result<()> {
        let Some(content) = self.content(page)? else { return Ok(()) };
        let mut failed = None;
        let new = html::rewrite(&content, &Base::of(page, self.root), |base, reference| {
            self.new_name(base, reference).unwrap_or_else(|error| {
                failed.get_or_insert(error);
                None
            })
        });
        if new != content {
            self.done.changed.insert(page.clone(), new);
        }
        failed.map_or(Ok(()), Err)
    }

    fn new_name(&mut self, base: &Base, reference: &[u8]) -> io::Result<Option<String>> {
        let Some(path) = base.file(reference) else { return Ok(None) };
        let Some(name) = self.name_of(&path)? else { return Ok(None) };
        let file_name = name.file_name().to_owned();
        self.done.map.insert(path, name);
        Ok(Some(file_name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(files: &[(&str, &str)]) -> Rewritten {
        let contents: BTreeMap<AssetPath, Vec<u8>> =
            files.iter().map(|(path, text)| (path.parse().unwrap(), text.as_bytes().to_vec())).collect();
        let hashed =
            contents.iter().map(|(path, bytes)| (path.clone(), (Hash::of(bytes), bytes.len() as u64)));
        plan(&hashed.collect(), "/", |path| Ok(contents[path].clone())).unwrap()
    }

    fn name(path: &str, content: &[u8]) -> String {
        fingerprinted(&path.parse().unwrap(), &Hash::of(content)).unwrap().to_string()
    }

    fn changed<'r>(rewritten: &'r Rewritten, path: &str) -> &'r str {
        std::str::from_utf8(&rewritten.changed[path]).unwrap()
    }

    #[test]
    fn a_style_sheet_is_named_by_what_it_has_become() {
        let rewritten = planned(&[
            ("index.html", "<link rel=stylesheet href=css/a.css>"),
            ("css/a.css", "@import 'b.css';"),
            ("css/b.css", "x{y:url(../i.png)}"),
            ("i.png", "png"),
        ]);
        let b = format!("x{{y:url(../{})}}", name("i.png", b"png"));
        assert_eq!(changed(&rewritten, "css/b.css"), b);
        let a = format!("@import '{}';", name("b.css", b.as_bytes()));
        assert_eq!(changed(&rewritten, "css/a.css"), a);
        let page = format!("<link rel=stylesheet href=css/{}>", name("a.css", a.as_bytes()));
        assert_eq!(changed(&rewritten, "index.html"), page);
    }

    #[test]
    fn pages_and_files_that_are_not_there_keep_their_names() {
        let rewritten = planned(&[
            ("index.html", "<iframe src=b.html></iframe><img src=gone.png><img src=b.html>"),
            ("b.html", ""),
        ]);
        assert_eq!(rewritten, Rewritten::default());
    }

    #[test]
    fn style_sheets_in_a_circle_are_still_whole() {
        let rewritten = planned(&[("a.css", "@import 'b.css';"), ("b.css", "@import 'a.css';")]);
        // `b` is done while `a` is open, and keeps its plain name for it.
        assert!(!rewritten.changed.contains_key("b.css"));
        assert_eq!(
            changed(&rewritten, "a.css"),
            format!("@import '{}';", name("b.css", b"@import 'a.css';"))
        );
    }

    #[test]
    fn what_is_named_with_integrity_stays_as_it_is() {
        let rewritten = planned(&[
            ("index.html", "<link rel=stylesheet href=a.css integrity=sha384-x>"),
            ("a.css", "x{y:url(i.png)}"),
            ("i.png", "png"),
        ]);
        assert!(!rewritten.changed.contains_key("a.css"));
        assert!(changed(&rewritten, "index.html").contains(&name("a.css", b"x{y:url(i.png)}")));
    }
}
