"""HTTP/3 by aioquic: requests, large bodies, many streams, and what a client learns beforehand (Alt-Svc)."""

import asyncio
import hashlib
import json
import re
import socket
import threading

import pytest
from backend import digest, give, pattern, take
from conftest import eventually
from http2 import Http2
from http3 import Reset, run
from wire import get

LARGE = 10 * 1024 * 1024


@pytest.fixture(scope="module")
def nines(start, shared_backend, authority):
    return start(f"""
[pool.all]
servers = ["{shared_backend.address}"]
limit = {{ inflight = 1000 }}
[site."shop.test"]
tls = {authority.issue("shop.test").toml()}
[site."shop.test".route]
"/" = {{ pool = "all" }}
[site."other.test"]
tls = {authority.issue("other.test").toml()}
[site."other.test".route]
"/" = {{ respond = {{ body = "other" }} }}
""", https=True, http3=True)


def test_a_request_arrives_and_its_answer_returns(nines, backend, authority):
    response = run(nines.https, lambda h3: h3.get("/a%20b?x=1", extra=[("x-mark", "yes")]), ca=authority.cert)
    seen = json.loads(response.body)
    assert (response.status, seen["method"], seen["target"]) == (200, "GET", "/a%20b?x=1")
    headers = dict(seen["headers"])
    assert headers["host"] == "shop.test" and headers["x-mark"] == "yes"
    assert headers["x-forwarded-proto"] == "https" and headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["via"] == "3 nines" or headers["via"].startswith("3")


def test_it_is_advertised_over_tcp(nines, backend):  # RFC 7838
    with Http2(nines.https, tls=True) as h2:
        told = h2.get().get("alt-svc")
    assert re.match(f'h3=":{nines.https}"(; ?ma=[0-9]+)?', told), told
    assert get(nines.port).get("alt-svc") is None, "plain HTTP is not to be moved by a word that nobody signed"


@pytest.mark.parametrize("status", [201, 204, 304, 404, 503])
def test_the_backend_s_status_is_passed_on(nines, backend, status):
    empty = status in (204, 304)
    backend.on("/", lambda exchange: exchange.send(b"HTTP/1.1 %d Whatever\r\n%s\r\n%s" % (
        (status, b"", b"") if empty else (status, b"Content-Length: 4\r\n", b"said"))))
    response = run(nines.https, lambda h3: h3.get())
    assert (response.status, response.body) == (status, b"" if empty else b"said")


@pytest.mark.parametrize("length", [True, False], ids=["length", "no length"])
def test_a_large_body_goes_up(nines, backend, length):
    backend.on("/up", take)

    async def work(h3):
        stream = h3.open("/up", "POST", [("content-length", str(LARGE))] if length else [], end=False)
        await h3.send(stream, pattern(LARGE))
        return await h3.response(stream)

    assert json.loads(run(nines.https, work).body) == digest(pattern(LARGE))


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_large_body_comes_down(nines, backend, chunked):
    backend.on("/down", give(LARGE, chunked))
    total = hashlib.sha256()

    async def work(h3):
        return await h3.response(h3.open("/down"), into=total.update)

    assert run(nines.https, work).status == 200
    assert total.hexdigest() == digest(pattern(LARGE))["sha256"]


def test_many_streams_at_once_each_get_their_own_answer(nines, backend):
    backend.on("/echo", lambda exchange: exchange.respond(200, exchange.read_body() * 10))

    async def one(h3, number):
        stream = h3.open("/echo", "POST", end=False)
        await h3.send(stream, [str(number).encode() * 500])
        return (await h3.response(stream)).body == str(number).encode() * 5000

    async def work(h3):
        return await asyncio.gather(*(one(h3, number) for number in range(100)))

    assert run(nines.https, work) == [True] * 100


def test_trailers_go_both_ways(nines, backend):
    def answer(exchange):
        exchange.read_body()
        exchange.respond_chunked([b"body"], trailers=[("X-Sum", "42"), ("X-Seen", repr(exchange.request.trailers))],
                                 headers=[("Trailer", "X-Sum, X-Seen")])

    backend.on("/", answer)

    async def work(h3):
        stream = h3.open(method="POST", extra=[("te", "trailers")], end=False)
        await h3.send(stream, [b"abcd"], [("x-check", "fine")])
        return await h3.response(stream)

    response = run(nines.https, work)
    assert response.body == b"body" and dict(response.trailers)["x-sum"] == "42"
    assert "fine" in dict(response.trailers)["x-seen"]


def test_a_stream_that_is_cancelled_ends_at_the_backend_and_nowhere_else(nines, backend):
    gone = threading.Event()

    def endless(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        try:
            while True:
                exchange.send(bytes(65_536))
        except OSError:
            gone.set()
            exchange.close()

    backend.on("/endless", endless)

    async def work(h3):
        stream = h3.open("/endless")
        async for event in h3.events(stream):
            if hasattr(event, "data"):
                break
        h3.cancel(stream)
        assert (await h3.get("/other")).status == 200
        assert await asyncio.to_thread(gone.wait, 10), "the backend still sends"
        assert (await h3.get("/other")).status == 200

    run(nines.https, work)


def test_a_backend_that_leaves_costs_its_stream_alone(nines, backend):
    def leave(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all")
        exchange.close()

    backend.on("/cut", leave)

    async def work(h3):
        with pytest.raises(Reset):
            await h3.response(h3.open("/cut"))
        assert (await h3.get("/other")).status == 200

    run(nines.https, work)


MALFORMED = {
    "connection": [("connection", "close")], "transfer-encoding": [("transfer-encoding", "chunked")],
    "capitals": [("X-Capital", "1")], "line end": [("x", "a\r\nb")], "unknown pseudo-header": [(":unknown", "1")],
    "length without a body": [("content-length", "5")], "te": [("te", "gzip")], "host": [("host", "other.test")],
}


@pytest.mark.parametrize("extra", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_costs_its_stream_alone(nines, backend, extra):  # RFC 9114 §4.1.2
    async def work(h3):
        try:
            assert (await h3.get("/bad", extra=extra)).status == 400
        except Reset as fault:
            assert fault.code == 0x10e  # H3_MESSAGE_ERROR
        # The backend may have heard of it, but never that it was whole.
        assert not [one for one in backend.seen("/bad") if one.body]
        assert (await h3.get("/other")).status == 200

    run(nines.https, work)


def test_of_two_paths_one_is_meant_throughout(nines, backend):  # RFC 9114 §4.3: malformed, or at least not ambiguous
    async def work(h3):
        try:
            return (await h3.get("/one", extra=[(":path", "/two")])).status
        except Reset:
            return 400

    assert run(nines.https, work) == 400 or len(backend.requests) == 1


def test_the_name_chooses_the_certificate_and_binds_the_requests(nines, backend, authority):
    async def work(h3):
        return await h3.get(authority="other.test"), await h3.get()

    other, misdirected = run(nines.https, work, name="other.test", ca=authority.cert)
    assert (other.status, other.body) == (200, b"other")
    assert misdirected.status in (200, 421), "a site on the same terms may be shared, as over HTTP/2"
    with pytest.raises(ConnectionError):
        run(nines.https, lambda h3: h3.get(), name="unknown.test")


def test_a_client_that_comes_back_resumes_and_sends_nothing_early(nines, backend):
    """Early data can be replayed by anybody (RFC 9001 §9.2): the tickets allow for none."""
    tickets = []

    async def work(h3):
        assert (await h3.get()).status == 200
        return h3._quic.tls.session_resumed

    assert not run(nines.https, work, tickets=tickets)
    assert tickets and all(not ticket.max_early_data_size for ticket in tickets)
    assert run(nines.https, work, session_ticket=tickets[0])


def test_garbage_harms_nobody(nines, backend):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        for size in (0, 1, 7, 20, 1200, 1500, 9000):
            for byte in (0x00, 0x40, 0xc0, 0xff):
                raw.sendto(bytes([byte]) * size, ("127.0.0.1", nines.https))
    assert run(nines.https, lambda h3: h3.get()).status == 200


def test_many_connections_come_and_go(nines, backend):
    for _ in range(30):
        assert run(nines.https, lambda h3: h3.get()).status == 200
    eventually(lambda: nines.metric("nines_edge_connections") <= 5, 30)
