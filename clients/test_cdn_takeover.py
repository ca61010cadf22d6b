"""A cache whose process is replaced (`nines up --takeover`): no purge is lost between the two, and the disk stays warm."""

import random
import subprocess
import threading
import time
from http.client import HTTPException

import cdn_world
import pytest
from cdn_origin import Gate, Origin
from conftest import eventually
from wire import Truncated

KIB = 1 << 10
LASTING = (("Cache-Control", "max-age=86400"), ("Surrogate-Key", "lasting"))
HANDED_OVER = "another process has taken over"
DISK_TAKEN = "the cache's disk is taken over"


class Cache:
    """A nines with a disk, in one process after the other."""

    def __init__(self, start, cdn='disk = "64MiB"'):
        self.origin = Origin()
        self.nines = start(cdn_world.file(self.origin.port, cdn))
        self.world = cdn_world.World("nines", self.nines, self.origin)

    def logged(self, what):
        return self.nines.log.read_text(errors="replace").count(what)

    def begin_to_take_over(self):
        """The new process, which is not to be waited for."""
        with open(self.nines.log, "ab") as log:
            return subprocess.Popen([self.nines.binary, "up", "--takeover", self.nines.file], stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log)

    def take_over(self):
        """The old process, which accepts no connection any more."""
        before = self.logged(HANDED_OVER)
        old, self.nines.process = self.nines.process, self.begin_to_take_over()
        eventually(lambda: self.logged(HANDED_OVER) > before, 30)
        self.nines.wait()
        return old

    def put(self, **more):
        return self.origin.put(fields=LASTING, **more)

    def held_open(self):
        """A connection on which an answer is on its way, and what lets it end."""
        slow = self.put(gate=Gate(at=500))
        wire = self.world.ask(slow)
        slow.gate.reached()
        return wire, slow

    def on(self, held, thing, method):
        """Asks on a connection behind the answer that is on its way there; what comes after that."""
        wire, slow = held
        wire.send(f"{method} {thing.path} HTTP/1.1\r\nHost: cdn.test\r\n\r\n")
        slow.gate.open()
        assert self.world.answer(wire, slow).whole
        return wire

    def hits(self, things):
        before = [len(thing.asked) for thing in things]
        for thing in things:
            got = self.world.get(thing)
            assert got.whole and got.status == 200
        return sum(len(thing.asked) == asked for thing, asked in zip(things, before))


@pytest.fixture
def cache(start):
    made = []

    def make(**more):
        made.append(Cache(start, **more))
        return made[-1]

    yield make
    for one in made:
        one.nines.stop()
        one.origin.stop()
        assert one.origin.failures == []


# --- purges ---

def test_a_purge_at_the_old_process_holds_at_the_new_one(cache):
    cache = cache(cdn="")
    held, thing = cache.held_open(), cache.put()
    old = cache.take_over()
    cache.world.warm(thing)
    cache.origin.publish(thing)
    assert cache.world.get(thing).version == 1
    with cache.on(held, thing, "PURGE") as wire:
        assert wire.response().status == 200
        assert cache.world.get(thing).version == 2
    assert old.wait(20) == 0


def test_a_purge_at_the_new_process_holds_at_the_old_one(cache):
    cache = cache(cdn="")
    thing = cache.put()
    cache.world.warm(thing)
    held = cache.held_open()
    old = cache.take_over()
    cache.origin.publish(thing)
    cache.world.purge(tag="lasting")
    with cache.on(held, thing, "GET") as wire:
        assert cache.world.answer(wire, thing).version == 2
    assert old.wait(20) == 0


def test_what_an_unsafe_method_invalidates_that_ends_after_the_takeover_is_not_served(cache):
    """RFC 9111 §4.4: the old process is told by the origin that something has changed, the new one keeps what was before."""
    cache = cache(cdn="")
    thing = cache.put(gate=Gate())
    with cache.world.ask(thing, [("Content-Length", "0")], method="POST") as wire:
        gate = thing.gate
        gate.reached()
        thing.gate = None
        old = cache.take_over()
        cache.world.warm(thing)
        cache.origin.publish(thing)
        assert cache.world.get(thing).version == 1
        gate.open()
        assert wire.response("POST").status == 200
        # It is told at once, and not waited for.
        eventually(lambda: cache.world.get(thing).version == 2, 2)
    assert old.wait(20) == 0


def test_purges_go_on_where_the_other_process_is_killed(cache):
    cache = cache(cdn="")
    held, thing = cache.held_open(), cache.put()
    old = cache.take_over()
    cache.world.warm(thing)
    old.kill()
    old.wait()
    held[1].gate.open()
    cache.origin.publish(thing)
    began = time.monotonic()
    cache.world.purge(url=cache.world.url(thing.path))
    assert time.monotonic() - began < 1.5, "nobody is waited for who is gone"
    assert cache.world.get(thing).version == 2


# --- the disk ---

def test_the_new_process_is_warm_from_the_disk_as_soon_as_the_old_one_has_let_go(cache):
    cache = cache()
    drawn = random.Random(1)
    things = [cache.put(size=drawn.choice([0, 100, 5000, 64 * KIB, 700 * KIB])) for _ in range(60)]
    cache.hits(things)
    # It is still there: the disk does not wait for it to end.
    held = cache.held_open()
    old = cache.take_over()
    eventually(lambda: cache.logged(DISK_TAKEN))
    assert old.poll() is None
    assert cache.hits(things) == len(things)
    held[1].gate.open()
    assert old.wait(20) == 0
    # And so is the next, and one after a stop.
    cache.take_over()
    eventually(lambda: cache.logged(DISK_TAKEN) == 2)
    assert cache.hits(things) == len(things)
    cache.nines.stop()
    cache.nines.begin()
    assert cache.hits(things) == len(things)


def test_what_was_purged_at_either_process_is_not_found_on_the_disk(cache):
    cache = cache()
    things = [cache.put() for _ in range(4)]
    for thing in things:
        cache.world.warm(thing)
        cache.origin.publish(thing)
    held = cache.held_open()
    cache.world.purge(url=cache.world.url(things[0].path))
    old = cache.take_over()
    cache.world.purge(url=cache.world.url(things[1].path))
    with cache.on(held, things[2], "PURGE") as wire:
        assert wire.response().status == 200
    eventually(lambda: cache.logged(DISK_TAKEN))
    assert old.wait(20) == 0
    cache.nines.process.kill()
    cache.nines.process.wait()
    cache.nines.begin()
    assert [cache.world.get(thing).version for thing in things] == [2, 2, 2, 1]


def test_a_takeover_that_fails_leaves_the_disk_where_it_is(cache):
    cache = cache()
    thing = cache.put()
    cache.world.warm(thing)
    file = cache.nines.file.read_text()
    # It is found only once the listeners have been handed over.
    cache.nines.file.write_text(file.replace('http = ["', f'http = ["127.0.0.1:{cache.origin.port}", "'))
    assert cache.begin_to_take_over().wait(30) != 0
    cache.nines.file.write_text(file)
    cache.nines.stop()
    cache.nines.begin()
    assert cache.hits([thing]) == 1


@pytest.mark.timeout(400)
def test_whoever_is_killed_during_a_takeover_no_response_is_wrong_or_older_than_a_purge(cache):
    """Clients and purges all the time, takeovers one after the other, and at any moment of one the old process is killed, or the new, or both."""
    cache, drawn = cache(), random.Random(7)
    things = [cache.put(size=drawn.choice([0, 1, 3000, 64 * KIB + 1, 200 * KIB])) for _ in range(60)]
    floors, reads = {thing.path: 1 for thing in things}, 0
    over = threading.Event()

    def read(seed):
        nonlocal reads
        chosen = random.Random(seed)
        while not over.is_set():
            thing = chosen.choice(things)
            floor = floors[thing.path]
            try:
                got = cache.world.get(thing)
            except OSError:
                continue
            if got.whole and got.status == 200:
                assert got.version >= floor, f"{thing.path}: version {got.version} after the purge before {floor}"
                reads += 1

    def purge():
        chosen = random.Random(3)
        while not over.is_set():
            thing = chosen.choice(things)
            version = cache.origin.publish(thing)
            try:
                if chosen.random() < 0.5:
                    cache.world.purge(url=cache.world.url(thing.path))
                elif cache.world.purge_url(thing) != 200:
                    continue
            except (OSError, HTTPException, Truncated):  # not acknowledged
                continue
            floors[thing.path] = version

    def replace():
        try:
            for _ in range(14):
                handed_over = cache.logged(HANDED_OVER)
                old, new = cache.nines.process, cache.begin_to_take_over()
                dies = drawn.choice([[], [old], [new], [old, new]])
                if drawn.random() < 0.5:
                    eventually(lambda: lock_owner(cache) == new.pid or new.poll() is not None, 30)
                    time.sleep(drawn.uniform(0, 0.1))
                else:
                    time.sleep(drawn.uniform(0, 1.2))
                for process in dies:
                    process.kill()
                    process.wait()
                cache.nines.process = survivor(cache, old, new, handed_over)
        finally:
            over.set()

    cdn_world.in_threads(*(lambda seed=seed: read(seed) for seed in range(4)), purge, replace)
    assert reads > 500
    cache.nines.process.kill()
    cache.nines.process.wait()
    cache.nines.begin()
    for thing in things:
        got = cache.world.get(thing)
        assert got.whole and got.version >= floors[thing.path]


def lock_owner(cache):
    return int((cache.nines.folder / "data" / "nines.lock").read_text() or 0)


def survivor(cache, old, new, handed_over):
    """Who goes on after a takeover of which either may have been killed; one that is started, if nobody does."""
    def settled():
        if new.poll() is None:
            return new if lock_owner(cache) == new.pid else None
        if old.poll() is None:
            # It says so in the moment in which it hands over; else it carries on.
            time.sleep(0.3)
            return old if cache.logged(HANDED_OVER) == handed_over else None
        return "nobody"

    found = eventually(settled, 60)
    if found != "nobody":
        return found
    with open(cache.nines.log, "ab") as log:
        cache.nines.process = subprocess.Popen([cache.nines.binary, "up", cache.nines.file], stdin=subprocess.DEVNULL,
                                               stdout=log, stderr=log)
    cache.nines.wait()
    return cache.nines.process
