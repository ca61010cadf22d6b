"""A cache seen from outside: what is kept, what is confirmed, and that no byte is ever one of another body."""

import random
import time

import cdn_world
import pytest
from cdn_bytes import Body, Wrong, checked
from cdn_origin import Fault, Gate, Origin
from cdn_world import World, in_threads
from conftest import eventually
from wire import Response, Wire

KIB = 1024
REVALIDATED = (("Cache-Control", "no-cache"),)


# --- the checker itself ---

def test_a_byte_that_does_not_belong_is_found():
    body = Body("/a", 3, 10_000)
    told = [("X-Body", body.told), ("Content-Length", "10000")]

    def answer(data, status=200, fields=()):
        return checked("/a", Response(status, "HTTP/1.1", [*told, *fields], data))

    assert answer(body.bytes()).version == 3
    older = Body("/a", 2, 10_000)
    for wrong in (older.bytes(), body.bytes(0, 5000) + older.bytes(5000), body.bytes(0, 9999), body.bytes() + b"x",
                  body.bytes(1) + b"x", Body("/b", 3, 10_000).bytes(), bytes(10_000)):
        with pytest.raises(Wrong):
            answer(wrong)
    part = [("Content-Range", "bytes 100-199/10000")]
    assert answer(body.bytes(100, 200), 206, part).version == 3
    for data, fields in ((body.bytes(101, 201), part), (body.bytes(100, 199), part),
                         (body.bytes(100, 200), [("Content-Range", "bytes 100-199/10001")])):
        with pytest.raises(Wrong):
            answer(data, 206, fields)
    with pytest.raises(Wrong, match="of version 2"):
        answer(body.bytes(0, 5000) + older.bytes(5000))


# --- kept ---

@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("size", [0, 1, 64 * KIB, 64 * KIB + 1, 3_000_000])
def test_what_is_kept_is_what_came(world, framing, size):
    if not size:
        world.needs("empty")
    thing = world.put(size=size, framing=framing)
    for _ in range(3):
        got = world.get(thing)
        assert got.status == 200 and got.whole and got.version == 1
    assert len(thing.asked) == 1


def test_an_age_that_came_is_added_to(world):
    thing = world.put(fields=(("Cache-Control", "max-age=600"), ("Age", "100")))
    world.warm(thing)
    assert 100 <= world.get(thing).age < 110


def test_the_status_says_how_an_answer_came_to_be(world):
    world.needs("status")
    thing = world.put()
    first, second = world.status(world.get(thing)), world.status(world.get(thing))
    assert first["cache"] == second["cache"] == "nines"
    assert first["fwd"] == "uri-miss" and first["stored"] is True and "hit" not in first
    assert second["hit"] is True and 0 < int(second["ttl"]) <= 60


@pytest.mark.parametrize("control", ["no-store", "private", "max-age=0", "no-cache"])
def test_what_must_not_be_reused_is_asked_for_each_time(world, control):
    thing = world.put(fields=(("Cache-Control", control),), etag=None)
    assert [world.get(thing).version for _ in range(2)] == [1, 1] and len(thing.asked) == 2
    world.origin.publish(thing)
    assert world.get(thing).version == 2


def test_two_hosts_share_nothing(world):
    thing = world.put()
    assert world.get(thing, host="one.test").version == 1
    world.origin.publish(thing)
    assert world.get(thing, host="two.test").version == 2
    assert world.get(thing, host="one.test").version == 1


def test_two_queries_share_nothing(world):
    things = [world.put(path=f"/query{query}") for query in ("", "?", "?a", "?b", "?a&b", "?b&a")]
    for _ in range(2):
        assert [world.get(thing).version for thing in things] == [1] * len(things)
    assert [len(thing.asked) for thing in things if thing.path != "/query?"] == [1] * 5


def test_what_was_asked_with_authorization_is_for_nobody_else(world):
    world.needs("strict")
    thing = world.put(vary=())
    world.get(thing, [("Authorization", "Basic YTpi")])
    world.origin.publish(thing)
    assert world.get(thing).version == 2


# --- HEAD and ranges ---

def test_a_head_is_answered_from_a_get(world):
    thing = world.put(size=5000)
    world.warm(thing)
    got = world.get(thing, method="HEAD")
    assert got.status == 200 and got.version == 1 and got.response.get("content-length") == "5000"
    assert len(thing.asked) == 1


def test_a_head_that_came_first_does_not_take_the_body_away(world):
    thing = world.put(size=5000)
    world.get(thing, method="HEAD")
    assert [len(world.get(thing).response.body) for _ in range(2)] == [5000, 5000]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_head_fills_the_cache_like_a_get(world, framing):
    thing = world.put(size=300_000, framing=framing)
    got = world.get(thing, method="HEAD")
    assert (got.status, got.version, got.response.body) == (200, 1, b"")
    eventually(lambda: world.get(thing, method="HEAD").response.get("content-length") == "300000")
    assert len(world.get(thing).response.body) == 300_000 and len(thing.asked) == 1


def test_nothing_follows_the_head_of_an_answer_to_head(start):
    origin = Origin()
    config = cdn_world.file(origin.port).replace("[site.default.route]", "[site.default]\ncompress = true\n[site.default.route]")
    world = World("nines", start(config), origin)
    for control in ("max-age=60", "no-store"):
        for framing in ("chunked", "length"):
            for coding in ("gzip", "identity"):
                thing = world.put(size=30_000, framing=framing, fields=(("Cache-Control", control), ("Content-Type", "text/plain")))
                head = f"{{}} {thing.path} HTTP/1.1\r\nHost: cdn.test\r\nAccept-Encoding: {coding}\r\n\r\n"
                with Wire(world.port) as wire:
                    for method in ("HEAD", "HEAD", "GET", "HEAD", "GET"):
                        wire.send(head.format(method))
                        answer = wire.response(method)
                        assert answer.status == 200 and bool(answer.body) == (method == "GET"), (control, framing, coding, method)
    origin.stop()


def test_a_head_with_authorization_goes_as_head(start):
    origin = Origin()
    world = World("nines", start(cdn_world.file(origin.port)), origin)
    thing = world.put(size=3_000_000)
    for _ in range(3):
        assert world.get(thing, [("Authorization", "Basic eDp5")], method="HEAD").status == 200
    assert [request.method for request in thing.asked] == ["HEAD"] * 3
    origin.stop()


def test_a_head_of_what_is_too_large_to_be_kept_does_not_fetch_it_all(world):
    world.needs("strict")
    thing = world.put(size=40 << 20)
    assert world.get(thing, method="HEAD").response.get("content-length") == str(40 << 20)
    assert world.get(thing, method="HEAD").status == 200
    assert thing.asked[-1].method == "HEAD", "it is known by then"


def test_ranges_are_cut_from_what_is_kept(world):
    world.needs("range")
    size = 300_000
    thing = world.put(size=size)
    world.warm(thing)
    drawn = random.Random(1)
    for _ in range(40):
        first = drawn.randrange(size)
        last = min(size - 1, first + drawn.choice([0, 1, 100, 70_000, size]))
        for value, length in ((f"{first}-{last}", last + 1 - first), (f"{first}-", size - first), (f"-{last + 1}", last + 1)):
            got = world.get(thing, [("Range", f"bytes={value}")])
            assert got.status == 206 and len(got.response.body) == length, value
    got = world.get(thing, [("Range", f"bytes={size}-")])
    assert got.status == 416 and got.response.get("content-range") == f"bytes */{size}"
    assert len(thing.asked) == 1


def test_several_ranges_are_right_however_they_are_answered(world):
    world.needs("ranges")
    thing = world.put(size=100_000)
    world.warm(thing)
    assert world.get(thing, [("Range", "bytes=0-99,50000-50099,-5")]).status in (200, 206)


@pytest.mark.parametrize("honest", [True, False])
def test_a_range_that_is_asked_first_and_then_the_rest(world, honest):
    """Kept or not, joined or not: never with a byte of another version."""
    thing = world.put(size=200_000, etag="strong" if honest else None, ranges=True)
    assert world.get(thing, [("Range", "bytes=1000-1999")]).status in (200, 206)
    if not honest:
        world.origin.publish(thing)
    for value in ("bytes=500-2500", "bytes=1500-1599", "bytes=0-", "bytes=-10"):
        assert world.get(thing, [("Range", value)]).status in (200, 206)
    assert world.get(thing).status == 200


def test_an_origin_that_changes_between_two_ranges_is_not_joined(world):
    thing = world.put(size=200_000)
    world.get(thing, [("Range", "bytes=0-99999")])
    world.origin.publish(thing)
    for value in ("bytes=100000-", "bytes=0-", "bytes=50000-150000"):
        world.get(thing, [("Range", value)])
    assert world.get(thing).whole


def test_if_range_with_another_tag_gets_the_whole(world):
    world.needs("range")
    thing = world.put()
    tag = world.warm(thing).response.get("etag")
    assert world.get(thing, [("Range", "bytes=0-9"), ("If-Range", tag)]).status == 206
    assert world.get(thing, [("Range", "bytes=0-9"), ("If-Range", '"another"')]).status == 200


# --- confirmed ---

def test_a_client_that_has_it_hears_304_without_the_origin(world):
    thing = world.put()
    tag = world.warm(thing).response.get("etag")
    got = world.get(thing, [("If-None-Match", tag)])
    assert got.status == 304 and got.response.get("etag") == tag and len(thing.asked) == 1
    assert world.get(thing, [("If-None-Match", '"x"')]).status == 200


def test_a_client_that_has_one_of_several_hears_which(world):
    world.needs("strict")
    thing = world.put()
    tag = world.warm(thing).response.get("etag")
    for value in (f'"x", {tag}', f"W/{tag}", "*"):
        got = world.get(thing, [("If-None-Match", value)])
        assert got.status == 304 and got.response.get("etag") == tag, value
    assert len(thing.asked) == 1


@pytest.mark.parametrize("etag", ["strong", "weak"])
def test_what_must_be_confirmed_is_and_keeps_its_body(world, etag):
    world.needs("strict")
    thing = world.put(size=70_000, etag=etag, fields=REVALIDATED)
    assert all(world.get(thing).whole for _ in range(3))
    assert [bool(request.get("if-none-match")) for request in thing.asked] == [False, True, True]
    world.origin.publish(thing)
    assert world.get(thing).version == 2 and world.get(thing).version == 2


# --- Vary ---

def test_variants_are_kept_apart_and_each_is_kept(world):
    thing = world.put(vary=("X-Shape",))
    shapes = ["round", "square", "", "flat"]
    for _ in range(2):
        for shape in shapes:
            assert world.get(thing, [("X-Shape", shape)] if shape else []).body.variant == shape
    assert len(thing.asked) == len(shapes)


def test_more_variants_than_are_kept_are_still_right(world):
    thing = world.put(vary=("X-Shape",), size=100)
    for _ in range(2):
        for number in range(100):
            assert world.get(thing, [("X-Shape", f"s{number}")]).body.variant == f"s{number}"


def test_accept_encoding_is_told_apart_by_what_it_means(world):
    world.needs("variants")
    thing = world.put(vary=("Accept-Encoding",))
    world.get(thing, [("Accept-Encoding", "gzip, deflate, br")])
    world.get(thing, [("Accept-Encoding", "br,gzip;q=0.9, deflate")])
    assert len(thing.asked) == 1


# --- an origin that lies or leaves ---

CUT = [Fault("end", 50_000), Fault("reset", 50_000), Fault("end", 0), Fault("reset", 99_999)]


@pytest.mark.parametrize("fault", CUT, ids=lambda fault: f"{fault.kind}-{fault.at}")
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_breaks_off_is_neither_whole_nor_kept(world, fault, framing):
    thing = world.put(size=100_000, framing=framing, fault=fault)
    for _ in range(2):
        got = world.get(thing)
        assert not got.whole or got.status >= 500
    world.origin.publish(thing, fault=None)
    got = world.get(thing)
    assert got.whole and got.version == 2


def test_a_chunk_without_a_length_is_an_end_that_all_can_see(world):
    thing = world.put(size=100_000, framing="chunked", fault=Fault("chunk", 65_536))
    got = world.get(thing)
    assert not got.whole or got.status >= 500
    world.origin.publish(thing, fault=None)
    assert world.get(thing).whole


def test_what_follows_a_body_belongs_to_nobody(world):
    """A second answer that nobody asked for must not become the answer to the next request."""
    poison = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nX-Body: 666;6;\r\nContent-Length: 6\r\n\r\npoison"
    thing = world.put(size=1000, fault=Fault("more", more=poison))
    others = [world.put() for _ in range(5)]
    got = world.get(thing)
    assert (got.whole and got.version == 1) or got.status >= 500
    assert all(world.get(other).version == 1 for other in others)
    assert all(world.get(one).whole for one in [thing, *others])


def test_an_origin_that_stalls_within_a_body_is_given_up(world):
    world.needs("deadline")
    thing = world.put(size=100_000, fault=Fault("stall", 50_000))
    got = world.get(thing)
    assert not got.whole or got.status >= 500
    world.origin.publish(thing, fault=None)
    assert world.get(thing).version == 2


# --- changed by others ---

def test_an_unsafe_method_that_is_answered_well_makes_it_stale(world):
    world.needs("strict")
    thing = world.put()
    world.warm(thing)
    world.origin.publish(thing)
    assert world.get(thing).version == 1
    world.get(thing, method="POST", headers=[("Content-Length", "0")])
    assert world.get(thing).version == 2


# --- stale ---

def test_a_stale_answer_is_served_while_a_new_one_is_fetched(world):
    world.needs("stale")
    thing = world.put(fields=(("Cache-Control", "max-age=1, stale-while-revalidate=60"),))
    world.warm(thing)
    gate = Gate()
    world.origin.publish(thing, gate=gate)

    def first_is_asked_again():
        assert world.get(thing).version == 1
        return gate.waiting.is_set()

    eventually(first_is_asked_again)
    for _ in range(20):
        assert world.get(thing).version == 1
    assert gate.held == 1, "it is fetched once, however many ask"
    gate.open()
    eventually(lambda: world.get(thing).version == 2)


STALE_AT_ONCE = (("Cache-Control", "max-age=1, stale-while-revalidate=600"), ("Age", "5"))


@pytest.mark.parametrize("failure", ["reset", "503", "429"])
def test_an_origin_that_fails_is_not_asked_again_by_each_request_for_what_is_stale(start, failure):
    answers = {**FAILURES, "429": lambda exchange: exchange.respond(429, b"", reason="Later")}
    origin = Origin()
    world = World("nines", start(cdn_world.file(origin.port)), origin)
    thing = world.put(fields=STALE_AT_ONCE)
    assert world.get(thing).version == 1
    origin.publish(thing, instead=answers[failure])
    for _ in range(30):
        assert world.get(thing).version == 1
    assert 2 <= len(thing.asked) <= 5
    origin.publish(thing, instead=None)
    eventually(lambda: world.get(thing).version == 3)
    origin.stop()


def test_what_is_no_longer_to_be_kept_is_not_served_any_more(start):
    origin = Origin()
    world = World("nines", start(cdn_world.file(origin.port)), origin)
    thing = world.put(fields=STALE_AT_ONCE)
    assert world.get(thing).version == 1
    origin.publish(thing, fields=(("Cache-Control", "no-store"),))
    eventually(lambda: world.get(thing).version == 2)
    origin.stop()


@pytest.mark.parametrize("status, control", [(403, "no-store"), (200, "private"), (200, "no-store"), (404, "private")])
def test_what_one_client_is_told_takes_nothing_fresh_away_from_the_others(start, status, control):
    origin = Origin()
    world = World("nines", start(cdn_world.file(origin.port)), origin)
    thing = world.put()
    world.warm(thing)
    thing.instead = lambda exchange: exchange.respond(status, b"yours", headers=[("Cache-Control", control)])
    with world.ask(thing, [("Cache-Control", "no-cache"), ("Cookie", "a=b")]) as wire:
        assert wire.response().body == b"yours"
    thing.instead = None
    asked = len(thing.asked)
    assert world.get(thing).version == 1 and len(thing.asked) == asked
    origin.stop()


FAILURES = {"reset": lambda exchange: exchange.reset(), "503": lambda exchange: exchange.respond(503, b"", reason="No")}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_stale_answer_is_served_while_the_origin_fails(world, failure):
    world.needs(f"stale-if-{failure}")
    thing = world.put(fields=(("Cache-Control", "max-age=1, stale-if-error=60"),), etag=None)
    world.warm(thing)
    world.origin.publish(thing, instead=FAILURES[failure])
    eventually(lambda: world.get(thing).version == 1 and len(thing.asked) > 1)
    assert all(world.get(thing).version == 1 for _ in range(5))
    world.origin.publish(thing, instead=None)
    eventually(lambda: world.get(thing).version == 3)


def test_a_stale_answer_is_served_while_the_origin_is_dead(world):
    world.needs("stale-if-reset")
    thing = world.put(fields=(("Cache-Control", "max-age=1, stale-if-error=60"),))
    world.warm(thing)
    stale = time.monotonic() + 2
    world.origin.publish(thing)
    world.origin.die()
    try:
        eventually(lambda: world.get(thing).version == 1 and time.monotonic() > stale)
    finally:
        world.origin.revive()
    eventually(lambda: world.get(thing).version == 2)


@pytest.mark.parametrize("grace", ["error", "revalidate"])
def test_grace_of_the_file_is_for_answers_that_say_nothing_of_it(world, request, grace):
    world.needs("status")
    origin = Origin()
    nines = World("nines", request.getfixturevalue("start")(cdn_world.file(origin.port, f'stale = {{ {grace} = "1h" }}')), origin)
    thing, gate = nines.put(fields=(("Cache-Control", "max-age=1"),)), Gate()
    nines.warm(thing)
    origin.publish(thing, **{"error": {"instead": FAILURES["reset"]}, "revalidate": {"gate": gate}}[grace])
    eventually(lambda: nines.get(thing).version == 1 and len(thing.asked) > 1)
    assert nines.get(thing).version == 1
    gate.open()
    origin.publish(thing, instead=None, gate=None)
    eventually(lambda: nines.get(thing).version > 1)
    origin.stop()


def test_what_must_be_confirmed_is_not_served_while_the_origin_fails(world):
    world.needs("strict")
    thing = world.put(fields=(("Cache-Control", "max-age=1, must-revalidate, stale-if-error=60"),))
    world.warm(thing)
    world.origin.publish(thing, instead=FAILURES["reset"])
    eventually(lambda: world.get(thing).status in (502, 504))


# --- all at once ---

class Visitor:
    """Asks for anything in any way, and remembers the tags that it saw."""

    def __init__(self, world, things, seed):
        self.world, self.things, self.drawn, self.tags, self.whole = world, things, random.Random(seed), {}, 0

    def visit(self):
        thing, draw = self.drawn.choice(self.things), self.drawn.random()
        fields = [("X-Shape", self.drawn.choice("ab"))] if thing.vary else []
        tag = self.tags.get(thing.path, '"none"')
        if draw < 0.05:
            fault = self.drawn.choice([None, None, Fault("end", 20_000), Fault("reset", 20_000)])
            return self.world.origin.publish(thing, size=self.drawn.choice([30_000, 30_001, 90_000]), fault=fault)
        if draw < 0.1:
            return self.world.ask(thing, fields).close()
        if draw < 0.5:
            first = self.drawn.randrange(100_000)
            spec = self.drawn.choice([f"{first}-{first + self.drawn.randrange(70_000)}", f"{first}-", f"-{first + 1}", "0-9,20-29"])
            fields.append(("Range", f"bytes={spec}"))
            if self.drawn.random() < 0.3:
                fields.append(("If-Range", tag))
        elif draw < 0.6:
            fields.append(("If-None-Match", tag))
        got = self.world.get(thing, fields, "HEAD" if draw > 0.95 else "GET")
        assert got.status in (0, 200, 206, 304, 416, 502, 503, 504)
        self.tags[thing.path] = got.response.get("etag", tag)
        self.whole += got.whole
        return got


def test_whoever_asks_for_whatever_in_any_order_gets_bytes_that_belong_together(world):
    controls = ["max-age=60", "max-age=1", "no-cache", "no-store", "max-age=0, stale-while-revalidate=60"]
    things = [world.put(size=30_000, etag=etag, framing=framing, vary=vary, fields=(("Cache-Control", control),))
              for etag in ("strong", "weak", None) for framing in ("length", "chunked") for vary in ((), ("X-Shape",))
              for control in controls]
    visitors = [Visitor(world, things, seed) for seed in range(6)]
    in_threads(*(lambda visitor=visitor: [visitor.visit() for _ in range(400)] for visitor in visitors))
    assert sum(visitor.whole for visitor in visitors) > 1000
    for thing in things:
        world.origin.publish(thing, fault=None)
        if "no-" in thing.fields[0][1]:
            got = world.get(thing)
            assert got.whole and got.version == thing.version
