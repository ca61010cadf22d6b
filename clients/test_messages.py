"""Messages on the wire: framing, interim responses, trailers, old peers, and peers that leave or lie."""

import threading
import time

import pytest
from wire import Truncated, Wire, ask, get

GET = "GET {} HTTP/1.1\r\nHost: shop.test\r\n\r\n"


def test_pipelined_requests_are_answered_in_order(nines, backend):
    backend.on("/slow", lambda exchange: (time.sleep(0.2), exchange.respond(200, b"slow")))
    backend.on("/post", lambda exchange: exchange.respond(200, exchange.read_body()))
    backend.on("/chunks", lambda exchange: exchange.respond_chunked([b"in ", b"chunks"]))
    backend.on("/last", lambda exchange: exchange.respond(200, b"last"))
    with Wire(nines.port) as wire:
        wire.send(GET.format("/slow") + "POST /post HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\n\r\nbody"
                  + GET.format("/chunks") + "HEAD /last HTTP/1.1\r\nHost: shop.test\r\n\r\n" + GET.format("/last"))
        assert [wire.response().body for _ in range(3)] == [b"slow", b"body", b"in chunks"]
        assert wire.response("HEAD").status == 200
        assert wire.response().body == b"last"


def test_a_request_may_arrive_byte_by_byte(nines, backend):
    with Wire(nines.port) as wire:
        for byte in "POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            wire.send(byte)
        assert b'"body": "abc"' in wire.response().body


def test_continue_comes_from_the_backend_before_the_body_is_sent(nines, backend):
    def careful(exchange):
        time.sleep(0.1)
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.respond(200, exchange.read_body())

    backend.on("/", careful)
    with Wire(nines.port) as wire:
        wire.send("POST / HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert wire.head().status == 100
        wire.send("body")
        assert wire.response().body == b"body"


def test_a_refusal_without_continue_reaches_a_client_that_waits(nines, backend):
    def refuse(exchange):
        exchange.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        exchange.close()
        exchange.body_is_read = True

    backend.on("/", refuse)
    with Wire(nines.port) as wire:
        wire.send("POST / HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        response = wire.response()
        assert (response.status, response.body, response.interim) == (413, b"no", [])


def test_an_early_answer_reaches_a_client_that_still_sends(nines, backend):
    def refuse(exchange):
        exchange.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        exchange.wait_gone(5)
        exchange.body_is_read = True

    backend.on("/", refuse)
    with Wire(nines.port) as wire:
        wire.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10000000\r\n\r\n" + "x" * 100_000)
        assert wire.response().status == 401


def test_early_hints_are_passed_on(nines, backend):
    def hint(exchange):
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </b.js>; rel=preload\r\n\r\n")
        exchange.respond(200, b"page")

    backend.on("/", hint)
    response = get(nines.port)
    assert [(one.status, one.get("link")) for one in response.interim] == [
        (103, "</a.css>; rel=preload"), (103, "</b.js>; rel=preload")]
    assert response.body == b"page"


def test_an_http_1_0_client_gets_no_interim_response(nines, backend):
    backend.on("/", lambda exchange: (exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
                                      exchange.respond(200, b"page")))
    response = ask(nines.port, "GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n")
    assert (response.status, response.interim, response.body) == (200, [], b"page")


def test_trailers_go_both_ways(nines, backend):
    def answer(exchange):
        exchange.read_body()
        sent = exchange.request.trailers
        exchange.respond_chunked([b"body"], trailers=[("X-Sum", "42"), ("X-Seen", repr(sent))],
                                 headers=[("Trailer", "X-Sum, X-Seen")])

    backend.on("/", answer)
    with Wire(nines.port) as wire:
        wire.send("POST / HTTP/1.1\r\nHost: shop.test\r\nTE: trailers\r\nConnection: TE\r\nTrailer: X-Check\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\nX-Check: ok\r\n\r\n")
        response = wire.response()
    assert response.body == b"body"
    assert response.trailers == [("X-Sum", "42"), ("X-Seen", "[('X-Check', 'ok')]")]


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding", "Host", "Connection"])
def test_a_trailer_cannot_change_what_a_message_is(nines, backend, name):
    with Wire(nines.port) as wire:
        wire.send("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                  f"0\r\n{name}: 5\r\n\r\n")
        response = wire.response()
    # Refused or dropped; not passed on.
    assert response.status in (200, 400)
    if response.status == 200:
        assert backend.requests[0].trailers == []


def test_an_http_1_0_client_gets_an_unchunked_answer_and_the_end(nines, backend):
    backend.on("/", lambda exchange: exchange.respond_chunked([b"one ", b"two"]))
    with Wire(nines.port) as wire:
        wire.send("GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n")
        response = wire.response()
        assert response.get("transfer-encoding") is None and response.body == b"one two"


def test_an_http_1_0_client_may_keep_its_connection(nines, backend):
    with Wire(nines.port) as wire:
        for _ in range(2):
            wire.send("GET / HTTP/1.0\r\nHost: shop.test\r\nConnection: keep-alive\r\n\r\n")
            response = wire.response()
            assert response.status == 200 and response.get("connection", "").lower() == "keep-alive"


def test_an_http_1_0_backend_s_answer_ends_with_its_connection(nines, backend):
    def old(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
        exchange.close()

    backend.on("/", old)
    with Wire(nines.port) as wire:
        for _ in range(2):  # the client's own connection outlives the backend's
            wire.send(GET.format("/"))
            response = wire.response()
            assert response.version == "HTTP/1.1" and response.body == b"until the end"


def test_connection_close_of_the_client_is_kept_to_this_hop(nines, backend):
    with Wire(nines.port) as wire:
        wire.send("GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
        response = wire.response()
        assert response.get("connection").lower() == "close" and wire.is_closed()
    assert "close" not in (backend.requests[0].get("connection") or "")


def test_hop_by_hop_headers_stay_on_their_hop(nines, backend):
    backend.on("/", lambda exchange: exchange.respond(200, b"x", [
        ("Connection", "X-Private"), ("X-Private", "1"), ("Keep-Alive", "timeout=5"), ("Proxy-Authenticate", "Basic"),
        ("X-Public", "1")]))
    response = get(nines.port, headers=[
        ("Connection", "X-Secret, keep-alive"), ("X-Secret", "1"), ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"), ("TE", "gzip"), ("X-Kept", "1")])
    sent = {name.lower() for name, _ in backend.requests[0].headers}
    assert "x-kept" in sent and not sent & {"x-secret", "keep-alive", "proxy-connection", "te"}
    names = {name.lower() for name, _ in response.headers}
    assert "x-public" in names and not names & {"x-private", "keep-alive"}


@pytest.mark.parametrize("nominated", ["Host", "Content-Length", "X-Forwarded-For"])
def test_what_matters_cannot_be_nominated_away(nines, backend, nominated):
    with Wire(nines.port) as wire:
        wire.send(f"POST / HTTP/1.1\r\nHost: shop.test\r\nConnection: {nominated}\r\nContent-Length: 4\r\n\r\nbody")
        assert wire.response().status == 200
    seen = backend.requests[0]
    assert seen.get("host") == "shop.test" and seen.body == b"body" and seen.get("x-forwarded-for") == "127.0.0.1"


def test_headers_keep_their_order_case_and_repetition(nines, backend):
    backend.on("/", lambda exchange: exchange.respond(200, b"", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"),
                                                                 ("X-MiXed", "case")]))
    response = get(nines.port, headers=[("X-One", "1"), ("X-Many", "a"), ("x-many", "b"), ("X-MiXed", "c")])
    sent = [(name, value) for name, value in backend.requests[0].headers
            if name.lower() in ("x-one", "x-many", "x-mixed")]
    assert sent == [("X-One", "1"), ("X-Many", "a"), ("x-many", "b"), ("X-MiXed", "c")]
    assert response.all("set-cookie") == ["a=1", "b=2"] and ("X-MiXed", "case") in response.headers


def test_an_absolute_target_is_passed_on_as_a_path(nines, backend):
    response = ask(nines.port, "GET http://shop.test/a?b=c HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    assert response.status == 200
    assert (backend.requests[0].target, backend.requests[0].get("host")) == ("/a?b=c", "shop.test")


def test_a_client_that_leaves_ends_the_request_to_the_backend(nines, backend):
    begun, ended = threading.Event(), threading.Event()

    def endless(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nfirst bytes")
        begun.set()
        if exchange.wait_gone():
            ended.set()

    backend.on("/", endless)
    with Wire(nines.port) as wire:
        wire.send(GET.format("/"))
        assert begun.wait(5)
        assert wire.head().status == 200
    assert ended.wait(5), "the backend still works for a client that left"


def test_a_client_that_leaves_before_the_answer_ends_the_request_too(nines, backend):
    begun, ended = threading.Event(), threading.Event()

    def silent(exchange):
        exchange.read_body()
        begun.set()
        if exchange.wait_gone():
            ended.set()

    backend.on("/", silent)
    with Wire(nines.port) as wire:
        wire.send(GET.format("/"))
        assert begun.wait(5)
    assert ended.wait(5), "the backend still works for a client that left"


def test_a_client_that_leaves_mid_upload_is_noticed_by_the_backend(nines, backend):
    ended = threading.Event()
    begun = threading.Event()

    def swallow(exchange):
        begun.set()
        exchange.keep = False
        try:
            for _ in exchange.parts():
                pass
        finally:
            ended.set()

    backend.on("/", swallow)
    with Wire(nines.port) as wire:
        wire.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1000\r\n\r\nonly this")
        assert begun.wait(5)
    assert ended.wait(5), "half a body was taken for a whole one, or never ended"


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_truncated_answer_is_truncated_for_the_client(nines, backend, framing):
    def lie(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf" if framing == "length"
                      else b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        exchange.close()

    backend.on("/", lie)
    with Wire(nines.port) as wire, pytest.raises(Truncated) as truncated:
        wire.send(GET.format("/"))
        wire.response()
    assert truncated.value.response.status == 200 and truncated.value.response.body == b"half"


def test_what_a_backend_sends_beyond_its_length_reaches_nobody(nines, backend):
    backend.on("/lie", lambda exchange: exchange.send(
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"))
    with Wire(nines.port) as wire:
        wire.send(GET.format("/lie"))
        assert wire.response().body == b"body"
        for _ in range(5):
            wire.send(GET.format("/"))
            assert b"poison" not in wire.response().body


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody!",
    b"HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\nbody",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nBad Name: a\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-Null: a\0b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"not http at all\r\n\r\n",
], ids=["two lengths", "signed length", "length and chunks", "other coding", "folded", "space in name", "null",
        "short status", "version", "no http"])
def test_a_malformed_answer_is_a_bad_gateway(nines, backend, answer):
    backend.on("/", lambda exchange: (exchange.read_body(), exchange.send(answer), exchange.close()))
    response = get(nines.port)
    assert response.status == 502 and b"body" not in response.body.replace(b"<body", b"")


@pytest.mark.parametrize("chunks", [
    b"zz\r\nbody\r\n", b"4\nbody\r\n", b"4\r\nbodyXX0\r\n\r\n", b"fffffffffffffffff\r\n",
], ids=["no number", "bare LF", "no end of chunk", "overflow"])
def test_malformed_chunks_of_a_backend_cut_the_answer(nines, backend, chunks):
    backend.on("/", lambda exchange: (exchange.read_body(), exchange.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks), exchange.wait_gone(2)))
    with Wire(nines.port) as wire:
        wire.send(GET.format("/"))
        try:
            assert wire.response().status == 502
        except Truncated as truncated:
            assert truncated.response is None or truncated.response.status == 200


def test_a_slow_backend_s_parts_are_passed_on_as_they_come(nines, backend):
    go_on = threading.Event()

    def slow(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        go_on.wait(10)
        exchange.send(b"6\r\nsecond\r\n0\r\n\r\n")

    backend.on("/", slow)
    with Wire(nines.port) as wire:
        wire.send(GET.format("/"))
        assert wire.head().status == 200
        assert int(wire.line(), 16) == 5 and wire.exactly(7) == b"first\r\n"
        go_on.set()
        assert int(wire.line(), 16) == 6 and wire.exactly(8) == b"second\r\n"
        assert wire.exactly(5) == b"0\r\n\r\n"


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_methods_that_no_reverse_proxy_serves_are_refused(nines, backend, method):
    target = "shop.test:443" if method == "CONNECT" else "/"
    response = ask(nines.port, f"{method} {target} HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    assert response.status == 405 and response.get("allow")
    assert backend.bytes_received == 0


def test_an_unknown_version_is_refused_as_such(nines, backend):
    assert ask(nines.port, "GET / HTTP/3.0\r\nHost: shop.test\r\n\r\n").status in (400, 505)
    assert backend.bytes_received == 0
