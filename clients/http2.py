"""An HTTP/2 client that sends the frames it is told to, allowed or not, and forgives nothing."""

import socket
import ssl
import struct
import time

import hpack
from hyperframe.frame import Frame
from wire import Response

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Types, flags and settings of RFC 9113 §6 and §11, RFC 8441 §3.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, WITH_PRIORITY = 0x4, 0x8, 0x20
(HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE,
 MAX_HEADER_LIST_SIZE) = range(1, 7)
ENABLE_CONNECT_PROTOCOL = 8
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
 REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM) = range(12)

FRAME_MAX = 16_384
WINDOW = 65_535
WINDOW_MAX = 2**31 - 1

# A block without a table: `GET http://shop.test/` of three static fields and a literal :authority.
GET_ROOT = b"\x82\x86\x84\x01\x09shop.test"


def frame(kind, flags=0, stream=0, payload=b""):
    """A frame's bytes, whether it may be sent or not."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(**values):
    """A SETTINGS frame: `settings(INITIAL_WINDOW_SIZE=0)`."""
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", globals()[name], value)
                                            for name, value in values.items()))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def reset(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def request_fields(path="/", method="GET", extra=(), authority="shop.test", scheme="http"):
    return [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path), *extra]


def or_plain(code):
    """The code that the RFC names, or PROTOCOL_ERROR: of what its decoder refuses, the library beneath nines says no
    more than that. The connection ends all the same."""
    return code, PROTOCOL_ERROR


class Ended(Exception):
    """The server closed the connection; `code` is its GOAWAY's, if there was one."""

    def __init__(self, code=None):
        super().__init__(f"the connection ended, GOAWAY {code}")
        self.code = code


class Reset(Exception):
    """The server reset the stream."""

    def __init__(self, code, response=None):
        super().__init__(f"the stream was reset with {code}")
        self.code, self.response = code, response


def tls_socket(port, name="shop.test", alpn=("h2",), **options):
    """A TLS connection that verifies nothing and, by default, speaks HTTP/2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10), server_hostname=name, **options)


class Http2:
    """A connection to a port of 127.0.0.1. SETTINGS and PING are acknowledged, windows are left to the test."""

    def __init__(self, port, tls=False, name="shop.test", greeting=settings(ENABLE_PUSH=0), receive_buffer=None):
        if tls:
            self.socket = tls_socket(port, name)
            assert self.socket.selected_alpn_protocol() == "h2"
        else:
            self.socket = socket.socket()
            if receive_buffer:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.socket.settimeout(10)
            self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.scheme = "https" if tls else "http"
        self.buffer, self.block = b"", b""
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.settings, self.goaway = {}, None
        self.last, self.waiting = -1, []
        if greeting is not None:
            self.send(PREFACE, greeting)
            self.until(lambda one: one.type == SETTINGS and "ACK" in one.flags)
            assert self.settings is not None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # --- sending ---

    def send(self, *frames):
        try:
            self.socket.sendall(b"".join(frames))
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass  # the answer is what tells why

    def encode(self, fields):
        return self.encoder.encode(fields, huffman=False)

    def stream(self):
        """The next stream's number."""
        self.last += 2
        return self.last

    def open(self, path="/", method="GET", extra=(), end=True, fields=None, stream=None):
        """Sends a request's HEADERS; its stream."""
        stream = self.stream() if stream is None else stream
        fields = request_fields(path, method, extra, scheme=self.scheme) if fields is None else fields
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, self.encode(fields)))
        return stream

    # --- receiving ---

    def receive(self, size):
        while len(self.buffer) < size:
            try:
                data = self.socket.recv(65_536)
            except (ConnectionResetError, ssl.SSLEOFError):
                data = b""
            if not data:
                raise Ended(self.goaway)
            self.buffer += data
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def next(self):
        """The next frame; one of headers has its fields in `fields` (None in all but the last of a block)."""
        if self.waiting:
            return self.waiting.pop(0)
        head = self.receive(9)
        size = int.from_bytes(head[:3], "big")
        assert size <= FRAME_MAX, f"a frame of {size} bytes, and nothing but {FRAME_MAX} was agreed on"
        got, _ = Frame.parse_frame_header(memoryview(head))
        got.parse_body(memoryview(self.receive(size)))
        return self.take(got)

    def take(self, got):
        if got.type == SETTINGS and "ACK" not in got.flags:
            self.settings.update(got.settings)
            self.send(frame(SETTINGS, ACK))
        elif got.type == PING and "ACK" not in got.flags:
            self.send(frame(PING, ACK, 0, got.opaque_data))
        elif got.type == GOAWAY:
            self.goaway = got.error_code
        elif got.type in (HEADERS, CONTINUATION):
            self.block += got.data
            got.fields = None
            if "END_HEADERS" in got.flags:
                got.fields, self.block = self.decoder.decode(self.block), b""
        assert got.type != PUSH_PROMISE, "nobody wanted a push"
        return got

    def until(self, wanted):
        """The next frame that is wanted; those before it are forgotten."""
        while not wanted(got := self.next()):
            pass
        return got

    def response(self, stream, pay=True):
        """The stream's response. What comes for other streams is kept for them; windows are paid back, or not."""
        interim, response, kept = [], None, []
        try:
            while True:
                got = self.next()
                if got.stream_id != stream:
                    if got.stream_id:
                        kept.append(got)
                    continue
                if got.type == RST_STREAM:
                    raise Reset(got.error_code, response)
                if got.type == DATA:
                    assert response is not None, "a body before its head"
                    response.body += got.data
                    if pay and got.flow_controlled_length:
                        self.send(window_update(0, got.flow_controlled_length),
                                  window_update(stream, got.flow_controlled_length))
                elif got.type in (HEADERS, CONTINUATION) and got.fields is not None:
                    if response is not None:
                        response.trailers = got.fields
                    elif (head := self.head(got.fields)).status < 200:
                        interim.append(head)
                    else:
                        response = head
                        response.interim = interim
                if getattr(got, "flags", None) is not None and "END_STREAM" in got.flags:
                    assert response is not None, "a stream that ended without a response"
                    return response
        finally:
            self.waiting = kept + self.waiting

    def head(self, fields):
        names = [name for name, _ in fields]
        assert names[0] == ":status" and not any(name.startswith(":") for name in names[1:]), names
        assert all(name == name.lower() for name in names), names
        assert not set(names) & {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}, names
        return Response(int(fields[0][1]), "HTTP/2", fields[1:])

    def get(self, path="/", **more):
        return self.response(self.open(path, **more))

    # --- verdicts ---

    def works(self):
        """Whether the connection carries another request."""
        return self.get("/works").status == 200

    def quiet(self, stream, seconds=0.3):
        """The bytes of DATA that come for the stream within that time."""
        return self.listen(stream, seconds)[0]

    def listen(self, stream, seconds):
        total, ended, deadline = 0, False, time.monotonic() + seconds
        try:
            while not ended and (left := deadline - time.monotonic()) > 0:
                self.socket.settimeout(left)
                got = self.next()
                if got.stream_id == stream and got.type == RST_STREAM:
                    raise Reset(got.error_code)
                if got.stream_id == stream and got.type == DATA:
                    total, ended = total + len(got.data), ended or "END_STREAM" in got.flags
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(10)
        return total, ended

    def goes_away(self):
        """The code with which the server ends the connection: its GOAWAY's, once it has closed."""
        try:
            while True:
                self.next()
        except Ended as ended:
            return ended.code

    def verdict(self, stream):
        """What becomes of a stream that is at fault: ("reset", code), ("goaway", code) or ("status", status)."""
        try:
            return "status", self.response(stream).status
        except Reset as fault:
            return "reset", fault.code
        except Ended as fault:
            return "goaway", fault.code
