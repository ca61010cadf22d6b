//! Looking at a challenge, over the network, without trusting anything.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use x509_cert::der::asn1::OctetString;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// RFC 8555 §8.3.
pub(super) async fn http(to: SocketAddr, name: &str, token: &str, wanted: &str) -> Result<(), String> {
    let mut stream = TcpStream::connect(to).await.map_err(|error| error.to_string())?;
    let request = format!(
        "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no whole answer")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("{name} answers {}", head.lines().next().unwrap_or_default()));
    }
    if body.trim_end() != wanted {
        return Err(format!("{name} shows something else"));
    }
    Ok(())
}

/// RFC 8737 §3.
pub(super) async fn tls_alpn(to: SocketAddr, name: &str, key_authorization: &str) -> Result<(), String> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(tls::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let stream = TcpStream::connect(to).await.map_err(|error| error.to_string())?;
    let server_name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(server_name, stream).await.map_err(|error| error.to_string())?;
    let connection = stream.get_ref().1;
    if connection.alpn_protocol() != Some(b"acme-tls/1") {
        return Err("acme-tls/1 was not agreed on".into());
    }
    let shown = connection.peer_certificates().and_then(<[_]>::first).ok_or("no certificate")?;
    let shown = x509_cert::Certificate::from_der(shown).map_err(|error| error.to_string())?.tbs_certificate;
    let extensions = shown.extensions.unwrap_or_default();
    let find = |oid: &str| extensions.iter().find(|extension| extension.extn_id.to_string() == oid);
    let names = find("2.5.29.17").ok_or("no names")?.extn_value.as_bytes();
    let names = SubjectAltName::from_der(names).map_err(|error| error.to_string())?.0;
    let is_ours = |it: &GeneralName| matches!(it, GeneralName::DnsName(it) if it.as_str() == name);
    if names.len() != 1 || !is_ours(&names[0]) {
        return Err(format!("the certificate is for {names:?}"));
    }
    let acme = find("1.3.6.1.5.5.7.1.31").ok_or("no acmeIdentifier")?;
    let wanted = digest(&SHA256, key_authorization.as_bytes());
    let wanted = OctetString::new(wanted.as_ref()).unwrap().to_der().unwrap();
    if !acme.critical || acme.extn_value.as_bytes() != wanted {
        return Err("another acmeIdentifier".into());
    }
    Ok(())
}

#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_tls13_signature(message, certificate, signature)
    }

    // rustls' own way knows no certificate with a critical extension that it does not know.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let shown = x509_cert::Certificate::from_der(certificate).unwrap().tbs_certificate;
        let key = shown.subject_public_key_info.subject_public_key.raw_bytes().to_vec();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key)
            .verify(message, signature.signature())
            .map(|()| HandshakeSignatureValid::assertion())
            .map_err(|_| {
                rustls::Error::General("the handshake is not signed by the certificate's key".into())
            })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
