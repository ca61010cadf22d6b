"""What is refreshed before its time is over, what the cache says it would do and why, and what missed most."""

import time

import cdn_world
import pytest
from cdn_origin import Gate, Origin
from cdn_world import World
from conftest import eventually

# Of which the second half is when what is popular is refreshed.
SECONDS = 4
SHORT = (("Cache-Control", f"max-age={SECONDS}"),)


@pytest.fixture(scope="module")
def cache(start):
    origin = Origin()
    yield World("nines", start(cdn_world.file(origin.port, 'refresh = "50%"')), origin)
    origin.stop()
    assert origin.failures == []


class Clock:
    """The time since now. What is fresh for a time needs that time to pass."""

    def __init__(self):
        self.began = time.monotonic()

    def until(self, seconds):
        time.sleep(max(0, self.began + seconds - time.monotonic()))


# --- refreshed before its time is over ---

def test_nobody_waits_where_the_time_of_what_is_popular_ends(cache):
    thing, clock = cache.put(fields=SHORT), Clock()
    cache.get(thing)
    for _ in range(2):
        assert cache.status(cache.get(thing))["hit"] is True
    gate = thing.gate = Gate()
    clock.until(SECONDS * 0.7)
    # One asks anew, and neither that one nor the others wait for it.
    assert all(cache.status(cache.get(thing))["hit"] is True for _ in range(5))
    gate.reached()
    assert len(thing.asked) == 2 and thing.asked[1].get("if-none-match")
    thing.gate = None
    gate.open()
    eventually(lambda: cache.get(thing).age == 0)
    clock.until(SECONDS * 1.1)
    assert cache.status(cache.get(thing))["hit"] is True, "its first time is over"
    assert len(thing.asked) == 2
    assert cache.cache.metric("nines_cdn_refreshes_total") >= 1


def test_what_is_used_once_is_not_refreshed(cache):
    thing, clock = cache.put(fields=SHORT), Clock()
    cache.get(thing)
    clock.until(SECONDS * 0.7)
    assert cache.status(cache.get(thing))["hit"] is True
    clock.until(SECONDS * 1.1)
    assert cache.status(cache.get(thing))["fwd"] == "stale" and len(thing.asked) == 2


def test_a_refresh_that_fails_takes_nothing_away_and_is_tried_once(cache):
    thing, clock = cache.put(fields=SHORT), Clock()
    for _ in range(3):
        cache.get(thing)
    thing.status, thing.etag = 503, None
    clock.until(SECONDS * 0.7)
    assert cache.get(thing).status == 200
    eventually(lambda: len(thing.asked) == 2)
    assert all(cache.get(thing).status == 200 for _ in range(5)) and len(thing.asked) == 2


def test_a_new_version_takes_the_place_of_what_was_refreshed(cache):
    thing, clock = cache.put(fields=SHORT), Clock()
    for _ in range(3):
        cache.get(thing)
    cache.origin.publish(thing)
    clock.until(SECONDS * 0.7)
    assert cache.get(thing).version == 1
    assert eventually(lambda: cache.get(thing).version == 2) and len(thing.asked) == 2
