"""The servers that are compared, each with the configuration that its own manual would call tuned.

All do the same work: two threads or workers, keep-alive to two backends, HTTP/1.1 upstream, no access log,
`Host`, `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`, `X-Request-ID` and `Via` to the backend. A server
is only told what the cases of the run need (the `parts` of its world).
"""

import re
import socket
import ssl
import subprocess
import urllib.request
import zlib
from pathlib import Path

from backends import PAGES, STATIC, owner, scratch
from page import page
from processes import Failure, Process, accepts, free_port, wait_until

THREADS = 2
# nginx's levels: of gzip its default, whose pages are a little larger than ours; of brotli the level that is our
# default, and the CDNs'. HAProxy has but one, which keeps nothing of what it has seen: it stands beside our first.
GZIP_LEVEL, BR_LEVEL = 1, 4
MODULES = Path("/usr/lib/nginx/modules")


class Peer:
    """A server under test: `start()` it, then it listens on `port`, and on what else its parts ask for."""

    name = "?"
    can = frozenset()
    encodes = ()

    def __init__(self, folder, world):
        self.folder = Path(folder) / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.world = world
        self.parts = world.parts & self.can
        self.port, self.tls_port, self.tcp_port, self.udp_port = (free_port() for _ in range(4))
        self.process = None
        self.encoded_bytes = {}

    def start(self):
        path = self.folder / self.file
        path.write_text(self.config())
        self.process = Process(self.name, self.command(path), self.folder / "log")
        ports = [self.port] + [self.tls_port] * ("tls" in self.parts) + [self.tcp_port] * ("tcp" in self.parts)
        for port in ports:
            wait_until(lambda: accepts(port), f"{self.name} on port {port}", process=self.process)
        self.warm_up()
        return self

    def warm_up(self):
        """Every worker and both backends once, more or less; and whether the answers are what they should be."""
        urls = [self.url] + [self.tls_url] * ("tls" in self.parts)
        for url in urls:
            pages = [(name, length) for name, length in PAGES.items()]
            if "files" in self.parts:
                pages += [(f"static/{name}.bin", length) for name, length in STATIC.items()]
            for name, length in pages:
                for _ in range(8):
                    if len(fetch(url + name)[1]) != length:
                        raise Failure(f"{self.name} answered {name} with a body of another length")
        for name, coding in self.encodes if "compress" in self.parts else ():
            fields, body = fetch(self.url + name, {"Accept-Encoding": coding})
            if fields.get("Content-Encoding") != coding:
                raise Failure(f"{self.name} does not encode {name} with {coding}")
            if coding == "gzip" and zlib.decompress(body, 31) != page():
                raise Failure(f"{self.name} encodes another page")
            self.encoded_bytes[name, coding] = len(body)

    def cipher(self):
        """What it agrees on with a client that has no preference of its own."""
        context = ssl._create_unverified_context()
        with socket.create_connection(("127.0.0.1", self.tls_port), 5) as plain:
            with context.wrap_socket(plain, server_hostname="bench.test") as connection:
                return f"{connection.version()} {connection.cipher()[0]}"

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    @property
    def tls_url(self):
        return f"https://127.0.0.1:{self.tls_port}/"


class Nginx(Peer):
    name, file = "nginx", "nginx.conf"
    can = frozenset({"tls", "files", "compress", "tcp", "udp"})
    encodes = (("page.html", "gzip"), ("page.html", "br"))

    def command(self, path):
        return ["nginx", "-c", path, "-p", self.folder, "-e", self.folder / "error.log", "-g", "daemon off;"]

    def version(self):
        return first_line(["nginx", "-v"])

    def config(self):
        servers = " ".join(f"server 127.0.0.1:{port};" for port in self.world.pages)
        modules = ["ngx_stream_module"] * bool(self.parts & {"tcp", "udp"}) \
            + ["ngx_http_brotli_filter_module"] * ("compress" in self.parts)
        return f"""
{"".join(f"load_module {MODULES}/{module}.so;" for module in modules)}
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
    server {{
        listen 127.0.0.1:{self.port} reuseport backlog=4096;
        {self.tls()}
        location / {{
            proxy_pass http://pages;
            add_header Via "1.1 nginx";
        }}
        {self.files()}
        {self.compress()}
    }}
}}
{self.stream()}
"""

    def tls(self):
        if "tls" not in self.parts:
            return ""
        cert, key, _ = self.world.certificate
        return f"""
        listen 127.0.0.1:{self.tls_port} ssl http2 reuseport backlog=4096;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:sessions:10m;
        ssl_session_timeout 1d;
        ssl_session_tickets on;
        location = /hello {{ default_type text/plain; return 200 "hello\\n"; }}"""

    def files(self):
        if "files" not in self.parts:
            return ""
        return f"""
        location /static/ {{
            alias {self.world.files}/;
            sendfile on;
            tcp_nopush on;
            open_file_cache max=1000;
            open_file_cache_valid 60s;
        }}"""

    def compress(self):
        if "compress" not in self.parts:
            return ""
        return f"""
        location = /page.html {{
            proxy_pass http://pages;
            add_header Via "1.1 nginx";
            gzip on;
            gzip_vary on;
            gzip_comp_level {GZIP_LEVEL};
            brotli on;
            brotli_comp_level {BR_LEVEL};
        }}"""

    def stream(self):
        servers = ""
        if "tcp" in self.parts:
            servers += f"""
    server {{
        listen 127.0.0.1:{self.tcp_port} reuseport backlog=4096;
        proxy_pass 127.0.0.1:{self.world.source};
        proxy_buffer_size 256k;
    }}"""
        if "udp" in self.parts:
            servers += f"""
    server {{
        listen 127.0.0.1:{self.udp_port} udp reuseport;
        proxy_pass 127.0.0.1:{self.world.echo};
        proxy_timeout 30s;
    }}"""
        return f"stream {{{servers}\n}}" if servers else ""


class Haproxy(Peer):
    name, file = "haproxy", "haproxy.cfg"
    can = frozenset({"tls", "compress", "tcp"})
    encodes = (("quick.html", "gzip"),)

    def command(self, path):
        return ["haproxy", "-db", "-f", path]

    def version(self):
        return first_line(["haproxy", "-v"])

    def config(self):
        servers = "\n".join(f"    server b{n} 127.0.0.1:{port}" for n, port in enumerate(self.world.pages))
        return f"""
global
    nbthread {THREADS}
    no strict-limits
    maxconn 20000
    tune.listener.multi-queue on
    tune.pipesize 1048576
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
    {self.tls()}
    maxconn 20000
    unique-id-format %{{+X}}o%ci%cp%Ts%rt%pid
    unique-id-header X-Request-ID
    option forwardfor
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request add-header Via "1.1 haproxy"
    http-response add-header Via "1.1 haproxy"
    {"use_backend compressed if { path /quick.html }" if "compress" in self.parts else ""}
    default_backend pages
backend pages
    balance roundrobin
{servers}
{self.compress(servers)}
{self.tcp()}
"""

    def tls(self):
        if "tls" not in self.parts:
            return ""
        return f"""bind 127.0.0.1:{self.tls_port} backlog 4096 ssl crt {self.world.certificate[2]} \
ssl-min-ver TLSv1.2 alpn h2,http/1.1
    http-request return status 200 content-type text/plain string hello if {{ path /hello }}"""

    def compress(self, servers):
        if "compress" not in self.parts:
            return ""
        return f"""backend compressed
    balance roundrobin
    compression algo gzip
    compression type text/html
{servers}"""

    def tcp(self):
        if "tcp" not in self.parts:
            return ""
        return f"""defaults
    mode tcp
    timeout connect 2s
    timeout client 75s
    timeout server 75s
    option splice-request
    option splice-response
listen bulk
    bind 127.0.0.1:{self.tcp_port} backlog 4096
    server source 127.0.0.1:{self.world.source}"""


class Nines(Peer):
    name, file = "nines", "nines.toml"
    can = frozenset({"tls", "files", "compress", "tcp", "udp"})
    encodes = (("page.html", "gzip"), ("page.html", "br"), ("quick.html", "gzip"))
    binary = None

    def command(self, path):
        return [self.binary, "up", path]

    def version(self):
        return first_line([self.binary, "--version"])

    def config(self):
        servers = ", ".join(f'"127.0.0.1:{port}"' for port in self.world.pages)
        tls = "tls" in self.parts
        cert, key, _ = self.world.certificate if tls else ("", "", "")
        routes = {"/": '{ pool = "pages" }'}
        if tls:
            routes["/hello"] = '{ respond = { body = "hello\\n" } }'
        if "files" in self.parts:
            routes["/static/"] = f'{{ files = "{self.world.files}" }}'
        if "compress" in self.parts:
            routes["/page.html"] = '{ pool = "pages", compress = true }'
            routes["/quick.html"] = '{ pool = "pages", compress = { level = { gzip = 1 } } }'
        return f"""
[node]
data  = "{self.folder}/data"
admin = "127.0.0.1:{free_port()}"

[edge]
http  = ["127.0.0.1:{self.port}"]
{f'https = ["127.0.0.1:{self.tls_port}"]' if tls else ""}
cores = {THREADS}

[pool.pages]
servers = [{servers}]
balance = "round-robin"

[site.default]
{f'tls = {{ cert = "{cert}", key = "{key}" }}' if tls else ""}
[site.default.route]
{chr(10).join(f'"{path}" = {route}' for path, route in routes.items())}
{self.layer4("tcp", self.tcp_port, self.world.source)}
{self.layer4("udp", self.udp_port, self.world.echo)}
"""

    def layer4(self, protocol, port, backend):
        if protocol not in self.parts:
            return ""
        return f"""
[pool.{protocol}]
servers = ["127.0.0.1:{backend}"]

[{protocol}.wire]
listen = "127.0.0.1:{port}"
pool = "{protocol}"
"""


PEERS = {peer.name: peer for peer in (Nines, Nginx, Haproxy)}


def fetch(url, fields=None):
    """The fields and the body of an answer, whoever signed the certificate."""
    request = urllib.request.Request(url, headers=fields or {})
    context = ssl._create_unverified_context() if url.startswith("https") else None
    with urllib.request.urlopen(request, timeout=5, context=context) as answer:
        return answer.headers, answer.read()


def first_line(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    line = (done.stdout + done.stderr).strip().splitlines()[0]
    found = re.search(r"\d+\.\d+\S*", line)
    return found.group() if found else line
