"""Load: wrk for saturation, oha for a fixed rate, and our own client for connections that only wait."""

import json
import select
import socket
import subprocess
import time
from pathlib import Path

from processes import Failure, die_with_parent

CONNECTIONS = 64
HERE = Path(__file__).parent


def saturate(url, seconds, close=False):
    """wrk in a closed loop: as many requests as `CONNECTIONS` connections can carry."""
    command = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", HERE / "wrk.lua"]
    if close:
        command += ["-H", "Connection: close"]
    counts = json.loads(output(command + [url]).strip().splitlines()[-1])
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
