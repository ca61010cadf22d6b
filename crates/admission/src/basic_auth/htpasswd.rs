//! Files of users and hashed passwords: `user:$2y$…` a line.

use crate::error::Error;
use crate::followed;
use sha_crypt::{PasswordVerifier, ShaCrypt};
use std::collections::HashMap;
use std::path::Path;

/// The highest cost of bcrypt: about two seconds of a core for each verification. The next would be four.
const BCRYPT_COST_MAX: u32 = 15;
/// The most rounds of SHA-crypt: a quarter of a second, and about two for the longest password that is read.
const SHA_ROUNDS_MAX: u32 = 1_000_000;
/// The fewest rounds of SHA-crypt; a file that says fewer means these, in other implementations.
const SHA_ROUNDS_MIN: u32 = 1_000;
/// Salts are cut to this.
const SHA_SALT_BYTES_MAX: usize = 16;

/// Users and their hashed passwords, at least one.
#[derive(Debug)]
pub(crate) struct Users {
    by_name: HashMap<Box<str>, Hash>,
    /// All of them again, for whoever is unknown.
    hashes: Vec<Hash>,
}

/// A password, hashed so that it takes time to guess.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hash {
    Bcrypt(Box<str>),
    Sha(Box<str>),
}

impl Users {
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let (mut by_name, mut hashes) = (HashMap::new(), Vec::new());
        for (line, text) in followed::lines(text) {
            let fault = |cause: String| Error::Line { path: path.to_owned(), line, cause };
            let (user, hash) = text
                .split_once(':')
                .ok_or_else(|| fault("no colon, where `user:hash` is expected".into()))?;
            if user.is_empty() || user.chars().any(char::is_control) {
                return Err(fault("no name of a user before the colon".into()));
            }
            // What stands behind a second colon is a comment, as in other servers; no hash has one.
            let hash = hash.split(':').next().unwrap_or_default();
            let hash = Hash::parse(hash).map_err(|cause| fault(format!("user {user}: {cause}")))?;
            hashes.push(hash.clone());
            if by_name.insert(user.into(), hash).is_some() {
                return Err(fault(format!("user {user} is here twice")));
            }
        }
        if hashes.is_empty() {
            return Err(Error::Nothing { path: path.to_owned(), what: "user" });
        }
        Ok(Self { by_name, hashes })
    }

    /// The hash to verify a user's password against, and whether it is the user's. For an unknown one it is somebody
    /// else's, always the same, so that it takes the time that a known one's would.
    pub(crate) fn hash_of(&self, user: &str) -> (&Hash, bool) {
        match self.by_name.get(user) {
            Some(hash) => (hash, true),
            None => {
                let at = crate::client::Key::of_value(user.as_bytes()).0 as usize % self.hashes.len();
                (&self.hashes[at], false)
            }
        }
    }
}

impl Hash {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split('$').nth(1).filter(|_| text.starts_with('$')) {
            Some("2y" | "2b" | "2a") => bcrypt_hash(text),
            Some("5" | "6") => sha_hash(text),
            Some("apr1" | "1") => Err(refused("MD5")),
            Some(kind) => Err(refused(&format!("${kind}$"))),
            None if text.starts_with("{SHA}") => Err(refused("SHA-1 without a salt")),
            None if text.len() == 13 => Err(refused("DES-crypt or plain text")),
            None => Err(refused("plain text")),
        }
    }

    /// Whether it is of this password. Takes the time that it was made to take, and the same for a wrong one.
    pub(crate) fn verify(&self, password: &str) -> bool {
        match self {
            // Bytes of a password behind the 72nd never count in bcrypt.
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Sha(hash) => ShaCrypt::SHA512.verify_password(password.as_bytes(), &**hash).is_ok(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Bcrypt(hash) | Self::Sha(hash) => hash,
        }
    }
}

fn refused(kind: &str) -> String {
    format!("a password as {kind} is not safe; `htpasswd -B` makes one of bcrypt")
}

fn bcrypt_hash(text: &str) -> Result<Hash, String> {
    let parts: bcrypt::HashParts = text.parse().map_err(|cause| format!("no hash of bcrypt: {cause}"))?;
    match parts.get_cost() {
        4..=BCRYPT_COST_MAX => Ok(Hash::Bcrypt(text.into())),
        cost => Err(format!("bcrypt's cost is {cost}: from 4 to {BCRYPT_COST_MAX}")),
    }
}

/// `$6$rounds=5000$salt$hash`, the rounds being optional.
fn sha_hash(text: &str) -> Result<Hash, String> {
    let digits = if text.starts_with("$6$") { 86 } else { 43 };
    let fields: Vec<&str> = text.split('$').skip(2).collect();
    let (rounds, salt, hash) = match fields[..] {
        [salt, hash] => (None, salt, hash),
        [rounds, salt, hash] => (Some(rounds), salt, hash),
        _ => return Err("no hash of SHA-crypt: a salt and a hash are expected".into()),
    };
    if let Some(rounds) = rounds {
        let rounds = rounds.strip_prefix("rounds=").and_then(|rounds| rounds.parse::<u32>().ok());
        if !rounds.is_some_and(|rounds| (SHA_ROUNDS_MIN..=SHA_ROUNDS_MAX).contains(&rounds)) {
            return Err(format!("the rounds of SHA-crypt are from {SHA_ROUNDS_MIN} to {SHA_ROUNDS_MAX}"));
        }
    }
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
    if salt.is_empty() || salt.len() > SHA_SALT_BYTES_MAX || !salt.bytes().all(is_digit) {
        return Err(format!("the salt of SHA-crypt has 1 to {SHA_SALT_BYTES_MAX} of A-Z, a-z, 0-9, . and /"));
    }
    if hash.len() != digits || !hash.bytes().all(is_digit) {
        return Err(format!("no hash of SHA-crypt: {digits} of A-Z, a-z, 0-9, . and / are expected"));
    }
    Ok(Hash::Sha(text.into()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Of `secret`, at the lowest cost; the same in all three spellings.
    pub(crate) const BCRYPT: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    /// Of `secret`.
    const SHA_ROUNDS: &str = "$6$rounds=1000$abcdefgh$nhYjN017qxiYztzyUpZtPnUQcnLy62KsunSLHNeLahp2EHPlAKmFFlrjEwSXGo2kgY5hR2.peKEg2VGUqIJJu1";
    /// Of `Hello world!`: the first test vectors of the specification (Ulrich Drepper, SHA-crypt, version 0.6).
    const SHA_512: &str = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
    const SHA_256: &str = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";

    fn parse(text: &str) -> Result<Users, String> {
        Users::parse(Path::new("users"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn passwords_are_verified_by_each_kind_of_hash() {
        let (b, a) = (BCRYPT.replace("2y", "2b"), BCRYPT.replace("2y", "2a"));
        for (hash, password) in [
            (BCRYPT, "secret"),
            (&b, "secret"),
            (&a, "secret"),
            (SHA_ROUNDS, "secret"),
            (SHA_512, "Hello world!"),
            (SHA_256, "Hello world!"),
        ] {
            let users = parse(&format!("# users\n\nalice:{hash}\n")).unwrap();
            let (hash, is_known) = users.hash_of("alice");
            assert!(is_known && hash.verify(password), "{hash:?}");
            for wrong in ["", "secre", "secret ", "Hello world"] {
                assert!(!hash.verify(wrong), "{hash:?} {wrong:?}");
            }
        }
    }

    #[test]
    fn a_line_may_end_with_a_comment_of_its_own() {
        assert!(parse(&format!("alice:{BCRYPT}:Alice of the shop")).unwrap().hash_of("alice").1);
    }

    #[test]
    fn what_is_not_safe_is_refused_with_its_line() {
        let unsafe_as =
            |kind| format!("alice: a password as {kind} is not safe; `htpasswd -B` makes one of bcrypt");
        for (hash, cause) in [
            ("$apr1$abc$aXkAaXhzG.n9k2RTUc7Gy0", unsafe_as("MD5")),
            ("$1$abc$aXkAaXhzG.n9k2RTUc7Gy0", unsafe_as("MD5")),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", unsafe_as("SHA-1 without a salt")),
            ("rqXexS6ZhobKA", unsafe_as("DES-crypt or plain text")),
            ("secret", unsafe_as("plain text")),
            ("", unsafe_as("plain text")),
            ("$2x$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", unsafe_as("$2x$")),
            ("$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA", unsafe_as("$argon2id$")),
        ] {
            let error = parse(&format!("# users\nbob:{BCRYPT}\nalice:{hash}")).unwrap_err();
            assert_eq!(error, format!("users, line 3: user {cause}"));
            assert!(
                hash.is_empty() || cause.contains("plain") || !error.contains(hash),
                "no hash in an error"
            );
        }
    }

    #[test]
    fn a_hash_that_never_verifies_or_takes_forever_is_refused() {
        let bcrypt = |cost: &str| BCRYPT.replace("$04$", cost);
        for hash in [
            &BCRYPT[..59],
            &bcrypt("$03$"),
            &bcrypt("$16$"),
            &bcrypt("$31$"),
            &bcrypt("$xx$"),
            &BCRYPT.replace("abc", "a#c"),
            &SHA_ROUNDS.replace("1000", "999"),
            &SHA_ROUNDS.replace("1000", "1000001"),
            &SHA_ROUNDS.replace("1000", ""),
            &SHA_ROUNDS.replace("rounds=", ""),
            &SHA_ROUNDS.replace("abcdefgh", "abcdefghabcdefghi"),
            &SHA_ROUNDS.replace("abcdefgh", ""),
            &SHA_ROUNDS.replace("abcdefgh", "a_b"),
            &SHA_ROUNDS[..SHA_ROUNDS.len() - 1],
            &SHA_512.replace("$6$", "$5$"),
            &SHA_256.replace("5B8", "5_8"),
            "$6$salt",
            "$6$",
            "$5$a$b$c$d",
        ] {
            let error = parse(&format!("alice:{hash}")).unwrap_err();
            assert!(error.starts_with("users, line 1: user alice: "), "{hash}: {error}");
        }
    }

    #[test]
    fn a_file_of_users_has_users_each_once() {
        for (text, error) in [
            ("", "users has no user in it"),
            ("# nobody\n", "users has no user in it"),
            ("alice", "users, line 1: no colon, where `user:hash` is expected"),
            (":x", "users, line 1: no name of a user before the colon"),
            (&format!("a:{BCRYPT}\na:{BCRYPT}"), "users, line 2: user a is here twice"),
        ] {
            assert_eq!(parse(text).unwrap_err(), error);
        }
    }

    #[test]
    fn an_unknown_user_is_verified_against_the_same_hash_each_time() {
        let users = parse(&format!("alice:{BCRYPT}\nbob:{SHA_512}")).unwrap();
        for number in 0..20 {
            let name = format!("user {number}");
            let (hash, is_known) = users.hash_of(&name);
            assert!(!is_known);
            assert_eq!(users.hash_of(&name).0, hash);
        }
    }
}
