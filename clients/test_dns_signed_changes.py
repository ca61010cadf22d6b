"""Zones that change and are signed here: nsupdate, knsupdate, delv, ldns-verify-zone, dnspython, and NSD on either side."""

import re
import subprocess

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.update
import dns.xfr
import dns.zone
import pytest
from conftest import eventually
from test_dns_transfers import KEY, KEYRING, SITE, Server, nsd, secondary_zone, send, text, tool, update  # noqa: F401

HOW = {"nsec": "true", "nsec3": '{ denial = "nsec3", algorithm = "ed25519", keys = "ksk-zsk" }'}


@pytest.fixture(params=HOW)
def how(request):
    return HOW[request.param]


def signed_zone(folder, how, more=""):
    return f"""
[dns.zone."s.test"]
file = "{folder}/s.test.zone"
sign = {how}
update = [{{ key = "transfer.key" }}]
transfer = {{ key = "transfer.key"{more} }}
[dns.zone."s.test".route.chosen]
answers = [{{ addresses = ["192.0.2.10", "2001:db8::10"] }}, {{ addresses = ["192.0.2.11", "2001:db8::11"] }}]
"""


@pytest.fixture
def signed(start, tmp_path, how):
    # So many names that a few differences are less than the zone.
    many = "".join(f'host{nth} TXT "{nth}"\n' for nth in range(100))
    (tmp_path / "s.test.zone").write_text(text(1, "www A 192.0.2.1\nalias CNAME www\nsub NS ns.sub\nns.sub A 192.0.2.60\n" + many))
    server = Server(start, tmp_path, signed_zone(tmp_path, how))
    server.how = how
    return server


def verified(server, zone, folder, port=None):
    """The zone as others copy it, which `ldns-verify-zone` finds whole."""
    copied = dns.zone.Zone(zone)
    query = dns.message.make_query(zone, "AXFR")
    query.use_tsig(KEYRING, dns.name.from_text("transfer.key"))
    dns.query.inbound_xfr("127.0.0.1", copied, query, port=port or server.port, timeout=10)
    path = folder / f"{zone}.copied"
    copied.to_file(str(path), want_origin=True)
    done = subprocess.run(["ldns-verify-zone", "-V2", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr + path.read_text()
    return copied


def records(zone):
    return {(name.to_text(), rdataset.rdtype, rdata.to_digestable(zone.origin), rdataset.ttl)
            for name, rdataset in zone.iterate_rdatasets() for rdata in rdataset}


def delv(server, folder, name, rtype, zone="s.test"):
    status = subprocess.run([server.nines.binary, "status", "--file", server.nines.file], capture_output=True, text=True, timeout=20, check=True)
    words = re.search(rf"^{zone}\. IN DS (\d+) (\d+) (2) ([0-9A-F]{{64}})$", status.stdout, re.M).groups()
    (folder / "anchors").write_text('trust-anchors {{ {}. initial-ds {} {} {} "{}"; }};\n'.format(zone, *words))
    command = ["delv", "@127.0.0.1", "-p", str(server.port), "-a", folder / "anchors", f"+root={zone}", name, rtype]
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout


@pytest.mark.parametrize("program", ["nsupdate", "knsupdate"])
def test_what_the_usual_tools_change_is_signed_when_they_hear_of_it(signed, program, tmp_path):
    def run(*lines):
        script = "\n".join([f"server 127.0.0.1 {signed.port}", "zone s.test", *lines, "send", "answer", ""])
        done = subprocess.run([program, "-v", "-y", KEY], input=script, capture_output=True, text=True, timeout=30)
        return done.stdout + done.stderr

    before = signed.serial("s.test")
    said = run("update add new.s.test 300 A 192.0.2.50", "update add new.s.test 300 TXT hello", "update delete www.s.test")
    assert signed.serial("s.test") == before + 1, said
    assert "; fully validated" in delv(signed, tmp_path, "new.s.test", "A")
    assert "; negative response, fully validated" in delv(signed, tmp_path, "www.s.test", "A")
    copied = verified(signed, "s.test", tmp_path)
    assert copied.get_rdataset("new", "A") and copied.get_rdataset("www", "A") is None
    # What is made here is nobody else's to change.
    key = signed.ask("s.test", "DNSKEY").answer[0][0].to_text()
    for line in (f"update delete s.test DNSKEY {key}", "update delete s.test DNSKEY", "update delete s.test CDS",
                 "update add x.s.test 60 NSEC y.s.test A", "update delete www.s.test RRSIG"):
        assert "REFUSED" in run(line), line
    # A serial number is compared with the one that is served.
    serial = signed.serial("s.test")
    soa = "ns1.s.test. hostmaster.s.test. {} 1 1 60 60"
    run("update add s.test 300 SOA " + soa.format(serial))
    assert signed.serial("s.test") == serial
    assert "NXRRSET" in run("prereq yxrrset s.test SOA " + soa.format(serial - 1), "update delete new.s.test TXT")
    run("prereq yxrrset s.test SOA " + soa.format(serial), "update add s.test 300 SOA " + soa.format(serial + 1000))
    assert signed.serial("s.test") == serial + 1000
    verified(signed, "s.test", tmp_path)


def test_a_difference_of_a_signed_zone_makes_the_signed_zone(signed, tmp_path):
    copied = verified(signed, "s.test", tmp_path)
    for nth in range(1, 6):
        message = update(signed, zone="s.test")
        message.add(f"n{nth}", 60, "A", f"192.0.2.{nth}")
        message.delete(f"n{nth - 2}")
        assert send(signed, message) == dns.rcode.NOERROR
    # They are remembered just after they are served.
    eventually(lambda: tool("dig", signed.port, "IXFR=1", "s.test", "-y", KEY).count("SOA\t") >= 12)
    done = signed.nines.metric("nines_dns_transfers_total", direction="out", kind="ixfr", outcome="done")
    query, _ = dns.xfr.make_query(copied, serial=1, keyring=KEYRING, keyname="transfer.key")
    dns.query.inbound_xfr("127.0.0.1", copied, query, port=signed.port, timeout=10)
    assert signed.nines.metric("nines_dns_transfers_total", direction="out", kind="ixfr", outcome="done") > done
    assert records(copied) == records(verified(signed, "s.test", tmp_path))


def test_nsd_follows_a_zone_that_is_updated_and_signed(start, nsd, how, tmp_path, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("ours")
    (folder / "s.test.zone").write_text(text(1, "www A 192.0.2.1\n"))
    ours = Server(start, folder, "")
    secondary = nsd(f"""
zone:
  name: "s.test"
  zonefile: "{folder}/copy"
  allow-notify: 127.0.0.1 transfer.key
  request-xfr: 127.0.0.1@{ours.port} transfer.key
  provide-xfr: 127.0.0.1 transfer.key
""")
    zone = signed_zone(folder, how, f', notify = ["127.0.0.1:{secondary.port}"]')
    ours.nines.reload(ours.zones.replace(SITE, zone + SITE))
    eventually(lambda: secondary.serial("s.test") == 1, 30)
    for nth in range(1, 6):
        message = update(ours, zone="s.test")
        message.add(f"n{nth}", 60, "A", f"192.0.2.{nth}")
        assert send(ours, message) == dns.rcode.NOERROR
        eventually(lambda: secondary.serial("s.test") == ours.serial("s.test"), 30)
    assert records(verified(ours, "s.test", folder)) == records(verified(ours, "s.test", tmp_path, secondary.port))
    assert ours.nines.metric("nines_dns_transfers_total", direction="out", kind="ixfr", outcome="done") >= 3


def test_what_was_acknowledged_is_there_and_signed_after_kill_9(signed, tmp_path):
    serials = [signed.serial("s.test")]
    for nth in range(4):
        message = update(signed, zone="s.test")
        message.add(f"kept{nth}", 60, "A", "192.0.2.77")
        assert send(signed, message) == dns.rcode.NOERROR
        signed.nines.process.kill()
        signed.nines.process.wait()
        signed.nines.begin()
        serials.append(signed.serial("s.test"))
        copied = verified(signed, "s.test", tmp_path)
        assert all(copied.get_rdataset(f"kept{before}", "A") for before in range(nth + 1))
    assert serials == sorted(set(serials)), "no serial number is used twice"


def test_a_reload_keeps_what_was_updated_and_signs_what_the_file_has_now(signed, tmp_path):
    message = update(signed, zone="s.test")
    message.add("dynamic", 60, "A", "192.0.2.9")
    assert send(signed, message) == dns.rcode.NOERROR
    serial = signed.serial("s.test")
    signed.write("s.test", text(1, "www A 192.0.2.2\nnew A 192.0.2.3\n"))
    signed.nines.reload()
    eventually(lambda: signed.ask("new.s.test", "A").rcode() == dns.rcode.NOERROR)
    assert signed.serial("s.test") > serial
    copied = verified(signed, "s.test", tmp_path)
    assert copied.get_rdataset("dynamic", "A") and copied.get_rdataset("new", "A")
    # Without `sign` it is served as it is, with what was updated; and signed again with it.
    plain = signed.zones.replace(f"sign = {signed.how}\n", "")
    signed.nines.reload(plain)
    eventually(lambda: not signed.ask("s.test", "DNSKEY").answer)
    assert signed.ask("dynamic.s.test", "A").answer
    message = update(signed, zone="s.test")
    message.add("plainly", 60, "A", "192.0.2.10")
    assert send(signed, message) == dns.rcode.NOERROR
    signed.nines.reload(signed.zones)
    eventually(lambda: signed.ask("s.test", "DNSKEY").answer)
    copied = verified(signed, "s.test", tmp_path)
    assert copied.get_rdataset("dynamic", "A") and copied.get_rdataset("plainly", "A")


def test_a_process_that_takes_over_signs_what_was_updated(signed, tmp_path):
    message = update(signed, zone="s.test")
    message.add("before", 60, "A", "192.0.2.9")
    assert send(signed, message) == dns.rcode.NOERROR
    serial, old = signed.serial("s.test"), signed.nines.process
    with open(signed.nines.log, "ab") as log:
        signed.nines.process = subprocess.Popen([signed.nines.binary, "up", "--takeover", signed.nines.file],
                                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    assert old.wait(30) == 0
    message = update(signed, zone="s.test")
    message.add("after", 60, "A", "192.0.2.10")
    eventually(lambda: send(signed, message) == dns.rcode.NOERROR)
    assert signed.serial("s.test") > serial
    copied = verified(signed, "s.test", tmp_path)
    assert copied.get_rdataset("before", "A") and copied.get_rdataset("after", "A")


# --- a hidden primary ---

def hidden_primary(nsd, folder, port, content):  # noqa: F811
    (folder / "b.test.zone").write_text(content)
    return nsd(f"""
zone:
  name: "b.test"
  zonefile: "{folder}/b.test.zone"
  store-ixfr: yes
  create-ixfr: yes
  provide-xfr: 127.0.0.1 transfer.key
  notify: 127.0.0.1@{port} transfer.key
""")


def slow(serial, lines):
    return text(serial, lines).replace(" 1 1 60 60", " 3600 1 600 60")


def test_a_zone_from_a_hidden_primary_is_signed_here(start, nsd, how, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("b")
    ours = Server(start, folder, "")
    theirs = hidden_primary(nsd, folder, ours.port, slow(1, "www A 192.0.2.1\n"))
    eventually(lambda: theirs.serial("b.test") == 1, 30)
    more = f'transfer = {{ key = "transfer.key" }}\nsign = {how}\n'
    ours.zones = ours.zones.replace(SITE, secondary_zone(theirs.port, more) + SITE)
    ours.nines.reload(ours.zones)
    eventually(lambda: ours.serial("b.test") == 1, 30)
    assert "; fully validated" in delv(ours, folder, "www.b.test", "A", "b.test")
    # What it is signed with there is not passed on; its serial number may be below ours.
    key = "257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA=="
    for serial, lines in ((2, f"www A 192.0.2.2\n@ DNSKEY {key}\n"), (3, "www A 192.0.2.3\nnew A 192.0.2.4\n")):
        (folder / "b.test.zone").write_text(slow(serial, lines))
        theirs.control_("reload", "b.test")
        eventually(lambda: ours.ask("www.b.test", "A").answer[0][0].address == f"192.0.2.{serial}", 30)
        copied = verified(ours, "b.test", folder)
        assert key.replace(" ", "") not in copied.to_text().replace(" ", "")
        assert copied.get_soa().serial >= serial
    assert ours.nines.metric("nines_dns_transfers_total", direction="in", kind="ixfr", outcome="done") >= 2
    serial = ours.serial("b.test")
    # It is there at once after a crash, while the primary is gone.
    theirs.stop()
    ours.nines.process.kill()
    ours.nines.process.wait()
    ours.nines.begin()
    assert ours.serial("b.test") >= serial
    assert "; fully validated" in delv(ours, folder, "new.b.test", "A", "b.test")
    # And as it came, where it is not signed any more.
    ours.nines.reload(ours.zones.replace(f"sign = {how}\n", ""))
    eventually(lambda: not ours.ask("b.test", "DNSKEY").answer)
    assert ours.ask("www.b.test", "A").answer[0][0].address == "192.0.2.3"


def test_a_signed_zone_that_no_primary_confirms_is_withdrawn_and_comes_back(start, nsd, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("b")
    ours = Server(start, folder, "")
    theirs = hidden_primary(nsd, folder, ours.port, text(1).replace(" 1 1 60 60", " 1 1 2 60"))
    eventually(lambda: theirs.serial("b.test") == 1, 30)
    ours.nines.reload(ours.zones.replace(SITE, secondary_zone(theirs.port, "sign = true\n") + SITE))
    eventually(lambda: ours.serial("b.test") == 1, 30)
    theirs.stop()
    eventually(lambda: ours.ask("b.test", "SOA").rcode() == dns.rcode.SERVFAIL, 30)
    assert ours.ask("b.test", "DNSKEY").rcode() == dns.rcode.SERVFAIL
    with open(theirs.folder / "log", "ab") as log:
        theirs.process = subprocess.Popen(theirs.process.args, stdout=log, stderr=log, start_new_session=True)
    eventually(lambda: ours.ask("b.test", "DNSKEY").answer, 30)
    assert ours.serial("b.test") == 1, "it is the same zone"
