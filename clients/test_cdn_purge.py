"""Purge: what was asked for before it is not served after it, whoever is on the way at that moment."""

import random
import subprocess
import time
from dataclasses import dataclass

import pytest
from cdn_origin import Gate
from cdn_world import in_threads

TAGS = ["Surrogate-Key", "Cache-Tag", "xkey"]


def tagged(*tags, name="Surrogate-Key"):
    return ("Cache-Control", "max-age=600"), (name, (", " if name == "Cache-Tag" else " ").join(tags))


def outdated(world, things):
    """Things that are kept in version 1, while the origin has version 2."""
    for thing in things:
        world.warm(thing)
        world.origin.publish(thing)
        assert world.get(thing).version == 1


# --- what is purged ---

def test_a_url_is_purged_by_the_method(world):
    world.needs("purge")
    thing, other = world.put(), world.put()
    outdated(world, [thing, other])
    assert world.purge_url(thing) == 200
    assert world.get(thing).version == 2 and world.get(other).version == 1


def test_all_variants_go_together(world):
    world.needs("purge")
    thing = world.put(vary=("X-Shape",))
    shapes = [[("X-Shape", shape)] for shape in ("round", "square", "flat")]
    for shape in shapes:
        world.warm(thing, shape)
    world.origin.publish(thing)
    assert [world.get(thing, shape).version for shape in shapes] == [1, 1, 1]
    assert world.purge_url(thing) == 200
    assert [world.get(thing, shape).version for shape in shapes] == [2, 2, 2]


def test_what_is_not_there_can_be_purged(world):
    world.needs("purge")
    assert world.purge_url(world.put()) == 200


def test_another_host_s_is_left_alone(world):
    world.needs("purge")
    thing = world.put()
    for host in ("one.test", "two.test"):
        world.get(thing, host=host)
    world.origin.publish(thing)
    assert world.purge_url(thing, host="one.test") == 200
    assert [world.get(thing, host=host).version for host in ("one.test", "two.test")] == [2, 1]


def test_who_may_not_purge_does_not(world):
    world.needs("exact-purge")
    thing = world.put()
    outdated(world, [thing])
    assert world.purge_url(thing, source="127.0.0.9") == 403
    assert world.get(thing).version == 1


def test_a_url_is_purged_by_the_api(world):
    world.needs("exact-purge")
    thing, other = world.put(), world.put()
    outdated(world, [thing, other])
    world.purge(url=world.url(thing.path))
    assert world.get(thing).version == 2 and world.get(other).version == 1


def test_a_prefix_is_purged_and_its_neighbours_are_not(world):
    world.needs("exact-purge")
    gone = [world.put(path=path) for path in ("/pre/fix/", "/pre/fix/a", "/pre/fix/a/b?c=d")]
    left = [world.put(path=path) for path in ("/pre/fixed", "/pre", "/other/pre/fix/a")]
    outdated(world, gone + left)
    world.purge(prefix=world.url("/pre/fix/"))
    assert [world.get(thing).version for thing in gone + left] == [2, 2, 2, 1, 1, 1]


@pytest.mark.parametrize("name", TAGS)
def test_a_tag_is_purged_and_not_told_to_clients(world, name):
    world.needs("exact-purge")
    one, both, none = (world.put(fields=tagged(*tags, name=name)) for tags in ([f"{name}-a"], [f"{name}-b", f"{name}-a"], ["c"]))
    outdated(world, [one, both, none])
    assert world.get(one).response.get(name) is None
    world.purge(tag=f"{name}-a")
    assert [world.get(thing).version for thing in (one, both, none)] == [2, 2, 1]


def test_everything_is_purged(world):
    world.needs("exact-purge")
    things = [world.put() for _ in range(10)]
    outdated(world, things)
    world.purge(all=True)
    assert [world.get(thing).version for thing in things] == [2] * 10


@pytest.mark.parametrize("what", ["url", "tag", "prefix", "all"])
def test_a_soft_purge_makes_stale(world, what):
    """It is confirmed with the origin, which has only to say that nothing changed."""
    world.needs("exact-purge")
    thing = world.put(path=f"/soft-{what}/it", fields=tagged(f"soft-{what}"))
    world.warm(thing)
    world.purge(soft=True, **{"url": {"url": world.url(thing.path)}, "tag": {"tag": f"soft-{what}"},
                              "prefix": {"prefix": world.url(f"/soft-{what}/")}, "all": {"all": True}}[what])
    assert world.get(thing).version == 1
    assert [bool(request.get("if-none-match")) for request in thing.asked] == [False, True]
    world.get(thing)
    assert len(thing.asked) == 2, "what was confirmed is fresh again"


def test_a_soft_purge_of_what_changed_fetches_it(world):
    world.needs("exact-purge")
    thing = world.put()
    outdated(world, [thing])
    world.purge(soft=True, url=world.url(thing.path))
    assert world.get(thing).version == 2


def test_a_purge_that_says_nothing_is_refused(world):
    world.needs("exact-purge")
    for what in ({}, {"url": "not a url"}, {"what": "else"}, {"url": "http://a.test/", "tag": "b"}):
        with pytest.raises(AssertionError, match="400|422"):
            world.purge(**what)


def test_the_command_purges(world):
    world.needs("exact-purge")
    thing = world.put()
    outdated(world, [thing])
    subprocess.run([world.cache.binary, "purge", "--file", world.cache.file, world.url(thing.path)], check=True, capture_output=True)
    assert world.get(thing).version == 2


# --- while it is being fetched ---

@pytest.mark.parametrize("at", [None, 500], ids=["before-the-head", "within-the-body"])
@pytest.mark.parametrize("what", ["url", "tag", "prefix", "all"])
def test_a_fetch_that_is_under_way_is_not_for_who_asks_after_the_purge(world, what, at):
    world.needs("exact-purge")
    gate = Gate(at)
    thing = world.put(path=f"/busy-{what}-{at}/it", gate=gate, fields=tagged(f"busy-{what}-{at}"))
    before = world.ask(thing)
    gate.reached()
    world.origin.publish(thing, gate=None)
    world.purge(**{"url": {"url": world.url(thing.path)}, "tag": {"tag": f"busy-{what}-{at}"},
                   "prefix": {"prefix": world.url(f"/busy-{what}-{at}/")}, "all": {"all": True}}[what])
    assert world.get(thing).version == 2, "the old fetch was given to who asked after the purge"
    gate.open()
    assert world.answer(before, thing).version == 1
    assert world.get(thing).version == 2, "the old fetch was kept after the purge"


def test_a_confirmation_that_is_under_way_does_not_bring_back_what_is_purged(world):
    world.needs("exact-purge")
    thing = world.put(fields=(("Cache-Control", "no-cache"),))
    world.get(thing)
    gate = Gate()
    thing.gate = gate
    before = world.ask(thing)
    gate.reached()
    world.origin.publish(thing, gate=None)
    world.purge(url=world.url(thing.path))
    gate.open()
    assert world.answer(before, thing).version in (1, 2)
    assert world.get(thing).version == 2


# --- at random ---

@dataclass
class Race:
    """Readers that never stop, and one who publishes a version, purges, and from then on expects nothing older."""

    world: object
    things: list
    purge: object
    seconds: float

    def run(self):
        self.floors = {thing.path: 1 for thing in self.things}
        self.until, self.read, self.purged = time.monotonic() + self.seconds, 0, 0
        in_threads(*[self.reader] * 8, self.writer)
        assert self.purged > 20 and self.read > 200
        asked = sum(len(thing.asked) for thing in self.things)
        assert asked < self.read, "nothing was kept: the race proves nothing"

    def reader(self):
        drawn = random.Random(self.read)
        while time.monotonic() < self.until:
            thing = drawn.choice(self.things)
            floor = self.floors[thing.path]
            got = self.world.get(thing)
            assert got.whole and got.version >= floor, f"{thing.path}: {got.version} is served after the purge below {floor}"
            self.read += 1

    def writer(self):
        drawn = random.Random(0)
        while time.monotonic() < self.until:
            thing = drawn.choice(self.things)
            version = self.world.origin.publish(thing)
            self.purge(thing)
            self.floors[thing.path] = version
            self.purged += 1


@pytest.mark.parametrize("what", ["method", "url", "prefix", "tag", "all"])
def test_no_answer_is_older_than_an_acknowledged_purge(world, what):
    world.needs("exact-purge")
    purge = {
        "method": world.purge_url,
        "url": lambda thing: world.purge(url=world.url(thing.path)),
        "prefix": lambda thing: world.purge(prefix=world.url(thing.path)),
        "tag": lambda thing: world.purge(tag=f"tag-{thing.path[1:]}"),
        "all": lambda thing: world.purge(all=True),
    }[what]
    kinds = [(100, "length", ()), (70_000, "chunked", ()), (200_000, "length", ("X-Shape",))]
    things = [world.put(path=f"/race-{what}-{number}", size=size, jitter=0.01, framing=framing, vary=vary,
                        fields=tagged("all-of-them", f"tag-race-{what}-{number}"))
              for number, (size, framing, vary) in enumerate(kinds)]
    Race(world, things, purge, seconds=4).run()
