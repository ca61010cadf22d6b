"""Ranges of what is not kept: the origin is asked for what is wanted, and no more; no byte is ever one of another body."""

import contextlib
import random
import re

import cdn_world
import pytest
from cdn_origin import Fault, Gate, Origin
from cdn_world import World, in_threads
from conftest import eventually
from wire import Truncated

KIB = 1024
MIB = 1024 * KIB


class Counted(World):
    """A world that knows what its origin was asked for."""

    def ranges(self, thing):
        return [request.get("range") for request in thing.asked]

    def part(self, thing, value, headers=()):
        return self.get(thing, [("Range", f"bytes={value}"), *headers])

    def hit(self, thing, value=None):
        """What is kept serves it, once the fetch before has ended: that may bring more than its client waits for."""
        def look():
            got = self.part(thing, value) if value else self.get(thing)
            return got if "hit" in status_of(got) else None

        asked = len(thing.asked)
        got = eventually(look)
        assert len(thing.asked) == asked, "the origin was asked for it"
        return got


@pytest.fixture
def world(start):
    origin = Origin()
    yield Counted("nines", start(cdn_world.file(origin.port)), origin)
    origin.stop()


def status_of(got):
    return got.response.get("cache-status")


def bytes_of(got):
    return len(got.response.body)


def test_the_end_of_something_large_does_not_wait_for_its_beginning(world):
    # Nothing comes of what lies before: whoever waited for that would wait for good.
    thing = world.put(size=6 * MIB, gate=Gate(at=0))
    got = world.part(thing, "6000000-6000099")
    assert (got.status, bytes_of(got)) == (206, 100)
    assert world.ranges(thing) == ["bytes=5963776-6029311"]
    thing.gate.open()


def test_blocks_that_were_fetched_are_not_asked_for_again(world):
    thing = world.put(size=3 * MIB)
    for value in ("1000000-1000999", "1000500-1000600", "983040-1048575"):
        assert world.part(thing, value).status == 206
    assert world.ranges(thing) == ["bytes=983040-1048575"]
    assert world.hit(thing, "1000000-1000001").status == 206
    got = world.part(thing, "1000000-1100000")
    assert "fwd=partial" in status_of(got) and world.ranges(thing)[1:] == ["bytes=1048576-1114111"]
    assert thing.asked[1].get("if-range") == '"1-0"'


def test_what_is_small_is_fetched_whole_by_its_first_range(world):
    thing = world.put(size=5000)
    assert bytes_of(world.part(thing, "100-199")) == 100
    got = world.hit(thing)
    assert (got.status, bytes_of(got)) == (200, 5000)
    assert len(thing.asked) == 1


def test_parts_become_the_whole_and_the_origin_gives_each_byte_once(world):
    size = 1_500_000
    thing = world.put(size=size)
    order = list(range(0, size, 100_000))
    random.Random(3).shuffle(order)
    for first in order:
        got = world.part(thing, f"{first}-{min(size, first + 100_000) - 1}")
        assert (got.status, got.whole) == (206, True)
    assert bytes_of(world.hit(thing)) == size
    given = 0
    for value in world.ranges(thing):
        first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", value).groups()
        given += (min(int(last), size - 1) if last else size - 1) + 1 - int(first)
    assert given <= size + 10 * 64 * KIB, world.ranges(thing)


def test_the_whole_is_completed_by_what_is_missing(world):
    thing = world.put(size=500_000)
    assert world.part(thing, "0-299999").status == 206
    got = world.get(thing)
    assert (got.status, bytes_of(got)) == (200, 500_000)
    assert world.ranges(thing) == ["bytes=0-327679", "bytes=327680-"]
    assert got.response.get("content-range") is None
    assert bytes_of(world.hit(thing)) == 500_000


def test_a_crowd_on_one_range_is_one_fetch(world):
    thing = world.put(size=3 * MIB, gate=Gate())
    got = world.many(thing, 60, [("Range", "bytes=2000000-2000999")], between=lambda: (thing.gate.reached(), thing.gate.open()))
    assert {(one.status, bytes_of(one)) for one in got} == {(206, 1000)}
    assert len(thing.asked) == 1


def test_what_is_too_large_to_be_kept_is_served_by_range(world):
    thing = world.put(size=20 * MIB)  # an eighth of memory is 8 MiB
    for first in (15 * MIB, 15 * MIB + 100_000, 5):
        assert bytes_of(world.part(thing, f"{first}-{first + 999}")) == 1000
    assert world.ranges(thing) == ["bytes=15728640-15794175", "bytes=15794176-15859711", "bytes=0-65535"]
    assert bytes_of(world.part(thing, "-10")) == 10
    assert bytes_of(world.part(thing, f"{9 * MIB}-{19 * MIB}")) == 10 * MIB + 1


def test_an_origin_that_changes_gives_no_mixed_body(world):
    thing = world.put(size=400_000)
    assert world.part(thing, "0-99999").version == 1
    world.origin.publish(thing)
    # What is kept is fresh, and of the first version; the rest no longer is.
    got = world.part(thing, "50000-299999")
    assert (got.version, bytes_of(got)) == (2, 250_000)
    assert world.hit(thing).version == 2


def test_one_that_changes_its_length_gives_no_mixed_body(world):
    thing = world.put(size=400_000)
    world.part(thing, "0-99999")
    world.origin.publish(thing, size=200_000)
    assert [world.part(thing, "100000-150000").version, world.get(thing).version] == [2, 2]
    assert world.part(thing, "300000-300010").status == 416


@pytest.mark.parametrize("etag", ["weak", None])
def test_without_a_strong_validator_parts_stay_apart(world, etag):
    thing = world.put(size=400_000, etag=etag)
    assert world.part(thing, "0-99999").version == 1
    world.origin.publish(thing)
    assert world.part(thing, "100000-299999").version in (1, 2)
    assert not any(request.get("if-range") for request in thing.asked)
    assert world.get(thing).version == 2


def test_an_origin_without_parts_is_asked_for_all_once(world):
    thing = world.put(size=2 * MIB, ranges=False, gate=Gate(at=MIB))
    wires = [world.ask(thing, [("Range", f"bytes={at}-{at + 9}")]) for at in (1_900_000, 1_500_000)]
    thing.gate.reached()
    thing.gate.open()
    assert [bytes_of(world.answer(wire, thing)) for wire in wires] == [10, 10]
    asked = len(thing.asked)
    assert bytes_of(world.part(thing, "700000-700009")) == 10 and len(thing.asked) == asked <= 3


def lying(place=None, whole=None, shift=0, length=None, more=b""):
    """An answer whose `Content-Range` is not what was asked for, or not what comes."""
    def instead(exchange):
        thing = lying.thing
        body = thing.body(exchange.request)
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", exchange.request.get("range", ""))
        if not found:
            return exchange.respond(200, body.bytes(), headers=head(thing, body))
        first = int(found[1])
        stop = min(body.size, int(found[2]) + 1) if found[2] else body.size
        told = place or f"bytes {first + shift}-{stop - 1 + shift}/{whole or body.size}"
        data = body.bytes(first, stop if length is None else first + length) + more
        exchange.send((f"HTTP/1.1 206 Partial Content\r\nContent-Range: {told}\r\nTransfer-Encoding: chunked\r\n"
                       + "".join(f"{name}: {value}\r\n" for name, value in head(thing, body)) + "\r\n").encode())
        exchange.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
    return instead


def head(thing, body):
    return [("X-Body", body.told), ("ETag", thing.tag(body)), ("Cache-Control", "max-age=60")]


@pytest.mark.parametrize("lie", [{"shift": 10}, {"place": "bytes 0-9/*"}, {"place": "pages 1-2/3"}, {"whole": 999_999},
                                 {"length": 10}, {"more": b"and more than was said"}], ids=str)
def test_what_an_origin_that_lies_sends_is_never_kept(world, lie):
    thing = world.put(size=500_000)
    assert world.part(thing, "0-99999").status == 206
    lying.thing, thing.instead = thing, lying(**lie)
    with contextlib.suppress(Truncated, ConnectionError), world.ask(thing, [("Range", "bytes=100000-199999")]) as wire:
        wire.response()  # it is the origin's own; whatever it is, it is not kept
    world.origin.things[thing.path].instead = None
    for value in ("100000-199999", "50000-250000", "130000-131999"):
        got = world.part(thing, value)
        assert (got.status, got.whole) == (206, True)
    assert bytes_of(world.get(thing)) == 500_000


@pytest.mark.parametrize("kind", ["end", "reset"])
def test_a_part_that_breaks_off_is_broken_off_and_not_kept(world, kind):
    thing = world.put(size=500_000, fault=Fault(kind, at=150_000))
    got = world.part(thing, "100000-199999")
    assert not got.whole
    thing.fault = None
    assert bytes_of(world.part(thing, "100000-199999")) == 100_000


def test_a_purge_is_about_parts_as_well(world):
    thing = world.put(size=400_000, fields=(("Cache-Control", "max-age=60"), ("Surrogate-Key", "red")))
    for purge in (lambda: world.purge_url(thing), lambda: world.purge(tag="red"), lambda: world.purge(soft=True, url=world.url(thing.path))):
        version = world.part(thing, "100000-100099").version
        assert bytes_of(world.hit(thing, "100000-100099")) == 100
        world.origin.publish(thing)
        purge()
        assert world.part(thing, "100000-100099").version == version + 1


def test_several_ranges_of_what_is_kept_are_parts_of_one_answer(world):
    for framing in ("length", "chunked"):
        thing = world.put(size=300_000, framing=framing, fields=(("Cache-Control", "max-age=60"), ("Content-Type", "text/x")))
        world.get(thing)
        got = world.part(thing, "200000-200099,0-9,-5")
        assert got.status == 206 and got.response.all("content-type")[0].startswith("multipart/byteranges; boundary=")
        assert got.response.body.count(b"Content-Type: text/x\r\nContent-Range: bytes ") == 3
        assert world.part(thing, ",".join(f"{at * 1000}-{at * 1000}" for at in range(40))).status == 200, "too many"
        assert len(thing.asked) == 1


def test_if_range_with_another_tag_gets_all_of_it(world):
    thing = world.put(size=400_000)
    got = world.part(thing, "100000-100099", [("If-Range", '"another"')])
    assert (got.status, bytes_of(got)) == (200, 400_000)
    assert world.part(thing, "100000-100099", [("If-Range", '"1-0"')]).status == 206


def test_whoever_reads_ranges_of_what_changes_reads_one_version_at_a_time(world):
    things = [world.put(size=size, jitter=0.002, etag=etag, fields=(("Cache-Control", "max-age=1"),))
              for size, etag in ((700_000, "strong"), (3_000_000, "strong"), (200_000, "weak"), (12_000_000, "strong"))]

    def read(seed):
        drawn = random.Random(seed)
        for _ in range(150):
            thing = drawn.choice(things)
            first = drawn.randrange(thing.size)
            spec = drawn.choice([f"{first}-{first + drawn.randrange(200_000)}", f"-{drawn.randrange(1, 300_000)}", f"{first}-",
                                 "0-99,200000-200099"])
            headers = [("Range", f"bytes={spec}")] if drawn.random() < 0.95 else []
            assert world.get(thing, headers, timeout=30).status in (200, 206)

    def publish():
        drawn = random.Random(9)
        for _ in range(60):
            thing = drawn.choice(things)
            world.origin.publish(thing)
            if drawn.random() < 0.3:
                world.purge_url(thing)
            world.part(thing, "0-9")

    in_threads(*(lambda seed=seed: read(seed) for seed in range(5)), publish)
