"""What stands behind the servers that are compared: pages, streams, datagrams; and what they are given."""

import subprocess
import sys
from pathlib import Path

from page import page
from processes import Failure, Process, accepts, free_port, wait_until

HERE = Path(__file__).parent
PAGES = {"1k": 1024, "64k": 65_536}
STATIC = {"1k": 1024, "1m": 1 << 20}


class World:
    """Backends, a certificate and a folder of files: the same for all servers. `parts` says what is wanted of it."""

    def __init__(self, folder, parts=frozenset()):
        self.folder, self.parts = Path(folder), frozenset(parts)
        self.pages = [start_backend(folder, number)[0] for number in (1, 2)]
        self.certificate = certificate(self.folder) if "tls" in parts else None
        self.files = static_files(self.folder) if "files" in parts else None
        self.source = self.wire("source", accepts) if "tcp" in parts else None
        self.echo = self.wire("echo", lambda port: True) if "udp" in parts else None

    def wire(self, role, is_up):
        port = free_port()
        process = Process(role, [sys.executable, HERE / "wire.py", role, port], self.folder / f"{role}.log")
        wait_until(lambda: is_up(port), role, process=process)
        return port


def static_files(folder):
    """Files of noise, which no server could be tempted to make smaller."""
    root = folder / "static"
    root.mkdir()
    for name, length in STATIC.items():
        (root / f"{name}.bin").write_bytes((bytes(range(256)) * (length // 256 + 1))[:length])
    return root


def certificate(folder):
    """A self-signed ECDSA P-256 certificate: the paths of it, of its key, and of both in one file."""
    cert, key, both = folder / "cert.pem", folder / "key.pem", folder / "both.pem"
    run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key])
    run(["openssl", "req", "-x509", "-new", "-key", key, "-days", "30", "-subj", "/CN=bench.test", "-out", cert,
         "-addext", "subjectAltName=DNS:bench.test,DNS:localhost,IP:127.0.0.1"])
    both.write_text(cert.read_text() + key.read_text())
    return cert, key, both


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-600:]}")


def start_backend(folder, number):
    """One nginx with one worker that serves the pages from the page cache; its port."""
    folder = Path(folder) / f"backend-{number}"
    root = folder / "pages"
    root.mkdir(parents=True, exist_ok=True)
    for name, length in PAGES.items():
        (root / name).write_bytes(b"nines " * (length // 6) + b"." * (length % 6))
    for name in ("page.html", "quick.html"):
        (root / name).write_bytes(page())
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
    types {{ text/html html; }}
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
