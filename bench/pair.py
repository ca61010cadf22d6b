"""Two nines with the same file, and what can stand before them: HAProxy, or a third nines."""

import secrets
import signal
import urllib.request
from pathlib import Path

from backends import certificate, start_backend
from processes import Process, accepts, free_port, wait_until

ADDRESSES = ("127.0.1.1", "127.0.1.2")
SHOPS = 3
EVERY_ADDRESS = "0.0.0.0"

FILE = """
[node]
admin  = "ADDRESS:{admin}"
secret = {{ env = "NINES_SECRET" }}

[edge]
http  = ["ADDRESS:{http}"]
https = ["ADDRESS:{https}"]
cores = 2
proxy_protocol = [{proxies}]

[edge.tls]
tickets = {{ secret = {{ env = "NINES_SECRET" }} }}

[pool.pages]
servers = [{pages}]

[pool.shop]
servers = [{shops}]
sticky  = {{ cookie = "shop_at" }}

[site.default]
tls = {{ cert = "{cert}", key = "{key}" }}

[site.default.route]
"/" = {{ pool = "pages", response_headers = {{ set = {{ x-node = "ADDRESS" }} }} }}
"/whoami" = {{ pool = "shop", response_headers = {{ set = {{ x-node = "ADDRESS" }} }} }}
"""

FRONT = """
[node]
admin = "127.0.0.1:{admin}"

[tcp.front]
listen = "127.0.0.1:{http}"
pool   = "nodes"
proxy_protocol = ["127.0.4.0/24"]

[tcp.front-tls]
listen = "127.0.0.1:{https}"
pool   = "nodes-tls"

[pool.nodes]
servers = [{nodes}]
balance = "round-robin"
health  = {{ tcp = true, every = "100ms" }}
eject   = {{ for = "200ms", for_max = "1s" }}
proxy_protocol = "v2"

[pool.nodes-tls]
servers = [{nodes_tls}]
balance = "round-robin"
health  = {{ tcp = true, every = "100ms" }}
eject   = {{ for = "200ms", for_max = "1s" }}
proxy_protocol = "v2"
"""

HAPROXY = """
defaults
    mode tcp
    retries 3
    option redispatch 1
    timeout connect 2s
    timeout client 1m
    timeout server 1m
listen front
    bind 127.0.0.1:{http}
    {servers}
listen front-tls
    bind 127.0.0.1:{https}
    {servers_tls}
"""


class Node:
    """A nines in a folder of its own, with the same file as the other but for its address."""

    def __init__(self, binary, folder, address, ports, file, secret):
        self.binary, self.folder, self.address, self.ports = binary, Path(folder) / f"node-{address}", address, ports
        self.folder.mkdir(exist_ok=True)
        self.file, self.secret = self.folder / "nines.toml", secret
        self.file.write_text(file.replace("ADDRESS", address))
        self.process = None

    def begin(self):
        self.process = Process(f"nines {self.address}", [self.binary, "up", self.file], self.folder / "log",
                               {"NINES_SECRET": self.secret})

    def wait(self):
        wait_until(lambda: ready(self.address, self.ports["admin"]), "a node to be ready", process=self.process)

    def stop(self):
        self.process.stop()

    def kill(self):
        self.process.signal(signal.SIGKILL)
        self.process.child.wait()
        self.stop()


class World:
    """Backends, a certificate, a secret; from them two nodes, and what stands before them."""

    def __init__(self, binary, folder):
        self.binary, self.folder, self.secret = binary, Path(folder), secrets.token_hex(32)
        self.cert, self.key, _ = certificate(self.folder)
        self.pages = [start_backend(folder, number)[0] for number in (1, 2)]
        self.shops = [self.shop(number) for number in range(1, SHOPS + 1)]

    def shop(self, number):
        port = free_port()
        process = Process(f"shop {number}", [self.binary, "demo", "--port", port], self.folder / f"shop-{number}.log",
                          {"INSTANCE": f"shop-{number}"})
        wait_until(lambda: accepts(port), process.name, process=process)
        return port

    def nodes(self, proxies=""):
        """Two that run; connections from `proxies` begin with a PROXY header."""
        ports = {name: free_port(EVERY_ADDRESS) for name in ("admin", "http", "https")}
        file = FILE.format(**ports, proxies=proxies, cert=self.cert, key=self.key,
                           pages=listed("127.0.0.1", self.pages),
                           shops=listed("127.0.0.1", self.shops))
        nodes = [Node(self.binary, self.folder, address, ports, file, self.secret) for address in ADDRESSES]
        for node in nodes:
            node.begin()
        for node in nodes:
            node.wait()
        return nodes

    def haproxy(self, nodes):
        ports = {name: free_port(EVERY_ADDRESS) for name in ("http", "https")}
        servers = {kind: "\n    ".join(
            f"server {node.address} {node.address}:{node.ports[kind]} send-proxy-v2 check check-send-proxy inter 100ms "
            "fall 1 rise 1" for node in nodes) for kind in ports}
        path = self.folder / "haproxy.cfg"
        path.write_text(HAPROXY.format(**ports, servers=servers["http"], servers_tls=servers["https"]))
        process = Process("haproxy", ["haproxy", "-db", "-f", path], self.folder / "haproxy.log")
        wait_until(lambda: accepts(ports["https"]), "haproxy", process=process)
        return ports, process

    def front(self, nodes):
        ports = {name: free_port() for name in ("admin", "http", "https")}
        folder = self.folder / "front"
        folder.mkdir()
        servers = {kind: ", ".join(f'"{node.address}:{node.ports[kind]}"' for node in nodes)
                   for kind in ("http", "https")}
        path = folder / "nines.toml"
        path.write_text(FRONT.format(**ports, nodes=servers["http"], nodes_tls=servers["https"]))
        process = Process("nines front", [self.binary, "up", path], folder / "log")
        wait_until(lambda: ready("127.0.0.1", ports["admin"]), "the front to be ready", process=process)
        return ports, process


def listed(host, ports):
    return ", ".join(f'"{host}:{port}"' for port in ports)


def ready(address, port):
    try:
        urllib.request.urlopen(f"http://{address}:{port}/readyz", timeout=5).close()
        return True
    except OSError:
        return False
