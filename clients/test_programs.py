"""What people use: curl, requests, httpx and undici, each doing the same through nines."""

import hashlib
import json
import re

import pytest
from backend import digest, give, pattern, take
from programs import PROGRAMS, Wish

LARGE = 50 * 1024 * 1024


@pytest.fixture(params=PROGRAMS)
def fetch(request, tmp_path):
    """Makes one request with one of the programs."""
    return lambda *wish, **more: PROGRAMS[request.param]([Wish(*wish, **more)], tmp_path)[0][0]


@pytest.fixture(params=PROGRAMS)
def fetch_all(request, tmp_path):
    """Makes several requests with one client of one of the programs; the answers and the connections it took."""
    return lambda wishes: PROGRAMS[request.param](wishes, tmp_path)


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "body"
    with path.open("wb") as file:
        file.writelines(pattern(LARGE))
    return path


def test_get_arrives_and_the_answer_returns(fetch, nines, backend):
    got = fetch(nines.url("/a%20b?x=1&y=%C3%BC"))
    assert got.status == 200 and got.headers["content-type"] == "application/json"
    assert (got.json["method"], got.json["target"]) == ("GET", "/a%20b?x=1&y=%C3%BC")


def test_head_tells_the_length_and_brings_no_body(fetch, nines, backend):
    backend.on("/page", lambda exchange: exchange.respond(200, b"x" * 1234))
    got = fetch(nines.url("/page"), "HEAD")
    assert (got.status, got.headers["content-length"], got.length) == (200, "1234", 0)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_arrives(fetch, nines, backend, method, chunked):
    got = fetch(nines.url("/"), method, body=b"a small body", chunked=chunked)
    assert (got.json["method"], got.json["body"]) == (method, "a small body")


def test_an_empty_post_arrives_empty(fetch, nines, backend):
    got = fetch(nines.url("/"), "POST", body=b"")
    assert (got.json["method"], got.json["body"]) == ("POST", "")


@pytest.mark.parametrize("status", [201, 204, 301, 304, 400, 404, 418, 500, 503])
def test_the_backend_s_status_is_passed_on(fetch, nines, backend, status):
    body = b"" if status in (204, 304) else b"said by the backend"

    def answer(exchange):
        exchange.read_body()
        length = b"" if status in (204, 304) else b"Content-Length: %d\r\n" % len(body)
        exchange.send(b"HTTP/1.1 %d Whatever\r\nX-Mark: yes\r\n%s\r\n%s" % (status, length, body))

    backend.on("/", answer)
    got = fetch(nines.url("/"))
    assert (got.status, got.headers["x-mark"], got.body) == (status, "yes", body)


def test_a_chunked_answer_returns_whole(fetch, nines, backend):
    backend.on("/", lambda exchange: exchange.respond_chunked([b"one ", b"two ", b"three"]))
    assert fetch(nines.url("/")).body == b"one two three"


def test_an_encoded_body_is_not_touched(fetch, nines, backend):
    blob = bytes(range(256)) * 20
    backend.on("/", lambda exchange: exchange.respond(200, blob, [("Content-Encoding", "br"), ("ETag", '"1"')]))
    got = fetch(nines.url("/"), headers={"Accept-Encoding": "br"})
    assert got.body == blob and got.headers["content-encoding"] == "br" and got.headers["etag"] == '"1"'
    assert backend.requests[0].get("accept-encoding") == "br"


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_fifty_megabytes_go_up_unchanged(fetch, nines, backend, large_file, chunked):
    backend.on("/up", take)
    got = fetch(nines.url("/up"), "PUT", file=large_file, chunked=chunked)
    assert got.json == digest(pattern(LARGE))


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_fifty_megabytes_come_down_unchanged(fetch, nines, backend, chunked):
    backend.on("/", give(LARGE, chunked))
    got = fetch(nines.url("/"))
    assert {"sha256": got.sha256, "length": got.length} == digest(pattern(LARGE))


def test_one_connection_carries_all_requests(fetch_all, nines, backend):
    backend.on("/chunked", lambda exchange: exchange.respond_chunked([b"x"]))
    backend.on("/none", lambda exchange: exchange.send(b"HTTP/1.1 204 No Content\r\n\r\n"))
    # Without HEAD, after which undici always begins a new connection.
    wishes = [Wish(nines.url("/")), Wish(nines.url("/post"), "POST", body=b"body"), Wish(nines.url("/chunked")),
              Wish(nines.url("/none")), Wish(nines.url("/post"), "POST", body=b"x", chunked=True), Wish(nines.url("/"))]
    answers, connections = fetch_all(wishes)
    assert [got.status for got in answers] == [200, 200, 200, 204, 200, 200]
    assert connections == 1


def test_connections_to_the_backend_are_used_again(fetch_all, nines, backend):
    fetch_all([Wish(nines.url("/"))] * 10)
    # One connection of the client is one core, which keeps one connection to the backend.
    assert len(backend.requests) == 10 and backend.connections <= 1


def test_the_backend_learns_who_asked(fetch, nines, backend):
    got = fetch(nines.url("/"), headers={"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"})
    seen = dict(got.json["headers"])
    host = f"127.0.0.1:{nines.port}"
    assert seen["host"] == host and seen["x-forwarded-host"] == host
    assert seen["x-forwarded-for"] == "127.0.0.1", "a client's own claim is not passed on"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["forwarded"].startswith("for=127.0.0.1;proto=http") and "203.0.113.9" not in seen["forwarded"]
    assert seen["via"] == "1.1 nines"
    assert re.fullmatch("[0-9a-f]{32}", seen["x-request-id"])
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", seen["traceparent"])


def test_a_trace_goes_on(fetch, nines, backend):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    seen = dict(fetch(nines.url("/"), headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}).json["headers"])
    _, ours, span, flags = seen["traceparent"].split("-")
    assert (ours, flags) == (trace, "01") and span != "00f067aa0ba902b7"


def test_curl_sends_a_large_body_only_once_it_may(nines, backend, tmp_path):
    import subprocess
    path = tmp_path / "body"
    path.write_bytes(b"x" * 2_000_000)

    def expect(exchange):
        assert exchange.request.get("expect") == "100-continue"
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.respond(200, hashlib.sha256(exchange.read_body()).hexdigest().encode())

    backend.on("/up", expect)
    done = subprocess.run(["curl", "-sv", "--http1.1", "-H", "Expect: 100-continue", "--expect100-timeout", "20",
                           "-T", path, nines.url("/up")], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "HTTP/1.1 100 Continue" in done.stderr


def test_requests_keeps_its_endpoint_by_cookie(start, backends):
    import requests
    made = [backends(f"b{n}") for n in range(4)]
    servers = json.dumps([one.address for one in made])
    nines = start(f'[pool.shop]\nservers = {servers}\nbalance = "round-robin"\nsticky = {{ cookie = "shop_at" }}\n'
                  '[site.default.route]\n"/" = { pool = "shop" }\n')
    chosen = set()
    for _ in range(8):
        with requests.Session() as session:
            names = {session.get(nines.url("/"), timeout=5).json()["backend"] for _ in range(6)}
            assert len(names) == 1 and "shop_at" in session.cookies
            assert not any(one.address in session.cookies["shop_at"] for one in made), "the cookie is opaque"
            chosen |= names
    assert chosen == {"b0", "b1", "b2", "b3"}
