"""Compression of responses: what a client asked for, what it gets, and what is left alone."""

import gzip
import re
import ssl
import subprocess
import threading
import zlib

import brotli
import httpx
import pytest
import zstandard
from backend import digest, pattern
from http2 import Http2
from wire import Truncated, Wire, get

PAGE = b"<p>the same words again and again, and a little more</p>\n" * 500
DECODE = {"zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data), "br": brotli.decompress,
          "gzip": gzip.decompress}
CODINGS = list(DECODE)


@pytest.fixture(scope="module")
def nines(start, shared_backend, authority):
    return start(f"""
[pool.all]
servers = ["{shared_backend.address}"]
[site."shop.test"]
compress = true
tls = {authority.issue("shop.test").toml()}
[site."shop.test".route]
"/" = {{ pool = "all" }}
"/off/" = {{ pool = "all", compress = false }}
[site."own.test"]
compress = {{ codings = ["gzip"], types = ["application/x-own"], min = "100B", level = {{ gzip = 9 }} }}
[site."own.test".route]
"/" = {{ pool = "all" }}
[site."plain.test".route]
"/" = {{ pool = "all" }}
"/on/" = {{ pool = "all", compress = true }}
""", https=True)


def page(body=PAGE, kind="text/html; charset=utf-8", *headers):
    return lambda exchange: exchange.respond(200, body, [("Content-Type", kind), *headers])


def fetch(nines, accept=None, path="/", host="shop.test", headers=(), **more):
    encoding = [("Accept-Encoding", accept)] if accept is not None else []
    return get(nines.port, path, host, [*headers, *encoding], **more)


def varies(response):
    return "accept-encoding" in ", ".join(response.all("vary")).lower()


@pytest.mark.parametrize("coding", CODINGS)
def test_a_page_is_encoded_as_the_client_asked(nines, backend, coding):
    backend.on("/", page())
    response = fetch(nines, coding)
    assert response.all("content-encoding") == [coding] and varies(response)
    assert DECODE[coding](response.body) == PAGE and len(response.body) < len(PAGE) / 10
    assert response.get("content-type") == "text/html; charset=utf-8"


@pytest.mark.parametrize("coding", CODINGS)
def test_over_http_2_as_well(nines, backend, coding):
    backend.on("/", page())
    with Http2(nines.https, tls=True) as h2:
        response = h2.get(extra=[("accept-encoding", coding)])
    assert response.all("content-encoding") == [coding] and varies(response)
    assert DECODE[coding](response.body) == PAGE


def test_curl_and_httpx_read_it(nines, backend, authority, tmp_path):
    backend.on("/", page())
    done = subprocess.run(["curl", "-sS", "--compressed", "--http1.1", "-H", "Host: shop.test", "-D", tmp_path / "head",
                           nines.url()], capture_output=True, timeout=20, check=True)
    assert done.stdout == PAGE and "content-encoding: zstd" in (tmp_path / "head").read_text().lower()
    done = subprocess.run(["curl", "-sS", "--compressed", "--http2", "--resolve", f"shop.test:{nines.https}:127.0.0.1",
                           "--cacert", authority.cert, f"https://shop.test:{nines.https}/"], capture_output=True,
                          timeout=20, check=True)
    assert done.stdout == PAGE
    context = ssl.create_default_context(cafile=authority.cert)
    context.check_hostname = False
    with httpx.Client(http2=True, verify=context) as client:
        for accept in CODINGS:
            answer = client.get(nines.https_url(), headers={"Host": "shop.test", "Accept-Encoding": accept},
                                extensions={"sni_hostname": "shop.test"})
            assert answer.headers["content-encoding"] == accept and answer.content == PAGE


@pytest.mark.parametrize("accept, chosen", [
    ("gzip;q=1, br;q=0.5", "gzip"), ("gzip;q=0.2, br;q=0.5", "br"), ("br;q=0, gzip", "gzip"),
    ("gzip, br, zstd", "zstd"), ("gzip, br", "br"), ("*", "zstd"), ("*, zstd;q=0", "br"), ("GZip", "gzip"), ("x-gzip", "gzip"),
    ("deflate, gzip", "gzip"), ("gzip ; q=0.5 , deflate", "gzip"), ("gzip;q=0.001", "gzip"),
    ("identity;q=0, gzip;q=0.5", "gzip"), ("compress, gzip;q=0", None), ("identity", None), ("", None), (None, None),
    ("gzip;q=0", None), ("*;q=0", None), ("identity, gzip;q=0.5", None), ("gzip;q=0.000", None), ("deflate", None),
])
def test_the_client_s_weights_decide(nines, backend, accept, chosen):  # RFC 9110 §12.5.3
    backend.on("/", page())
    response = fetch(nines, accept)
    assert response.status == 200 and response.get("content-encoding") == chosen
    assert varies(response), "a cache must know that another client would get it otherwise"
    body = DECODE[chosen](response.body) if chosen else response.body
    assert body == PAGE


@pytest.mark.parametrize("kind", ["image/png", "video/mp4", "application/zip", "application/octet-stream", "font/woff2",
                                  "application/grpc", "application/grpc+proto"])
def test_what_does_not_shrink_is_left_alone(nines, backend, kind):
    backend.on("/", page(PAGE, kind))
    response = fetch(nines, "gzip, br, zstd")
    assert response.get("content-encoding") is None and response.body == PAGE


@pytest.mark.parametrize("kind", ["text/plain", "text/css", "application/json", "application/javascript",
                                  "text/javascript", "image/svg+xml", "application/xml", "TEXT/HTML",
                                  "application/problem+json", "application/wasm"])
def test_what_shrinks_is_encoded(nines, backend, kind):
    backend.on("/", page(PAGE, kind))
    assert fetch(nines, "gzip").get("content-encoding") == "gzip"


def test_a_response_without_a_type_is_left_alone(nines, backend):
    backend.on("/", lambda exchange: exchange.respond(200, PAGE))
    assert fetch(nines, "gzip").body == PAGE


def test_a_short_body_is_left_alone(nines, backend):
    backend.on("/", page(b"x" * 1023, "text/plain"))
    assert fetch(nines, "gzip").body == b"x" * 1023
    backend.on("/", page(b"x" * 1024, "text/plain"))
    assert fetch(nines, "gzip").get("content-encoding") == "gzip"


@pytest.mark.parametrize("said", ["gzip", "br", "zstd", "x-unknown"])
def test_nothing_is_encoded_twice(nines, backend, said):
    backend.on("/", page(PAGE, "text/html", ("Content-Encoding", said)))
    response = fetch(nines, "gzip, br, zstd")
    assert response.all("content-encoding") == [said] and response.body == PAGE


@pytest.mark.parametrize("control", ["no-transform", "public, no-transform, max-age=5", "No-Transform"])
def test_no_transform_is_honoured(nines, backend, control):  # RFC 9111 §5.2.2.6
    backend.on("/", page(PAGE, "text/html", ("Cache-Control", control), ("ETag", '"strong"')))
    response = fetch(nines, "gzip")
    assert response.get("content-encoding") is None and response.body == PAGE and response.get("etag") == '"strong"'


@pytest.mark.parametrize("given, told", [('"abc"', 'W/"abc"'), ('W/"abc"', 'W/"abc"')])
def test_an_etag_becomes_weak(nines, backend, given, told):  # RFC 9110 §8.8.1: other bytes cannot have the strong one
    backend.on("/", page(PAGE, "text/html", ("ETag", given)))
    assert fetch(nines, "gzip").all("etag") == [told]
    assert fetch(nines).all("etag") == [given]


def test_a_client_that_has_it_already_hears_304(nines, backend):
    def conditional(exchange):
        if '"abc"' in exchange.request.get("if-none-match", ""):
            exchange.read_body()
            exchange.send(b'HTTP/1.1 304 Not Modified\r\nETag: "abc"\r\n\r\n')
        else:
            page(PAGE, "text/html", ("ETag", '"abc"'))(exchange)

    backend.on("/", conditional)
    tag = fetch(nines, "gzip").get("etag")
    response = fetch(nines, "gzip", headers=[("If-None-Match", tag)])
    assert (response.status, response.body) == (304, b"") and response.get("content-encoding") is None


@pytest.mark.parametrize("vary, all_of", [("Origin", {"origin", "accept-encoding"}), ("*", {"*"}),
                                          ("accept-encoding", {"accept-encoding"})])
def test_what_the_backend_varies_by_is_kept(nines, backend, vary, all_of):
    backend.on("/", page(PAGE, "text/html", ("Vary", vary)))
    told = [name.strip().lower() for line in fetch(nines, "gzip").all("vary") for name in line.split(",")]
    assert all_of <= set(told) and told.count("accept-encoding") <= 1


def test_a_part_is_not_encoded(nines, backend):
    """Its range counts the bytes of what is not encoded (RFC 9110 §14)."""
    backend.on("/", lambda exchange: exchange.send(
        b"HTTP/1.1 206 Partial Content\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1999/5000\r\n"
        b"Content-Length: 2000\r\n\r\n" + b"x" * 2000))
    response = fetch(nines, "gzip", headers=[("Range", "bytes=0-1999")])
    assert response.status == 206 and response.get("content-encoding") is None and response.body == b"x" * 2000


def test_what_has_no_body_gets_none(nines, backend):
    backend.on("/", page())
    response = fetch(nines, "gzip", method="HEAD")
    assert (response.status, response.body) == (200, b"")
    backend.on("/", lambda exchange: exchange.send(b"HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n"))
    response = fetch(nines, "gzip")
    assert (response.status, response.get("content-encoding")) == (204, None)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("kind", ["text/html", "text/event-stream"])
def test_what_is_there_is_sent_before_the_rest_comes(nines, backend, coding, kind):
    """A page that is written slowly, or events, reach the reader as they are written."""
    read = threading.Event()

    def slowly(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % kind.encode())
        exchange.send(b"5\r\nfirst\r\n")
        assert read.wait(20), "the first words never arrived"
        exchange.send(b"4\r\nrest\r\n0\r\n\r\n")

    backend.on("/", slowly)
    decoder = {"zstd": zstandard.ZstdDecompressor().decompressobj().decompress, "br": brotli.Decompressor().process,
               "gzip": zlib.decompressobj(31).decompress}[coding]
    with Wire(nines.port) as wire:
        wire.send(f"GET / HTTP/1.1\r\nHost: shop.test\r\nAccept-Encoding: {coding}\r\n\r\n")
        head = wire.head()
        assert head.get("content-encoding") in (coding, None) and (kind != "text/html" or head.get("content-encoding"))
        plain = head.get("content-encoding") is None
        text, ended = b"", False
        while not ended:
            size = int(wire.line(), 16)
            part = wire.exactly(size)
            wire.exactly(2)
            ended = size == 0
            text += part if plain else decoder(part) if part else b""
            if text == b"first":
                read.set()
    assert text == b"firstrest"


@pytest.mark.parametrize("coding", CODINGS)
def test_a_large_body_is_encoded_in_bounded_memory(nines, backend, coding):
    size = 40 << 20
    backend.on("/", lambda exchange: exchange.respond_chunked(pattern(size), headers=[("Content-Type", "text/plain")]))
    before = nines.memory()
    response = fetch(nines, coding, timeout=60)
    assert digest([DECODE[coding](response.body)]) == digest(pattern(size))
    assert nines.memory() - before < 32 << 20


def test_an_answer_that_is_cut_off_does_not_look_whole(nines, backend):
    def cut(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n" + PAGE)
        exchange.close()

    backend.on("/", cut)
    with pytest.raises(Truncated):
        fetch(nines, "gzip")


def test_trailers_outlive_the_encoding(nines, backend):
    backend.on("/", lambda exchange: exchange.respond_chunked(
        [PAGE], trailers=[("X-Sum", "42")], headers=[("Trailer", "X-Sum"), ("Content-Type", "text/html")]))
    response = fetch(nines, "gzip", headers=[("TE", "trailers"), ("Connection", "TE")])
    assert gzip.decompress(response.body) == PAGE and response.trailers == [("X-Sum", "42")]


# --- where it is on ---

@pytest.mark.parametrize("host, path, coding", [
    ("shop.test", "/", "gzip"), ("shop.test", "/off/x", None), ("plain.test", "/", None),
    ("plain.test", "/on/x", "gzip")])
def test_sites_and_routes_say_where(nines, backend, host, path, coding):
    backend.on(path, page())
    assert fetch(nines, "gzip", path, host).get("content-encoding") == coding


def test_where_it_is_off_a_backend_may_encode_by_itself(nines, backend):
    assert b'"accept-encoding", "br"' in fetch(nines, "br", "/", "plain.test").body


def test_a_site_chooses_codings_types_and_sizes(nines, backend):
    backend.on("/", page(b"y" * 100, "application/x-own"))
    response = fetch(nines, "zstd, br, gzip", host="own.test")
    assert response.get("content-encoding") == "gzip" and gzip.decompress(response.body) == b"y" * 100
    backend.on("/", page())
    assert fetch(nines, "gzip", host="own.test").get("content-encoding") is None


def test_it_is_counted(nines, backend):
    def counted():
        return {name: value for name, value in nines.metrics().items() if re.search("encod|compress", name)}

    backend.on("/", page())
    before = counted()
    fetch(nines, "gzip")
    assert counted() != before and before
