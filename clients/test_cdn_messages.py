"""What comes beside the body of a response that is fetched for the cache: interim heads before it, trailers after it."""

import cdn_world
import pytest
from cdn_origin import Origin
from cdn_world import World


@pytest.fixture
def world(start):
    origin = Origin()
    yield World("nines", start(cdn_world.file(origin.port)), origin)
    origin.stop()


def chunked(trailers=(), before=b"", fields=()):
    def instead(exchange):
        if before:
            exchange.send(before)
        exchange.respond_chunked([b"first", b"second"], trailers, [("Cache-Control", "max-age=60"), *fields])
    return instead


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"


def raw(world, thing):
    with world.ask(thing) as wire:
        return wire.response()


def test_early_hints_of_a_fetch_reach_whoever_began_it(world):
    thing = world.put(instead=chunked(before=b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY))
    first, second = raw(world, thing), raw(world, thing)
    assert [one[0] if isinstance(one, tuple) else one.status for one in first.interim] == [103]
    assert (first.status, first.body) == (200, b"firstsecond")
    assert second.interim == [] and "hit" in second.get("cache-status")


def test_trailers_reach_who_reads_and_are_not_kept(world):
    thing = world.put(instead=chunked([("Server-Timing", "total;dur=5")]))
    first, second = raw(world, thing), raw(world, thing)
    assert first.trailers and first.trailers[0][1] == "total;dur=5"
    assert second.trailers == [] and "hit" in second.get("cache-status") and second.body == b"firstsecond"


def test_what_says_by_its_trailers_how_it_went_is_fetched_each_time(world):
    thing = world.put(instead=chunked([("Grpc-Status", "0")]))
    for _ in range(2):
        got = raw(world, thing)
        assert "fwd=uri-miss" in got.get("cache-status")
        assert [(name.lower(), value) for name, value in got.trailers] == [("grpc-status", "0")]
    assert len(thing.asked) == 2


def test_what_a_cache_behind_said_is_kept_and_added_to(world):
    thing = world.put(instead=chunked(fields=[("Cache-Status", "Behind; hit; ttl=30")]))
    first, second = raw(world, thing), raw(world, thing)
    assert [one.all("cache-status")[0] for one in (first, second)] == ["Behind; hit; ttl=30"] * 2
    assert first.all("cache-status")[1].startswith("nines; fwd=uri-miss") and second.all("cache-status")[1].startswith("nines; hit")
