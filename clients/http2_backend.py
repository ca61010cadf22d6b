"""A backend that speaks HTTP/2 with prior knowledge or over TLS, and does with each stream what a test says.

    backend.on("/slow", lambda stream: stream.respond(200, b"at last"))

Handlers run in threads; what has none is answered with the request as JSON.
"""

import json
import socket
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from http2 import INITIAL_WINDOW_SIZE, REFUSED_STREAM, settings


class Stream:
    """A request, and where its answer goes."""

    def __init__(self, connection, number, headers):
        self.connection, self.number = connection, number
        self.headers = [(name.decode(), value.decode("latin-1")) for name, value in headers]
        self.body, self.trailers = b"", []
        self.ended, self.gone = threading.Event(), threading.Event()

    def get(self, name):
        return next((value for key, value in self.headers if key == name), None)

    @property
    def path(self):
        return self.get(":path").partition("?")[0]

    def respond(self, status=200, body=b"", headers=(), trailers=()):
        self.begin([(":status", str(status)), ("content-length", str(len(body))), *headers], not body and not trailers)
        if body:
            self.send(body, end=not trailers)
        if trailers:
            self.begin(trailers, True)

    def begin(self, fields, end=False):
        self.connection.do(lambda h2: h2.send_headers(self.number, list(fields), end_stream=end))

    def send(self, data, end=False):
        """Sends as much as the window allows, and waits for more of it."""
        at = 0
        while at < len(data):
            with self.connection.windows:
                self.connection.windows.wait_for(lambda: self.gone.is_set() or self.room() > 0, 20)
            if self.gone.is_set():
                raise ConnectionError("the stream was reset")
            part = data[at:at + min(self.room(), 16_384)]
            at += len(part)
            self.connection.do(lambda h2: h2.send_data(self.number, part, end_stream=end and at == len(data)))

    def room(self):
        with self.connection.lock:
            return self.connection.h2.local_flow_control_window(self.number)

    def reset(self, code):
        self.connection.do(lambda h2: h2.reset_stream(self.number, code))

    def raw(self, data):
        """Bytes that h2 would not send."""
        self.connection.write(data)


class Connection:
    def __init__(self, backend, connected, number):
        self.backend, self.socket, self.number = backend, connected, number
        self.lock, self.windows = threading.RLock(), threading.Condition()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False))
        self.streams, self.open, self.open_most = {}, 0, 0

    def do(self, what):
        with self.lock:
            what(self.h2)
            self.socket.sendall(self.h2.data_to_send())

    def write(self, data):
        with self.lock:
            self.socket.sendall(data)

    def serve(self):
        with self.lock:
            self.do(lambda h2: h2.initiate_connection())
            # They hold once they are acknowledged; until then a client goes by what the RFC says.
            self.do(lambda h2: h2.update_settings({INITIAL_WINDOW_SIZE: self.backend.window}))
            # h2 would end the connection over a stream too many; here it is refused.
            self.write(settings(MAX_CONCURRENT_STREAMS=self.backend.streams_max))
        while data := self.socket.recv(65_536):
            with self.lock:
                events = self.h2.receive_data(data)
                self.do(lambda h2: None)
            for event in events:
                self.take(event)
            with self.windows:
                self.windows.notify_all()

    def take(self, event):
        number = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            stream = self.streams[number] = Stream(self, number, event.headers)
            if self.open >= self.backend.streams_max:
                stream.reset(REFUSED_STREAM)
                return
            self.backend.requests.append(stream)
            self.open += 1
            self.open_most = max(self.open_most, self.open)
            threading.Thread(target=self.answer, args=(stream,), daemon=True).start()
        elif isinstance(event, h2.events.DataReceived):
            self.streams[number].body += event.data
            if not self.backend.stalls and event.flow_controlled_length:
                self.do(lambda h2: h2.acknowledge_received_data(event.flow_controlled_length, number))
        elif isinstance(event, h2.events.TrailersReceived):
            self.streams[number].trailers = [(name.decode(), value.decode()) for name, value in event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            self.streams[number].ended.set()
        elif isinstance(event, h2.events.StreamReset) and number in self.streams:
            self.streams[number].gone.set()

    def answer(self, stream):
        try:
            self.backend.handlers.get(stream.path, describe)(stream)
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            self.open -= 1


class Http2Backend:
    def __init__(self, name="backend", streams_max=100, window=65_535, tls=None):
        self.name, self.streams_max, self.window, self.tls = name, streams_max, window, tls
        self.handlers, self.requests, self.connections, self.stalls = {}, [], [], False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def on(self, path, handler):
        self.handlers[path] = handler

    def seen(self, path):
        return [stream for stream in self.requests if stream.path == path]

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def accept(self):
        while True:
            try:
                connected, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connected,), daemon=True).start()

    def serve(self, connected):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self.tls:
                connected = self.tls.wrap_socket(connected, server_side=True)
                assert connected.selected_alpn_protocol() == "h2"
            connection = Connection(self, connected, len(self.connections))
            self.connections.append(connection)
            with connected:
                connection.serve()
        except (OSError, h2.exceptions.ProtocolError):
            pass


def describe(stream):
    assert stream.ended.wait(20)
    stream.respond(200, json.dumps({
        "backend": stream.connection.backend.name, "connection": stream.connection.number, "headers": stream.headers,
        "body": stream.body.decode("latin-1"), "trailers": stream.trailers}).encode(),
        [("content-type", "application/json")])
