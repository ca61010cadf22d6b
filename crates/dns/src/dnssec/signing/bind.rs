//! Keys in files, as BIND writes them: `K<zone>+<algorithm>+<tag>.key` has the DNSKEY as a line of a zone file, and `.private` beside
//! it what must stay secret. So keys move in and out by copying files.

use super::config::Algorithm;
use super::key::Key;
use crate::protocol::Name;
use domain::utils::base64;
use std::fmt::Write;

/// What these files are called without their endings.
pub(crate) fn stem(apex: &Name, key: &Key) -> String {
    format!("K{}+{:03}+{:05}", file_name(apex), key.algorithm.number(), key.tag())
}

/// A name as a part of a path, with the dot at its end.
pub(crate) fn file_name(apex: &Name) -> String {
    let text = apex.to_string().replace('/', "\\047");
    if text.ends_with('.') { text } else { format!("{text}.") }
}

/// The text of the `.key` file.
pub(crate) fn public_text(apex: &Name, key: &Key) -> String {
    let role = if key.is_entry() { "key-signing" } else { "zone-signing" };
    let apex = if apex.labels() == 0 { ".".to_owned() } else { format!("{apex}.") };
    format!(
        "; This is a {role} key, keyid {}, for {apex}\n{apex} IN DNSKEY {} 3 {} {}\n",
        key.tag(),
        key.flags(),
        key.algorithm.number(),
        base64::encode_string(key.public())
    )
}

/// The text of the `.private` file.
pub(crate) fn private_text(key: &Key, private: &[u8]) -> String {
    let mut text = String::from("Private-key-format: v1.3\n");
    let word = match key.algorithm {
        Algorithm::EcdsaP256 => "ECDSAP256SHA256",
        Algorithm::Ed25519 => "ED25519",
    };
    // Writing to a text does not fail.
    let _ = writeln!(text, "Algorithm: {} ({word})", key.algorithm.number());
    let _ = writeln!(text, "PrivateKey: {}", base64::encode_string(private));
    text
}

/// The key of the texts of both files.
pub(crate) fn key(apex: &Name, public: &str, private: &str) -> Result<Key, String> {
    let line =
        public.lines().map(|line| line.split(';').next().unwrap_or("")).find(|line| line.contains("DNSKEY"));
    let mut words = line.ok_or("its .key has no DNSKEY")?.split_whitespace();
    let owner: Name = words.next().unwrap_or("").parse().map_err(|error| format!("its owner: {error}"))?;
    if owner != *apex {
        return Err(format!("it is a key of {owner}, not of {apex}"));
    }
    let mut words = words.skip_while(|word| *word != "DNSKEY").skip(1);
    let mut number = || words.next().and_then(|word| word.parse::<u16>().ok());
    let (Some(flags), Some(3), Some(algorithm)) = (number(), number(), number()) else {
        return Err("its .key has no flags, protocol 3 and algorithm".to_owned());
    };
    let algorithm = u8::try_from(algorithm).ok().and_then(Algorithm::of_number).ok_or_else(|| {
        format!("it is of algorithm {algorithm}: 13 (ECDSA P-256) and 15 (Ed25519) are understood")
    })?;
    if flags & !1 != 256 {
        return Err(format!("its flags are {flags}: 256 and 257 are understood"));
    }
    let digits: String = words.collect();
    let public: Vec<u8> = base64::decode(&digits).map_err(|_| "its .key is not in base 64")?;
    let field = |name: &str| {
        let line = private.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim)
    };
    let of = field("Algorithm").and_then(|text| text.split_whitespace().next()?.parse::<u8>().ok());
    if of != Some(algorithm.number()) {
        return Err("its .private is of another algorithm than its .key".to_owned());
    }
    let secret = field("PrivateKey").ok_or("its .private has no PrivateKey")?;
    let secret: Vec<u8> = base64::decode(secret).map_err(|_| "its .private is not in base 64")?;
    Key::from_parts(algorithm, flags, &secret, &public)
        .map_err(|_| "its two files do not belong together".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_the_same_when_it_is_read_again() {
        for (algorithm, name) in [
            (Algorithm::EcdsaP256, "shop.test"),
            (Algorithm::Ed25519, "."),
            (Algorithm::Ed25519, "a\\/b.test"),
        ] {
            let apex: Name = name.parse().unwrap();
            let made = Key::generate(algorithm, true).unwrap();
            let (public, private) =
                (public_text(&apex, &made), private_text(&made, &made.private().unwrap()));
            let read = key(&apex, &public, &private).unwrap();
            assert_eq!(read.dnskey(), made.dnskey());
            assert!(!stem(&apex, &made).contains('/'));
            let other: Name = "other.test".parse().unwrap();
            assert!(key(&other, &public, &private).unwrap_err().contains("not of other.test"));
            let stranger = Key::generate(algorithm, true).unwrap();
            let wrong = private_text(&stranger, &stranger.private().unwrap());
            assert_eq!(key(&apex, &public, &wrong).unwrap_err(), "its two files do not belong together");
        }
    }

    /// As dnssec-keygen of BIND 9.18 writes them.
    #[test]
    fn keys_of_bind_are_read() {
        let apex: Name = "example.net".parse().unwrap();
        let public = "; This is a key-signing key, keyid 55648, for example.net.\n; Created: 20260101000000 (Thu Jan  1 00:00:00 2026)\n\
            example.net. 3600 IN DNSKEY 257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edb krSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==\n";
        let private = "Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\n\
            PrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=\nCreated: 20260101000000\nPublish: 20260101000000\n";
        let read = key(&apex, public, private).unwrap();
        assert_eq!(stem(&apex, &read), "Kexample.net.+013+55648");
        for (from, to, said) in [
            ("257 3 13", "257 3 8", "it is of algorithm 8: 13 (ECDSA P-256) and 15 (Ed25519) are understood"),
            ("257 3 13", "385 3 13", "its flags are 385: 256 and 257 are understood"),
            ("DNSKEY", "TXT", "its .key has no DNSKEY"),
        ] {
            let wrong = key(&apex, &public.replace(from, to), private).unwrap_err();
            assert_eq!(wrong, said);
        }
    }

    proptest! {
        #[test]
        fn any_files_are_a_key_or_say_why_not(
            public in any::<String>(),
            private in any::<String>(),
            data in proptest::collection::vec(any::<u8>(), 0..80),
            algorithm in proptest::sample::select(vec![13u8, 15, 8]),
        ) {
            let apex: Name = "shop.test".parse().unwrap();
            prop_assert!(key(&apex, &public, &private).is_err());
            let public = format!("shop.test. IN DNSKEY 257 3 {algorithm} {}", base64::encode_string(&data));
            let private = format!("Algorithm: {algorithm}\nPrivateKey: {}\n{private}", base64::encode_string(&data));
            prop_assert!(key(&apex, &public, &private).is_err());
        }
    }
}
