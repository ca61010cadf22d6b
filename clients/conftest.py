"""The world of the tests: a running nines between a client and backends that do as they are told."""

import itertools
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from backend import Backend
from certificates import Authority


class Nines:
    """`nines up` on a file of the test's own, ended with the test."""

    def __init__(self, binary, folder, edge, rest, https=False, http3=False):
        self.binary = binary
        self.port, self.admin = free_port(), free_port()
        self.https = free_port() if https or http3 else None
        self.folder = folder
        self.file = folder / "nines.toml"
        self.head = (f'[node]\ndata = "{folder}/data"\nadmin = "127.0.0.1:{self.admin}"\n\n'
                     f'[edge]\nhttp = ["127.0.0.1:{self.port}"]\ncores = 2\n'
                     + (f'https = ["127.0.0.1:{self.https}"]\n' if self.https else "")
                     + (f'http3 = ["127.0.0.1:{self.https}"]\n' if http3 else "") + f"{edge}\n")
        self.log = folder / "log"
        self.write(rest)
        self.begin()

    def begin(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([self.binary, "up", self.file], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        self.wait()

    def write(self, rest):
        self.file.write_text(self.head + rest)

    def wait(self):
        deadline = time.monotonic() + 15
        while True:
            assert self.process.poll() is None, f"nines ended:\n{self.log.read_text()}"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=5).close()
                return
            except OSError:
                assert time.monotonic() < deadline, f"nines is not ready:\n{self.log.read_text()}"
                time.sleep(0.02)

    def url(self, path="/", host="127.0.0.1"):
        return f"http://{host}:{self.port}{path}"

    def https_url(self, path="/", host="127.0.0.1"):
        return f"https://{host}:{self.https}{path}"

    def reload(self, rest=None):
        """Serves the file as it is now."""
        if rest is not None:
            self.write(rest)
        subprocess.run([self.binary, "reload", "--file", self.file], check=True, capture_output=True, timeout=20)

    def metrics(self):
        """The metrics: what stands before the value, and the value."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    def metric(self, name, **labels):
        """The sum of the metric over all that carry these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(value for key, value in self.metrics().items()
                   if key.partition("{")[0] == name and all(one in key for one in wanted))

    def memory(self):
        """The resident bytes of the process."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def free_port():
    """A port that nobody has, for TCP and UDP alike. Below those that the kernel gives to outgoing connections and to
    sockets without one (`ip_local_port_range`), so that nobody gets it before it is listened on."""
    first_of_kernel = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    lowest = first_of_kernel // 2
    while True:
        port = lowest + next(ports_tried) % (first_of_kernel - lowest)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(type=kind) as probe:
                    probe.bind(("127.0.0.1", port))
            return port
        except OSError:
            pass


ports_tried = itertools.count(os.getpid() * 37)


@pytest.fixture(scope="session")
def binary():
    path = os.environ.get("NINES")
    assert path, "NINES must name the binary to test: use clients/run"
    return Path(path).resolve()


@pytest.fixture(scope="module")
def start(binary, tmp_path_factory):
    """Starts a nines with `[edge]` keys and the rest of a file; ended with the module."""
    started = []

    def start(rest, edge="", **listeners):
        started.append(Nines(binary, tmp_path_factory.mktemp("nines"), edge, rest, **listeners))
        return started[-1]

    yield start
    for nines in started:
        nines.stop()


@pytest.fixture(scope="module")
def backends():
    """Makes backends, ended with the module."""
    made = []

    def make(name="backend", **more):
        made.append(Backend(name, **more))
        return made[-1]

    yield make
    for backend in made:
        backend.stop()


def pytest_addoption(parser):
    parser.addoption("--caches", default="nines", help="for the scenarios of a cache: nines, nginx, varnish, trafficserver")


def pytest_generate_tests(metafunc):
    if "world" in metafunc.fixturenames:
        names = metafunc.config.getoption("--caches").split(",")
        metafunc.parametrize("world", names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def world(request, tmp_path_factory):
    """A cache before an origin, see `cdn_world`."""
    import cdn_world
    from cache_peers import PEERS
    from cdn_origin import Origin

    origin = Origin()
    if request.param == "nines":
        yield cdn_world.World("nines", request.getfixturevalue("start")(cdn_world.file(origin.port)), origin)
    else:
        with PEERS[request.param](tmp_path_factory.mktemp("peer"), origin.port) as peer:
            yield cdn_world.World(request.param, peer, origin)
    origin.stop()
    assert origin.failures == []


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def eventually(what, seconds=10):
    """Waits until `what()` is true, and gives it."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def shared_backend(backends):
    return backends()


@pytest.fixture
def backend(shared_backend):
    """The module's backend, with an empty memory, and no handler of an earlier test."""
    shared_backend.forget()
    shared_backend.handlers.clear()
    yield shared_backend
    assert shared_backend.failures == []


@pytest.fixture(scope="module")
def nines(start, shared_backend):
    """One pool with one backend, and every path of every host sent there."""
    return start(f"""
[pool.all]
servers = ["{shared_backend.address}"]

[site.default.route]
"/" = {{ pool = "all" }}
""")
