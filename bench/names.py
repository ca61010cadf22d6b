"""The servers of names that are compared, the zones that they have, and the questions that they are asked.

All of them have one thread for queries, the same zones, and answers as small as they will make them. nines counts by
type, response code and zone, answers cookies, and rolls the dice for routes: that is how people run it.
"""

import random
import re
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import dns_wire
from peers import first_line
from processes import Failure, Process, free_port, wait_until

HEAD = "$TTL 3600\n@ SOA ns1 hostmaster 1 14400 3600 1209600 300\n@ NS ns1\n@ NS ns2\nns1 A 192.0.2.53\nns2 A 192.0.2.54\n"
SMALL, SIGNED, LARGE, CACHED = "small.test", "signed.test", "large.test", "cached.example"
# Questions of a file, which dnsperf asks in turn: too many for a processor's cache.
QUESTIONS = 200_000
CACHED_NAMES = 10_000
# Clients of dnsperf, and queries that are under way: enough that a server never waits, and not more than
# the receive buffer of each holds.
CLIENTS, UNDERWAY = 8, 200
LOAD = "load"
# Of what the slowest server answers at saturation: how often it is asked when latency is measured.
STEADY_SHARE = 0.3
# Queries that may be under way then: so many that none is held back.
UNDERWAY_STEADY = 20_000
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
        for route in ("policy", "failover", "many", "alias"):
            self.write(route, [f"{route}.{SMALL} A"])
        self.write("signed", [f"www.{SIGNED} A", f"mail.{SIGNED} A"])
        self.sign()
        self.write("million", [f"{name}.{LARGE} A" for name in asked])
        self.write("nxdomain", [f"{name}.{LARGE} A" for name in missing])
        (self.folder / CACHED).write_text(HEAD + "".join(f"n{nth} A 192.0.2.9\n" for nth in range(CACHED_NAMES)))
        self.write("cached", [f"n{drawn.randrange(CACHED_NAMES)}.{CACHED} A" for _ in range(QUESTIONS)])

    def sign(self):
        """One signed zone for all of them."""
        (self.folder / SIGNED).write_text(HEAD + "www A 192.0.2.80\nmail A 192.0.2.25\n@ MX 10 mail\n")
        made = run(["ldns-keygen", "-a", "ECDSAP256SHA256", "-k", SIGNED], self.folder)
        run(["ldns-signzone", "-o", SIGNED, "-f", f"{SIGNED}.signed", SIGNED, made.strip()], self.folder)
        # Without the keys: to sign is the servers' own affair.
        shutil.move(self.folder / f"{SIGNED}.signed", self.folder / SIGNED)

    def write(self, case, questions):
        # A short file would be read again and again.
        times = max(1, QUESTIONS // len(questions))
        (self.folder / f"{case}.questions").write_text(("\n".join(questions) + "\n") * times)


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"{command[0]}: {done.stderr or done.stdout}")
    return done.stdout


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
        pair = [f'{{ addresses = ["192.0.2.{nth}"], weight = {weight} }}' for nth, weight in ((1, 90), (2, 10))]
        pools = [f'{{ pool = "p{nth}", addresses = ["192.0.2.{nth}"] }}' for nth in range(16)]
        routes = "".join(f"""
[dns.zone."{SMALL}".route.{name}]
choose = ["healthy", "{choice}"]
answers = [{", ".join(answers)}]
""" for name, choice, answers in (("policy", "weighted", pair), ("failover", "failover", pools[:4]), ("many", "weighted", pools)))
        # Nobody listens there, nobody checks, and nothing is sent.
        servers = "".join(f'[pool.p{nth}]\nservers = ["127.0.0.1:9"]\n' for nth in range(16))
        return f"""
[node]
admin = "127.0.0.1:{free_port()}"
data = "{self.folder}/data"
{servers}
[dns]
listen = "127.0.0.1:{self.port}"
cores = 1
[dns.resolver]
forward = ["127.0.0.1:{self.world.origin_port}"]
[dns.zone."{SMALL}"]
file = "{self.world.folder}/{SMALL}"
{routes}
[dns.zone."{SMALL}".route.alias]
alias = "ns1.{LARGE}."
[dns.zone."{SIGNED}"]
file = "{self.world.folder}/{SIGNED}"
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
        zones = "".join(f'zone:\n name: {zone}\n zonefile: {self.world.folder}/{zone}\n' for zone in (SMALL, SIGNED, CACHED, LARGE))
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
        zones = "".join(f' - domain: {zone}\n   file: {self.world.folder}/{zone}\n' for zone in (SMALL, SIGNED, LARGE))
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
    dnssec: bool = False


OURS = frozenset({"nines"})
CASES = {case.name: case for case in (
    Case("small", "A small zone", AUTHORITATIVE),
    Case("signed", "A small zone, signed, with DO", AUTHORITATIVE, dnssec=True),
    Case("million", "1,000,000 random names", AUTHORITATIVE),
    Case("nxdomain", "1,000,000 names, none of them asked for (NXDOMAIN)", AUTHORITATIVE, positive=False),
    Case("policy", "A route: healthy, weighted", OURS),
    Case("failover", "A route: healthy, failover, of 4 pools", OURS),
    Case("many", "A route: healthy, weighted, of 16 pools", OURS),
    Case("alias", "A route: an alias into another zone", OURS),
    Case("cached", "A resolver's cache, 10,000 names", frozenset({"nines", "unbound"}), needs=frozenset({"nsd"}), warm=True),
)}


@dataclass(frozen=True)
class Pair:
    """Two cases that are measured in turn on the same server, so that what the machine does meanwhile is the same for both."""

    case: str
    plain: str
    # What is told: by how many µs the first costs more, or how many times as much.
    figure: str = "extra_us"

    @property
    def name(self):
        return f"{self.case}-{self.plain}"

    @property
    def title(self):
        sign = "−" if self.figure == "extra_us" else "÷"
        plain = CASES[self.plain].title
        return f"{CASES[self.case].title} {sign} {plain[0].lower()}{plain[1:]}"

    def between(self, case_us, plain_us):
        return {"extra_us": case_us - plain_us} if self.figure == "extra_us" else {"times": case_us / plain_us}


PAIRS = [*(Pair(route, "small") for route in ("policy", "failover", "many", "alias")), Pair("nxdomain", "million", "times")]
# Where latency is measured as well.
LATENCIES = ["small", "million", "cached"]
PEERS = {peer.name: peer for peer in (Nsd, Nines, Knot, Unbound)}
TITLES = {**{name: case.title for name, case in CASES.items()}, **{pair.name: pair.title for pair in PAIRS}, LOAD: "The zones of this run"}
COLUMNS = [
    ("cpu_us", "Server CPU per query, µs", "{:,.2f}"),
    ("extra_us", "Server CPU of one answer above another, measured in turn, µs", "{:+,.2f}"),
    ("times", "Server CPU of one answer to that of another, measured in turn", "{:,.2f}"),
    ("p99_us", "p99 latency at a fixed rate, µs", "{:,.0f}"),
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


def asking(case, peer, world, underway):
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(peer.port), "-d", str(world.folder / f"{case.name}.questions"),
               "-c", str(CLIENTS), "-q", str(underway), "-T", "1"]
    return command + ["-D"] if case.dnssec else command


def figures_of(done, peer):
    """What dnsperf says at its end: how many were completed and lost, how many a second, and the codes."""
    told = dict(re.findall(r"(Queries (?:completed|lost|per second)|Response codes): +(\S+)", done.stdout))
    if done.returncode or "Queries completed" not in told:
        raise Failure(f"dnsperf says of {peer.name}: {done.stderr or done.stdout}")
    codes = re.findall(r"(\w+) \d+ \([\d.]+%\)", re.search(r"Response codes: +(.*)", done.stdout)[1])
    return int(told["Queries completed"]), int(told["Queries lost"]), float(told["Queries per second"]), codes


def faults(case, lost, codes):
    failed = {"lost": lost} if lost else {}
    if codes != ["NOERROR" if case.positive else "NXDOMAIN"]:
        failed["codes"] = ", ".join(codes)
    return failed


def dnsperf(case, peer, world, seconds):
    """One measurement at saturation: all questions of the case, again and again."""
    command = asking(case, peer, world, UNDERWAY)
    if case.warm:
        subprocess.run([*command, "-n", "1", "-Q", "20000"], capture_output=True, check=True)
    before = peer.process.cpu_ns()
    done = subprocess.run([*command, "-l", str(seconds)], capture_output=True, text=True)
    cpu = peer.process.cpu_ns() - before
    completed, lost, per_second, codes = figures_of(done, peer)
    return {"cpu_us": cpu / 1e3 / completed, "per_second": per_second, "failed": faults(case, lost, codes)}


def latency(case, peer, world, seconds, rate):
    """One measurement in an open loop: so many queries a second, whether the server keeps up or not. dnsperf of version 2 tells
    percentiles only by telling each query (`-v`); a latency counts from when the query was sent."""
    command = [*asking(case, peer, world, UNDERWAY_STEADY), "-v", "-Q", str(rate), "-l", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True)
    _, lost, _, codes = figures_of(done, peer)
    each = [float(line.rpartition(" ")[2]) * 1e6 for line in done.stdout.splitlines() if line.startswith("> ")]
    return {"p50_us": median(each), "p99_us": quantiles(each, n=100)[-1], "failed": faults(case, lost, codes)}


def told_faults(failed):
    """Each case and server once, with all that it lost."""
    lost, other = Counter(), []
    for where, faults in failed:
        lost[where] += faults.get("lost", 0)
        if "codes" in faults:
            other.append(f"{where}: {faults['codes']}")
    return [f"{where}: {count} lost" for where, count in lost.items() if count] + sorted(set(other))
