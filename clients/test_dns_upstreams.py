"""Those whom the resolver asks over TLS and HTTPS: Unbound, nines itself, and servers that do as they are told."""

import shutil
import socket
import ssl
import subprocess
import threading

import dns.edns
import dns.message
import dns.query
import dns.rcode
import dns.rrset
import pytest
from conftest import eventually, free_port

SITE = '[site.default.route]\n"/" = { respond = { body = "http" } }\n'
ZONE = '''[dns.zone."shop.test"]
records = ["@ SOA ns admin 1 3600 600 86400 300", "@ NS ns", "ns A 192.0.2.53", "* A 192.0.2.80"]
'''
CONNECTIONS = "nines_dns_resolver_upstream_connections_total"


def forwarding(start, *forward, more=""):
    """A nines that forwards: each is a text, or a text and a file of authorities."""
    port = free_port()
    entries = [f'"{one}"' if isinstance(one, str) else f'{{ to = "{one[0]}", ca = "{one[1]}" }}' for one in forward]
    nines = start(f'[dns]\nlisten = "127.0.0.1:{port}"\n[dns.resolver]\nforward = [{", ".join(entries)}]\n{more}\n{SITE}')
    nines.dns = port
    return nines


def ask(nines, name, how=dns.query.udp):
    return how(dns.message.make_query(name, "A"), "127.0.0.1", 20, nines.dns)


def address(nines, name):
    answer = ask(nines, name)
    assert answer.rcode() == dns.rcode.NOERROR, answer
    return answer.answer[-1][0].address


def status(nines):
    command = [nines.binary, "status", "--file", nines.file]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout


class Unbound:
    """Answers over TLS, from what it is told itself."""

    def __init__(self, folder, certificate):
        self.folder, self.port, self.process = folder, free_port(), None
        (folder / "unbound.conf").write_text(f"""server:
  interface: 127.0.0.1@{self.port}
  port: {free_port()}
  tls-port: {self.port}
  tls-service-key: "{certificate.key}"
  tls-service-pem: "{certificate.cert}"
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  do-ip6: no
  module-config: "iterator"
  local-zone: "shop.test." redirect
  local-data: "shop.test. 300 A 192.0.2.80"
remote-control:
  control-enable: no
""")
        self.begin()

    def begin(self):
        program = shutil.which("unbound") or shutil.which("unbound", path="/usr/sbin")
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([program, "-d", "-c", self.folder / "unbound.conf"], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)

        def listens():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                return False

        eventually(listens)

    def stop(self):
        self.process.kill()
        self.process.wait(10)


@pytest.fixture(scope="module")
def unbound(tmp_path_factory, authority):
    made = []

    def make(*names):
        made.append(Unbound(tmp_path_factory.mktemp("unbound"), authority.issue(*names)))
        return made[-1]

    yield make
    for one in made:
        one.stop()


class Told:
    """A server over TLS that answers each connection as a function says: it reads and writes messages."""

    def __init__(self, certificate, says):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.context, self.says, self.connections = self.listener.getsockname()[1], context, says, 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(plain,), daemon=True).start()

    def serve(self, plain):
        try:
            with self.context.wrap_socket(plain, server_side=True) as connection:
                self.says(connection.makefile("rwb"))
        except OSError:
            pass  # whoever asks has had enough

    def close(self):
        self.listener.close()


def read(stream):
    length = int.from_bytes(stream.read(2), "big")
    return stream.read(length) if length else None


def write(stream, message):
    wire = message.to_wire()
    stream.write(len(wire).to_bytes(2, "big") + wire)
    stream.flush()


def answer(wire, value="192.0.2.7"):
    query = dns.message.from_wire(wire)
    made = dns.message.make_response(query, recursion_available=True)
    made.answer.append(dns.rrset.from_text(query.question[0].name, 300, "IN", "A", value))
    return made


@pytest.fixture
def told(authority):
    made = []

    def make(says):
        made.append(Told(authority.issue("dns.test"), says))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_many_names_are_asked_of_unbound_over_one_connection(start, unbound, authority):
    server = unbound("dns.test")
    nines = forwarding(start, (f"tls://127.0.0.1:{server.port}#dns.test", authority.cert))
    for nth in range(40):
        assert address(nines, f"n{nth}.shop.test") == "192.0.2.80"
    assert nines.metric(CONNECTIONS, outcome="opened") == 1
    shown = status(nines)
    assert f"tls://127.0.0.1:{server.port}#dns.test" in shown and "up" in shown


@pytest.mark.parametrize("transport", ["tls", "https"])
def test_one_nines_asks_another(start, authority, transport):
    certificate, dot = authority.issue("dns.test", "127.0.0.1"), free_port()
    other = start(f'[dns]\ndot = "127.0.0.1:{dot}"\ntls = {certificate.toml()}\n{ZONE}'
                  f'[site.default]\ntls = {certificate.toml()}\n[site.default.route]\n"/dns-query" = {{ dns = true }}\n', https=True)
    to = f"tls://127.0.0.1:{dot}" if transport == "tls" else f"https://127.0.0.1:{other.https}"
    for name in ("", "#dns.test"):
        nines = forwarding(start, (to + name, authority.cert))
        for nth in range(20):
            assert address(nines, f"n{nth}.shop.test") == "192.0.2.80"
        assert ask(nines, "www.nobody.test").rcode() == dns.rcode.SERVFAIL, "it is refused there"
        assert nines.metric(CONNECTIONS, outcome="opened") == 1
        assert nines.metric("nines_dns_resolver_upstream_queries_total", outcome="answered") == 20
    assert other.metric("nines_dns_queries_total", transport=transport) >= 40


@pytest.mark.parametrize("name", ["#other.test", ""])
def test_nobody_is_believed_who_is_not_who_was_asked(start, unbound, authority, name):
    server = unbound("dns.test")
    nines = forwarding(start, (f"tls://127.0.0.1:{server.port}{name}", authority.cert))
    assert ask(nines, "www.shop.test").rcode() == dns.rcode.SERVFAIL
    assert nines.metric(CONNECTIONS, outcome="opened") == 0 and nines.metric(CONNECTIONS, outcome="failed") >= 1
    assert "certificate" in status(nines)


def test_nobody_is_believed_for_whom_nobody_vouches(start, unbound, tmp_path):
    from certificates import Authority
    server = unbound("dns.test")
    nines = forwarding(start, (f"tls://127.0.0.1:{server.port}#dns.test", Authority(tmp_path, "stranger").cert))
    assert ask(nines, "www.shop.test").rcode() == dns.rcode.SERVFAIL
    assert "UnknownIssuer" in status(nines)


def test_an_upstream_that_is_killed_is_asked_again_when_it_is_back(start, unbound, authority):
    server = unbound("dns.test")
    nines = forwarding(start, (f"tls://127.0.0.1:{server.port}#dns.test", authority.cert), more='timeout = "1s"')
    assert address(nines, "a.shop.test") == "192.0.2.80"
    server.stop()
    assert ask(nines, "b.shop.test").rcode() == dns.rcode.SERVFAIL
    assert "refused" in status(nines)
    server.begin()
    numbers = iter(range(1000))
    eventually(lambda: ask(nines, f"c{next(numbers)}.shop.test").rcode() == dns.rcode.NOERROR, 20)
    assert "refused" not in status(nines)


def test_a_session_is_resumed_when_a_connection_was_closed(start, told, authority):
    def once(stream):
        write(stream, answer(read(stream)))

    server = told(once)
    nines = forwarding(start, (f"tls://127.0.0.1:{server.port}#dns.test", authority.cert))
    for nth in range(5):
        assert address(nines, f"n{nth}.example") == "192.0.2.7"
    assert server.connections == 5
    assert nines.metric(CONNECTIONS, outcome="resumed") >= 3


def test_answers_come_in_any_order_on_one_connection(start, told, authority):
    seen = []

    def reversed_(stream):
        for _ in range(3):
            wires = [read(stream) for _ in range(8)]
            seen.extend(wires)
            for wire in reversed(wires):
                name = dns.message.from_wire(wire).question[0].name
                write(stream, answer(wire, f"192.0.2.{name.labels[0][1:].decode()}"))

    server = told(reversed_)
    nines = forwarding(start, (f"tls://127.0.0.1:{server.port}#dns.test", authority.cert), more='timeout = "20s"')
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.connect(("127.0.0.1", nines.dns))
        for batch in range(3):
            numbers = range(batch * 8, batch * 8 + 8)
            for nth in numbers:
                client.send(dns.message.make_query(f"n{nth}.example", "A", id=nth).to_wire())
            answers = [dns.message.from_wire(client.recv(4096)) for _ in numbers]
            assert {one.id: one.answer[0][0].address for one in answers} == {nth: f"192.0.2.{nth}" for nth in numbers}
    assert server.connections == 1
    assert {len(wire) % 128 for wire in seen} == {0}, "padded"
    assert not any(isinstance(option, dns.edns.CookieOption) for wire in seen for option in dns.message.from_wire(wire).options)


def test_a_question_that_is_never_answered_holds_up_no_other(start, told, authority):
    def forgetful(stream):
        while wire := read(stream):
            if not dns.message.from_wire(wire).question[0].name.to_text().startswith("lost"):
                write(stream, answer(wire))

    server = told(forgetful)
    nines = forwarding(start, (f"tls://127.0.0.1:{server.port}#dns.test", authority.cert), more='timeout = "2s"')
    lost = []
    waits = threading.Thread(target=lambda: lost.append(ask(nines, "lost.example").rcode()))
    waits.start()
    eventually(lambda: nines.metric("nines_dns_resolver_lookups") == 1)
    for nth in range(30):
        assert address(nines, f"n{nth}.example") == "192.0.2.7"
    waits.join(20)
    assert lost == [dns.rcode.SERVFAIL]
    assert address(nines, "after.example") == "192.0.2.7"


def test_what_is_no_message_is_no_answer(start, told, authority):
    def rambling(stream):
        read(stream)
        stream.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        stream.flush()

    server = told(rambling)
    nines = forwarding(start, (f"tls://127.0.0.1:{server.port}#dns.test", authority.cert), more='timeout = "1s"')
    assert ask(nines, "www.example").rcode() == dns.rcode.SERVFAIL


def test_plain_tcp_is_asked_over_connections_that_stay(start):
    other_port = free_port()
    start(f'[dns]\nlisten = "127.0.0.1:{other_port}"\n{ZONE}{SITE}')
    nines = forwarding(start, f"tcp://127.0.0.1:{other_port}")
    for nth in range(20):
        assert address(nines, f"n{nth}.shop.test") == "192.0.2.80"
    assert nines.metric(CONNECTIONS, outcome="opened") == 1


def test_connections_stay_over_a_reload(start, unbound, authority):
    server = unbound("dns.test")
    nines = forwarding(start, (f"tls://127.0.0.1:{server.port}#dns.test", authority.cert))
    assert address(nines, "a.shop.test") == "192.0.2.80"
    text = nines.file.read_text()
    nines.file.write_text(text.replace("[dns.resolver]\n", '[dns.resolver]\ntimeout = "4s"\n'))
    nines.reload()
    assert address(nines, "b.shop.test") == "192.0.2.80"
    assert nines.metric(CONNECTIONS, outcome="opened") == 1


def test_the_edge_answers_from_the_resolver_by_https(start, unbound, authority):
    server, certificate = unbound("dns.test"), authority.issue("doh.test")
    rest = (f'[dns]\nlisten = "127.0.0.1:{free_port()}"\n[dns.resolver]\nforward = [{{ to = "tls://127.0.0.1:{server.port}#dns.test", ca = "{authority.cert}" }}]\n'
            f'[site.default]\ntls = {certificate.toml()}\n[site.default.route]\n"/dns-query" = {{ dns = true }}\n')
    nines = start(rest, https=True)

    def kdig(name):
        command = ["kdig", "@127.0.0.1", "-p", str(nines.https), "+https=/dns-query", f"+tls-ca={authority.cert}",
                   "+tls-hostname=doh.test", "+short", name]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split()

    for _ in range(2):
        assert kdig("www.shop.test") == ["192.0.2.80"]
    assert nines.metric("nines_dns_resolver_queries_total", cache="miss") == 1
    assert nines.metric("nines_dns_resolver_queries_total", cache="hit") == 1
    many = [subprocess.Popen(["kdig", "@127.0.0.1", "-p", str(nines.https), "+https=/dns-query", f"+tls-ca={authority.cert}",
                              "+tls-hostname=doh.test", "+short", f"n{nth}.shop.test"], stdout=subprocess.PIPE, text=True) for nth in range(8)]
    assert [one.communicate(timeout=20)[0].split() for one in many] == [["192.0.2.80"]] * 8
