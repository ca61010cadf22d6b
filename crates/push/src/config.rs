//! `[push.NAME]`: where releases are kept, and who may push.

use notation::{Duration, Faults, Name, Secret, Size, TextOr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A store of releases: what is pushed to it is served by routes with `push = "NAME"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PushConfig {
    /// Push this folder when the node starts, and with each reload, if the newest release is not the same: its path,
    /// relative to this file's own, or with `rewrite`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PushFrom>,
    /// The token that pushing demands. Who has the admin token may push as well; without both, whoever reaches the admin
    /// API may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// Releases that are kept, the one that is served among them: what can be rolled back to.
    #[schemars(range(min = 1, max = 1000))]
    pub keep: u32,
    /// How long clients may use a file without asking again, by its plain name; when absent they ask each time, which
    /// costs a 304. Fingerprinted names are for a year.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// Compress files as they come: zstd, brotli and gzip, each kept where it is shorter.
    pub precompress: bool,
    /// The largest file.
    pub file_max: Size,
    /// All that is stored, of all releases.
    pub total_max: Size,
    /// How long what no release needs is kept: an upload is to be finished within it.
    pub grace: Duration,
    /// The folder, relative to this file's own; `push/NAME` in the node's data folder when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Keep releases in a bucket of S3, or of what speaks its protocol. The folder then has a copy, to serve from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Config>,
}

/// `"dist"`, or with what becomes of it.
pub type PushFrom = TextOr<FromConfig>;

/// A folder that is pushed by the node itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FromConfig {
    /// The folder, relative to this file's own.
    pub dir: Name,
    /// Point references in its pages and style sheets to fingerprinted names: the URL's path that it is served at,
    /// `"/assets/"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Name>,
}

impl FromConfig {
    /// The long form of what may be written short.
    pub fn of(from: &PushFrom) -> Self {
        match from {
            TextOr::Text(dir) => Self { dir: dir.clone(), rewrite: None },
            TextOr::Long(config) => config.clone(),
        }
    }
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// The bucket's name.
    pub bucket: Name,
    /// Where it is: `"https://s3.eu-central-1.amazonaws.com"`; of Amazon, by the region, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Name>,
    /// The region that requests are signed for.
    #[serde(default = "region")]
    pub region: String,
    /// What the names of all objects begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Name>,
    /// The access key's identifier.
    pub access_key: Secret,
    /// The secret that belongs to it.
    pub secret_key: Secret,
}

fn region() -> String {
    "us-east-1".into()
}

impl Default for PushConfig {
    fn default() -> Self {
        Self {
            from: None,
            token: None,
            keep: 5,
            max_age: None,
            precompress: true,
            file_max: Size::bytes(1 << 30),
            total_max: Size::bytes(20 << 30),
            grace: Duration::secs(3600),
            dir: None,
            s3: None,
        }
    }
}

impl PushConfig {
    /// Its secrets, each with its keys in the file.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static [&'static str], &Secret)> {
        const TOKEN: &[&str] = &["token"];
        const ACCESS_KEY: &[&str] = &["s3", "access_key"];
        const SECRET_KEY: &[&str] = &["s3", "secret_key"];
        let token = self.token.iter().map(|token| (TOKEN, token));
        let keys = self.s3.iter().flat_map(|s3| [(ACCESS_KEY, &s3.access_key), (SECRET_KEY, &s3.secret_key)]);
        token.chain(keys)
    }
}

/// The shortest grace: pushing takes a while, and what it has sent must not be taken from it.
const GRACE_MIN: std::time::Duration = std::time::Duration::from_secs(60);

/// Checks `[push.NAME]`.
pub fn check(config: &PushConfig, name: &Name, faults: &mut Faults) {
    let mut add = |place: &Name, message: String| {
        faults.add(place.span().or_else(|| name.span()), format!("push {name}: {message}"));
    };
    if config.grace.get() < GRACE_MIN {
        add(name, format!("`grace` is {}: at least 1m", config.grace));
    }
    if config.file_max.get() == 0 {
        add(name, "`file_max` is 0: nothing could be pushed".into());
    }
    if config.file_max > config.total_max {
        add(name, format!("`file_max` is {}, above `total_max`, {}", config.file_max, config.total_max));
    }
    if let Some(FromConfig { dir, rewrite }) = config.from.as_ref().map(FromConfig::of) {
        if dir.is_empty() {
            add(&dir, "`from` is empty: a folder is wanted".into());
        }
        if let Some(at) = rewrite.filter(|at| !is_served_at(at)) {
            add(&at, format!("`from.rewrite` {:?} is no path of a URL like \"/assets/\"", at.as_str()));
        }
    }
    let Some(s3) = &config.s3 else { return };
    if s3.bucket.is_empty() || s3.bucket.contains('/') {
        add(&s3.bucket, format!("`s3.bucket` {:?} is no bucket's name", s3.bucket.as_str()));
    }
    if let Some(endpoint) = &s3.endpoint
        && !is_endpoint(endpoint)
    {
        add(endpoint, format!("`s3.endpoint` {:?} is no `https://HOST` or `http://HOST`", endpoint.as_str()));
    }
    if let Some(prefix) = &s3.prefix
        && prefix.parse::<crate::AssetPath>().is_err()
    {
        add(prefix, format!("`s3.prefix` {:?} is not like \"nines/assets\"", prefix.as_str()));
    }
}

fn is_served_at(path: &str) -> bool {
    let is_path = path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
    path.starts_with('/') && path.ends_with('/') && is_path
}

fn is_endpoint(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '@', ' ', '?', '#']))
}
