"""The public suite of tests for HTTP caches, run against a cache; and against the other caches, to know the bar.

    python3 http_cache.py nginx varnish trafficserver     their scores (those that are installed)
    python3 http_cache.py varnish --only ID...            what is sent and received in these tests

Needs `NINES_NODE_MODULES`, which `clients/run` sets. A run takes half a minute: many tests wait three seconds for
something to become stale, a hundred at once.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

SCRIPT = Path(__file__).parent / "js" / "http_cache.mjs"
# `yes` and `no` are of tests that only ask how a cache does things.
PASSED = ("pass", "yes")


@contextlib.contextmanager
def origin():
    """The suite's origin; its port."""
    server = subprocess.Popen(["node", SCRIPT, "origin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield int(server.stdout.readline())
    finally:
        server.stdin.close()
        server.wait(10)


def run(url, only=(), seconds=300):
    """Every test of the suite against the cache at `url`, as `js/http_cache.mjs` tells it, by id."""
    done = subprocess.run(["node", SCRIPT, "client", url, *only], capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr
    *told, results = done.stdout.splitlines()
    if only:
        print("\n".join(told))
    return {one["id"]: one for one in json.loads(results)}


def settled(url, accepted, runs=3):
    """As `run`; what failed and is not accepted had another try, on a new URL. Ages are whole seconds and a hundred tests run at
    once, so that a second may end between two figures that a test compares."""
    results = run(url)
    for _ in range(runs - 1):
        odd = not_passed(results).keys() - accepted.keys()
        if not odd:
            break
        again = run(url)
        results |= {test: again[test] for test in odd if again[test]["result"] in PASSED}
    return results


def passed(results, kind):
    return [one["id"] for one in results.values() if one["kind"] == kind and one["result"] in PASSED]


def not_passed(results, kind="required"):
    return {one["id"]: f"{one['result']}: {one['detail'] or one['name']}" for one in results.values()
            if one["kind"] == kind and one["result"] not in PASSED}


def score(results):
    kinds = Counter(one["kind"] for one in results.values())
    return ", ".join(f"{kind} {len(passed(results, kind))} of {kinds[kind]}" for kind in ("required", "optimal", "check"))


def main():
    from cache_peers import PEERS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="+", choices=list(PEERS))
    parser.add_argument("--only", nargs="+", default=(), metavar="ID")
    parser.add_argument("--failures", action="store_true", help="list what is not passed")
    parser.add_argument("--json", type=Path, help="a folder for all results")
    options = parser.parse_args()
    for name in options.peers:
        with origin() as port, tempfile.TemporaryDirectory() as folder, PEERS[name](folder, port) as peer:
            results = run(peer.url(), options.only)
        print(f"{name} {peer.version()}: {score(results)}", flush=True)
        if options.failures or options.only:
            for kind in ("required", "optimal", "check"):
                for test, why in not_passed(results, kind).items():
                    print(f"  {kind} {test}: {why}")
        if options.json:
            (options.json / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    assert os.environ.get("NINES_NODE_MODULES"), "NINES_NODE_MODULES must name a folder with http-cache-tests"
    sys.exit(main())
