"""gRPC through nines, end to end, by grpcio: all four kinds of calls, status and trailers, deadlines, balancing."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from conftest import eventually
from http2 import DATA, END_STREAM, Http2, frame

SERVICE = "nines.Shop"


class Server:
    """A gRPC server whose messages are plain bytes."""

    def __init__(self, name, credentials=None):
        self.name, self.calls, self.cancelled = name, 0, threading.Event()
        self.held = threading.Event()
        self.server = grpc.server(ThreadPoolExecutor(16))
        kinds = {"Say": grpc.unary_unary_rpc_method_handler, "Count": grpc.unary_stream_rpc_method_handler,
                 "Sum": grpc.stream_unary_rpc_method_handler, "Echo": grpc.stream_stream_rpc_method_handler,
                 "Fail": grpc.unary_unary_rpc_method_handler, "Hold": grpc.unary_unary_rpc_method_handler}
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(
            SERVICE, {kind: handler(getattr(self, kind.lower())) for kind, handler in kinds.items()})])
        if credentials:
            self.port = self.server.add_secure_port("127.0.0.1:0", credentials)
        else:
            self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def say(self, message, context):
        self.calls += 1
        metadata = dict(context.invocation_metadata())
        context.send_initial_metadata([("x-first", "initial")])
        context.set_trailing_metadata([("x-server", self.name), ("x-heard", metadata.get("x-said", "")),
                                       ("x-binary-bin", metadata.get("x-binary-bin", b""))])
        return self.name.encode() + b": " + message

    def count(self, message, _context):
        for number in range(int(message)):
            yield str(number).encode()

    def sum(self, messages, _context):
        return str(sum(map(int, messages))).encode()

    def echo(self, messages, _context):
        for message in messages:
            yield message

    def fail(self, message, context):
        context.set_trailing_metadata([("x-why", "because")])
        context.abort(grpc.StatusCode[message.decode()], "as you wish: grün")

    def hold(self, _message, context):
        context.add_callback(self.cancelled.set)
        self.held.set()
        self.cancelled.wait(20)
        return b""


@pytest.fixture(scope="module")
def servers():
    made = [Server("one"), Server("two")]
    yield made
    for one in made:
        one.server.stop(None)


@pytest.fixture(scope="module")
def nines(start, servers, authority):
    listed = ", ".join(f'"127.0.0.1:{one.port}"' for one in servers)
    return start(f"""
[pool.shop]
servers = [{listed}]
protocol = "http2"
balance = "round-robin"
[pool.nobody]
servers = ["127.0.0.1:1"]
protocol = "http2"
[site.default]
tls = {authority.issue("shop.test").toml()}
[site.default.route]
"/" = {{ pool = "shop" }}
"/nines.Nobody/" = {{ pool = "nobody" }}
""", https=True)


@pytest.fixture(scope="module", params=["h2c", "tls"])
def channel(request, nines, authority):
    if request.param == "tls":
        credentials = grpc.ssl_channel_credentials(authority.cert.read_bytes())
        options = [("grpc.ssl_target_name_override", "shop.test")]
        channel = grpc.secure_channel(f"127.0.0.1:{nines.https}", credentials, options)
    else:
        channel = grpc.insecure_channel(f"127.0.0.1:{nines.port}")
    with channel:
        yield channel


def path(method):
    return f"/{SERVICE}/{method}"


def test_unary_calls_are_balanced_one_by_one(channel):
    """One connection of the client, both backends."""
    say = channel.unary_unary(path("Say"))
    answers = [say(b"hello", timeout=10) for _ in range(20)]
    assert {answers.count(b"one: hello"), answers.count(b"two: hello")} <= {9, 10, 11}


def test_many_calls_at_once(channel):
    say = channel.unary_unary(path("Say"))
    calls = [say.future(b"%d" % number, timeout=30) for number in range(300)]
    assert [call.result().partition(b": ")[2] for call in calls] == [b"%d" % number for number in range(300)]


def test_metadata_goes_both_ways(channel):
    answer, call = channel.unary_unary(path("Say")).with_call(
        b"hello", timeout=10, metadata=[("x-said", "words"), ("x-binary-bin", bytes(range(256)))])
    trailing = dict(call.trailing_metadata())
    assert answer.endswith(b": hello") and call.code() == grpc.StatusCode.OK
    assert dict(call.initial_metadata())["x-first"] == "initial"
    assert trailing["x-heard"] == "words" and trailing["x-binary-bin"] == bytes(range(256))


def test_a_server_streams(channel):
    assert list(channel.unary_stream(path("Count"))(b"1000", timeout=20)) == [b"%d" % n for n in range(1000)]


def test_a_client_streams(channel):
    assert channel.stream_unary(path("Sum"))((b"%d" % n for n in range(1000)), timeout=20) == b"499500"


def test_both_stream_in_turn(channel):
    """Each message is answered before the next is sent: nothing waits for the end of anything."""
    turn = threading.Semaphore()

    def messages():
        for number in range(50):
            assert turn.acquire(timeout=10)
            yield b"%d" % number

    for number, answer in enumerate(channel.stream_stream(path("Echo"))(messages(), timeout=20)):
        assert answer == b"%d" % number
        turn.release()
    assert number == 49


def test_large_messages_pass(channel):
    blob = bytes(range(256)) * 12_000
    assert list(channel.stream_stream(path("Echo"))(iter([blob] * 5), timeout=30)) == [blob] * 5


@pytest.mark.parametrize("status", [
    "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAUTHENTICATED"])
def test_a_status_comes_with_its_message_and_trailers(channel, status):
    with pytest.raises(grpc.RpcError) as fault:
        channel.unary_unary(path("Fail"))(status.encode(), timeout=10)
    assert (fault.value.code(), fault.value.details()) == (grpc.StatusCode[status], "as you wish: grün")
    assert dict(fault.value.trailing_metadata())["x-why"] == "because"


def test_a_method_that_is_not_there_is_said_so_by_the_server(channel):
    with pytest.raises(grpc.RpcError) as fault:
        channel.unary_unary(path("Nothing"))(b"", timeout=10)
    assert fault.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_deadline_ends_the_call_on_both_sides(channel, servers):
    for server in servers:
        server.held.clear()
        server.cancelled.clear()
    started = time.monotonic()
    with pytest.raises(grpc.RpcError) as fault:
        channel.unary_unary(path("Hold"))(b"", timeout=0.5)
    assert fault.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - started < 5
    holder = next(server for server in servers if server.held.is_set())
    assert holder.cancelled.wait(5), "the server works on for nobody"


def test_a_call_that_is_cancelled_is_cancelled_at_the_server(channel, servers):
    for server in servers:
        server.held.clear()
        server.cancelled.clear()
    call = channel.unary_unary(path("Hold")).future(b"", timeout=20)
    holder = eventually(lambda: next((server for server in servers if server.held.is_set()), None))
    call.cancel()
    assert holder.cancelled.wait(5)
    assert channel.unary_unary(path("Say"))(b"still here", timeout=10).endswith(b"still here")


def test_without_an_endpoint_a_call_is_unavailable(channel):
    with pytest.raises(grpc.RpcError) as fault:
        channel.unary_unary("/nines.Nobody/Say")(b"", timeout=10)
    assert fault.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_failure_of_nines_is_told_in_grpc_s_own_words(nines):
    """A grpc-status in an answer of 200, as the protocol wants it: no error of HTTP by which a client must guess."""
    with Http2(nines.port) as connection:
        stream = connection.open("/nines.Nobody/Say", "POST", end=False,
                                 extra=[("content-type", "application/grpc"), ("te", "trailers")])
        connection.send(frame(DATA, END_STREAM, stream, bytes(5)))
        response = connection.response(stream)
        assert response.status == 200 and response.get("content-type").startswith("application/grpc")
        assert dict([*response.headers, *response.trailers])["grpc-status"] == "14"
        assert dict([*response.headers, *response.trailers])["grpc-message"]
        # Whoever does not speak gRPC hears HTTP.
        assert connection.get("/nines.Nobody/Say").status in (502, 503)


def test_a_server_that_ends_makes_calls_go_to_the_other(start):
    staying, leaving = Server("staying"), Server("leaving")
    nines = start(f'[pool.shop]\nservers = ["127.0.0.1:{staying.port}", "127.0.0.1:{leaving.port}"]\n'
                  'protocol = "http2"\nbalance = "round-robin"\n[site.default.route]\n"/" = { pool = "shop" }\n')
    with grpc.insecure_channel(f"127.0.0.1:{nines.port}") as channel:
        say = channel.unary_unary(path("Say"))
        assert {say(b"", timeout=10) for _ in range(10)} == {b"staying: ", b"leaving: "}
        leaving.server.stop(5).wait()
        assert {say(b"", timeout=10) for _ in range(10)} == {b"staying: "}
    staying.server.stop(None)


def test_tls_to_the_servers(start, authority):
    certificate = authority.issue("grpc.test")
    pair = certificate.key.read_bytes(), certificate.cert.read_bytes()
    server = Server("secret", grpc.ssl_server_credentials([pair]))
    nines = start(f"""
[pool.shop]
servers = ["127.0.0.1:{server.port}"]
protocol = "http2"
tls = {{ ca = "{authority.cert}", server_name = "grpc.test" }}
[site.default.route]
"/" = {{ pool = "shop" }}
""")
    with grpc.insecure_channel(f"127.0.0.1:{nines.port}") as channel:
        assert channel.unary_unary(path("Say"))(b"hello", timeout=10) == b"secret: hello"
    server.server.stop(None)
