"""The resolver: clients through it, upstreams that do as they are told, and a private tree of zones from the root on."""

import contextlib
import datetime
import itertools
import shutil
import socket
import subprocess
import threading
import time

import dns.dnssec
import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zone
import pytest
from conftest import Nines, eventually, free_port
from cryptography.hazmat.primitives.asymmetric import ec

SITE = '[site.default.route]\n"/" = { respond = { body = "http" } }\n'


class Upstream:
    """A server that answers as a function says: from a query and whether it came by TCP, to messages."""

    def __init__(self, says):
        self.port, self.says, self.asked = free_port(), says, []
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp = socket.create_server(("127.0.0.1", self.port))
        for run in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=run, daemon=True).start()

    def answers(self, wire, tcp, source):
        query = dns.message.from_wire(wire)
        self.asked.append((query, source))
        return [one if isinstance(one, bytes) else one.to_wire(max_size=65535) for one in self.says(query, tcp)]

    def serve_udp(self):
        while True:
            try:
                wire, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            threading.Thread(target=self.datagrams, args=(wire, peer), daemon=True).start()

    def datagrams(self, wire, peer):
        with contextlib.suppress(OSError):  # the test may be over
            for answer in self.answers(wire, False, peer):
                self.udp.sendto(answer, peer)

    def serve_tcp(self):
        while True:
            try:
                connection, peer = self.tcp.accept()
            except OSError:
                return
            with connection:
                query, _ = dns.query.receive_tcp(connection)
                for answer in self.answers(query.to_wire(), True, peer):
                    dns.query.send_tcp(connection, answer)

    def close(self):
        self.udp.close()
        self.tcp.close()


def reply(query, *records, rcode=dns.rcode.NOERROR, flags=0):
    answer = dns.message.make_response(query, recursion_available=True)
    answer.set_rcode(rcode)
    answer.flags |= flags
    for record in records:
        answer.answer.append(dns.rrset.from_text(*record))
    return answer


def address(query, ttl=300, value="192.0.2.7"):
    return reply(query, (query.question[0].name, ttl, "IN", "A", value))


@pytest.fixture
def upstream():
    made = []

    def make(says):
        made.append(Upstream(says))
        return made[-1]

    yield make
    for one in made:
        one.close()


def resolver(start, *upstreams, more=""):
    port = free_port()
    forward = ", ".join(f'"127.0.0.1:{one.port}"' for one in upstreams)
    nines = start(f'[dns]\nlisten = "127.0.0.1:{port}"\n[dns.resolver]\nforward = [{forward}]\n{more}\n{SITE}')
    nines.dns = port
    return nines


def ask(nines, name, rtype="A", how=dns.query.udp, **more):
    return how(dns.message.make_query(name, rtype, **more), "127.0.0.1", 20, nines.dns)


def tool(program, nines, *words):
    command = [program, "@127.0.0.1", "-p", str(nines.dns), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


# --- what clients see ---

@pytest.mark.parametrize("program", ["dig", "kdig"])
def test_the_usual_tools_get_answers_of_others(start, upstream, program):
    nines = resolver(start, upstream(lambda query, tcp: [address(query)]))
    for transport in ("+notcp", "+tcp"):
        assert tool(program, nines, transport, "+short", "www.example").split() == ["192.0.2.7"]
    text = tool(program, nines, "www.example")
    assert "rd ra" in text and " aa" not in text and " ad" not in text
    assert "REFUSED" in tool(program, nines, "+norecurse", "www.example")
    assert nines.metric("nines_dns_resolver_queries_total", cache="hit") == 2
    shown = subprocess.run([nines.binary, "status", "--file", nines.file], capture_output=True, text=True, timeout=20, check=True)
    assert "RESOLVER" in shown.stdout and "forwards" in shown.stdout


def test_many_clients_that_ask_for_the_same_cause_one_question(start, upstream):
    gate = threading.Event()

    def held(query, tcp):
        gate.wait(20)
        return [address(query)]

    server = upstream(held)
    nines = resolver(start, server, more='timeout = "20s"')
    clients = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(500)]
    try:
        for nth, client in enumerate(clients):
            client.connect(("127.0.0.1", nines.dns))
            client.settimeout(20)
            client.send(dns.message.make_query("popular.example", "A", id=nth).to_wire())
        eventually(lambda: nines.metric("nines_dns_resolver_coalesced_total") == 499)
        gate.set()
        for nth, client in enumerate(clients):
            answer = dns.message.from_wire(client.recv(4096))
            assert answer.id == nth and answer.answer[0][0].address == "192.0.2.7"
    finally:
        for client in clients:
            client.close()
    # The one look-up may have tried more than once while it was held up; those are few, and from ports of their own.
    assert len(server.asked) <= 6
    assert len({source for _, source in server.asked}) == len(server.asked)


def test_ports_and_identifiers_are_not_foreseen(start, upstream):
    server = upstream(lambda query, tcp: [address(query)])
    nines = resolver(start, server, more="random_case = true")
    for nth in range(60):
        assert ask(nines, f"name{nth}.quite.long.example").answer
    assert len({query.id for query, _ in server.asked}) > 55
    assert len({source[1] for _, source in server.asked}) > 50
    assert sum(str(query.question[0].name) != str(query.question[0].name).lower() for query, _ in server.asked) > 55


# --- upstreams that misbehave ---

def test_an_upstream_that_is_killed_leaves_its_answers_behind(start, upstream):
    server = upstream(lambda query, tcp: [address(query, ttl=1)])
    nines = resolver(start, server, more='timeout = "2s"\n[dns.resolver.stale]\nwait = "500ms"')
    assert ask(nines, "www.example").answer[0].ttl == 1
    server.close()

    def is_stale():
        answer = ask(nines, "www.example")
        assert answer.rcode() == dns.rcode.NOERROR and answer.answer[0][0].address == "192.0.2.7"
        return answer.answer[0].ttl == 30

    eventually(is_stale)
    assert ask(nines, "other.example").rcode() == dns.rcode.SERVFAIL
    assert nines.metric("nines_dns_resolver_queries_total", cache="stale") >= 1


def test_popular_names_are_asked_for_before_their_time_is_over(start, upstream):
    server = upstream(lambda query, tcp: [address(query, ttl=10)])
    nines = resolver(start, server)

    def is_prefetched():
        assert ask(nines, "www.example").answer[0].ttl > 0
        return nines.metric("nines_dns_resolver_prefetches_total") == 1

    eventually(is_prefetched)
    eventually(lambda: len(server.asked) == 2)
    assert nines.metric("nines_dns_resolver_queries_total", cache="miss") == 1, "no client has waited but the first"


def test_lies_are_not_listened_to(start, upstream):
    def lies(query, tcp):
        other = dns.message.make_query("bank.example", "A", id=query.id)
        good = address(query)
        good.answer.append(dns.rrset.from_text("bank.example.", 300, "IN", "A", "6.6.6.6"))
        good.additional.append(dns.rrset.from_text("bank.example.", 300, "IN", "A", "6.6.6.6"))
        wrong_id = address(query, value="6.6.6.6")
        wrong_id.id ^= 1
        return [wrong_id, address(other, value="6.6.6.6"), address(query, value="6.6.6.6").to_wire()[:-3], b"", good]

    nines = resolver(start, upstream(lies))
    answer = ask(nines, "www.example")
    assert [str(one.name) for one in answer.answer] == ["www.example."] and "6.6.6.6" not in str(answer)
    assert not answer.additional
    assert nines.metric("nines_dns_resolver_upstream_foreign_total") == 4


def test_the_slow_the_silent_and_the_failing_are_gone_around(start, upstream):
    def slow(query, tcp):
        time.sleep(1)
        return [address(query, value="192.0.2.1")]

    fast = upstream(lambda query, tcp: [address(query, value="192.0.2.2")])
    failing = upstream(lambda query, tcp: [reply(query, rcode=dns.rcode.SERVFAIL)])
    nines = resolver(start, upstream(slow), upstream(lambda query, tcp: []), failing, fast)
    answers = [ask(nines, f"n{nth}.example").answer[0][0].address for nth in range(20)]
    assert set(answers) <= {"192.0.2.1", "192.0.2.2"} and answers.count("192.0.2.2") >= 15


def test_what_is_cut_off_is_asked_for_over_tcp(start, upstream):
    def truncating(query, tcp):
        if not tcp:
            return [reply(query, flags=dns.flags.TC)]
        return [reply(query, (query.question[0].name, 60, "IN", "TXT", *[f'"{nth:0>60}"' for nth in range(40)]))]

    nines = resolver(start, upstream(truncating))
    assert "retrying in TCP mode" in tool("dig", nines, "long.example", "TXT")
    assert len(ask(nines, "long.example", "TXT", how=dns.query.tcp).answer[0]) == 40


def test_a_client_s_network_is_told_to_nobody(start, upstream):
    server = upstream(lambda query, tcp: [address(query)])
    nines = resolver(start, server)
    answer = ask(nines, "www.example", use_edns=0, options=[dns.edns.ECSOption("10.1.2.0", 24)])
    assert [option.scopelen for option in answer.options] == [0]
    assert not any(isinstance(option, dns.edns.ECSOption) for query, _ in server.asked for option in query.options)


def test_a_block_list_is_followed_when_it_changes(start, upstream, tmp_path):
    (tmp_path / "ads").write_text("ads.example\n")
    nines = resolver(start, upstream(lambda query, tcp: [address(query)]), more=f'block = ["{tmp_path}/ads"]')
    assert ask(nines, "www.ads.example").rcode() == dns.rcode.NXDOMAIN
    assert ask(nines, "www.example").answer
    (tmp_path / "ads").write_text("0.0.0.0 www.example\n")
    eventually(lambda: ask(nines, "www.example").rcode() == dns.rcode.NXDOMAIN)
    assert ask(nines, "www.ads.example").answer


def test_clients_are_told_why_an_answer_is_what_it_is(start, upstream, tmp_path):
    (tmp_path / "ads").write_text("ads.example\n")
    server = upstream(lambda query, tcp: [address(query, ttl=1)])
    nines = resolver(start, server, more=f'timeout = "1s"\nblock = ["{tmp_path}/ads"]\n[dns.resolver.stale]\nwait = "300ms"')
    assert reasons(ask(nines, "www.example", use_edns=0)) == []
    assert reasons(ask(nines, "ads.example", use_edns=0)) == [15]
    assert "Blocked" in tool("dig", nines, "ads.example")
    server.close()
    names = (f"other{nth}.example" for nth in itertools.count())
    eventually(lambda: reasons(ask(nines, name := next(names), use_edns=0)) == [22]
               and reasons(ask(nines, name, use_edns=0)) == [22])  # kept with the failure
    assert not ask(nines, next(names)).options, "nobody is told who does not speak EDNS"
    eventually(lambda: reasons(ask(nines, "www.example", use_edns=0)) == [3])
    closed = resolver(start, server, more='allow = ["192.0.2.0/24"]')
    answer = ask(closed, "www.example", use_edns=0)
    assert (answer.rcode(), reasons(answer)) == (dns.rcode.REFUSED, [18])


def test_what_is_kept_of_a_name_is_forgotten_when_somebody_says_so(start, upstream):
    server = upstream(lambda query, tcp: [address(query)])
    nines = resolver(start, server)

    def flush(*words):
        command = [nines.binary, "dns", "flush", *words, "--file", nines.file]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    def asks_anew(*names):
        before = len(server.asked)
        for name in names:
            assert ask(nines, name).answer
        return len(server.asked) - before

    names = ("example", "www.example", "a.www.example", "www.other")
    assert asks_anew(*names) == 4 and asks_anew(*names) == 0
    assert flush("WWW.example.").stdout == "1 answer forgotten\n"
    assert asks_anew(*names) == 1
    assert flush("example", "--below").stdout == "3 answers forgotten\n"
    assert asks_anew("www.other") == 0 and asks_anew(*names) == 3
    assert flush(".", "--below").stdout == "4 answers forgotten\n"
    done = flush("a..b")
    assert done.returncode == 1 and "no domain name" in done.stderr


# --- from the root on ---

ROOT, TOP, SHOP = "127.53.0.1", "127.53.0.2", "127.53.0.3"


def zone(origin, *lines):
    text = f"$ORIGIN {origin}\n$TTL 300\n" + "\n".join(lines)
    return dns.zone.from_text(text, origin=origin, relativize=False, check_origin=True)


def soa(server):
    return f"@ SOA {server} admin.test. 1 3600 600 86400 300"


BELOW = ("shop", "plain", "bogus")
SERVERS = ((SHOP, ["shop.test.", "plain.test.", "bogus.test."]), (TOP, ["test."]), (ROOT, ["."]))


def lines_of(name, ds):
    """The records of a zone of the tree; `ds` says the DS of one below it."""
    if name == ".":
        return [soa("ns.root."), "@ NS ns.root.", f"ns.root. A {ROOT}", "test. NS ns.test.", f"ns.test. A {TOP}", ds("test.")]
    if name == "test.":
        return [soa("ns.test."), "@ NS ns", f"ns A {TOP}", "away CNAME www.plain", "lost CNAME nothing.plain", "*.any CNAME www.plain",
                "nowhere CNAME nothing.shop", *[f"{one} NS ns.{one}" for one in BELOW], *[f"ns.{one} A {SHOP}" for one in BELOW],
                ds("shop.test."), ds("bogus.test.")]
    own = {"shop.test.": ["www A 192.0.2.80", "alias CNAME www", "*.wild A 192.0.2.81", "moved DNAME wild"],
           "plain.test.": ["www A 192.0.2.90"], "bogus.test.": ["www A 192.0.2.66"]}
    return [soa(f"ns.{name}"), "@ NS ns", f"ns A {SHOP}", *own[name]]


class Tree:
    """The root, `test`, and three zones in it, each level served by a server of its own: signed ones, one that is not, and one
    of which a signature is wrong."""

    def __init__(self, folder):
        self.folder, self.keys, self.dnskeys = folder, {}, {}
        (folder / "hints").write_text(f". 3600 NS ns.root.\nns.root. 3600 A {ROOT}\n")

    def begin(self):
        """From the leaves to the root: a zone has the DS of those below it."""
        for at, names in SERVERS:
            self.serve(at, names)
        self.write_anchor()

    def write_anchor(self):
        (self.folder / "anchor").write_text(f". 3600 IN DNSKEY {self.dnskeys['.']}\n")

    def ds(self, name):
        return f"{name} DS {dns.dnssec.make_ds(name, self.dnskeys[name], 'SHA256')}"

    def zone(self, name):
        return zone(name, *lines_of(name, self.ds))

    def write_signed(self, name):
        """A zone that is signed here, `bogus` not as it says."""
        self.keys[name] = key = ec.generate_private_key(ec.SECP256R1())
        self.dnskeys[name] = dnskey = dns.dnssec.make_dnskey(key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, flags=257)
        one, now = self.zone(name), datetime.datetime.now(datetime.timezone.utc)
        with one.writer() as writer:
            dns.dnssec.sign_zone(one, writer, keys=[(key, dnskey)], add_dnskey=True, inception=now - datetime.timedelta(hours=1),
                                 expiration=now + datetime.timedelta(days=1))
        text = one.to_text(relativize=False)
        self.write(name, text.replace("192.0.2.66", "192.0.2.67") if name == "bogus.test." else text)

    def write_plain(self, name):
        self.write(name, self.zone(name).to_text(relativize=False))

    def write(self, name, text):
        (self.folder / f"{name}zone").write_text(text)


class NinesTree(Tree):
    """Each level a nines, which signs its zones; but the one that is not to be right."""

    def __init__(self, folder, binary):
        super().__init__(folder)
        self.binary, self.running = binary, []
        self.begin()

    def serve(self, at, names):
        signs = [name for name in names if name not in ("plain.test.", "bogus.test.")]
        for name in names:
            self.write_signed(name) if name == "bogus.test." else self.write_plain(name)
        zones = "".join(f'[dns.zone."{name}"]\nfile = "{self.folder}/{name}zone"\n' + ("sign = true\n" if name in signs else "")
                        for name in names)
        (self.folder / at).mkdir()
        self.running.append(Nines(self.binary, self.folder / at, "", f'[dns]\nlisten = "{at}:53"\n{zones}\n{SITE}'))
        for name in signs:
            answer = dns.query.udp(dns.message.make_query(name, "DNSKEY"), at, 5)
            self.dnskeys[name] = next(key for key in answer.answer[0] if key.flags == 257)

    def stop(self):
        for nines in self.running:
            nines.stop()


class NsdTree(Tree):
    """Each level an NSD."""

    def __init__(self, folder):
        super().__init__(folder)
        self.processes = []
        self.begin()

    def serve(self, at, names):
        for name in names:
            self.write_plain(name) if name == "plain.test." else self.write_signed(name)
        conf = self.folder / f"{at}.conf"
        zones = "".join(f'zone:\n  name: "{name}"\n  zonefile: "{self.folder}/{name}zone"\n' for name in names)
        conf.write_text(f"""server:
  ip-address: {at}@53
  username: ""
  zonesdir: "{self.folder}"
  pidfile: "{self.folder}/{at}.pid"
  xfrdfile: ""
  zonelistfile: "{self.folder}/{at}.list"
  xfrdir: "{self.folder}"
  server-count: 1
remote-control:
  control-enable: no
{zones}""")
        program = shutil.which("nsd") or shutil.which("nsd", path="/usr/sbin")
        with open(self.folder / f"{at}.log", "wb") as log:
            self.processes.append(subprocess.Popen([program, "-d", "-c", conf], stdout=log, stderr=log, stdin=subprocess.DEVNULL))

        def answers():
            try:
                return dns.query.udp(dns.message.make_query(names[0], "SOA"), at, 1).answer
            except (OSError, dns.exception.Timeout):
                assert self.processes[-1].poll() is None, (self.folder / f"{at}.log").read_text()
                return False

        eventually(answers)

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(10)


@pytest.fixture(scope="module", params=["nsd", "nines"])
def tree(request, tmp_path_factory, binary):
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ROOT, 53))
        except PermissionError:
            pytest.fail(f"{ROOT} port 53 may not be bound: servers of a root are there, run this as root or with CAP_NET_BIND_SERVICE")
    folder = tmp_path_factory.mktemp("tree")
    tree = NsdTree(folder) if request.param == "nsd" else NinesTree(folder, binary)
    yield tree
    tree.stop()


def recursor(start, tree, more=""):
    port = free_port()
    nines = start(f'[dns]\nlisten = "127.0.0.1:{port}"\n[dns.resolver]\nroot_hints = "{tree.folder}/hints"\n'
                  f'trust_anchor = "{tree.folder}/anchor"\n{more}\n{SITE}')
    nines.dns = port
    return nines


def checked(answer):
    return dns.rcode.to_text(answer.rcode()), bool(answer.flags & dns.flags.AD)


def reasons(answer):
    """The codes of RFC 8914."""
    return [int(error.code) for error in answer.extended_errors()]


def answers_of_the_tree(nines):
    answer = ask(nines, "www.shop.test", want_dnssec=True)
    assert checked(answer) == ("NOERROR", True)
    assert [str(one[0]) for one in answer.answer[:1]] == ["192.0.2.80"] and len(answer.answer) == 2, "with its signature"
    answer = ask(nines, "alias.shop.test")
    assert checked(answer) == ("NOERROR", False) and len(answer.answer) == 2, "whoever does not ask is told neither of signatures"
    assert checked(ask(nines, "alias.shop.test", flags=dns.flags.RD | dns.flags.AD)) == ("NOERROR", True)
    assert checked(ask(nines, "nothing.shop.test", want_dnssec=True)) == ("NXDOMAIN", True)
    assert checked(ask(nines, "www.shop.test", "MX", want_dnssec=True)) == ("NOERROR", True)
    answer = ask(nines, "x.wild.shop.test", want_dnssec=True)
    assert checked(answer) == ("NOERROR", True) and str(answer.answer[0][0]) == "192.0.2.81"
    answer = ask(nines, "x.moved.shop.test", want_dnssec=True)
    assert checked(answer) == ("NOERROR", True) and str(answer.answer[-2][0]) == "192.0.2.81", "a DNAME makes an alias that is not signed"
    assert checked(ask(nines, "moved.shop.test", want_dnssec=True)) == ("NOERROR", True), "beside a DNAME there is nothing"
    answer = ask(nines, "www.plain.test", want_dnssec=True)
    assert checked(answer) == ("NOERROR", False) and str(answer.answer[0][0]) == "192.0.2.90"
    assert checked(ask(nines, "nothing.plain.test", want_dnssec=True)) == ("NXDOMAIN", False)
    answer = ask(nines, "away.test", want_dnssec=True)
    assert checked(answer) == ("NOERROR", False), "only half of the chain is signed"
    answer = ask(nines, "x.any.test", want_dnssec=True)
    assert checked(answer) == ("NOERROR", False) and str(answer.answer[-1][0]) == "192.0.2.90"
    assert [dns.rdatatype.to_text(one.rdtype) for one in answer.answer] == ["CNAME", "RRSIG", "A"], "in the order of the chain"
    answer = ask(nines, "lost.test", want_dnssec=True)
    assert checked(answer) == ("NXDOMAIN", False) and answer.answer and answer.authority
    assert checked(ask(nines, "nowhere.test", want_dnssec=True)) == ("NXDOMAIN", True)
    answer = ask(nines, "www.bogus.test", want_dnssec=True)
    assert checked(answer) == ("SERVFAIL", False) and reasons(answer) == [6]
    answer = ask(nines, "www.bogus.test", want_dnssec=True, flags=dns.flags.RD | dns.flags.CD)
    assert checked(answer) == ("NOERROR", False) and str(answer.answer[0][0]) == "192.0.2.67"
    for outcome in ("secure", "insecure", "bogus"):
        assert nines.metric("nines_dns_resolver_validations_total", outcome=outcome) >= 1


def test_names_are_looked_up_from_a_private_root_on_and_validated(start, tree):
    nines = recursor(start, tree, 'private_servers = ["127.53.0.0/16"]')
    answers_of_the_tree(nines)
    assert "from the root" in subprocess.run([nines.binary, "status", "--file", nines.file], capture_output=True, text=True, timeout=20,
                                             check=True).stdout


def test_delv_validates_what_the_resolver_says(start, tree):
    nines = recursor(start, tree, 'private_servers = ["127.53.0.0/16"]')
    key = (tree.folder / "anchor").read_text().split("DNSKEY ")[1].split(maxsplit=3)
    (tree.folder / "delv.conf").write_text(f'trust-anchors {{ . static-key {key[0]} {key[1]} {key[2]} "{"".join(key[3].split())}"; }};\n')
    command = ["delv", "@127.0.0.1", "-p", str(nines.dns), "-a", tree.folder / "delv.conf", "+root=.", "www.shop.test", "A"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert "; fully validated" in done.stdout and "192.0.2.80" in done.stdout


def test_servers_in_private_networks_are_not_asked_unless_the_file_says_so(start, tree):
    nines = recursor(start, tree)
    assert ask(nines, "www.shop.test").rcode() == dns.rcode.SERVFAIL


def test_signatures_are_not_looked_at_where_the_file_says_so(start, tree):
    port = free_port()
    nines = start(f'[dns]\nlisten = "127.0.0.1:{port}"\n[dns.resolver]\nroot_hints = "{tree.folder}/hints"\nvalidate = false\n'
                  f'private_servers = ["127.53.0.0/16"]\n{SITE}')
    nines.dns = port
    assert checked(ask(nines, "www.bogus.test")) == ("NOERROR", False)
    assert checked(ask(nines, "www.shop.test", want_dnssec=True)) == ("NOERROR", False)


def test_answers_of_others_are_validated_where_the_file_says_so(start, tree):
    plain = recursor(start, tree, 'private_servers = ["127.53.0.0/16"]')
    port = free_port()
    nines = start(f'[dns]\nlisten = "127.0.0.1:{port}"\n[dns.resolver]\nforward = ["127.0.0.1:{plain.dns}"]\nvalidate = true\n'
                  f'trust_anchor = "{tree.folder}/anchor"\n{SITE}')
    nines.dns = port
    answers_of_the_tree(nines)
    asked = {kind: plain.metric("nines_dns_queries_total", type=kind) for kind in ("A", "DS", "DNSKEY")}
    for nth in range(5):
        assert ask(nines, f"n{nth}.plain.test").rcode() == dns.rcode.NXDOMAIN
    assert plain.metric("nines_dns_queries_total", type="A") == asked["A"] + 5
    for kind in ("DS", "DNSKEY"):
        assert plain.metric("nines_dns_queries_total", type=kind) <= asked[kind] + (5 if kind == "DS" else 0), "keys are kept"
