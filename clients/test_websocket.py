"""WebSocket through nines: npm's ws on both sides, and raw sockets where a real client would be too polite."""

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from wire import Wire, ask

SCRIPT = Path(__file__).parent / "js" / "websocket.mjs"
UPGRADE = ("GET /socket HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


@pytest.fixture(scope="module")
def server_port():
    with subprocess.Popen(["node", SCRIPT, "server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env=os.environ) as server:
        yield int(server.stdout.readline())
        server.stdin.close()


def test_ws_talks_through_nines(start, server_port):
    nines = start(f'[pool.chat]\nservers = ["127.0.0.1:{server_port}"]\n'
                  '[site.default.route]\n"/" = { pool = "chat" }\n')
    done = subprocess.run(["node", SCRIPT, "client", f"ws://127.0.0.1:{nines.port}/chat?room=1"], capture_output=True,
                          text=True, env=os.environ, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "protocol": "echo.nines", "hello": {"path": "/chat?room=1", "via": "1.1 nines"}, "text": "grüße",
        "binary": True, "inOrder": True, "pong": "still there?", "close": {"code": 4009, "reason": "as you wish"},
    }


def test_after_101_bytes_go_both_ways_until_one_side_closes(nines, backend):
    ended = threading.Event()

    def echo(exchange):
        assert exchange.request.get("upgrade") == "websocket"
        assert exchange.request.get("connection").lower() == "upgrade"
        exchange.send(SWITCH + b"first words")
        for part in exchange.reader.exactly(5):
            exchange.send(part.upper())
        if exchange.wait_gone():
            ended.set()

    backend.on("/socket", echo)
    with Wire(nines.port) as wire:
        wire.send(UPGRADE)
        response = wire.response()
        assert response.status == 101 and response.get("upgrade") == "websocket"
        assert wire.exactly(11) == b"first words"
        wire.send(b"hello")
        assert wire.exactly(5) == b"HELLO"
    assert ended.wait(5), "the backend was not told that the client is gone"


def test_the_client_hears_that_the_backend_closed(nines, backend):
    def goodbye(exchange):
        exchange.send(SWITCH + b"bye")
        exchange.close()

    backend.on("/socket", goodbye)
    with Wire(nines.port) as wire:
        wire.send(UPGRADE)
        assert wire.response().status == 101
        assert wire.exactly(3) == b"bye" and wire.is_closed()


def test_an_upgrade_that_is_declined_stays_http(nines, backend):
    backend.on("/socket", lambda exchange: exchange.respond(200, b"no sockets here"))
    with Wire(nines.port) as wire:
        wire.send(UPGRADE)
        assert wire.response().body == b"no sockets here"
        # Were this a tunnel, the bad request would reach the backend.
        before = len(backend.requests)
        wire.send("GET / HTTP/1.1\r\n\r\n")
        assert wire.response().status == 400
        assert len(backend.requests) == before


def test_what_a_client_sends_before_101_is_not_tunnelled_past_a_refusal(nines, backend):
    backend.on("/socket", lambda exchange: exchange.respond(403, b"no", reason="Forbidden"))
    with Wire(nines.port) as wire:
        # Smuggled behind the upgrade: must be taken for a request of its own, and found malformed.
        wire.send(UPGRADE + "GET /admin HTTP/1.1\r\nHost : shop.test\r\n\r\n")
        assert wire.response().status == 403
        assert wire.response().status == 400
    assert backend.seen("/admin") == []


def test_a_wish_for_h2c_is_not_passed_on(nines, backend):
    response = ask(nines.port, "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                               "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
    assert response.status == 200
    assert backend.requests[0].get("upgrade") is None and backend.requests[0].get("http2-settings") is None


def test_a_101_that_nobody_asked_for_is_a_bad_gateway(nines, backend):
    backend.on("/", lambda exchange: (exchange.send(SWITCH), exchange.close()))
    assert ask(nines.port, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").status == 502
