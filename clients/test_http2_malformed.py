"""Requests over HTTP/2 that mean nothing, or two things (RFC 9113 §8): each is refused on its stream, unseen by the
backend, and the connection carries the next one."""

import pytest
from http2 import (CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PROTOCOL_ERROR, Http2, Reset, frame,
                   request_fields)


@pytest.fixture(scope="module")
def nines(start, shared_backend):
    return start(f"""
[edge.limit]
head = "16KiB"
[pool.all]
servers = ["{shared_backend.address}"]
[site.default]
tls = "self-signed"
[site.default.route]
"/" = {{ pool = "all" }}
""", https=True)


@pytest.fixture(params=["h2c", "tls"])
def either(request, nines, backend):
    tls = request.param == "tls"
    with Http2(nines.https if tls else nines.port, tls=tls) as connection:
        yield connection


@pytest.fixture
def h2(nines, backend):
    with Http2(nines.port) as connection:
        yield connection


def without(name):
    return [field for field in request_fields("/bad") if field[0] != name]


def instead(name, value):
    return [(key, value if key == name else old) for key, old in request_fields("/bad")]


def more(*fields):
    return request_fields("/bad", extra=fields)


HEADS = {
    # §8.2.1 names and values
    "name in capitals": more(("X-Capital", "1")),
    "name with one capital": more(("x-capitaL", "1")),
    "name with a space": more(("x capital", "1")),
    "name with a colon": more(("x:y", "1")),
    "name with a line end": more(("x\r\ny", "1")),
    "name with a control byte": more(("x\x01y", "1")),
    "name with delete": more(("x\x7fy", "1")),
    "name beyond ASCII": more((b"x\xc3\xbc", b"1")),
    "name that is empty": more(("", "1")),
    "null in a value": more(("x", "a\0b")),
    "line feed in a value": more(("x", "a\nb")),
    "carriage return in a value": more(("x", "a\rb")),
    "a second request in a value": more(("x", "a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n")),
    "space before a value": more(("x", " a")),
    "tab after a value": more(("x", "a\t")),
    # §8.2.2 what belongs to a connection
    "connection": more(("connection", "close")),
    "connection that keeps": more(("connection", "keep-alive")),
    "keep-alive": more(("keep-alive", "timeout=5")),
    "proxy-connection": more(("proxy-connection", "keep-alive")),
    "transfer-encoding": more(("transfer-encoding", "chunked")),
    "upgrade": more(("upgrade", "websocket")),
    "te gzip": more(("te", "gzip")),
    "te trailers and gzip": more(("te", "trailers, gzip")),
    # §8.3 pseudo-headers
    "pseudo-header after a header": [("x", "y"), *request_fields("/bad")],
    "path after a header": [*without(":path"), ("x", "y"), (":path", "/bad")],
    "unknown pseudo-header": [(":unknown", "1"), *request_fields("/bad")],
    "pseudo-header of responses": [(":status", "200"), *request_fields("/bad")],
    "no method": without(":method"),
    "no scheme": without(":scheme"),
    "no path": without(":path"),
    "two methods": [(":method", "GET"), *request_fields("/bad")],
    "two schemes": [(":scheme", "http"), *request_fields("/bad")],
    "two paths": [(":path", "/bad"), *request_fields("/bad")],
    "two authorities": [(":authority", "shop.test"), *request_fields("/bad")],
    "protocol without CONNECT": [(":protocol", "websocket"), *request_fields("/bad")],  # RFC 8441 §4
    # §8.3.1 their values
    "empty path": instead(":path", ""),
    "path without a slash": instead(":path", "bad"),
    "absolute path of another host": instead(":path", "http://other.test/bad"),
    "star without OPTIONS": instead(":path", "*"),
    "path with a space": instead(":path", "/b ad"),
    "path with a line end": instead(":path", "/bad HTTP/1.1\r\nX-Smuggled: 1"),
    "path beyond ASCII": [(key.encode(), b"/\xc3\xbc" if key == ":path" else value.encode())
                          for key, value in request_fields("/bad")],
    "empty method": instead(":method", ""),
    "method with a space": instead(":method", "GET /smuggled"),
    "method with a line end": instead(":method", "GET / HTTP/1.1\r\nX-Smuggled: 1\r\n"),
    "scheme that is none": instead(":scheme", "ht tp"),
    "authority with a user": instead(":authority", "me@shop.test"),
    "authority with a slash": instead(":authority", "shop.test/bad"),
    "authority with a space": instead(":authority", "shop test"),
    "authority with a bad port": instead(":authority", "shop.test:80x"),
    "neither authority nor host": without(":authority"),
    "host that contradicts the authority": more(("host", "other.test")),
    "host twice": [*without(":authority"), ("host", "shop.test"), ("host", "other.test")],
    # §8.1.1 lengths
    "length without a body": more(("content-length", "5")),
    "length that is none": more(("content-length", "five")),
    "length that is negative": more(("content-length", "-1")),
    "length with a plus": more(("content-length", "+0")),
    "lengths that differ": more(("content-length", "0"), ("content-length", "5")),
    # §8.5 CONNECT
    "CONNECT with a scheme and a path": instead(":method", "CONNECT"),
    "CONNECT without an authority": [(":method", "CONNECT")],
    "CONNECT with a path": [(":method", "CONNECT"), (":authority", "shop.test:443"), (":path", "/bad")],
    # RFC 8441 §4: an extended CONNECT needs all of them
    "extended CONNECT without a path": [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                                        (":authority", "shop.test")],
    "extended CONNECT without a scheme": [(":method", "CONNECT"), (":protocol", "websocket"), (":path", "/bad"),
                                          (":authority", "shop.test")],
    "extended CONNECT with two protocols": [(":method", "CONNECT"), (":protocol", "websocket"),
                                            (":protocol", "websocket"), *request_fields("/bad")[1:]],
}


REFUSALS = [("reset", PROTOCOL_ERROR), ("status", 400)]

# Refused while the block is decoded: an error of the stream, which may be made one of the connection (§5.4.1).
MAY_END_THE_CONNECTION = {
    *(name for name in HEADS if name.startswith("name ")), "null in a value", "line feed in a value",
    "carriage return in a value", "a second request in a value", "unknown pseudo-header", "empty method",
    "method with a space", "method with a line end", "a name in capitals", "a line end"}


def refuses(h2, stream, what):
    """Whether the stream alone is refused; or the connection, where that may be."""
    verdict = h2.verdict(stream)
    if what in MAY_END_THE_CONNECTION and verdict == ("goaway", PROTOCOL_ERROR):
        return True
    return verdict in REFUSALS and h2.works()


@pytest.mark.parametrize("what", HEADS)
def test_a_malformed_head_is_refused_and_costs_its_stream_alone(h2, backend, what):  # §8.1.1
    assert refuses(h2, h2.open(fields=HEADS[what]), what)
    assert backend.seen("/bad") == []


def test_a_malformed_head_costs_its_stream_alone_over_either(either, backend):  # §8.1.1
    for fields in (more(("connection", "close")), without(":path"), more(("host", "other.test"))):
        assert either.verdict(either.open(fields=fields)) in REFUSALS
    assert either.works()


def test_a_fragment_goes_no_further(h2, backend):
    assert h2.verdict(h2.open(fields=instead(":path", "/some#part"))) in [*REFUSALS, ("status", 200)]
    assert all("#" not in request.target for request in backend.requests)


@pytest.mark.parametrize("announced, sent", [(5, [b"four"]), (5, [b"six"] * 2), (0, [b"x"]), (10, [b"five", b""])])
def test_a_body_of_another_length_than_announced_is_malformed(h2, backend, announced, sent):  # §8.1.1
    stream = h2.open("/bad", "POST", [("content-length", str(announced))], end=False)
    h2.send(*(frame(DATA, END_STREAM if at == len(sent) - 1 else 0, stream, part) for at, part in enumerate(sent)))
    # With a length of 0 it was whole before the rest came, and may have been answered by then.
    assert h2.verdict(stream) in [*REFUSALS, *([("status", 200)] if not announced else [])]
    backend.wait_idle("/bad") if backend.seen("/bad") else None
    # The backend may have heard of it, but never that it was whole.
    assert all(len(request.body) == 0 for request in backend.seen("/bad"))
    assert h2.works()


TRAILERS = {
    "a name in capitals": [("X-Capital", "1")],
    "connection": [("connection", "close")],
    "a line end": [("x", "a\r\nb")],
}


@pytest.mark.parametrize("what", TRAILERS)
def test_malformed_trailers_cost_their_stream(h2, backend, what):  # §8.1
    stream = h2.open("/bad", "POST", end=False)
    h2.send(frame(DATA, 0, stream, b"body"), frame(HEADERS, END_HEADERS | END_STREAM, stream, h2.encode(TRAILERS[what])))
    assert refuses(h2, stream, what)
    assert not [request for request in backend.seen("/bad") if request.trailers or request.body]


@pytest.mark.parametrize("fields", [[(":path", "/bad")], [(":status", "200")]], ids=["of requests", "of responses"])
def test_pseudo_headers_of_trailers_go_no_further(h2, backend, fields):  # §8.1: malformed, or at least without effect
    stream = h2.open("/good", "POST", end=False)
    h2.send(frame(DATA, 0, stream, b"body"), frame(HEADERS, END_HEADERS | END_STREAM, stream, h2.encode(fields)))
    assert h2.verdict(stream) in [*REFUSALS, ("status", 200)]
    assert h2.works()
    assert backend.seen("/bad") == [] and not [request for request in backend.seen("/good") if request.trailers]


def test_headers_in_the_middle_of_a_body_are_malformed(h2, backend):  # §8.1: trailers end the stream
    stream = h2.open("/bad", "POST", end=False)
    h2.send(frame(DATA, 0, stream, b"body"), frame(HEADERS, END_HEADERS, stream, h2.encode([("x", "y")])))
    assert h2.verdict(stream) in REFUSALS
    assert h2.works()


# --- what is not malformed ---

FINE = {
    "te trailers": more(("te", "trailers")),
    "host beside the same authority": more(("host", "shop.test")),
    "host without an authority": [*without(":authority"), ("host", "shop.test")],
    "empty value": more(("x-empty", "")),
    "value beyond ASCII": [(key.encode(), value.encode()) for key, value in request_fields("/bad")] + [
        (b"x-name", b"gr\xc3\xbc\xc3\x9fe")],
    "length of nothing": more(("content-length", "0")),
    "other scheme": instead(":scheme", "https"),
    "star with OPTIONS": [(":method", "OPTIONS"), (":scheme", "http"), (":authority", "shop.test"), (":path", "*")],
    "pseudo-headers in another order": list(reversed(request_fields("/bad"))),
}


@pytest.mark.parametrize("fields", FINE.values(), ids=FINE)
def test_what_is_unusual_is_served(h2, backend, fields):
    assert h2.response(h2.open(fields=fields)).status == 200
    assert len(backend.requests) == 1


def test_host_tells_the_backend_what_the_authority_said(h2, backend):  # §8.3.1
    assert h2.get("/host").status == 200
    assert backend.requests[0].all("host") == ["shop.test"]


def test_crumbs_of_a_cookie_are_put_together(h2, backend):  # §8.2.3
    assert h2.get("/crumbs", extra=[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")]).status == 200
    assert backend.requests[0].all("cookie") == ["a=1; b=2; c=3"]


def test_trailers_go_both_ways(either, backend):  # §8.1
    def answer(exchange):
        exchange.read_body()
        exchange.respond_chunked([b"body"], trailers=[("X-Sum", "42"), ("X-Seen", repr(exchange.request.trailers))],
                                 headers=[("Trailer", "X-Sum, X-Seen")])

    backend.on("/", answer)
    stream = either.open(method="POST", extra=[("te", "trailers"), ("trailer", "x-check")], end=False)
    either.send(frame(DATA, 0, stream, b"abcd"),
                frame(HEADERS, END_HEADERS | END_STREAM, stream, either.encode([("x-check", "ok")])))
    response = either.response(stream)
    assert response.body == b"body"
    trailers = dict(response.trailers)
    assert trailers["x-sum"] == "42" and "x-check" in trailers["x-seen"].lower() and "ok" in trailers["x-seen"]


def test_what_frames_a_message_cannot_come_in_trailers(h2, backend):  # RFC 9110 §6.5.1
    stream = h2.open("/framed", "POST", end=False)
    h2.send(frame(DATA, 0, stream, b"abcd"),
            frame(HEADERS, END_HEADERS | END_STREAM, stream, h2.encode([("content-length", "5"), ("host", "x")])))
    kind, code = h2.verdict(stream)
    assert (kind, code) in (("reset", PROTOCOL_ERROR), ("status", 400), ("status", 200))
    assert all(request.trailers == [] for request in backend.seen("/framed"))


def test_an_interim_response_comes_before_the_final_one(either, backend):  # §8.1
    def hint(exchange):
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        exchange.respond(200, b"page")

    backend.on("/", hint)
    response = either.get()
    assert [(one.status, one.get("link")) for one in response.interim] == [(103, "</a.css>; rel=preload")]
    assert response.body == b"page"


def test_head_and_204_and_304_have_no_body(h2, backend):  # §8.1.1
    backend.on("/head", lambda exchange: exchange.respond(200, b"x" * 100))
    backend.on("/204", lambda exchange: exchange.send(b"HTTP/1.1 204 No Content\r\n\r\n"))
    backend.on("/304", lambda exchange: exchange.send(b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"))
    head = h2.get("/head", method="HEAD")
    assert (head.status, head.get("content-length"), head.body) == (200, "100", b"")
    assert [(h2.get(path).status, h2.get(path).body) for path in ("/204", "/304")] == [(204, b""), (304, b"")]


def test_hop_by_hop_headers_of_the_backend_stay_behind(h2, backend):  # §8.2.2
    backend.on("/", lambda exchange: exchange.respond(200, b"x", [
        ("Connection", "X-Private"), ("X-Private", "1"), ("Keep-Alive", "timeout=5"), ("X-Public", "1")]))
    response = h2.get()  # `head` refuses what belongs to a connection
    assert response.get("x-private") is None and response.get("x-public") == "1"


def test_an_early_answer_ends_a_request_that_is_not_whole(h2, backend):  # §8.1: RST_STREAM with NO_ERROR may follow
    def refuse(exchange):
        exchange.body_is_read = True
        exchange.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        exchange.close()

    backend.on("/early", refuse)
    stream = h2.open("/early", "POST", end=False)
    h2.send(frame(DATA, 0, stream, b"some of it"))
    response = h2.response(stream)
    assert (response.status, response.body) == (403, b"no")
    assert h2.works()


def test_an_ordinary_connect_is_refused(h2, backend):  # §8.5: nines is no forward proxy
    stream = h2.open(fields=[(":method", "CONNECT"), (":authority", "shop.test:443")], end=False)
    try:
        assert 400 <= h2.response(stream).status < 600
    except Reset:
        pass
    assert backend.requests == []
    assert h2.works()


# --- 6.5.2 the size of a list of headers ---

def test_a_list_of_headers_that_is_too_large_hears_431(either, backend):  # §10.5.1
    large = [(f"x-{number}", "y" * 1000) for number in range(30)]
    block = either.encode(request_fields("/large", extra=large))
    stream = either.stream()
    either.send(frame(HEADERS, END_STREAM, stream, block[:16_000]),
                *(frame(CONTINUATION, 0, stream, block[at:at + 16_000]) for at in range(16_000, len(block), 16_000)),
                frame(CONTINUATION, END_HEADERS, stream))
    assert either.response(stream).status == 431
    assert backend.requests == []
    assert either.works()


def test_the_limit_of_a_list_of_headers_is_told_beforehand(h2):  # §6.5.2: SETTINGS_MAX_HEADER_LIST_SIZE
    assert 16_384 <= h2.settings[6] <= 65_536


# --- RFC 8441 ---

def extended(path, protocol="websocket", extra=()):
    return [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":authority", "shop.test"),
            (":path", path), *extra]


def test_extended_connect_is_advertised_and_becomes_an_upgrade(either, backend):  # RFC 8441 §3, §5
    def echo(exchange):
        assert exchange.request.method == "GET" and exchange.request.get("upgrade") == "websocket"
        assert exchange.request.get("sec-websocket-version") == "13" and exchange.request.get("sec-websocket-key")
        exchange.send(switch(exchange.request.get("sec-websocket-key")) + b"first words")
        for part in exchange.reader.exactly(5):
            exchange.send(part.upper())
        exchange.wait_gone()

    backend.on("/socket", echo)
    assert either.settings.get(8) == 1
    stream = either.open(fields=extended("/socket", extra=[("sec-websocket-version", "13")]), end=False)
    either.send(frame(DATA, 0, stream, b"hello"))
    assert dict(either.until(lambda got: got.type == HEADERS).fields)[":status"] == "200"
    body = b""
    while len(body) < 16:
        body += either.until(lambda got: got.type == DATA and got.stream_id == stream).data
    assert body == b"first wordsHELLO"
    either.send(frame(DATA, END_STREAM, stream))
    assert either.works()


def test_an_unknown_protocol_is_refused(h2, backend):  # RFC 8441 §4; RFC 9220 §3: 501
    kind, status = h2.verdict(h2.open(fields=extended("/x", "carrier-pigeon"), end=False))
    assert kind == "status" and status in (400, 501)
    assert backend.requests == []
    assert h2.works()


def test_a_websocket_that_the_backend_declines_is_told_so(h2, backend):  # RFC 8441 §5
    backend.on("/socket", lambda exchange: exchange.respond(403, b"no", reason="Forbidden"))
    stream = h2.open(fields=extended("/socket", extra=[("sec-websocket-version", "13")]), end=False)
    assert h2.response(stream).status == 403
    assert h2.works()


def switch(key):
    import base64
    import hashlib
    accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    return (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
