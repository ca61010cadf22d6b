//! Any query or cookie of a signed route: nobody is let in by what was not signed, and nothing of a signature is left of it.
#![no_main]

use admission::Signed;
use admission::signed::{Asked, Grant, Scope, Token, retain_other_cookies, retain_others};
use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ENDS: u64 = 1_767_225_600;

static SIGNED: LazyLock<Signed> = LazyLock::new(|| {
    let secret = std::env::temp_dir().join(format!("nines-fuzz-signed-{}", std::process::id()));
    std::fs::write(&secret, "0123456789abcdef".repeat(2)).expect("a file");
    let key = notation::Secret::File(secret.clone());
    let keys = [(notation::Name::new("k1"), key)].into();
    let config = admission::SignedConfig { keys, cookie: notation::Name::new("s") };
    let signed = Signed::load(&config, Path::new("/")).expect("a key");
    let _gone = std::fs::remove_file(secret);
    signed
});

fn asked(query: &[u8]) -> Asked<'_> {
    Asked { host: b"a.test", path: b"/a", query, client: CLIENT }
}

fuzz_target!(|bytes: &[u8]| {
    let now = UNIX_EPOCH + Duration::from_secs(ENDS - 1);
    let (cookie, asked_for) = ([b"s=", bytes].concat(), [b"?", bytes].concat());
    for query in [&asked_for[..], b""] {
        assert!(SIGNED.judge(&asked(query), [&cookie[..]].into_iter(), now).is_err());
    }
    if let Ok(Some(token)) = Token::parse(bytes) {
        let mut written = Vec::new();
        token.write(&mut written);
        assert_eq!(Token::parse(&written), Ok(Some(token)));
    }
    let mut query = asked_for.clone();
    let length = retain_others(&mut query);
    query.truncate(length);
    assert_eq!(Token::parse(&query), Ok(None));
    let again = retain_others(&mut query.clone());
    assert_eq!(again, length, "twice is once");
    // Whatever else is asked for can be signed, and is then let in.
    let grant = Grant {
        host: b"a.test",
        scope: &Scope::Url([b"/a", &query[..]].concat()),
        expires_unix_s: ENDS,
        client: None,
    };
    let mut signed = if query.is_empty() { b"?".to_vec() } else { [&query[..], b"&"].concat() };
    SIGNED.sign("k1", &grant).expect("a key").write(&mut signed);
    assert_eq!(SIGNED.judge(&asked(&signed), [&cookie[..]].into_iter(), now), Ok(()));
    let mut cookies = bytes.to_vec();
    let length = retain_other_cookies(&mut cookies, b"s");
    let again = retain_other_cookies(&mut cookies[..length].to_vec(), b"s");
    assert_eq!(again, length);
});
