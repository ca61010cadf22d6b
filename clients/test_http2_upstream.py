"""HTTP/2 towards the backends: streams that share connections, windows, resets, and backends that break the rules."""

import json
import ssl
import struct
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import eventually, free_port
from http2 import CANCEL, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NO_ERROR, REFUSED_STREAM, Http2, frame
from http2_backend import Http2Backend
from wire import Truncated, Wire, ask, get

MEGABYTE = 1 << 20
POST = "POST {} HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {}\r\n\r\n"


@pytest.fixture
def h2_backends():
    made = []

    def make(*words, **more):
        made.append(Http2Backend(*words, **more))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def behind(start, h2_backends):
    """A nines before backends that speak HTTP/2."""
    def behind(*backends, pool=""):
        listed = ", ".join(f'"{one.address}"' for one in backends)
        return start(f'[edge.timeout]\ndrain = "1s"\n[pool.all]\nservers = [{listed}]\nprotocol = "http2"\n{pool}\n'
                     '[site.default.route]\n"/" = { pool = "all" }\n')
    return behind


@pytest.fixture
def pair(behind, h2_backends):
    backend = h2_backends()
    return behind(backend), backend


def test_a_request_of_http_1_1_is_translated(pair):
    nines, _ = pair
    answer = ask(nines.port, "POST /a%20b?x=1 HTTP/1.1\r\nHost: shop.test\r\nX-Mark: Yes\r\n"
                             "Connection: X-Gone\r\nX-Gone: 1\r\nCookie: a=1; b=2\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
    seen = json.loads(answer.body)
    headers = dict(seen["headers"])
    assert [headers[name] for name in (":method", ":path", ":authority")] == ["POST", "/a%20b?x=1", "shop.test"]
    assert headers[":scheme"] == "http" and headers["x-mark"] == "Yes" and seen["body"] == "body"
    assert headers["x-forwarded-for"] == "127.0.0.1" and headers["cookie"] == "a=1; b=2"
    assert not headers.keys() & {"connection", "host", "transfer-encoding", "keep-alive", "x-gone", "upgrade"}
    assert all(name == name.lower() for name in headers)


def test_a_request_of_http_2_goes_through(pair):
    nines, backend = pair

    def answer(stream):
        assert stream.ended.wait(5)
        stream.begin([(":status", "200")])
        stream.send(b"x" * 10)
        stream.begin([("x-sum", stream.trailers[0][1])], end=True)

    backend.on("/", answer)
    with Http2(nines.port) as h2:
        stream = h2.open(method="POST", extra=[("te", "trailers")], end=False)
        h2.send(frame(0, 0, stream, b"body"),
                frame(HEADERS, END_HEADERS | END_STREAM, stream, h2.encode([("x-check", "42")])))
        answer = h2.response(stream)
    assert (answer.status, answer.body, answer.trailers) == (200, b"x" * 10, [("x-sum", "42")])
    assert backend.requests[0].body == b"body"


def test_streams_share_connections(pair):
    nines, backend = pair
    held = threading.Event()
    backend.on("/held", lambda stream: (held.wait(10), stream.respond(200, b"done")))
    with ThreadPoolExecutor(60) as clients:
        answers = [clients.submit(get, nines.port, "/held") for _ in range(60)]
        eventually(lambda: len(backend.seen("/held")) == 60)
        held.set()
        assert {answer.result().body for answer in answers} == {b"done"}
    assert len(backend.connections) <= 8, "a connection for each request is HTTP/1.1's way"


def test_as_many_streams_are_opened_as_the_backend_allows(behind, h2_backends):
    backend = h2_backends(streams_max=3)
    nines = behind(backend)
    assert get(nines.port).status == 200  # from here on this connection's limit is known
    held = threading.Event()
    backend.on("/held", lambda stream: (held.wait(10), stream.respond(200, b"done")))
    with ThreadPoolExecutor(20) as clients:
        answers = [clients.submit(get, nines.port, "/held") for _ in range(20)]
        eventually(lambda: len(backend.seen("/held")) >= 3)
        held.set()
        assert [answer.result().body for answer in answers] == [b"done"] * 20
    assert backend.connections[0].open_most <= 3


def test_large_bodies_go_both_ways(pair):
    nines, backend = pair
    backend.on("/large", lambda stream: (stream.ended.wait(30), stream.respond(200, stream.body)))
    body = bytes(range(256)) * (4 * MEGABYTE // 256)
    with Wire(nines.port, timeout=60) as wire:
        wire.send(POST.format("/large", len(body)))
        sender = threading.Thread(target=wire.send, args=(body,))
        sender.start()
        assert wire.response().body == body
        sender.join()


def test_small_windows_are_kept_to(behind, h2_backends):
    backend = h2_backends(window=1000)  # h2 raises where more is sent
    nines = behind(backend)
    body = "x" * 100_000
    assert json.loads(ask(nines.port, POST.format("/", len(body)) + body).body)["body"] == body


def test_a_backend_that_does_not_read_stops_the_upload(behind, h2_backends):
    backend = h2_backends()
    backend.stalls = True
    nines = behind(backend)
    sent = 0
    with Wire(nines.port, timeout=2) as wire:
        wire.send(POST.format("/held", 100 * MEGABYTE))
        backend.on("/held", lambda stream: stream.gone.wait(20))
        with pytest.raises(TimeoutError):
            while sent < 64:
                wire.send("x" * MEGABYTE)
                sent += 1
    assert sent < 32 and len(backend.seen("/held")[0].body) <= 65_535


def test_a_client_that_leaves_resets_its_stream_alone(pair):
    nines, backend = pair
    backend.on("/held", lambda stream: stream.gone.wait(20))
    with Wire(nines.port) as wire:
        wire.send("GET /held HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        eventually(lambda: backend.seen("/held"))
    assert backend.seen("/held")[0].gone.wait(10)
    assert get(nines.port).status == 200 and len(backend.connections) <= 2


# --- backends that leave ---

def test_a_refused_stream_may_be_sent_again_whatever_it_is(behind, h2_backends):  # RFC 9113 §8.7
    refusing, other = h2_backends("refusing"), h2_backends("other")
    refusing.on("/", lambda stream: stream.reset(REFUSED_STREAM))
    nines = behind(refusing, other, pool='balance = "round-robin"\neject = { failures = 0 }')
    for _ in range(6):
        assert json.loads(ask(nines.port, POST.format("/", 4) + "body").body)["backend"] == "other"
    assert refusing.requests


def test_a_stream_that_was_begun_is_not_sent_twice(pair):
    nines, backend = pair
    backend.on("/", lambda stream: (stream.ended.wait(5), stream.reset(CANCEL)))
    assert ask(nines.port, POST.format("/", 4) + "body").status == 502
    assert len(backend.requests) == 1


def test_a_backend_that_goes_away_in_order_costs_nothing(pair):
    nines, backend = pair
    held = threading.Event()
    backend.on("/held", lambda stream: (held.wait(10), stream.respond(200, b"done")))
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(get, nines.port, "/held")
        eventually(lambda: backend.seen("/held"))
        backend.seen("/held")[0].raw(frame(GOAWAY, payload=struct.pack(">II", 2**31 - 1, NO_ERROR)))
        for _ in range(5):
            assert ask(nines.port, POST.format("/", 4) + "body").status == 200
        held.set()
        assert answer.result().body == b"done"
    assert len(backend.connections) > 1


def test_a_connection_that_breaks_costs_its_streams_alone(pair):
    nines, backend = pair
    backend.on("/held", lambda stream: stream.gone.wait(10))
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(get, nines.port, "/held")
        eventually(lambda: backend.seen("/held"))
        backend.on("/held", lambda stream: stream.respond(200, b"second"))
        backend.seen("/held")[0].connection.socket.shutdown(2)
        assert answer.result().body == b"second" or answer.result().status == 502
    assert get(nines.port).status == 200


def test_an_answer_that_is_cut_off_does_not_look_whole(pair):
    nines, backend = pair
    backend.on("/", lambda stream: (stream.begin([(":status", "200")]), stream.send(b"not all"), stream.reset(2)))
    with pytest.raises(Truncated):
        get(nines.port)


# --- backends that break the rules ---

WRONG = {
    "no status": [("x", "y")],
    "a status that is none": [(":status", "two hundred")],
    "two statuses": [(":status", "200"), (":status", "500")],
    "a name in capitals": [(":status", "200"), ("X-Capital", "1")],
    "a line end in a value": [(":status", "200"), ("x", "a\r\nSet-Cookie: stolen=1")],
    "another length": [(":status", "200"), ("content-length", "1000")],
}


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG)
def test_a_malformed_response_is_a_bad_gateway(pair, fields):  # §8.1.1
    nines, backend = pair
    backend.on("/wrong", lambda stream: stream.begin(fields, end=True))
    try:
        assert get(nines.port, "/wrong").status == 502
    except Truncated as cut:  # the head had been passed on by then
        assert "content-length" in dict(fields) and cut.response.status == 200
    assert get(nines.port).status == 200


@pytest.mark.parametrize("name", ["connection", "transfer-encoding", "keep-alive", "upgrade"])
def test_what_belongs_to_a_connection_is_not_passed_on(pair, name):  # §8.2.2
    nines, backend = pair
    backend.on("/wrong", lambda stream: stream.begin([(":status", "200"), (name, "x-secret"), ("x-secret", "1")], True))
    answer = get(nines.port, "/wrong")
    assert answer.status == 502 or (name == "connection" or answer.get(name) is None) and answer.body == b""
    assert answer.get("connection") != "x-secret"


def test_garbage_is_a_bad_gateway(pair):
    nines, backend = pair
    backend.on("/wrong", lambda stream: stream.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(1000)))
    assert get(nines.port, "/wrong").status == 502
    assert get(nines.port).status == 200


def test_a_backend_without_http_2_is_a_bad_gateway(start, shared_backend):
    nines = start(f'[pool.all]\nservers = ["{shared_backend.address}"]\nprotocol = "http2"\n'
                  '[site.default.route]\n"/" = { pool = "all" }\n')
    assert get(nines.port, timeout=20).status in (502, 504)
    shared_backend.failures.clear()


# --- real ones ---

def test_over_tls_by_alpn(start, h2_backends, authority):
    certificate = authority.issue("inner.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    context.set_alpn_protocols(["h2"])
    backend = h2_backends("secret", tls=context)
    nines = start(f'[pool.all]\nservers = ["{backend.address}"]\nprotocol = "http2"\n'
                  f'tls = {{ ca = "{authority.cert}", server_name = "inner.test" }}\n'
                  '[site.default.route]\n"/" = { pool = "all" }\n')
    seen = json.loads(get(nines.port).body)
    assert seen["backend"] == "secret" and dict(seen["headers"])[":scheme"] == "https"


def test_nghttpd_serves_its_files(start, tmp_path):
    (tmp_path / "page").write_bytes(b"a page" * 10_000)
    port = free_port()
    with subprocess.Popen(["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", tmp_path, str(port)],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as nghttpd:
        try:
            nines = start(f'[pool.all]\nservers = ["127.0.0.1:{port}"]\nprotocol = "http2"\n'
                          '[site.default.route]\n"/" = { pool = "all" }\n')
            answer = eventually(lambda: (one := get(nines.port, "/page")).status == 200 and one)
            assert answer.body == b"a page" * 10_000
            assert get(nines.port, "/nothing").status == 404
            assert get(nines.port, "/page", method="HEAD").get("content-length") == "60000"
        finally:
            nghttpd.terminate()
