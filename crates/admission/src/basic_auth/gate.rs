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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basic_auth::htpasswd::tests::BCRYPT;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use std::path::PathBuf;
    use std::time::Duration;

    struct World {
        _dir: tempfile::TempDir,
        path: PathBuf,
        auth: BasicAuth,
        now: Instant,
    }

    fn world(running_max: usize) -> World {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        std::fs::write(&path, format!("alice:{BCRYPT}\n")).unwrap();
        let config = BasicAuthConfig { file: "users".into(), realm: None };
        let auth = BasicAuth::load(&config, "a.test", dir.path(), Verifiers::new(running_max)).unwrap();
        World { _dir: dir, path, auth, now: Instant::now() }
    }

    impl World {
        fn judge(&self, credentials: &str) -> Judged {
            let value = format!("Basic {}", STANDARD.encode(credentials));
            self.auth.judge(Some(value.as_bytes()), self.now)
        }

        fn verified(&self, credentials: &str) -> Result<String, Refusal> {
            match self.judge(credentials) {
                Judged::Verify(verification) => verification.run(self.now),
                other => panic!("{credentials} is not to be verified: {other:?}"),
            }
        }

        fn knows(&self, credentials: &str) -> bool {
            matches!(self.judge(credentials), Judged::User(user) if user == "alice")
        }
    }

    #[test]
    fn a_password_is_verified_once_and_then_known_for_a_while() {
        let mut world = world(1);
        assert!(!world.knows("alice:secret"));
        assert_eq!(world.verified("alice:secret"), Ok("alice".into()));
        assert!(world.knows("alice:secret"));
        assert!(!world.knows("alice:other") && !world.knows("bob:secret"));
        world.now += Duration::from_secs(301);
        assert!(!world.knows("alice:secret"));
    }

    #[test]
    fn wrong_passwords_and_unknown_users_are_refused_after_as_much_work() {
        let world = world(1);
        for wrong in ["alice:other", "alice:", "bob:secret", ":secret", "Alice:secret"] {
            assert_eq!(world.verified(wrong), Err(Refusal::Wrong), "{wrong}");
            assert!(!world.knows(wrong));
        }
    }

    #[test]
    fn without_credentials_there_is_nothing_to_verify() {
        let world = world(1);
        for value in [None, Some(&b"Bearer x"[..]), Some(b"Basic !"), Some(b"")] {
            assert!(
                matches!(world.auth.judge(value, world.now), Judged::Refused(Refusal::Missing)),
                "{value:?}"
            );
        }
    }

    #[test]
    fn so_many_are_verified_at_once_and_whoever_is_known_need_not_wait() {
        let world = world(2);
        assert!(world.verified("alice:secret").is_ok());
        let running = [world.judge("alice:1"), world.judge("alice:2")];
        assert!(matches!(world.judge("alice:3"), Judged::Refused(Refusal::Busy)));
        assert!(world.knows("alice:secret"));
        drop(running);
        assert!(matches!(world.judge("alice:3"), Judged::Verify(_)), "what is not run gives its place back");
    }

    #[test]
    fn a_changed_password_is_no_longer_known_and_a_broken_file_changes_nothing() {
        let world = world(1);
        let refresh = || world.auth.refresh().and(world.auth.refresh());
        world.verified("alice:secret").unwrap();
        std::fs::write(&world.path, "alice:plain\n").unwrap();
        assert_eq!(refresh().errors.len(), 1);
        assert!(world.knows("alice:secret"));
        let other =
            bcrypt::hash_with_salt("secret", 4, [7; 16]).unwrap().format_for_version(bcrypt::Version::TwoY);
        std::fs::write(&world.path, format!("alice:{other}\n")).unwrap();
        assert!(refresh().is_changed);
        assert!(!world.knows("alice:secret"), "another hash may be of another password");
        assert!(world.verified("alice:secret").is_ok());
        std::fs::write(&world.path, format!("bob:{other}\n")).unwrap();
        assert!(refresh().is_changed);
        assert_eq!(world.verified("alice:secret"), Err(Refusal::Wrong), "she is gone");
    }

    #[test]
    fn a_challenge_names_the_realm() {
        let line = |realm: &str| String::from_utf8(challenge(realm).into()).unwrap();
        assert_eq!(world(1).auth.challenge_line(), line("a.test").as_bytes());
        assert_eq!(line("shop"), "WWW-Authenticate: Basic realm=\"shop\", charset=\"UTF-8\"\r\n");
        assert_eq!(
            line("a\"b\\c\r\nd"),
            "WWW-Authenticate: Basic realm=\"a\\\"b\\\\cd\", charset=\"UTF-8\"\r\n"
        );
    }

    #[test]
    fn no_password_is_printed() {
        let judged = world(1).judge("alice:topsecret");
        assert!(!format!("{judged:?}").contains("topsecret"), "{judged:?}");
    }
}
