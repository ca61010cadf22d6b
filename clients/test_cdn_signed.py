"""Signed URLs and cookies, and what clients keep: `docs/cdn.md`, tried."""

import re
import subprocess
from pathlib import Path

import httpx
import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "cdn.md").read_text()
SECRET = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4


def example():
    """The page's own program."""
    found = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "nines-signed-1" in block]
    assert len(found) == 1
    names = {}
    exec(found[0], names)
    return names["sign"]


sign_as_the_page_does = example()


@pytest.fixture(scope="module")
def shop(start, backends, tmp_path_factory):
    """Everything that a route serves by, each below a path that is signed."""
    backend = backends()
    folder = tmp_path_factory.mktemp("shop")
    for name, secret in (("one", SECRET), ("two", OTHER)):
        (folder / name).write_text(secret + "\n")
    (folder / "files").mkdir()
    (folder / "files" / "film.ts").write_text("film")
    one, two = (f'{{ file = "{folder / name}" }}' for name in ("one", "two"))
    keys = f"keys = {{ k1 = {one}, k2 = {two} }}"
    nines = start(f"""
[pool.all]
servers = ["{backend.address}"]
[cdn]
purge = ["127.0.0.1/32"]
[push.assets]
from = "{folder / 'files'}"
[site.default]
tls = "self-signed"
[site.default.route]
"/open/" = {{ pool = "all" }}
"/pool/" = {{ pool = "all", signed = {{ {keys} }} }}
"/cache/" = {{ pool = "all", cache = {{ ttl = "1h", client_ttl = "5m" }}, signed = {{ {keys} }} }}
"/files/" = {{ files = "{folder / 'files'}", signed = {{ {keys} }} }}
"/push/" = {{ push = "assets", signed = {{ {keys}, cookie = "media" }} }}
"/out" = {{ pool = "all", clear_site_data = ["cache", "*"], response_headers = {{ set = {{ "cache-control" = "no-store" }} }} }}
"/said/" = {{ pool = "all", cache = "cdn", response_headers = {{ set = {{ "cache-control" = "private, max-age=7" }} }} }}
""", edge=f'access_log = "{folder}/access"', https=True)
    nines.backend, nines.access = backend, folder / "access"
    yield nines
    assert backend.failures == []


def sign(nines, path, *more, scheme="http"):
    """`nines sign` of a URL of the node's."""
    url = nines.url(path) if scheme == "http" else nines.https_url(path)
    done = subprocess.run([nines.binary, "sign", url, "--file", nines.file, "--key", "k1", *more], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.strip()


def get(url, **more):
    return httpx.get(url, verify=False, timeout=20, **more)


def answered(nines, **fields):
    """Has the backend answer everything with these fields."""
    nines.backend.forget()

    def answer(exchange):
        exchange.read_body()
        exchange.respond(200, b"made", headers=list(fields.items()))
    return answer


PLACES = ["/pool/film.ts", "/cache/film.ts", "/files/film.ts", "/push/film.ts"]


@pytest.mark.parametrize("path", PLACES)
def test_whoever_shows_a_signature_comes_in_whatever_serves(shop, path):
    refused = get(shop.url(path))
    assert refused.status_code == 403 and "there is no signature" in refused.text
    assert get(sign(shop, path)).status_code == 200
    cookie = sign(shop, path.replace("film.ts", ""), "--prefix", "--cookie")
    assert get(shop.url(path), headers={"Cookie": cookie}).status_code == 200
    assert get(shop.url("/open/x"), headers={"Cookie": cookie}).status_code == 200


def test_over_http2_it_is_the_same(shop):
    with httpx.Client(http2=True, verify=False) as client:
        assert client.get(shop.https_url("/files/film.ts")).status_code == 403
        answer = client.get(sign(shop, "/files/film.ts", scheme="https"))
        assert (answer.status_code, answer.text, answer.http_version) == (200, "film", "HTTP/2")
        cookie = sign(shop, "/files/", "--prefix", "--cookie", scheme="https")
        assert "; Secure;" in cookie and "; Path=/files/;" in cookie and "; Max-Age=3600" in cookie
        value = cookie.split(";")[0]
        assert client.get(shop.https_url("/files/film.ts"), headers={"Cookie": f"a=b; {value}"}).status_code == 200


def test_the_program_of_the_page_signs_as_nines_does(shop):
    host = "127.0.0.1"
    token = sign_as_the_page_does(SECRET, "k1", host, "/files/film.ts", 60)
    assert get(shop.url("/files/film.ts?" + token)).status_code == 200
    token = sign_as_the_page_does(OTHER, "k2", host, "/files/", 60, below=True)
    assert get(shop.url("/files/film.ts?" + token)).status_code == 200
    assert get(shop.url("/files/film.ts"), headers={"Cookie": f"nines-signed={token}"}).status_code == 200
    token = sign_as_the_page_does(SECRET, "k1", host, "/pool/a?b=c&d", 60)
    assert get(shop.url("/pool/a?b=c&d&" + token)).status_code == 200


@pytest.mark.parametrize("change, cause", [
    (lambda url: url.replace("film.ts", "film2.ts"), "the signature is not of this URL"),
    (lambda url: url + "&more", "the signature is not of this URL"),
    (lambda url: url.replace("key=k1", "key=k2"), "the signature is not of this URL"),
    (lambda url: url.replace("key=k1", "key=k3"), "the signature is by a key that is not known"),
    (lambda url: url.replace("&nines-key=k1", ""), "the signature's parameters are malformed"),
    (lambda url: re.sub("expires=[0-9]+", "expires=4102444800", url), "the signature is not of this URL"),
], ids=range(6))
def test_what_was_not_signed_is_refused_with_its_cause(shop, change, cause):
    url = change(sign(shop, "/files/film.ts"))
    answer = get(url, headers={"Accept": "application/problem+json"})
    assert answer.status_code == 403 and answer.json()["detail"] == cause
    said = subprocess.run([shop.binary, "explain", url, "--file", shop.file], check=True, capture_output=True, text=True)
    assert f"refuse with 403 Forbidden: {cause}" in said.stdout


def test_it_ends(shop):
    token = sign_as_the_page_does(SECRET, "k1", "127.0.0.1", "/files/film.ts", 0)
    answer = get(shop.url("/files/film.ts?" + token))
    assert answer.status_code == 403 and "the signature has expired" in answer.text


def test_it_may_be_for_a_network(shop):
    assert get(sign(shop, "/files/film.ts", "--client", "127.0.0.0/8")).status_code == 200
    answer = get(sign(shop, "/files/film.ts", "--client", "192.0.2.0/24"))
    assert answer.status_code == 403 and "clients of another network" in answer.text


def test_a_folder_is_not_its_neighbours(shop):
    cookie = sign(shop, "/pool/a/x", "--prefix", "--cookie").split(";")[0]
    for path, status in (("/pool/a/", 200), ("/pool/a/b/c?d", 200), ("/pool/ab", 403), ("/pool/a/../b", 403), ("/pool/a/%2e%2e/b", 403)):
        url = shop.url(path)
        done = subprocess.run(["curl", "-s", "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", "-b", cookie, url],
                              check=True, capture_output=True, text=True)
        assert done.stdout == str(status), path


def test_nothing_of_it_goes_on(shop):
    shop.backend.forget()
    url = sign(shop, "/pool/a?b=c")
    cookie = sign(shop, "/pool/", "--prefix", "--cookie").split(";")[0]
    assert get(url, headers={"Cookie": f"x=1; {cookie}; y=2"}).status_code == 200
    assert get(shop.url("/pool/a"), headers={"Cookie": cookie}).status_code == 200
    first, second = shop.backend.requests[-2:]
    assert first.target == "/pool/a?b=c" and first.get("cookie").replace(" ", "") == "x=1;y=2"
    assert second.target == "/pool/a" and second.get("cookie") is None
    shop.stop()
    shop.begin()
    log = shop.access.read_text()
    assert "/pool/a" in log and "nines-signature" not in log and "there is no signature" in log


def test_the_cache_keeps_one_for_all_who_may(shop):
    shop.backend.handlers["/cache/one"] = answered(shop, **{"Cache-Control": "max-age=60"})
    before = len(shop.backend.requests)
    cookie = sign(shop, "/cache/", "--prefix", "--cookie").split(";")[0]
    for url, headers in ((sign(shop, "/cache/one?a=b"), {}), (sign(shop, "/cache/one?a=b", "--expires", "2h"), {}),
                         (shop.url("/cache/one?a=b"), {"Cookie": cookie})):
        assert get(url, headers=headers).text == "made"
    assert len(shop.backend.requests) == before + 1
    assert get(shop.url("/cache/one?a=b")).status_code == 403, "though it is kept"
    said = subprocess.run([shop.binary, "explain", "--cache", sign(shop, "/cache/one?a=b"), "--file", shop.file], check=True,
                          capture_output=True, text=True)
    assert "hit" in said.stdout and "nines-signature" not in said.stdout.partition("\n")[2], said.stdout
    purged = httpx.request("PURGE", sign(shop, "/cache/one?a=b"))
    assert purged.status_code == 200
    get(sign(shop, "/cache/one?a=b"))
    assert len(shop.backend.requests) == before + 2


def test_refusals_are_counted(shop):
    before = shop.metric("nines_edge_unsigned_total", site="default")
    get(shop.url("/files/film.ts"))
    assert shop.metric("nines_edge_unsigned_total", site="default") == before + 1


def test_what_cannot_be_signed_is_said(shop):
    for path, words in (("/open/", "asks for no signature"), ("/files/", "say which (k1, k2)")):
        done = subprocess.run([shop.binary, "sign", shop.url(path), "--file", shop.file], capture_output=True, text=True)
        assert done.returncode == 1 and words in done.stderr, done.stderr


# --- what clients keep ---

def told(answer):
    """`Cache-Control`, by its directives."""
    return dict((part.strip().partition("=")[::2]) for part in answer.headers["cache-control"].split(","))


def test_clients_are_told_another_time_than_the_cache(shop):
    fields = {"Cache-Control": "public, s-maxage=9, max-age=3", "Expires": "0", "ETag": '"e"', "Age": "40"}
    shop.backend.handlers["/cache/two"] = answered(shop, **fields)
    url = sign(shop, "/cache/two")
    for nth in range(2):
        answer = get(url)
        age = int(answer.headers["age"])
        assert age >= 40 and told(answer) == {"public": "", "max-age": str(age + 300)}, nth
        assert "expires" not in answer.headers
        assert ("; hit" in answer.headers["cache-status"]) == bool(nth)
    answer = get(url, headers={"If-None-Match": '"e"'})
    assert answer.status_code == 304 and int(told(answer)["max-age"]) == int(answer.headers["age"]) + 300


@pytest.mark.parametrize("control", ["no-cache, max-age=3", "private, no-store"])
def test_what_is_asked_for_each_time_stays_so(shop, control):
    path = f"/cache/{abs(hash(control))}"
    shop.backend.handlers[path] = answered(shop, **{"Cache-Control": control, "ETag": '"e"'})
    assert get(sign(shop, path)).headers["cache-control"] == control


def test_the_route_s_own_words_are_on_hits_and_confirmations_too(shop):
    shop.backend.handlers["/said/a"] = answered(shop, **{"Cache-Control": "max-age=60", "ETag": '"e"'})
    for _ in range(2):
        answer = get(shop.url("/said/a"))
        assert answer.headers.get_list("cache-control") == ["private, max-age=7"]
    assert "; hit" in answer.headers["cache-status"]
    answer = get(shop.url("/said/a"), headers={"If-None-Match": '"e"'})
    assert (answer.status_code, answer.headers["cache-control"]) == (304, "private, max-age=7")


def test_browsers_are_told_to_forget(shop):
    shop.backend.handlers["/out"] = answered(shop, **{"Clear-Site-Data": '"storage"'})
    answer = get(shop.https_url("/out"))
    assert answer.headers.get_list("clear-site-data") == ['"cache", "*"']
    assert answer.headers["cache-control"] == "no-store"


def test_a_key_can_take_the_place_of_another(start, tmp_path):
    (tmp_path / "one").write_text(SECRET)
    (tmp_path / "two").write_text(OTHER)
    def file(*names):
        keys = ", ".join(f'{name} = {{ file = "{tmp_path / secret}" }}' for name, secret in names)
        return f'[site.default.route]\n"/" = {{ respond = {{}}, signed = {{ keys = {{ {keys} }} }} }}\n'
    nines = start(file(("k1", "one")))
    old = sign_as_the_page_does(SECRET, "k1", "127.0.0.1", "/", 60)
    new = sign_as_the_page_does(OTHER, "k2", "127.0.0.1", "/", 60)
    status = lambda: [get(nines.url("/?" + token)).status_code for token in (old, new)]
    assert status() == [200, 403]
    nines.reload(file(("k1", "one"), ("k2", "two")))
    assert status() == [200, 200]
    nines.reload(file(("k2", "two")))
    assert status() == [403, 200]
