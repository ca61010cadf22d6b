//! What is wanted, and what the client knows and takes.

use std::borrow::Cow;

/// Request methods, as far as files tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// OPTIONS.
    Options,
    /// Any other.
    Other,
}

impl Method {
    /// The method of this name; method names are case-sensitive.
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }
}

/// A request for a file.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// What is to be done.
    pub method: Method,
    /// The path from the folder on, percent-encoded as it came: `/css/a%20b.css`. Dot segments must have been
    /// removed by who chose the route; any that is left is 404.
    pub path: Cow<'a, [u8]>,
    /// The path as the client knows it, for redirects and listings: `/docs/css/a%20b.css`.
    pub url_path: Cow<'a, [u8]>,
    /// The query with its `?`, or empty. Redirects keep it.
    pub query: Cow<'a, [u8]>,
    /// The header fields that matter to files.
    pub fields: Fields<'a>,
}

/// The request header fields that matter to files. One that came on several lines is their list (RFC 9110 §5.3);
/// where a list has no meaning, as of dates, it is malformed and thereby ignored.
#[derive(Debug, Clone, Default)]
pub struct Fields<'a> {
    /// `Accept`.
    pub accept: Option<Cow<'a, [u8]>>,
    /// `Accept-Encoding`.
    pub accept_encoding: Option<Cow<'a, [u8]>>,
    /// `If-Match`.
    pub if_match: Option<Cow<'a, [u8]>>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Option<Cow<'a, [u8]>>,
    /// `If-None-Match`.
    pub if_none_match: Option<Cow<'a, [u8]>>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<Cow<'a, [u8]>>,
    /// `If-Range`.
    pub if_range: Option<Cow<'a, [u8]>>,
    /// `Range`.
    pub range: Option<Cow<'a, [u8]>>,
}

impl<'a> Fields<'a> {
    /// Takes note of a header line. One that does not matter to files is left.
    pub fn note(&mut self, name: &[u8], value: &'a [u8]) {
        let Some(field) = self.field(name) else { return };
        match field {
            None => *field = Some(Cow::Borrowed(value)),
            Some(list) => {
                list.to_mut().extend_from_slice(b", ");
                list.to_mut().extend_from_slice(value);
            }
        }
    }

    fn field(&mut self, name: &[u8]) -> Option<&mut Option<Cow<'a, [u8]>>> {
        // Most fields of a request are none of these, and most of those differ in length.
        let (field, known) = match name.len() {
            5 => (&mut self.range, "range"),
            6 => (&mut self.accept, "accept"),
            8 if name[3].eq_ignore_ascii_case(&b'm') => (&mut self.if_match, "if-match"),
            8 => (&mut self.if_range, "if-range"),
            13 => (&mut self.if_none_match, "if-none-match"),
            15 => (&mut self.accept_encoding, "accept-encoding"),
            17 => (&mut self.if_modified_since, "if-modified-since"),
            19 => (&mut self.if_unmodified_since, "if-unmodified-since"),
            _ => return None,
        };
        name.eq_ignore_ascii_case(known.as_bytes()).then_some(field)
    }

    fn into_owned(self) -> Fields<'static> {
        Fields {
            accept: self.accept.map(owned),
            accept_encoding: self.accept_encoding.map(owned),
            if_match: self.if_match.map(owned),
            if_unmodified_since: self.if_unmodified_since.map(owned),
            if_none_match: self.if_none_match.map(owned),
            if_modified_since: self.if_modified_since.map(owned),
            if_range: self.if_range.map(owned),
            range: self.range.map(owned),
        }
    }
}

impl Request<'_> {
    /// The request with bytes of its own, for another thread.
    pub fn into_owned(self) -> Request<'static> {
        Request {
            method: self.method,
            path: owned(self.path),
            url_path: owned(self.url_path),
            query: owned(self.query),
            fields: self.fields.into_owned(),
        }
    }
}

fn owned(bytes: Cow<'_, [u8]>) -> Cow<'static, [u8]> {
    Cow::Owned(bytes.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_known_in_any_case_and_others_are_left() {
        let names = [
            "Range",
            "ACCEPT",
            "If-Match",
            "if-range",
            "If-None-Match",
            "Accept-Encoding",
            "If-Modified-Since",
            "If-Unmodified-Since",
        ];
        let mut fields = Fields::default();
        for name in names {
            fields.note(name.as_bytes(), name.as_bytes());
        }
        for other in ["Host", "Accept-Language", "if-matcx", "ranges", "Rangf", ""] {
            fields.note(other.as_bytes(), b"x");
        }
        let seen = [
            fields.range,
            fields.accept,
            fields.if_match,
            fields.if_range,
            fields.if_none_match,
            fields.accept_encoding,
            fields.if_modified_since,
            fields.if_unmodified_since,
        ];
        for (value, name) in seen.into_iter().zip(names) {
            assert_eq!(value.as_deref(), Some(name.as_bytes()));
        }
    }

    #[test]
    fn several_lines_of_a_field_are_one_list() {
        let mut fields = Fields::default();
        fields.note(b"if-none-match", b"\"a\"");
        fields.note(b"If-None-Match", b"\"b\"");
        assert_eq!(fields.if_none_match.as_deref(), Some(&b"\"a\", \"b\""[..]));
    }
}
