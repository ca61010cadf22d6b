"""OCSP responses that nines fetches by itself for certificates of files, seen by `openssl s_client` and by curl, which
verifies them."""

import os
import subprocess

import pytest
from conftest import eventually, free_port
from openssl import s_client


@pytest.fixture
def responder(backends, authority):
    """Answers for the authority."""
    made = backends("responder")
    made.on("/", lambda exchange: exchange.respond(200, authority.answer(exchange.read_body()), [
        ("Content-Type", "application/ocsp-response")]))
    made.url = f"http://{made.address}/"
    yield made
    assert made.failures == []
    assert {(request.method, request.get("content-type")) for request in made.requests} <= {
        ("POST", "application/ocsp-request")}


def sites(certificate, *hosts, more=""):
    return more + "".join(f'[site."{host}"]\ntls = {certificate.toml()}\n[site."{host}".route]\n'
                          '"/" = { respond = { body = "here" } }\n' for host in hosts)


def stapled(port, certificate=None, name="shop.test"):
    """Whether a client is shown a response, if need be about this certificate."""
    met = s_client(port, "-status", name=name)
    assert met.version, met.text
    if "OCSP response: no response sent" in met.text:
        return False
    assert "OCSP Response Status: successful" in met.text and "Cert Status: good" in met.text, met.text
    return certificate is None or f"{certificate.serial:X}" in met.text


def verified(nines, authority):
    """Whether curl believes the response; it fails with 91 if there is none."""
    return subprocess.run(["curl", "-sS", "--max-time", "20", "--cert-status", "--cacert", authority.cert, "--resolve",
                           f"shop.test:{nines.https}:127.0.0.1", f"https://shop.test:{nines.https}/"],
                          capture_output=True, timeout=30, check=False).returncode


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_response_is_fetched_and_stapled(start, authority, responder, version):
    certificate = authority.issue("shop.test", responder=responder.url)
    nines = start(sites(certificate, "shop.test"), https=True)
    eventually(lambda: stapled(nines.https, certificate))
    assert "Cert Status: good" in s_client(nines.https, version, "-status").text
    assert verified(nines, authority) == 0
    assert nines.metric("nines_acme_ocsp_fetches_total", result="stapled") == 1


def test_sites_with_one_certificate_ask_once_and_a_reload_not_again(start, authority, responder):
    certificate = authority.issue("shop.test", "www.shop.test", responder=responder.url)
    nines = start(sites(certificate, "shop.test", "www.shop.test"), https=True)
    for name in ("shop.test", "www.shop.test"):
        eventually(lambda: stapled(nines.https, certificate, name))
    nines.reload(sites(certificate, "shop.test", "api.shop.test"))
    for name in ("shop.test", "api.shop.test"):
        assert stapled(nines.https, certificate, name), "what was known is known after a reload"
    assert len(responder.requests) == 1


def test_without_a_responder_there_is_a_handshake_but_no_response(start, authority):
    url = f"http://127.0.0.1:{free_port()}/"
    certificate = authority.issue("shop.test", responder=url, must_staple=True)
    nines = start(sites(certificate, "shop.test"), https=True)
    eventually(lambda: nines.metric("nines_acme_ocsp_fetches_total", result="failed") == 1)
    assert not stapled(nines.https) and verified(nines, authority) == 91
    told = [line for line in nines.log.read_text().splitlines() if url in line]
    assert len(told) == 1 and "the certificate demands one (RFC 7633)" in told[0], told


def test_a_responder_that_is_nonsense_is_not_believed(start, authority, responder):
    responder.on("/", lambda exchange: exchange.respond(200, b"good"))
    nines = start(sites(authority.issue("shop.test", responder=responder.url), "shop.test"), https=True)
    eventually(lambda: nines.metric("nines_acme_ocsp_fetches_total", result="refused") == 1)
    assert not stapled(nines.https)


def test_responders_are_not_asked_where_that_is_turned_off(start, authority, responder):
    certificate = authority.issue("shop.test", responder=responder.url, must_staple=True)
    off = '[edge.tls]\nocsp = "off"\n'
    nines = start(sites(certificate, "shop.test", more=off), https=True)
    assert not stapled(nines.https)
    assert "nobody is asked for one" in nines.log.read_text(), "the certificate demands a response"
    nines.reload(sites(certificate, "shop.test"))
    eventually(lambda: stapled(nines.https, certificate))
    assert len(responder.requests) == 1, "nobody was asked before"
    nines.reload(sites(certificate, "shop.test", more=off))
    eventually(lambda: not stapled(nines.https))


def test_a_file_s_response_goes_before_the_responder_s(start, authority, responder):
    certificate = authority.issue("shop.test", responder=responder.url)
    other = authority.issue("other.test", responder=responder.url)
    ocsp = authority.vouch(certificate)
    nines = start(f'[site."shop.test"]\ntls = {{ cert = "{certificate.cert}", key = "{certificate.key}", '
                  f'ocsp = "{ocsp}" }}\n[site."shop.test".route]\n"/" = {{ respond = {{ body = "here" }} }}\n'
                  + sites(other, "other.test"), https=True)
    assert stapled(nines.https, certificate), "it needs no fetch"
    eventually(lambda: stapled(nines.https, other, "other.test"))
    assert len(responder.requests) == 1


def test_a_certificate_that_is_replaced_gets_a_response_of_its_own(start, authority, responder):
    old, new = (authority.issue("shop.test", responder=responder.url) for _ in range(2))
    nines = start(sites(old, "shop.test"), https=True)
    eventually(lambda: stapled(nines.https, old))
    for name in ("cert", "key"):
        fresh = getattr(old, name).with_suffix(".new")
        fresh.write_bytes(getattr(new, name).read_bytes())
        os.replace(fresh, getattr(old, name))
    eventually(lambda: stapled(nines.https, new), 20)
    assert len(responder.requests) == 2


def test_a_tcp_listener_that_ends_tls_staples_too(start, shared_backend, authority, responder):
    certificate, port = authority.issue("shop.test", responder=responder.url), free_port()
    start(f'[pool.all]\nservers = ["{shared_backend.address}"]\n[tcp.front]\nlisten = "127.0.0.1:{port}"\n'
          f'pool = "all"\ntls = {certificate.toml()}\n[site.default.route]\n"/" = {{ pool = "all" }}\n')
    eventually(lambda: stapled(port, certificate))
    assert len(responder.requests) == 1
