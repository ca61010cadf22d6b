"""DNS zones that change while they are served: transfers, notifications and updates, with dig, kdig, nsupdate, knsupdate, dnspython and NSD."""

import os
import pwd
import random
import shutil
import signal
import subprocess
import threading

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsigkeyring
import dns.update
import dns.xfr
import dns.zone
import pytest
from conftest import eventually, free_port

SITE = '[site.default.route]\n"/" = { respond = { body = "http" } }\n'
SECRET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
KEYRING = dns.tsigkeyring.from_text({"transfer.key": ("hmac-sha256", SECRET), "other.key": ("hmac-sha256", SECRET[::-1][1:] + "=")})
KEY = f"hmac-sha256:transfer.key:{SECRET}"

HEAD = "$TTL 300\n@ SOA ns1 hostmaster {serial} 1 1 60 60\n@ NS ns1\n@ NS ns2.elsewhere.test.\nns1 A 192.0.2.53\n"


def text(serial, lines=""):
    return HEAD.format(serial=serial) + lines


class Server:
    """A nines with zones in files of their own."""

    def __init__(self, start, folder, zones, keys=("transfer",)):
        self.folder, self.port = folder, free_port()
        (folder / "secret").write_text(SECRET + "\n")
        tables = "".join(f'[dns.key."{key}.key"]\nsecret = {{ file = "{folder}/secret" }}\n' for key in keys)
        self.zones = f'[dns]\nlisten = "127.0.0.1:{self.port}"\n{tables}{zones}\n{SITE}'
        self.nines = start(self.zones)

    def ask(self, name, rtype, **more):
        return dns.query.udp(dns.message.make_query(name, rtype, **more), "127.0.0.1", 10, self.port)

    def serial(self, zone):
        answer = self.ask(zone, "SOA")
        return answer.answer[0][0].serial if answer.answer else None

    def write(self, zone, content):
        (self.folder / f"{zone}.zone").write_text(content)

    def transfer(self, zone, keyring=KEYRING, key="transfer.key"):
        copied = dns.zone.Zone(zone)
        query = dns.message.make_query(zone, "AXFR")
        if keyring:
            query.use_tsig(keyring, dns.name.from_text(key))
        dns.query.inbound_xfr("127.0.0.1", copied, query, port=self.port, timeout=10)
        return copied


def tool(program, port, *words, check=True):
    command = [program, "@127.0.0.1", "-p", str(port), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=check).stdout


def records(zone):
    return {(name.to_text(), rdataset.rdtype, rdata.to_digestable(), rdataset.ttl)
            for name, rdataset in zone.iterate_rdatasets() for rdata in rdataset}


@pytest.fixture(scope="module")
def primary(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("primary")
    big = "".join(f'n{nth} TXT "{nth:0>100}"\n' for nth in range(5000))
    for zone, content in (("open.test", text(1, "www A 192.0.2.1\n")), ("closed.test", text(1)), ("big.test", text(1, big))):
        (folder / f"{zone}.zone").write_text(content)
    zones = f"""
[dns.zone."open.test"]
file = "{folder}/open.test.zone"
transfer = {{ to = ["127.0.0.1"] }}
[dns.zone."open.test".route.chosen]
answers = [{{ addresses = ["192.0.2.10", "2001:db8::10"] }}, {{ addresses = ["192.0.2.11"] }}]
[dns.zone."closed.test"]
file = "{folder}/closed.test.zone"
[dns.zone."big.test"]
file = "{folder}/big.test.zone"
transfer = {{ key = "transfer.key" }}
"""
    return Server(start, folder, zones)


# --- transfers out ---

def test_a_zone_is_copied_whole_with_the_addresses_of_its_routes(primary):
    copied = primary.transfer("open.test", None)
    assert copied.get_rdataset("www", "A")[0].address == "192.0.2.1"
    assert {rdata.address for rdata in copied.get_rdataset("chosen", "A")} == {"192.0.2.10", "192.0.2.11"}
    assert copied.get_rdataset("chosen", "AAAA").ttl == 20
    for program in ("dig", "kdig"):
        lines = tool(program, primary.port, "open.test", "AXFR").split("\n")
        assert sum("SOA" in line for line in lines) == 2 and any("www.open.test" in line for line in lines)


def test_who_may_not_copy_a_zone_is_refused(primary):
    before = primary.nines.metric("nines_dns_transfers_total", outcome="refused")
    for zone, keyring, rcode in (("closed.test", None, dns.rcode.REFUSED), ("big.test", None, dns.rcode.REFUSED),
                                 ("none.test", None, dns.rcode.NOTAUTH), ("www.open.test", None, dns.rcode.NOTAUTH)):
        query = dns.message.make_query(zone, "AXFR")
        assert dns.query.tcp(query, "127.0.0.1", 10, primary.port).rcode() == rcode
    assert dns.query.udp(dns.message.make_query("open.test", "AXFR"), "127.0.0.1", 10, primary.port).rcode() == dns.rcode.REFUSED
    assert primary.nines.metric("nines_dns_transfers_total", outcome="refused") == before + 5
    with pytest.raises(dns.exception.DNSException):
        primary.transfer("big.test", key="other.key")


def test_a_large_zone_comes_over_signed(primary):
    assert len(primary.transfer("big.test").nodes) == 5002
    shown = tool("dig", primary.port, "big.test", "AXFR", "-y", KEY)
    assert "TSIG" in shown and "XFR size: 5005 records" in shown and "verify failure" not in shown
    assert tool("kdig", primary.port, "big.test", "AXFR", "-y", KEY).count("TXT") == 5000


def test_signed_queries_have_signed_answers(primary):
    for tcp in ("+tcp", "+notcp"):
        for program in ("dig", "kdig"):
            shown = tool(program, primary.port, tcp, "-y", KEY, "open.test", "SOA")
            assert "NOERROR" in shown and "TSIG" in shown and "ailure" not in shown
    shown = tool("dig", primary.port, "-y", f"hmac-sha256:unknown.key:{SECRET}", "open.test", "SOA")
    assert "NOTAUTH" in shown and "BADKEY" in shown
    shown = tool("dig", primary.port, "-y", "hmac-sha256:transfer.key:" + "A" * 43 + "=", "open.test", "SOA")
    assert "NOTAUTH" in shown and "BADSIG" in shown


def test_differences_are_told_until_they_are_forgotten(primary):
    def ixfr(serial, *words):
        return tool("dig", primary.port, f"IXFR={serial}", "open.test", "+nocomments", "+nocmd", "+nostats", *words)

    assert ixfr(1).count("SOA") == 1
    primary.write("open.test", text(2, "www A 192.0.2.2\n"))
    primary.nines.reload()
    eventually(lambda: ixfr(1).count("SOA") == 4)
    lines = [line.split() for line in ixfr(1).strip().split("\n")]
    assert [(line[3], line[-1]) for line in lines if line[3] == "A"] == [("A", "192.0.2.1"), ("A", "192.0.2.2")]
    # One that is not known any more gets the whole zone.
    assert "ns1.open.test" in ixfr(0) and ixfr(0).count("SOA") == 2
    assert ixfr(1, "+notcp").count("SOA") == 4


# --- NSD copies zones of ours ---

class Nsd:
    def __init__(self, folder, zones, more=""):
        self.folder, self.port, self.control = folder, free_port(), folder / "control"
        program = shutil.which("nsd") or "/usr/sbin/nsd"
        user = pwd.getpwuid(os.geteuid()).pw_name
        (folder / "nsd.conf").write_text(f"""
server:
  ip-address: 127.0.0.1@{self.port}
  username: "{user}"
  zonesdir: "{folder}"
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  xfrdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
  database: ""
  server-count: 1
  verbosity: 2
remote-control:
  control-enable: yes
  control-interface: "{self.control}"
key:
  name: "transfer.key"
  algorithm: hmac-sha256
  secret: "{SECRET}"
{zones}""")
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen([program, "-d", "-c", folder / "nsd.conf"], stdout=log, stderr=log,
                                            start_new_session=True)

    def serial(self, zone):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            answer = dns.query.udp(dns.message.make_query(zone, "SOA"), "127.0.0.1", 1, self.port)
            return answer.answer[0][0].serial if answer.answer else None
        except (OSError, dns.exception.DNSException):
            return None

    def ask(self, name, rtype):
        return dns.query.udp(dns.message.make_query(name, rtype), "127.0.0.1", 10, self.port)

    def control_(self, *words):
        program = shutil.which("nsd-control") or "/usr/sbin/nsd-control"
        subprocess.run([program, "-c", self.folder / "nsd.conf", *words], check=True, capture_output=True, timeout=20)

    def log(self):
        return (self.folder / "log").read_text()

    def stop(self):
        if self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def nsd(tmp_path):
    made = []

    def make(zones):
        made.append(Nsd(tmp_path, zones))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_nsd_copies_a_zone_and_follows_it_by_differences(start, nsd, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ours")
    (folder / "a.test.zone").write_text(text(1, "www A 192.0.2.1\n"))
    ours = Server(start, folder, "")
    secondary = nsd(f"""
zone:
  name: "a.test"
  zonefile: "{folder}/copy"
  allow-notify: 127.0.0.1 transfer.key
  request-xfr: 127.0.0.1@{ours.port} transfer.key
""")
    ours.nines.reload(ours.zones.replace(SITE, f"""
[dns.zone."a.test"]
file = "{folder}/a.test.zone"
transfer = {{ key = "transfer.key", notify = ["127.0.0.1:{secondary.port}"] }}
{SITE}"""))
    eventually(lambda: secondary.serial("a.test") == 1, 30)
    # The first refresh of the copy is a minute away: what follows comes from being told.
    for serial in range(2, 6):
        ours.write("a.test", text(serial, f"www A 192.0.2.{serial}\nn{serial} TXT x\n"))
        ours.nines.reload()
        eventually(lambda: secondary.serial("a.test") == serial, 30)
    assert secondary.ask("www.a.test", "A").answer[0][0].address == "192.0.2.5"
    assert secondary.ask("n4.a.test", "TXT").rcode() == dns.rcode.NXDOMAIN
    assert ours.nines.metric("nines_dns_transfers_total", direction="out", kind="ixfr", outcome="done") >= 3
    assert ours.nines.metric("nines_dns_notifies_total", direction="out", outcome="done") >= 4


# --- zones that come from NSD ---

def nsd_primary(nsd, folder, port, content):
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


def secondary_zone(port, more=""):
    return f"""
[dns.zone."b.test"]
secondary = {{ primaries = ["127.0.0.1:{port}"], key = "transfer.key" }}
{more}"""


def test_a_zone_comes_from_nsd_is_followed_kept_and_withdrawn(start, nsd, tmp_path_factory):
    folder = tmp_path_factory.mktemp("b")
    ours = Server(start, folder, "")
    theirs = nsd_primary(nsd, folder, ours.port, text(1, "www A 192.0.2.1\n"))
    eventually(lambda: theirs.serial("b.test") == 1, 30)
    ours.zones = ours.zones.replace(SITE, secondary_zone(theirs.port, 'transfer = { to = ["127.0.0.1"] }\n') + SITE)
    ours.nines.reload(ours.zones)
    eventually(lambda: ours.serial("b.test") == 1, 30)
    assert ours.ask("www.b.test", "A").answer[0][0].address == "192.0.2.1"
    # A zone that changes is told of, and comes by differences.
    (folder / "b.test.zone").write_text(text(2, "www A 192.0.2.2\n").replace(" 1 1 60 60", " 3600 1 60 60"))
    theirs.control_("reload", "b.test")
    eventually(lambda: ours.serial("b.test") == 2, 30)
    (folder / "b.test.zone").write_text(text(3, "www A 192.0.2.3\n").replace(" 1 1 60 60", " 3600 1 60 60"))
    theirs.control_("reload", "b.test")
    eventually(lambda: ours.serial("b.test") == 3, 30)
    assert ours.ask("www.b.test", "A").answer[0][0].address == "192.0.2.3"
    assert ours.nines.metric("nines_dns_transfers_total", direction="in", kind="ixfr", outcome="done") >= 1
    assert ours.nines.metric("nines_dns_notifies_total", direction="in", outcome="done") >= 1
    # It goes on from here to others.
    assert {rdata.address for rdata in ours.transfer("b.test", None).get_rdataset("www", "A")} == {"192.0.2.3"}
    assert "ns1.b.test" in tool("dig", ours.port, "IXFR=0", "b.test")
    # It is there at once after a crash, while the primary is gone.
    theirs.stop()
    ours.nines.process.kill()
    ours.nines.process.wait()
    ours.nines.begin()
    assert ours.ask("www.b.test", "A").answer[0][0].address == "192.0.2.3"
    assert ours.nines.metric("nines_dns_zone_expiry_timestamp_seconds", zone="b.test") > 1_700_000_000


def test_a_zone_that_no_primary_confirms_is_withdrawn(start, nsd, tmp_path_factory):
    folder = tmp_path_factory.mktemp("b")
    ours = Server(start, folder, "")
    theirs = nsd_primary(nsd, folder, ours.port, text(1).replace(" 1 1 60 60", " 1 1 2 60"))
    eventually(lambda: theirs.serial("b.test") == 1, 30)
    ours.nines.reload(ours.zones.replace(SITE, secondary_zone(theirs.port) + SITE))
    eventually(lambda: ours.serial("b.test") == 1, 30)
    theirs.stop()
    eventually(lambda: ours.ask("b.test", "SOA").rcode() == dns.rcode.SERVFAIL, 30)
    assert ours.ask("b.test", "A").rcode() == dns.rcode.SERVFAIL


def test_notifications_of_others_are_refused(start, nsd, tmp_path_factory):
    folder = tmp_path_factory.mktemp("b")
    ours = Server(start, folder, secondary_zone(free_port()) + '[dns.zone."c.test"]\nrecords = ["@ SOA a b 1 1 1 1 1", "@ NS a.b."]\n')

    def notify(zone, keyring=None, key="transfer.key"):
        message = dns.message.make_query(zone, "SOA")
        message.set_opcode(dns.opcode.NOTIFY)
        if keyring:
            message.use_tsig(keyring, dns.name.from_text(key))
        return dns.query.udp(message, "127.0.0.1", 10, ours.port).rcode()

    assert notify("b.test") == dns.rcode.REFUSED
    assert notify("b.test", KEYRING) == dns.rcode.NOERROR
    assert notify("c.test") == dns.rcode.REFUSED
    assert notify("none.test") == dns.rcode.NOTAUTH


def test_a_zone_that_is_signed_with_another_key_is_not_taken(start, nsd, tmp_path_factory):
    folder = tmp_path_factory.mktemp("b")
    (folder / "d.test.zone").write_text(text(1))
    theirs = Server(start, folder, f'[dns.zone."d.test"]\nfile = "{folder}/d.test.zone"\ntransfer = {{ to = ["127.0.0.1"] }}\n')
    other = tmp_path_factory.mktemp("d")
    ours = Server(start, other, f'[dns.zone."d.test"]\nsecondary = {{ primaries = ["127.0.0.1:{theirs.port}"], key = "transfer.key" }}\n')
    eventually(lambda: ours.serial("d.test") == 1)
    (other / "secret").write_text(SECRET[::-1][1:] + "=\n")
    theirs.write("d.test", text(2))
    theirs.nines.reload()
    failed = ours.nines.metric("nines_dns_transfers_total", direction="in", outcome="failed")
    ours.nines.reload()
    eventually(lambda: ours.nines.metric("nines_dns_transfers_total", direction="in", outcome="failed") >= failed + 2)
    assert ours.serial("d.test") == 1


# --- updates ---

@pytest.fixture(scope="module")
def updated(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("updated")
    (folder / "u.test.zone").write_text(text(1, "www A 192.0.2.1\nalias CNAME www\n"))
    zones = f"""
[dns.zone."u.test"]
file = "{folder}/u.test.zone"
update = [{{ key = "transfer.key" }}, {{ key = "narrow.key", names = ["*.dyn", "_acme-challenge"], types = ["A", "TXT"] }}]
transfer = {{ key = "transfer.key" }}
[dns.zone."u.test".route.chosen]
answers = [{{ addresses = ["192.0.2.10"] }}]
"""
    return Server(start, folder, zones, ("transfer", "narrow"))


def update(server, keyname="transfer.key", zone="u.test", tcp=False, secret=SECRET, sign=True):
    message = dns.update.UpdateMessage(zone)
    if sign:
        message.use_tsig(dns.tsigkeyring.from_text({keyname: ("hmac-sha256", secret)}), dns.name.from_text(keyname))
    return message


def send(server, message, tcp=False):
    ask = dns.query.tcp if tcp else dns.query.udp
    return ask(message, "127.0.0.1", 10, server.port).rcode()


@pytest.mark.parametrize("program", ["nsupdate", "knsupdate"])
@pytest.mark.parametrize("tcp", [False, True])
def test_the_usual_tools_change_a_zone(updated, program, tcp):
    name, serial = f"{program}-{tcp}.u.test".lower(), updated.serial("u.test")
    words = ["-v"] if tcp else []

    def run(*lines):
        script = "\n".join([f"server 127.0.0.1 {updated.port}", "zone u.test", *lines, "send", "answer", ""])
        return subprocess.run([program, *words, "-y", KEY], input=script, capture_output=True, text=True, timeout=30)

    done = run(f"update add {name} 300 A 192.0.2.50", f"update add {name} 300 A 192.0.2.51", f"update add {name} 300 TXT hello")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {rdata.address for rdata in updated.ask(name, "A").answer[0]} == {"192.0.2.50", "192.0.2.51"}
    assert updated.serial("u.test") == serial + 1
    done = run(f"prereq yxrrset {name} A", f"update delete {name} A 192.0.2.50")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {rdata.address for rdata in updated.ask(name, "A").answer[0]} == {"192.0.2.51"}
    done = run(f"prereq nxdomain {name}", f"update delete {name}")
    assert "YXDOMAIN" in done.stdout + done.stderr
    assert run(f"update delete {name}").returncode == 0
    assert updated.ask(name, "A").rcode() == dns.rcode.NXDOMAIN


def test_each_rcode_of_updates(updated):
    serial = updated.serial("u.test")
    message = update(updated)
    message.add("x", 60, "A", "192.0.2.1")
    message.present("none")
    assert send(updated, message) == dns.rcode.NXDOMAIN
    message = update(updated)
    message.present("www", "A", "192.0.2.2")
    assert send(updated, message) == dns.rcode.NXRRSET
    message = update(updated)
    message.absent("www", "A")
    assert send(updated, message) == dns.rcode.YXRRSET
    message = update(updated)
    message.absent("www")
    assert send(updated, message) == dns.rcode.YXDOMAIN
    message = update(updated)
    message.add("x.elsewhere.test.", 60, "A", "192.0.2.1")
    assert send(updated, message) == dns.rcode.NOTZONE
    message = update(updated, zone="none.test")
    message.add("x", 60, "A", "192.0.2.1")
    assert send(updated, message) == dns.rcode.NOTAUTH
    message = update(updated, zone="www.u.test")
    message.add("x", 60, "A", "192.0.2.1")
    assert send(updated, message) == dns.rcode.NOTAUTH
    message = update(updated, sign=False)
    message.add("x", 60, "A", "192.0.2.1")
    assert send(updated, message) == dns.rcode.REFUSED
    message = update(updated)
    message.add("chosen", 60, "A", "192.0.2.1")
    assert send(updated, message, True) == dns.rcode.REFUSED, "its addresses are chosen"
    # What changes nothing raises nothing.
    for change in (lambda one: one.add("alias", 60, "A", "192.0.2.1"), lambda one: one.add("www", 60, "CNAME", "x"),
                   lambda one: one.delete("@", "SOA"), lambda one: one.delete("@", "NS"), lambda one: one.delete("none"),
                   lambda one: one.add("www", 300, "A", "192.0.2.1")):
        message = update(updated)
        change(message)
        assert send(updated, message) == dns.rcode.NOERROR
    assert updated.serial("u.test") == serial
    assert updated.ask("u.test", "NS").answer[0].ttl == 300
    assert updated.nines.metric("nines_dns_updates_total", rcode="NXRRSET") == 1


def test_a_key_changes_what_it_may_and_no_more(updated):
    def rcode(name, rtype="A", data="192.0.2.1", delete=False):
        message = update(updated, "narrow.key")
        if delete:
            message.delete(name)
        else:
            message.add(name, 60, rtype, data)
        return send(updated, message)

    assert rcode("host.dyn") == dns.rcode.NOERROR and rcode("_acme-challenge", "TXT", "token") == dns.rcode.NOERROR
    assert rcode("dyn") == dns.rcode.REFUSED and rcode("www") == dns.rcode.REFUSED
    assert rcode("host.dyn", "AAAA", "::1") == dns.rcode.REFUSED and rcode("host.dyn", delete=True) == dns.rcode.REFUSED
    assert updated.ask("_acme-challenge.u.test", "TXT").answer[0][0].strings == (b"token",)


def test_what_was_updated_is_told_as_a_difference(updated):
    before = updated.serial("u.test")
    message = update(updated)
    message.add("told", 60, "A", "192.0.2.77")
    assert send(updated, message) == dns.rcode.NOERROR
    eventually(lambda: "192.0.2.77" in tool("dig", updated.port, f"IXFR={before}", "u.test", "-y", KEY))
    shown = tool("dig", updated.port, f"IXFR={before}", "u.test", "-y", KEY)
    assert "XFR size: 5 records" in shown


def test_what_was_acknowledged_is_there_after_kill_9(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    (folder / "k.test.zone").write_text(text(1))
    server = Server(start, folder, f'[dns.zone."k.test"]\nfile = "{folder}/k.test.zone"\nupdate = [{{ key = "transfer.key" }}]\n')
    acknowledged, tried, rng = set(), 0, random.Random(11)
    for _ in range(8):
        stop, lock = threading.Event(), threading.Lock()

        def change():
            nonlocal tried
            while not stop.is_set():
                with lock:
                    tried += 1
                    name = f"n{tried}"
                message = update(server, zone="k.test")
                message.add(name, 60, "TXT", "x" * 50)
                try:
                    if dns.query.tcp(message, "127.0.0.1", 5, server.port).rcode() == dns.rcode.NOERROR:
                        acknowledged.add(name)
                except (OSError, EOFError, dns.exception.DNSException):
                    return

        threads = [threading.Thread(target=change) for _ in range(4)]
        for thread in threads:
            thread.start()
        goal = len(acknowledged) + rng.randrange(20, 60)
        eventually(lambda: len(acknowledged) >= goal, 30)
        server.nines.process.kill()
        server.nines.process.wait()
        stop.set()
        for thread in threads:
            thread.join()
        server.nines.begin()
        lost = [name for name in acknowledged if server.ask(f"{name}.k.test", "TXT").rcode() != dns.rcode.NOERROR]
        assert not lost, f"{len(lost)} of {len(acknowledged)} are lost"
    assert len(acknowledged) > 160


def test_updates_outlive_changes_of_the_zone_file(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("edited")
    (folder / "e.test.zone").write_text(text(1, "www A 192.0.2.1\n"))
    server = Server(start, folder, f'[dns.zone."e.test"]\nfile = "{folder}/e.test.zone"\nupdate = [{{ key = "transfer.key" }}]\n')
    message = update(server, zone="e.test")
    message.add("dynamic", 60, "A", "192.0.2.9")
    message.delete("www", "A", "192.0.2.1")
    message.add("www", 60, "A", "192.0.2.2")
    assert send(server, message) == dns.rcode.NOERROR and server.serial("e.test") == 2
    server.write("e.test", text(2, "www A 192.0.2.1\nnew A 192.0.2.3\n"))
    server.nines.reload()
    eventually(lambda: server.ask("new.e.test", "A").rcode() == dns.rcode.NOERROR)
    assert server.serial("e.test") == 3, "neither the file's nor the one before, which had other records"
    for _ in range(2):
        assert server.ask("dynamic.e.test", "A").answer[0][0].address == "192.0.2.9"
        assert [rdata.address for rdata in server.ask("www.e.test", "A").answer[0]] == ["192.0.2.2"]
        server.nines.process.kill()
        server.nines.process.wait()
        server.nines.begin()
        eventually(lambda: server.serial("e.test") == 3)
    # A file that is edited while nothing runs.
    server.nines.process.kill()
    server.nines.process.wait()
    server.write("e.test", text(10, "newer A 192.0.2.4\n"))
    server.nines.begin()
    assert server.serial("e.test") == 10
    assert server.ask("dynamic.e.test", "A").rcode() == dns.rcode.NOERROR == server.ask("newer.e.test", "A").rcode()


def test_a_process_that_takes_over_has_the_journal(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("over")
    (folder / "o.test.zone").write_text(text(1))
    server = Server(start, folder, f'[dns.zone."o.test"]\nfile = "{folder}/o.test.zone"\nupdate = [{{ key = "transfer.key" }}]\n')
    message = update(server, zone="o.test")
    message.add("before", 60, "A", "192.0.2.9")
    assert send(server, message) == dns.rcode.NOERROR
    old = server.nines.process
    with open(server.nines.log, "ab") as log:
        server.nines.process = subprocess.Popen([server.nines.binary, "up", "--takeover", server.nines.file],
                                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    assert old.wait(30) == 0
    message = update(server, zone="o.test")
    message.add("after", 60, "A", "192.0.2.10")
    eventually(lambda: send(server, message) == dns.rcode.NOERROR)
    for name in ("before", "after"):
        assert server.ask(f"{name}.o.test", "A").rcode() == dns.rcode.NOERROR
