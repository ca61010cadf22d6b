//! An OCSP responder (RFC 6960) that says what it is told to.

use crate::authority::Authority;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{KeyPair, SigningKey};
use rustls::pki_types::CertificateDer;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use x509_cert::der::asn1::{BitString, Null, ObjectIdentifier, OctetString};
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{
    AsResponseBytes, BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspRequest, OcspResponse,
    ResponderId, ResponseData, RevokedInfo, SingleResponse, Version,
};

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");

/// What is said of a certificate, and by whom.
pub(crate) struct Said<'a> {
    pub(crate) id: CertId,
    pub(crate) status: CertStatus,
    pub(crate) this_update: SystemTime,
    pub(crate) next_update: Option<SystemTime>,
    pub(crate) key: &'a KeyPair,
    pub(crate) signer: CertificateDer<'static>,
    /// Whether the signer's certificate comes with it.
    pub(crate) brings_signer: bool,
    pub(crate) names_key: bool,
}

pub(crate) fn good() -> CertStatus {
    CertStatus::Good(Null)
}

pub(crate) fn revoked(at: SystemTime) -> CertStatus {
    let revocation_time = OcspGeneralizedTime::try_from(at).unwrap();
    CertStatus::Revoked(RevokedInfo { revocation_time, revocation_reason: None })
}

pub(crate) fn unknown() -> CertStatus {
    CertStatus::Unknown(Null)
}

/// The identifier of a chain's first certificate, as RFC 6960 §4.1.1 makes it.
pub(crate) fn id_of(chain: &[CertificateDer<'_>]) -> CertId {
    let leaf = x509_cert::Certificate::from_der(&chain[0]).unwrap().tbs_certificate;
    let issuer = x509_cert::Certificate::from_der(&chain[1]).unwrap().tbs_certificate;
    CertId {
        hash_algorithm: AlgorithmIdentifierOwned { oid: SHA1, parameters: Some(Null.into()) },
        issuer_name_hash: sha1(&issuer.subject.to_der().unwrap()),
        issuer_key_hash: sha1(issuer.subject_public_key_info.subject_public_key.raw_bytes()),
        serial_number: leaf.serial_number,
    }
}

fn sha1(data: &[u8]) -> OctetString {
    OctetString::new(digest(&SHA1_FOR_LEGACY_USE_ONLY, data).as_ref()).unwrap()
}

impl<'a> Said<'a> {
    /// "Good" for eight hours, by the issuer itself.
    pub(crate) fn by(authority: &'a Authority, id: CertId, now: SystemTime) -> Self {
        Self {
            id,
            status: good(),
            this_update: now,
            next_update: Some(now + Duration::from_secs(8 * 3600)),
            key: authority.key(),
            signer: authority.certificate.der().clone(),
            brings_signer: false,
            names_key: false,
        }
    }

    /// In DER.
    pub(crate) fn response(self) -> Vec<u8> {
        let signer = x509_cert::Certificate::from_der(&self.signer).unwrap();
        let tbs = &signer.tbs_certificate;
        let responder_id = if self.names_key {
            ResponderId::ByKey(sha1(tbs.subject_public_key_info.subject_public_key.raw_bytes()))
        } else {
            ResponderId::ByName(tbs.subject.clone())
        };
        let at = |time: SystemTime| OcspGeneralizedTime::try_from(time).unwrap();
        let data = ResponseData {
            version: Version::V1,
            responder_id,
            produced_at: at(self.this_update),
            responses: vec![SingleResponse {
                cert_id: self.id,
                cert_status: self.status,
                this_update: at(self.this_update),
                next_update: self.next_update.map(at),
                single_extensions: None,
            }],
            response_extensions: None,
        };
        let signature = self.key.sign(&data.to_der().unwrap()).unwrap();
        let basic = BasicOcspResponse {
            tbs_response_data: data,
            signature_algorithm: AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA256, parameters: None },
            signature: BitString::from_bytes(&signature).unwrap(),
            certs: self.brings_signer.then(|| vec![signer.clone()]),
        };
        assert!(basic.to_response_bytes().is_ok());
        OcspResponse::successful(basic).unwrap().to_der().unwrap()
    }
}

/// A responder, which ends with this.
pub(crate) struct Responder {
    pub(crate) url: String,
    pub(crate) script: Arc<Mutex<Answers>>,
    task: JoinHandle<()>,
}

/// How it answers.
pub(crate) struct Answers {
    pub(crate) status: StatusCode,
    /// The body for what is asked about.
    pub(crate) body: Box<dyn Fn(CertId) -> Vec<u8> + Send>,
    pub(crate) asked: usize,
}

impl Responder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ocsp", listener.local_addr().unwrap());
        let script: Arc<Mutex<Answers>> = Arc::new(Mutex::new(Answers {
            status: StatusCode::OK,
            body: Box::new(|_| Vec::new()),
            asked: 0,
        }));
        let answers = Arc::clone(&script);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answers = Arc::clone(&answers);
                let service = service_fn(move |request: Request<Incoming>| {
                    let answers = Arc::clone(&answers);
                    async move { Ok::<_, Infallible>(answer(&answers, request).await) }
                });
                tokio::spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ended = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, script, task }
    }
}

async fn answer(answers: &Mutex<Answers>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    assert_eq!(request.headers()["content-type"], "application/ocsp-request");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let asked = OcspRequest::from_der(&body).unwrap().tbs_request;
    assert_eq!(asked.request_list.len(), 1);
    let mut answers = answers.lock().unwrap();
    answers.asked += 1;
    let body = (answers.body)(asked.request_list[0].req_cert.clone());
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = answers.status;
    response
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.task.abort();
    }
}
