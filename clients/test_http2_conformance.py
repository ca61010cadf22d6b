"""RFC 9113 frame by frame: what a peer does wrong is answered with the error the RFC names, and with no other; what
it may do is not. Requests that are malformed are in test_http2_malformed.py."""

import struct
import threading

import pytest
from http2 import (ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_MAX,
                   FRAME_SIZE_ERROR, GET_ROOT, GOAWAY, HEADERS, NO_ERROR, PADDED, PING, PREFACE, PRIORITY,
                   PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW, WINDOW_UPDATE, Ended, frame,
                   or_plain, request_fields, reset, settings, window_update)
from http2_world import connect, either, h2, nines, waiting
from wire import ask


# --- 3.4 the preface ---

def test_the_server_s_first_frame_is_settings_and_ours_are_acknowledged(connect, backend):  # §3.4, §6.5.3
    h2 = connect(greeting=None)
    h2.send(PREFACE, settings())
    assert h2.next().type == SETTINGS
    assert "ACK" in h2.until(lambda got: got.type == SETTINGS).flags
    assert h2.works()


def test_requests_may_follow_the_preface_at_once(connect, backend):  # §3.4
    h2 = connect(greeting=None)
    h2.send(PREFACE, settings())
    assert h2.get().status == 200


def test_a_preface_may_come_in_pieces(connect, backend):  # §3.4
    h2 = connect(greeting=None)
    for byte in PREFACE + settings():
        h2.send(bytes([byte]))
    assert h2.get().status == 200


def test_a_wrong_preface_ends_the_connection(connect):  # §3.4
    h2 = connect(greeting=None)
    h2.send(PREFACE[:18] + b"XX\r\n\r\n", settings())
    # GOAWAY may be left out here; an answer in HTTP/1.1 (400) is no frame at all.
    try:
        while h2.socket.recv(65_536):
            pass
    except ConnectionResetError:
        pass


def test_what_follows_the_preface_must_be_settings(connect):  # §3.4
    h2 = connect(greeting=None)
    h2.send(PREFACE, frame(PING, payload=bytes(8)), settings())
    # Or it is taken as if it had come second: nothing has been read in two ways.
    try:
        assert h2.works()
    except Ended as ended:
        assert ended.code in (PROTOCOL_ERROR, None)


def test_http_1_1_is_still_spoken_on_the_same_port(nines, backend):  # §3.3
    assert ask(nines.port, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").status == 200


# --- 4.1 frames ---

def test_unknown_types_of_frames_are_ignored(either):  # §4.1, §5.5
    either.send(frame(0x16, 0xff, 0, b"who knows"), frame(0xff, 0, 1, b""))
    assert either.works()


def test_an_unknown_type_on_a_stream_that_is_open_is_ignored(h2, backend):  # §5.5
    backend.on("/", waiting)
    stream = h2.open(method="POST", end=False)
    h2.send(frame(0x16, END_STREAM, stream, b"who knows"), frame(DATA, END_STREAM, stream, b"body"))
    assert h2.response(stream).body == b"4 bytes"


def test_unknown_flags_are_ignored(h2):  # §4.1
    h2.send(frame(PING, 0x16, 0, b"whatever"))
    assert h2.until(lambda got: got.type == PING).opaque_data == b"whatever"
    assert h2.works()


def test_the_reserved_bit_of_a_stream_is_ignored(h2):  # §4.1
    h2.send(frame(PING, 0, 1 << 31, b"whatever"))
    assert h2.until(lambda got: got.type == PING).opaque_data == b"whatever"
    h2.open(stream=h2.stream() | 1 << 31)
    assert h2.response(h2.last).status == 200


# --- 4.2 the size of frames ---

def test_frames_of_the_default_size_are_taken(h2, backend):  # §4.2
    backend.on("/", waiting)
    stream = h2.open(method="POST", end=False)
    h2.send(frame(DATA, END_STREAM, stream, bytes(FRAME_MAX)))
    assert h2.response(stream).body == b"16384 bytes"


def test_data_beyond_the_frame_size_is_an_error(h2, backend):  # §4.2
    backend.on("/", waiting)
    size = h2.settings.get(5, FRAME_MAX) + 1
    stream = h2.open(method="POST", end=False)
    h2.send(frame(DATA, END_STREAM, stream, bytes(size)))
    kind, code = h2.verdict(stream)
    assert kind in ("reset", "goaway") and code == FRAME_SIZE_ERROR


@pytest.mark.parametrize("kind, stream", [(HEADERS, 1), (SETTINGS, 0), (CONTINUATION, 1), (0x16, 0)])
def test_other_frames_beyond_the_frame_size_end_the_connection(h2, kind, stream):  # §4.2
    if kind == CONTINUATION:
        h2.send(frame(HEADERS, 0, stream, h2.encode(request_fields())))
    h2.send(frame(kind, END_HEADERS if kind == HEADERS else 0, stream, bytes(h2.settings.get(5, FRAME_MAX) + 8)))
    assert h2.goes_away() == FRAME_SIZE_ERROR


def test_a_frame_size_that_the_client_raises_is_not_demanded_of_it(connect, backend):  # §4.2
    body = bytes(50_000)
    backend.on("/", lambda exchange: exchange.respond(200, body))
    h2 = connect(greeting=settings(MAX_FRAME_SIZE=FRAME_MAX, INITIAL_WINDOW_SIZE=WINDOW))
    assert h2.get().body == body  # `next` holds every frame against 16,384


# --- 4.3 HPACK (RFC 7541) ---

BLOCKS = {
    "index 0 (RFC 7541 §6.1)": GET_ROOT + b"\x80",
    "index beyond both tables (§2.3.3)": GET_ROOT + b"\xff\x00",
    "name's index beyond both tables (§2.3.3)": GET_ROOT + b"\x7f\x7f\x01x",
    "table larger than was allowed (§6.3)": b"\x3f\xe1\xff\x03" + GET_ROOT,
    "table's size after a field (§4.2)": GET_ROOT + b"\x20",
    "huffman code with a byte too much (§5.2)": GET_ROOT + b"\x00\x01x\x82\x1f\xff",
    "huffman code with three bytes of padding (§5.2)": GET_ROOT + b"\x00\x01x\x84\x1f\xff\xff\xff",
    "huffman code filled up with zeros (§5.2)": GET_ROOT + b"\x00\x01x\x81\x18",
    "huffman code with the end's symbol (§5.2)": GET_ROOT + b"\x00\x01x\x84\xff\xff\xff\xfc",
    "string longer than the block (§5.2)": GET_ROOT + b"\x00\x01x\x7f\x20abc",
    "name without a value (§6.2)": GET_ROOT + b"\x00\x01x",
    "number without an end (§5.1)": GET_ROOT + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_a_block_that_cannot_be_decoded_ends_the_connection(h2, backend, block):  # §4.3
    h2.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
    assert h2.goes_away() in or_plain(COMPRESSION_ERROR)
    assert backend.requests == []


def test_a_block_is_decoded_though_its_stream_is_refused(h2, backend):  # §4.3
    """The table is the connection's: what a refused request added to it is used by the next."""
    refused = h2.open(fields=request_fields(extra=[("te", "gzip"), ("x-kept", "in the table")]))
    assert h2.verdict(refused)[0] in ("reset", "status")
    assert h2.get("/next", extra=[("x-kept", "in the table")]).status == 200
    assert backend.seen("/next")[0].get("x-kept") == "in the table"


def test_a_client_without_a_table_is_sent_none(connect, backend):  # §6.5.2, RFC 7541 §4.2
    h2 = connect(greeting=settings(HEADER_TABLE_SIZE=0))
    h2.decoder.max_allowed_table_size = 0
    for _ in range(3):
        assert h2.get().status == 200  # the decoder raises where a table would be needed


def test_a_table_s_size_may_change_within_a_connection(h2, backend):  # RFC 7541 §4.2
    for size in (0, 100, 4096):
        h2.encoder.header_table_size = size
        assert h2.get("/sized", extra=[("x-size", str(size))]).status == 200
    assert [request.get("x-size") for request in backend.seen("/sized")] == ["0", "100", "4096"]


# --- 6.1 DATA ---

@pytest.mark.parametrize("kind", [DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION])
def test_frames_of_streams_do_not_belong_to_the_connection(h2, kind):  # §6.1 to §6.4, §6.10
    payload = {PRIORITY: bytes(5), RST_STREAM: bytes(4)}.get(kind, GET_ROOT)
    h2.send(frame(kind, END_HEADERS if kind in (HEADERS, CONTINUATION) else 0, 0, payload))
    assert h2.goes_away() == PROTOCOL_ERROR


def test_padding_is_taken_off(h2, backend):  # §6.1, §6.2
    stream = h2.stream()
    block = h2.encode(request_fields("/padded", "POST"))
    h2.send(frame(HEADERS, END_HEADERS | PADDED, stream, b"\x08" + block + bytes(8)),
            frame(DATA, PADDED, stream, b"\xff" + b"body" + bytes(255)),
            frame(DATA, PADDED | END_STREAM, stream, b"\x00" + b"!"))
    assert h2.response(stream).status == 200
    assert backend.seen("/padded")[0].body == b"body!"


@pytest.mark.parametrize("kind", [DATA, HEADERS])
@pytest.mark.parametrize("padding", [20, 21], ids=["all of it and one", "more"])
def test_padding_longer_than_its_frame_ends_the_connection(h2, kind, padding):  # §6.1, §6.2
    stream = h2.open(method="POST", end=False) if kind == DATA else 1
    h2.send(frame(kind, PADDED | (END_HEADERS if kind == HEADERS else 0), stream, bytes([padding]) + bytes(19)))
    assert h2.goes_away() == PROTOCOL_ERROR


def test_padding_counts_for_flow_control(h2, backend):  # §6.9.1: the whole payload of DATA
    """A hundred frames of 1 byte and 255 of padding pass only if the padding's window is given back as well."""
    backend.on("/", waiting)
    stream = h2.open(method="POST", end=False)
    room = h2.settings.get(4, WINDOW)
    paid = 0
    for _ in range(room // 257 + 100):
        while room < 257:
            got = h2.next()
            if got.type == WINDOW_UPDATE and got.stream_id == stream:
                room, paid = room + got.window_increment, paid + got.window_increment
        h2.send(frame(DATA, PADDED, stream, b"\xff" + b"x" + bytes(255)))
        room -= 257
    h2.send(frame(DATA, END_STREAM, stream))
    assert paid and h2.response(stream).status == 200


# --- 6.2 HEADERS and 6.10 CONTINUATION ---

def test_a_block_may_come_in_many_pieces(h2, backend):  # §6.10
    stream, block = h2.stream(), h2.encode(request_fields("/pieces", extra=[("x-long", "y" * 200)]))
    pieces = [block[at:at + 60] for at in range(0, len(block), 60)]
    h2.send(frame(HEADERS, END_STREAM, stream, pieces[0]),
            *(frame(CONTINUATION, 0, stream, piece) for piece in pieces[1:]),
            frame(CONTINUATION, END_HEADERS, stream))
    assert h2.response(stream).status == 200
    assert backend.seen("/pieces")[0].get("x-long") == "y" * 200


BETWEEN = {
    "data": frame(DATA, 0, 1, b"x"), "headers of another": frame(HEADERS, END_HEADERS | END_STREAM, 3, GET_ROOT),
    "priority": frame(PRIORITY, 0, 1, bytes(5)), "reset": reset(1), "settings": settings(),
    "ping": frame(PING, payload=bytes(8)), "goaway": frame(GOAWAY, payload=bytes(8)), "window": window_update(0, 1),
    "continuation of another": frame(CONTINUATION, END_HEADERS, 3, b""), "unknown type": frame(0x16, 0, 1, b""),
}


@pytest.mark.parametrize("sent", BETWEEN.values(), ids=BETWEEN)
def test_nothing_comes_between_headers_and_their_continuation(h2, backend, sent):  # §4.3, §6.10, §5.5
    h2.send(frame(HEADERS, END_STREAM, 1, GET_ROOT), sent, frame(CONTINUATION, END_HEADERS, 1))
    assert h2.goes_away() == PROTOCOL_ERROR
    assert backend.requests == []


# --- 6.3 PRIORITY, 6.4 RST_STREAM ---

@pytest.mark.parametrize("size", [4, 6])
def test_priority_has_five_bytes(h2, size):  # §6.3: a stream error, which may be treated as one of the connection
    stream = h2.open(method="POST", end=False)
    h2.send(frame(PRIORITY, 0, stream, bytes(size)))
    kind, code = h2.verdict(stream)
    assert kind in ("reset", "goaway") and code in or_plain(FRAME_SIZE_ERROR)


@pytest.mark.parametrize("size", [3, 5])
def test_a_reset_has_four_bytes(h2, size):  # §6.4
    stream = h2.open(method="POST", end=False)
    h2.send(frame(RST_STREAM, 0, stream, bytes(size)))
    assert h2.goes_away() in or_plain(FRAME_SIZE_ERROR)


@pytest.mark.parametrize("code", [NO_ERROR, 8, 0xdead])
def test_a_reset_reaches_the_backend_and_no_other_stream(either, backend, code):  # §5.4.2, §7: any code
    gone = threading.Event()
    backend.on("/held", lambda exchange: exchange.wait_gone() and gone.set())
    stream = either.open("/held")
    assert either.works()
    either.send(reset(stream, code))
    assert gone.wait(5), "the backend still works for a client that is gone"
    assert either.works()


# --- 6.5 SETTINGS ---

BAD_SETTINGS = {
    "acknowledgement with a payload": (frame(SETTINGS, ACK, 0, struct.pack(">HI", 3, 1)), FRAME_SIZE_ERROR),
    "on a stream": (frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
    "length not a multiple of six": (frame(SETTINGS, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
    "push neither on nor off": (settings(ENABLE_PUSH=2), PROTOCOL_ERROR),
    "window beyond 2^31-1": (settings(INITIAL_WINDOW_SIZE=2**31), FLOW_CONTROL_ERROR),
    "frames smaller than the default": (settings(MAX_FRAME_SIZE=FRAME_MAX - 1), PROTOCOL_ERROR),
    "frames beyond 2^24-1": (settings(MAX_FRAME_SIZE=2**24), PROTOCOL_ERROR),
}


@pytest.mark.parametrize("sent, code", BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_bad_settings_end_the_connection(either, sent, code):  # §6.5, §6.5.2
    either.send(sent)
    assert either.goes_away() in or_plain(code)


def test_unknown_settings_are_ignored(h2):  # §6.5.2
    h2.send(frame(SETTINGS, payload=struct.pack(">HI", 0xabcd, 1)))
    assert "ACK" in h2.until(lambda got: got.type == SETTINGS).flags
    assert h2.works()


def test_every_settings_frame_is_acknowledged_once(h2):  # §6.5.3
    h2.send(*[settings(INITIAL_WINDOW_SIZE=WINDOW)] * 5, frame(PING, payload=b"the last"))
    acknowledged = 0
    while (got := h2.next()).type != PING:
        acknowledged += got.type == SETTINGS and "ACK" in got.flags
    assert acknowledged == 5


def test_a_setting_told_twice_counts_as_it_was_told_last(connect, backend):  # §6.5.3
    twice = struct.pack(">HIHI", 4, 0, 4, 3)
    backend.on("/", lambda exchange: exchange.respond(200, b"abcdef"))
    h2 = connect(greeting=frame(SETTINGS, payload=twice))
    assert h2.quiet(h2.open()) == 3


# --- 6.6 PUSH_PROMISE ---

def test_a_client_promises_nothing(h2):  # §8.4
    stream = h2.open(method="POST", end=False)
    h2.send(frame(PUSH_PROMISE, END_HEADERS, stream, struct.pack(">I", 2) + GET_ROOT))
    assert h2.goes_away() == PROTOCOL_ERROR


# --- 6.7 PING ---

def test_a_ping_comes_back_with_its_payload(either):  # §6.7
    either.send(frame(PING, payload=b"12345678"))
    got = either.until(lambda got: got.type == PING)
    assert "ACK" in got.flags and got.opaque_data == b"12345678"


def test_a_ping_s_acknowledgement_is_not_answered(h2):  # §6.7
    h2.send(frame(PING, ACK, 0, b"unasked!"), frame(PING, payload=b"the last"))
    assert h2.until(lambda got: got.type == PING).opaque_data == b"the last"


@pytest.mark.parametrize("sent, code", [
    (frame(PING, 0, 0, bytes(6)), FRAME_SIZE_ERROR), (frame(PING, 0, 0, bytes(9)), FRAME_SIZE_ERROR),
    (frame(PING, 0, 1, bytes(8)), PROTOCOL_ERROR)], ids=["short", "long", "on a stream"])
def test_a_bad_ping_ends_the_connection(either, sent, code):  # §6.7
    either.send(sent)
    assert either.goes_away() in or_plain(code)


# --- 6.8 GOAWAY ---

def test_goaway_belongs_to_the_connection(h2):  # §6.8
    h2.send(frame(GOAWAY, 0, 1, bytes(8)))
    assert h2.goes_away() == PROTOCOL_ERROR


@pytest.mark.parametrize("code", [NO_ERROR, 0xdead])
def test_a_client_that_goes_away_still_gets_its_answers(h2, backend, code):  # §6.8, §7
    held = threading.Event()
    backend.on("/", lambda exchange: (held.wait(10), exchange.respond(200, b"done")))
    stream = h2.open()
    h2.send(frame(GOAWAY, 0, 0, struct.pack(">II", 0, code)), frame(PING, payload=bytes(8)))
    if code == NO_ERROR:
        h2.until(lambda got: got.type == PING)
    held.set()
    try:
        assert h2.response(stream).body == b"done"
    except Ended:
        assert code != NO_ERROR, "an answer was lost to a client that leaves in order"
