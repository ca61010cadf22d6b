//! A certificate authority.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SignatureAlgorithm,
};
use rustls::pki_types::CertificateDer;
use std::time::SystemTime;
use x509_cert::der::asn1::{Ia5String, ObjectIdentifier};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AccessDescription, AuthorityInfoAccessSyntax, SubjectAltName};
use x509_cert::request::{CertReq, ExtensionReq};

/// Signs what it is given.
pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
    /// Where its certificates say that OCSP is answered.
    pub(crate) ocsp_url: Option<String>,
}

/// What an order says.
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

struct Key(Vec<u8>);

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key), ocsp_url: None }
    }

    /// What a request asks for, if it is signed by its key and asks for `wanted.name` alone.
    pub(crate) fn sign_request(&self, csr: &[u8], wanted: &Wanted<'_>) -> Result<String, String> {
        let request = CertReq::from_der(csr).map_err(|error| error.to_string())?;
        let key = request.info.public_key.subject_public_key.raw_bytes().to_vec();
        let signed = request.info.to_der().unwrap();
        let algorithm = &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1;
        aws_lc_rs::signature::UnparsedPublicKey::new(algorithm, &key)
            .verify(&signed, request.signature.raw_bytes())
            .map_err(|_| "the request is not signed by its key".to_owned())?;
        let names = requested_names(&request);
        if names != [wanted.name] {
            return Err(format!("the request is for {names:?}"));
        }
        Ok(self.sign(wanted, &Key(key)).pem() + &self.certificate.pem())
    }

    pub(crate) fn sign(&self, wanted: &Wanted<'_>, key: &impl PublicKeyData) -> Certificate {
        let mut params = CertificateParams::new([wanted.name.to_owned()]).unwrap();
        params.not_before = wanted.not_before.into();
        params.not_after = wanted.not_after.into();
        params.custom_extensions.extend(self.ocsp_url.as_deref().map(access_to));
        params.signed_by(key, &self.issuer).unwrap()
    }

    /// A chain for `name`, leaf first.
    pub(crate) fn chain(&self, wanted: &Wanted<'_>) -> Vec<CertificateDer<'static>> {
        let key = KeyPair::generate().unwrap();
        vec![self.sign(wanted, &key).der().clone(), self.certificate.der().clone()]
    }

    /// A certificate and its key for a server, in PEM.
    pub(crate) fn server(&self, name: &str) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().der().clone(), key)
    }

    /// A certificate of somebody who may sign OCSP responses, or not.
    pub(crate) fn responder(&self, may_sign: bool) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "responder");
        params.extended_key_usages = vec![match may_sign {
            true => ExtendedKeyUsagePurpose::OcspSigning,
            false => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        (params.signed_by(&key, &self.issuer).unwrap().der().clone(), key)
    }

    pub(crate) fn key(&self) -> &KeyPair {
        self.issuer.key()
    }
}

fn requested_names(request: &CertReq) -> Vec<String> {
    let extensions = request.info.attributes.iter().flat_map(|attribute| attribute.values.iter());
    let extensions = extensions.filter_map(|value| ExtensionReq::from_der(&value.to_der().unwrap()).ok());
    let names = extensions
        .flat_map(|extensions| extensions.0)
        .filter_map(|extension| SubjectAltName::from_der(extension.extn_value.as_bytes()).ok())
        .flat_map(|names| names.0);
    names
        .map(|name| match name {
            GeneralName::DnsName(name) => name.as_str().to_owned(),
            other => format!("{other:?}"),
        })
        .collect()
}

fn access_to(url: &str) -> CustomExtension {
    let access = AuthorityInfoAccessSyntax(vec![AccessDescription {
        access_method: ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1"),
        access_location: GeneralName::UniformResourceIdentifier(Ia5String::new(url).unwrap()),
    }]);
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access.to_der().unwrap())
}
