"""What a client may send and how long it may take: limits, timeouts, and slow ones that must not hurt others."""

import threading
import time

import pytest
from backend import give
from wire import Truncated, Wire, ask, get

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def strict(start, shared_backend):
    """An edge with small limits and short timeouts."""
    return start(f"""
[edge.limit]
head = "4KiB"
headers = 20
body = "10KiB"
[edge.timeout]
head = "700ms"
body_idle = "700ms"
idle = "1s"
[pool.all]
servers = ["{shared_backend.address}"]
[site.default.route]
"/" = {{ pool = "all" }}
[site."large.test"]
body_max = "20KiB"
[site."large.test".route]
"/" = {{ pool = "all" }}
""")


def test_a_head_that_is_too_large(strict, backend):
    assert get(strict.port, headers=[("X-Large", "x" * 5000)]).status == 431
    assert backend.bytes_received == 0


def test_too_many_headers(strict, backend):
    assert get(strict.port, headers=[(f"X-{n}", "1") for n in range(25)]).status == 431
    assert get(strict.port, headers=[(f"X-{n}", "1") for n in range(15)]).status == 200


def test_a_target_that_is_too_long(strict, backend):
    assert get(strict.port, "/" + "x" * 5000).status == 414
    assert backend.bytes_received == 0


@pytest.mark.parametrize("host, status", [("shop.test", 413), ("large.test", 200)])
def test_a_body_s_announced_length_is_limited(strict, backend, host, status):
    body = "x" * 15_000
    response = ask(strict.port, f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n{body}")
    assert response.status == status
    if status == 413:
        assert backend.bytes_received == 0


def test_a_chunked_body_is_limited_as_it_comes(strict, backend):
    with Wire(strict.port) as wire:
        wire.send("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(15):
                wire.send(f"{1000:x}\r\n{'x' * 1000}\r\n")
            wire.send("0\r\n\r\n")
            assert wire.response().status == 413
        except (ConnectionError, Truncated):
            pytest.fail("the client was cut off without hearing 413")


def test_a_head_that_drips_is_cut_off(strict, backend):
    with Wire(strict.port) as wire:
        started = time.monotonic()
        wire.send("GET / HTTP/1.1\r\n")
        try:
            for n in range(100):
                wire.send(f"X-{n}: drip\r\n")
                time.sleep(0.1)
        except ConnectionError:
            pass
        assert time.monotonic() - started < 8, "a slow head may go on for ever"
    assert backend.bytes_received == 0


def test_a_head_that_stops_hears_408(strict, backend):
    with Wire(strict.port) as wire:
        wire.send("GET / HTTP/1.1\r\nHost: sh")
        response = wire.response()
        assert response.status == 408 and response.get("connection").lower() == "close"
        assert wire.is_closed()


def test_a_connection_that_sends_nothing_is_closed_in_silence(strict, backend):
    with Wire(strict.port) as wire:
        assert wire.is_closed(5)


def test_a_connection_that_idles_between_requests_is_closed_in_silence(strict, backend):
    with Wire(strict.port) as wire:
        wire.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        assert wire.response().status == 200
        assert wire.is_closed(5)


def test_a_body_that_stops_hears_408(strict, backend):
    with Wire(strict.port) as wire:
        wire.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1000\r\n\r\nonly this")
        try:
            assert wire.response().status == 408
        except Truncated:
            pytest.fail("cut off without hearing 408")


def test_a_whole_request_has_a_time_limit(start, shared_backend, backend):
    backend.on("/", lambda exchange: exchange.wait_gone(10))
    nines = start(f'[edge.timeout]\nrequest = "400ms"\n[pool.p]\nservers = ["{shared_backend.address}"]\n'
                  '[site.default.route]\n"/" = { pool = "p" }\n')
    started = time.monotonic()
    assert get(nines.port).status == 504 and time.monotonic() - started < 5


def test_a_slow_reader_does_not_hurt_others_and_is_held_back(nines, backend):
    """One takes 50 MB at 1 MB/s; others go on at once, and the proxy does not swallow the 50 MB for it."""
    sent = 0

    def flood(exchange):
        nonlocal sent
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (50 * MEGABYTE))
        try:
            for _ in range(50):
                exchange.send(b"x" * MEGABYTE)
                sent += 1
        except OSError:
            exchange.close()

    backend.on("/flood", flood)
    with Wire(nines.port, receive_buffer=65_536) as slow:
        slow.send("GET /flood HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        assert slow.head().status == 200
        taken, worst, until = 0, 0.0, time.monotonic() + 3
        while time.monotonic() < until:
            slow.buffer = b""
            slow.fill()
            taken += len(slow.buffer)
            started = time.monotonic()
            assert get(nines.port, "/").status == 200
            worst = max(worst, time.monotonic() - started)
            time.sleep(max(0.0, len(slow.buffer) / MEGABYTE - (time.monotonic() - started)))
        assert worst < 1.0, f"another request waited {worst:.2f} s"
        # What is under way: the kernel's buffers of two connections, and the proxy's own.
        assert sent * MEGABYTE < taken + 16 * MEGABYTE, "the answer was buffered for the slow reader"


def test_a_slow_upload_does_not_hurt_others(nines, backend):
    with Wire(nines.port) as slow:
        slow.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            slow.send("x")
            assert get(nines.port, "/").status == 200
        assert slow.response().status == 200


def test_many_connections_at_once(nines, backend):
    backend.on("/page", give(100_000, chunked=False))
    failures = []

    def visit():
        try:
            with Wire(nines.port, timeout=30) as wire:
                for _ in range(5):
                    wire.send("GET /page HTTP/1.1\r\nHost: shop.test\r\n\r\n")
                    assert len(wire.response().body) == 100_000
        except Exception as error:
            failures.append(error)

    visitors = [threading.Thread(target=visit) for _ in range(100)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert failures == []
