"""What is refreshed before its time is over, what the cache says it would do and why, and what missed most."""

import json
import subprocess
import time
import urllib.request

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


# --- why ---

class Why:
    """What `nines explain --cache` says of a thing: as JSON, and as people read it."""

    def __init__(self, cache, thing, *options, host="cdn.test"):
        command = [cache.cache.binary, "explain", "--cache", cache.url(thing.path, host), "--file", cache.cache.file, *options]
        run = {"check": True, "capture_output": True, "text": True, "timeout": 20}
        self.told = json.loads(subprocess.run([*command, "--json"], **run).stdout)
        self.page = subprocess.run(command, **run).stdout
        self.outcome, self.why, self.kept = self.told["outcome"], "; ".join(self.told["why"]), self.told["kept"]


def test_what_is_told_is_what_then_happens_and_nothing_happens_by_it(cache):
    thing = cache.put(fields=(("CDN-Cache-Control", "max-age=60"), ("Cache-Tag", "red")))
    before = cache.cache.metrics()
    why = Why(cache, thing)
    assert why.outcome == "miss" and not thing.asked and why.kept == []
    cache.get(thing)
    why = Why(cache, thing)
    assert why.outcome == "hit" and "RFC 9111 §4.2" in why.why
    (kept,) = why.kept
    assert kept["lifetime_by"] == "`CDN-Cache-Control: max-age=60`" and kept["tags"] == ["red"]
    assert kept["is_chosen"] and kept["places"] == ["memory"] and kept["body_bytes"] == 1000
    assert "hit" in why.page and "`CDN-Cache-Control: max-age=60`" in why.page
    after = cache.cache.metrics()
    counted = [name for name in after if name.startswith("nines_cdn_requests_total")]
    assert sum(after[name] - before.get(name, 0) for name in counted) == 1, "but the one request"


def test_variants_are_told_apart(cache):
    thing = cache.put(vary=("X-Shape",))
    for shape in ("round", "flat"):
        cache.get(thing, [("X-Shape", shape)])
    why = Why(cache, thing, "-H", "X-Shape: flat")
    assert why.outcome == "hit"
    assert [(one["differs_by"][0]["value"], one["is_chosen"], one["matches"]) for one in why.kept] == [
        ("flat", True, True), ("round", False, False)]
    assert Why(cache, thing, "-H", "X-Shape: square").outcome == "miss"


def test_purges_are_told_by_what_they_were_of(cache):
    thing = cache.put(fields=(("Cache-Control", "max-age=60"), ("Surrogate-Key", "blue")))
    cache.get(thing)
    cache.purge(soft=True, tag="blue")
    why = Why(cache, thing)
    assert why.outcome == "miss" and why.kept[0]["purged_by"][0].endswith("of tag blue")
    assert "the origin is asked whether it is so still" in why.why
    cache.purge(prefix=cache.url(thing.path))
    assert any(one.endswith(f"of all below {cache.url(thing.path)}") for one in Why(cache, thing).told["purges"])


def test_what_cannot_be_shared_says_why_and_for_how_long(cache):
    thing = cache.put(fields=(("Cache-Control", "private"),))
    cache.get(thing)
    why = Why(cache, thing)
    assert why.outcome == "pass" and why.told["unshared"]["why"] == "the response says `private`"
    assert 0 < why.told["unshared"]["for_seconds"] <= 60
    posted = Why(cache, thing, "-X", "POST")
    assert posted.outcome == "pass" and "RFC 9111 §4.4" in posted.why


def test_a_fetch_that_is_under_way_is_told(cache):
    thing = cache.put(gate=Gate(), size=100_000)
    with cache.ask(thing) as wire:
        thing.gate.reached()
        why = Why(cache, thing)
        assert why.outcome == "miss" and why.told["fetch"] == {"has_head": False, "received_bytes": 0, "readers": 1}
        thing.gate.open()
        assert cache.answer(wire, thing).whole


def test_what_is_on_the_disk_alone_is_found_there(start):
    origin = Origin()
    cache = World("nines", start(cdn_world.file(origin.port, 'disk = "16MiB"')), origin)
    thing = cache.put()
    cache.warm(thing)
    eventually(lambda: Why(cache, thing).kept[0]["places"] == ["memory", "disk"])
    cache.cache.stop()
    cache.cache.begin()
    why = Why(cache, thing)
    assert why.outcome == "hit" and why.kept[0]["places"] == ["disk"] and "it is on the disk, and fresh" in why.why
    assert Why(cache, thing).kept[0]["places"] == ["disk"], "it is not brought to memory by that"
    assert cache.status(cache.get(thing))["hit"] is True and len(thing.asked) == 1
    assert cache.cache.metric("nines_cdn_disk_read_total") == 1
    origin.stop()
    assert origin.failures == []


def test_without_a_node_nothing_is_told(cache, tmp_path):
    alone = tmp_path / "nines.toml"
    alone.write_text('[node]\nadmin = "127.0.0.1:1"\n')
    done = subprocess.run([cache.cache.binary, "explain", "--cache", "/a", "--file", alone], capture_output=True, timeout=20)
    assert done.returncode == 5


# --- figures ---

def cdn(cache):
    with urllib.request.urlopen(f"http://127.0.0.1:{cache.cache.admin}/api/v1/cdn", timeout=10) as answer:
        return json.load(answer)


def test_ratios_ages_and_what_was_missed_most_are_told(start):
    origin = Origin()
    cache = World("nines", start(cdn_world.file(origin.port)), origin)
    assert cdn(cache)["hit_ratio"] is None
    kept, private = cache.put(size=3000), cache.put(size=1000, fields=(("Cache-Control", "private"),))
    for _ in range(4):
        cache.get(kept)
    for _ in range(4):
        cache.get(private)
    told = cdn(cache)
    (site,) = told["sites"]
    assert site["requests"] == {"hit": 3, "stale": 0, "miss": 2, "collapsed": 0, "pass": 3}
    assert site["sent_bytes"] == {"hit": 9000, "stale": 0, "miss": 4000, "collapsed": 0, "pass": 3000}
    assert told["hit_ratio"] == site["hit_ratio"] == 3 / 8 and site["byte_hit_ratio"] == 9 / 16
    assert site["top_misses"] == [
        {"url": cache.url(private.path), "misses": 4, "misses_min": 4, "why": "not stored: the response says `private`"},
        {"url": cache.url(kept.path), "misses": 1, "misses_min": 1, "why": "it was not kept"}]
    assert cache.cache.metric("nines_cdn_hit_age_seconds_count") == 3
    assert cache.cache.metric("nines_cdn_hit_age_seconds_sum") < 30

    def said(*options):
        command = [cache.cache.binary, "status", "--file", cache.cache.file, *options]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout

    assert "37.5% hits" in said() and cache.url(private.path) not in said()
    assert cache.url(private.path) in said("--cache")
    assert json.loads(said("--cache", "--json"))["sites"][0]["top_misses"] == site["top_misses"]

    # What was missed outlives the file.
    cache.cache.reload(cdn_world.file(origin.port, 'refresh = "20%"'))
    assert cdn(cache)["sites"][0]["top_misses"] == site["top_misses"]
    origin.stop()
    assert origin.failures == []
