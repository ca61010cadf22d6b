"""A client that sends exactly the bytes it is told to, and reads answers without forgiving anything."""

import socket
from dataclasses import dataclass, field


@dataclass
class Response:
    """A final response, with the interim ones (1xx) that came before it."""

    status: int
    version: str
    headers: list
    body: bytes = b""
    trailers: list = field(default_factory=list)
    interim: list = field(default_factory=list)

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name, default=None):
        return next(iter(self.all(name)), default)


class Truncated(Exception):
    """The connection ended before the message did; `response` is what there was of it."""

    def __init__(self, response=None):
        super().__init__("the connection ended before the message did")
        self.response = response


class Wire:
    """A connection to a port of 127.0.0.1, from another loopback address if there is a `source`."""

    def __init__(self, port, timeout=10, receive_buffer=None, source=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.socket.bind((source, 0))
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def fill(self):
        data = self.socket.recv(65_536)
        if not data:
            raise Truncated
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def exactly(self, size):
        while len(self.buffer) < size:
            self.fill()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def fields(self):
        found = []
        while line := self.line():
            name, colon, value = line.decode("latin-1").partition(":")
            assert colon, f"a header without a colon: {line!r}"
            found.append((name, value.strip()))
        return found

    def head(self):
        version, status, *_ = self.line().decode("latin-1").split(" ", 2)
        return Response(int(status), version, self.fields())

    def response(self, method="GET"):
        """The next final response. Raises Truncated when the connection ends within it."""
        interim = []
        while (response := self.head()).status < 200 and response.status != 101:
            interim.append(response)
        response.interim = interim
        if method == "HEAD" or response.status in (101, 204, 304):
            return response
        try:
            self.read_body(response)
        except Truncated:
            raise Truncated(response) from None
        return response

    def read_body(self, response):
        if response.get("transfer-encoding"):
            assert response.get("transfer-encoding").lower() == "chunked"
            assert response.get("content-length") is None, "both a length and chunks"
            while size := int(self.line().partition(b";")[0], 16):
                response.body += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
            response.trailers = self.fields()
        elif response.get("content-length") is not None:
            assert len(response.all("content-length")) == 1
            wanted = int(response.get("content-length"))
            while len(self.buffer) < wanted:
                try:
                    self.fill()
                except Truncated:
                    response.body, self.buffer = self.buffer, b""
                    raise
            response.body = self.exactly(wanted)
        else:
            response.body = self.rest()

    def rest(self):
        """All bytes until the other side closes."""
        try:
            while True:
                self.fill()
        except (Truncated, ConnectionResetError):
            data, self.buffer = self.buffer, b""
            return data

    def is_closed(self, seconds=3):
        """Whether the other side closes within that time without another byte."""
        self.socket.settimeout(seconds)
        try:
            return not self.buffer and self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True


def ask(port, data, method="GET", **options):
    """One connection, one request, one response."""
    with Wire(port, **options) as wire:
        wire.send(data)
        return wire.response(method)


def get(port, path="/", host="shop.test", headers=(), method="GET", **options):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    return ask(port, "\r\n".join(lines) + "\r\n\r\n", method, **options)
