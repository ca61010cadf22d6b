"""A backend that can behave in every way, good and bad, because a test writes its bytes.

    backend.on("/slow", lambda exchange: exchange.respond(200, b"at last"))

A handler runs in the connection's thread. Whatever has no handler is answered by `describe`: the request as the
backend saw it, as JSON.
"""

import fcntl
import hashlib
import json
import select
import socket
import struct
import termios
import threading
import time
from dataclasses import dataclass, field

CHUNK = 65_536


@dataclass
class Request:
    """A request as it came in, byte for byte where that matters."""

    method: str
    target: str
    version: str
    headers: list
    connection: int
    body: bytes = b""
    trailers: list = field(default_factory=list)

    @property
    def path(self):
        return self.target.partition("?")[0]

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name, default=None):
        return next(iter(self.all(name)), default)


class Gone(Exception):
    """The other side closed the connection."""


class Exchange:
    """One request and the connection on which its answer is written."""

    def __init__(self, backend, reader, request):
        self.backend, self.reader, self.request = backend, reader, request
        self.keep = request.version == "HTTP/1.1" and "close" not in request.get("connection", "").lower()
        self.body_is_read = False

    def parts(self):
        """The request's body as it arrives; the trailers are in the request afterwards."""
        self.body_is_read = True
        if self.request.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self.reader.line().partition(b";")[0], 16):
                yield from self.reader.exactly(size)
                assert self.reader.line() == b""
            self.request.trailers = self.reader.fields()
        else:
            yield from self.reader.exactly(int(self.request.get("content-length", 0)))

    def read_body(self):
        self.request.body = b"".join(self.parts())
        return self.request.body

    def send(self, data):
        self.reader.socket.sendall(data)

    def respond(self, status=200, body=b"", headers=(), reason="OK"):
        if not self.body_is_read:
            self.read_body()
        lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body)}",
                 *(f"{name}: {value}" for name, value in headers)]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self.send(head if self.request.method == "HEAD" else head + body)

    def respond_chunked(self, parts, trailers=(), headers=()):
        if not self.body_is_read:
            self.read_body()
        lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *(f"{name}: {value}" for name, value in headers)]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        for part in parts:
            self.send(b"%x\r\n%s\r\n" % (len(part), part))
        self.send(b"0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in trailers) + b"\r\n")

    def close(self):
        """Ends the connection after this exchange, in order."""
        self.keep = False

    def reset(self):
        """Ends the connection at once, as a crash would."""
        self.keep = False
        self.reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.reader.socket.close()

    def wait_gone(self, seconds=5):
        """Whether the proxy ends this connection within that time; what it still sends is thrown away."""
        self.keep = False
        deadline = time.monotonic() + seconds
        try:
            while (left := deadline - time.monotonic()) > 0:
                self.reader.socket.settimeout(left)
                if not self.reader.socket.recv(CHUNK):
                    return True
        except TimeoutError:
            return False
        except OSError:
            return True
        return False


class Reader:
    """Reads lines and bodies from a connection, counting every byte."""

    def __init__(self, connection, backend):
        self.socket, self.backend, self.buffer = connection, backend, b""
        self.era = None  # the backend's, when the request began that is under way

    def fill(self):
        data = self.backend.receive(self)
        if not data:
            raise Gone
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def fields(self):
        found = []
        while line := self.line():
            name, _, value = line.decode("latin-1").partition(":")
            found.append((name, value.strip()))
        return found

    def exactly(self, size):
        while size:
            if not self.buffer:
                self.fill()
            part, self.buffer = self.buffer[:size], self.buffer[size:]
            size -= len(part)
            yield part


class Backend:
    """Listens on a free port of 127.0.0.1, with TLS if it is given an `ssl` context; remembers every request and counts
    connections and bytes. `begin` is called with each new connection."""

    def __init__(self, name="backend", port=0, tls=None):
        self.name, self.tls = name, tls
        self.handlers, self.otherwise, self.begin = {}, describe, None
        self.busy, self.idle = 0, threading.Condition()
        self.readers, self.era = set(), 0
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.forget()
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def on(self, path, handler):
        self.handlers[path] = handler

    def forget(self, seconds=10):
        """Starts the memory anew. What has been sent to this backend by now is no part of it: what waits in the kernel is
        read before, and a request that is under way counts no more."""
        with self.idle:
            assert self.idle.wait_for(lambda: not self.something_waits(), seconds), "what was sent here is not read"
            self.requests, self.failures = [], []
            self.connections = self.bytes_received = 0
            self.era += 1

    def something_waits(self):
        """Whether the kernel has something that nobody has looked at: a connection, or what comes between requests."""
        waiting = lambda reader: reader.era is None and unread(reader.socket)
        return is_open(self.listener) and readable(self.listener, 0) or any(map(waiting, self.readers))

    def receive(self, reader):
        """What comes next on a connection, counted as it leaves the kernel."""
        if not (self.tls and reader.socket.pending()) and not readable(reader.socket, reader.socket.gettimeout()):
            raise TimeoutError
        with self.idle:
            data = reader.socket.recv(CHUNK)
            if reader.era is None:
                reader.era = self.era
            if reader.era == self.era:
                self.bytes_received += len(data)
            self.idle.notify_all()
        return data

    def seen(self, path):
        return [request for request in self.requests if request.path == path]

    def wait_idle(self, path, seconds=10):
        """Waits until a request for the path has been seen and none is being served any more."""
        with self.idle:
            assert self.idle.wait_for(lambda: self.seen(path) and not self.busy, seconds)

    def work(self, change):
        with self.idle:
            self.busy += change
            self.idle.notify_all()

    def stop(self):
        # Wakes the thread in accept(), which close() alone would not.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def accept(self):
        while True:
            try:
                readable(self.listener, None)
                with self.idle:
                    connection, _ = self.listener.accept()
                    self.connections += 1
                    number, reader = self.connections, Reader(connection, self)
                    self.readers.add(reader)
                    self.idle.notify_all()
            except (OSError, ValueError):  # it is closed
                return
            threading.Thread(target=self.serve, args=(reader, number), daemon=True).start()

    def serve(self, reader, number):
        reader.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self.tls:
                reader.socket = self.tls.wrap_socket(reader.socket, server_side=True)
            if self.begin:
                self.begin(reader.socket)
            with self.idle:
                self.idle.notify_all()
            with reader.socket:
                while self.one(reader, number):
                    if not reader.buffer:
                        reader.era = None
        except (Gone, OSError):
            pass
        except Exception as error:  # a fault of the test's handler: the test shall hear of it
            self.failures.append(error)
            raise
        finally:
            with self.idle:
                self.readers.discard(reader)
                self.idle.notify_all()

    def one(self, reader, number):
        method, target, version = reader.line().decode("latin-1").split(" ")
        self.work(+1)
        try:
            request = Request(method, target, version, reader.fields(), number)
            with self.idle:
                if reader.era == self.era:  # otherwise it is of a memory that was forgotten
                    self.requests.append(request)
            exchange = Exchange(self, reader, request)
            self.handlers.get(request.path, self.otherwise)(exchange)
            if not exchange.body_is_read and exchange.keep:
                exchange.read_body()
            return exchange.keep
        finally:
            self.work(-1)


def is_open(socket):
    return socket.fileno() >= 0


def readable(socket, seconds):
    """Waits that long, or with `None` for ever, until there is something to read, an end or an error."""
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def unread(socket):
    """The bytes that have come and were not read."""
    if not is_open(socket):
        return 0
    return struct.unpack("i", fcntl.ioctl(socket, termios.FIONREAD, struct.pack("i", 0)))[0]


def describe(exchange):
    """Answers with the request as it arrived here."""
    request, body = exchange.request, exchange.read_body()
    exchange.respond(200, json.dumps({
        "backend": exchange.backend.name, "method": request.method, "target": request.target,
        "headers": [[name.lower(), value] for name, value in request.headers],
        "body": body.decode("latin-1"), "trailers": request.trailers, "connection": request.connection,
    }).encode(), [("Content-Type", "application/json")])


# --- bodies that are too large to hold ---

PATTERN = hashlib.sha256(b"nines").digest() * 2048  # 64 KiB


def pattern(size):
    """`size` bytes in parts, always the same ones."""
    while size > 0:
        yield PATTERN[:size]
        size -= len(PATTERN)


def digest(parts):
    total, length = hashlib.sha256(), 0
    for part in parts:
        total.update(part)
        length += len(part)
    return {"sha256": total.hexdigest(), "length": length}


def take(exchange):
    """Swallows a body of any size and answers with its checksum."""
    exchange.respond(200, json.dumps(digest(exchange.parts())).encode(), [("Content-Type", "application/json")])


def give(size, chunked):
    """A handler that answers with `size` bytes."""
    def handler(exchange):
        exchange.read_body()
        if chunked:
            exchange.respond_chunked(pattern(size))
        else:
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for part in pattern(size):
                exchange.send(part)
    return handler
