"""HTTP/3 by aioquic: one connection, its requests and what came back."""

import asyncio
import ssl
from contextlib import asynccontextmanager

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset
from wire import Response

UNACKNOWLEDGED_MAX = 1 << 20


class Reset(Exception):
    """The server gave the stream up."""

    def __init__(self, code):
        super().__init__(f"the stream was reset with {code:#x}")
        self.code = code


class Http3(QuicConnectionProtocol):
    """A client's connection; `inboxes` holds the events of each stream that is waited for."""

    def __init__(self, *words, **more):
        super().__init__(*words, **more)
        self.http = H3Connection(self._quic)
        self.inboxes, self.terminated = {}, None

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.terminated = event
            for inbox in self.inboxes.values():
                inbox.put_nowait(event)
        elif isinstance(event, StreamReset) and event.stream_id in self.inboxes:
            self.inboxes[event.stream_id].put_nowait(event)
        for event in self.http.handle_event(event):
            if isinstance(event, (HeadersReceived, DataReceived)) and event.stream_id in self.inboxes:
                self.inboxes[event.stream_id].put_nowait(event)

    def open(self, path="/", method="GET", extra=(), end=True, authority="shop.test", fields=None):
        stream = self._quic.get_next_available_stream_id()
        self.inboxes[stream] = asyncio.Queue()
        self.http.send_headers(stream, encoded(fields or [
            (":method", method), (":scheme", "https"), (":authority", authority), (":path", path), *extra]), end)
        self.transmit()
        return stream

    async def send(self, stream, parts, trailers=()):
        """Sends a body as fast as it is taken."""
        for part in parts:
            self.http.send_data(stream, part, end_stream=False)
            self.transmit()
            sender = self._quic._streams[stream].sender  # aioquic tells nobody how much waits
            while sender._buffer_stop - sender._buffer_start > UNACKNOWLEDGED_MAX and not self.terminated:
                await asyncio.sleep(0.001)
        if trailers:
            self.http.send_headers(stream, encoded(trailers), end_stream=True)
        else:
            self.http.send_data(stream, b"", end_stream=True)
        self.transmit()

    async def events(self, stream):
        while True:
            event = await asyncio.wait_for(self.inboxes[stream].get(), 30)
            if isinstance(event, ConnectionTerminated):
                raise ConnectionError(f"the connection ended with {event.error_code:#x} {event.reason_phrase}")
            if isinstance(event, StreamReset):
                raise Reset(event.error_code)
            yield event
            if event.stream_ended:
                return

    async def response(self, stream, into=None):
        """The stream's response; the parts of its body go to `into` if they are too large to hold."""
        response, interim = None, []
        async for event in self.events(stream):
            if isinstance(event, DataReceived):
                if into is not None:
                    into(event.data)
                else:
                    response.body += event.data
                continue
            fields = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
            if response is not None:
                response.trailers = fields
                continue
            assert fields[0][0] == ":status"
            head = Response(int(fields[0][1]), "HTTP/3", fields[1:])
            if head.status < 200:
                interim.append(head)
            else:
                response = head
                response.interim = interim
        return response

    async def get(self, path="/", **more):
        return await self.response(self.open(path, **more))

    def cancel(self, stream):
        """Gives a request up (RFC 9114 §4.1.1)."""
        self._quic.stop_stream(stream, ErrorCode.H3_REQUEST_CANCELLED)
        self._quic.reset_stream(stream, ErrorCode.H3_REQUEST_CANCELLED)
        self.transmit()


def encoded(fields):
    return [(name.encode(), value.encode()) for name, value in fields]


@asynccontextmanager
async def http3(port, name="shop.test", ca=None, tickets=None, **more):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=name, **more)
    if ca:
        configuration.load_verify_locations(str(ca))
    else:
        configuration.verify_mode = ssl.CERT_NONE
    async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Http3,
                       session_ticket_handler=tickets.append if tickets is not None else None) as connection:
        yield connection


def run(port, work, **more):
    """Runs `work(connection)` on a connection of its own."""
    async def connected():
        async with http3(port, **more) as connection:
            return await work(connection)
    return asyncio.run(asyncio.wait_for(connected(), 60))
