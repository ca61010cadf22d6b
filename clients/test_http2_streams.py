"""RFC 9113 stream by stream: their states, how many there may be, and how much may be sent on each."""

import struct
import threading

import pytest
from http2 import (CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_MAX, FRAME_SIZE_ERROR,
                   GET_ROOT, HEADERS, PRIORITY, PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, STREAM_CLOSED, WINDOW,
                   WINDOW_MAX, WINDOW_UPDATE, WITH_PRIORITY, Ended, Reset, frame, or_plain, request_fields,
                   reset, settings, window_update)
from http2_world import STREAMS, connect, either, h2, nines, waiting


# --- 5.1 states of streams ---

IDLE = {
    "data": frame(DATA, END_STREAM, 1, b"x"), "reset": reset(1), "window": window_update(1, 1),
    "continuation": frame(CONTINUATION, END_HEADERS, 1, GET_ROOT),
}


@pytest.mark.parametrize("sent", IDLE.values(), ids=IDLE)
def test_an_idle_stream_takes_headers_only(either, sent):  # §5.1 idle, §6.4, §6.9, §6.10
    either.send(sent)
    assert either.goes_away() == PROTOCOL_ERROR


def test_priority_may_come_for_a_stream_in_any_state(h2, backend):  # §5.1, §6.3
    priority = struct.pack(">IB", 0, 15)
    backend.on("/", waiting)
    h2.send(frame(PRIORITY, 0, 1, priority), frame(PRIORITY, 0, 99, priority))
    stream = h2.open(method="POST", end=False)
    h2.send(frame(PRIORITY, 0, stream, priority), frame(DATA, END_STREAM, stream), frame(PRIORITY, 0, stream, priority))
    assert h2.response(stream).status == 200
    h2.send(frame(PRIORITY, 0, stream, priority))
    assert h2.works()


def test_a_stream_that_depends_on_itself_is_as_good_as_any(h2):  # §5.3.2: priorities are not acted upon
    h2.send(frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, struct.pack(">IB", 1, 15) + GET_ROOT))
    h2.last = 1
    # RFC 7540 called this an error of the stream, and an endpoint may make any such one of the connection.
    assert h2.verdict(1) in (("status", 200), ("reset", PROTOCOL_ERROR), ("goaway", PROTOCOL_ERROR))


@pytest.mark.parametrize("kind", [DATA, HEADERS])
def test_after_the_end_of_its_request_a_stream_takes_no_more_of_it(h2, backend, kind):  # §5.1 half-closed (remote)
    held = threading.Event()
    backend.on("/", lambda exchange: (held.wait(10), exchange.respond(200, b"x")))
    stream = h2.open()
    if kind == HEADERS:
        h2.open(fields=[("x", "y")], stream=stream)
    else:
        h2.send(frame(DATA, END_STREAM, stream, b"more"))
    verdict, code = h2.verdict(stream)
    held.set()
    assert verdict in ("reset", "goaway") and code in or_plain(STREAM_CLOSED)


def test_a_continuation_after_the_end_of_headers_is_an_error(h2):  # §6.10
    stream = h2.open()
    h2.send(frame(CONTINUATION, END_HEADERS, stream, h2.encode([("x", "y")])))
    assert h2.goes_away() == PROTOCOL_ERROR


def test_windows_and_resets_of_a_closed_stream_are_ignored(h2):  # §5.1 closed
    stream = h2.open()
    assert h2.response(stream).status == 200
    h2.send(window_update(stream, 1), reset(stream))
    assert h2.works()


@pytest.mark.parametrize("kind", [DATA, HEADERS])
def test_a_closed_stream_takes_no_more(h2, backend, kind):  # §5.1 closed, §5.1.1
    stream = h2.open("/once")
    assert h2.response(stream).status == 200
    if kind == HEADERS:
        h2.open(fields=request_fields("/again"), stream=stream)
    else:
        h2.send(frame(DATA, END_STREAM, stream, b"more"))
    try:
        assert h2.works(), "what is not an error is dropped"
    except Ended as ended:
        assert ended.code in (STREAM_CLOSED, PROTOCOL_ERROR)
    assert backend.seen("/again") == [] and len(backend.seen("/once")) == 1


def test_data_that_crosses_a_reset_does_no_harm(h2, backend):  # §5.1 closed: "a short period after"
    backend.on("/", waiting)
    stream = h2.open(method="POST", end=False)
    h2.send(frame(DATA, 0, stream, b"x"), reset(stream), frame(DATA, 0, stream, b"y"))
    try:
        alive = h2.works()
    except Ended as ended:  # allowed, with this code
        assert ended.code == STREAM_CLOSED
    else:
        assert alive


@pytest.mark.parametrize("stream", [2, 0])
def test_a_client_s_streams_are_odd(h2, stream):  # §5.1.1
    h2.open(stream=stream)
    assert h2.goes_away() == PROTOCOL_ERROR


def test_a_client_s_streams_increase(h2):  # §5.1.1
    h2.open(stream=5)
    h2.open(stream=3)
    assert h2.goes_away() in (PROTOCOL_ERROR, STREAM_CLOSED)  # by §5.1.1, stream 3 is closed since 5 was opened


def test_streams_may_be_left_out(h2):  # §5.1.1
    for stream in (7, 101, 2**31 - 1):
        assert h2.response(h2.open(stream=stream)).status == 200


# --- 5.1.2 concurrency ---

def test_a_stream_too_many_is_refused_and_the_others_go_on(either, backend):  # §5.1.2
    held = threading.Event()
    backend.on("/held", lambda exchange: (held.wait(10), exchange.respond(200, b"done")))
    assert either.settings[3] == STREAMS
    streams = [either.open("/held") for _ in range(STREAMS)]
    refused = either.open("/held")
    with pytest.raises(Reset) as fault:
        either.response(refused)
    held.set()
    assert fault.value.code in (REFUSED_STREAM, PROTOCOL_ERROR)
    assert [either.response(stream).status for stream in streams] == [200] * STREAMS
    assert len(backend.seen("/held")) == STREAMS
    assert either.works()


# --- 6.9 WINDOW_UPDATE ---

def test_a_window_does_not_grow_by_nothing(h2, backend):  # §6.9
    stream = h2.open(method="POST", end=False)
    h2.send(window_update(stream, 0))
    kind, code = h2.verdict(stream)
    assert kind in ("reset", "goaway") and code == PROTOCOL_ERROR
    assert kind == "goaway" or h2.works()


def test_the_connection_s_window_does_not_grow_by_nothing(either):  # §6.9
    either.send(window_update(0, 0))
    assert either.goes_away() == PROTOCOL_ERROR


@pytest.mark.parametrize("size", [3, 5])
def test_a_window_update_has_four_bytes(h2, size):  # §6.9
    h2.send(frame(WINDOW_UPDATE, 0, 0, bytes(size)))
    assert h2.goes_away() in or_plain(FRAME_SIZE_ERROR)


def test_a_stream_s_window_has_an_end(h2, backend):  # §6.9.1
    stream = h2.open(method="POST", end=False)
    h2.send(window_update(stream, WINDOW_MAX))
    kind, code = h2.verdict(stream)
    assert kind in ("reset", "goaway") and code == FLOW_CONTROL_ERROR
    assert kind == "goaway" or h2.works()


def test_the_connection_s_window_has_an_end(either):  # §6.9.1
    either.send(window_update(0, WINDOW_MAX))
    assert either.goes_away() == FLOW_CONTROL_ERROR


def test_a_setting_cannot_push_a_stream_s_window_over_its_end(h2, backend):  # §6.9.2
    stream = h2.open(method="POST", end=False)
    h2.send(window_update(stream, WINDOW_MAX - WINDOW), settings(INITIAL_WINDOW_SIZE=WINDOW + 1))
    assert h2.goes_away() == FLOW_CONTROL_ERROR


def test_no_data_is_sent_into_a_window_of_zero(connect, backend):  # §6.9.1
    backend.on("/", lambda exchange: exchange.respond(200, b"abcdefghij"))
    h2 = connect(greeting=settings(INITIAL_WINDOW_SIZE=0))
    stream = h2.open()
    assert h2.until(lambda got: got.type == HEADERS).stream_id == stream, "the head needs no window"
    assert h2.quiet(stream) == 0
    h2.send(window_update(stream, 4))
    assert h2.quiet(stream) == 4
    h2.send(window_update(stream, 1))
    assert h2.quiet(stream) == 1
    h2.send(window_update(stream, 100))
    assert h2.listen(stream, 1) == (5, True)


def test_settings_move_the_windows_of_streams_that_are_open(connect, backend):  # §6.9.2
    backend.on("/", lambda exchange: exchange.respond(200, bytes(100)))
    h2 = connect(greeting=settings(INITIAL_WINDOW_SIZE=10))
    stream = h2.open()
    assert h2.quiet(stream) == 10
    h2.send(settings(INITIAL_WINDOW_SIZE=30))
    assert h2.quiet(stream) == 20
    h2.send(settings(INITIAL_WINDOW_SIZE=5))  # the window is -25 now
    assert h2.quiet(stream) == 0
    h2.send(window_update(stream, 25))
    assert h2.quiet(stream) == 0
    h2.send(window_update(stream, 2))
    assert h2.quiet(stream) == 2
    h2.send(settings(INITIAL_WINDOW_SIZE=WINDOW))
    assert h2.listen(stream, 1) == (68, True)


def test_the_connection_s_window_holds_for_all_streams(connect, backend):  # §6.9.1
    backend.on("/", lambda exchange: exchange.respond(200, bytes(100_000)))
    h2 = connect(greeting=settings(INITIAL_WINDOW_SIZE=WINDOW_MAX))
    first = h2.open()
    assert h2.quiet(first) == WINDOW, "settings do not change the connection's own window (§6.9.2)"
    second = h2.open()
    assert h2.quiet(second) == 0
    h2.send(window_update(0, 200_000))
    assert h2.listen(second, 1) == (100_000, True)


def test_a_stream_without_a_window_does_not_hold_up_others(connect, backend):  # §5.2.1
    backend.on("/large", lambda exchange: exchange.respond(200, bytes(1 << 20)))
    h2 = connect()
    h2.send(window_update(0, WINDOW))
    assert h2.quiet(h2.open("/large")) == WINDOW
    assert h2.works()


def test_a_client_that_overruns_its_window_is_stopped(h2, backend):  # §6.9.1
    release = threading.Event()
    backend.on("/", lambda exchange: (release.wait(20), exchange.close()))
    stream = h2.open(method="POST", end=False)
    verdict = None
    # What the kernel takes on its way to a backend that does not read is given back as window; not more.
    for _ in range(4096):
        h2.send(frame(DATA, 0, stream, bytes(FRAME_MAX)))
        h2.socket.settimeout(0.0001)
        try:
            while verdict is None:
                got = h2.next()
                if got.type == RST_STREAM and got.stream_id == stream:
                    verdict = got.error_code
        except (TimeoutError, BlockingIOError):
            pass
        except Ended as ended:
            verdict = ended.code if ended.code is not None else "no GOAWAY"
        h2.socket.settimeout(10)
        if verdict is not None:
            break
    release.set()
    assert verdict == FLOW_CONTROL_ERROR
