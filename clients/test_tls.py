"""TLS seen by `openssl s_client` and curl: versions, names and certificates, resumption, certificates of clients, and
TLS towards the backends."""

import base64
import json
import os
import re
import socket
import ssl
import subprocess

import pytest
from certificates import Authority
from conftest import eventually
from http2 import Http2, tls_socket
from openssl import s_client
from wire import Wire, get

# Alerts of RFC 8446 §6.
HANDSHAKE_FAILURE, ACCESS_DENIED, PROTOCOL_VERSION, UNRECOGNIZED_NAME = 40, 49, 70, 112
CERTIFICATE_REQUIRED, NO_APPLICATION_PROTOCOL = 116, 120
OLD = ["-cipher", "ALL:@SECLEVEL=0"]


@pytest.fixture(scope="module")
def certificates(authority):
    return {name: authority.issue(*name.split()) for name in ("shop.test", "*.wild.test", "deep.wild.test")} | {
        "rsa": authority.issue("both.test", kind="rsa"), "ecdsa": authority.issue("both.test")}


@pytest.fixture(scope="module")
def nines(start, shared_backend, authority, certificates):
    """Sites of every kind, and none for other names."""
    ocsp = authority.vouch(certificates["shop.test"])
    shop = certificates["shop.test"]
    both = ", ".join(certificates[kind].toml() for kind in ("ecdsa", "rsa"))
    sites = {
        "shop.test": f'{{ cert = "{shop.cert}", key = "{shop.key}", ocsp = "{ocsp}" }}',
        "*.wild.test": certificates["*.wild.test"].toml(), "deep.wild.test": certificates["deep.wild.test"].toml(),
        "both.test": f"{{ certs = [{both}] }}",
    }
    return start(f'[pool.all]\nservers = ["{shared_backend.address}"]\n' + "".join(
        f'[site."{host}"]\ntls = {tls}\n[site."{host}".route]\n"/" = {{ pool = "all" }}\n'
        for host, tls in sites.items()), https=True)


def tls_site(certificate, backend, more=""):
    """A file with one site."""
    return (f'[pool.all]\nservers = ["{backend.address}"]\n[site."shop.test"]\ntls = {certificate.toml()}\n{more}\n'
            '[site."shop.test".route]\n"/" = { pool = "all" }\n')


def curl(nines, path, *words, host="shop.test", scheme="https"):
    port = nines.https if scheme == "https" else nines.port
    return subprocess.run(["curl", "-sS", "--max-time", "20", "--resolve", f"{host}:{port}:127.0.0.1", *words,
                           f"{scheme}://{host}:{port}{path}"], capture_output=True, text=True, timeout=30, check=False)


# --- versions and protocols ---

@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_both_versions_are_spoken(nines, backend, version):
    met = s_client(nines.https, f"-tls{version.replace('.', '_')}")
    assert met.version == f"TLSv{version}"
    assert met.json["method"] == "GET"


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(nines, version):
    met = s_client(nines.https, version, *OLD)
    assert met.version is None and met.alert in (PROTOCOL_VERSION, HANDSHAKE_FAILURE)


def test_a_version_may_be_left_out(start, shared_backend, certificates, backend, authority):
    only = start("[edge.tls]\nversions = [\"1.3\"]\n" + tls_site(certificates["shop.test"], shared_backend), https=True)
    assert s_client(only.https, "-tls1_3").version == "TLSv1.3"
    assert s_client(only.https, "-tls1_2").alert == PROTOCOL_VERSION
    assert curl(only, "/", "--cacert", authority.cert).returncode == 0
    assert curl(only, "/", "--cacert", authority.cert, "--tls-max", "1.2").returncode == 35


def test_curl_may_ask_for_the_older_version(nines, backend, authority):
    done = curl(nines, "/", "--cacert", authority.cert, "--tls-max", "1.2", "-v")
    assert done.returncode == 0 and "SSL connection using TLSv1.2" in done.stderr, done.stderr


@pytest.mark.parametrize("cipher", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "AES256-GCM-SHA384", "NULL-SHA256"])
def test_weak_ciphers_are_refused(nines, cipher):
    met = s_client(nines.https, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
    assert met.version is None and met.alert in (HANDSHAKE_FAILURE, ACCESS_DENIED)


@pytest.mark.parametrize("offered, chosen", [
    ("h2,http/1.1", "h2"), ("http/1.1,h2", "h2"), ("http/1.1", "http/1.1"), ("spdy/1,http/1.1", "http/1.1")])
def test_the_protocol_is_agreed_upon(nines, offered, chosen):
    assert s_client(nines.https, "-alpn", offered, data="").alpn == chosen


def test_a_client_without_alpn_speaks_http_1_1(nines, backend):
    assert "HTTP/1.1 200 OK" in s_client(nines.https).text


def test_a_client_of_another_protocol_is_refused(nines):
    assert s_client(nines.https, "-alpn", "imap").alert == NO_APPLICATION_PROTOCOL  # RFC 7301 §3.2


def test_plain_http_on_the_port_of_tls_harms_nobody(nines, backend):
    with Wire(nines.https) as wire:
        wire.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        answer = wire.rest()
    assert b"200 OK" not in answer and backend.requests == []
    assert s_client(nines.https).version == "TLSv1.3"


# --- names ---

@pytest.mark.parametrize("name, certificate", [
    ("shop.test", "shop.test"), ("SHOP.test", "shop.test"), ("a.wild.test", "*.wild.test"),
    ("deep.wild.test", "deep.wild.test")])
def test_the_name_chooses_the_certificate(nines, certificates, name, certificate):
    assert s_client(nines.https, name=name).certificate.serial_number == certificates[certificate].serial


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_an_unknown_name_is_refused(nines, version):
    met = s_client(nines.https, version, name="other.test")
    assert met.version is None and met.alert == UNRECOGNIZED_NAME


def test_a_default_site_answers_to_any_name_and_to_none(start, shared_backend, certificates):
    nines = start(tls_site(certificates["shop.test"], shared_backend) + '[site.default]\ntls = "self-signed"\n'
                  '[site.default.route]\n"/" = { pool = "all" }\n', https=True)
    assert s_client(nines.https, name="shop.test").certificate.serial_number == certificates["shop.test"].serial
    for name in ("other.test", None):
        met = s_client(nines.https, name=name)
        assert met.version == "TLSv1.3" and met.certificate.serial_number != certificates["shop.test"].serial


@pytest.mark.parametrize("words, kind", [
    (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "rsa"),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "ecdsa"),
    (["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"], "rsa"),
    (["-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"], "ecdsa"), ([], "ecdsa")])
def test_a_client_gets_the_certificate_it_can_verify(nines, certificates, words, kind):
    assert s_client(nines.https, *words, name="both.test").certificate.serial_number == certificates[kind].serial


def test_a_request_for_another_site_than_the_handshake_s_is_misdirected(nines, backend):
    """Or it would be served under terms that it never agreed to (RFC 9110 §15.5.20)."""
    assert "HTTP/1.1 200 OK" in s_client(nines.https, name="shop.test").text
    assert "HTTP/1.1 421" in s_client(nines.https, name="shop.test", host="nowhere.test").text


# --- self-signed ---

def test_a_self_signed_site_is_believed_by_who_trusts_the_node(start, shared_backend, backend):
    rest = (f'[pool.all]\nservers = ["{shared_backend.address}"]\n[site."shop.test"]\ntls = "self-signed"\n'
            '[site."shop.test".route]\n"/" = { pool = "all" }\n')
    nines = start(rest, https=True)
    ca = nines.folder / "data" / "tls" / "ca.pem"
    eventually(ca.exists)
    done = curl(nines, "/", "--cacert", ca)
    assert done.returncode == 0, done.stderr
    assert curl(nines, "/").returncode == 60, "nobody else trusts it"
    first = ca.read_bytes()
    nines.stop()
    nines.begin()
    assert ca.read_bytes() == first, "who trusted the node must not have to again"
    assert curl(nines, "/", "--cacert", ca).returncode == 0


# --- resumption ---

@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_client_that_comes_back_resumes(nines, backend, tmp_path, version):
    session = tmp_path / "session"
    assert not s_client(nines.https, version, "-sess_out", session).is_resumed
    assert s_client(nines.https, version, "-sess_in", session).is_resumed


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_nodes_with_one_secret_resume_each_other_s_sessions(start, shared_backend, certificates, backend, tmp_path,
                                                            monkeypatch, version):
    nodes = {}
    for node, secret in {"one": "a" * 40, "two": "a" * 40, "other": "b" * 40}.items():
        monkeypatch.setenv("NINES_TEST_TICKETS", secret)
        nodes[node] = start('[edge.tls]\ntickets = { secret = { env = "NINES_TEST_TICKETS" }, rotate = "12h" }\n'
                            + tls_site(certificates["shop.test"], shared_backend), https=True)
    session = tmp_path / "session"
    assert not s_client(nodes["one"].https, version, "-sess_out", session).is_resumed
    assert s_client(nodes["two"].https, version, "-sess_in", session).is_resumed
    stranger = s_client(nodes["other"].https, version, "-sess_in", session)
    assert stranger.version and not stranger.is_resumed


def test_a_ticket_of_one_site_opens_no_other(nines, backend, tmp_path):
    session = tmp_path / "session"
    s_client(nines.https, "-sess_out", session)
    assert not s_client(nines.https, "-sess_in", session, name="deep.wild.test").is_resumed


def test_early_data_is_not_offered(nines, backend, tmp_path):
    session = tmp_path / "session"
    met = s_client(nines.https, "-tls1_3", "-sess_out", session)
    assert re.search(r"Max Early Data: (\d+)", met.text)[1] == "0"


# --- OCSP ---

@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_the_ocsp_response_is_stapled(nines, certificates, version):
    met = s_client(nines.https, version, "-status")
    assert "OCSP Response Status: successful" in met.text and "Cert Status: good" in met.text
    assert f"{certificates['shop.test'].serial:X}" in met.text
    assert "OCSP response: no response sent" in s_client(nines.https, version, "-status", name="deep.wild.test").text


# --- certificates of clients ---

@pytest.fixture(scope="module")
def guarded(start, shared_backend, authority):
    """A site that wants certificates, one that would like them, and one that does not ask."""
    clients = Authority(authority.folder, "clients")
    site = authority.issue("required.test", "optional.test", "open.test")
    text = f'[pool.all]\nservers = ["{shared_backend.address}"]\n'
    for host, required in (("required.test", "true"), ("optional.test", "false"), ("open.test", None)):
        more = f', clients = {{ ca = "{clients.cert}", required = {required} }}' if required else ""
        text += (f'[site."{host}"]\ntls = {{ cert = "{site.cert}", key = "{site.key}"{more} }}\n'
                 f'[site."{host}".route]\n"/" = {{ pool = "all" }}\n')
    nines = start(text, https=True)
    nines.client, nines.stranger = clients.issue("customer.test"), authority.issue("stranger.test")
    return nines


def shown(certificate):
    return ["-cert", certificate.cert, "-key", certificate.key]


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_certificate_is_required(guarded, backend, version):
    met = s_client(guarded.https, version, name="required.test")
    assert "200 OK" not in met.text
    assert met.alert in ((CERTIFICATE_REQUIRED,) if version == "-tls1_3" else (HANDSHAKE_FAILURE, CERTIFICATE_REQUIRED))
    assert backend.requests == []


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("host", ["required.test", "optional.test"])
def test_a_client_s_certificate_is_told_to_the_backend(guarded, backend, version, host):  # RFC 9440 §2
    met = s_client(guarded.https, version, *shown(guarded.client), name=host)
    assert "200 OK" in met.text
    expected = f":{base64.b64encode(guarded.client.der).decode()}:"
    assert backend.requests[0].all("client-cert") == [expected]


@pytest.mark.parametrize("host", ["required.test", "optional.test"])
def test_a_stranger_s_certificate_is_refused(guarded, backend, host):
    met = s_client(guarded.https, *shown(guarded.stranger), name=host)
    assert "200 OK" not in met.text and met.alert is not None
    assert backend.requests == []


def test_a_client_without_one_is_served_where_it_may(guarded, backend):
    assert "200 OK" in s_client(guarded.https, name="optional.test").text
    assert backend.requests[0].all("client-cert") == []


@pytest.mark.parametrize("name", ["Client-Cert", "client-cert", "Client-Cert-Chain"])
def test_what_a_client_claims_of_a_certificate_is_taken_away(guarded, backend, name):  # RFC 9440 §4
    claim = f"GET / HTTP/1.1\r\nHost: optional.test\r\n{name}: :AAAA:\r\nConnection: close\r\n\r\n"
    assert "200 OK" in s_client(guarded.https, name="optional.test", data=claim).text
    assert get(guarded.port, host="open.test", headers=[(name, ":AAAA:")]).status == 200
    with Http2(guarded.port) as h2:
        assert h2.get(fields=[(":method", "GET"), (":scheme", "http"), (":authority", "open.test"), (":path", "/"),
                              (name.lower(), ":AAAA:")]).status == 200
    assert [request.all(name) for request in backend.requests] == [[], [], []]


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_required_certificate_cannot_be_evaded_by_another_name(guarded, backend, protocol):
    """The handshake names a site that does not ask; the request then names the one that does."""
    if protocol == "h2":
        with Http2(guarded.https, tls=True, name="open.test") as h2:
            fields = [(":method", "GET"), (":scheme", "https"), (":authority", "required.test"), (":path", "/")]
            assert h2.response(h2.open(fields=fields)).status in (403, 421)
    else:
        text = s_client(guarded.https, name="open.test", host="required.test").text
        assert "HTTP/1.1 421" in text or "HTTP/1.1 403" in text
    assert backend.requests == []


def test_a_required_certificate_cannot_be_evaded_without_tls(guarded, backend):
    assert get(guarded.port, host="required.test").status in (301, 308, 403, 421)
    assert backend.requests == []


def test_a_resumed_session_still_tells_the_certificate(guarded, backend, tmp_path):
    session = tmp_path / "session"
    for words in (["-sess_out", session], ["-sess_in", session]):
        assert "200 OK" in s_client(guarded.https, *words, *shown(guarded.client), name="required.test").text
    expected = f":{base64.b64encode(guarded.client.der).decode()}:"
    assert [request.get("client-cert") for request in backend.requests] == [expected] * 2


# --- plain HTTP and HSTS ---

def test_plain_http_is_sent_to_https(start, shared_backend, certificates, backend):
    nines = start(tls_site(certificates["shop.test"], shared_backend, "https_only = true"), https=True)
    answer = get(nines.port, "/a%20b?x=1", host="shop.test:8080")
    # Where this edge itself speaks TLS, on 443 without saying so.
    assert (answer.status, answer.get("location")) == (308, f"https://shop.test:{nines.https}/a%20b?x=1")
    assert backend.requests == []


def test_a_redirect_to_https_may_name_a_port(start, shared_backend, certificates, authority, backend):
    nines = start(tls_site(certificates["shop.test"], shared_backend, "https_only = { port = 8443 }"), https=True)
    assert get(nines.port, "/x", host="shop.test").get("location") == "https://shop.test:8443/x"
    nines.reload(tls_site(certificates["shop.test"], shared_backend, f"https_only = {{ port = {nines.https} }}"))
    done = curl(nines, "/x", "-L", "-d", "body", "--cacert", authority.cert, scheme="http",
                *["--resolve", f"shop.test:{nines.https}:127.0.0.1"])
    assert done.returncode == 0, done.stderr
    assert (backend.requests[0].method, backend.requests[0].body) == ("POST", b"body")


@pytest.mark.parametrize("hsts, expected", [
    ('"365d"', "max-age=31536000"),
    ('{ max_age = "365d", subdomains = true, preload = true }', "max-age=31536000; includeSubDomains; preload")])
def test_hsts_is_told_over_tls_alone(start, shared_backend, certificates, backend, hsts, expected):  # RFC 6797 §7.2
    backend.on("/own", lambda exchange: exchange.respond(200, b"", [("Strict-Transport-Security", "max-age=1")]))
    nines = start(tls_site(certificates["shop.test"], shared_backend, f"hsts = {hsts}"), https=True)
    for path in ("/", "/own"):
        with Http2(nines.https, tls=True) as h2:
            assert h2.get(path).all("strict-transport-security") == [expected], "once, and the site's own word"
    assert get(nines.port, "/").get("strict-transport-security") is None


# --- changed files ---

def test_a_certificate_is_replaced_without_a_dropped_connection(start, shared_backend, authority, backend):
    old, new = authority.issue("shop.test"), authority.issue("shop.test")
    nines = start(tls_site(old, shared_backend), https=True)
    assert s_client(nines.https).certificate.serial_number == old.serial
    with Http2(nines.https, tls=True) as kept:
        assert kept.works()
        # As certbot does it: another file in its place, the key after the certificate.
        for name in ("cert", "key"):
            fresh = getattr(old, name).with_suffix(".new")
            fresh.write_bytes(getattr(new, name).read_bytes())
            os.replace(fresh, getattr(old, name))
            assert kept.works()
        eventually(lambda: s_client(nines.https).certificate.serial_number == new.serial, 20)
        assert kept.works()


def test_a_broken_certificate_changes_nothing(start, shared_backend, authority, backend):
    certificate = authority.issue("shop.test")
    nines = start(tls_site(certificate, shared_backend), https=True)
    certificate.cert.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    reload = subprocess.run([nines.binary, "reload", "--file", nines.file], capture_output=True, text=True, timeout=20,
                            check=False)
    assert reload.returncode != 0 and str(certificate.cert) in reload.stderr + reload.stdout
    assert s_client(nines.https).certificate.serial_number == certificate.serial


# --- TLS towards the backends ---

@pytest.fixture(scope="module")
def secret(backends, authority):
    """A backend with TLS, for the name inner.test."""
    certificate = authority.issue("inner.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    context.load_verify_locations(authority.cert)
    context.verify_mode = ssl.CERT_OPTIONAL
    made = backends("secret", tls=context)
    made.names = []
    context.sni_callback = lambda connection, name, _: made.names.append(name)
    made.on("/peer", lambda exchange: exchange.respond(200, json.dumps(
        exchange.reader.socket.getpeercert() or {}).encode()))
    return made


def upstream(start, secret, tls, more=""):
    return start(f'[pool.inner]\nservers = ["{secret.address}"]\ntls = {tls}\n{more}\n'
                 '[site.default.route]\n"/" = { pool = "inner" }\n')


def test_a_backend_is_verified_by_its_name(start, secret, authority):
    secret.names.clear()
    nines = upstream(start, secret, f'{{ ca = "{authority.cert}", server_name = "inner.test" }}')
    seen = json.loads(get(nines.port).body)
    assert seen["backend"] == "secret" and dict(seen["headers"])["x-forwarded-proto"] == "http"
    assert set(secret.names) == {"inner.test"}


@pytest.mark.parametrize("why", ["another name", "another authority", "the system's authorities"])
def test_a_backend_that_cannot_be_verified_is_a_bad_gateway(start, secret, authority, tmp_path, why):
    stranger = Authority(tmp_path, "stranger")
    tls = {"another name": f'{{ ca = "{authority.cert}", server_name = "other.test" }}',
           "another authority": f'{{ ca = "{stranger.cert}", server_name = "inner.test" }}',
           "the system's authorities": '{ server_name = "inner.test" }'}[why]
    before = len(secret.requests)
    assert get(upstream(start, secret, tls).port).status == 502
    assert len(secret.requests) == before


def test_verification_can_be_left_out(start, secret):
    assert get(upstream(start, secret, "{ verify = false }").port).status == 200


def test_a_certificate_is_shown_to_backends(start, secret, authority):
    ours = authority.issue("proxy.test")
    nines = upstream(start, secret, f'{{ ca = "{authority.cert}", server_name = "inner.test", cert = "{ours.cert}", '
                                    f'key = "{ours.key}" }}')
    peer = json.loads(get(nines.port, "/peer").body)
    assert int(peer["serialNumber"], 16) == ours.serial


def test_connections_to_a_backend_with_tls_are_kept(start, secret, authority):
    nines = upstream(start, secret, f'{{ ca = "{authority.cert}", server_name = "inner.test" }}')
    before = secret.connections
    with Wire(nines.port) as wire:
        for _ in range(10):
            wire.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            assert wire.response().status == 200
    assert secret.connections == before + 1


def test_a_backend_without_tls_is_a_bad_gateway(start, shared_backend, backend, authority):
    nines = start(f'[pool.inner]\nservers = ["{shared_backend.address}"]\ntls = {{ ca = "{authority.cert}", '
                  'server_name = "inner.test" }\n[site.default.route]\n"/" = { pool = "inner" }\n')
    backend.on("/", lambda exchange: exchange.close())
    assert get(nines.port).status == 502
    backend.failures.clear()  # a handshake is no request line


# --- what a client may break off ---

@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
                                  bytes(1000), b"\x15\x03\x01\x00\x02\x02\x28"],
                         ids=["nothing", "half a record", "half a hello", "zeros", "an alert"])
def test_a_broken_handshake_harms_nobody(nines, sent):
    with socket.create_connection(("127.0.0.1", nines.https), 5) as raw:
        raw.sendall(sent)
    assert s_client(nines.https).version == "TLSv1.3"
    assert nines.process.poll() is None


def test_a_client_that_leaves_without_close_notify_costs_nothing(nines, backend):
    for _ in range(20):
        connection = tls_socket(nines.https, alpn=["http/1.1"])
        connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        socket.socket(fileno=connection.detach()).close()
    assert s_client(nines.https).version == "TLSv1.3"


@pytest.mark.parametrize("path", ["/length", "/chunks"])
def test_the_end_of_an_answer_is_told_apart_from_a_cut(nines, backend, path):
    """A client that sees close_notify knows that nobody cut the answer short (RFC 8446 §6.1)."""
    backend.on("/length", lambda exchange: exchange.respond(200, b"x" * 100_000))
    backend.on("/chunks", lambda exchange: exchange.respond_chunked([b"x" * 1000] * 100))
    connection = tls_socket(nines.https, alpn=["http/1.1"], suppress_ragged_eofs=False)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n".encode())
    received = b""
    while data := connection.recv(65_536):  # raises SSLEOFError without close_notify
        received += data
    assert received.startswith(b"HTTP/1.1 200") and received.count(b"x") >= 100_000
    connection.close()
