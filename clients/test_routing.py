"""Sites and routes: which one is chosen, and what it does."""

import json

import pytest
from wire import Wire, ask, get


@pytest.fixture(scope="module")
def routed(start, backends):
    """A file with a site of every kind; pools are named after their one backend."""
    names = ["shop", "api", "wild", "deep", "fallback", "orders", "beta", "german", "preview"]
    made = {name: backends(name) for name in names}
    pools = "".join(f'[pool.{name}]\nservers = ["{backend.address}"]\n' for name, backend in made.items())
    nines = start(pools + """
[site."shop.test"]
hide_headers = ["server", "x-powered-by"]
[site."shop.test".route]
"/"          = [{ when = { cookie = { beta = "1" } }, pool = "beta" },
                { when = { header = { accept-language = "de" } }, pool = "german" },
                { when = { query = { preview = "*" } }, pool = "preview" },
                { pool = "shop" }]
"/orders"    = [{ when = { method = ["POST", "PUT"] }, pool = "orders" }, { pool = "shop" }]
"/api/"      = { pool = "api", rewrite = { prefix = "/" } }
"/api/v2/"   = { pool = "api", rewrite = { prefix = "/two/" } }
"/pinned/"   = { pool = "api", rewrite = { path = "/always/this" } }
"/old/"      = { redirect = "https://{host}{path}{query}" }
"/moved"     = { redirect = { to = "/new", status = 302 } }
"/teapot"    = { respond = { status = 418, body = "short and stout", content_type = "text/x-teapot" } }
"/ok"        = { respond = { body = "ok" } }

[site."shop.test".route."/edited"]
pool             = "shop"
request_headers  = { set = { x-added = "yes", x-replaced = "new" }, remove = ["x-removed"] }
response_headers = { set = { x-frame-options = "DENY", x-replaced = "new" }, remove = ["x-removed"] }

[site."*.wild.test".route]
"/" = { pool = "wild" }

[site."deep.wild.test".route]
"/" = { pool = "deep" }

[site.default.route]
"/" = { pool = "fallback" }

[site."empty.test".route]
"/only/" = { pool = "shop" }
""")
    nines.backends = made
    return nines


def arrived(response):
    """Which backend answered, and the target that it saw."""
    assert response.status == 200, response
    seen = json.loads(response.body)
    return seen["backend"], seen["target"]


@pytest.mark.parametrize("host, backend", [
    ("shop.test", "shop"), ("SHOP.test", "shop"), ("shop.test:8080", "shop"), ("a.wild.test", "wild"),
    ("deep.wild.test", "deep"), ("wild.test", "fallback"), ("other.test", "fallback"), ("127.0.0.1", "fallback"),
    ("[::1]:80", "fallback"),
])
def test_the_host_chooses_the_site(routed, host, backend):
    assert arrived(get(routed.port, host=host)) == (backend, "/")


def test_an_absolute_target_chooses_the_site_as_well(routed):
    assert arrived(ask(routed.port, "GET http://shop.test/x HTTP/1.1\r\nHost: shop.test\r\n\r\n")) == ("shop", "/x")


@pytest.mark.parametrize("path, expected", [
    ("/", ("shop", "/")), ("/anything/else?x=1", ("shop", "/anything/else?x=1")),
    ("/api/users?page=2", ("api", "/users?page=2")), ("/api/v2/users", ("api", "/two/users")),
    ("/pinned/a/b?q=1", ("api", "/always/this?q=1")), ("/apix", ("shop", "/apix")),
    ("/orders/7", ("shop", "/orders/7")),
])
def test_the_longest_path_wins_and_rewrites(routed, path, expected):
    assert arrived(get(routed.port, path)) == expected


@pytest.mark.parametrize("path", ["/x/../api/users", "/%61pi/users", "/./api/users", "/x/%2e%2e/api/users"])
def test_a_path_in_disguise_is_routed_as_what_it_means(routed, path):
    assert arrived(get(routed.port, path))[0] == "api"


def test_the_method_chooses_a_route(routed):
    assert arrived(get(routed.port, "/orders"))[0] == "shop"
    post = "POST /orders HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nhi"
    assert arrived(ask(routed.port, post))[0] == "orders"


@pytest.mark.parametrize("headers, path, backend", [
    ([("Cookie", "a=b; beta=1")], "/", "beta"), ([("Cookie", "beta=2")], "/", "shop"),
    ([("Cookie", "notbeta=1")], "/", "shop"), ([("Accept-Language", "de")], "/", "german"),
    ([("Accept-Language", "fr")], "/", "shop"), ([], "/?preview=", "preview"), ([], "/?a=1&preview=x", "preview"),
    ([], "/?%70review=1", "preview"), ([], "/?nopreview=1", "shop"),
    ([("Cookie", "beta=1"), ("Accept-Language", "de")], "/", "beta"),
])
def test_headers_cookies_and_queries_choose_a_route(routed, headers, path, backend):
    assert arrived(get(routed.port, path, headers=headers))[0] == backend


def test_headers_of_the_request_are_edited(routed):
    response = get(routed.port, "/edited", headers=[("X-Replaced", "old"), ("X-Removed", "1"), ("X-Kept", "1")])
    seen = json.loads(response.body)["headers"]
    assert ["x-added", "yes"] in seen and ["x-kept", "1"] in seen
    assert [value for name, value in seen if name == "x-replaced"] == ["new"]
    assert "x-removed" not in dict(seen)


def test_headers_of_the_response_are_edited(routed):
    routed.backends["shop"].on("/edited", lambda exchange: exchange.respond(200, b"", [
        ("X-Replaced", "old"), ("X-Removed", "1"), ("X-Kept", "1")]))
    response = get(routed.port, "/edited")
    assert response.all("x-frame-options") == ["DENY"] and response.all("x-replaced") == ["new"]
    assert response.get("x-removed") is None and response.get("x-kept") == "1"


def test_a_redirect_keeps_host_path_and_query(routed):
    response = get(routed.port, "/old/page?x=1", host="shop.test:8080")
    assert (response.status, response.get("location")) == (308, "https://shop.test/old/page?x=1")


def test_a_redirect_with_its_own_status(routed):
    response = get(routed.port, "/moved")
    assert (response.status, response.get("location")) == (302, "/new")


def test_a_fixed_response_and_its_head(routed):
    response = get(routed.port, "/teapot")
    assert (response.status, response.body, response.get("content-type")) == (418, b"short and stout", "text/x-teapot")
    head = get(routed.port, "/teapot", method="HEAD")
    assert (head.status, head.get("content-length"), head.body) == (418, "15", b"")


def test_a_fixed_response_takes_a_body_and_keeps_the_connection(routed):
    with Wire(routed.port) as wire:
        for _ in range(3):
            wire.send("POST /ok HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello")
            assert wire.response().body == b"ok"


def test_a_path_without_a_route_is_not_found(routed):
    assert get(routed.port, "/elsewhere", host="empty.test").status == 404


def test_a_host_without_a_site_is_misdirected(start, shared_backend):
    alone = start(f'[pool.p]\nservers = ["{shared_backend.address}"]\n'
                  '[site."only.test".route]\n"/" = { pool = "p" }\n')
    assert get(alone.port, host="only.test").status == 200
    assert get(alone.port, host="other.test").status == 421


def test_identifying_headers_are_hidden(start, backends):
    telling = backends()
    telling.on("/", lambda exchange: exchange.respond(200, b"x", [
        ("Server", "ancient/1.0"), ("X-Powered-By", "hamsters"), ("X-Other", "1")]))
    nines = start(f'[pool.p]\nservers = ["{telling.address}"]\n'
                  '[site.default]\nhide_headers = ["server", "x-powered-by"]\n'
                  '[site.default.route]\n"/" = { pool = "p" }\n')
    response = get(nines.port)
    assert response.get("server") is None and response.get("x-powered-by") is None and response.get("x-other") == "1"


def test_explain_names_the_same_route(routed, binary):
    import subprocess
    done = subprocess.run([binary, "explain", "http://shop.test/api/v2/users", "--file", routed.file, "--json"],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert "/api/v2/" in done.stdout and "api" in done.stdout
