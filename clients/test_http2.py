"""HTTP/2 as people use it: curl, httpx, Node, h2load and a WebSocket, with prior knowledge and over TLS."""

import asyncio
import hashlib
import json
import os
import re
import ssl
import subprocess
import threading
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
import wsproto
import wsproto.events
from backend import digest, give, pattern, take
from http2 import DATA, END_STREAM, Http2, frame
from wire import get
from wsproto.utilities import generate_accept_token

SCRIPT = Path(__file__).parent / "js" / "http2.mjs"
MEGABYTE = 1 << 20
LARGE = 20 * MEGABYTE


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue("shop.test", "127.0.0.1")


@pytest.fixture(scope="module")
def nines(start, shared_backend, certificate):
    return start(f"""
[pool.all]
servers = ["{shared_backend.address}"]
limit = {{ inflight = 1000 }}
[site.default]
tls = {certificate.toml()}
[site.default.route]
"/" = {{ pool = "all" }}
""", https=True)


@pytest.fixture(params=["h2c", "tls"])
def base(request, nines, backend):
    """A URL to begin with."""
    return (nines.https_url if request.param == "tls" else nines.url)("")


@pytest.fixture
def client(base, authority):
    with httpx.Client(base_url=base, http1=False, http2=True, verify=context(authority), timeout=60) as client:
        yield client


def context(authority):
    return ssl.create_default_context(cafile=authority.cert)


def curl(*words, timeout=60):
    return subprocess.run(["curl", "--silent", "--show-error", "--max-time", str(timeout), *words],
                          capture_output=True, timeout=timeout + 10, check=False)


def version(base):
    return ["--http2-prior-knowledge"] if base.startswith("http:") else ["--http2", "--insecure"]


# --- curl ---

def test_curl_speaks_http_2(base):
    done = curl(*version(base), "-w", "%{http_version} %{http_code}", "-o", "/dev/null", base + "/a%20b?x=1")
    assert done.stdout == b"2 200", done.stderr


def test_curl_verifies_the_certificate(nines, backend, authority):
    done = curl("--http2", "--cacert", authority.cert, "--resolve", f"shop.test:{nines.https}:127.0.0.1",
                "-w", " %{http_version}", f"https://shop.test:{nines.https}/")
    assert done.stdout.endswith(b" 2"), done.stderr
    seen = dict(json.loads(done.stdout[:-2])["headers"])
    assert seen["x-forwarded-proto"] == "https" and seen["host"] == f"shop.test:{nines.https}"
    assert "2" in seen["via"].split()[0] and seen["x-forwarded-for"] == "127.0.0.1"


def test_curl_may_still_choose_http_1_1(nines, backend):
    done = curl("--http1.1", "--insecure", "-w", "%{http_version}", "-o", "/dev/null", nines.https_url())
    assert done.stdout == b"1.1", done.stderr


def test_curl_sends_and_receives_much(base, backend, tmp_path):
    backend.on("/up", take)
    backend.on("/down", give(LARGE, chunked=False))
    path = tmp_path / "body"
    with path.open("wb") as file:
        file.writelines(pattern(LARGE))
    assert json.loads(curl(*version(base), "-T", path, base + "/up").stdout) == digest(pattern(LARGE))
    body = curl(*version(base), base + "/down").stdout
    assert hashlib.sha256(body).hexdigest() == digest(pattern(LARGE))["sha256"]


def test_curl_uses_one_connection_for_all_at_once(nines, backend):
    urls = [nines.https_url(f"/?n={n}") for n in range(50)]
    done = curl("--http2", "--insecure", "--parallel", "-w", "%{http_code} %{num_connects}\n",
                *(word for url in urls for word in ("-o", "/dev/null", url)))
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert [status for status, _ in lines] == ["200"] * 50, done.stderr
    assert sum(int(connects) for _, connects in lines) == 1
    assert len(backend.requests) == 50


# --- httpx ---

def test_httpx_reads_what_was_said(client, base, backend):
    answer = client.post("/x?a=b", content=b"a body", headers={"X-Mark": "yes"})
    assert answer.http_version == "HTTP/2" and answer.status_code == 200
    seen = answer.json()
    assert (seen["method"], seen["target"], seen["body"]) == ("POST", "/x?a=b", "a body")
    assert dict(seen["headers"])["x-mark"] == "yes"
    assert dict(seen["headers"])["x-forwarded-proto"] == base.partition(":")[0]


@pytest.mark.parametrize("status", [201, 204, 301, 304, 404, 418, 500, 503])
def test_the_backend_s_status_is_passed_on(client, backend, status):
    empty = status in (204, 304)
    length, body = (b"", b"") if empty else (b"Content-Length: 4\r\n", b"said")
    backend.on("/", lambda exchange: exchange.send(b"HTTP/1.1 %d Whatever\r\n%s\r\n%s" % (status, length, body)))
    answer = client.get("/")
    assert (answer.status_code, answer.content) == (status, body)


def test_many_streams_at_once_each_get_their_own_answer(base, backend, authority):
    backend.on("/echo", lambda exchange: exchange.respond(200, exchange.read_body() * 10))

    async def all_of_them():
        async with httpx.AsyncClient(http1=False, http2=True, verify=context(authority), timeout=60) as client:
            bodies = [str(n).encode() * 1000 for n in range(200)]
            answers = await asyncio.gather(*(client.post(f"{base}/echo", content=body) for body in bodies))
            return [answer.content == body * 10 for answer, body in zip(answers, bodies)]

    assert asyncio.run(all_of_them()) == [True] * 200


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_large_bodies_go_both_ways_at_once(base, backend, authority, chunked):
    backend.on("/up", take)
    backend.on("/down", give(LARGE, chunked))

    async def upload(client):
        async def parts():
            for part in pattern(LARGE):
                yield part
        headers = {} if chunked else {"Content-Length": str(LARGE)}
        return (await client.post(f"{base}/up", content=parts(), headers=headers)).json()

    async def download(client):
        async with client.stream("GET", f"{base}/down") as answer:
            return digest([part async for part in answer.aiter_raw()])

    async def both():
        async with httpx.AsyncClient(http1=False, http2=True, verify=context(authority), timeout=60) as client:
            return await asyncio.gather(upload(client), download(client), download(client))

    assert asyncio.run(both()) == [digest(pattern(LARGE))] * 3


class Endless:
    """A handler that never stops sending, and says when nobody listens any more."""

    def __init__(self):
        self.gone = threading.Event()

    def __call__(self, exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        try:
            while True:
                exchange.send(bytes(65_536))
        except OSError:
            self.gone.set()
            exchange.close()


def test_a_client_that_does_not_read_holds_its_own_stream_back_alone(nines, backend):
    """Nothing is read, and no window given: the backend is stopped, other streams and clients go on."""
    sent = 0

    def flood(exchange):
        nonlocal sent
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * MEGABYTE))
        exchange.reader.socket.settimeout(2)
        try:
            for _ in range(100):
                exchange.send(bytes(MEGABYTE))
                sent += 1
        except OSError:
            pass
        exchange.close()

    backend.on("/flood", flood)
    with Http2(nines.port) as slow:
        stream = slow.open("/flood")
        slow.send(frame(8, 0, 0, (1 << 20).to_bytes(4, "big")))
        assert slow.quiet(stream, 1) == 65_535
        assert slow.works() and get(nines.port).status == 200
        backend.wait_idle("/flood")
        assert sent < 16, "the answer was buffered for the slow reader"


def test_a_backend_that_does_not_read_holds_the_upload_back(nines, backend):
    release = threading.Event()
    backend.on("/up", lambda exchange: (release.wait(30), take(exchange)))
    with Http2(nines.port) as uploader:
        stream = uploader.open("/up", "POST", end=False)
        room = {0: 65_535, stream: uploader.settings.get(4, 65_535)}
        sent, stalled = 0, False
        uploader.socket.settimeout(1)
        while not stalled:
            part = min(room[0], room[stream], 16_384)
            if part:
                uploader.send(frame(DATA, 0, stream, bytes(part)))
                room[0], room[stream], sent = room[0] - part, room[stream] - part, sent + part
                assert sent < 32 * MEGABYTE, "an upload is swallowed that nobody reads"
                continue
            try:
                got = uploader.next()
            except TimeoutError:
                stalled = True
            else:
                if got.type == 8 and got.stream_id in room:
                    room[got.stream_id] += got.window_increment
        uploader.socket.settimeout(10)
        assert get(nines.port).status == 200
        release.set()
        uploader.send(frame(DATA, END_STREAM, stream))
        assert json.loads(uploader.response(stream).body)["length"] == sent


# --- Node ---

def test_node_s_client_has_one_session(base, backend):
    backend.on("/echo", lambda exchange: exchange.respond(200, exchange.read_body()))
    backend.on("/trailers", lambda exchange: exchange.respond_chunked([b"x"], trailers=[("X-Sum", "42")],
                                                                      headers=[("Trailer", "X-Sum")]))
    backend.on("/large", give(5 * MEGABYTE, chunked=True))
    endless = Endless()
    backend.on("/endless", endless)
    done = subprocess.run(["node", SCRIPT, base], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result.pop("trailers")["x-sum"] == "42"
    assert result.pop("large") == digest(pattern(5 * MEGABYTE))
    assert result.pop("protocol") == ("h2" if base.startswith("https") else "h2c")
    result.pop("push")
    assert endless.gone.wait(10), "the backend still sends what was cancelled"
    assert result == {"inOrder": True, "after": "still here", "connectProtocol": True, "sessions": 1}


# --- h2load ---

@pytest.mark.parametrize("path, clients, streams, requests", [("/small", 4, 100, 5000), ("/page", 4, 20, 500)])
def test_h2load_counts_no_failure(base, backend, path, clients, streams, requests):
    backend.on("/small", lambda exchange: exchange.respond(200, b"x"))
    backend.on("/page", give(100_000, chunked=False))
    done = subprocess.run(["h2load", f"-n{requests}", f"-c{clients}", f"-m{streams}", "-t2", base + path],
                          capture_output=True, text=True, timeout=80, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(re.findall(r"(\d+) (\w+)", re.search("requests: (.*)", done.stdout)[1])[n][::-1] for n in range(7))
    assert counts == {"total": str(requests), "started": str(requests), "done": str(requests),
                      "succeeded": str(requests), "failed": "0", "errored": "0", "timeout": "0"}, done.stdout
    assert f"{requests} 2xx" in done.stdout


def test_h2load_uploads(base, backend, tmp_path):
    backend.on("/up", take)
    path = tmp_path / "body"
    path.write_bytes(b"".join(pattern(300_000)))
    done = subprocess.run(["h2load", "-n200", "-c4", "-m10", "-d", path, base + "/up"], capture_output=True, text=True,
                          timeout=80, check=False)
    assert "200 succeeded, 0 failed, 0 errored" in done.stdout and "200 2xx" in done.stdout, done.stdout


# --- WebSocket (RFC 8441) ---

class WebSocket:
    """A WebSocket in a stream: h2 makes the frames of the one, wsproto those of the other."""

    def __init__(self, port, path, tls):
        self.connection = Http2(port, tls=tls, greeting=None)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.ws = wsproto.Connection(wsproto.ConnectionType.CLIENT)
        self.headers, self.inbox, self.text = None, [], ""
        self.flush()
        while not self.h2.remote_settings.enable_connect_protocol:
            self.pump()
        self.stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(self.stream, [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", self.connection.scheme), (":path", path),
            (":authority", "shop.test"), ("sec-websocket-version", "13"), ("sec-websocket-protocol", "echo.nines"),
            ("origin", "https://shop.test")])
        self.flush()
        while self.headers is None:
            self.pump()

    def flush(self):
        self.connection.send(self.h2.data_to_send())

    def pump(self):
        data = self.connection.socket.recv(65_536)
        assert data, "the connection ended"
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.headers = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.data:
                    self.ws.receive_data(event.data)
                self.take()
            elif isinstance(event, h2.events.StreamEnded):
                self.inbox.append("ended")
        self.flush()

    def take(self):
        for event in self.ws.events():
            if isinstance(event, (wsproto.events.TextMessage, wsproto.events.BytesMessage)):
                self.text = event.data if not self.text else self.text + event.data
                if event.message_finished:
                    self.inbox.append(self.text)
                    self.text = ""
            else:
                self.inbox.append(event)

    def send(self, event):
        data = self.ws.send(event)
        while data:
            room = min(self.h2.local_flow_control_window(self.stream), self.h2.max_outbound_frame_size)
            if not room:
                self.pump()
                continue
            self.h2.send_data(self.stream, data[:room])
            data = data[room:]
            self.flush()

    def receive(self):
        while not self.inbox:
            self.pump()
        return self.inbox.pop(0)


@pytest.fixture(scope="module")
def chat(start):
    with subprocess.Popen(["node", SCRIPT.parent / "websocket.mjs", "server"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, env=os.environ) as server:
        port = int(server.stdout.readline())
        yield start(f'[pool.chat]\nservers = ["127.0.0.1:{port}"]\n[site.default]\ntls = "self-signed"\n'
                    '[site.default.route]\n"/" = { pool = "chat" }\n', https=True)
        server.stdin.close()


@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "tls"])
def test_a_websocket_in_a_stream_reaches_npm_s_ws(chat, tls):
    socket = WebSocket(chat.https if tls else chat.port, "/chat?room=1", tls)
    assert socket.headers[":status"] == "200" and socket.headers["sec-websocket-protocol"] == "echo.nines"
    assert "sec-websocket-accept" not in socket.headers, "RFC 8441 §5: it belongs to the upgrade of HTTP/1.1"
    assert json.loads(socket.receive())["path"] == "/chat?room=1"
    socket.send(wsproto.events.TextMessage("grüße"))
    assert socket.receive() == "grüße"
    blob = os.urandom(MEGABYTE)
    socket.send(wsproto.events.BytesMessage(blob))
    assert bytes(socket.receive()) == blob
    for n in range(200):
        socket.send(wsproto.events.TextMessage(f"message {n}"))
    assert [socket.receive() for _ in range(200)] == [f"message {n}" for n in range(200)]
    socket.send(wsproto.events.TextMessage("close, please"))
    closing = socket.receive()
    assert (closing.code, closing.reason) == (4009, "as you wish")
    socket.send(closing.response())
    assert socket.receive() == "ended"


def test_a_websocket_s_stream_ends_at_the_backend_with_a_reset(nines, backend):
    gone = threading.Event()

    def endure(exchange):
        accept = generate_accept_token(exchange.request.get("sec-websocket-key").encode()).decode()
        exchange.send(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                      f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        if exchange.wait_gone(10):
            gone.set()

    backend.on("/socket", endure)
    socket = WebSocket(nines.port, "/socket", tls=False)
    assert socket.headers[":status"] == "200"
    socket.h2.reset_stream(socket.stream, 8)
    socket.flush()
    assert gone.wait(10), "the backend was not told that the client is gone"
