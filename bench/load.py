"""Load: wrk for saturation, oha for a fixed rate, h2load for HTTP/2, openssl for handshakes, wire.py for layer 4, and
our own client for connections that only wait."""

import json
import re
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

from processes import Failure, die_with_parent

CONNECTIONS = 64
H2_CONNECTIONS = 8
H2_STREAMS = 100
HANDSHAKERS = 4
LOST_SHARE_MAX = 0.001
HERE = Path(__file__).parent


def saturate(url, seconds, close=False, coding=None, pages=None):
    """wrk in a closed loop: as many requests as `CONNECTIONS` connections can carry. With `pages` it asks for `url` followed by
    a number below that, drawn anew for each request."""
    command = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", HERE / ("wrk-pages.lua" if pages else "wrk.lua")]
    if close:
        command += ["-H", "Connection: close"]
    if coding:
        command += ["-H", f"Accept-Encoding: {coding}"]
    more = ["--", pages] if pages else []
    counts = json.loads(output(command + [url] + more).strip().splitlines()[-1])
    failed = {key: counts[key] for key in ("connect", "read", "write", "status", "timeout") if counts[key]}
    return {
        "requests": counts["requests"],
        "per_second": counts["requests"] / counts["seconds"],
        "p50_us": counts["p50_us"],
        "p99_us": counts["p99_us"],
        "failed": failed,
    }


def steady(url, seconds, rate, connections=CONNECTIONS, close=False):
    """oha in an open loop: `rate` requests a second, whether the server keeps up or not.

    A latency counts from when the request was due (`--latency-correction`), so that a stall shows in every
    request that it held up.
    """
    command = ["oha", "--no-tui", "--no-color", "--output-format", "json", "-z", f"{seconds}s", "-w",
               "-q", str(rate), "-c", str(connections), "--latency-correction", "-t", "30s"]
    if close:
        command.append("--disable-keepalive")
    result = json.loads(output(command + [url]))
    statuses = {int(status): count for status, count in result["statusCodeDistribution"].items()}
    errors = result["errorDistribution"]
    answered = sum(statuses.values())
    return {
        "requests": answered,
        "per_second": answered / result["summary"]["total"],
        "p50_us": micros(result["latencyPercentiles"]["p50"]),
        "p99_us": micros(result["latencyPercentiles"]["p99"]),
        "statuses": statuses,
        "errors": errors,
        "failed": {**{f"status {status}": count for status, count in statuses.items() if status != 200}, **errors},
    }


def streams(url, seconds):
    """h2load in a closed loop: `H2_STREAMS` requests at once on each of `H2_CONNECTIONS` connections."""
    text = output(["h2load", "-t", "2", "-c", H2_CONNECTIONS, "-m", H2_STREAMS, "-D", seconds, url])
    if "Application protocol: h2" not in text:
        raise Failure(f"h2load does not speak HTTP/2 to {url}")
    counts = re.search(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    statuses = re.search(r"status codes: (\d+) 2xx", text)
    if not counts or not statuses:
        raise Failure(f"h2load says something else than it used to: {text[-400:]}")
    succeeded, *failed = map(int, counts.groups())
    words = ("failed", "errored", "timeout")
    return {
        "requests": succeeded,
        "per_second": succeeded / seconds,
        "p99_us": None,
        "failed": {word: count for word, count in zip(words, failed) if count}
        # At the end some have had their head and not all of their body.
        | ({} if int(statuses.group(1)) >= succeeded else {"status": succeeded - int(statuses.group(1))}),
    }


def handshakes(port, seconds, resumed):
    """`openssl s_time` on some processes: each connects, asks once for a few bytes, and connects again.

    It says of every connection whether its session was resumed.
    """
    command = ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-www", "/hello", "-time", str(seconds),
               "-reuse" if resumed else "-new"]
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                preexec_fn=die_with_parent) for _ in range(HANDSHAKERS)]
    done = 0
    begun = time.monotonic()
    texts = [client.communicate()[0] for client in clients]
    for client, text in zip(clients, texts):
        count = re.search(r"(\d+) connections in \d+ real seconds", text)
        if client.returncode or not count:
            raise Failure(f"openssl s_time ended with {client.returncode}: {text[-400:]}")
        done += int(count.group(1))
        seen = max(text.splitlines(), key=len)
        if resumed != (seen.count("r") > 0.99 * len(seen)):
            raise Failure(f"openssl s_time: sessions are {'not ' if resumed else ''}resumed")
    return {"requests": done, "per_second": done / (time.monotonic() - begun), "p99_us": None, "failed": {}}


def wire(role, port, seconds):
    return json.loads(output([sys.executable, HERE / "wire.py", role, port, seconds]))


def forward_stream(port, seconds):
    """Bytes through a few connections, as fast as they go."""
    counts = wire("sink", port, seconds)
    return {
        "requests": counts["bytes"] / 1e9,
        "per_second": counts["bytes"] / 1e9 / counts["seconds"],
        "p99_us": None,
        "failed": {"streams without a byte": counts["idle"]} if counts["idle"] else {},
    }


def forward_datagrams(port, seconds):
    """Datagrams there and back, in a closed loop; one that is lost costs its client time."""
    counts = wire("flood", port, seconds)
    lost_share = counts["lost"] / max(1, counts["echoes"])
    return {
        "requests": 2 * counts["echoes"],
        "per_second": 2 * counts["echoes"] / counts["seconds"],
        "p99_us": None,
        "failed": {"lost": counts["lost"]} if lost_share > LOST_SHARE_MAX else {},
    }


def micros(seconds):
    return None if seconds is None else seconds * 1e6


def output(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          preexec_fn=die_with_parent)
    if done.returncode:
        raise Failure(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout


class Idle:
    """Many keep-alive connections that each made one request and then wait.

    They come from several addresses of 127.0.0.0/8, so that one address's ports do not run out.
    """

    def __init__(self, port, count, page="/1k"):
        request = f"GET {page} HTTP/1.1\r\nHost: bench.test\r\n\r\n".encode()
        self.sockets = []
        batch = 200
        for start in range(0, count, batch):
            opened = [self.connect(port, index) for index in range(start, min(start + batch, count))]
            for one in opened:
                one.sendall(request)
            for one in opened:
                read_answer(one)
            self.sockets += opened

    @staticmethod
    def connect(port, index):
        one = socket.socket()
        one.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        one.bind((f"127.0.1.{1 + index % 8}", 0))
        one.settimeout(10)
        one.connect(("127.0.0.1", port))
        return one

    def open(self):
        """How many the server still holds open."""
        poll = select.epoll()
        for one in self.sockets:
            poll.register(one, select.EPOLLIN | select.EPOLLRDHUP)
        closed = poll.poll(0, len(self.sockets))
        poll.close()
        return len(self.sockets) - len(closed)

    def close(self):
        for one in self.sockets:
            one.close()
        self.sockets = []


def read_answer(one):
    data = b""
    while b"\r\n\r\n" not in data:
        data += received(one)
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise Failure(f"an idle connection's request was answered {head.splitlines()[0]!r}")
    fields = {name.strip().lower(): value for name, _, value in
              (line.partition(b":") for line in head.splitlines()[1:])}
    missing = int(fields[b"content-length"]) - len(body)
    while missing > 0:
        missing -= len(received(one))


def received(one):
    data = one.recv(65_536)
    if not data:
        raise Failure("the server closed an idle connection during its request")
    return data


def settle(process, seconds=10):
    """Waits until the server's memory has stopped moving; its PSS then."""
    before = process.pss_bytes()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = process.pss_bytes()
        if abs(now - before) < 64 * 1024:
            return now
        before = now
    return before
