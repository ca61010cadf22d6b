"""A cache between an origin that knows every byte and a client that checks every byte.

The scenarios of `test_cdn*.py` run against nines; with `--caches nginx,varnish` those that are about what all caches do run
against these, to see that a scenario is fair and can be passed. What nines must be told stands here and nowhere else.
"""

import json
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from cache_peers import PEERS
from cdn_bytes import checked
from wire import Response, Truncated, Wire

# What the scenarios need of a cache.
ABILITIES = frozenset({"coalesce", "stream", "stale", "stale-if-reset", "stale-if-503", "range", "ranges", "empty", "purge", "exact-purge",
                       "variants", "status", "deadline", "strict"})
# In the node's folder of data.
DISK = "cdn"


def file(origin, cdn="", memory="64MiB"):
    """What follows `[edge]` in nines.toml: everything is cached. The origin is never ejected and never tried again, since what it
    is asked is counted."""
    return f"""
[pool.all]
servers = ["127.0.0.1:{origin}"]
eject = {{ failures = 0 }}
retry = {{ budget = "0%" }}
timeout = {{ idle = "5s" }}
[cdn]
memory = "{memory}"
purge = ["127.0.0.1/32"]
{cdn}
[site.default.route]
"/" = {{ pool = "all", cache = "cdn" }}
"""


class World:
    """`cache` listens on a port and asks `origin`."""

    def __init__(self, name, cache, origin):
        self.name, self.cache, self.origin = name, cache, origin

    @property
    def port(self):
        return self.cache.port

    def needs(self, *abilities):
        """Skips the test where the cache is another's that does not claim to do this."""
        lacks = set(abilities) - (ABILITIES if self.name == "nines" else PEERS[self.name].knows)
        if lacks:
            pytest.skip(f"{self.name} does not: {', '.join(sorted(lacks))}")

    def put(self, **what):
        return self.origin.put(**what)

    def ask(self, thing, headers=(), method="GET", source=None, timeout=20, host="cdn.test"):
        """An open connection on which the thing is asked for."""
        wire = Wire(self.port, source=source, timeout=timeout)
        lines = [f"{method} {thing.path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
        wire.send("\r\n".join(lines) + "\r\n\r\n")
        return wire

    def answer(self, wire, thing, method="GET"):
        """What comes on it, checked, be it broken off."""
        try:
            return checked(thing.path, wire.response(method), method)
        except Truncated as cut:
            return checked(thing.path, cut.response or Response(0, "", []), method, whole=False)
        except ConnectionError:
            return checked(thing.path, Response(0, "", []), method, whole=False)

    def get(self, thing, headers=(), method="GET", **more):
        with self.ask(thing, headers, method, **more) as wire:
            return self.answer(wire, thing, method)

    def many(self, thing, count, headers=(), between=lambda: None):
        """As many clients at once, all of whom have asked before `between` is called and the first answer is read."""
        wires = [self.ask(thing, headers, timeout=60) for _ in range(count)]
        between()
        with ThreadPoolExecutor(64) as readers:
            got = list(readers.map(lambda wire: self.answer(wire, thing), wires))
        for wire in wires:
            wire.close()
        return got

    def warm(self, thing, headers=()):
        """Asks until it is served without the origin, so that it is kept for certain."""
        got = self.get(thing, headers)
        assert got.whole and got.status == thing.status, got
        asked = len(thing.asked)
        again = self.get(thing, headers)
        assert len(thing.asked) == asked, "it was not kept"
        return again

    # --- what only nines is asked ---

    def status(self, got):
        """The parameters of our own member of `Cache-Status` (RFC 9211): the last one."""
        *_, ours = got.response.get("cache-status").split(",")
        name, *parameters = (part.strip() for part in ours.split(";"))
        found = {key: value or True for key, _, value in (part.partition("=") for part in parameters)}
        return {"cache": name, **found}

    def purge(self, soft=False, **what):
        """By the API; acknowledged when it returns."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.cache.admin}/api/v1/purge", method="POST",
            data=json.dumps({**what, "soft": soft}).encode(), headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"purge {what}: {error.code} {error.read().decode(errors='replace')}") from None

    def url(self, path, host="cdn.test"):
        """As the cache knows it."""
        return f"http://{host}{path}"

    def purge_url(self, thing, host="cdn.test", **more):
        """By the method, as every peer that can purge has it; acknowledged when it returns. The status."""
        with self.ask(thing, method="PURGE", host=host, **more) as wire:
            return wire.response().status


def in_threads(*works):
    """Runs them all to their end; a fault of one is raised."""
    faults = []

    def run(work):
        try:
            work()
        except BaseException as fault:  # it is raised again below
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(80)
    if faults:
        raise faults[0]
