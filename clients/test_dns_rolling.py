"""DNSSEC that follows the world: answers that are signed as they are given, and keys that roll over with the zone above, which is NSD's. Whoever
validates, delv and Unbound, does so at every step."""

import contextlib
import datetime
import http.server
import itertools
import json
import os
import re
import signal
import subprocess
import threading

import dns.dnssec
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.zone
import pytest
from conftest import eventually, free_port
from cryptography.hazmat.primitives.asymmetric import ec
from nsd import running_nsd
from signed_zones import ask
from unbound import running_unbound

SITE = '[site.default.route]\n"/" = { respond = { body = "http" } }\n'
NAMES = itertools.count(1)


def command(nines, *words):
    done = subprocess.run([nines.binary, *words, "--file", nines.file], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def signing(nines):
    return json.loads(command(nines, "status", "--json"))["zones"][0]["signing"]


def signer(nines, zone="shop.test"):
    """The DS that `nines dns ds` tells."""
    return re.findall(r"^[^;].*$", command(nines, "dns", "ds", zone), re.M)


def anchored(tmp_path, line):
    name, _, _, *fields = line.split()
    (tmp_path / "anchors").write_text('trust-anchors {{ {} initial-ds {} {} {} "{}"; }};\n'.format(name, *fields))
    return tmp_path / "anchors"


def delv(port, anchors, root, name, rtype="A"):
    words = ["delv", "@127.0.0.1", "-p", str(port), "-a", anchors, f"+root={root}", name, rtype]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr


def addresses(port, name, rtype="A"):
    answer = ask(port, name, rtype)
    assert answer.rcode() == dns.rcode.NOERROR
    return {rdata.address for rrset in answer.answer if rrset.rdtype == dns.rdatatype.from_text(rtype) for rdata in rrset}


# --- answers that are signed as they are given ---

@contextlib.contextmanager
def web(address, port):
    """A server that is healthy for as long as it runs."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((address, port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("sign", ["true", '{ denial = "nsec3", algorithm = "ed25519", keys = "ksk-zsk" }'])
def test_endpoints_and_names_of_other_zones_are_validated_whoever_is_down(start, tmp_path, sign):
    port, at = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        stack.enter_context(web("127.0.0.1", at))
        other = stack.enter_context(contextlib.ExitStack())
        other.enter_context(web("127.0.0.2", at))
        nines = start(f"""
[pool.app]
servers = ["127.0.0.1:{at}", "127.0.0.2:{at}"]
health = {{ http = "/", every = "100ms", timeout = "1s" }}
[dns]
listen = "127.0.0.1:{port}"
[dns.zone."shop.test"]
records = ["@ SOA ns1 hostmaster 1 4h 1h 2w 5m", "@ NS ns1", "ns1 A 192.0.2.53"]
sign = {sign}
[dns.zone."shop.test".route]
www.answers = [{{ pool = "app" }}]
"*.any".answers = [{{ pool = "app" }}]
"@".alias = "www.elsewhere.test."
[dns.zone."elsewhere.test"]
records = ["@ SOA ns1 hostmaster 1 4h 1h 2w 5m", "@ NS ns1", "ns1 A 192.0.2.53", "www 30 A 192.0.2.80", "www 30 A 192.0.2.81"]
{SITE}""")
        assert addresses(port, "www.shop.test") == {"127.0.0.1", "127.0.0.2"}
        (line,) = signer(nines)
        anchors = anchored(tmp_path, line)
        resolver = stack.enter_context(running_unbound(tmp_path, [line], {"shop.test": port}, "shop.test"))

        def validated(name, rtype, count):
            said = delv(port, anchors, "shop.test", name, rtype)
            assert ("; fully validated" if count else "; negative response, fully validated") in said, said
            query = dns.message.make_query(name, rtype, want_dnssec=True)
            answer = dns.query.udp(query, "127.0.0.1", 10, resolver)
            assert answer.flags & dns.flags.AD and answer.rcode() == dns.rcode.NOERROR, answer
            assert len(addresses(port, name, rtype)) == count

        for name, count in (("www.shop.test", 2), ("a.any.shop.test", 2), ("shop.test", 2)):
            for rtype, expected in (("A", count), ("AAAA", 0)):
                validated(name, rtype, expected)
        assert all(rrset.ttl == 30 for rrset in ask(port, "shop.test", "A").answer), "that of the other zone"
        other.close()
        eventually(lambda: addresses(port, "www.shop.test") == {"127.0.0.1"})
        for rtype, expected in (("A", 1), ("AAAA", 0), ("MX", 0)):
            if rtype != "MX":
                validated("www.shop.test", rtype, expected)
                validated(f"{next(NAMES)}.any.shop.test", rtype, expected)
            else:
                assert "fully validated" in delv(port, anchors, "shop.test", "www.shop.test", rtype)
        made = nines.metric("nines_dns_signatures_on_demand_total", outcome="made")
        assert 5 <= made <= 12, "each set once, however often it is asked for"
        for _ in range(50):
            addresses(port, "www.shop.test")
        assert nines.metric("nines_dns_signatures_on_demand_total", outcome="made") == made
        assert nines.metric("nines_dns_signatures_on_demand_total", outcome="refused") == 0


# --- keys that roll over ---

class Parent:
    """The zone `test`, signed, which points to `shop.test`; NSD serves it."""

    def __init__(self, folder, server):
        self.folder, self.server, self.serial = folder, server, 0
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.dnskey = dns.dnssec.make_dnskey(self.key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, flags=257)
        self.anchor = f"test. IN DS {dns.dnssec.make_ds('test.', self.dnskey, 'SHA256')}"

    def write(self, signers):
        self.serial += 1
        zone = dns.zone.from_text(f"$TTL 2\n@ SOA ns admin {self.serial} 3600 600 86400 2\n@ NS ns\nns A 127.0.0.1\n"
                                  "shop NS ns1.shop\nns1.shop A 127.0.0.1\n" + "".join(f"{line}\n" for line in signers), "test.", relativize=False)
        now = datetime.datetime.now(datetime.timezone.utc)
        with zone.writer() as writer:
            dns.dnssec.sign_zone(zone, writer, keys=[(self.key, self.dnskey)], add_dnskey=True, inception=now - datetime.timedelta(hours=1),
                                 expiration=now + datetime.timedelta(days=1))
        (self.folder / "test.zone").write_text(zone.to_text(relativize=False))

    def point_to(self, signers):
        """The next state of the zone, once NSD has it."""
        self.write(signers)
        os.kill(int((self.folder / "nsd.pid").read_text()), signal.SIGHUP)
        soa = dns.message.make_query("test.", "SOA")
        eventually(lambda: dns.query.udp(soa, "127.0.0.1", 5, self.port).answer[0][0].serial == self.serial)


class Watched:
    """A thread that asks a validating resolver all the time, mostly for names that nobody has asked for before."""

    def __init__(self, port):
        self.port, self.wrong, self.count, self.is_over = port, [], 0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.is_over.wait(0.03):
            for name in ("www.shop.test", f"n{next(NAMES)}.any.shop.test"):
                try:
                    answer = dns.query.udp(dns.message.make_query(name, "A", want_dnssec=True), "127.0.0.1", 10, self.port)
                    self.count += 1
                    if answer.rcode() != dns.rcode.NOERROR or not answer.flags & dns.flags.AD or not answer.answer:
                        self.wrong.append(answer.to_text())
                except dns.exception.DNSException as error:
                    self.wrong.append(repr(error))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()


@pytest.mark.parametrize("sign, is_asked", [
    ('', True),
    ('keys = "ksk-zsk", denial = "nsec3", algorithm = "ed25519"', False),
], ids=["csk", "ksk"])
@pytest.mark.timeout(240)
def test_a_key_rolls_over_with_the_zone_above_and_nobody_notices(start, tmp_path, sign, is_asked):
    port = free_port()
    for name in ("nsd", "unbound"):
        (tmp_path / name).mkdir()
    parent = Parent(tmp_path / "nsd", port)
    parent.write([])
    with contextlib.ExitStack() as stack:
        parent.port = stack.enter_context(running_nsd(tmp_path / "nsd", {"test": tmp_path / "nsd" / "test.zone"}))
        how = [word for word in (sign, f'parent = ["127.0.0.1:{parent.port}"]' if is_asked else "") if word]
        how = ", ".join([*how, 'propagation = "2s"', 'validity = "10m"'])
        nines = start(f"""
[dns]
listen = "127.0.0.1:{port}"
[dns.zone."shop.test"]
ttl = "2s"
records = ["@ SOA ns1 hostmaster 1 4h 1h 2w 2s", "@ NS ns1", "ns1 A 127.0.0.1", "www A 192.0.2.80", "*.any A 192.0.2.81"]
sign = {{ {how} }}
{SITE}""")
        first = signer(nines)
        assert len(first) == 1
        parent.point_to(first)
        anchors = anchored(tmp_path, parent.anchor)
        resolver = stack.enter_context(
            running_unbound(tmp_path / "unbound", [parent.anchor], {"test": parent.port, "shop.test": port}, "shop.test"))

        def validates(name="www.shop.test"):
            assert "; fully validated" in delv(resolver, anchors, "test", name)

        def entry(state):
            return [key for key in signing(nines)["keys"] if key["role"] != "zsk" and key["state"] == state]

        validates()
        with Watched(resolver) as watched:
            assert "is new" in command(nines, "dns", "roll-over", "shop.test")
            (new,) = entry("published")
            assert new["next"]["step"] == "submitted" and signer(nines) == first
            validates()
            (waiting,) = eventually(lambda: entry("submitted"), 20)
            assert waiting["tag"] == new["tag"] and waiting["waits_for_ds"]
            second = signer(nines)
            assert second != first and "waits for its DS" in command(nines, "status")
            published = ask(port, "shop.test", "CDS").answer[0]
            assert [f"shop.test. IN DS {rdata}".upper() for rdata in published] == [line.upper() for line in second]
            validates()
        assert not watched.wrong and watched.count > 50, watched.wrong[:3]

        # What is known of keys outlives the process.
        nines.stop()
        nines.begin()
        assert [key["tag"] for key in entry("submitted")] == [new["tag"]] and signer(nines) == second
        with Watched(resolver) as watched:
            validates()
            if is_asked:
                assert nines.metric("nines_dns_zone_key_submitted_timestamp_seconds", zone="shop.test") > 0
                eventually(lambda: nines.metric("nines_dns_ds_checks_total", outcome="absent") > 0)
            parent.point_to(second)
            validates(f"n{next(NAMES)}.any.shop.test")
            if not is_asked:
                assert entry("submitted")[0]["waits_for_ds"], "nobody has said so"
                assert "takes the place" in command(nines, "dns", "ds-seen", "shop.test", "--ttl", "3s")
            eventually(lambda: [key["tag"] for key in entry("active")] == [new["tag"]], 30)
            validates(f"n{next(NAMES)}.any.shop.test")
            eventually(lambda: not entry("retired"), 30)
            assert [key["tag"] for key in signing(nines)["keys"] if key["role"] != "zsk"] == [new["tag"]]
            validates(f"n{next(NAMES)}.any.shop.test")
        assert not watched.wrong and watched.count > 50, watched.wrong[:3]
        assert signer(nines) == second
        keys = ask(port, "shop.test", "DNSKEY").answer[0]
        assert new["tag"] in {dns.dnssec.key_id(key) for key in keys} and len(keys) == (1 if is_asked else 2)
