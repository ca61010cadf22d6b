"""Pools seen from outside: retries, ejection, full queues, and what a client hears when nobody can answer."""

import json
import socket
import threading
import time

import pytest
from wire import Wire, ask, get

ROUTE = '[site.default.route]\n"/" = { pool = "p" }\n'


def pool(servers, more=""):
    addresses = json.dumps([server if isinstance(server, str) else server.address for server in servers])
    return f'[pool.p]\nservers = {addresses}\nbalance = "round-robin"\n{more}\n{ROUTE}'


def dead_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def crash(exchange):
    exchange.reset()


def names(port, count, path="/"):
    return [json.loads(get(port, path).body)["backend"] for _ in range(count)]


def test_requests_are_spread(start, backends):
    nines = start(pool([backends("a"), backends("b"), backends("c")]))
    assert {name: names(nines.port, 30).count(name) for name in "abc"}.keys() == {"a", "b", "c"}


def test_an_endpoint_that_is_not_there_costs_no_request(start, backends):
    nines = start(pool([dead_address(), backends("alive")]))
    for _ in range(20):
        assert get(nines.port).status == 200
    for _ in range(20):  # nothing was sent, so a POST may be tried again as well
        post = "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\n\r\nbody"
        assert json.loads(ask(nines.port, post).body)["body"] == "body"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_an_idempotent_request_is_tried_elsewhere_after_a_reset(start, backends, method):
    broken = backends("broken")
    broken.on("/", crash)
    nines = start(pool([broken, backends("alive")], "eject = { failures = 0 }"))
    for _ in range(6):
        assert get(nines.port, method=method).status == 200
    assert broken.requests, "the broken endpoint was never tried"


def test_a_post_is_not_sent_twice_after_a_reset(start, backends):
    broken, alive = backends("broken"), backends("alive")
    broken.on("/", crash)
    nines = start(pool([broken, alive], "eject = { failures = 0 }"))
    statuses = [ask(nines.port, "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\n\r\nbody").status
                for _ in range(10)]
    assert sorted(set(statuses)) == [200, 502]
    assert len(broken.requests) == statuses.count(502) and len(alive.requests) == statuses.count(200)


def test_an_idle_connection_that_the_backend_closed_is_never_handed_out(start, backends):
    """A POST on a connection that died in between would be a 502 that nobody can retry."""
    fickle = backends("fickle")

    def close_afterwards(exchange):
        exchange.respond(200, b"ok")  # says nothing of closing, and closes
        exchange.close()

    fickle.on("/", close_afterwards)
    nines = start(pool([fickle]))
    with Wire(nines.port) as wire:
        for _ in range(30):
            wire.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\n\r\nbody")
            assert wire.response().status == 200
            time.sleep(0.01)  # for the FIN to arrive, as between two clicks


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_status_is_tried_elsewhere_when_the_pool_says_so(start, backends, status):
    broken, alive = backends("broken"), backends("alive")
    broken.on("/", lambda exchange: exchange.respond(status, b"broken"))
    nines = start(pool([broken, alive], f'retry = {{ on = ["{status}"] }}\neject = {{ failures = 0 }}'))
    assert set(names(nines.port, 8)) == {"alive"} and broken.requests


@pytest.mark.parametrize("status", [502, 503])
def test_the_last_status_is_told_when_nobody_answers_better(start, backends, status):
    both = [backends("one"), backends("two")]
    for one in both:
        one.on("/", lambda exchange: exchange.respond(status, b"broken"))
    nines = start(pool(both, f'retry = {{ on = ["{status}"] }}\neject = {{ failures = 0 }}'))
    assert get(nines.port).status == status
    assert [len(one.requests) for one in both] == [1, 1]


def test_half_a_head_is_not_mixed_with_another_endpoint_s_answer(start, backends):
    broken, alive = backends("broken"), backends("alive")
    broken.on("/", lambda exchange: (exchange.send(b"HTTP/1.1 200 OK\r\nX-Stale: 1\r\nX-Half: "), exchange.reset()))
    nines = start(pool([broken, alive], "eject = { failures = 0 }"))
    for _ in range(6):
        response = get(nines.port)
        assert response.get("x-stale") is None and response.get("x-half") is None
        if response.status == 200:
            assert json.loads(response.body)["backend"] == "alive"
        else:
            assert response.status == 502
    assert broken.requests


def test_a_failing_endpoint_is_ejected_and_comes_back(start, backends):
    broken, alive = backends("broken"), backends("alive")
    broken.on("/", crash)
    nines = start(pool([broken, alive], 'eject = { failures = 3, for = "1s" }'))
    for _ in range(20):
        assert get(nines.port).status == 200
    assert len(broken.requests) <= 4, "it was asked again while it was out"
    broken.handlers.clear()
    deadline = time.monotonic() + 10
    while "broken" not in names(nines.port, 2):
        assert time.monotonic() < deadline, "it never came back"
        time.sleep(0.1)


def test_a_health_check_takes_an_endpoint_out(start, backends):
    sick, alive = backends("sick"), backends("alive")
    for one in (sick, alive):
        one.on("/healthz", lambda exchange: exchange.respond(200, b"fine"))
    nines = start(pool([sick, alive], 'health = { http = "/healthz", every = "100ms", timeout = "500ms" }'))
    assert set(names(nines.port, 10)) == {"sick", "alive"}
    sick.on("/healthz", lambda exchange: exchange.respond(503, b"ill"))
    deadline = time.monotonic() + 10
    while "sick" in names(nines.port, 4):
        assert time.monotonic() < deadline, "still in use"
        time.sleep(0.05)
    sick.on("/healthz", lambda exchange: exchange.respond(200, b"fine again"))
    while "sick" not in names(nines.port, 4):
        assert time.monotonic() < deadline + 10, "never used again"
        time.sleep(0.05)


def test_a_full_queue_says_later(start, backends):
    slow, go_on = backends("slow"), threading.Event()
    slow.on("/slow", lambda exchange: (go_on.wait(20), exchange.respond(200, b"done")))
    nines = start(pool([slow], 'limit = { inflight = 1, queue = 1, wait = "10s" }'))
    with Wire(nines.port) as first, Wire(nines.port) as second:
        request = "GET /slow HTTP/1.1\r\nHost: shop.test\r\n\r\n"
        first.send(request)
        until(lambda: slow.seen("/slow"))
        second.send(request)
        # A place in the line is the second's before anybody else asks for it.
        until(lambda: nines.metric("nines_balance_pool_waiting") == 1)
        refused = get(nines.port, "/fast")
        assert refused.status == 503
        assert int(refused.get("retry-after")) >= 1
        go_on.set()
        assert first.response().body == b"done" and second.response().body == b"done"
    assert get(nines.port, "/fast").status == 200


def test_a_wait_that_is_too_long_says_later(start, backends):
    slow, go_on = backends("slow"), threading.Event()
    slow.on("/slow", lambda exchange: (go_on.wait(20), exchange.respond(200, b"done")))
    nines = start(pool([slow], 'limit = { inflight = 1, queue = 10, wait = "200ms" }'))
    with Wire(nines.port) as first:
        first.send("GET /slow HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        until(lambda: slow.seen("/slow"))
        started = time.monotonic()
        response = get(nines.port, "/fast")
        assert response.status == 503 and response.get("retry-after") and time.monotonic() - started < 5
        go_on.set()
        assert first.response().status == 200


def test_an_endpoint_that_does_not_answer_in_time_is_a_gateway_timeout(start, backends):
    silent = backends("silent")
    silent.on("/", lambda exchange: exchange.wait_gone(10))
    nines = start(pool([silent], 'timeout = { first_byte = "300ms" }'))
    assert get(nines.port).status == 504


def test_a_sticky_client_moves_when_its_endpoint_dies(start, backends):
    made = {name: backends(name) for name in "abc"}
    nines = start(pool(made.values(), 'sticky = { cookie = "at" }'))
    first = get(nines.port)
    cookie = first.get("set-cookie").partition(";")[0]
    assert "httponly" in first.get("set-cookie").lower()
    name = json.loads(first.body)["backend"]
    for _ in range(5):
        again = get(nines.port, headers=[("Cookie", f"other=1; {cookie}")])
        assert json.loads(again.body)["backend"] == name and again.get("set-cookie") is None
    made[name].handlers["/"] = crash
    moved = get(nines.port, headers=[("Cookie", cookie)])
    assert moved.status == 200 and json.loads(moved.body)["backend"] != name and moved.get("set-cookie")


@pytest.mark.parametrize("value", ["", "x", "a" * 4000, "%00", '"quoted"'])
def test_a_made_up_sticky_cookie_does_no_harm(start, backends, value):
    nines = start(pool([backends("a"), backends("b")], 'sticky = { cookie = "at" }'))
    response = get(nines.port, headers=[("Cookie", f"at={value}")])
    assert response.status == 200 and response.get("set-cookie")


@pytest.fixture(scope="module")
def deserted(start):
    """A pool whose one server is not there; its address."""
    address = dead_address()
    nines = start(pool([address]))
    nines.dead = address
    return nines


def test_the_error_page_is_html_for_a_browser(deserted):
    response = get(deserted.port, headers=[("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")])
    assert response.status in (502, 503) and response.get("content-type").startswith("text/html")
    assert response.get("x-request-id").encode() in response.body
    assert_tells_nothing(deserted, response)


def test_the_error_page_is_json_for_a_program(deserted):
    response = get(deserted.port, headers=[("Accept", "application/json")])
    page = json.loads(response.body)
    assert response.get("content-type").startswith("application/") and "json" in response.get("content-type")
    assert page["status"] == response.status and page["request_id"] == response.get("x-request-id")
    assert_tells_nothing(deserted, response)


def test_an_error_page_has_no_body_for_head(deserted):
    with Wire(deserted.port) as wire:
        wire.send("HEAD / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        assert wire.response("HEAD").status in (502, 503)
        wire.send("GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
        assert wire.response().status in (502, 503)


def assert_tells_nothing(nines, response):
    whole = response.body + repr(response.headers).encode()
    for secret in (nines.dead, nines.dead.partition(":")[2], "refused", "pool", "endpoint", "upstream"):
        assert secret.encode() not in whole.lower(), f"the page tells {secret}"


def until(holds, seconds=10):
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)
    return value
