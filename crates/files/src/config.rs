//! `files` of a route: which folder, and how it is shown.

use notation::{Name, Named, TextOr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A folder alone, `"./docs"`, or with how it is shown.
pub type Files = TextOr<FilesConfig>;

/// A folder whose files are served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// The folder, relative to this file's own.
    pub dir: Name,
    /// What a path that ends in `/` shows: the first of these that is in the folder.
    #[serde(default = "default_index")]
    pub index: Vec<Name>,
    /// List a folder that has no index: HTML, or JSON to who accepts only that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listing: bool,
    /// The file that is shown, with 200, where there is none and a page is asked for: `"/index.html"` of an
    /// application that has its routes in the browser. What has an extension is a page only to a client whose
    /// `Accept` names `text/html`, so that a missing script stays 404.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Name>,
    /// Send `app.js.zst`, `app.js.br` or `app.js.gz` in place of `app.js` to clients that take it, unless it is older.
    #[serde(default = "yes")]
    pub precompressed: bool,
    /// `Cache-Control` of files: `"max-age=3600"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<Name>,
    /// Media types by extension, beside and before those that are known: `{ wasm = "application/wasm" }`.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub types: Named<Name>,
}

impl FilesConfig {
    /// This folder, shown in the default way.
    pub fn of_folder(dir: Name) -> Self {
        Self {
            dir,
            index: default_index(),
            listing: false,
            fallback: None,
            precompressed: true,
            cache_control: None,
            types: Named::new(),
        }
    }

    /// The long form of what may be written short.
    pub fn of(files: &Files) -> Cow<'_, Self> {
        match files {
            TextOr::Text(dir) => Cow::Owned(Self::of_folder(dir.clone())),
            TextOr::Long(config) => Cow::Borrowed(config),
        }
    }
}

fn default_index() -> Vec<Name> {
    vec![Name::new("index.html")]
}

fn yes() -> bool {
    true
}
