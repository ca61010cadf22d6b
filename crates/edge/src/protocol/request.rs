//! A request head: parsed by `httparse`, then held against everything that a strict server must refuse.

use super::body::Body;
use super::field::{Field, FieldKind};
use super::head::{self, BadHead, Connection, Span, Version};
use super::method::Method;
use super::target::{TargetForm, host_without_port, is_valid_host, normalized_path};
use std::mem::MaybeUninit;

/// What a request head may measure.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// Bytes of the head.
    pub head_bytes_max: usize,
    /// Header fields.
    pub fields_max: usize,
}

/// Header fields parsed without an allocation; a head with more takes the slow way.
const FIELDS_ON_STACK: usize = 64;

/// A request head, as places in the buffer it was read into. Reused from one request to the next.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    /// Bytes of the head, its empty line included.
    pub len: usize,
    /// The method.
    pub method: Method,
    /// The method's name as written.
    pub method_name: Span,
    /// The path, starting with `/`, or `*`. Empty means `/`.
    pub path: Span,
    /// The query with its `?`, or empty.
    pub query: Span,
    /// The host and port the request is for; `None` only in HTTP/1.0.
    pub host: Option<Span>,
    /// The request's version.
    pub version: Version,
    /// How the body is framed.
    pub body: Body,
    /// What `Connection` says.
    pub connection: Connection,
    /// The protocol wished for, when the wish is one that may be passed on.
    pub upgrade: Option<Upgrade>,
    /// `Expect: 100-continue`.
    pub expects_continue: bool,
    /// `TE: trailers`.
    pub takes_trailers: bool,
    /// There is a `Content-Length`.
    says_length: bool,
    /// All header fields, in their order.
    pub fields: Vec<Field>,
}

/// A protocol that the client would like to change to (RFC 9110 §7.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrade(pub Span);

impl RequestHead {
    /// Parses the head at the start of `bytes`. `Ok(false)`: it is not whole yet.
    /// `searched` is how many bytes an earlier call has seen, so that slow heads cost no more than fast ones.
    pub fn parse(&mut self, bytes: &[u8], searched: usize, limits: RequestLimits) -> Result<bool, BadHead> {
        let Some(len) = head::end_of_head(bytes, searched)? else {
            return if bytes.len() >= limits.head_bytes_max {
                Err(too_large(bytes, limits))
            } else {
                Ok(false)
            };
        };
        if len > limits.head_bytes_max {
            return Err(too_large(bytes, limits));
        }
        let head = &bytes[..len];
        self.clear();
        self.len = len;
        if limits.fields_max <= FIELDS_ON_STACK {
            let mut fields = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
            self.read(head, &mut fields[..limits.fields_max])?;
        } else {
            match self.read(head, &mut [const { MaybeUninit::uninit() }; FIELDS_ON_STACK]) {
                Err(BadHead::TooManyFields) => {
                    self.clear();
                    self.len = len;
                    self.read(head, &mut vec![MaybeUninit::uninit(); limits.fields_max])?;
                }
                other => other?,
            }
        }
        self.check_expectations(head)?;
        Ok(true)
    }

    /// Notes that the head came in frames, which tell the body's end. `is_whole`: there is none.
    pub(crate) fn set_framed(&mut self, version: Version, is_whole: bool) {
        self.version = version;
        if is_whole {
            self.body = Body::none();
        } else if self.upgrade.is_none() && self.body.bytes_left() == Some(0) && !self.says_length {
            self.body = Body::until_close();
        }
    }

    /// Forgets the last request, but not its memory.
    pub(crate) fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    fn read<'b>(
        &mut self,
        head: &'b [u8],
        fields: &mut [MaybeUninit<httparse::Header<'b>>],
    ) -> Result<(), BadHead> {
        let mut request = httparse::Request::new(&mut []);
        let status = request.parse_with_uninit_headers(head, fields).map_err(|error| refused(head, error))?;
        if status != httparse::Status::Complete(head.len()) {
            // An empty line that httparse takes for the head's end elsewhere than we do.
            return Err(BadHead::BareLineBreak);
        }
        self.version = if request.version == Some(1) { Version::Http11 } else { Version::Http10 };
        let method = request.method.unwrap_or_default().as_bytes();
        self.method = Method::of(method);
        self.method_name = Span::of(method, head);

        let mut host: Option<&[u8]> = None;
        let mut content_length = None;
        let mut chunked = false;
        let mut upgrade = None;
        for field in request.headers.iter() {
            let (name, value) = (field.name.as_bytes(), field.value);
            let kind = FieldKind::of_request(name);
            self.fields.push(Field { name: Span::of(name, head), value: Span::of(value, head), kind });
            match kind {
                FieldKind::Host if host.replace(value).is_some() => return Err(BadHead::HostRepeated),
                FieldKind::Connection => self.connection.read(value),
                FieldKind::ContentLength if content_length.is_some() => {
                    return Err(BadHead::ContentLengthRepeated);
                }
                FieldKind::ContentLength => content_length = Some(head::content_length(value)?),
                FieldKind::TransferEncoding => {
                    if chunked || !value.eq_ignore_ascii_case(b"chunked") || self.version == Version::Http10 {
                        return Err(BadHead::TransferEncoding);
                    }
                    chunked = true;
                }
                FieldKind::Upgrade => upgrade = Some(Upgrade(Span::of(value, head))),
                FieldKind::Expect => self.expects_continue = true,
                FieldKind::Te => {
                    self.takes_trailers |=
                        head::list(value).any(|token| token.eq_ignore_ascii_case(b"trailers"));
                }
                _ => {}
            }
        }
        self.says_length = content_length.is_some();
        self.body = match (content_length, chunked) {
            (Some(_), true) => return Err(BadHead::LengthAndEncoding),
            (None, true) => Body::chunked(),
            (Some(length), false) => Body::length(length),
            (None, false) => Body::none(),
        };
        self.read_target(head, request.path.unwrap_or_default().as_bytes(), host)?;
        // RFC 9110 §7.8: only with `Connection: upgrade`. A wish for h2c is dropped: what follows it would
        // pass by every rule here; with a body it is ignored, as the RFC allows.
        self.upgrade = upgrade.filter(|Upgrade(protocol)| {
            self.connection.upgrade
                && self.version == Version::Http11
                && self.body.is_finished()
                && !head::list(protocol.of_head(head)).any(|name| name.eq_ignore_ascii_case(b"h2c"))
        });
        Ok(())
    }

    fn read_target(&mut self, head: &[u8], target: &[u8], host: Option<&[u8]>) -> Result<(), BadHead> {
        if host.is_none() && self.version == Version::Http11 {
            return Err(BadHead::HostMissing);
        }
        if host.is_some_and(|host| !is_valid_host(host)) {
            return Err(BadHead::HostInvalid);
        }
        self.host = host.map(|host| Span::of(host, head));
        // The authority form is CONNECT's alone, and CONNECT is refused whatever it asks for.
        if self.method == Method::Connect {
            self.path = Span::of(target, head);
            return if is_valid_host(target) { Ok(()) } else { Err(BadHead::TargetForm) };
        }
        let target = TargetForm::parse(target, self.method == Method::Options)?;
        self.path = Span::of(target.path, head);
        self.query = Span::of(target.query, head);
        if target.authority.is_some_and(|authority| !is_valid_host(authority)) {
            return Err(BadHead::HostInvalid);
        }
        if let (Some(host), Some(authority)) = (host, target.authority)
            && !host.eq_ignore_ascii_case(authority)
        {
            return Err(BadHead::HostContradicts);
        }
        self.host = target.authority.or(host).map(|host| Span::of(host, head));
        Ok(())
    }

    /// RFC 9110 §10.1.1 lets a server refuse expectations that it does not know; it knows one.
    fn check_expectations(&self, head: &[u8]) -> Result<(), BadHead> {
        let is_unknown = |field: &Field| {
            field.kind == FieldKind::Expect
                && !field.value.of_head(head).eq_ignore_ascii_case(b"100-continue")
        };
        if self.fields.iter().any(is_unknown) { Err(BadHead::Expectation) } else { Ok(()) }
    }

    /// Whether the client keeps the connection open after this exchange.
    pub fn persists(&self) -> bool {
        self.connection.persists(self.version)
    }

    /// Writes the host and the path in the form that sites and routes are looked up by: the host in lower case
    /// without its port, empty where there is none; the path normalised.
    pub(crate) fn write_looked_up(&self, head: &[u8], host: &mut Vec<u8>, path: &mut Vec<u8>) {
        host.clear();
        if let Some(authority) = self.host {
            host.extend_from_slice(host_without_port(authority.of_head(head)));
            host.make_ascii_lowercase();
        }
        path.clear();
        path.extend_from_slice(&normalized_path(self.path.of_head(head)));
        if path.is_empty() {
            path.push(b'/');
        }
    }

    /// The value of the first field of this kind.
    pub fn value<'a>(&self, head: &'a [u8], kind: FieldKind) -> Option<&'a [u8]> {
        self.fields.iter().find(|field| field.kind == kind).map(|field| field.value.of_head(head))
    }

    /// The value of the first field of this name.
    pub fn value_of<'a>(&self, head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        let is_named = |field: &&Field| field.name.of_head(head).eq_ignore_ascii_case(name);
        self.fields.iter().find(is_named).map(|field| field.value.of_head(head))
    }

    /// The values of all fields of this name.
    pub fn values_of<'a>(&self, head: &'a [u8], name: &[u8]) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let is_named = move |field: &&Field| field.name.of_head(head).eq_ignore_ascii_case(name);
        self.fields.iter().filter(is_named).map(|field| field.value.of_head(head))
    }

    /// The value of the first cookie of this name (RFC 6265 §4.2.1).
    pub fn cookie<'a>(&self, head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        self.fields.iter().filter(|field| field.kind == FieldKind::Cookie).find_map(|field| {
            field.value.of_head(head).split(|byte| *byte == b';').find_map(|pair| {
                let (key, value) = pair.trim_ascii().split_at_checked(name.len())?;
                (key == name).then(|| value.strip_prefix(b"="))?
            })
        })
    }
}

fn too_large(bytes: &[u8], limits: RequestLimits) -> BadHead {
    match memchr::memchr(b'\n', &bytes[..limits.head_bytes_max.min(bytes.len())]) {
        Some(_) => BadHead::TooLarge,
        None => BadHead::TargetTooLong,
    }
}

/// What httparse's error means; it says "token" both for the method and for the target.
fn refused(head: &[u8], error: httparse::Error) -> BadHead {
    match error {
        httparse::Error::HeaderName => BadHead::FieldName,
        httparse::Error::HeaderValue => BadHead::FieldValue,
        httparse::Error::NewLine => BadHead::RequestLine,
        httparse::Error::TooManyHeaders => BadHead::TooManyFields,
        httparse::Error::Version => {
            let line = &head[..memchr::memchr(b'\r', head).unwrap_or(head.len())];
            // "HTTP/2.0" is a version that we do not speak; "HTTP/1.x" or "HTPP" is none at all.
            let is_version = |text: &[u8]| {
                matches!(text, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                    if major.is_ascii_digit() && minor.is_ascii_digit())
            };
            let mut parts = line.split(|byte| *byte == b' ').skip(2);
            match (parts.next(), parts.next()) {
                (Some(version), None) if is_version(version) => BadHead::Version,
                _ => BadHead::RequestLine,
            }
        }
        httparse::Error::Token => {
            let line = &head[..memchr::memchr(b'\r', head).unwrap_or(head.len())];
            let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
            if target.iter().all(u8::is_ascii_graphic) {
                BadHead::RequestLine
            } else {
                BadHead::TargetCharacter
            }
        }
        httparse::Error::Status => BadHead::RequestLine,
    }
}
