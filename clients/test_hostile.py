"""A hostile afternoon: everything at once against one nines, while somebody well-behaved goes on with his work.

Every one of his requests is served and soon, memory stays within a bound, and what happened is in the metrics. It lasts
30 seconds; NINES_HOSTILE_SECONDS makes it longer.

    clients/run test_hostile.py
"""

import json
import os
import random
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from backend import give
from hostile import ATTACKS, IDLE_CONNECTIONS
from http2 import Ended, Http2, Reset
from http3 import run
from wire import Truncated, Wire, get

SECONDS = float(os.environ.get("NINES_HOSTILE_SECONDS", "30"))
# Of what a connection that waits may cost, what the attacks may hold, and what the process is made of.
IDLE_BYTES_MAX = 8 << 10
RESIDENT_BYTES_MAX = (192 << 20) + IDLE_CONNECTIONS * IDLE_BYTES_MAX
# A machine of two cores has thirty processes to run; a server that is stuck takes seconds.
P50_SECONDS_MAX, P99_SECONDS_MAX = 0.5, 3.0

LIES = {"/short": (502, "cut"), "/long": (200, 502), "/stalls": (504, 502, "cut"), "/garbage": (502,),
        "/chunks": ("cut", 502), "/lengths": (502,), "/endless-head": (502,), "/nothing": (502,), "/negative": (502,)}


def lie(backend):
    """Teaches a backend everything that is wrong."""
    def end_after(data, stall=0.0):
        def handler(exchange):
            exchange.body_is_read = True
            exchange.send(data)
            time.sleep(stall)
            exchange.close()
        return handler

    def endless_head(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            exchange.send(b"X-More: " + b"x" * 1000 + b"\r\n")

    head = b"HTTP/1.1 200 OK\r\n"
    backend.on("/short", end_after(head + b"Content-Length: 1000\r\n\r\nshort"))
    backend.on("/long", end_after(head + b"Content-Length: 4\r\n\r\nlonger than that HTTP/1.1 200 OK\r\n\r\n"))
    backend.on("/stalls", end_after(head + b"Content-Length: 1000\r\n\r\nand then", 6))
    backend.on("/garbage", end_after(b"\x16\x03\x01" + bytes(500)))
    backend.on("/chunks", end_after(head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzzz\r\n"))
    backend.on("/lengths", end_after(head + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nhello"))
    backend.on("/negative", end_after(head + b"Content-Length: -1\r\n\r\n"))
    backend.on("/endless-head", endless_head)
    backend.on("/nothing", end_after(b""))


class Customer(threading.Thread):
    """Asks all the time, in his own way, and remembers how long each answer took and what went wrong."""

    def __init__(self, name, ask):
        super().__init__(daemon=True)
        self.name, self.ask, self.took, self.failures, self.ends = name, ask, [], [], False

    def run(self):
        while not self.ends:
            started = time.monotonic()
            try:
                self.ask(self)
            except Exception as error:
                self.failures.append(f"{self.name} after {time.monotonic() - started:.2f} s: {error!r}")
            self.took.append(time.monotonic() - started)
            time.sleep(0.02)


def new_connection(nines):
    def ask(_):
        assert get(nines.port, "/work", timeout=20).body == b"done"
    return ask


def kept_connection(nines):
    wire = Wire(nines.port, timeout=20)

    def ask(_):
        wire.send("GET /work HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        assert wire.response().body == b"done"
    return ask


def kept_http2(nines):
    h2 = Http2(nines.https, tls=True)

    def ask(_):
        h2.socket.settimeout(20)
        assert h2.get("/work").body == b"done"
    return ask


def new_tls(nines):
    def ask(_):
        with Http2(nines.https, tls=True) as h2:
            h2.socket.settimeout(20)
            assert h2.get("/work").body == b"done"
    return ask


def uploads(nines):
    body = "x" * 100_000

    def ask(_):
        with Wire(nines.port, timeout=20) as wire:
            wire.send(f"POST /work HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {len(body)}\r\n\r\n{body}")
            assert wire.response().body == b"done"
    return ask


def new_http3(nines):
    def ask(_):
        assert run(nines.https, lambda h3: h3.get("/work")).body == b"done"
        time.sleep(0.5)  # most of the work is that of a client in Python
    return ask


class Liars(threading.Thread):
    """Asks the backends that lie, and checks that no lie looks like the truth."""

    def __init__(self, nines):
        super().__init__(daemon=True)
        self.nines, self.ends, self.heard, self.believed = nines, False, {}, []

    def run(self):
        while not self.ends:
            path = random.choice(list(LIES))
            heard = self.over_http2(path) if random.random() < 0.5 else self.over_http1(path)
            self.heard[heard] = self.heard.get(heard, 0) + 1
            if heard not in LIES[path]:
                self.believed.append((path, heard))
            time.sleep(0.05)

    def over_http1(self, path):
        try:
            return get(self.nines.port, "/liar" + path, timeout=20).status
        except (Truncated, ConnectionError):
            return "cut"

    def over_http2(self, path):
        with Http2(self.nines.port) as h2:
            try:
                h2.socket.settimeout(20)
                return h2.get("/liar" + path).status
            except (Reset, Ended):
                return "cut"


@pytest.fixture(scope="module")
def nines(start, backends):
    honest, liar = backends("honest"), backends("liar")
    honest.on("/work", lambda exchange: exchange.respond(200, b"done"))
    honest.on("/big", give(10 << 20, chunked=False))
    lie(liar)
    nines = start(f"""
[edge.timeout]
head = "3s"
body_idle = "3s"
drain = "1s"
[pool.honest]
servers = ["{honest.address}"]
limit = {{ inflight = 2000, queue = 2000, wait = "10s" }}
[pool.liar]
servers = ["{liar.address}"]
eject = {{ failures = 0 }}
retry = {{ attempts = 1 }}
[site.default]
tls = "self-signed"
[site.default.route]
"/" = {{ pool = "honest" }}
"/liar/" = {{ pool = "liar", rewrite = {{ prefix = "/" }} }}
""", https=True, http3=True)
    yield nines


@pytest.mark.timeout(SECONDS + 120)
def test_a_hostile_afternoon(nines):
    files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert files_max >= 1.2 * IDLE_CONNECTIONS, "too few files may be open (ulimit -Hn)"
    before, memory_at_rest = nines.metrics(), nines.memory()
    customers = [Customer(make.__name__, make(nines))
                 for make in (new_connection, kept_connection, kept_http2, new_tls, uploads, new_http3)]
    liars = Liars(nines)
    script = Path(__file__).parent / "hostile.py"
    attackers = {attack: subprocess.Popen(
        [sys.executable, script, attack, str(nines.port), str(nines.https), str(SECONDS)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE) for attack in ATTACKS}
    for thread in (*customers, liars):
        thread.start()
    highest, connections = 0, 0
    try:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            assert nines.process.poll() is None, f"nines ended:\n{nines.log.read_text()[-3000:]}"
            highest = max(highest, nines.memory())
            connections = max(connections, nines.metric("nines_edge_connections"))
            time.sleep(0.5)
        counts = {}
        for attack, process in attackers.items():
            out, errors = process.communicate(timeout=60)
            assert process.returncode == 0, f"{attack}: {errors.decode()}"
            counts[attack] = json.loads(out)
    finally:
        for thread in (*customers, liars):
            thread.ends = True
        for process in attackers.values():
            process.kill()
            process.wait()
    for thread in (*customers, liars):
        thread.join(30)
    report(customers, liars, counts, memory_at_rest, highest, connections)

    # Whoever behaves is served, and soon.
    assert [failure for customer in customers for failure in customer.failures] == []
    took = sorted(seconds for customer in customers for seconds in customer.took)
    assert len(took) > 20 * SECONDS
    assert took[len(took) // 2] < P50_SECONDS_MAX and took[len(took) * 99 // 100] < P99_SECONDS_MAX
    # No lie of a backend passes for the truth.
    assert liars.believed == [] and sum(liars.heard.values()) > len(LIES)
    # The attacks took place, and memory was bounded all the same.
    assert counts["idle_connections"]["done"] == IDLE_CONNECTIONS, counts["idle_connections"]
    assert connections > IDLE_CONNECTIONS
    assert all(count["done"] for count in counts.values()), counts
    assert highest < RESIDENT_BYTES_MAX
    # Floods are cut off, not suffered.
    floods = ("rapid_reset", "resets_provoked", "continuation_flood", "empty_continuation_flood", "settings_flood",
              "ping_flood", "empty_data_flood", "priority_flood", "slow_heads", "slow_heads_of_http2", "slow_bodies",
              "header_bombs", "renegotiation")
    assert [attack for attack in floods if not counts[attack]["cut"]] == []
    counted(before, nines.metrics())


def counted(before, after):
    """Each kind of attack has left its mark."""
    changed = {name for name, value in after.items() if value > before.get(name, 0)}

    def marked(pattern):
        return any(re.search(pattern, name) for name in changed)

    marks = {
        "resets": 'floods_total.*kind="resets"|errors_total.*"enhance_your_calm"', "settings": 'floods_total.*kind="settings"',
        "pings": 'floods_total.*kind="pings"', "continuations": 'floods_total.*kind="continuations"',
        "empty data": 'floods_total.*kind="empty_data"', "priorities": 'floods_total.*kind="priorities"',
        "slow heads and bodies": 'requests_total.*code="4(08|xx)"', "lies": 'requests_total.*code="5(02|xx)"',
        "handshakes that failed": "nines_tls_handshake_failures_total", "connections": "nines_edge_connections_total",
        "clients that left": "nines_edge_client_gone_total",
    }
    assert [kind for kind, pattern in marks.items() if not marked(pattern)] == [], "\n".join(sorted(changed))


def report(customers, liars, counts, memory_at_rest, highest, connections):
    """Shown with `-s`, and where the test fails."""
    print(f"\nmemory {memory_at_rest >> 20} MiB at rest, {highest >> 20} MiB at most; {connections:.0f} connections")
    for customer in customers:
        took = sorted(customer.took)
        print(f"{customer.name:16} {len(took):6} requests, {len(customer.failures)} failed, median "
              f"{took[len(took) // 2] * 1000:.0f} ms, p99 {took[len(took) * 99 // 100] * 1000:.0f} ms, "
              f"worst {took[-1] * 1000:.0f} ms")
    print(f"{'liars':16} {liars.heard}")
    for attack, count in counts.items():
        print(f"{attack:26} {count}")


def test_the_evening_after_it_is_quiet_again(nines):
    """What the attackers held is given back: connections at once, memory as far as an allocator does."""
    deadline = time.monotonic() + 30
    while nines.metric("nines_edge_connections") > 20:
        assert time.monotonic() < deadline, "connections of nobody are still counted"
        time.sleep(0.2)
    assert get(nines.port, "/work").body == b"done"
    assert nines.memory() < RESIDENT_BYTES_MAX
    assert len(os.listdir(f"/proc/{nines.process.pid}/fd")) < 300
