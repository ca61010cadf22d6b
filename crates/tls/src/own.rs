//! `tls = "self-signed"`: certificates by an authority of this node's own, kept under `<data>/tls`.
//!
//! Whoever is to believe them trusts `ca.pem` once. The authority's key and those of the certificates are
//! readable to the owner only and never leave the folder. A key stands in one file with its certificate, and a
//! file is written beside and moved into place: what is found is whole, and belongs together, whenever a node ended
//! or another took over.

use crate::error::Error;
use crate::facts::Facts;
use crate::pem;
use crate::watched::Files;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DAY: u64 = 86_400;
/// How long the authority is good for.
const AUTHORITY_DAYS: u64 = 3650;
/// How long a certificate is good for.
const CERTIFICATE_DAYS: u64 = 90;
/// How long before its end a certificate is made anew.
const RENEW_DAYS: u64 = 30;
/// Certificates are good since a little earlier, for clients whose clock is behind.
const SINCE: u64 = 3600;

/// Where a certificate begins in PEM.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// The authority of a data folder.
pub(crate) struct OwnAuthority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    subject: Vec<u8>,
}

impl OwnAuthority {
    /// The authority of a node, made when there is none that outlives its certificates.
    pub(crate) fn open(data: &Path, now: u64) -> Result<Self, Error> {
        let folder = data.join("tls");
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        let path = folder.join("authority.pem");
        let (authority, shown) = match Self::kept_at(&path, &folder, now)? {
            Some((authority, certificate)) => (authority, certificate),
            None => Self::make(&path, folder, now)?,
        };
        // The file for users holds no secret, and comes back if they lose it.
        let shown_path = authority.folder.join("ca.pem");
        if std::fs::read_to_string(&shown_path).ok().as_deref() != Some(&shown) {
            write(&shown_path, &shown, 0o644)?;
        }
        Ok(authority)
    }

    /// The authority that was made before, with its certificate in PEM; `None` when it is time for another.
    fn kept_at(path: &Path, folder: &Path, now: u64) -> Result<Option<(Self, String)>, Error> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(path)(error)),
        };
        let certificate = pem::certificates(&mut Files::default(), path)?.remove(0);
        let key = KeyPair::from_pem(&text)
            .map_err(|error| Error::Key { path: path.to_owned(), cause: error.to_string() })?;
        let params = authority_params(&key, now);
        let unreadable = || Error::Certificate { path: path.to_owned(), cause: "it cannot be read".into() };
        let facts = Facts::of(&certificate).ok_or_else(unreadable)?;
        // Its name is made from its key: a certificate of another key has another.
        if facts.subject != subject_of(&params, &key, path)? {
            return Err(Error::Mismatch { key: path.to_owned(), cert: path.to_owned() });
        }
        if facts.not_after <= now + CERTIFICATE_DAYS * DAY {
            return Ok(None);
        }
        // The key stands before it; see `make`.
        let shown = text.find(CERTIFICATE).and_then(|at| text.get(at..)).ok_or_else(unreadable)?.to_owned();
        let issuer = Issuer::new(params, key);
        Ok(Some((Self { folder: folder.to_owned(), issuer, subject: facts.subject }, shown)))
    }

    fn make(path: &Path, folder: PathBuf, now: u64) -> Result<(Self, String), Error> {
        let fails = failure("the node's own authority");
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(&fails)?;
        let params = authority_params(&key, now);
        let certificate = params.self_signed(&key).map_err(&fails)?;
        let shown = certificate.pem();
        write(path, &(key.serialize_pem() + &shown), 0o600)?;
        tracing::info!(
            target: "tls", file = %folder.join("ca.pem").display(),
            "made a certificate authority for this node; clients that trust its file believe its certificates"
        );
        let subject = Facts::of(certificate.der()).map(|facts| facts.subject).unwrap_or_default();
        Ok((Self { folder, issuer: Issuer::new(params, key), subject }, shown))
    }

    /// The certificate for a site, kept from before while it is good; and when to ask again, in seconds since
    /// 1970.
    pub(crate) fn certificate(&self, site: &str, now: u64) -> Result<(CertifiedKey, u64), Error> {
        let path = self.folder.join(file_name(site));
        if let Ok((kept, not_after)) = self.kept(&path, site)
            && not_after > now + RENEW_DAYS * DAY
        {
            return Ok((kept, not_after - RENEW_DAYS * DAY));
        }
        let fails = failure(site);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(&fails)?;
        let mut params = CertificateParams::new(names(site)).map_err(&fails)?;
        params.distinguished_name = common_name("nines");
        set_validity(&mut params, now.saturating_sub(SINCE), now + CERTIFICATE_DAYS * DAY);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(&fails)?;
        write(&path, &(certificate.pem() + &key.serialize_pem()), 0o600)?;
        let (made, not_after) = self.kept(&path, site)?;
        Ok((made, not_after - RENEW_DAYS * DAY))
    }

    /// The certificate that was made before, if it is for this site and of this authority; and its end.
    fn kept(&self, path: &Path, site: &str) -> Result<(CertifiedKey, u64), Error> {
        let mut files = Files::default();
        let chain = pem::certificates(&mut files, path)?;
        let key = pem::private_key(&mut files, path)?;
        let kept = pem::certified(chain, key, path, path)?;
        let stale = |cause: &str| Error::Certificate { path: path.to_owned(), cause: cause.into() };
        let certificate = kept.cert.first().ok_or_else(|| stale("it is missing"))?;
        let facts = Facts::of(certificate).ok_or_else(|| stale("it cannot be read"))?;
        if facts.issuer != self.subject {
            return Err(stale("it is of another authority"));
        }
        let parsed = ParsedCertificate::try_from(certificate).map_err(|error| stale(&error.to_string()))?;
        for name in names(site) {
            let name = name.replace('*', "nines");
            let name = ServerName::try_from(name).map_err(|_| stale("it is for no host"))?;
            rustls::client::verify_server_name(&parsed, &name)
                .map_err(|_| stale("it is for another site"))?;
        }
        Ok((kept, facts.not_after))
    }
}

/// What the certificate of a site is for.
fn names(site: &str) -> Vec<String> {
    match site {
        "default" => ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec(),
        // An IPv6 address stands in brackets in a host.
        host => vec![host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()],
    }
}

/// A file's name without anything that could lead elsewhere.
fn file_name(site: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
    format!("site-{}.pem", site.chars().map(plain).collect::<String>())
}

fn authority_params(key: &KeyPair, now: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    let digits: String =
        params.key_identifier(key).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name = common_name(&format!("nines authority {digits}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now.saturating_sub(SINCE), now + AUTHORITY_DAYS * DAY);
    params.serial_number = Some(SerialNumber::from(1u64));
    params
}

/// The subject that these parameters give, as it stands in a certificate.
fn subject_of(params: &CertificateParams, key: &KeyPair, path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = || Error::Certificate { path: path.to_owned(), cause: "it cannot be read".into() };
    let same = params.self_signed(key).map_err(failure("the node's own authority"))?;
    Ok(Facts::of(same.der()).ok_or_else(unreadable)?.subject)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// Sets from when to when, in seconds since 1970.
fn set_validity(params: &mut CertificateParams, from: u64, to: u64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from);
    params.not_after = epoch + Duration::from_secs(to);
}

fn failure(name: &str) -> impl Fn(rcgen::Error) -> Error {
    move |error| Error::SelfSigned { name: name.to_owned(), cause: error.to_string() }
}

/// Writes a whole file or none.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let written = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    written().map_err(|error| {
        // Best effort: the error that counts is the first.
        let _ = std::fs::remove_file(&beside);
        Error::io(path)(error)
    })
}
