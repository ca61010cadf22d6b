"""Routes that look into a JSON body: which one is taken, and that the body arrives as it was sent."""

import json
import threading

import pytest
from http2 import DATA, END_STREAM, Http2, frame
from wire import Wire, ask

PREFIX = 4096
RIGHT = b'{"order": {"kind": "express", "id": 7}}'


@pytest.fixture(scope="module")
def nines(start, backends):
    made = {name: backends(name) for name in ("express", "seven", "any", "both", "api")}
    pools = "".join(f'[pool.{name}]\nservers = ["{one.address}"]\n' for name, one in made.items())
    nines = start(pools + f"""
[edge.limit]
json_prefix = "{PREFIX}B"
[site.default]
tls = "self-signed"
[site.default.route]
"/api/" = [
    {{ when = {{ method = ["PUT"], json = {{ "order.kind" = "express", "order.id" = "7" }} }}, pool = "both" }},
    {{ when = {{ json = {{ "order.kind" = "express" }} }}, pool = "express" }},
    {{ when = {{ json = {{ "items.0.sku" = "7" }} }}, pool = "seven" }},
    {{ when = {{ json = {{ "special" = "*" }} }}, pool = "any" }},
    {{ pool = "api" }},
]
"/" = {{ pool = "api" }}
""", https=True)
    nines.backends = made
    return nines


def post(body, method="POST", path="/api/orders", kind="application/json", chunked=False):
    head = f"{method} {path} HTTP/1.1\r\nHost: shop.test\r\n" + (f"Content-Type: {kind}\r\n" if kind else "")
    if chunked:
        return (head + "Transfer-Encoding: chunked\r\n\r\n").encode() + b"".join(
            b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    return (head + f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def arrived(response):
    """Which backend answered, and the body that it got."""
    assert response.status == 200, response
    seen = json.loads(response.body)
    return seen["backend"], seen["body"].encode("latin-1")


@pytest.mark.parametrize("body, backend", [
    (RIGHT, "express"), (b'{"order":{"kind":"normal"}}', "api"), (b'{"kind":"express"}', "api"),
    (b'{"order":{"kind":["express"]}}', "api"), (b'[{"order":{"kind":"express"}}]', "api"),
    (b'{"order.kind":"express"}', "api"), (b'{"order":{"id":7,"more":{"kind":"other"},"kind":"express"}}', "express"),
    (b'{"more":{"order":{"kind":"express"}}}', "api"), (b' \r\n\t{ "order" : { "kind" : "express" } }', "express"),
    (b'{"order":{"kind":"\\u0065xpres\\u0073"}}', "express"), (b'{"\\u006frder":{"kind":"express"}}', "express"),
    (b'{"order":{"kind":"Express"}}', "api"), (b'{"items":[{"sku":7},{"sku":8}]}', "seven"),
    (b'{"items":[{"sku":"7"}]}', "seven"), (b'{"items":[{"sku":8},{"sku":7}]}', "api"), (b'{"special":true}', "any"),
    (b'{"special":""}', "any"), (b'{"special":{"a":1}}', "any"), (b"{}", "api"), (b"", "api"), (b"null", "api"),
    (b'"express"', "api"),
])
def test_a_field_of_the_body_chooses_the_route(nines, body, backend):
    assert arrived(ask(nines.port, post(body))) == (backend, body)
    assert arrived(ask(nines.port, post(body, chunked=True))) == (backend, body)


def test_several_conditions_hold_together(nines):
    assert arrived(ask(nines.port, post(RIGHT, "PUT")))[0] == "both"
    assert arrived(ask(nines.port, post(b'{"order":{"kind":"express","id":8}}', "PUT")))[0] == "express"


@pytest.mark.parametrize("body", [
    b'{"order":{"kind":"express","kind":"normal"}}', b'{"order":{"kind":"normal","kind":"express"}}',
    b'{"order":{"kind":"express"},"order":{"kind":"normal"}}', b'{"order":{"kind":"express"',
    b'{"order":{"kind":express}}',
    b"{'order':{'kind':'express'}}", b'{"order":{"kind":"express"},}', b'{"order":{"kind":"expr\xff"}}', b"[" * 2000,
    b'{"order":{"kind":"express"}/**/}', b'\xef\xbb\xbf{"order":{"kind":"express"}}', b'{"order":{"kind":"exp\nress"}}',
], ids=range(12))
def test_a_body_that_two_parsers_read_differently_is_not_routed_by_it(nines, body):
    response = ask(nines.port, post(body))
    assert arrived(response) == ("api", body)


@pytest.mark.parametrize("kind", [
    "application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded", None])
def test_the_body_itself_tells_whether_it_is_json(nines, kind):
    """As `curl -d` sends it, for one."""
    assert arrived(ask(nines.port, post(RIGHT, kind=kind))) == ("express", RIGHT)
    assert arrived(ask(nines.port, post(b"kind=express", kind=kind))) == ("api", b"kind=express")


def test_a_field_behind_the_prefix_is_not_seen(nines):
    near = b'{"pad":"%s",' % (b"x" * (PREFIX - 200)) + RIGHT[1:]
    far = b'{"pad":"%s",' % (b"x" * PREFIX) + RIGHT[1:]
    assert arrived(ask(nines.port, post(near))) == ("express", near)
    assert arrived(ask(nines.port, post(far))) == ("api", far)


def test_a_large_body_goes_through_whole(nines):
    """The prefix is held back until the route is known, the rest is not."""
    body = RIGHT[:-1] + b',"pad":"' + b"y" * 5_000_000 + b'"}'
    backend, got = arrived(ask(nines.port, post(body), timeout=30))
    assert backend == "express" and got == body


def test_a_decision_does_not_wait_for_what_it_does_not_need(nines):
    """The field is there: the request goes on, though the body has not ended."""
    seen = threading.Event()

    def handler(exchange):
        seen.set()
        exchange.respond(200, json.dumps({"backend": "express", "body": exchange.read_body().decode()}).encode())

    nines.backends["express"].on("/api/slow", handler)
    body = b'{"order":{"kind":"express"},"pad":"' + b"x" * 2 * PREFIX + b'"}'
    request = post(body, path="/api/slow")
    with Wire(nines.port) as wire:
        wire.send(request[:-100])
        assert seen.wait(5)
        wire.send(request[-100:])
        assert arrived(wire.response()) == ("express", body)


def test_a_path_without_such_routes_looks_at_nothing(nines):
    assert arrived(ask(nines.port, post(RIGHT, path="/other"))) == ("api", RIGHT)
    assert arrived(ask(nines.port, "GET /api/orders HTTP/1.1\r\nHost: shop.test\r\n\r\n")) == ("api", b"")


@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "tls"])
def test_over_http_2_as_well(nines, tls):
    with Http2(nines.https if tls else nines.port, tls=tls) as h2:
        stream = h2.open("/api/orders", "POST", [("content-type", "application/json")], end=False)
        h2.send(*(frame(DATA, 0, stream, RIGHT[at:at + 7]) for at in range(0, len(RIGHT), 7)),
                frame(DATA, END_STREAM, stream))
        assert arrived(h2.response(stream)) == ("express", RIGHT)


def test_a_client_that_waits_for_continue_is_told_to_go_on(nines):
    with Wire(nines.port) as wire:
        wire.send(post(RIGHT).replace(b"Host:", b"Expect: 100-continue\r\nHost:").removesuffix(RIGHT))
        assert wire.head().status == 100
        wire.send(RIGHT)
        assert arrived(wire.response()) == ("express", RIGHT)


@pytest.mark.parametrize("terms, status", [
    ('deny = ["127.0.0.0/8"]', 403), ('limit = { requests_per_client = "1/h", burst = 1 }', 429)])
def test_a_client_that_is_refused_is_not_asked_for_its_body(start, shared_backend, terms, status):
    nines = start(f"""
[pool.p]
servers = ["{shared_backend.address}"]
[site.default]
{terms}
[site.default.route]
"/" = [{{ when = {{ json = {{ "a" = "b" }} }}, pool = "p" }}, {{ pool = "p" }}]
""")
    if status == 429:
        ask(nines.port, post(RIGHT, path="/"))
    head = post(RIGHT, path="/").removesuffix(RIGHT)
    for waits in (b"", b"Expect: 100-continue\r\n"):
        with Wire(nines.port) as wire:
            wire.send(head.replace(b"Host:", waits + b"Host:"))
            response = wire.response()
            assert (response.status, response.interim) == (status, [])
    with Http2(nines.port) as h2:
        stream = h2.open("/", "POST", [("expect", "100-continue")], end=False)
        assert h2.response(stream).status == status


def test_pipelined_bodies_are_routed_each_by_its_own(nines):
    other = b'{"special":1}'
    with Wire(nines.port) as wire:
        wire.send(post(RIGHT) + post(other) + post(RIGHT) + post(b"{}"))
        assert [arrived(wire.response())[0] for _ in range(4)] == ["express", "any", "express", "api"]


def test_bodies_that_stop_are_not_waited_for_for_ever(start, shared_backend):
    nines = start(f"""
[edge.timeout]
body_idle = "500ms"
[pool.p]
servers = ["{shared_backend.address}"]
[site.default.route]
"/" = [{{ when = {{ json = {{ "a" = "b" }} }}, pool = "p" }}, {{ pool = "p" }}]
""")
    with Wire(nines.port) as wire:
        wire.send(post(RIGHT, path="/")[:-10])
        assert wire.response().status == 408


def test_explain_is_told_what_is_in_the_body(nines):
    """The routes are listed with their conditions: nobody has to guess where a body would go."""
    import subprocess
    done = subprocess.run([nines.binary, "explain", "http://shop.test/api/orders", "--file", nines.file], text=True,
                          capture_output=True, timeout=20, check=False)
    assert "order.kind" in done.stdout
