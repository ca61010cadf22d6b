"""The caches that are compared, what they keep, and what is asked of them.

All have two threads or workers, and the same origin with keep-alive; all add `Via` or the like and say what was a hit, none
writes a log. Memory of nginx is the page cache: it sends files. Varnish has no disk here.
"""

import http.server
import os
import select
import socket
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import load
from backends import owner, scratch
from peers import THREADS, first_line
from processes import Failure, Process, accepts, free_port, wait_until

KIB, MIB = 1 << 10, 1 << 20
SIZES = {"1k": KIB, "64k": 64 * KIB, "1m": MIB}
# Objects of a size that are asked for at random: 512 MiB, eight times what nines may keep in memory then.
SETS = {"64k": 8192, "1m": 512}
DISK_MEMORY = "64MiB"
CROWD = 500


class Origin:
    """nginx with one worker: any path below a size's name is a body of that size, fresh for a day. It counts what it is asked."""

    def __init__(self, folder):
        self.folder, self.port = Path(folder) / "origin", free_port()
        pages = self.folder / "pages"
        pages.mkdir(parents=True)
        for name, length in SIZES.items():
            (pages / name).write_bytes(os.urandom(length))
        sizes = "".join(f"location ~ ^/{name} {{ try_files /{name} =404; }}\n" for name in SIZES)
        path = self.folder / "nginx.conf"
        path.write_text(f"""
user {owner()};
worker_processes 1;
worker_rlimit_nofile 40000;
pid {self.folder}/pid;
events {{ worker_connections 20000; }}
http {{
    {scratch(self.folder)}
    access_log off;
    sendfile on;
    tcp_nopush on;
    default_type image/jpeg;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    open_file_cache max=100;
    open_file_cache_valid 600s;
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        root {pages};
        add_header Cache-Control "max-age=86400";
        {sizes}
        location = /count {{ stub_status; }}
    }}
}}
""")
        self.process = Process("origin", ["nginx", "-c", path, "-p", self.folder, "-e", self.folder / "error.log", "-g", "daemon off;"],
                               self.folder / "log")
        wait_until(lambda: accepts(self.port), "origin", process=self.process)

    def asked(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/count", timeout=5) as answer:
            return int(answer.read().decode().splitlines()[2].split()[2])


class SlowOrigin:
    """Answers each request a tenth of a second late, so that a crowd is there before the answer; and counts."""

    def __init__(self):
        origin = self
        self.asked, self.body, self.lock = {}, os.urandom(64 * KIB), threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with origin.lock:
                    origin.asked[self.path] = origin.asked.get(self.path, 0) + 1
                time.sleep(0.1)
                self.send_response(200)
                self.send_header("Cache-Control", "max-age=86400")
                self.send_header("Content-Length", str(len(origin.body)))
                self.end_headers()
                self.wfile.write(origin.body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 1024

        server = Server(("127.0.0.1", 0), Handler)
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()


class Peer:
    """A cache under test: `start()` it, then it listens on `port`. Paths below `/crowd/` go to the slow origin."""

    name, disk_too = "?", True

    def __init__(self, folder, world, disk):
        self.folder = Path(folder) / f"{self.name}-{'disk' if disk else 'memory'}"
        self.folder.mkdir(parents=True)
        self.world, self.disk, self.port, self.process = world, disk, free_port(), None

    def start(self):
        path = self.folder / "config"
        path.write_text(self.config())
        self.process = Process(self.name, self.command(path), self.folder / "log")
        wait_until(lambda: accepts(self.port), f"{self.name} on port {self.port}", process=self.process)
        return self

    def stop(self):
        self.process.stop()

    def url(self, page):
        return f"http://127.0.0.1:{self.port}/{page}"

    def keep(self, pages):
        """Asks for each, so that it is kept."""
        for page in pages:
            with urllib.request.urlopen(self.url(page), timeout=10) as answer:
                if len(answer.read()) != SIZES[page.partition("/")[0]]:
                    raise Failure(f"{self.name} answered {page} with a body of another length")


class Nginx(Peer):
    name = "nginx"

    def command(self, path):
        return ["nginx", "-c", path, "-p", self.folder, "-e", self.folder / "error.log", "-g", "daemon off;"]

    def version(self):
        return first_line(["nginx", "-v"])

    def config(self):
        return f"""
user {owner()};
worker_processes {THREADS};
worker_rlimit_nofile 40000;
pid {self.folder}/pid;
events {{ worker_connections 20000; }}
http {{
    {scratch(self.folder)}
    access_log off;
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    tcp_nodelay on;
    tcp_nopush on;
    sendfile on;
    open_file_cache max=20000;
    open_file_cache_valid 600s;
    upstream origin {{ server 127.0.0.1:{self.world.origin.port}; keepalive 64; }}
    upstream slow {{ server 127.0.0.1:{self.world.slow.port}; keepalive 64; }}
    proxy_cache_path {self.folder}/cache levels=1:2 keys_zone=kept:64m max_size=4g inactive=1d use_temp_path=off;
    proxy_cache kept;
    proxy_cache_lock on;
    proxy_cache_key $scheme$http_host$request_uri;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    server {{
        listen 127.0.0.1:{self.port} reuseport backlog=4096;
        add_header X-Cache $upstream_cache_status;
        location / {{ proxy_pass http://origin; }}
        location /crowd/ {{ proxy_pass http://slow; }}
    }}
}}
"""


class Varnish(Peer):
    name, disk_too = "varnish", False

    def command(self, path):
        return ["varnishd", "-F", "-n", self.folder / "work", "-a", f"127.0.0.1:{self.port}", "-T", "none", "-f", path, "-j", "none",
                "-s", "malloc,1g", "-p", f"thread_pools={THREADS}", "-p", "thread_pool_min=200", "-p", "listen_depth=4096"]

    def version(self):
        return first_line(["varnishd", "-V"])

    def config(self):
        return f"""
vcl 4.1;
backend origin {{ .host = "127.0.0.1"; .port = "{self.world.origin.port}"; }}
backend slow {{ .host = "127.0.0.1"; .port = "{self.world.slow.port}"; }}
sub vcl_recv {{
    if (req.url ~ "^/crowd/") {{ set req.backend_hint = slow; }}
}}
"""


class Nines(Peer):
    name, binary = "nines", None

    def command(self, path):
        return [self.binary, "up", path]

    def version(self):
        return first_line([self.binary, "--version"])

    def config(self):
        kept = f'memory = "{DISK_MEMORY}"\ndisk = "4GiB"' if self.disk else 'memory = "1GiB"'
        return f"""
[node]
data  = "{self.folder}/data"
admin = "127.0.0.1:{free_port()}"

[edge]
http  = ["127.0.0.1:{self.port}"]
cores = {THREADS}

[cdn]
{kept}

[pool.origin]
servers = ["127.0.0.1:{self.world.origin.port}"]

[pool.slow]
servers = ["127.0.0.1:{self.world.slow.port}"]

[site.default.route]
"/" = {{ pool = "origin", cache = "cdn" }}
"/crowd/" = {{ pool = "slow", cache = "cdn" }}
"""


PEERS = {peer.name: peer for peer in (Nines, Nginx, Varnish)}


class World:
    def __init__(self, folder):
        self.origin, self.slow, self.crowds = Origin(folder), SlowOrigin(), 0


# --- what is asked ---

@dataclass(frozen=True)
class Case:
    """`work(peer, seconds, rate)` gives figures with what `failed`; `pages` are kept before."""

    title: str
    work: Callable
    pages: tuple = ()
    disk: bool = False


def hits(title, page):
    return Case(title, lambda peer, seconds, _: load.saturate(peer.url(page), seconds), (page,))


def disk_hits(title, size):
    return Case(title, lambda peer, seconds, _: load.saturate(peer.url(f"{size}/"), seconds, pages=SETS[size]),
                tuple(f"{size}/{number}" for number in range(SETS[size])), disk=True)


CASES = {
    "hit-1k": hits("Hit, 1 KB", "1k"),
    "hit-64k": hits("Hit, 64 KB", "64k"),
    "steady-1k": Case("Hit, 1 KB, at a fixed rate", lambda peer, seconds, rate: load.steady(peer.url("1k"), seconds, rate), ("1k",)),
    "crowd": Case(f"{CROWD} clients at once on a cold object of 64 KB", lambda peer, *_: crowd(peer)),
    "disk-64k": disk_hits("512 MiB of objects of 64 KB, at random", "64k"),
    "disk-1m": disk_hits("512 MiB of objects of 1 MB, at random", "1m"),
}
TITLES = {name: case.title for name, case in CASES.items()}
COLUMNS = [
    ("cpu_us", "Server CPU per hit, µs", "{:,.1f}"),
    ("per_second", "Hits per second (more is better)", "{:,.0f}"),
    ("p99_us", "p99 latency, µs", "{:,.0f}"),
    ("fetches", "Fetches at the origin", "{:,.0f}"),
    ("crowd_ms", "Until all of them have it, ms", "{:,.0f}"),
    ("crowd_cpu_us", "Server CPU per client, µs", "{:,.0f}"),
    ("memory_mib", "Memory of the server afterwards (PSS), MiB", "{:,.0f}"),
]


def measured(case, peer, seconds, rate):
    """The load's figures, with the server's CPU time beside them. What was a miss is a failure."""
    asked, before = peer.world.origin.asked(), peer.process.cpu_ns()
    figures = case.work(peer, seconds, rate)
    cpu = peer.process.cpu_ns() - before
    if "fetches" in figures:
        return figures | {"crowd_cpu_us": cpu / 1e3 / CROWD}
    # Our own question is one.
    missed = peer.world.origin.asked() - asked - 1
    if missed > figures["requests"] / 1000:
        figures["failed"] = {**figures["failed"], "misses": missed}
    return figures | {"cpu_us": cpu / 1e3 / max(1, figures["requests"]), "memory_mib": peer.process.pss_bytes() / MIB}


def crowd(peer):
    """All have connected before the first asks, and all have asked before the origin answers."""
    peer.world.crowds += 1
    path = f"/crowd/{peer.world.crowds}"
    sockets = [socket.create_connection(("127.0.0.1", peer.port), 10) for _ in range(CROWD)]
    missing = {one.fileno(): [one, None] for one in sockets}
    poll = select.epoll()
    begun = time.monotonic()
    for one in sockets:
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: bench.test\r\n\r\n".encode())
        poll.register(one, select.EPOLLIN)
    broken = 0
    while missing and time.monotonic() < begun + 30:
        for file, _ in poll.poll(1):
            one, left = missing[file]
            data = one.recv(256 * KIB)
            if left is None and data:
                # The head is never longer than what comes at first.
                head, _, data_of_body = data.partition(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 200"):
                    raise Failure(f"{peer.name} answered a crowd with {head.splitlines()[0]!r}")
                left, data = len(peer.world.slow.body), data_of_body
            elif not data:
                broken += 1
                left = 0
            missing[file][1] = left - len(data)
            if missing[file][1] <= 0:
                poll.unregister(file)
                del missing[file]
    took = time.monotonic() - begun
    for one in sockets:
        one.close()
    failed = {word: count for word, count in (("broken", broken), ("unanswered", len(missing))) if count}
    return {"fetches": peer.world.slow.asked.get(path, 0), "crowd_ms": took * 1e3, "requests": CROWD, "failed": failed}
