//! Any bytes as an OCSP response: nothing is stapled but what the issuer, or whom it named, has signed.
#![no_main]

use acme::ocsp::judge;
use libfuzzer_sys::fuzz_target;
use rustls::pki_types::CertificateDer;
use std::time::{Duration, SystemTime};

const CHAIN: [CertificateDer<'static>; 2] = [
    CertificateDer::from_slice(include_bytes!("ocsp_response/leaf.der")),
    CertificateDer::from_slice(include_bytes!("ocsp_response/issuer.der")),
];

/// Both say "good"; the second by a responder that the issuer named.
const BELIEVED: [&[u8]; 2] =
    [include_bytes!("../corpus/ocsp_response/good"), include_bytes!("../corpus/ocsp_response/delegated")];

/// When they were made.
const NOW: Duration = Duration::from_secs(1_800_000_000);

fuzz_target!(|response: &[u8]| {
    if judge(response, &CHAIN, SystemTime::UNIX_EPOCH + NOW).is_ok() {
        // A part of what is signed: the certificate's identifier, the status and the times.
        let is_within = |believed: &&[u8]| {
            let signed = &believed[60..190];
            response.windows(signed.len()).any(|window| window == signed)
        };
        assert!(BELIEVED.iter().any(is_within), "nobody has signed this");
    }
});
