"""The servers of names that are compared, the zones that they have, and the questions that they are asked.

All of them have one thread for queries, the same zones, and answers as small as they will make them. nines counts by
type, response code and zone, answers cookies, and rolls the dice for routes: that is how people run it.
"""

import random
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import dns_wire
from peers import first_line
from processes import Failure, Process, free_port, wait_until

HEAD = "$TTL 3600\n@ SOA ns1 hostmaster 1 14400 3600 1209600 300\n@ NS ns1\n@ NS ns2\nns1 A 192.0.2.53\nns2 A 192.0.2.54\n"
SMALL, LARGE, CACHED = "small.test", "large.test", "cached.example"
# Questions of a file, which dnsperf asks in turn: too many for a processor's cache.
QUESTIONS = 200_000
CACHED_NAMES = 10_000
# Clients of dnsperf, and queries that are under way: enough that a server never waits, and not more than
# the receive buffer of each holds.
CLIENTS, UNDERWAY = 8, 200
LOAD = "load"
AUTHORITATIVE = frozenset({"nines", "nsd", "knot"})


class World:
    """The zones and questions of a run, the same for all."""

    def __init__(self, folder, records):
        self.folder = Path(folder)
        # Who is asked by resolvers.
        self.origin_port = free_port()
        drawn = random.Random(9)
        names = [f"{drawn.getrandbits(48):012x}" for _ in range(records)]
        (self.folder / SMALL).write_text(HEAD + "www A 192.0.2.80\nmail A 192.0.2.25\n@ MX 10 mail\n")
        with open(self.folder / LARGE, "w") as zone:
            zone.write(HEAD)
            zone.writelines(f"{name} A 192.0.{nth >> 8 & 255}.{nth & 255}\n" for nth, name in enumerate(names))
        asked = [drawn.choice(names) for _ in range(QUESTIONS)]
        missing = [f"{drawn.getrandbits(48):012x}x" for _ in range(QUESTIONS)]
        self.write("small", [f"www.{SMALL} A", f"mail.{SMALL} A"])
        self.write("policy", [f"route.{SMALL} A"])
        self.write("million", [f"{name}.{LARGE} A" for name in asked])
        self.write("nxdomain", [f"{name}.{LARGE} A" for name in missing])
        (self.folder / CACHED).write_text(HEAD + "".join(f"n{nth} A 192.0.2.9\n" for nth in range(CACHED_NAMES)))
        self.write("cached", [f"n{drawn.randrange(CACHED_NAMES)}.{CACHED} A" for _ in range(QUESTIONS)])

    def write(self, case, questions):
        # A short file would be read again and again.
        times = max(1, QUESTIONS // len(questions))
        (self.folder / f"{case}.questions").write_text(("\n".join(questions) + "\n") * times)


class Peer:
    """A server under test: `start()` it, then it answers on `port`."""

    name, has_zones = "?", True

    def __init__(self, folder, world):
        self.folder = Path(folder) / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.world, self.port, self.process = world, free_port(), None

    def start(self):
        path = self.folder / "config"
        path.write_text(self.config())
        self.process = Process(self.name, self.command(path), self.folder / "log")
        wait_until(self.is_ready, f"answers of {self.name}", 120, self.process)

    def is_ready(self):
        """The large zone is the last one to be there."""
        return dns_wire.answers(self.port, f"ns1.{LARGE}")

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None


class Nines(Peer):
    name, binary = "nines", None

    def command(self, path):
        return [self.binary, "up", path, "--log", "json"]

    def version(self):
        return first_line([self.binary, "--version"])

    def config(self):
        candidates = ", ".join(
            f'{{ addresses = ["192.0.2.{nth}"], weight = {weight} }}' for nth, weight in ((1, 90), (2, 10)))
        return f"""
[node]
admin = "127.0.0.1:{free_port()}"
data = "{self.folder}/data"
[dns]
listen = "127.0.0.1:{self.port}"
cores = 1
[dns.resolver]
forward = ["127.0.0.1:{self.world.origin_port}"]
[dns.zone."{SMALL}"]
file = "{self.world.folder}/{SMALL}"
[dns.zone."{SMALL}".route.route]
choose = ["healthy", "weighted"]
answers = [{candidates}]
[dns.zone."{LARGE}"]
file = "{self.world.folder}/{LARGE}"
"""


class Nsd(Peer):
    name = "nsd"

    def __init__(self, folder, world):
        super().__init__(folder, world)
        self.port = world.origin_port

    def command(self, path):
        return ["nsd", "-d", "-c", path]

    def version(self):
        return re.search(r"(\d+\.\d+\.\d+)", subprocess.run(["nsd", "-v"], capture_output=True, text=True).stderr)[1]

    def config(self):
        zones = "".join(f'zone:\n name: {zone}\n zonefile: {self.world.folder}/{zone}\n' for zone in (SMALL, CACHED, LARGE))
        return f"""
server:
 ip-address: 127.0.0.1@{self.port}
 server-count: 1
 username: ""
 zonesdir: ""
 database: ""
 pidfile: "{self.folder}/pid"
 xfrdfile: "{self.folder}/xfrd"
 zonelistfile: "{self.folder}/zones"
 xfrdir: "{self.folder}"
 minimal-responses: yes
 hide-version: yes
 rrl-ratelimit: 0
remote-control:
 control-enable: no
{zones}"""


class Knot(Peer):
    name = "knot"

    def command(self, path):
        return ["knotd", "-c", path]

    def version(self):
        return first_line(["knotd", "--version"])

    def config(self):
        zones = "".join(f' - domain: {zone}\n   file: {self.world.folder}/{zone}\n' for zone in (SMALL, LARGE))
        return f"""
server:
 listen: 127.0.0.1@{self.port}
 rundir: {self.folder}
 udp-workers: 1
 tcp-workers: 1
 background-workers: 1
database:
 storage: {self.folder}
log:
 - target: stderr
   any: warning
template:
 - id: default
   storage: {self.folder}
   zonefile-sync: -1
   journal-content: none
zone:
{zones}"""


class Unbound(Peer):
    name, has_zones = "unbound", False

    def command(self, path):
        return ["unbound", "-d", "-c", path]

    def version(self):
        return first_line(["unbound", "-V"])

    def is_ready(self):
        return dns_wire.answers(self.port, f"ns1.{CACHED}")

    def config(self):
        return f"""
server:
 interface: 127.0.0.1
 port: {self.port}
 num-threads: 1
 username: ""
 chroot: ""
 directory: "{self.folder}"
 pidfile: "{self.folder}/pid"
 use-syslog: no
 verbosity: 0
 do-not-query-localhost: no
 minimal-responses: yes
 rrset-roundrobin: no
 module-config: "iterator"
 msg-cache-size: 64m
 rrset-cache-size: 128m
 outgoing-range: 4096
 num-queries-per-thread: 2048
remote-control:
 control-enable: no
forward-zone:
 name: "."
 forward-addr: 127.0.0.1@{self.world.origin_port}
"""


@dataclass(frozen=True)
class Case:
    """What is asked of whom."""

    name: str
    title: str
    peers: frozenset
    positive: bool = True
    needs: frozenset = frozenset()
    warm: bool = False


CASES = {case.name: case for case in (
    Case("small", "A small zone", AUTHORITATIVE),
    Case("million", "1,000,000 random names", AUTHORITATIVE),
    Case("nxdomain", "1,000,000 names, none of them asked for (NXDOMAIN)", AUTHORITATIVE, positive=False),
    Case("policy", "A route: healthy, weighted", frozenset({"nines"})),
    Case("cached", "A resolver's cache, 10,000 names", frozenset({"nines", "unbound"}), needs=frozenset({"nsd"}), warm=True),
)}
PEERS = {peer.name: peer for peer in (Nsd, Nines, Knot, Unbound)}
TITLES = {**{name: case.title for name, case in CASES.items()}, LOAD: "The zones of this run"}
COLUMNS = [
    ("cpu_us", "Server CPU per query, µs", "{:,.2f}"),
    ("per_second", "Queries per second (more is better)", "{:,.0f}"),
    ("load_cpu_s", "Loading the zones, CPU seconds", "{:.2f}"),
    ("memory_mib", "Memory of the server with them (PSS), MiB", "{:,.0f}"),
]


def loading(peer):
    """Starts a server, and what that cost."""
    peer.start()
    time.sleep(0.5)
    cpu, memory = peer.process.cpu_ns() / 1e9, peer.process.pss_bytes() / (1 << 20)
    return peer, {"load_cpu_s": cpu, "memory_mib": memory}


def dnsperf(case, peer, world, seconds):
    """One measurement: all questions of the case, again and again."""
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(peer.port), "-d", str(world.folder / f"{case.name}.questions"),
               "-c", str(CLIENTS), "-q", str(UNDERWAY), "-T", "1"]
    if case.warm:
        subprocess.run([*command, "-n", "1", "-Q", "20000"], capture_output=True, check=True)
    before = peer.process.cpu_ns()
    done = subprocess.run([*command, "-l", str(seconds)], capture_output=True, text=True)
    cpu = peer.process.cpu_ns() - before
    figures = dict(re.findall(r"(Queries (?:completed|lost|per second)|Response codes): +(\S+)", done.stdout))
    if done.returncode or "Queries completed" not in figures:
        raise Failure(f"dnsperf says of {peer.name}: {done.stderr or done.stdout}")
    completed, lost = int(figures["Queries completed"]), int(figures["Queries lost"])
    expected = "NOERROR" if case.positive else "NXDOMAIN"
    codes = re.findall(r"(\w+) \d+ \([\d.]+%\)", re.search(r"Response codes: +(.*)", done.stdout)[1])
    failed = {}
    if lost:
        failed["lost"] = lost
    if codes != [expected]:
        failed["codes"] = ", ".join(codes)
    return {"cpu_us": cpu / 1e3 / completed, "per_second": float(figures["Queries per second"]), "failed": failed}
