//! What a finished handshake says about the other side.

use crate::clients::ClientCertificate;
use crate::config::Version;
use rustls::{CommonState, HandshakeKind, ProtocolVersion, ServerConnection};
use std::sync::Arc;

/// Facts of a connection, for logs, metrics, headers and checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The version that is spoken.
    pub version: Version,
    /// The cipher suite by IANA's name, `"TLS13_AES_256_GCM_SHA384"`.
    pub cipher: &'static str,
    /// The protocol within, if one was agreed on: `b"h2"`.
    pub alpn: Option<Box<[u8]>>,
    /// The name that the client asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// Whether the session is one of before.
    pub is_resumed: bool,
    /// The client's certificate, verified; now, or when the session that it resumes began.
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl Peer {
    /// The facts of a server's connection; `None` while its handshake is under way.
    pub fn of(connection: &ServerConnection) -> Option<Self> {
        if connection.is_handshaking() {
            return None;
        }
        let server_name = connection.server_name().map(|name| name.to_ascii_lowercase().into());
        Self::common(connection, server_name)
    }

    fn common(state: &CommonState, server_name: Option<Box<str>>) -> Option<Self> {
        let certificate = state.peer_certificates().and_then(|chain| chain.first());
        Some(Self {
            version: match state.protocol_version()? {
                ProtocolVersion::TLSv1_2 => Version::Tls12,
                _ => Version::Tls13,
            },
            cipher: state.negotiated_cipher_suite()?.suite().as_str().unwrap_or("unknown"),
            alpn: state.alpn_protocol().map(Into::into),
            server_name,
            is_resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            certificate: certificate.map(|certificate| Arc::new(ClientCertificate::of(certificate))),
        })
    }
}
