//! Files that somebody else has chosen, by their names.

use super::{World, now, written};
use crate::{Answer, Document, MediaType, Method, Recent, Request, Vault};
use encoding::Coding;
use std::borrow::Cow;

const DOCUMENT: Document<'static> = Document {
    name: "ab/abc",
    size: 5,
    tag: "abc",
    modified: std::time::SystemTime::UNIX_EPOCH,
    content_type: MediaType::known("text/css"),
    coding: None,
    is_varied: true,
    cache_control: "no-cache",
};

fn request(method: Method) -> Request<'static> {
    Request {
        method,
        path: Cow::Borrowed(b"/a"),
        url_path: Cow::Borrowed(b"/a"),
        query: Cow::Borrowed(b""),
        fields: crate::Fields::default(),
    }
}

fn vault() -> (World, Vault) {
    let world = World::new();
    world.write("ab/abc", "hello");
    let vault = Vault::open(world.path("")).unwrap();
    (world, vault)
}

fn lines(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.lines).unwrap()
}

#[test]
fn a_document_is_told_by_who_named_it() {
    let (_world, vault) = vault();
    let answer = vault.answer(&Document { modified: written(), ..DOCUMENT }, &request(Method::Get), now());
    assert_eq!((answer.status, answer.content_length), (200, Some(5)));
    for line in [
        "Content-Type: text/css\r\n",
        "ETag: \"abc\"\r\n",
        "Vary: Accept-Encoding\r\n",
        "Cache-Control: no-cache\r\n",
        "Last-Modified: Sat, 05 Sep 2026 16:00:00 GMT\r\n",
    ] {
        assert!(lines(&answer).contains(line), "{line} is missing in {}", lines(&answer));
    }
    let coded = Document { coding: Some(Coding::Br), ..DOCUMENT };
    let answer = vault.answer(&coded, &request(Method::Head), now());
    assert!(answer.body.is_empty());
    assert!(
        lines(&answer).contains("Content-Encoding: br\r\n")
            && lines(&answer).contains("ETag: \"abc-br\"\r\n")
    );
}

#[test]
fn a_document_that_is_not_as_it_was_named_is_our_fault() {
    let (_world, vault) = vault();
    for (document, says) in [
        (Document { size: 6, ..DOCUMENT }, "ab/abc has 5 bytes, not 6"),
        (Document { name: "ab/gone", ..DOCUMENT }, "ab/gone is missing"),
    ] {
        let answer = vault.answer(&document, &request(Method::Get), now());
        assert_eq!((answer.status, answer.fault.unwrap().to_string().as_str()), (500, says));
    }
}

#[test]
fn what_needs_no_file_is_answered_at_once() {
    let (_world, vault) = vault();
    let recent = Recent::default();
    let answered = |method| vault.answer_now(&DOCUMENT, &request(method), now(), &recent);
    assert_eq!(answered(Method::Options).unwrap().status, 204);
    assert_eq!(answered(Method::Other).unwrap().status, 405);
    assert_eq!(Vault::nothing(Method::Get).status, 404);
    assert_eq!(Vault::nothing(Method::Other).status, 405);
}
