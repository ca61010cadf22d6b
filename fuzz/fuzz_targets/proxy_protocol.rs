//! Any first bytes of a connection: what comes in pieces says what it says at once, a header is as long as it says, and
//! what was read can be sent on and read again.
#![no_main]

use admission::proxy_protocol::{Extras, HEADER_BYTES_MAX, Header, Origin, parse, write_v1, write_v2};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    for end in 0..bytes.len().min(300) {
        match parse(&bytes[..end]) {
            Ok(None) => {}
            Ok(Some((header, length))) => {
                assert_eq!(length, end, "not before its last byte, and not later");
                assert_eq!(whole, Ok(Some((header, length))));
                break;
            }
            Err(bad) => {
                assert!(whole.is_err(), "{bad} after {end} bytes, and well after all");
                break;
            }
        }
    }
    match whole {
        Ok(Some((header, length))) => {
            assert!(length <= bytes.len() && length <= HEADER_BYTES_MAX);
            assert_eq!(
                parse(&bytes[..length]),
                Ok(Some((header.clone(), length))),
                "what follows does not matter"
            );
            sent_on(&header);
        }
        Ok(None) => assert!(bytes.len() < HEADER_BYTES_MAX, "no header is longer"),
        Err(_) => {}
    }
});

fn sent_on(header: &Header) {
    let ssl = header.tlvs.ssl();
    let (_, _, _) = (header.tlvs.unique_id(), header.tlvs.iter().count(), ssl);
    let Origin::Stream { source, destination } = header.origin else { return };
    let extras = Extras {
        authority: header.tlvs.authority(),
        alpn: header.tlvs.alpn(),
        ssl_version: ssl.and_then(|ssl| ssl.version),
        checksum: true,
    };
    let mut out = Vec::new();
    write_v2(&mut out, source, destination, &extras);
    let (again, length) = parse(&out).expect("ours is well formed").expect("ours is whole");
    assert_eq!(length, out.len());
    let canonical =
        |header: &Header| header.client().map(|client| (client.ip().to_canonical(), client.port()));
    assert_eq!(canonical(&again), canonical(header));
    assert_eq!(again.tlvs.authority(), extras.authority.filter(|name| name.len() <= 255));
    out.clear();
    write_v1(&mut out, source, destination);
    assert_eq!(parse(&out).expect("ours is well formed").expect("ours is whole").1, out.len());
}
