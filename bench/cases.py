"""What is measured: for each case what a server must be told, who can do it, and the load."""

from dataclasses import dataclass
from typing import Callable

import load

ALL = ("nines", "nginx", "haproxy")


@dataclass(frozen=True)
class Case:
    """`work(peer, seconds, rate)` gives operations as `requests` and `per_second`, and what `failed`."""

    title: str
    work: Callable
    unit: str = "request"
    parts: frozenset = frozenset()
    peers: tuple = ALL
    encodes: tuple | None = None


def pages(title, page, **more):
    return Case(title, lambda peer, seconds, _: load.saturate(peer.url + page, seconds, **more))


def files(title, page, tls):
    parts = frozenset({"files", "tls"} if tls else {"files"})
    return Case(title, lambda peer, seconds, _: load.saturate((peer.tls_url if tls else peer.url) + page, seconds),
                parts=parts, peers=("nines", "nginx"))


def encoded(title, page, coding, peers):
    return Case(title, lambda peer, seconds, _: load.saturate(peer.url + page, seconds, coding=coding),
                parts=frozenset({"compress"}), peers=peers, encodes=(page, coding))


def handshakes(title, resumed):
    return Case(title, lambda peer, seconds, _: load.handshakes(peer.tls_port, seconds, resumed),
                unit="handshake", parts=frozenset({"tls"}))


TLS = frozenset({"tls"})
CASES = {
    "keepalive-1k": pages("GET 1 KB, keep-alive", "1k"),
    "keepalive-64k": pages("GET 64 KB, keep-alive", "64k"),
    "new-1k": pages("GET 1 KB, new connection each", "1k", close=True),
    "steady-1k": Case("GET 1 KB, keep-alive, at a fixed rate",
                      lambda peer, seconds, rate: load.steady(peer.url + "1k", seconds, rate)),
    "https-1k": Case("HTTPS, GET 1 KB, keep-alive",
                     lambda peer, seconds, _: load.saturate(peer.tls_url + "1k", seconds), parts=TLS),
    "h2-1k": Case("HTTP/2, GET 1 KB, 100 streams a connection",
                  lambda peer, seconds, _: load.streams(peer.tls_url + "1k", seconds), parts=TLS),
    "file-1k": files("File of 1 KB", "static/1k.bin", tls=False),
    "file-1m": files("File of 1 MB", "static/1m.bin", tls=False),
    "file-1k-https": files("File of 1 KB, HTTPS", "static/1k.bin", tls=True),
    "file-1m-https": files("File of 1 MB, HTTPS", "static/1m.bin", tls=True),
    "gzip-100k": encoded("Page of 100 KB, gzip", "page.html", "gzip", ("nines", "nginx")),
    "gzip-100k-quick": encoded("Page of 100 KB, gzip, least effort", "quick.html", "gzip", ("nines", "haproxy")),
    "br-100k": encoded("Page of 100 KB, brotli", "page.html", "br", ("nines", "nginx")),
    "tls-full": handshakes("TLS 1.3, ECDSA P-256, full", resumed=False),
    "tls-resumed": handshakes("TLS 1.3, ECDSA P-256, resumed", resumed=True),
    "tcp": Case("TCP, 4 connections", lambda peer, seconds, _: load.forward_stream(peer.tcp_port, seconds),
                unit="gigabyte", parts=frozenset({"tcp"})),
    "udp": Case("UDP, 200 bytes, 32 clients",
                lambda peer, seconds, _: load.forward_datagrams(peer.udp_port, seconds),
                unit="datagram", parts=frozenset({"udp"}), peers=("nines", "nginx")),
}
# Measured on servers of its own, and last.
IDLE = "idle"
IDLE_TITLE = "10,000 idle connections"
EVERY = (*CASES, IDLE)


def measured(case, peer, seconds, rate):
    """The load's own figures, with the server's CPU time beside them, in the case's unit."""
    before = peer.process.cpu_ns()
    figures = case.work(peer, seconds, rate)
    cpu_ns = peer.process.cpu_ns() - before
    done = max(1e-9, figures["requests"])
    if case.unit == "request":
        figures["cpu_us"] = cpu_ns / 1e3 / done
    elif case.unit == "gigabyte":
        figures["cpu_ms_per_gb"] = cpu_ns / 1e6 / done
        figures["gb_per_second"] = figures.pop("per_second")
    else:
        figures[f"{case.unit}s_per_cpu_s"] = done / max(1, cpu_ns) * 1e9
        figures[f"{case.unit}s_per_second"] = figures.pop("per_second")
    if case.encodes:
        figures["encoded_bytes"] = peer.encoded_bytes[case.encodes]
    return figures
