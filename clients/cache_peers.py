"""Other caches before an origin: nginx, Varnish and Apache Traffic Server, each told to cache by the RFC as far as it can.

What a test of ours asks of a cache is tried on them, so that the test itself is known to work; and they are the bar.
"""

import getpass
import grp
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from conftest import eventually, free_port


class Peer:
    """A cache on a port of its own before the origin at a port of 127.0.0.1; ended with the `with`."""

    name, program = "?", "?"
    # What the scenarios must know about it.
    knows = frozenset()

    def __init__(self, folder, origin):
        self.folder, self.origin, self.port = Path(folder) / self.name, origin, free_port()
        self.folder.mkdir(parents=True)
        self.log = self.folder / "out"

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def __enter__(self):
        command = self.command()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)
        eventually(self.accepts, 30)
        return self

    def accepts(self):
        assert self.process.poll() is None, self.log.read_text(errors="replace")
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def __exit__(self, *_):
        # Its children are in its session, and nobody else.
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(10)
                return
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                return


class Nginx(Peer):
    name, program = "nginx", "nginx"
    knows = frozenset({"coalesce", "stale", "stale-if-reset", "range", "ranges", "empty"})

    def version(self):
        return version(["nginx", "-v"])

    def command(self):
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        path = self.folder / "nginx.conf"
        path.write_text(f"""
user {getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name};
worker_processes 1;
worker_rlimit_nofile 10000;
pid {self.folder}/pid;
events {{ worker_connections 4096; }}
http {{
    {" ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in kinds)}
    access_log off;
    proxy_cache_path {self.folder}/cache keys_zone=cache:8m max_size=256m inactive=1h use_temp_path=off;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        location / {{
            proxy_pass http://127.0.0.1:{self.origin};
            proxy_cache cache;
            proxy_cache_revalidate on;
            proxy_cache_lock on;
            proxy_cache_lock_timeout 30s;
            proxy_cache_lock_age 30s;
            proxy_cache_background_update on;
            proxy_force_ranges on;
            proxy_cache_key $scheme$http_host$request_uri;
            add_header X-Cache $upstream_cache_status always;
        }}
    }}
}}
""")
        return ["nginx", "-c", path, "-p", self.folder, "-e", self.folder / "error.log", "-g", "daemon off;"]


class Varnish(Peer):
    name, program = "varnish", "varnishd"
    knows = frozenset({"coalesce", "stream", "stale", "range", "empty", "purge"})

    def version(self):
        return version(["varnishd", "-V"])

    def command(self):
        path = self.folder / "default.vcl"
        path.write_text(f"""
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{self.origin}"; .max_connections = 1000; }}
sub vcl_recv {{
    if (req.method == "PURGE") {{ return (purge); }}
}}
sub vcl_deliver {{
    if (obj.hits > 0) {{ set resp.http.X-Cache = "HIT"; }} else {{ set resp.http.X-Cache = "MISS"; }}
}}
""")
        # As the suite's own page of results has it: nothing is kept that does not say for how long; and kept, to be confirmed.
        return ["varnishd", "-F", "-n", self.folder / "work", "-a", f"127.0.0.1:{self.port}", "-T", "none", "-f", path,
                "-s", "malloc,256m", "-p", "default_ttl=0", "-p", "default_grace=0", "-p", "default_keep=3600",
                "-p", "thread_pool_min=100", "-p", "vcc_allow_inline_c=off", "-j", "none"]


class TrafficServer(Peer):
    name, program = "trafficserver", "traffic_server"
    knows = frozenset({"ranges"})

    def __init__(self, folder, origin):
        super().__init__(folder, origin)
        # It never serves as root, and gives itself away to `account`, which must reach its files.
        self.folder = Path(tempfile.mkdtemp(prefix="nines-peer-"))
        self.folder.chmod(0o755)

    def __exit__(self, *_):
        super().__exit__()
        shutil.rmtree(self.folder)

    def version(self):
        return version(["traffic_server", "-V"])

    def command(self):
        folders = {name: self.folder / name for name in
                   ("sysconfdir", "datadir", "localstatedir", "runtimedir", "logdir", "cachedir")}
        for folder in folders.values():
            folder.mkdir()
        # What `traffic_layout init` would write, which also copies all programs of the machine.
        (self.folder / "runroot.yaml").write_text(
            "prefix: /usr\nexec_prefix: /usr\nbindir: /usr/bin\nsbindir: /usr/sbin\nincludedir: /usr/include\n"
            "libdir: /usr/lib/trafficserver\nlibexecdir: /usr/lib/trafficserver/modules\n"
            + "".join(f"{name}: {folder}\n" for name, folder in folders.items()))
        settings = folders["sysconfdir"]
        (settings / "remap.config").write_text(f"map / http://127.0.0.1:{self.origin}/\n")
        (settings / "ip_allow.yaml").write_text(
            "ip_allow:\n- apply: in\n  ip_addrs: 127.0.0.0/8\n  action: allow\n  methods: ALL\n")
        (settings / "storage.config").write_text(f"{folders['cachedir']} 256M\n")
        values = {
            "http.server_ports": f"STRING {self.port}:ip-in=127.0.0.1", "http.cache.http": "INT 1",
            "http.cache.required_headers": "INT 2", "http.cache.when_to_revalidate": "INT 0",
            "http.cache.ignore_client_cc_max_age": "INT 1", "http.normalize_ae": "INT 1",
            "http.cache.cache_responses_to_cookies": "INT 1", "http.insert_response_via_str": "INT 0",
            "http.negative_caching_enabled": "INT 0", "http.cache.range.write": "INT 1",
            "url_remap.pristine_host_hdr": "INT 1", "reverse_proxy.enabled": "INT 1", "log.logging_enabled": "INT 0",
            "cache.limits.http.max_alts": "INT 5", "exec_thread.autoconfig": "INT 0", "exec_thread.limit": "INT 2",
            "diags.output.diag": "STRING E", "admin.user_id": f"STRING {self.account()}",
        }
        (settings / "records.config").write_text(
            "".join(f"CONFIG proxy.config.{key} {value}\n" for key, value in values.items()))
        if self.account() != getpass.getuser():
            subprocess.run(["chown", "-R", self.account(), self.folder], check=True)
        return [find("traffic_server"), f"--run-root={self.folder}"]

    @staticmethod
    def account():
        return getpass.getuser() if os.getuid() else "nobody"


def find(program):
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/bin")


def version(command):
    done = subprocess.run([find(command[0]), *command[1:]], capture_output=True, text=True)
    return re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)[0]


PEERS = {peer.name: peer for peer in (Nginx, Varnish, TrafficServer)}
