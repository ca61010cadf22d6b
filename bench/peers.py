"""The servers that are compared, each with the configuration that its own manual would call tuned.

All do the same work: two threads or workers, keep-alive to two backends, HTTP/1.1 upstream, no access log,
`Host`, `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`, `X-Request-ID` and `Via` to the backend.
"""

import re
import subprocess
import urllib.request
from pathlib import Path

from processes import Failure, Process, accepts, free_port, wait_until

THREADS = 2
PAGES = {"1k": 1024, "64k": 65_536}


class Peer:
    """A server under test: `start()` it, then it listens on `port`."""

    name = "?"

    def __init__(self, folder, backends):
        self.folder = Path(folder) / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.backends = backends
        self.port = free_port()
        self.process = None

    def start(self):
        path = self.folder / self.file
        path.write_text(self.config())
        self.process = Process(self.name, self.command(path), self.folder / "log")
        wait_until(lambda: accepts(self.port), f"{self.name} on port {self.port}", process=self.process)
        for size, length in PAGES.items():
            for _ in range(8):  # every worker and both backends once, more or less
                with urllib.request.urlopen(f"{self.url}{size}", timeout=5) as answer:
                    if len(answer.read()) != length:
                        raise Failure(f"{self.name} answered {size} with a body of another length")
        return self

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"


class Nginx(Peer):
    name, file = "nginx", "nginx.conf"

    def command(self, path):
        return ["nginx", "-c", path, "-p", self.folder, "-e", self.folder / "error.log", "-g", "daemon off;"]

    def version(self):
        return first_line(["nginx", "-v"])

    def config(self):
        servers = " ".join(f"server 127.0.0.1:{port};" for port in self.backends)
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
    upstream pages {{ {servers} keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{self.port} reuseport backlog=4096;
        location / {{
            proxy_pass http://pages;
            proxy_http_version 1.1;
            proxy_buffer_size 32k;
            proxy_buffers 8 32k;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Request-ID $request_id;
            proxy_set_header Via "1.1 nginx";
            add_header Via "1.1 nginx";
        }}
    }}
}}
"""


class Haproxy(Peer):
    name, file = "haproxy", "haproxy.cfg"

    def command(self, path):
        return ["haproxy", "-db", "-f", path]

    def version(self):
        return first_line(["haproxy", "-v"])

    def config(self):
        servers = "\n".join(f"    server b{n} 127.0.0.1:{port}" for n, port in enumerate(self.backends))
        return f"""
global
    nbthread {THREADS}
    no strict-limits
    maxconn 20000
    tune.listener.multi-queue on
defaults
    mode http
    timeout connect 2s
    timeout client 75s
    timeout server 60s
    timeout http-keep-alive 75s
    timeout http-request 10s
    option http-keep-alive
    option splice-response
    http-reuse always
frontend front
    bind 127.0.0.1:{self.port} backlog 4096
    maxconn 20000
    unique-id-format %{{+X}}o%ci%cp%Ts%rt%pid
    unique-id-header X-Request-ID
    option forwardfor
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request add-header Via "1.1 haproxy"
    http-response add-header Via "1.1 haproxy"
    default_backend pages
backend pages
    balance roundrobin
{servers}
"""


class Nines(Peer):
    name, file = "nines", "nines.toml"
    binary = None

    def command(self, path):
        return [self.binary, "up", path]

    def version(self):
        return first_line([self.binary, "--version"])

    def config(self):
        servers = ", ".join(f'"127.0.0.1:{port}"' for port in self.backends)
        return f"""
[node]
data  = "{self.folder}/data"
admin = "127.0.0.1:{free_port()}"

[edge]
http  = ["127.0.0.1:{self.port}"]
cores = {THREADS}

[pool.pages]
servers = [{servers}]
balance = "round-robin"

[site.default.route]
"/" = {{ pool = "pages" }}
"""


PEERS = {peer.name: peer for peer in (Nines, Nginx, Haproxy)}


def start_backend(folder, number):
    """One nginx with one worker that serves the pages from the page cache; its port."""
    folder = Path(folder) / f"backend-{number}"
    root = folder / "pages"
    root.mkdir(parents=True, exist_ok=True)
    for name, length in PAGES.items():
        (root / name).write_bytes(b"nines " * (length // 6) + b"." * (length % 6))
    port = free_port()
    path = folder / "nginx.conf"
    path.write_text(f"""
user {owner()};
worker_processes 1;
worker_rlimit_nofile 40000;
pid {folder}/pid;
events {{ worker_connections 20000; }}
http {{
    {scratch(folder)}
    access_log off;
    sendfile on;
    tcp_nopush on;
    default_type text/plain;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    open_file_cache max=100;
    open_file_cache_valid 600s;
    server {{ listen 127.0.0.1:{port} backlog=4096; root {root}; }}
}}
""")
    process = Process(f"backend {number}", ["nginx", "-c", path, "-p", folder, "-e", folder / "error.log",
                                            "-g", "daemon off;"], folder / "log")
    wait_until(lambda: accepts(port), f"backend {number}", process=process)
    return port, process


def owner():
    """The account that nginx's workers run as: ours, so that they can read the pages."""
    import getpass
    import grp
    import os
    return f"{getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name}"


def scratch(folder):
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)


def first_line(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    line = (done.stdout + done.stderr).strip().splitlines()[0]
    found = re.search(r"\d+\.\d+\S*", line)
    return found.group() if found else line
