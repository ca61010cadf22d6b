//! `when`: further conditions on a request.

use crate::config::When;
use crate::json_field::{Found, JsonSearch};
use crate::protocol::{Method, RequestHead};
use notation::Name;
use std::borrow::Cow;

/// Compiled conditions; all must hold.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    methods: Vec<Box<[u8]>>,
    headers: Vec<(Box<[u8]>, Wanted)>,
    cookies: Vec<(Box<[u8]>, Wanted)>,
    queries: Vec<(Box<[u8]>, Wanted)>,
    /// By the place of the field among those that the site asks for.
    json: Vec<(usize, Box<str>, Wanted)>,
}

/// A value, or any value at all (`"*"`).
#[derive(Debug)]
enum Wanted {
    Any,
    Value(Box<[u8]>),
}

impl Wanted {
    fn is(&self, found: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Value(value) => **value == *found,
        }
    }
}

impl Conditions {
    /// `paths` are the JSON fields that the site asks for; a path that is new is added.
    pub(crate) fn compile(when: Option<&When>, paths: &mut Vec<Name>) -> Self {
        let Some(when) = when else { return Self::default() };
        let wanted = |value: &str| match value {
            "*" => Wanted::Any,
            value => Wanted::Value(value.as_bytes().into()),
        };
        let pairs = |pairs: &notation::Named<String>| {
            pairs.iter().map(|(name, value)| (name.as_bytes().into(), wanted(value))).collect()
        };
        Self {
            methods: when.method.iter().map(|method| method.as_bytes().into()).collect(),
            headers: pairs(&when.header),
            cookies: pairs(&when.cookie),
            queries: pairs(&when.query),
            json: when
                .json
                .iter()
                .map(|(path, value)| (place_of(path, paths), (**path).into(), wanted(value)))
                .collect(),
        }
    }

    /// Whether the body is asked for.
    pub(crate) fn ask_for_body(&self) -> bool {
        !self.json.is_empty()
    }

    /// Whether all hold that are not about the body.
    pub(crate) fn hold_of_head(&self, request: &RequestHead, head: &[u8]) -> bool {
        self.first_that_fails_of_head(request, head).is_none()
    }

    /// Whether those about the body hold.
    pub(crate) fn hold_of_body(&self, json: &JsonSearch<'_>) -> bool {
        self.first_that_fails_of_body(Some(json)).is_none()
    }

    /// What does not hold, in words.
    pub(crate) fn first_that_fails(
        &self,
        request: &RequestHead,
        head: &[u8],
        json: Option<&JsonSearch<'_>>,
    ) -> Option<String> {
        self.first_that_fails_of_head(request, head).or_else(|| self.first_that_fails_of_body(json))
    }

    fn first_that_fails_of_body(&self, json: Option<&JsonSearch<'_>>) -> Option<String> {
        self.json.iter().find_map(|wanted| field_that_fails(wanted, json))
    }

    fn first_that_fails_of_head(&self, request: &RequestHead, head: &[u8]) -> Option<String> {
        let name = request.method_name.of_head(head);
        // A route for GET serves HEAD as well: the answer differs in its body alone (RFC 9110 §9.3.2).
        let is_method =
            |wanted: &[u8]| wanted == name || (request.method == Method::Head && wanted == b"GET");
        if !self.methods.is_empty() && !self.methods.iter().any(|wanted| is_method(wanted)) {
            return Some(format!("method is not {}", joined(&self.methods)));
        }
        let fails = |(name, wanted): &&(Box<[u8]>, Wanted), found: Option<Cow<'_, [u8]>>, what: &str| {
            let holds = found.is_some_and(|found| wanted.is(&found));
            (!holds).then(|| match wanted {
                Wanted::Any => format!("no {what} {}", name.escape_ascii()),
                Wanted::Value(value) => {
                    format!("{what} {} is not {}", name.escape_ascii(), value.escape_ascii())
                }
            })
        };
        let header = |pair: &(Box<[u8]>, Wanted)| {
            fails(&pair, request.value_of(head, &pair.0).map(Cow::Borrowed), "header")
        };
        let cookie = |pair: &(Box<[u8]>, Wanted)| {
            fails(&pair, request.cookie(head, &pair.0).map(Cow::Borrowed), "cookie")
        };
        let query = request.query.of_head(head);
        let parameter =
            |pair: &(Box<[u8]>, Wanted)| fails(&pair, parameter(query, &pair.0), "query parameter");
        (self.headers.iter().find_map(header))
            .or_else(|| self.cookies.iter().find_map(cookie))
            .or_else(|| self.queries.iter().find_map(parameter))
    }
}

fn field_that_fails(
    (place, path, wanted): &(usize, Box<str>, Wanted),
    json: Option<&JsonSearch<'_>>,
) -> Option<String> {
    let found = json.map_or(Found::Unknown, |json| json.found(*place));
    match (found, wanted) {
        (Found::Value(value), wanted) if wanted.is(value.as_bytes()) => None,
        (Found::Other, Wanted::Any) => None,
        (Found::Unknown, _) => Some(format!("the JSON field {path} is not known")),
        (Found::Absent, _) => Some(format!("no JSON field {path}")),
        (_, Wanted::Value(value)) => Some(format!("the JSON field {path} is not {}", value.escape_ascii())),
        (_, Wanted::Any) => Some(format!("no JSON field {path}")),
    }
}

fn place_of(path: &Name, paths: &mut Vec<Name>) -> usize {
    paths.iter().position(|known| known == path).unwrap_or_else(|| {
        paths.push(path.clone());
        paths.len() - 1
    })
}

fn joined(names: &[Box<[u8]>]) -> String {
    names.iter().map(|name| name.escape_ascii().to_string()).collect::<Vec<_>>().join(" or ")
}

/// The first value of a query parameter, decoded as a form would be.
fn parameter<'q>(query: &'q [u8], name: &[u8]) -> Option<Cow<'q, [u8]>> {
    query.strip_prefix(b"?")?.split(|byte| *byte == b'&').find_map(|pair| {
        let (key, value) = match memchr::memchr(b'=', pair) {
            Some(equals) => (&pair[..equals], &pair[equals + 1..]),
            None => (pair, &b""[..]),
        };
        (*form_decoded(key) == *name).then(|| form_decoded(value))
    })
}

/// Percent-decoding with `+` for a blank; what is not well-formed stays as it is.
fn form_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, hex(text.get(at + 1)), hex(text.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high << 4 | low) as u8);
                at += 2;
            }
            (b'+', ..) => decoded.push(b' '),
            _ => decoded.push(*byte),
        }
        at += 1;
    }
    Cow::Owned(decoded)
}
