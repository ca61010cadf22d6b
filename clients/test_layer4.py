"""TCP and UDP below HTTP: bytes both ways, half-close, names of TLS, limits, and sessions of UDP."""

import hashlib
import socket
import ssl
import struct
import threading
import time

import pytest
from conftest import eventually, free_port
from openssl import s_client
from proxy_protocol import exactly, read, v1, v2


class TcpServer:
    """Runs `talk(connection)` in a thread for each connection."""

    def __init__(self, talk, tls=None):
        self.talk, self.tls, self.connections, self.open = talk, tls, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            with connection:
                self.talk(self.tls.wrap_socket(connection, server_side=True) if self.tls else connection)
        except (OSError, AssertionError):
            pass
        finally:
            self.open -= 1

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()


def echo(connection):
    while data := connection.recv(65_536):
        connection.sendall(data)


def named(name):
    """A server that says its name and then echoes."""
    def talk(connection):
        connection.sendall(name.encode() + b"\n")
        echo(connection)
    return talk


@pytest.fixture(scope="module")
def tcp_servers():
    made = []

    def make(talk, **more):
        made.append(TcpServer(talk, **more))
        return made[-1]

    yield make
    for server in made:
        server.stop()


SITE = '[site.default.route]\n"/" = { respond = { body = "http" } }\n'


@pytest.fixture
def forward(start):
    """Starts a nines with `[tcp.db]` before the servers, and gives it the port as `tcp`."""
    def forward(servers, more="", pool="", edge=""):
        port = free_port()
        listed = ", ".join(f'"{server.address}"' for server in servers)
        nines = start(f'[pool.db]\nservers = [{listed}]\n{pool}\n[tcp.db]\nlisten = "127.0.0.1:{port}"\n'
                      f'{more or POOL}\n{SITE}', edge)
        nines.tcp = port
        return nines
    return forward


POOL = 'pool = "db"'


def connect(port, source="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", port), 10, (source, 0))


def line(connection):
    data = b""
    while not data.endswith(b"\n"):
        part = connection.recv(1)
        if not part:
            raise ConnectionError("the end came before a line did")
        data += part
    return data.decode().strip()


def is_refused(port, source="127.0.0.1"):
    try:
        with connect(port, source) as connection:
            connection.settimeout(5)
            connection.sendall(b"x")
            return connection.recv(1) == b""
    except ConnectionError:
        return True


# --- bytes ---

def test_bytes_go_both_ways(tcp_servers, forward):
    nines = forward([tcp_servers(echo)])
    with connect(nines.tcp) as connection:
        for message in (b"SELECT 1;", b"\0" * 1000, bytes(range(256)) * 300):
            connection.sendall(message)
            assert exactly(connection, len(message)) == message


def test_the_server_may_speak_first(tcp_servers, forward):
    nines = forward([tcp_servers(named("postgres"))])
    with connect(nines.tcp) as connection:
        assert line(connection) == "postgres"


def test_much_goes_both_ways_at_once_unchanged(tcp_servers, forward):
    size, block = 200 << 20, hashlib.sha256(b"block").digest() * 32_768
    nines = forward([tcp_servers(echo)])
    before, sent, received = nines.memory(), hashlib.sha256(), hashlib.sha256()
    with connect(nines.tcp) as connection:
        connection.settimeout(60)

        def upload():
            for _ in range(size // len(block)):
                connection.sendall(block)
                sent.update(block)
            connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=upload)
        thread.start()
        length = 0
        while data := connection.recv(1 << 20):
            received.update(data)
            length += len(data)
        thread.join()
    assert length == size and received.digest() == sent.digest()
    assert nines.memory() - before < 32 << 20


def test_a_reader_that_stops_stops_the_writer(tcp_servers, forward):
    sent = 0

    def flood(connection):
        nonlocal sent
        connection.settimeout(2)
        try:
            while sent < 256:
                connection.sendall(bytes(1 << 20))
                sent += 1
        except OSError:
            pass

    server = tcp_servers(flood)
    nines = forward([server])
    with connect(nines.tcp) as connection:
        connection.recv(1)
        eventually(lambda: server.open <= 1 and sent > 0)
        time.sleep(2.5)
        assert sent < 64, "what nobody reads was taken from the server"


# --- ends ---

def test_half_of_a_connection_may_close(tcp_servers, forward):
    """As `nc -N`, `rsync` or FTP do it: the question has ended, the answer has not begun."""
    def count(connection):
        total = 0
        while data := connection.recv(65_536):
            total += len(data)
        connection.sendall(b"%d bytes\n" % total)

    nines = forward([tcp_servers(count)])
    with connect(nines.tcp) as connection:
        connection.sendall(bytes(100_000))
        connection.shutdown(socket.SHUT_WR)
        assert line(connection) == "100000 bytes" and connection.recv(1) == b""


def test_the_server_s_half_may_close_first(tcp_servers, forward):
    heard = []

    def half(connection):
        connection.sendall(b"that is all\n")
        connection.shutdown(socket.SHUT_WR)
        heard.append(exactly(connection, 5))

    nines = forward([tcp_servers(half)])
    with connect(nines.tcp) as connection:
        assert line(connection) == "that is all" and connection.recv(1) == b""
        connection.sendall(b"still")
        eventually(lambda: heard == [b"still"])


def test_a_reset_of_the_client_reaches_the_server(tcp_servers, forward):
    server = tcp_servers(echo)
    nines = forward([server])
    connection = connect(nines.tcp)
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    eventually(lambda: server.open == 0)


def test_an_idle_connection_ends(tcp_servers, forward):
    nines = forward([tcp_servers(echo)], POOL + '\ntimeout = { idle = "1s" }')
    with connect(nines.tcp) as connection:
        for _ in range(4):
            time.sleep(0.4)
            connection.sendall(b"x")
            assert connection.recv(1) == b"x", "who speaks is not idle"
        connection.settimeout(5)
        with pytest.raises(ConnectionResetError):  # a reset, so that nobody takes it for the end of an answer
            connection.recv(1)


# --- the pool ---

def test_connections_are_spread_over_the_pool(tcp_servers, forward):
    nines = forward([tcp_servers(named(name)) for name in "abc"], pool='balance = "round-robin"')
    names = []
    for _ in range(12):
        with connect(nines.tcp) as connection:
            names.append(line(connection))
    assert all(names.count(name) >= 2 for name in "abc"), names


def test_a_server_that_is_not_there_costs_no_connection(tcp_servers, forward):
    gone = tcp_servers(echo)
    gone.stop()
    nines = forward([gone, tcp_servers(named("alive"))], pool='balance = "round-robin"')
    for _ in range(10):
        with connect(nines.tcp) as connection:
            assert line(connection) == "alive"


def test_without_a_server_a_connection_is_reset(tcp_servers, forward):
    gone = tcp_servers(echo)
    nines = forward([gone])
    gone.stop()
    started = time.monotonic()
    assert is_refused(nines.tcp) and time.monotonic() - started < 5


def test_health_decides_for_tcp_too(tcp_servers, forward):
    servers = [tcp_servers(named("stays")), tcp_servers(named("leaves"))]
    nines = forward(servers, pool='balance = "round-robin"\nhealth = { tcp = true, every = "200ms" }')
    servers[1].stop()
    eventually(lambda: nines.metric("nines_balance_endpoint_up", pool="db") == 1)
    for _ in range(4):
        with connect(nines.tcp) as connection:
            assert line(connection) == "stays"


# --- who may come ---

def test_lists_hold_here_too(tcp_servers, forward):
    nines = forward([tcp_servers(echo)], POOL + '\nallow = ["127.0.0.0/24"]\ndeny = ["127.0.0.66"]')
    assert [is_refused(nines.tcp, source) for source in ("127.0.0.1", "127.0.0.66", "127.0.1.1")] == [False, True, True]


def test_connections_are_bounded(tcp_servers, forward):
    nines = forward([tcp_servers(echo)], POOL + "\nlimit = { connections = 4, connections_per_client = 2 }")
    kept = []
    try:
        for source in ("127.0.0.1", "127.0.0.1", "127.0.0.2"):
            kept.append(connect(nines.tcp, source))
            kept[-1].sendall(b"x")
            assert kept[-1].recv(1) == b"x"
        assert is_refused(nines.tcp, "127.0.0.1") and not is_refused(nines.tcp, "127.0.0.2")
        kept.pop(0).close()
        eventually(lambda: not is_refused(nines.tcp, "127.0.0.1"))
    finally:
        for connection in kept:
            connection.close()


def test_bandwidth_is_bounded(tcp_servers, forward):
    nines = forward([tcp_servers(lambda connection: connection.sendall(bytes(3 << 20)))],
                    POOL + '\nlimit = { bandwidth = "1MiB" }')
    started = time.monotonic()
    with connect(nines.tcp) as connection:
        exactly(connection, 3 << 20)
    assert 1.0 < time.monotonic() - started < 8


# --- the PROXY protocol ---

@pytest.mark.parametrize("header", [v1("203.0.113.9"), v2("203.0.113.9")], ids=["v1", "v2"])
@pytest.mark.parametrize("sent", ["v1", "v2"])
def test_a_client_s_address_goes_through(tcp_servers, forward, header, sent):
    def tell(connection):
        version, source, _ = read(connection)
        connection.sendall(f"v{version} {source[0]}\n".encode())
        echo(connection)

    nines = forward([tcp_servers(tell)], POOL + '\nproxy_protocol = ["127.0.1.0/24"]', f'proxy_protocol = "{sent}"')
    with connect(nines.tcp, "127.0.1.5") as connection:
        connection.sendall(header + b"hello")
        assert line(connection) == f"{sent} 203.0.113.9" and exactly(connection, 5) == b"hello"
    with connect(nines.tcp, "127.0.2.5") as connection:
        assert line(connection) == f"{sent} 127.0.2.5"
    assert is_refused(nines.tcp, "127.0.1.5"), "no header"


# --- TLS ---

def tls_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    return context


@pytest.fixture(scope="module")
def by_name(start, tcp_servers, authority):
    """Two servers with TLS of their own, told apart by the name that is asked for."""
    certificates = {name: authority.issue(name) for name in ("a.test", "x.b.test", "default.test")}
    servers = {name: tcp_servers(named(name), tls=tls_server(one)) for name, one in certificates.items()}
    port = free_port()
    pools = "".join(f'[pool.{name.split(".")[-2]}]\nservers = ["{servers[name].address}"]\n' for name in servers)
    nines = start(f"""{pools}
[tcp.tls]
listen = "127.0.0.1:{port}"
pool = "default"
sni = {{ "a.test" = "a", "*.b.test" = "b" }}
timeout = {{ hello = "1s" }}
{SITE}""")
    nines.tcp, nines.certificates, nines.servers = port, certificates, servers
    return nines


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("name, server", [("a.test", "a.test"), ("A.TEST", "a.test"), ("x.b.test", "x.b.test"),
                                          ("other.test", "default.test"), (None, "default.test")])
def test_the_name_in_the_hello_chooses_the_pool(by_name, version, name, server):
    met = s_client(by_name.tcp, version, name=name, data="")
    assert met.certificate.serial_number == by_name.certificates[server].serial, "TLS goes through, end to end"


def test_a_hello_may_come_in_pieces(by_name):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = context.wrap_bio(incoming, outgoing, server_hostname="a.test")
    with connect(by_name.tcp) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    connection.sendall(bytes([byte]))
                incoming.write(connection.recv(65_536))
        assert ssl.DER_cert_to_PEM_cert(tls.getpeercert(True)) == by_name.certificates["a.test"].cert.read_text()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02", b"GET / HTTP/1.1\r\n\r\n",
                                  b"\x16\x03\x01\xff\xff" + bytes(70_000)],
                         ids=["nothing", "a piece", "no TLS", "too long"])
def test_what_is_no_hello_ends_or_goes_to_the_default(by_name, sent):
    before = by_name.servers["a.test"].connections + by_name.servers["x.b.test"].connections
    with connect(by_name.tcp) as connection:
        connection.settimeout(8)
        try:
            connection.sendall(sent)
            connection.recv(65_536)
        except ConnectionError:
            pass
    assert by_name.servers["a.test"].connections + by_name.servers["x.b.test"].connections == before
    assert s_client(by_name.tcp, name="a.test", data="").version


def test_without_a_default_pool_an_unknown_name_is_refused(start, tcp_servers, authority):
    server = tcp_servers(echo, tls=tls_server(authority.issue("a.test")))
    port = free_port()
    start(f'[pool.a]\nservers = ["{server.address}"]\n[tcp.tls]\nlisten = "127.0.0.1:{port}"\n'
          f'sni = {{ "a.test" = "a" }}\n{SITE}')
    assert s_client(port, name="a.test", data="").version
    met = s_client(port, name="other.test", data="")
    assert met.version is None and server.connections == 1


def test_tls_may_end_here(tcp_servers, forward, authority):
    certificate = authority.issue("db.test")
    nines = forward([tcp_servers(named("plain"))], f"{POOL}\ntls = {certificate.toml()}")
    context = ssl.create_default_context(cafile=authority.cert)
    with context.wrap_socket(connect(nines.tcp), server_hostname="db.test") as connection:
        assert line(connection) == "plain"
        blob = bytes(range(256)) * 4000
        sender = threading.Thread(target=connection.sendall, args=(blob,))
        sender.start()
        assert exactly(connection, len(blob)) == blob
        sender.join()


def test_tls_may_begin_here(tcp_servers, forward, authority):
    server = tcp_servers(named("secret"), tls=tls_server(authority.issue("inner.test")))
    nines = forward([server], pool=f'tls = {{ ca = "{authority.cert}", server_name = "inner.test" }}')
    with connect(nines.tcp) as connection:
        assert line(connection) == "secret"
        connection.sendall(b"hello")
        assert exactly(connection, 5) == b"hello"


# --- many ---

def test_many_connections_at_once(tcp_servers, forward):
    nines = forward([tcp_servers(echo)])
    connections = [connect(nines.tcp) for _ in range(300)]
    for number, connection in enumerate(connections):
        connection.sendall(struct.pack(">I", number))
    assert [struct.unpack(">I", exactly(connection, 4))[0] for connection in connections] == list(range(300))
    for connection in connections:
        connection.close()


def test_a_reload_keeps_connections(tcp_servers, forward):
    nines = forward([tcp_servers(echo)])
    with connect(nines.tcp) as connection:
        connection.sendall(b"before")
        assert exactly(connection, 6) == b"before"
        text = nines.file.read_text()
        nines.file.write_text(text + '"/more" = { respond = { body = "more" } }\n')
        nines.reload()
        connection.sendall(b"after")
        assert exactly(connection, 5) == b"after"


# --- UDP ---

class UdpServer:
    """Answers each datagram with its own name and the datagram; remembers from where they came."""

    def __init__(self, name, answers=1):
        self.name, self.answers, self.sources, self.ended = name, answers, [], False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def stop(self):
        self.ended = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waking:
            waking.sendto(b"", self.socket.getsockname())

    def serve(self):
        while not self.ended:
            try:
                data, source = self.socket.recvfrom(65_536)
            except OSError:
                return
            if source not in self.sources:
                self.sources.append(source)
            for _ in range(self.answers if not self.ended else 0):
                self.socket.sendto(self.name.encode() + b" " + data, source)
        self.socket.close()


class UdpClient:
    def __init__(self, port, source="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(5)

    def ask(self, data):
        self.socket.send(data)
        return self.socket.recv(65_536)

    def hears_nothing(self, data=b"anyone?", seconds=1.0):
        self.socket.settimeout(seconds)
        try:
            return not self.ask(data)
        except (TimeoutError, ConnectionRefusedError):
            return True
        finally:
            self.socket.settimeout(5)


@pytest.fixture
def udp(start):
    def udp(servers, more="", pool=""):
        port = free_port()
        listed = ", ".join(f'"{server.address}"' for server in servers)
        nines = start(f'[pool.dns]\nservers = [{listed}]\nbalance = "round-robin"\n{pool}\n[udp.dns]\n'
                      f'listen = "127.0.0.1:{port}"\npool = "dns"\n{more}\n{SITE}')
        nines.udp = port
        return nines
    return udp


def test_datagrams_go_both_ways(udp):
    client = UdpClient(udp([UdpServer("one")]).udp)
    for size in (0, 1, 512, 1472, 9000, 60_000):
        assert client.ask(b"x" * size) == b"one " + b"x" * size


def test_a_client_stays_with_its_server(udp):
    nines = udp([UdpServer(name) for name in ("one", "two", "three")])
    chosen = []
    for number in range(12):
        client = UdpClient(nines.udp)
        answers = {client.ask(b"%d" % n).split()[0] for n in range(5)}
        assert len(answers) == 1
        chosen += answers
    assert set(chosen) == {b"one", b"two", b"three"}


def test_each_client_gets_its_own_answers(udp):
    nines = udp([UdpServer("one"), UdpServer("two")])
    clients = [UdpClient(nines.udp, f"127.0.0.{1 + number % 5}") for number in range(200)]
    for number, client in enumerate(clients):
        client.socket.send(b"%d" % number)
    assert [client.socket.recv(100).split()[1] for client in clients] == [b"%d" % n for n in range(200)]


def test_several_answers_come_through(udp):
    client = UdpClient(udp([UdpServer("one", answers=10)]).udp)
    client.socket.send(b"q")
    assert [client.socket.recv(100) for _ in range(10)] == [b"one q"] * 10


def test_bursts_come_through(udp):
    server = UdpServer("one")
    client = UdpClient(udp([server]).udp)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    got = 0
    for _ in range(50):
        for _ in range(64):
            client.socket.send(b"y" * 200)
        for _ in range(64):
            got += len(client.socket.recv(1000)) == 204
    assert got == 3200


def test_a_session_that_idles_is_forgotten(udp):
    server = UdpServer("one")
    nines = udp([server], 'idle = "1s"')
    client = UdpClient(nines.udp)
    client.ask(b"a")
    client.ask(b"b")
    assert len(server.sources) == 1, "one session, one address towards the server"
    eventually(lambda: nines.metric("nines_udp_sessions") == 0)
    client.ask(b"c")
    assert len(server.sources) == 2


def test_a_session_may_end_with_its_answer(udp):
    """As DNS is: one question, one answer, and the session makes room."""
    server = UdpServer("one")
    nines = udp([server], "responses = 1")
    client = UdpClient(nines.udp)
    for number in range(5):
        assert client.ask(b"%d" % number) == b"one %d" % number
        eventually(lambda: nines.metric("nines_udp_sessions") == 0)
    assert len(server.sources) > 1


def test_the_table_of_sessions_is_bounded(udp):
    """The limit answers by not serving newcomers; those who are served already go on."""
    nines = udp([UdpServer("one")], 'sessions = 20\nidle = "2s"')
    first = UdpClient(nines.udp)
    first.ask(b"x")
    others = [UdpClient(nines.udp, f"127.0.0.{1 + number % 9}") for number in range(60)]
    heard = 0
    for number, client in enumerate(others):
        client.socket.send(b"x")
    for client in others:
        client.socket.settimeout(0.1)
        try:
            heard += client.socket.recv(100) == b"one x"
        except TimeoutError:
            pass
        if heard % 5 == 0:
            assert first.ask(b"still there") == b"one still there"
    assert heard <= 20 and nines.metric("nines_udp_sessions") <= 20


def test_a_stranger_cannot_answer_for_the_server(udp):
    """Only what comes from the chosen server goes back to the client."""
    server = UdpServer("one")
    nines = udp([server])
    client = UdpClient(nines.udp)
    client.ask(b"hello")
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stranger.sendto(b"forged", server.sources[0])
    assert client.ask(b"again") == b"one again"


def test_lists_hold_for_udp(udp):
    nines = udp([UdpServer("one")], 'deny = ["127.0.0.66"]')
    assert UdpClient(nines.udp, "127.0.0.66").hears_nothing()
    assert UdpClient(nines.udp, "127.0.0.67").ask(b"x") == b"one x"


def test_a_server_that_is_gone_loses_its_clients_to_another(udp):
    servers = [UdpServer("one"), UdpServer("two")]
    nines = udp(servers, 'idle = "30s"')
    clients = [UdpClient(nines.udp) for _ in range(4)]
    chosen = [client.ask(b"x").split()[0] for client in clients]
    servers[0].stop()
    stranded = clients[chosen.index(b"one")]
    stranded.socket.settimeout(0.3)

    def moved():
        try:
            return stranded.ask(b"x") == b"two x"
        except (TimeoutError, ConnectionRefusedError):
            return False

    eventually(moved, 15)
