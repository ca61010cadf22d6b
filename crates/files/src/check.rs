//! What the types of the file cannot say.

use crate::config::{Files, FilesConfig};
use crate::path::FilePath;
use crate::types::is_media_type;
use notation::{Faults, Name};

/// Names that a path ending in `/` is tried with; each is a look into the folder.
const INDEXES_MAX: usize = 8;

/// Checks `files` of a route. `route` is its path as it stands in the file. Whether the folder is there is not
/// checked here: [`Root::open`](crate::Root::open) says so.
pub fn check(files: &Files, route: &Name, faults: &mut Faults) {
    let config = FilesConfig::of(files);
    let mut report = Report { route, faults };
    if config.dir.is_empty() {
        report.add(&config.dir, "`files` names no folder");
    }
    if config.index.len() > INDEXES_MAX {
        report.add(route, &format!("`index` has {} names, above {INDEXES_MAX}", config.index.len()));
    }
    for name in &config.index {
        if name.contains('/') || FilePath::literal(name).is_none() {
            report.add(name, &format!("`index` {:?} is no file's name that is served", name.as_str()));
        }
    }
    if let Some(fallback) = &config.fallback
        && FilePath::literal(fallback).is_none()
    {
        let message = format!("`fallback` {:?} is no file that is served", fallback.as_str());
        report.add_with_help(fallback, &message, "it is written from the folder on: \"/index.html\"");
    }
    if let Some(value) = &config.cache_control
        && (value.trim().is_empty() || !value.bytes().all(|byte| matches!(byte, b' '..=b'~')))
    {
        report.add(value, &format!("`cache_control` {:?} cannot be a header's value", value.as_str()));
    }
    for (extension, media_type) in &config.types {
        if extension.is_empty() || extension.contains(['.', '/']) {
            let message = format!("`types`: {:?} is no extension", extension.as_str());
            report.add_with_help(extension, &message, "it is what follows a name's last dot: \"wasm\"");
        }
        if !is_media_type(media_type) {
            report.add(media_type, &format!("`types`: {:?} is no media type", media_type.as_str()));
        }
    }
}

/// Faults of one route. A value that knows its place is shown there, others at the route.
struct Report<'a> {
    route: &'a Name,
    faults: &'a mut Faults,
}

impl Report<'_> {
    fn add(&mut self, place: &Name, message: &str) {
        let span = place.span().or_else(|| self.route.span());
        self.faults.add(span, format!("route {}: {message}", self.route));
    }

    fn add_with_help(&mut self, place: &Name, message: &str, help: &str) {
        let span = place.span().or_else(|| self.route.span());
        self.faults.add_with_help(span, format!("route {}: {message}", self.route), help);
    }
}
