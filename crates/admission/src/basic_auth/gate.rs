//! Who may come by user and password.

use super::config::BasicAuthConfig;
use super::credentials::{Credentials, parse_basic};
use super::htpasswd::{Hash, Users};
use super::verifiers::{Permit, Tag, Verifiers};
use crate::error::Error;
use crate::followed::Followed;
use crate::networks::Refreshed;
use arc_swap::ArcSwap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Who may come to one place by user and password. Judging is quick; a password that was not verified lately is
/// verified elsewhere, where it holds nobody up.
pub struct BasicAuth {
    users: ArcSwap<Users>,
    file: Mutex<Followed<Arc<Users>>>,
    verifiers: Arc<Verifiers>,
    challenge: Box<[u8]>,
}

/// What to do with a request.
#[derive(Debug)]
pub enum Judged {
    /// It may come: it is this user's.
    User(String),
    /// It is not known yet: [`Verification::run`] tells, on a thread that may take its time.
    Verify(Verification),
    /// It may not come.
    Refused(Refusal),
}

/// Why a request may not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It shows no user and password that can be read: a 401 with a challenge.
    Missing,
    /// The user is unknown or the password wrong: a 401 with a challenge.
    Wrong,
    /// Too many passwords are being verified: a 503, to be tried again.
    Busy,
}

impl Refusal {
    /// The cause, for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "no credentials",
            Self::Wrong => "wrong credentials",
            Self::Busy => "too many passwords being verified",
        }
    }
}

/// One password to be verified. It holds one of the few places for that: run it at once, or drop it.
pub struct Verification {
    credentials: Credentials,
    hash: Hash,
    is_known: bool,
    tag: Tag,
    permit: Permit,
}

impl BasicAuth {
    /// Reads the file, whose path starts from `dir`. Without a realm in `config` it is `realm`.
    pub fn load(
        config: &BasicAuthConfig,
        realm: &str,
        dir: &Path,
        verifiers: Arc<Verifiers>,
    ) -> Result<Self, Error> {
        let file = Followed::open(dir.join(&config.file), read_users)?;
        Ok(Self {
            users: ArcSwap::new(Arc::clone(file.says())),
            file: Mutex::new(file),
            verifiers,
            challenge: challenge(config.realm.as_deref().unwrap_or(realm)),
        })
    }

    /// Judges a request by the value of its `Authorization`, if it has one.
    pub fn judge(&self, authorization: Option<&[u8]>, now: Instant) -> Judged {
        let Some(credentials) = authorization.and_then(parse_basic) else {
            return Judged::Refused(Refusal::Missing);
        };
        let users = self.users.load();
        let (hash, is_known) = users.hash_of(&credentials.user);
        let tag = self.verifiers.tag(&credentials.user, &credentials.password, hash.as_str());
        if is_known && self.verifiers.knows(&tag, now) {
            return Judged::User(credentials.user);
        }
        match self.verifiers.enter() {
            Some(permit) => {
                Judged::Verify(Verification { credentials, hash: hash.clone(), is_known, tag, permit })
            }
            None => Judged::Refused(Refusal::Busy),
        }
    }

    /// The line of a 401 that asks for user and password (RFC 7617 §2), with its line break.
    pub fn challenge_line(&self) -> &[u8] {
        &self.challenge
    }

    /// Looks whether the file has changed, and reads it if so: to be called about once a second, where reading a
    /// file may take its time. Users of a file that cannot be used stay who they were.
    pub fn refresh(&self) -> Refreshed {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        match file.refresh(read_users) {
            Ok(false) => Refreshed::default(),
            Ok(true) => {
                self.users.store(Arc::clone(file.says()));
                Refreshed { is_changed: true, errors: Vec::new() }
            }
            Err(error) => Refreshed { is_changed: false, errors: vec![error] },
        }
    }
}

impl Verification {
    /// Verifies the password, which takes a core for up to seconds: the user, or [`Refusal::Wrong`]. An unknown
    /// user takes as long as a known one. `now` is when it was begun.
    pub fn run(self, now: Instant) -> Result<String, Refusal> {
        let is_right = self.hash.verify(&self.credentials.password);
        if !(is_right & self.is_known) {
            return Err(Refusal::Wrong);
        }
        self.permit.verifiers().learn(self.tag, now);
        Ok(self.credentials.user)
    }
}

fn read_users(path: &Path, text: &str) -> Result<Arc<Users>, Error> {
    Users::parse(path, text).map(Arc::new)
}

fn challenge(realm: &str) -> Box<[u8]> {
    // RFC 9110 §5.6.4: quotes and backslashes are escaped within quotes; nothing ends a line.
    let mut line = String::from("WWW-Authenticate: Basic realm=\"");
    for c in realm.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            line.push('\\');
        }
        line.push(c);
    }
    line.push_str("\", charset=\"UTF-8\"\r\n");
    line.into_bytes().into()
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth").finish_non_exhaustive()
    }
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verification").field("user", &self.credentials.user).finish_non_exhaustive()
    }
}
