"""DNS: dig, kdig and dnspython, hostile messages, reloads; and the same answers as NSD gives for the same zones."""

import itertools
import os
import random
import re
import socket
import struct
import subprocess
import threading

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import pytest
from conftest import eventually, free_port
from nsd import running_nsd
from proxy_protocol import exactly
from zones import ZONES, questions

SITE = '[site.default.route]\n"/" = { respond = { body = "http" } }\n'


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    """A nines with the zones of `zones.py`."""
    folder = tmp_path_factory.mktemp("zones")
    for name, text in ZONES.items():
        (folder / f"{name}.zone").write_text(text)
    port = free_port()
    tables = "".join(f'[dns.zone."{name}"]\nfile = "{folder}/{name}.zone"\n' for name in ZONES)
    nines = start(f'[dns]\nlisten = "127.0.0.1:{port}"\nidentity = "ns1.example"\n{tables}\n{SITE}')
    nines.dns, nines.zones = port, folder
    return nines


def udp(server, name, rtype, **more):
    return dns.query.udp(dns.message.make_query(name, rtype, **more), "127.0.0.1", 10, server.dns)


def tool(program, server, *words):
    command = [program, "@127.0.0.1", "-p", str(server.dns), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


# --- the usual clients ---

@pytest.mark.parametrize("program", ["dig", "kdig"])
@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_the_usual_tools_are_answered(server, program, transport):
    assert tool(program, server, transport, "+short", "www.example.test").split() == ["example.test.", "192.0.2.80"]
    text = tool(program, server, transport, "nothing.example.test", "MX")
    assert "NXDOMAIN" in text and "SOA" in text and " aa" in text
    text = tool(program, server, transport, "+nsid", "example.test", "SOA")
    assert "ns1.example" in text


def test_a_tool_goes_on_over_tcp_when_an_answer_is_cut_off(server):
    text = tool("dig", server, "+bufsize=512", "big.example.test", "TXT")
    assert "retrying in TCP mode" in text and text.count("IN\tTXT") >= 40
    text = tool("dig", server, "+ignore", "+bufsize=512", "big.example.test", "TXT")
    assert " tc" in text


def test_many_queries_share_a_connection(server):
    text = tool("kdig", server, "+tcp", "+keepopen", *["www.example.test"] * 20)
    assert text.count("192.0.2.80") == 20
    before = server.metric("nines_dns_connections_total")
    query = dns.message.make_query("www.example.test", "A")
    with socket.create_connection(("127.0.0.1", server.dns), 10) as connection:
        for _ in range(50):
            dns.query.send_tcp(connection, query)
        for _ in range(50):
            answer, _ = dns.query.receive_tcp(connection)
            assert answer.rcode() == dns.rcode.NOERROR and len(answer.answer) == 2
    assert server.metric("nines_dns_connections_total") == before + 1


def test_what_the_server_is_called_is_told_to_those_who_ask(server):
    answer = dns.query.udp(dns.message.make_query("id.server", "TXT", rdclass="CH"), "127.0.0.1", 10, server.dns)
    assert answer.answer[0].to_text().endswith('CH TXT "ns1.example"')
    asked = dns.message.make_query("example.test", "A", use_edns=0, options=[dns.edns.GenericOption(dns.edns.NSID, b"")])
    told = dns.query.udp(asked, "127.0.0.1", 10, server.dns).options
    assert [option.otype for option in told] == [dns.edns.NSID]


def test_a_client_learns_a_cookie_and_shows_it_again(server):
    before = server.metric("nines_dns_cookies_total", outcome="good")
    text = tool("dig", server, "+cookie", "www.example.test")
    cookie = re.search(r"COOKIE: ([0-9a-f]{48}) \(good\)", text)[1]
    assert f"COOKIE: {cookie} (good)" in tool("dig", server, f"+cookie={cookie}", "www.example.test")
    assert server.metric("nines_dns_cookies_total", outcome="good") == before + 1


# --- zones that change ---

def test_one_zone_changes_and_a_bad_one_changes_nothing(server):
    path = server.zones / "plain.test.zone"
    good = path.read_text()
    try:
        path.write_text(good.replace("192.0.2.7", "192.0.2.8").replace(" 1 ", " 2 ", 1))
        server.reload()
        assert udp(server, "www.plain.test", "A").answer[0][0].address == "192.0.2.8"
        assert server.metric("nines_dns_zone_serial", zone="plain.test") == 2

        path.write_text(good + "www A 300.0.0.1\n")
        done = subprocess.run([server.binary, "reload", "--file", server.file], capture_output=True, text=True, timeout=20)
        assert done.returncode != 0 and "plain.test.zone:" in done.stderr
        assert udp(server, "www.plain.test", "A").answer[0][0].address == "192.0.2.8"
    finally:
        path.write_text(good)
        server.reload()


# --- hostile ---

def test_hostile_messages_cost_nothing_but_themselves(server):
    rng = random.Random(7)
    query = dns.message.make_query("www.example.test", "A", use_edns=0, payload=4096).to_wire()
    before = server.memory()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", server.dns))
        for _ in range(20_000):
            message = bytearray(query)
            for _ in range(rng.randrange(1, 6)):
                message[rng.randrange(len(message))] = rng.randrange(256)
            client.send(message[:rng.randrange(len(message) + 1)])
        client.send(bytes(12) * 100)
    assert udp(server, "www.example.test", "A").rcode() == dns.rcode.NOERROR
    assert server.memory() - before < 8 << 20


def test_answers_are_not_answered(server):
    response = dns.message.make_query("www.example.test", "A")
    response.flags |= dns.flags.QR
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", server.dns))
        client.send(response.to_wire())
        client.send(dns.message.make_query("www.example.test", "A", id=77).to_wire())
        client.settimeout(10)
        assert struct.unpack("!H", client.recv(4096)[:2])[0] == 77, "the first that comes is the answer to the second"


def test_clients_that_hold_connections_leave_room_for_others(server):
    held = [socket.create_connection(("127.0.0.1", server.dns), 10) for _ in range(64)]
    try:
        eventually(lambda: server.metric("nines_dns_connections") >= 64)
        with pytest.raises(ConnectionResetError):
            with socket.create_connection(("127.0.0.1", server.dns), 10) as one_more:
                one_more.recv(1)
        with socket.create_connection(("127.0.0.1", server.dns), 10, ("127.0.0.2", 0)) as other:
            dns.query.send_tcp(other, dns.message.make_query("www.example.test", "A"))
            assert dns.query.receive_tcp(other)[0].rcode() == dns.rcode.NOERROR
    finally:
        for connection in held:
            connection.close()
    eventually(lambda: server.metric("nines_dns_connections") == 0)


def test_no_query_is_lost_when_another_process_takes_over(start):
    port = free_port()
    records = '["@ SOA ns admin 1 1 1 1 1", "@ NS ns", "ns A 192.0.2.1"]'
    nines = start(f'[dns]\nlisten = "127.0.0.1:{port}"\n[dns.zone."a.test"]\nrecords = {records}\n{SITE}')
    nines.dns = port
    unanswered, asked, over = [], 0, threading.Event()

    def ask():
        nonlocal asked
        while not over.is_set():
            try:
                udp(nines, "ns.a.test", "A")
            except Exception as error:  # noqa: BLE001 - whatever it is, it counts
                unanswered.append(error)
            asked += 1

    thread = threading.Thread(target=ask)
    thread.start()
    old = nines.process
    with open(nines.log, "ab") as log:
        nines.process = subprocess.Popen([nines.binary, "up", "--takeover", nines.file], stdin=subprocess.DEVNULL,
                                         stdout=log, stderr=log)
    assert old.wait(30) == 0
    eventually(lambda: asked > 100)
    over.set()
    thread.join()
    assert not unanswered


# --- beside NSD ---

@pytest.fixture(scope="module")
def nsd(server, tmp_path_factory):
    """NSD on the same zones."""
    with running_nsd(tmp_path_factory.mktemp("nsd"), {name: server.zones / f"{name}.zone" for name in ZONES}) as port:
        yield port


def ask(port, wire, tcp):
    """The answer's octets. A server of its own address on the same machine loses no datagram."""
    if tcp:
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(struct.pack("!H", len(wire)) + wire)
            return exactly(connection, struct.unpack("!H", exactly(connection, 2))[0])
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        client.send(wire)
        return client.recv(65_535)


def said(wire):
    """What a server answers, so that it can be compared."""
    answer = dns.message.from_wire(wire)
    edns = (answer.edns, answer.payload, answer.ednsflags & dns.flags.DO) if answer.edns >= 0 else None
    return {
        "id": answer.id, "rcode": int(answer.rcode()), "flags": int(answer.flags) & ~0xf, "edns": edns,
        "question": [(rrset.name.to_text(), int(rrset.rdtype)) for rrset in answer.question],
        "answer": records(answer.answer), "authority": records(answer.authority),
        "additional": records(answer.additional),
    }


def records(section):
    """A set: the order of records means nothing (RFC 1034 §3.6), nor does the case of names (RFC 4343)."""
    return {(rrset.name.canonicalize().to_wire(), rrset.ttl, int(rrset.rdtype), rdata.to_digestable())
            for rrset in section for rdata in rrset}


def checking_disabled(query, ours, theirs):
    """RFC 4035 §3.1.6: the CD bit of a query is copied into its response. NSD clears it."""
    if query.flags & dns.flags.CD and ours["flags"] & dns.flags.CD:
        ours["flags"] ^= dns.flags.CD


def minimal(query, ours, theirs):
    """RFC 1034 §4.3.2, step 6: the additional section may help. NSD's minimal answers have none of it where it is not
    needed; ours have the addresses of names in the answer."""
    if ours["answer"] and ours["flags"] & dns.flags.AA and ours["additional"] >= theirs["additional"]:
        assert {rtype for _, _, rtype, _ in ours["additional"]} <= {dns.rdatatype.A, dns.rdatatype.AAAA}
        ours["additional"] = theirs["additional"]


def alias_of_another_zone(query, ours, theirs):
    """RFC 1034 §4.3.2, step 3a: an alias is followed. NSD follows it into another zone that it has; ours ends at the
    border of its zone, since a resolver asks the other zone in any case (RFC 2181 §5.4.1: it cannot trust the rest)."""
    if query.question[0].name.canonicalize() == dns.name.from_text("to-sibling.example.test") and ours["answer"]:
        assert ours["answer"] <= theirs["answer"] and not ours["authority"]
        ours["answer"], ours["authority"] = theirs["answer"], theirs["authority"]


def any_of_them(query, ours, theirs):
    """RFC 8482 §4.1: a query for ANY may be answered with one of the sets, and each server has its choice."""
    if query.question[0].rdtype == dns.rdatatype.ANY and ours["answer"] and theirs["answer"]:
        chosen = [{rtype for _, _, rtype, _ in answer["answer"]} for answer in (ours, theirs)]
        assert all(len(types - {dns.rdatatype.CNAME, dns.rdatatype.DNAME}) <= 1 for types in chosen)
        for key in ("answer", "additional", "flags"):
            ours[key] = theirs[key]


def any_of_an_alias(query, ours, theirs):
    """RFC 1034 §3.6.2: an alias is followed unless its own type is asked for, and ANY asks for it. So both do it where a
    CNAME stands; where one is made from a DNAME (RFC 6672 §3.1), NSD goes on to the name that it leads to."""
    name = query.question[0].name.canonicalize()
    if query.question[0].rdtype == dns.rdatatype.ANY and name.is_subdomain(dns.name.from_text("dn.example.test")):
        assert ours["answer"] == theirs["answer"]
        for key in ("rcode", "authority"):
            ours[key] = theirs[key]


# Where the two differ, and both are right.
ACCEPTED = [checking_disabled, minimal, alias_of_another_zone, any_of_them, any_of_an_alias]


@pytest.mark.timeout(600)
def test_answers_are_those_of_nsd(server, nsd):
    rng, wrong, count = random.Random(int(os.environ.get("NINES_SEED", "1"))), [], 0
    for name, rtype, options in itertools.chain.from_iterable(questions(rng) for _ in range(2)):
        count += 1
        tcp = options.pop("tcp")
        query = dns.message.make_query(name, rtype, **options)
        answers = [ask(port, query.to_wire(), tcp) for port in (server.dns, nsd)]
        if answers[0] == answers[1]:
            continue
        ours, theirs = map(said, answers)
        for accept in ACCEPTED:
            accept(query, ours, theirs)
        if ours != theirs:
            wrong.append((f"{name} {rtype} {'tcp' if tcp else 'udp'} {options}",
                          {key: (ours[key], theirs[key]) for key in ours if ours[key] != theirs[key]}))
    assert count > 10_000
    shown = "\n".join(f"{question}: {differences}" for question, differences in wrong[:20])
    assert not wrong, f"{len(wrong)} of {count} differ (ours, NSD's):\n{shown}"
