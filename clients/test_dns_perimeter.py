"""DNS: what stands around the answers. Limits, logs, encrypted transports, the names of services, and what a check finds."""

import base64
import json
import shutil
import ssl
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request

import dns.message
import dns.query
import dns.rcode
import httpx
import pytest
from conftest import eventually, free_port
from proxy_protocol import exactly

SITE = '[site.default.route]\n"/" = { respond = { body = "http" } }\n'
ZONE = """
[dns.zone."shop.test"]
records = ["@ 1h SOA ns1 admin 7 1h 10m 1d 5m", "@ NS ns1", "@ NS ns2", "ns1 A 192.0.2.53", "ns2 A 192.0.2.54", "www A 192.0.2.1"]
"""


def dns_file(port, more=""):
    return f'[dns]\nlisten = "127.0.0.1:{port}"\n{more}\n{ZONE}\n{SITE}'


def tool(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout


# --- limits ---

def test_a_flood_is_limited_and_dig_gets_its_answer_over_tcp_or_with_a_cookie(start):
    port = free_port()
    nines = start(dns_file(port, 'limit = { responses_per_client = "1/m", slip = 1 }'))
    query = dns.message.make_query("www.shop.test", "A").to_wire()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(10)
        for _ in range(50):
            client.send(query)
            client.recv(4096)
    assert nines.metric("nines_dns_limited_total", outcome="slipped") >= 48
    text = tool("dig", "@127.0.0.1", "-p", str(port), "+nocookie", "www.shop.test")
    assert "retrying in TCP mode" in text and "192.0.2.1" in text
    text = tool("kdig", "@127.0.0.1", "-p", str(port), "+cookie", "+ignore", "www.shop.test")
    assert "192.0.2.1" in text or " tc" in text
    cookie = next(line.split()[2] for line in tool("dig", "@127.0.0.1", "-p", str(port), "+ignore", "www.shop.test").splitlines()
                  if "COOKIE:" in line)
    text = tool("dig", "@127.0.0.1", "-p", str(port), "+ignore", f"+cookie={cookie}", "www.shop.test")
    assert "192.0.2.1" in text and " tc" not in text


# --- logs ---

def test_each_query_is_a_line_of_json(start, tmp_path):
    port, log = free_port(), tmp_path / "queries.log"
    start(dns_file(port, f'log = {{ queries = "{log}" }}'))
    tool("dig", "@127.0.0.1", "-p", str(port), "+nocookie", "+subnet=198.51.100.0/24", "www.shop.test")
    tool("dig", "@127.0.0.1", "-p", str(port), "+tcp", "nothing.shop.test", "MX")
    told = eventually(lambda: (lines := log.read_text().splitlines()) and len(lines) == 2 and [json.loads(line) for line in lines])
    first, second = told
    assert (first["client"], first["transport"], first["name"], first["type"]) == ("127.0.0.1", "udp", "www.shop.test", "A")
    assert (first["rcode"], first["zone"], first["subnet"], first["flags"]) == ("NOERROR", "shop.test", "198.51.100.0/24", "aa rd")
    assert first["sent_bytes"] > first["received_bytes"] > 12 and first["took_us"] < 1_000_000
    assert (second["transport"], second["rcode"], second["kind"], second["type"]) == ("tcp", "NXDOMAIN", "nxdomain", "MX")


CONTENT_TYPE = b"protobuf:dnstap.Dnstap"
ACCEPT, START, STOP, READY, FINISH = range(1, 6)


def control(kind, content_type=True):
    body = struct.pack("!I", kind) + (struct.pack("!II", 1, len(CONTENT_TYPE)) + CONTENT_TYPE if content_type else b"")
    return struct.pack("!II", 0, len(body)) + body


def protobuf(data):
    """Fields of a message by their number."""
    at, fields = 0, {}

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            octet = data[at]
            at += 1
            value |= (octet & 127) << shift
            shift += 7
            if octet < 128:
                return value
    while at < len(data):
        key = varint()
        if key & 7 == 0:
            fields[key >> 3] = varint()
        elif key & 7 == 2:
            length = varint()
            fields[key >> 3] = data[at:at + length]
            at += length
        else:
            assert key & 7 == 5
            fields[key >> 3] = struct.unpack("<I", data[at:at + 4])[0]
            at += 4
    return fields


class Reader:
    """What listens for dnstap's frames on a socket."""

    def __init__(self, path):
        self.frames, self.finished = [], False
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        connection, _ = self.listener.accept()
        connection.settimeout(30)
        assert exactly(connection, len(control(READY))) == control(READY)
        connection.sendall(control(ACCEPT))
        assert exactly(connection, len(control(START))) == control(START)
        while length := struct.unpack("!I", exactly(connection, 4))[0]:
            self.frames.append(protobuf(exactly(connection, length)))
        assert exactly(connection, 8) == struct.pack("!II", 4, STOP)
        connection.sendall(control(FINISH, content_type=False))
        connection.close()
        self.finished = True


def test_a_reader_of_dnstap_gets_the_messages_and_hears_the_end(start, tmp_path):
    port, reader = free_port(), Reader(tmp_path / "sock")
    nines = start(dns_file(port, f'identity = "ns1"\nlog = {{ dnstap = {{ socket = "{tmp_path}/sock" }} }}'))
    query = dns.message.make_query("www.shop.test", "A", use_edns=0)
    answer = dns.query.udp(query, "127.0.0.1", 10, port)
    dns.query.tcp(query, "127.0.0.1", 10, port)
    eventually(lambda: len(reader.frames) == 4)
    messages = [protobuf(frame[14]) for frame in reader.frames]
    assert [message[1] for message in messages] == [1, 2, 1, 2], "AUTH_QUERY, AUTH_RESPONSE"
    assert [message[3] for message in messages] == [1, 1, 2, 2], "UDP, TCP"
    assert reader.frames[0][1] == b"ns1" and reader.frames[0][2].startswith(b"nines ") and reader.frames[0][15] == 1
    assert messages[0][10] == query.to_wire() and messages[1][14] == answer.to_wire()
    assert all(message[2] == 1 and message[4] == socket.inet_aton("127.0.0.1") and message[6] > 0 for message in messages)
    assert messages[1][8] <= messages[1][12] and messages[1][13] < 10 ** 9
    nines.stop()
    reader.thread.join(20)
    assert reader.finished


def test_a_file_of_dnstap_is_read_by_its_own_tool(start, tmp_path):
    assert shutil.which("dnstap-read"), "apt install bind9-utils"
    port, path = free_port(), tmp_path / "queries.tap"
    nines = start(dns_file(port, f'log = {{ dnstap = {{ file = "{path}" }} }}'))
    for name in ["www.shop.test", "nothing.shop.test"]:
        tool("dig", "@127.0.0.1", "-p", str(port), "+nocookie", name)
    nines.stop()
    lines = tool("dnstap-read", str(path)).splitlines()
    assert [line.split()[2] for line in lines] == ["AQ", "AR", "AQ", "AR"]
    assert all("UDP" in line and "www.shop.test/IN/A" in line for line in lines[:2])
    assert "status: NXDOMAIN" in tool("dnstap-read", "-p", str(path))


# --- TLS ---

@pytest.fixture(scope="module")
def encrypted(start):
    """A nines that is asked over TLS, and its own authority."""
    nines = start(dns_file(free_port(), f'dot = "127.0.0.1:{(dot := free_port())}"\ntls = "self-signed"'))
    nines.dot = dot
    nines.authority = eventually(lambda: next(iter(nines.folder.rglob("ca.pem")), None))
    return nines


def test_kdig_asks_over_tls_and_verifies(encrypted):
    ask = ["kdig", "@127.0.0.1", "-p", str(encrypted.dot), f"+tls-ca={encrypted.authority}", "+tls-hostname=localhost"]
    assert tool(*ask, "+short", "www.shop.test").split() == ["192.0.2.1"]
    text = tool(*ask, "+padding=64", "www.shop.test")
    assert "PADDING" in text and "Received 468 B" in text
    assert tool(*ask, "+keepopen", "+short", *["www.shop.test"] * 20).split() == ["192.0.2.1"] * 20
    assert encrypted.metric("nines_dns_queries_total", transport="tls", type="A") >= 22


def test_dnspython_asks_over_tls_in_one_session(encrypted):
    context = ssl.create_default_context(cafile=str(encrypted.authority))
    context.set_alpn_protocols(["dot"])
    query = dns.message.make_query("nothing.shop.test", "A", pad=128)
    with socket.create_connection(("127.0.0.1", encrypted.dot), 10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            assert connection.selected_alpn_protocol() == "dot"
            for _ in range(30):
                dns.query.send_tcp(connection, query)
            for _ in range(30):
                answer, _ = dns.query.receive_tcp(connection)
                assert answer.rcode() == dns.rcode.NXDOMAIN and answer.id == query.id


def test_tls_hears_nothing_of_strangers(encrypted):
    context = ssl.create_default_context(cafile=str(encrypted.authority))
    context.set_alpn_protocols(["http/1.1"])
    with socket.create_connection(("127.0.0.1", encrypted.dot), 10) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", encrypted.dot), 10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        plain.settimeout(10)
        while plain.recv(4096):
            pass
    eventually(lambda: encrypted.metric("nines_dns_connections_ended_total", reason="handshake") >= 2)


# --- HTTPS ---

@pytest.fixture(scope="module")
def web(start):
    """A nines that is asked over HTTPS."""
    port = free_port()
    site = '[site.localhost]\ntls = "self-signed"\n[site.localhost.route]\n"/dns-query" = { dns = true }\n'
    nines = start(f'[dns]\nlisten = "127.0.0.1:{port}"\n{ZONE}\n{site}' + site.replace("localhost", "default"), http3=True)
    nines.dns = port
    nines.authority = eventually(lambda: next(iter(nines.folder.rglob("ca.pem")), None))
    return nines


def test_the_usual_tools_ask_over_https(web):
    for how in ["+https=/dns-query", "+https-get=/dns-query"]:
        assert tool("dig", "@127.0.0.1", "-p", str(web.https), how, "+short", "www.shop.test").split() == ["192.0.2.1"]
    ask = ["kdig", "@127.0.0.1", "-p", str(web.https), f"+tls-ca={web.authority}", "+tls-hostname=localhost"]
    assert tool(*ask, "+https=localhost/dns-query", "+short", "www.shop.test").split() == ["192.0.2.1"]
    assert "NXDOMAIN" in tool(*ask, "+https=localhost/dns-query", "+https-get", "nothing.shop.test")
    assert web.metric("nines_dns_queries_total", transport="https", type="A") >= 4


def test_curl_finds_a_host_over_https(web, start):
    # The name leads to this machine by the zone alone.
    served = start(f'[dns]\nlisten = "127.0.0.1:{free_port()}"\n[dns.zone."here.test"]\n'
                   'records = ["@ SOA ns1 admin 1 1h 10m 1d 5m", "@ NS ns1", "ns1 A 127.0.0.1", "www A 127.0.0.1"]\n'
                   '[site.default]\ntls = "self-signed"\n[site.default.route]\n"/dns-query" = { dns = true }\n"/" = { respond = { body = "found" } }\n',
                   https=True)
    text = tool("curl", "-sS", "--doh-insecure", "--doh-url", f"https://127.0.0.1:{served.https}/dns-query",
                f"http://www.here.test:{served.port}/")
    assert text == "found"


@pytest.mark.parametrize("http2", [False, True])
def test_a_message_comes_in_a_url_or_a_body(web, http2):
    query = dns.message.make_query("www.shop.test", "A", id=0, use_edns=0, pad=128)
    encoded = base64.urlsafe_b64encode(query.to_wire()).decode().rstrip("=")
    context = ssl.create_default_context(cafile=str(web.authority))
    with httpx.Client(http1=not http2, http2=http2, verify=context) as client:
        url = f"https://localhost:{web.https}/dns-query"
        message = {"content-type": "application/dns-message"}
        for answer in [client.get(url, params={"dns": encoded}), client.post(url, content=query.to_wire(), headers=message),
                       client.post(url, content=iter([query.to_wire()[:20], query.to_wire()[20:]]), headers=message)]:
            assert answer.status_code == 200 and answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            assert answer.headers["content-type"] == "application/dns-message"
            assert answer.headers["cache-control"] == "max-age=3600" and len(answer.content) == 468
            found = dns.message.from_wire(answer.content)
            assert found.id == 0 and found.answer[0][0].address == "192.0.2.1"
        absent = dns.message.make_query("nothing.shop.test", "A", id=0)
        answer = client.post(url, content=absent.to_wire(), headers=message)
        assert answer.status_code == 200 and answer.headers["cache-control"] == "max-age=300"
        assert dns.message.from_wire(answer.content).rcode() == dns.rcode.NXDOMAIN
        refused = client.post(url, content=dns.message.make_query("elsewhere.test", "A").to_wire(), headers=message)
        assert refused.status_code == 200 and refused.headers["cache-control"] == "no-store"


def test_what_is_no_message_is_refused_over_https(web):
    context = ssl.create_default_context(cafile=str(web.authority))
    with httpx.Client(http2=True, verify=context) as client:
        url = f"https://localhost:{web.https}/dns-query"
        message = {"content-type": "application/dns-message"}
        assert client.get(url).status_code == 400
        assert client.get(url, params={"dns": "a+b"}).status_code == 400
        assert client.get(url, params={"dns": "AAAA"}).status_code == 400
        assert client.post(url, content=b"", headers=message).status_code == 400
        assert client.post(url, content=bytes(65_536), headers=message).status_code == 413
        assert client.post(url, content=iter([bytes(40_000)] * 3), headers=message).status_code == 413
        assert client.post(url, content=b"{}", headers={"content-type": "application/json"}).status_code == 415
        put = client.put(url, content=b"x")
        assert put.status_code == 405 and put.headers["allow"] == "GET, HEAD, POST"
        response = dns.message.make_query("www.shop.test", "A").to_wire()
        answer = client.post(url, content=response[:2] + b"\x80" + response[3:], headers=message)
        assert answer.status_code == 400
        # The connection lives on.
        assert client.post(url, content=response, headers=message).status_code == 200


def test_a_body_that_comes_slowly_or_late_is_one_request(web):
    query = dns.message.make_query("www.shop.test", "A").to_wire()
    head = (f"POST /dns-query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dns-message\r\n"
            f"Content-Length: {len(query)}\r\n")
    with socket.create_connection(("127.0.0.1", web.port), 10) as client:
        for _ in range(2):
            client.sendall((head + "Expect: 100-continue\r\n\r\n").encode())
            assert exactly(client, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            for octet in query:
                client.sendall(bytes([octet]))
            text = b""
            while b"\r\n\r\n" not in text:
                text += exactly(client, 1)
            length = int(text.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert text.startswith(b"HTTP/1.1 200 ") and len(exactly(client, length)) == length


def test_a_route_of_dns_is_explained_and_needs_dns(web):
    text = tool(str(web.binary), "explain", "--file", str(web.file), "http://localhost/dns-query")
    assert "answer DNS queries" in text
    bad = web.file.with_name("bad.toml")
    bad.write_text('[edge]\nhttp = ["127.0.0.1:1"]\n[site.default.route]\n"/dns-query" = { dns = true }\n')
    done = subprocess.run([web.binary, "check", bad], capture_output=True, text=True)
    assert done.returncode != 0 and "route /dns-query answers queries of DNS, and the file has no `[dns]`" in done.stderr


# --- services ---

PROGRAM = """
import http.server, os, sys
from pathlib import Path
sick = Path(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        is_sick = sick.exists() and self.server.server_port == int(sick.read_text() or 0)
        self.send_response(503 if is_sick else 200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_services_have_names_that_follow_health(start, tmp_path):
    program, sick, port = tmp_path / "program.py", tmp_path / "sick", free_port()
    program.write_text(PROGRAM)
    services = "".join(f'[service.{name}]\nrun = ["{sys.executable}", "{program}", "$PORT", "{sick}"]\ninstances = 2\n'
                       'health = { http = "/", every = "50ms", fall = 1, rise = 1 }\n' for name in ["shop", "plain"])
    nines = start(f'{services}[pool.shop]\nservice = "shop"\n[dns]\nlisten = "127.0.0.1:{port}"\n'
                  '[dns.services]\ndomain = "nines.internal"\n[site.default.route]\n"/" = { pool = "shop" }\n')

    def ask(name, rtype):
        return dns.query.udp(dns.message.make_query(name, rtype), "127.0.0.1", 10, port)

    def srv(name="shop"):
        answer = ask(f"{name}.service.nines.internal", "SRV").answer
        return {str(record.target): record.port for record in answer[0]} if answer else {}
    both = eventually(lambda: len(srv()) == 2 and srv())
    assert set(both) == {f"shop-{nth}.shop.service.nines.internal." for nth in (1, 2)}
    answer = ask("shop.service.nines.internal", "A")
    assert [record.address for record in answer.answer[0]] == ["127.0.0.1"] and answer.answer[0].ttl == 0
    assert len(ask("shop.service.nines.internal", "SRV").additional) == 2
    assert ask("shop-2.shop.service.nines.internal", "A").answer[0][0].address == "127.0.0.1"
    assert ask("_shop._tcp.service.nines.internal", "SRV").answer[0][0].port in both.values()
    assert ask("other.service.nines.internal", "A").rcode() == dns.rcode.NXDOMAIN
    # Without a pool it is enough that it accepts connections.
    assert len(eventually(lambda: len(srv("plain")) == 2 and srv("plain"))) == 2

    target, sick_port = next(iter(both.items()))
    sick.write_text(str(sick_port))
    assert set(eventually(lambda: len(srv()) == 1 and srv())) == set(both) - {target}
    sick.unlink()
    eventually(lambda: len(srv()) == 2)
    # A drain is a change of health like any other, and its moment is known.
    instance = target.split(".")[0]
    subprocess.run([nines.binary, "drain", f"shop/{instance}", "--file", nines.file], check=True, capture_output=True)
    drained = time.monotonic()
    while target in srv():
        assert time.monotonic() - drained < 2
    assert time.monotonic() - drained < 0.1, "out of the answers within 100 ms"
    other = next(iter(set(both) - {target})).split(".")[0]
    subprocess.run([nines.binary, "drain", f"shop/{other}", "--file", nines.file], check=True, capture_output=True)
    eventually(lambda: not srv())
    answer = ask("shop.service.nines.internal", "A")
    assert answer.rcode() == dns.rcode.NOERROR and not answer.answer and answer.authority[0].ttl == 0
    text = ask("shop.service.nines.internal", "TXT").answer[0][0].to_text()
    assert text == '"0 of 2 instances are healthy"'
    nines.reload()
    assert ask("shop.service.nines.internal", "TXT").answer[0][0].to_text() == text
    subprocess.run([nines.binary, "undrain", f"shop/{other}", "--file", nines.file], check=True, capture_output=True)
    eventually(lambda: len(srv()) == 1)


# --- nines check ---

def test_a_check_tells_what_leads_nowhere_and_says_ok(binary, tmp_path):
    zone = tmp_path / "shop.org.zone"
    zone.write_text("$TTL 1h\n@ SOA ns1 admin 1 1h 10m 1d 5m\n@ NS ns1\nns1 A 192.0.2.1\n@ MX 10 mail\nmail CNAME ns1\n"
                    "www CNAME www.cdn.org.\nok CNAME any.cdn.org.\n")
    file = tmp_path / "nines.toml"
    file.write_text(f"""[dns]
listen = "127.0.0.1:5300"
[dns.zone."shop.org"]
file = "{zone}"
[dns.zone."cdn.org"]
records = [
    "@ SOA ns1 admin 1 1h 10m 1d 5m", "@ NS ns1", "@ NS ns2",
    "ns1 A 192.0.2.1", "ns2 A 192.0.2.2", "any A 192.0.2.3",
    "_x._tcp SRV 0 0 1 nobody",
]
[dns.zone."cdn.org".route.slow]
ttl = "5m"
answers = [{{ pool = "p", addresses = ["192.0.2.9"] }}]
[pool.p]
servers = ["127.0.0.1:1"]
""")
    done = subprocess.run([binary, "check", file], capture_output=True, text=True, timeout=20)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "ok " in said
    for line, what in [(3, "shop.org has one server (NS)"), (5, "the MX of shop.org leads to mail.shop.org, which is an alias"),
                       (7, "the CNAME of www.shop.org leads to www.cdn.org, which is not there")]:
        assert what in said and f"{zone.name}:{line}" in said, said
    assert "the SRV of _x._tcp.cdn.org leads to nobody.cdn.org, which is not there" in said and "nines.toml:9:5" in said
    assert "route slow: answers are kept for 5m" in said
    assert said.count("warning: ") == 5, said
