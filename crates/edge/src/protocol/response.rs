//! A response head from a backend (RFC 9112 §4), and how long its body is (§6.3).

use super::body::Body;
use super::field::{Field, FieldKind};
use super::head::{self, BadHead, Connection, Span, Version};
use super::method::Method;
use super::request::RequestLimits;
use std::mem::MaybeUninit;

const FIELDS_MAX: usize = 256;

/// A response head, as places in the buffer it was read into. Reused from one response to the next.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// Bytes of the head, its empty line included.
    pub len: usize,
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: Span,
    /// The response's version.
    pub version: Version,
    /// How the body is framed.
    pub body: Body,
    /// What `Connection` says.
    pub connection: Connection,
    /// Whether there is a `Date`.
    pub has_date: bool,
    /// All header fields, in their order.
    pub fields: Vec<Field>,
}

impl ResponseHead {
    /// Parses the head at the start of `bytes`, the answer to a request with this method.
    /// `Ok(false)`: it is not whole yet.
    pub fn parse(
        &mut self,
        bytes: &[u8],
        searched: usize,
        method: Method,
        limits: RequestLimits,
    ) -> Result<bool, BadHead> {
        let Some(len) = head::end_of_head(bytes, searched)? else {
            return if bytes.len() >= limits.head_bytes_max { Err(BadHead::TooLarge) } else { Ok(false) };
        };
        if len > limits.head_bytes_max {
            return Err(BadHead::TooLarge);
        }
        let head = &bytes[..len];
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, len, ..Self::default() };
        let mut parsed = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let status = httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut response, head, &mut parsed)
            .map_err(|error| match error {
                httparse::Error::HeaderName => BadHead::FieldName,
                httparse::Error::HeaderValue => BadHead::FieldValue,
                httparse::Error::TooManyHeaders => BadHead::TooManyFields,
                httparse::Error::Version => BadHead::Version,
                _ => BadHead::StatusLine,
            })?;
        if status != httparse::Status::Complete(len) {
            return Err(BadHead::BareLineBreak);
        }
        self.version = if response.version == Some(1) { Version::Http11 } else { Version::Http10 };
        self.status = response.code.filter(|code| (100..=999).contains(code)).ok_or(BadHead::StatusLine)?;
        self.reason = match response.reason {
            // httparse answers with a static "" where it found obs-text.
            Some(reason) if !reason.is_empty() => Span::of(reason.as_bytes(), head),
            _ => Span::default(),
        };
        self.read_fields(head, response.headers, method)?;
        Ok(true)
    }

    fn read_fields(
        &mut self,
        head: &[u8],
        parsed: &[httparse::Header<'_>],
        method: Method,
    ) -> Result<(), BadHead> {
        let mut content_length = None;
        let mut chunked = false;
        for field in parsed {
            let (name, value) = (field.name.as_bytes(), field.value);
            let kind = FieldKind::of(name);
            self.fields.push(Field { name: Span::of(name, head), value: Span::of(value, head), kind });
            match kind {
                FieldKind::Connection => self.connection.read(value),
                FieldKind::Date => self.has_date = true,
                FieldKind::ContentLength => {
                    let length = head::content_length(value)?;
                    if content_length.is_some_and(|before| before != length) {
                        return Err(BadHead::ContentLengthRepeated);
                    }
                    content_length = Some(length);
                }
                FieldKind::TransferEncoding => {
                    if chunked || !value.eq_ignore_ascii_case(b"chunked") || self.version == Version::Http10 {
                        return Err(BadHead::TransferEncoding);
                    }
                    chunked = true;
                }
                _ => {}
            }
        }
        if chunked && content_length.is_some() {
            return Err(BadHead::LengthAndEncoding);
        }
        // RFC 9112 §6.3, in its order.
        self.body = if method == Method::Head || self.status < 200 || self.status == 204 || self.status == 304
        {
            Body::none()
        } else if chunked {
            Body::chunked()
        } else if let Some(length) = content_length {
            Body::length(length)
        } else {
            Body::until_close()
        };
        Ok(())
    }

    /// The value of the first field of this name.
    pub fn value_of<'a>(&self, head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        self.values_of(head, name).next()
    }

    /// The values of all fields of this name.
    pub fn values_of<'a>(&self, head: &'a [u8], name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let is_named = move |field: &&Field| field.name.of_head(head).eq_ignore_ascii_case(name);
        self.fields.iter().filter(is_named).map(|field| field.value.of_head(head))
    }

    /// Whether the backend keeps the connection open after this response.
    pub fn persists(&self) -> bool {
        self.connection.persists(self.version) && !self.body.ends_with_connection()
    }
}
