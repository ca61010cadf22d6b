//! Signed requests (RFC 8555 §6.2).

use super::{Inner, Problem};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

/// A request whose signature holds.
pub(super) struct Signed {
    pub(super) by: Signer,
    /// `Null` for POST-as-GET.
    pub(super) payload: Value,
}

/// Who has signed it.
pub(super) enum Signer {
    /// A key that came with it.
    Key { public_key: Vec<u8>, thumbprint: String, jwk: Value },
    /// An account.
    Account(usize),
}

pub(super) fn base64(text: &Value) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text.as_str()?).ok()
}

/// Checks the signature, the URL and the nonce, which is used up.
pub(super) fn verify(inner: &mut Inner, base: &str, path: &str, body: &[u8]) -> Result<Signed, Problem> {
    let malformed = |what: &str| Problem::new(400, "malformed", what);
    let body: Value = serde_json::from_slice(body).map_err(|_| malformed("no JSON"))?;
    let header = base64(&body["protected"]).ok_or_else(|| malformed("no header"))?;
    let header: Value = serde_json::from_slice(&header).map_err(|_| malformed("no header"))?;
    if header["alg"] != "ES256" {
        return Err(Problem::new(400, "badSignatureAlgorithm", "ES256 only"));
    }
    if header["url"] != format!("{base}{path}") {
        return Err(Problem::new(401, "unauthorized", format!("signed for {}", header["url"])));
    }
    let is_known = header["nonce"].as_str().is_some_and(|nonce| inner.nonces.remove(nonce));
    if !is_known || inner.script.bad_nonces > 0 {
        inner.script.bad_nonces = inner.script.bad_nonces.saturating_sub(1);
        return Err(Problem::new(400, "badNonce", "not one of ours"));
    }
    let (by, public_key) = signer(inner, base, &header)?;
    let [protected, payload] = ["protected", "payload"].map(|part| body[part].as_str().unwrap_or_default());
    let signature = base64(&body["signature"]).ok_or_else(|| malformed("no signature"))?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &public_key)
        .verify(format!("{protected}.{payload}").as_bytes(), &signature)
        .map_err(|_| malformed("the signature does not hold"))?;
    let payload = base64(&body["payload"]).ok_or_else(|| malformed("no payload"))?;
    let payload = if payload.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&payload).map_err(|_| malformed("the payload is no JSON"))?
    };
    Ok(Signed { by, payload })
}

fn signer(inner: &Inner, base: &str, header: &Value) -> Result<(Signer, Vec<u8>), Problem> {
    if let Some(account) = header["kid"].as_str() {
        let number =
            account.strip_prefix(&format!("{base}/account/")).and_then(|it| it.parse::<usize>().ok());
        let known = number.and_then(|number| Some((number, inner.accounts.get(number)?)));
        let Some((number, account)) = known.filter(|(_, account)| !account.is_lost) else {
            return Err(Problem::new(400, "accountDoesNotExist", "no such account"));
        };
        return Ok((Signer::Account(number), account.public_key.clone()));
    }
    let jwk = header["jwk"].clone();
    let (Some(x), Some(y)) = (base64(&jwk["x"]), base64(&jwk["y"])) else {
        return Err(Problem::new(400, "badPublicKey", "no P-256 key"));
    };
    let public_key = [&[4], x.as_slice(), y.as_slice()].concat();
    // RFC 7638 §3.2: these members, in this order.
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
    let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()));
    Ok((Signer::Key { public_key: public_key.clone(), thumbprint, jwk }, public_key))
}

/// Whether a binding (RFC 8555 §7.3.4) is of this key, for this account key.
pub(super) fn is_bound(binding: &Value, url: &str, jwk: &Value, (key_id, key): (&str, &[u8])) -> bool {
    let [protected, payload] =
        ["protected", "payload"].map(|part| binding[part].as_str().unwrap_or_default());
    let header: Value = base64(&binding["protected"])
        .and_then(|header| serde_json::from_slice(&header).ok())
        .unwrap_or_default();
    let bound: Value =
        base64(&binding["payload"]).and_then(|it| serde_json::from_slice(&it).ok()).unwrap_or_default();
    let tag = base64(&binding["signature"]).unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    header["alg"] == "HS256"
        && header["kid"] == key_id
        && header["url"] == url
        && bound == *jwk
        && hmac::verify(&key, format!("{protected}.{payload}").as_bytes(), &tag).is_ok()
}
