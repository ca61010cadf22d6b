//! The name in a client's first message of TLS is the one that a TLS library reads there, and an answer never changes
//! with what follows.
#![no_main]

use layer4::client_hello::{HELLO_BYTES_MAX, Hello, read};
use libfuzzer_sys::fuzz_target;
use rustls::server::Acceptor;

fuzz_target!(|bytes: &[u8]| {
    let answer = read(bytes);
    assert!(answer != Hello::Incomplete || bytes.len() < HELLO_BYTES_MAX);
    let half = read(&bytes[..bytes.len() / 2]);
    assert!(half == Hello::Incomplete || half == answer, "{half:?}, and then {answer:?}");

    let Some(asked) = by_rustls(bytes) else { return };
    match answer {
        // A name that cannot be one of the file's leads nowhere else by being read.
        Hello::Other => assert!(asked.is_none() || bytes.len() > HELLO_BYTES_MAX, "{asked:?} is not found"),
        Hello::Incomplete => panic!("rustls has read all of it"),
        Hello::Tls { server_name } => {
            let asked = asked.map(|name| name.strip_suffix('.').map(str::to_owned).unwrap_or(name));
            assert!(asked.is_none() || asked == server_name, "{server_name:?} is not {asked:?}");
        }
    }
});

/// What a client asks for by rustls; `None` for what that refuses.
fn by_rustls(mut bytes: &[u8]) -> Option<Option<String>> {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        acceptor.read_tls(&mut bytes).ok()?;
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                return Some(accepted.client_hello().server_name().map(str::to_ascii_lowercase));
            }
            Err(_) => return None,
        }
    }
    None
}
