//! What a folder without an index shows: its entries, as a page for people or JSON for programs.

use crate::folder::Folder;
use crate::path::is_shown;
use crate::validators::changed;
use rustix::fs::{AtFlags, Dir, FileType, Stat, statat};
use serde::Serialize;
use std::fmt::Write;
use std::io;
use std::os::fd::OwnedFd;
use std::time::SystemTime;

/// Entries of one listing. Of a folder with more, any that many are shown, and it is said.
pub(crate) const ENTRIES_MAX: usize = 10_000;

/// A folder's entries.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Folders before files, each by name.
    entries: Vec<Entry>,
    /// There are more.
    pub(crate) is_cut: bool,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    is_file: bool,
    name: Vec<u8>,
    size: u64,
    changed: SystemTime,
}

/// An entry as nginx's `autoindex_format json` has it.
#[derive(Serialize)]
struct JsonEntry<'a> {
    name: std::borrow::Cow<'a, str>,
    r#type: &'static str,
    mtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

impl Listing {
    /// Reads the folder `fd`, which is `name` below the root. Shown is what could be asked for: files and folders
    /// without a dot before their name, and symlinks to such that do not lead out of the root. It waits for the disk.
    pub(crate) fn read(root: &Folder, name: &[u8], fd: &OwnedFd) -> io::Result<Self> {
        let mut listing = Self::default();
        for entry in Dir::read_from(fd)? {
            let entry = entry?;
            let file_name = entry.file_name().to_bytes();
            if !is_shown(file_name) {
                continue;
            }
            let Some((file_type, stat)) = what_is(root, name, fd, file_name) else { continue };
            if listing.entries.len() == ENTRIES_MAX {
                listing.is_cut = true;
                break;
            }
            listing.entries.push(Entry {
                is_file: file_type == FileType::RegularFile,
                name: file_name.to_vec(),
                size: u64::try_from(stat.st_size).unwrap_or(0),
                changed: changed(&stat),
            });
        }
        listing.entries.sort_unstable();
        Ok(listing)
    }

    /// The page. `url_path` is the folder's as the client knows it.
    pub(crate) fn html(&self, url_path: &[u8], is_root: bool) -> String {
        let mut title = String::new();
        escape(&decoded(url_path), &mut title);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\">\n<title>{title}</title>\n<h1>{title}</h1>\n<table>\n"
        );
        if !is_root {
            page.push_str("<tr><td><a href=\"../\">../</a>\n");
        }
        for entry in &self.entries {
            entry.write_row(&mut page);
        }
        page.push_str("</table>\n");
        if self.is_cut {
            let _ = writeln!(page, "<p>The folder has more; {ENTRIES_MAX} of its entries are shown.</p>");
        }
        page.push_str("</html>\n");
        page
    }

    /// The entries as a JSON array.
    pub(crate) fn json(&self) -> String {
        let entries: Vec<JsonEntry<'_>> = self.entries.iter().map(Entry::json).collect();
        let mut text = serde_json::to_string(&entries).expect("names and numbers are JSON");
        text.push('\n');
        text
    }
}

impl Entry {
    fn write_row(&self, page: &mut String) {
        let slash = if self.is_file { "" } else { "/" };
        page.push_str("<tr><td><a href=\"");
        for byte in &self.name {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    page.push(char::from(*byte));
                }
                byte => drop(write!(page, "%{byte:02X}")),
            }
        }
        let _ = write!(page, "{slash}\">");
        escape(&String::from_utf8_lossy(&self.name), page);
        let _ = write!(page, "{slash}</a><td>{}", httpdate::fmt_http_date(self.changed));
        if self.is_file {
            let _ = write!(page, "<td align=\"right\">{}", size_text(self.size));
        }
        page.push('\n');
    }

    fn json(&self) -> JsonEntry<'_> {
        JsonEntry {
            name: String::from_utf8_lossy(&self.name),
            r#type: if self.is_file { "file" } else { "directory" },
            mtime: httpdate::fmt_http_date(self.changed),
            size: self.is_file.then_some(self.size),
        }
    }
}

/// Whether a client wants JSON: its `Accept` names it and not HTML, which is how programs differ from browsers.
pub(crate) fn prefers_json(accept: Option<&[u8]>) -> bool {
    accept.is_some_and(|accept| names(accept, b"application/json") && !names(accept, b"text/html"))
}

/// Whether an `Accept` has a range of exactly this type or family, whatever its weight.
pub(crate) fn names(accept: &[u8], media_type: &[u8]) -> bool {
    accept.split(|byte| *byte == b',').any(|member| {
        let end = member.iter().position(|byte| *byte == b';').unwrap_or(member.len());
        member[..end].trim_ascii().eq_ignore_ascii_case(media_type)
    })
}

/// A file's or folder's type and stat; `None` for anything else, and for symlinks that lead nowhere or out.
fn what_is(root: &Folder, folder: &[u8], fd: &OwnedFd, name: &[u8]) -> Option<(FileType, Stat)> {
    let mut stat = statat(fd, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        let mut path = folder.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        stat = root.stat(&path).ok()?;
    }
    let file_type = FileType::from_raw_mode(stat.st_mode);
    matches!(file_type, FileType::RegularFile | FileType::Directory).then_some((file_type, stat))
}

fn escape(text: &str, page: &mut String) {
    for character in text.chars() {
        match character {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            other => page.push(other),
        }
    }
}

/// A path without its escapes, to be read by people.
fn decoded(path: &[u8]) -> String {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, after)) = crate::path::decode(rest).flatten() {
        out.push(byte);
        rest = after;
    }
    out.extend_from_slice(rest);
    String::from_utf8_lossy(&out).into_owned()
}

/// A size for people: `812 B`, `1.4 KiB`, `12 MiB`.
fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let place = (bytes.ilog2() / 10) as usize;
    let size = bytes as f64 / (1u64 << (place * 10)) as f64;
    let decimals = usize::from(size < 10.0);
    format!("{size:.decimals$} {}", UNITS[place - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn listing(names: &[(&str, bool)]) -> Listing {
        let entry = |(name, is_file): &(&str, bool)| Entry {
            is_file: *is_file,
            name: name.as_bytes().to_vec(),
            size: 2048,
            changed: UNIX_EPOCH + Duration::from_secs(784_111_777),
        };
        let mut entries: Vec<Entry> = names.iter().map(entry).collect();
        entries.sort_unstable();
        Listing { entries, is_cut: false }
    }

    #[test]
    fn names_cannot_become_markup_or_leave_their_link() {
        let page = listing(&[("<b>&\"'.txt", true), ("javascript:alert(1)", true), ("a b?#.txt", true)])
            .html(b"/x%3Cscript%3E/", false);
        assert!(page.contains("href=\"%3Cb%3E%26%22%27.txt\">&lt;b&gt;&amp;&quot;&#39;.txt</a>"), "{page}");
        assert!(page.contains("href=\"javascript%3Aalert%281%29\""), "{page}");
        assert!(page.contains("href=\"a%20b%3F%23.txt\""), "{page}");
        assert!(page.contains("<h1>/x&lt;script&gt;/</h1>"), "{page}");
    }

    #[test]
    fn folders_come_first_and_have_no_size() {
        let listing = listing(&[("a.txt", true), ("z", false), ("b", false)]);
        let page = listing.html(b"/", true);
        let places: Vec<usize> = [">b/<", ">z/<", ">a.txt<"].map(|name| page.find(name).unwrap()).into();
        assert!(places.is_sorted());
        assert_eq!(page.matches("2.0 KiB").count(), 1);
        assert!(!page.contains("../"));
        assert_eq!(
            listing.json(),
            "[{\"name\":\"b\",\"type\":\"directory\",\"mtime\":\"Sun, 06 Nov 1994 08:49:37 GMT\"},\
             {\"name\":\"z\",\"type\":\"directory\",\"mtime\":\"Sun, 06 Nov 1994 08:49:37 GMT\"},\
             {\"name\":\"a.txt\",\"type\":\"file\",\"mtime\":\"Sun, 06 Nov 1994 08:49:37 GMT\",\"size\":2048}]\n"
        );
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10_240, "10 KiB"),
            (1 << 20, "1.0 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }

    #[test]
    fn json_is_for_who_names_it_and_not_html() {
        assert!(prefers_json(Some(b"application/json")));
        assert!(prefers_json(Some(b"text/plain, Application/JSON;q=0.5")));
        for other in [&b"text/html, application/json"[..], b"*/*", b"application/jsonx", b""] {
            assert!(!prefers_json(Some(other)));
        }
        assert!(!prefers_json(None));
    }
}
