//! What a message came over.

/// What a message came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A datagram: answers have a size, and a client's address proves nothing.
    Udp,
    /// A stream (RFC 7766).
    Tcp,
    /// A stream under TLS (RFC 7858).
    Tls,
    /// HTTP (RFC 8484).
    Https,
}

impl Transport {
    /// The word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
        }
    }

    /// Whether nobody on the way can read it. Only then padding hides anything (RFC 7830 §6).
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Https)
    }
}
