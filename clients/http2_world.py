"""The world of the tests of HTTP/2's frames: a nines with both doors, and connections that end with their test."""

import pytest
from http2 import Http2

STREAMS = 8


@pytest.fixture(scope="module")
def nines(start, shared_backend):
    return start(f"""
[edge.http2]
streams = {STREAMS}
[pool.all]
servers = ["{shared_backend.address}"]
[site.default]
tls = "self-signed"
[site.default.route]
"/" = {{ pool = "all" }}
""", https=True)


@pytest.fixture
def connect(nines):
    """Opens connections with prior knowledge, closed with the test."""
    opened = []

    def connect(**options):
        opened.append(Http2(nines.port, **options))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def h2(connect, backend):
    return connect()


@pytest.fixture(params=["h2c", "tls"])
def either(request, nines, backend):
    """A connection of either kind."""
    tls = request.param == "tls"
    with Http2(nines.https if tls else nines.port, tls=tls) as connection:
        yield connection


def waiting(exchange):
    """A handler that answers once the body is whole."""
    exchange.respond(200, b"%d bytes" % len(exchange.read_body()))
