"""What `docs/coming-from/varnish.md` says, tried: its file before an origin that counts, and its differences one by one."""

import re
from pathlib import Path

import pytest
from cdn_origin import Origin, Thing
from cdn_world import World

PAGE = Path(__file__).parent.parent / "docs" / "coming-from" / "varnish.md"
OWN_TIME = (("Cache-Control", "max-age=60"),)


@pytest.fixture(scope="module")
def shop(start):
    """The page's own file, at addresses of this test."""
    origin = Origin()
    origin.put("/healthz")
    text = re.search(r'```toml title="nines.toml"\n(.*?)```', PAGE.read_text(), re.S)[1]
    changes = [('"10.0.0.1:3000", "10.0.0.2:3000"', f'"127.0.0.1:{origin.port}"'), ('"10.0.0.0/8"', '"127.0.0.1/32"'),
               ('[edge]\nhttp = ["0.0.0.0:80"]\n', "")]
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    yield World("nines", start(text), origin)
    origin.stop()
    assert origin.failures == []


def asked(thing):
    return len(thing.asked)


# --- the file ---

def test_parameters_that_only_follow_people_are_no_part_of_the_key(shop):
    thing = shop.put(path="/list?a=1&b=2", fields=OWN_TIME)
    shop.get(thing)
    for query in ("?b=2&a=1", "?gclid=7&b=2&utm_source=x&a=1"):
        with shop.ask(Thing("/list" + query)) as wire:
            assert wire.response().status == 200
    assert asked(thing) == 1, "and the origin gets what is left"


def test_a_page_of_one_client_passes(shop):
    thing = shop.put(path="/account/orders", fields=OWN_TIME)
    shop.get(thing)
    assert shop.get(thing).response.get("cache-status") is None
    assert asked(thing) == 2


def test_what_the_origin_says_nothing_of_is_kept_for_two_minutes(shop):
    thing = shop.put(fields=(("X-Powered-By", "PHP"),), etag=None)
    got = shop.get(thing)
    assert int(shop.status(got)["ttl"]) == 120
    assert got.response.get("x-powered-by") is None
    shop.get(thing)
    assert asked(thing) == 1


def test_a_missing_page_is_missing_for_ten_seconds(shop):
    thing = shop.put(status=404, fields=(), etag=None)
    assert int(shop.status(shop.get(thing))["ttl"]) == 10


def test_images_are_kept_for_an_hour_and_without_cookies(shop):
    fields = (("Cache-Control", "max-age=5"), ("Set-Cookie", "a=b"))
    thing = shop.put(path="/img/1.png", fields=fields)
    got = shop.get(thing, [("Cookie", "session=1")])
    assert int(shop.status(got)["ttl"]) == 3600 and got.response.get("set-cookie") is None
    shop.get(thing, [("Cookie", "session=2")])
    assert asked(thing) == 1 and thing.asked[0].get("cookie") is None


def test_stale_stands_in_while_it_is_asked_for_anew_and_while_the_origin_is_gone(shop):
    def old(by):
        return (("Cache-Control", "max-age=60"), ("Age", str(60 + by)))
    short, long = shop.put(fields=old(2)), shop.put(fields=old(3600))
    for thing in (short, long):
        shop.get(thing)
    shop.origin.publish(short)
    assert shop.get(short).version == 1, "served at once, asked for beside it"
    shop.origin.die()
    try:
        assert shop.get(long).version == 1
    finally:
        shop.origin.revive()


def test_who_is_in_the_list_purges(shop):
    thing = shop.put()
    shop.warm(thing)
    shop.origin.publish(thing)
    assert shop.purge_url(thing, source="127.0.0.9") == 403
    assert shop.get(thing).version == 1
    assert shop.purge_url(thing) == 200
    assert shop.get(thing).version == 2


def test_a_soft_purge_leaves_what_the_origin_may_confirm(shop):
    thing = shop.put(fields=(("Cache-Control", "max-age=60, stale-while-revalidate=0"),))
    shop.warm(thing)
    with shop.ask(thing, [("X-Purge", "soft")], method="PURGE") as wire:
        assert wire.response().status == 200
    before = asked(thing)
    got = shop.get(thing)
    assert asked(thing) == before + 1 and thing.asked[-1].get("if-none-match") == got.response.get("etag")


# --- different on purpose ---

def test_a_request_with_a_cookie_is_looked_up(shop):
    kept, own = shop.put(), shop.put(vary=("Cookie",))
    for thing in (kept, own):
        for cookie in ("a=1", "a=2"):
            shop.get(thing, [("Cookie", cookie)])
    assert (asked(kept), asked(own)) == (1, 2)
    for word in ("private", "no-store"):
        thing = shop.put(fields=(("Cache-Control", word),))
        shop.get(thing)
        shop.get(thing)
        assert asked(thing) == 2, word


def test_a_request_with_authorization_is_shared_where_the_response_says_so(shop):
    for control, count in (("max-age=60", 2), ("public, max-age=60", 1), ("s-maxage=60", 1)):
        thing = shop.put(fields=(("Cache-Control", control),))
        for user in ("Basic YTph", "Basic Yjpi"):
            shop.get(thing, [("Authorization", user)])
        assert asked(thing) == count, control


def test_nothing_is_kept_that_nobody_wanted_kept(world):
    thing = world.put(fields=())
    world.get(thing)
    world.get(thing)
    assert len(thing.asked) == 2
    dated = (("Date", "Tue, 11 Jan 2022 00:00:00 GMT"), ("Last-Modified", "Sat, 01 Jan 2022 00:00:00 GMT"))
    guessed = world.put(fields=dated)
    assert int(world.status(world.get(guessed))["ttl"]) < 86_400
    fresh = [world.put(fields=(("Last-Modified", "Sat, 01 Jan 2022 00:00:00 GMT"),)) for _ in range(2)]
    assert [int(world.status(world.get(thing))["ttl"]) for thing in fresh] == [86_400, 86_400], "a tenth, and a day at most"


def test_a_cookie_that_is_set_does_not_stop_a_response_that_says_how_long(shop):
    thing = shop.put(fields=(*OWN_TIME, ("Set-Cookie", "a=b")))
    shop.get(thing)
    assert shop.get(thing).response.get("set-cookie") == "a=b"
    assert asked(thing) == 1
    silent = shop.put(fields=(("Set-Cookie", "a=b"),), etag=None)
    shop.get(silent)
    shop.get(silent)
    assert asked(silent) == 2


def test_a_client_may_demand_the_origin(shop):
    thing = shop.put()
    shop.warm(thing)
    before = asked(thing)
    shop.get(thing, [("Cache-Control", "no-cache")])
    assert asked(thing) == before + 1


def test_two_hosts_are_two_keys(shop):
    thing = shop.put()
    for host in ("one.test", "two.test"):
        shop.get(thing, host=host)
    assert asked(thing) == 2


def test_a_post_makes_its_url_invalid(shop):
    thing = shop.put()
    shop.warm(thing)
    before = asked(thing)
    with shop.ask(thing, [("Content-Length", "0")], method="POST") as wire:
        assert wire.response("POST").status == 200
    shop.get(thing)
    assert asked(thing) == before + 2


def test_head_goes_as_head_only_where_what_is_kept_has_to_be_confirmed(shop):
    for control, expected in (("no-cache", "HEAD"), ("max-age=60", None)):
        thing = shop.put(fields=(("Cache-Control", control),))
        for _ in range(2):
            with shop.ask(thing, method="HEAD") as wire:
                assert wire.response("HEAD").status == 200
        assert [request.method for request in thing.asked] == ["GET", *filter(None, [expected])]


def test_hit_for_miss_lasts_until_something_can_be_kept(shop):
    thing = shop.put(fields=(("Cache-Control", "no-store"),))
    shop.get(thing)
    shop.get(thing)
    assert asked(thing) == 2
    shop.origin.publish(thing, fields=OWN_TIME)
    for _ in range(3):
        shop.get(thing)
    assert asked(thing) <= 4, "it is kept again"
