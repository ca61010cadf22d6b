"""An origin that knows every byte it gave, and that can lie, stall, break off and be slow, as a test says."""

import dataclasses
import itertools
import random
import re
import socket
import threading
import time
from dataclasses import dataclass, field

from backend import Backend, Gone
from cdn_bytes import Body

PART = 65_536


class Gate:
    """Holds an answer: before its head, or before the body's byte `at`, until it is opened."""

    def __init__(self, at=None, seconds=20):
        self.at, self.seconds = at, seconds
        self.waiting, self.opened, self.held = threading.Event(), threading.Event(), 0

    def hold(self):
        self.held += 1
        self.waiting.set()
        if not self.opened.wait(self.seconds):
            raise Gone

    def reached(self):
        assert self.waiting.wait(10), "nobody asked"

    def open(self):
        self.opened.set()


@dataclass(frozen=True)
class Fault:
    """What goes wrong at the body's byte `at`: `end` (in order), `reset`, `stall`, `chunk` (its length is none), and `more`: bytes
    after what should have been the last."""

    kind: str
    at: int = 0
    more: bytes = b""


@dataclass
class Thing:
    """What is at a path, its query included. `fields` are sent as they are."""

    path: str
    size: int = 1000
    version: int = 1
    status: int = 200
    fields: tuple = (("Cache-Control", "max-age=60"),)
    etag: str | None = "strong"
    vary: tuple = ()
    framing: str = "length"  # or "chunked", or "close" (HTTP/1.0)
    ranges: bool = True
    gate: Gate | None = None
    fault: Fault | None = None
    jitter: float = 0  # seconds, at most, before the head and in the middle of the body
    instead: object = None  # called with the exchange, and answers it
    asked: list = field(default_factory=list)

    def body(self, request):
        return Body(self.path, self.version, self.size, "|".join(request.get(name, "") for name in self.vary))

    def dawdle(self):
        """Being slow is what it is told to, and nothing that a test waits for."""
        if self.jitter:
            time.sleep(random.uniform(0, self.jitter))

    def tag(self, body):
        tag = f'"{body.version}-{hash_of(body.variant)}"'
        return {None: None, "strong": tag, "weak": f"W/{tag}"}[self.etag]


def hash_of(text):
    return f"{sum(at * ord(letter) for at, letter in enumerate(text, 1)):x}"


class Origin(Backend):
    """Things by path. A request is answered by the thing as it is when the request comes."""

    def __init__(self, **more):
        super().__init__("origin", **more)
        self.things, self.otherwise, self.lock = {}, self.answer, threading.Lock()
        self.numbers = itertools.count()

    def put(self, path=None, **what):
        """A new thing, by default at a path where nobody has been."""
        path = path or f"/thing-{next(self.numbers)}"
        self.things[path] = Thing(path, **what)
        return self.things[path]

    def publish(self, thing, **changes):
        """The next version. Whoever asks from now on gets this one."""
        with self.lock:
            for name, value in changes.items():
                setattr(thing, name, value)
            thing.version += 1
            return thing.version

    def die(self):
        """As a process does: nobody listens, and what was connected ends."""
        self.stop()
        for reader in list(self.readers):
            try:
                reader.socket.shutdown(socket.SHUT_RDWR)
            except OSError:  # it is gone already
                pass

    def revive(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
        threading.Thread(target=self.accept, daemon=True).start()

    def answer(self, exchange):
        request = exchange.request
        exchange.read_body()
        known = self.things.get(request.target)
        if known is None:
            return exchange.respond(404, b"nothing here", reason="Not Found")
        with self.lock:
            thing = dataclasses.replace(known)  # as it is now
            known.asked.append(request)
        if thing.instead:
            return thing.instead(exchange)
        if thing.gate and thing.gate.at is None:
            thing.gate.hold()
        thing.dawdle()
        Answer(exchange, thing).send()


class Answer:
    """One answer of a thing, as it was when it was asked for."""

    def __init__(self, exchange, thing):
        self.exchange, self.thing, self.request = exchange, thing, exchange.request
        self.body = thing.body(exchange.request)
        self.tag = thing.tag(self.body)

    def send(self):
        if self.tag and self.tag.removeprefix("W/") in self.request.get("if-none-match", "").replace("W/", ""):
            return self.head(304, "Not Modified")
        start, stop = self.range()
        partial = (start, stop) != (0, self.body.size)
        fields = [("Content-Range", f"bytes {start}-{stop - 1}/{self.body.size}")] if partial else []
        if self.thing.framing == "length":
            fields.append(("Content-Length", stop - start))
        elif self.thing.framing == "chunked":
            fields.append(("Transfer-Encoding", "chunked"))
        self.head(*((206, "Partial Content") if partial else (self.thing.status, "Whatever")), fields)
        if self.request.method != "HEAD":
            self.send_body(start, stop)
        if self.thing.framing == "close":
            self.exchange.close()

    def head(self, status, reason, fields=()):
        version = "HTTP/1.0" if self.thing.framing == "close" else "HTTP/1.1"
        fields = [*fields, ("X-Body", self.body.told), ("X-Served", len(self.thing.asked)), *self.thing.fields]
        if self.tag:
            fields.append(("ETag", self.tag))
        if self.thing.vary:
            fields.append(("Vary", ", ".join(self.thing.vary)))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        self.exchange.send(f"{version} {status} {reason}\r\n{lines}\r\n".encode())

    def range(self):
        """What is asked for of the body, which must be one range; all of it otherwise."""
        whole = 0, self.body.size
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.request.get("range", ""))
        if not found or not self.thing.ranges or self.thing.status != 200 or self.request.method != "GET":
            return whole
        if self.request.get("if-range", self.tag) != self.tag:
            return whole
        first, last = found.groups()
        start = int(first) if first else max(0, self.body.size - int(last))
        stop = min(int(last) + 1, self.body.size) if first and last else self.body.size
        return (start, stop) if start < stop else whole

    def send_body(self, start, stop):
        gate, fault = self.thing.gate, self.thing.fault
        at = start
        while at < stop:
            if gate and gate.at == at:
                gate.hold()
            if fault and fault.kind != "more" and fault.at == at:
                return self.fail(fault)
            until = min(stop, at + PART, *(one.at for one in (gate, fault) if one and one.at and one.at > at))
            self.send_part(self.body.bytes(at, until))
            at = until
            self.thing.dawdle()
        if self.thing.framing == "chunked":
            self.exchange.send(b"0\r\n\r\n")
        if fault and fault.kind == "more":
            self.exchange.send(fault.more)
            self.exchange.close()

    def send_part(self, part):
        self.exchange.send(b"%x\r\n%s\r\n" % (len(part), part) if self.thing.framing == "chunked" else part)

    def fail(self, fault):
        if fault.kind == "reset":
            self.exchange.reset()
        elif fault.kind == "stall":
            self.exchange.wait_gone(30)
        elif fault.kind == "chunk":
            self.exchange.send(b"what\r\n")
        self.exchange.close()
