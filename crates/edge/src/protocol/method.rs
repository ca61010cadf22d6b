//! Request methods, and what may be assumed of them.

/// A request method (RFC 9110 §9).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// HEAD: as GET, but the response has no body.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// OPTIONS.
    Options,
    /// PATCH (RFC 5789).
    Patch,
    /// CONNECT, which a reverse proxy refuses.
    Connect,
    /// TRACE, which a reverse proxy refuses: it would show what we add to requests.
    Trace,
    /// Any other token.
    Other,
}

impl Method {
    /// The method of this name; method names are case-sensitive.
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"CONNECT" => Self::Connect,
            b"TRACE" => Self::Trace,
            _ => Self::Other,
        }
    }

    /// Whether no route takes it: CONNECT would make us a way to anywhere, TRACE would show what we add.
    pub fn is_refused(self) -> bool {
        matches!(self, Self::Connect | Self::Trace)
    }

    /// Whether the request may be sent twice without being asked (RFC 9110 §9.2.2).
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace)
    }
}
