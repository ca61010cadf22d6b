"""DNSSEC: delv, kdig, ldns-verify-zone, unbound as a validating resolver, and the same answers as NSD gives for the same signed zones."""

import itertools
import os
import random
import re
import shutil
import subprocess

import dns.dnssec
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
from signed_zones import ask, gathered, text_of
from test_dns import alias_of_another_zone, checking_disabled, said
from zones import TYPES, ZONES, below, cased, owners

SITE = '[site.default.route]\n"/" = { respond = { body = "http" } }\n'
HOW = {
    "nsec": 'true',
    "nsec3": '{ denial = "nsec3", algorithm = "ed25519", keys = "ksk-zsk" }',
}


@pytest.fixture(scope="module", params=HOW)
def signed(request, start, tmp_path_factory):
    """A nines that signs the zones of `zones.py`."""
    folder, port = tmp_path_factory.mktemp("zones"), free_port()
    tables = ""
    for name, text in ZONES.items():
        (folder / f"{name}.zone").write_text(text)
        tables += f'[dns.zone."{name}"]\nfile = "{folder}/{name}.zone"\nsign = {HOW[request.param]}\n'
    nines = start(f'[dns]\nlisten = "127.0.0.1:{port}"\n{tables}\n{SITE}')
    nines.dns, nines.denial = port, request.param
    return nines


@pytest.fixture(scope="module")
def texts(signed, tmp_path_factory):
    """The signed zones as text, by what is answered."""
    folder = tmp_path_factory.mktemp("signed")
    for name in ZONES:
        (folder / f"{name}.zone").write_text(text_of(name, gathered(signed.dns, name)))
    return folder


def signers(nines):
    """The DS records that `nines status` tells for the zones above."""
    status = subprocess.run([nines.binary, "status", "--file", nines.file], capture_output=True, text=True, timeout=20, check=True)
    return re.findall(r"^\S+\. IN DS \d+ \d+ 2 [0-9A-F]{64}$", status.stdout, re.M)


def test_the_zones_are_whole(signed, texts):
    for name in ZONES:
        done = subprocess.run(["ldns-verify-zone", "-V2", texts / f"{name}.zone"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


def test_delv_trusts_the_keys_that_status_tells(signed, tmp_path):
    anchors = "".join("  {} initial-ds {} {} {} \"{}\";\n".format(words[0], *words[3:]) for words in map(str.split, signers(signed)))
    (tmp_path / "anchors").write_text(f"trust-anchors {{\n{anchors}}};\n")
    assert anchors.count("initial-ds") == len(ZONES)

    def delv(name, rtype, zone):
        command = ["delv", "@127.0.0.1", "-p", str(signed.dns), "-a", tmp_path / "anchors", f"+root={zone}", name, rtype]
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout

    for name, rtype in [("example.test", "A"), ("anything.wild.example.test", "TXT"), ("deep.down.dn.example.test", "A"),
                        ("_sip._tcp.example.test", "SRV"), ("upper.case.example.test", "A"), ("naptr.example.test", "NAPTR")]:
        assert "; fully validated" in delv(name, rtype, "example.test"), name
    for name, rtype in [("nothing.example.test", "A"), ("example.test", "SRV"), ("down.the.tree.example.test", "A"),
                        ("anything.wild.example.test", "MX")]:
        assert "; negative response, fully validated" in delv(name, rtype, "example.test"), name


def test_kdig_sees_signatures_only_when_it_asks_for_them(signed):
    def kdig(*words):
        return subprocess.run(["kdig", "@127.0.0.1", "-p", str(signed.dns), *words], capture_output=True, text=True, timeout=30,
                              check=True).stdout

    assert "RRSIG" in kdig("+dnssec", "example.test", "A") and "RRSIG" not in kdig("example.test", "A")
    text = kdig("+dnssec", "+cdflag", "nothing.example.test")
    assert ("NSEC3 " if signed.denial == "nsec3" else "NSEC ") in text and " cd" in text and " ad" not in text
    assert "NSEC" not in kdig("nothing.example.test")


# --- a resolver that validates ---

@pytest.fixture(scope="module")
def unbound(signed, tmp_path_factory):
    """Unbound, which asks nines and trusts its keys."""
    program = shutil.which("unbound") or shutil.which("unbound", path="/usr/sbin")
    folder, port = tmp_path_factory.mktemp("unbound"), free_port()
    anchors = "".join(f'  trust-anchor: "{line}"\n' for line in signers(signed))
    zones = "".join(f'  local-zone: "{zone}" nodefault\n' for zone in (*ZONES, "test"))
    stubs = "".join(f'stub-zone:\n  name: "{zone}"\n  stub-addr: 127.0.0.1@{signed.dns}\n' for zone in ZONES)
    (folder / "unbound.conf").write_text(f"""
server:
  interface: 127.0.0.1@{port}
  port: {port}
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/pid"
  use-syslog: no
  do-daemonize: no
  do-ip6: no
  do-not-query-localhost: no
  module-config: "validator iterator"
  val-log-level: 2
  aggressive-nsec: no
  num-threads: 1
{anchors}{zones}
remote-control:
  control-enable: no
{stubs}""")
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([program, "-d", "-p", "-c", folder / "unbound.conf"], stdout=log, stderr=log)

    def answers():
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return ask(port, "example.test", "SOA", tcp=False).rcode() == dns.rcode.NOERROR
        except (OSError, dns.exception.DNSException):
            return False

    try:
        eventually(answers, 30)
        yield port, folder / "log"
    finally:
        process.terminate()
        process.wait(10)


CUTS = [dns.name.from_text(name, dns.name.from_text("example.test")) for name in ("sub", "signed", "lame", "cut.below")]


def leads_outside(answer):
    """Whether a resolver would have to ask somebody else."""
    names = [answer.question[0].name] + [rrset[0].target for rrset in answer.answer if rrset.rdtype == dns.rdatatype.CNAME]
    zones = [dns.name.from_text(zone) for zone in ZONES]
    return any(not any(name.is_subdomain(zone) for zone in zones) for name in names) or any(
        rrset.rdtype == dns.rdatatype.NS for rrset in answer.authority)


@pytest.mark.timeout(900)
def test_every_answer_is_proven_to_a_resolver(signed, unbound):
    port, log = unbound
    wrong, count = [], 0
    for zone, text in ZONES.items():
        apex = dns.name.from_text(zone)
        names = owners(text, apex)
        names |= {below(name, label) for name in set(names) for label in ("x", "y.x", "*")}
        # A cut's DS is a matter of this zone; all else there is not.
        for name, rtype in itertools.product(sorted(names), ["A", "TXT", "MX", "DS", "TYPE65281"]):
            direct = ask(signed.dns, name, rtype, tcp=False)
            if direct.flags & dns.flags.TC:
                direct = ask(signed.dns, name, rtype)
            if leads_outside(direct) or (rtype == "DS" and name == apex and zone != "child.example.test"):
                continue
            if rtype == "DS" and any(name.is_subdomain(cut) and name != cut for cut in CUTS):
                continue
            count += 1
            answer = ask(port, name, rtype, tcp=False)
            # An alias in a circle has no end that could be proven, and the DS of a zone is to be asked for above it.
            if is_circle(direct) or (rtype == "DS" and last(direct) == apex):
                continue
            if not answer.flags & dns.flags.AD or answer.rcode() != direct.rcode():
                wrong.append((name.to_text(), rtype, answer.flags, dns.rcode.to_text(answer.rcode())))
    shown = "\n".join(line for line in log.read_text().splitlines() if "validation failure" in line)[-4000:]
    assert not wrong, f"{len(wrong)} of {count}: {wrong[:20]}\n{shown}"
    assert count > 1000


def aliases(answer):
    """The names that a chain of aliases leads through."""
    targets = {rrset.name: rrset[0].target for rrset in answer.answer if rrset.rdtype == dns.rdatatype.CNAME}
    names = [answer.question[0].name]
    while names[-1] in targets and names[-1] not in names[:-1]:
        names.append(targets[names[-1]])
    return names


def last(answer):
    return aliases(answer)[-1]


def is_circle(answer):
    return last(answer) in aliases(answer)[:-1]


# --- beside NSD ---

@pytest.fixture(scope="module")
def nsd(texts, tmp_path_factory):
    with running_nsd(tmp_path_factory.mktemp("nsd"), {name: texts / f"{name}.zone" for name in ZONES}) as port:
        yield port


def questions(rng):
    """All but ANY, of which each server has its choice (RFC 8482 §4.1)."""
    types = [rtype for rtype in TYPES if rtype != "ANY"] + ["CDS", "CDNSKEY", "NSEC3", "NSEC3PARAM"]
    names = set()
    for zone, text in ZONES.items():
        apex = dns.name.from_text(zone)
        for name in owners(text, apex):
            names |= {name, below(name, "x"), below(name, "y.x"), below(name, "*"), below(name, "www")}
        names |= {below(apex, label) for label in ("nothing", "zzz.nothing", "www.sub.more", "a" * 63, "*.*", "0", "_")}
    for name, rtype in itertools.product(sorted(names), types):
        yield cased(name, rng), rtype


def minimal_signed(query, ours, theirs):
    """RFC 1034 §4.3.2, step 6: the additional section may help. NSD's minimal answers have none of it where it is not
    needed; ours have the addresses of names in the answer, with their signatures for those who want them."""
    if ours["answer"] and ours["flags"] & dns.flags.AA and ours["additional"] >= theirs["additional"]:
        signature = {dns.rdatatype.RRSIG} if query.ednsflags & dns.flags.DO else set()
        assert {rtype for _, _, rtype, _ in ours["additional"]} <= {dns.rdatatype.A, dns.rdatatype.AAAA} | signature
        ours["additional"] = theirs["additional"]


def alias_of_another_zone_signed(query, ours, theirs):
    """As `alias_of_another_zone`: what NSD follows may be too long for a datagram, where ours is not."""
    if query.question[0].name.canonicalize() == dns.name.from_text("to-sibling.example.test") and theirs["flags"] & dns.flags.TC:
        ours.update(theirs)
    alias_of_another_zone(query, ours, theirs)


def a_signature_that_wants_room(query, ours, theirs):
    """RFC 4035 §3.1.1: what is additional may be left out where there is no room, with its signatures or without them."""
    if ours["answer"] == theirs["answer"] and ours["authority"] == theirs["authority"]:
        theirs["additional"] = ours["additional"] = set()


ACCEPTED = [checking_disabled, minimal_signed, alias_of_another_zone_signed, a_signature_that_wants_room]


@pytest.mark.timeout(600)
def test_signed_answers_are_those_of_nsd(signed, nsd):
    rng, wrong, count = random.Random(int(os.environ.get("NINES_SEED", "1"))), [], 0
    for name, rtype in questions(rng):
        count += 1
        tcp, payload = rng.random() < 0.3, rng.choice((512, 1232, 1232, 4096))
        query = dns.message.make_query(name, rtype, use_edns=0, payload=payload, want_dnssec=rng.random() < 0.8)
        send = dns.query.tcp if tcp else dns.query.udp
        answers = [send(query, "127.0.0.1", 10, port, ignore_trailing=False).to_wire() for port in (signed.dns, nsd)]
        ours, theirs = map(said, answers)
        for accept in ACCEPTED:
            accept(query, ours, theirs)
        if ours != theirs:
            wrong.append((f"{name} {rtype} {'tcp' if tcp else 'udp'} {payload}",
                          {key: (ours[key] - theirs[key], theirs[key] - ours[key]) if isinstance(ours[key], set) else (ours[key], theirs[key])
                           for key in ours if ours[key] != theirs[key]}))
    assert count > 5_000
    shown = "\n".join(f"{question}: {differences}" for question, differences in wrong[:20])
    assert not wrong, f"{len(wrong)} of {count} differ (ours, NSD's):\n{shown}"
