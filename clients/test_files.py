"""Files from a folder: conditions, ranges, siblings, and no way out of the folder."""

import email
import email.policy
import json
import os
import subprocess
import time

import brotli
import pytest
from http2 import Http2
from wire import Wire, ask, get

BIG = os.urandom(1 << 16) * 80  # 5 MiB
SCRIPT = b"console.log('the same words');\n" * 200


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("files")
    www = root / "www"
    for folder in ("sub", "listed", ".git", "spa/assets", "empty"):
        (www / folder).mkdir(parents=True)
    files = {
        "index.html": b"<h1>index</h1>", "page.html": b"<h1>page</h1>", "app.js": SCRIPT, "big.bin": BIG,
        "sub/index.html": b"sub", "listed/a.txt": b"a", "listed/<b>&.txt": b"b", "listed/.hidden": b"no",
        ".secret": b"no", ".git/config": b"no", "a b.txt": b"space", "grüße.txt": b"umlaut", "empty.txt": b"",
        "digits.txt": b"0123456789", "noextension": b"?", "spa/index.html": b"the app", "spa/assets/x.js": b"x",
        "style.css": b"a{}", "data.json": b"{}", "image.svg": b"<svg/>", "font.woff2": b"w", "app.wasm": b"\0asm",
        "page.own": b"own", "percent%41.txt": b"percent",
    }
    for name, content in files.items():
        (www / name).write_bytes(content)
    (www / "app.js.br").write_bytes(brotli.compress(SCRIPT))
    subprocess.run(["gzip", "-k", www / "app.js"], check=True)
    subprocess.run(["zstd", "-q", "-k", www / "app.js"], check=True)
    (root / "outside.txt").write_bytes(b"outside")
    (root / "www-twin").mkdir()
    (root / "www-twin" / "x.txt").write_bytes(b"outside")
    (www / "out.txt").symlink_to(root / "outside.txt")
    (www / "out").symlink_to(root)
    (www / "relative-out.txt").symlink_to("../outside.txt")
    (www / "in.txt").symlink_to("digits.txt")
    (www / "dangling").symlink_to("nothing")
    os.mkfifo(www / "pipe")
    return root


@pytest.fixture(scope="module")
def nines(start, root):
    www = root / "www"
    return start(f"""
[site.default]
tls = "self-signed"
[site.default.route]
"/" = {{ files = "{www}" }}
"/docs/" = {{ files = "{www}" }}
"/listed/" = {{ files = {{ dir = "{www}/listed", listing = true }} }}
"/spa/" = {{ files = {{ dir = "{www}/spa", fallback = "/index.html", cache_control = "max-age=60" }} }}
"/bare/" = {{ files = {{ dir = "{www}", index = ["page.html"], precompressed = false, types = {{ own = "text/x-own" }} \
}} }}
""", https=True)


def fetch(nines, path, *headers, **more):
    return get(nines.port, path, headers=headers, **more)


# --- whole files ---

@pytest.mark.parametrize("path, kind", [
    ("/page.html", "text/html"), ("/app.js", "text/javascript"), ("/style.css", "text/css"),
    ("/data.json", "application/json"), ("/image.svg", "image/svg+xml"), ("/font.woff2", "font/woff2"),
    ("/app.wasm", "application/wasm"), ("/digits.txt", "text/plain"), ("/noextension", "application/octet-stream"),
    ("/bare/page.own", "text/x-own")])
def test_a_file_is_told_with_its_type(nines, root, path, kind):
    response = fetch(nines, path)
    assert (response.status, response.get("content-type").partition(";")[0]) == (200, kind)
    assert response.body == (root / "www" / path.rpartition("/")[2]).read_bytes()
    assert response.get("etag") and response.get("last-modified") and response.get("accept-ranges") == "bytes"


@pytest.mark.parametrize("path, body", [
    ("/", b"<h1>index</h1>"), ("/docs/", b"<h1>index</h1>"), ("/sub/", b"sub"), ("/docs/sub/index.html", b"sub"),
    ("/bare/", b"<h1>page</h1>"), ("/a%20b.txt", b"space"), ("/gr%C3%BC%C3%9Fe.txt", b"umlaut"), ("/empty.txt", b""),
    ("/percent%2541.txt", b"percent"), ("/digits.txt?v=1", b"0123456789"), ("/in.txt", b"0123456789")])
def test_a_path_finds_its_file(nines, path, body):
    response = fetch(nines, path)
    assert (response.status, response.body) == (200, body)


def test_a_large_file_is_whole_over_every_protocol(nines):
    assert fetch(nines, "/big.bin").body == BIG
    with Http2(nines.https, tls=True) as h2:
        assert h2.get("/big.bin").body == BIG
    done = subprocess.run(["curl", "-sSk", "--http1.1", nines.https_url("/big.bin")], capture_output=True, timeout=30,
                          check=True)
    assert done.stdout == BIG


def test_head_tells_the_length_and_brings_no_body(nines):
    with Wire(nines.port) as wire:
        for _ in range(2):
            wire.send("HEAD /big.bin HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            response = wire.response("HEAD")
            assert (response.status, response.get("content-length")) == (200, str(len(BIG)))


@pytest.mark.parametrize("path", ["/nothing", "/nothing/", "/sub/nothing", "/digits.txt/", "/digits.txt/more",
                                  "/dangling", "/pipe", "/empty/"])
def test_what_is_not_there_is_not_found(nines, path):
    assert fetch(nines, path).status == 404


def test_a_folder_without_its_slash_is_sent_there(nines):
    response = fetch(nines, "/docs/sub?x=1")
    assert response.status in (301, 308) and response.get("location").endswith("/docs/sub/?x=1")
    assert not response.get("location").startswith("//")
    assert "//evil.test" not in (fetch(nines, "//evil.test/..%2fsub").get("location") or "")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_files_are_only_read(nines, root, method):
    response = ask(nines.port, f"{method} /digits.txt HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1\r\n\r\nx")
    assert response.status == 405 and {"GET", "HEAD"} <= set(response.get("allow").replace(" ", "").split(","))
    assert (root / "www" / "digits.txt").read_bytes() == b"0123456789"


# --- no way out ---

ESCAPES = [
    "/../outside.txt", "/%2e%2e/outside.txt", "/..%2foutside.txt", "/%2e%2e%2foutside.txt", "/sub/../../outside.txt",
    "/docs/../../outside.txt", "/docs/..%2f..%2foutside.txt", "/docs/%2e%2e%5coutside.txt", "/..\\outside.txt",
    "/..%5coutside.txt", "/.%2e/outside.txt", "/%252e%252e/outside.txt", "/..;/outside.txt", "//outside.txt",
    "/.//../outside.txt", "/sub/..%00/outside.txt", "/digits.txt%00.html", "/%c0%ae%c0%ae/outside.txt",
    "/..%c0%afoutside.txt",
    "/%2fetc%2fpasswd", "//etc/passwd", "/docs/%2fetc/passwd", "/docs//etc/passwd", "/docs/../www-twin/x.txt",
    "/docs..%2foutside.txt", "/docs/..%2fwww-twin/x.txt", "/out.txt", "/relative-out.txt", "/out/outside.txt", "/out/",
    "/out/www/digits.txt",
]


@pytest.mark.parametrize("path", ESCAPES)
def test_there_is_no_way_out_of_the_folder(nines, path):
    response = fetch(nines, path)
    assert response.status in (400, 403, 404) and b"outside" not in response.body and b"root:" not in response.body


@pytest.mark.parametrize("path", ["/.secret", "/%2esecret", "/.git/config", "/.git/", "/listed/.hidden",
                                  "/sub/../.secret"])
def test_dotfiles_are_not_there(nines, path):
    assert fetch(nines, path).status in (403, 404)


# --- conditions (RFC 9110 §13) ---

@pytest.fixture(scope="module")
def known(nines):
    response = fetch(nines, "/digits.txt")
    return response.get("etag"), response.get("last-modified")


BEFORE, AFTER = "Sun, 06 Nov 1994 08:49:37 GMT", "Sat, 06 Nov 2094 08:49:37 GMT"


@pytest.mark.parametrize("headers, status", [
    ([("If-None-Match", "{etag}")], 304), ([("If-None-Match", "W/{etag}")], 304),
    ([("If-None-Match", '"x", {etag}')], 304),
    ([("If-None-Match", "*")], 304), ([("If-None-Match", '"x"')], 200), ([("If-Modified-Since", "{date}")], 304),
    ([("If-Modified-Since", AFTER)], 304), ([("If-Modified-Since", BEFORE)], 200),
    ([("If-Modified-Since", "yesterday")], 200),
    ([("If-None-Match", '"x"'), ("If-Modified-Since", "{date}")], 200), ([("If-Match", "{etag}")], 200),
    ([("If-Match", '"x"')], 412), ([("If-Match", "*")], 200), ([("If-Unmodified-Since", BEFORE)], 412),
    ([("If-Unmodified-Since", "{date}")], 200), ([("If-Match", "{etag}"), ("If-None-Match", "{etag}")], 304),
])
def test_conditions_are_evaluated_in_their_order(nines, known, headers, status):
    etag, date = known
    response = fetch(nines, "/digits.txt", *((name, value.format(etag=etag, date=date)) for name, value in headers))
    assert response.status == status
    if status == 304:
        assert response.body == b"" and response.get("etag") == etag


def test_a_changed_file_is_another(nines, root):
    path = root / "www" / "changing.txt"
    path.write_bytes(b"one")
    etag = fetch(nines, "/changing.txt").get("etag")
    fresh = path.with_suffix(".new")
    fresh.write_bytes(b"two")
    os.replace(fresh, path)
    response = fetch(nines, "/changing.txt", ("If-None-Match", etag))
    assert (response.status, response.body) == (200, b"two") and response.get("etag") != etag


# --- ranges (RFC 9110 §14) ---

@pytest.mark.parametrize("wanted, span, body", [
    ("0-0", "0-0", b"0"), ("0-3", "0-3", b"0123"), ("5-", "5-9", b"56789"), ("-3", "7-9", b"789"),
    ("-100", "0-9", b"0123456789"),
    ("8-100", "8-9", b"89"), ("9-9", "9-9", b"9")])
def test_a_range_is_cut_out(nines, wanted, span, body):
    response = fetch(nines, "/digits.txt", ("Range", f"bytes={wanted}"))
    assert (response.status, response.get("content-range"), response.body) == (206, f"bytes {span}/10", body)


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_satisfied(nines, wanted):
    response = fetch(nines, "/digits.txt", ("Range", wanted))
    assert (response.status, response.get("content-range")) == (416, "bytes */10")


@pytest.mark.parametrize("wanted", ["bytes=3-1", "bytes=a-b", "bytes=", "lines=0-1", "bytes 0-1", "bytes=0-1-2",
                                    "bytes=99999999999999999999999-", "bytes=--1", "bytes=0x1-2"])
def test_a_range_that_is_none_is_ignored_or_refused(nines, wanted):
    response = fetch(nines, "/digits.txt", ("Range", wanted))
    assert response.status in (200, 416) and (response.status == 416 or response.body == b"0123456789")


def test_several_ranges_come_in_parts(nines):
    response = fetch(nines, "/big.bin", ("Range", "bytes=0-9,1000000-1000009,-10"))
    assert response.status == 206
    assert int(response.get("content-length", len(response.body))) == len(response.body)
    message = email.message_from_bytes(b"Content-Type: " + response.get("content-type").encode() + b"\r\n\r\n"
                                       + response.body, policy=email.policy.HTTP)
    assert message.get_content_type() == "multipart/byteranges"
    parts = [(part["Content-Range"], part.get_payload(decode=True)) for part in message.iter_parts()]
    size = len(BIG)
    assert parts == [(f"bytes 0-9/{size}", BIG[:10]), (f"bytes 1000000-1000009/{size}", BIG[1_000_000:1_000_010]),
                     (f"bytes {size - 10}-{size - 1}/{size}", BIG[-10:])]


def test_a_thousand_ranges_do_not_make_a_thousand_files(nines):
    """RFC 9110 §14.2: a server may ignore or refuse what only costs."""
    wanted = "bytes=" + ",".join("0-" for _ in range(1000))
    response = fetch(nines, "/big.bin", ("Range", wanted))
    assert response.status in (200, 206, 416, 431) and len(response.body) <= len(BIG) + 10_000


@pytest.mark.parametrize("condition, status", [("{etag}", 206), ('"x"', 200), ("W/{etag}", 200), (BEFORE, 200)])
def test_a_range_may_depend_on_what_the_client_has(nines, known, condition, status):  # §13.1.5
    response = fetch(nines, "/digits.txt", ("Range", "bytes=0-1"), ("If-Range", condition.format(etag=known[0])))
    assert response.status == status


def test_curl_resumes_a_download(nines, tmp_path):
    path = tmp_path / "big"
    path.write_bytes(BIG[:1_000_000])
    subprocess.run(["curl", "-sSf", "-C", "-", "-o", path, nines.url("/big.bin")], check=True, timeout=30)
    assert path.read_bytes() == BIG


def test_head_with_a_range_has_no_body(nines):
    with Wire(nines.port) as wire:
        wire.send("HEAD /digits.txt HTTP/1.1\r\nHost: shop.test\r\nRange: bytes=0-1\r\n\r\n")
        assert wire.response("HEAD").status in (200, 206)
        wire.send("GET /digits.txt HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        assert wire.response().body == b"0123456789"


# --- siblings ---

@pytest.mark.parametrize("accept, coding, suffix", [
    ("br", "br", ".br"), ("gzip", "gzip", ".gz"), ("zstd", "zstd", ".zst"), ("gzip, br;q=0.1", "gzip", ".gz"),
    ("identity", None, ""), (None, None, ""), ("br;q=0", None, "")])
def test_a_sibling_is_sent_to_who_takes_it(nines, root, accept, coding, suffix):
    response = fetch(nines, "/app.js", *([("Accept-Encoding", accept)] if accept else []))
    assert response.get("content-encoding") == coding and "accept-encoding" in response.get("vary").lower()
    assert response.body == (root / "www" / f"app.js{suffix}").read_bytes()
    assert response.get("content-type").startswith("text/javascript")


def test_siblings_have_etags_of_their_own(nines):
    tags = {fetch(nines, "/app.js", ("Accept-Encoding", accept)).get("etag") for accept in ("br", "gzip", "identity")}
    assert len(tags) == 3
    tag = fetch(nines, "/app.js", ("Accept-Encoding", "br")).get("etag")
    assert fetch(nines, "/app.js", ("Accept-Encoding", "br"), ("If-None-Match", tag)).status == 304


def test_a_sibling_that_is_older_than_its_file_is_not_sent(nines, root):
    path = root / "www" / "stale.js"
    path.with_name("stale.js.br").write_bytes(brotli.compress(b"old"))
    path.write_bytes(b"new")
    os.utime(path.with_name("stale.js.br"), (time.time() - 100, time.time() - 100))
    response = fetch(nines, "/stale.js", ("Accept-Encoding", "br"))
    assert response.get("content-encoding") is None and response.body == b"new"


def test_siblings_may_be_left_out(nines):
    assert fetch(nines, "/bare/app.js", ("Accept-Encoding", "br")).body == SCRIPT


# --- folders ---

def test_a_folder_is_listed_where_it_may_be(nines):
    response = fetch(nines, "/listed/")
    assert response.status == 200 and response.get("content-type").startswith("text/html")
    page = response.body.decode()
    assert "a.txt" in page and "&lt;b&gt;&amp;.txt" in page and "<b>" not in page and ".hidden" not in page
    listing = fetch(nines, "/listed/", ("Accept", "application/json"))
    assert listing.get("content-type").startswith("application/json")
    assert {"a.txt", "<b>&.txt"} <= set(str(json.loads(listing.body)).replace("'", '"').split('"'))


def test_an_application_s_own_paths_show_its_page(nines):
    response = fetch(nines, "/spa/orders/7", ("Accept", "text/html"))
    assert (response.status, response.body, response.get("cache-control")) == (200, b"the app", "max-age=60")
    assert fetch(nines, "/spa/assets/x.js").body == b"x"
    assert fetch(nines, "/spa/assets/missing.js", ("Accept", "*/*")).status == 404


# --- many at once ---

def test_readers_that_stall_hold_nobody_up(nines):
    stalled = []
    try:
        for _ in range(50):
            stalled.append(Wire(nines.port, receive_buffer=4096))
            stalled[-1].send("GET /big.bin HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        worst = 0.0
        for _ in range(50):
            started = time.monotonic()
            assert fetch(nines, "/digits.txt").body == b"0123456789"
            worst = max(worst, time.monotonic() - started)
        assert worst < 1.0
    finally:
        for wire in stalled:
            wire.close()
