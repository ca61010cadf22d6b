"""What must not cost a request: load on a running nines while something happens to it.

The load is wrk twice at once, on keep-alive connections and with a new connection for each request. wrk tries nothing
again: a connection that ends before its answer, a refused one, a timeout and a status other than 200 all count.
"""

import argparse
import json
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from load import HERE
from backends import start_backend
from processes import Failure, Process, accepts, die_with_parent, free_port, raise_open_files, stop_all, wait_until
from releases import release_build

KEPT, NEW = 32, 8  # connections
KINDS = ("connect", "read", "write", "status", "timeout", "given up", "broken at the survivor")


class Node:
    """A nines with a file that changes; `round` is in a header of every answer, so that one can tell which holds."""

    def __init__(self, binary, folder, pool):
        self.binary, self.folder, self.pool = binary, Path(folder), pool
        self.port, self.admin = free_port(), free_port()
        self.file = self.folder / "nines.toml"
        self.round = 0
        self.write()
        self.process = self.start()
        wait_until(lambda: accepts(self.port), "nines to listen", process=self.process)
        wait_until(lambda: self.seen() == "0", "the first answer", process=self.process)

    def write(self):
        pool = self.pool(self.round) if callable(self.pool) else self.pool
        self.file.write_text(f"""
[node]
data  = "{self.folder}/data"
admin = "127.0.0.1:{self.admin}"

[edge]
http  = ["127.0.0.1:{self.port}"]
cores = 2

{pool}

[site.default.route]
"/" = {{ pool = "pages", response_headers = {{ set = {{ x-round = "{self.round}" }} }} }}
""")

    def next_round(self):
        self.round += 1
        self.write()

    def start(self, *more):
        return Process(f"nines {self.round}", [self.binary, "up", *more, self.file],
                       self.folder / f"log-{self.round}")

    def seen(self):
        """The round whose file answered, on a connection of its own."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/1k", timeout=5) as answer:
                return answer.headers["x-round"]
        except OSError:
            return None

    def wait_for_round(self):
        # Twice the cores: each has its own snapshot and its own listener.
        wait_until(lambda: all(self.seen() == str(self.round) for _ in range(4)), f"round {self.round} to hold",
                   process=self.process)


class Load:
    """Both kinds of load, for `seconds`."""

    def __init__(self, port, seconds, host="127.0.0.1", kept=KEPT, new=NEW):
        url = f"http://{host}:{port}/1k"
        self.kept = self.wrk(url, seconds, kept)
        self.new = self.wrk(url, seconds, new, "-H", "Connection: close")

    @staticmethod
    def wrk(url, seconds, connections, *more):
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", HERE / "wrk.lua",
                   *more, url]
        return subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, preexec_fn=die_with_parent)

    def goes_on(self):
        return self.kept.poll() is None and self.new.poll() is None

    def counts(self):
        found = {}
        for name, process in (("keep-alive", self.kept), ("new connections", self.new)):
            text = process.communicate()[0]
            if process.returncode:
                raise Failure(f"wrk ended with {process.returncode}: {text.strip()[-400:]}")
            found[name] = json.loads(text.strip().splitlines()[-1])
        return found


def options_of(doc):
    """The binary to test, and how many seconds the load lasts."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--nines", type=Path, help="the binary; otherwise the release build is made")
    parser.add_argument("--seconds", type=int, default=20, help="length of the load")
    options = parser.parse_args()
    raise_open_files()
    return options.nines.resolve() if options.nines else release_build().resolve(), options.seconds


def main(doc, what, pool_of, act, every):
    """Runs `act(node)` every so many seconds under load; the exit code: 0 when nothing failed and it did happen."""
    binary, seconds = options_of(doc)
    with tempfile.TemporaryDirectory(prefix="nines-continuity-") as folder:
        try:
            node = Node(binary, folder, pool_of(folder))
            load = Load(node.port, seconds)
            return report(what, *under_load(load, seconds, lambda: act(node), every))
        except Failure as failure:
            print(f"{what}: {failure}")
            return 1
        finally:
            stop_all()


def under_load(load, seconds, act, every):
    happened, faults = 0, []
    ends = time.monotonic() + seconds
    # The last one ends well before the load does, so that its aftermath is seen too.
    while time.monotonic() < ends - 1.5 and load.goes_on():
        time.sleep(every)
        try:
            act()
            happened += 1
        except Failure as failure:
            faults.append(str(failure))
            break
    return load.counts(), happened, faults


def report(what, counts, happened, faults):
    failed = 0
    for name, count in counts.items():
        bad = {kind: count[kind] for kind in KINDS if count.get(kind)}
        again = f", {count['again']:,} tried again" if "again" in count else ""
        failed += sum(bad.values())
        print(f"{name}: {count['requests']:,} requests in {count['seconds']:.1f} s, "
              f"p99 {count['p99_us'] / 1000:.1f} ms{again}, failed: {bad or 'none'}")
    for fault in faults:
        print(f"fault: {fault}")
    passed = not failed and not faults and happened > 1 and all(count["requests"] for count in counts.values())
    print(f"{what}: {happened} times, {failed} failed requests: {'passed' if passed else 'FAILED'}")
    return 0 if passed else 1


def static_pool(folder):
    """Two backends that are always there."""
    first, second = (start_backend(folder, number)[0] for number in (1, 2))
    return f'[pool.pages]\nservers = ["127.0.0.1:{first}", "127.0.0.1:{second}"]'
