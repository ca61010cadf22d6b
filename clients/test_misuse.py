"""Requests that two servers could read in two ways. Each is refused with 400 and the connection closed, before a
route is looked up: the backend never sees a byte of it."""

import pytest
from wire import Wire

OK = "GET / HTTP/1.1\r\nHost: shop.test\r\n"
POST = "POST / HTTP/1.1\r\nHost: shop.test\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"

HEADS = {
    # Host (RFC 9112 §3.2)
    "host missing": "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n",
    "host missing beside an absolute target": "GET http://shop.test/ HTTP/1.1\r\nAccept: */*\r\n\r\n",
    "host repeated": OK + "Host: shop.test\r\n\r\n",
    "host repeated with another": OK + "Host: other.test\r\n\r\n",
    "host empty": "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "host with a space": "GET / HTTP/1.1\r\nHost: shop test\r\n\r\n",
    "host with a slash": "GET / HTTP/1.1\r\nHost: shop.test/admin\r\n\r\n",
    "host with user": "GET / HTTP/1.1\r\nHost: me@shop.test\r\n\r\n",
    "host as a list": "GET / HTTP/1.1\r\nHost: shop.test, other.test\r\n\r\n",
    "host with a bad port": "GET / HTTP/1.1\r\nHost: shop.test:80x\r\n\r\n",
    "host with a port beyond 65535": "GET / HTTP/1.1\r\nHost: shop.test:65536\r\n\r\n",
    "host with an open bracket": "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "host with raw non-ASCII": "GET / HTTP/1.1\r\nHost: sh\xf6p.test\r\n\r\n",
    "host contradicts the absolute target": "GET http://other.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "host contradicts the absolute target's port": "GET http://shop.test:81/ HTTP/1.1\r\nHost: shop.test:80\r\n\r\n",
    "absolute target with user": "GET http://me@shop.test/ HTTP/1.1\r\nHost: me@shop.test\r\n\r\n",
    # Line ends (RFC 9112 §2.2)
    "bare LF after the request line": "GET / HTTP/1.1\nHost: shop.test\r\n\r\n",
    "bare LF after a header": "GET / HTTP/1.1\r\nHost: shop.test\nX-A: b\r\n\r\n",
    "bare LF as the head's end": OK + "X-A: b\r\n\n",
    "bare LF everywhere": "GET / HTTP/1.1\nHost: shop.test\n\n",
    "bare CR in the request line": "GET /\r HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "bare CR in a value": OK + "X-A: b\rc\r\n\r\n",
    "bare CR before the next header": OK + "X-A: b\rX-C: d\r\n\r\n",
    "CR CR LF": OK + "X-A: b\r\r\n\r\n",
    # Length and coding (RFC 9112 §6)
    "length and chunks": POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "length zero and chunks": POST + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding gzip": POST + "Transfer-Encoding: gzip\r\n\r\n",
    "coding identity": POST + "Transfer-Encoding: identity\r\n\r\n",
    "coding gzip, chunked": POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding chunked twice": POST + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "coding chunked in two headers": POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding chunked, then another": POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "coding chunked with a parameter": POST + "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
    "coding xchunked": POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding in quotes": POST + 'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "coding empty": POST + "Transfer-Encoding:\r\n\r\n",
    "coding after a vertical tab": POST + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "coding in HTTP/1.0": "POST / HTTP/1.0\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length repeated": POST + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "length repeated with another": POST + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length as a list": POST + "Content-Length: 5, 5\r\n\r\nhello",
    "length empty": POST + "Content-Length:\r\n\r\n",
    "length negative": POST + "Content-Length: -5\r\n\r\n",
    "length with a plus": POST + "Content-Length: +5\r\n\r\nhello",
    "length hexadecimal": POST + "Content-Length: 0x5\r\n\r\nhello",
    "length with a fraction": POST + "Content-Length: 5.0\r\n\r\nhello",
    "length with a space inside": POST + "Content-Length: 1 5\r\n\r\nhello",
    "length with letters": POST + "Content-Length: 5a\r\n\r\nhello",
    "length with an underscore": POST + "Content-Length: 1_0\r\n\r\nhello",
    "length beyond 64 bits": POST + "Content-Length: 18446744073709551621\r\n\r\nhello",
    "length of forty digits": POST + "Content-Length: " + "9" * 40 + "\r\n\r\nhello",
    # Names and values (RFC 9112 §5)
    "space before the colon": OK + "X-A : b\r\n\r\n",
    "space before the colon of a length": POST + "Content-Length : 5\r\n\r\nhello",
    "space before the colon of the host": "GET / HTTP/1.1\r\nHost : shop.test\r\n\r\n",
    "tab before the colon": OK + "X-A\t: b\r\n\r\n",
    "folded with a space": OK + "X-A: b\r\n c\r\n\r\n",
    "folded with a tab": OK + "X-A: b\r\n\tc\r\n\r\n",
    "folded before the first header": "GET / HTTP/1.1\r\n Host: shop.test\r\n\r\n",
    "header without a colon": OK + "X-A\r\n\r\n",
    "header without a name": OK + ": b\r\n\r\n",
    "name with a bracket": OK + "X[A]: b\r\n\r\n",
    "name with a space": OK + "X A: b\r\n\r\n",
    "name with raw non-ASCII": OK + "X-\xc4: b\r\n\r\n",
    "null in a name": OK + "X-\0A: b\r\n\r\n",
    "null in a value": OK + "X-A: b\0c\r\n\r\n",
    "bell in a value": OK + "X-A: b\x07c\r\n\r\n",
    "vertical tab in a value": OK + "X-A: b\x0bc\r\n\r\n",
    "delete in a value": OK + "X-A: b\x7fc\r\n\r\n",
    # Request line and target (RFC 9112 §3)
    "fragment in the target": "GET /a#b HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "fragment in an absolute target": "GET http://shop.test/a#b HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "raw non-ASCII in the path": "GET /\xc3\xbc HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "raw non-ASCII in the query": "GET /?q=\xfc HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "null in the target": "GET /a\0b HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "delete in the target": "GET /a\x7fb HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "tab in the target": "GET /a\tb HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "space in the target": "GET /a b HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "target without a slash": "GET admin HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "target with another scheme": "GET ftp://shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "star without OPTIONS": "GET * HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "two spaces after the method": "GET  / HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "tab after the method": "GET\t/ HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "space before the method": " GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "method with a control byte": "GE\x01T / HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "method with a bracket": "G[E]T / HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "no version": "GET /\r\nHost: shop.test\r\n\r\n",
    "version in small letters": "GET / http/1.1\r\nHost: shop.test\r\n\r\n",
    "text after the version": "GET / HTTP/1.1 x\r\nHost: shop.test\r\n\r\n",
    "no HTTP at all": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}

CHUNKS = {
    # Chunks (RFC 9112 §7.1)
    "size without a digit": "\r\nhello\r\n0\r\n\r\n",
    "size with a letter": "5g\r\nhello\r\n0\r\n\r\n",
    "size hexadecimal with 0x": "0x5\r\nhello\r\n0\r\n\r\n",
    "size negative": "-5\r\nhello\r\n0\r\n\r\n",
    "size with a plus": "+5\r\nhello\r\n0\r\n\r\n",
    "size after a space": " 5\r\nhello\r\n0\r\n\r\n",
    "size with an underscore": "1_0\r\nhello\r\n0\r\n\r\n",
    "size beyond 64 bits": "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "size of forty digits": "1" + "0" * 38 + "5\r\nhello\r\n0\r\n\r\n",
    "size of all ones": "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "bare LF after the size": "5\nhello\r\n0\r\n\r\n",
    "bare CR after the size": "5\rhello\r\n0\r\n\r\n",
    "extension with LF": "5;a=b\nc\r\nhello\r\n0\r\n\r\n",
    "extension with bare CR": "5;a=b\rc\r\nhello\r\n0\r\n\r\n",
    "extension with a null": "5;a=\0b\r\nhello\r\n0\r\n\r\n",
    "extension without end": "5;" + "a" * 70_000,
    "chunk longer than its size": "5\r\nhello!\r\n0\r\n\r\n",
    "chunk shorter than its size": "5\r\nhell\r\n0\r\n\r\n",
    "bare LF after the chunk": "5\r\nhello\n0\r\n\r\n",
    "bare LF after the last size": "5\r\nhello\r\n0\n\r\n",
    "bare LF in the trailers": "5\r\nhello\r\n0\r\nX-A: b\n\r\n",
    "folded trailer": "5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n",
    "space before a trailer's colon": "5\r\nhello\r\n0\r\nX-A : b\r\n\r\n",
}


def refusal(port, data):
    """The answer to misuse: one response, then the end of the connection."""
    with Wire(port) as wire:
        wire.send(data)
        response = wire.response()
        assert response.get("connection", "").lower() == "close", "the connection would be used again"
        assert wire.is_closed(), "more than one answer, or an open connection"
        return response


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_a_misused_head_is_refused_and_the_backend_sees_nothing(nines, backend, head):
    assert refusal(nines.port, head).status == 400
    assert (backend.bytes_received, backend.connections) == (0, 0)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_a_misused_head_is_refused_after_a_good_request_too(nines, backend, head):
    """The same on a connection that is in use, behind a request that was in order, in one go."""
    with Wire(nines.port) as wire:
        wire.send(OK + "\r\n")
        assert wire.response().status == 200
        wire.send(head)
        assert wire.response().status == 400
    assert len(backend.requests) == 1


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS.keys())
def test_misused_chunks_are_refused(nines, backend, chunks):
    """The head was in order, so it may have been passed on; the misused chunk and what follows it may not."""
    with Wire(nines.port) as wire:
        wire.send(CHUNKED + chunks)
        response = wire.response()
        assert response.status == 400
        assert response.get("connection", "").lower() == "close" and wire.is_closed()
    assert all(request.body == b"" for request in backend.requests), "the body was taken for whole"
    assert len(backend.requests) <= 1, "a part of the body was taken for a request"


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS.keys())
def test_a_request_behind_misused_chunks_is_never_served(nines, backend, chunks):
    with Wire(nines.port) as wire:
        wire.send(CHUNKED + chunks + "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        wire.rest()
    assert backend.seen("/smuggled") == []


SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
CLASSICS = {
    "CL.TE": POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE.CL": POST + f"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n24\r\n{SMUGGLED}\r\n0\r\n\r\n",
    "TE.TE": POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "CL.CL": POST + f"Content-Length: 0\r\nContent-Length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
    "CR": OK + "X-A: b\rGET /smuggled HTTP/1.1\rHost: x\r\r\n\r\n",
}


@pytest.mark.parametrize("data", CLASSICS.values(), ids=CLASSICS.keys())
def test_the_classics_of_smuggling_smuggle_nothing(nines, backend, data):
    assert refusal(nines.port, data).status == 400
    assert backend.bytes_received == 0


@pytest.mark.parametrize("data", [
    OK + "\r\n",
    "\r\n" + OK + "\r\n",  # RFC 9112 §2.2: an empty line before the request line is ignored
    OK + "X-Empty:\r\n\r\n",
    OK + "X-Spaces:   \t b \t  \r\n\r\n",
    OK + "X-Latin: gr\xfc\xdfe\r\n\r\n",  # RFC 9110 §5.5: obs-text in a value is allowed
    "GET /?q=a|b HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n",
    "GET / HTTP/1.1\r\nhost:shop.test\r\n\r\n",
    "GET http://SHOP.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "BREW / HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    POST + "Content-Length: 0\r\n\r\n",
    POST + "Content-Length: 00005\r\n\r\nhello",
    POST + "Transfer-Encoding: Chunked\r\n\r\n005;ext=\"quoted\"\r\nhello\r\n0\r\n\r\n",
    POST + "Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nX-Trailer: yes\r\n\r\n",
], ids=["plain", "empty line first", "empty value", "spaces", "obs-text", "pipe", "IPv6", "small letters",
        "absolute", "star", "unknown method", "HTTP/1.0 without host", "no body", "zeros", "extension", "trailer"])
def test_what_is_unusual_but_right_is_served(nines, backend, data):
    with Wire(nines.port) as wire:
        wire.send(data)
        assert wire.response().status == 200
    assert len(backend.requests) == 1
