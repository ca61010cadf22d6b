"""DNSSEC: delv, kdig, ldns-verify-zone, unbound as a validating resolver, and the same answers as NSD gives for the same signed zones."""

import itertools
import os
import pathlib
import random
import re
import struct
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
from test_dns import checking_disabled, said
from unbound import running_unbound
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
    folder = tmp_path_factory.mktemp("unbound")
    # Each answer is to be proven by itself.
    with running_unbound(folder, signers(signed), {zone: signed.dns for zone in ZONES}, "example.test", aggressive="no") as port:
        yield port, folder / "log"


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
    """All but ANY, of which each server has its choice (RFC 8482 §4.1), and NSEC3, for which NSD follows no alias."""
    types = [rtype for rtype in TYPES if rtype != "ANY"] + ["CDS", "CDNSKEY", "NSEC3PARAM"]
    names = set()
    for zone, text in ZONES.items():
        apex = dns.name.from_text(zone)
        for name in owners(text, apex):
            names |= {name, below(name, "x"), below(name, "y.x"), below(name, "*"), below(name, "www")}
        names |= {below(apex, label) for label in ("nothing", "zzz.nothing", "www.sub.more", "a" * 63, "*.*", "0", "_")}
    # NSD follows an alias into another zone that it has: `test_dns.py` tells of it.
    names = {name for name in names if not name.is_subdomain(dns.name.from_text("to-sibling.example.test"))}
    for name, rtype in itertools.product(sorted(names), types):
        # Half of them: taking answers apart is what takes the time here.
        if rng.random() < 0.5:
            yield cased(name, rng), rtype


def minimal_signed(query, ours, theirs):
    """RFC 1034 §4.3.2, step 6: the additional section may help. NSD's minimal answers have none of it where it is not
    needed; ours have the addresses of names in the answer, with their signatures for those who want them."""
    if ours["answer"] and ours["flags"] & dns.flags.AA and ours["additional"] >= theirs["additional"]:
        signature = {dns.rdatatype.RRSIG} if query.ednsflags & dns.flags.DO else set()
        assert {rtype for _, _, rtype, _ in ours["additional"]} <= {dns.rdatatype.A, dns.rdatatype.AAAA} | signature
        ours["additional"] = theirs["additional"]


def cut_off(query, ours, theirs):
    """RFC 2181 §9: what is there of a truncated answer is not used, so it does not matter what it is."""
    if ours["flags"] & theirs["flags"] & dns.flags.TC:
        for section in ("answer", "authority", "additional"):
            ours[section] = theirs[section]


def compression(query, ours, theirs):
    """RFC 1035 §4.1.4: names may be compressed. NSD does it by names that ours does not look for in proofs, which tells where there is
    room for hardly anything."""
    if query.payload == 512 and ours["flags"] & dns.flags.TC and not theirs["flags"] & dns.flags.TC:
        assert all(ours[section] <= theirs[section] for section in ("answer", "authority"))
        ours.update(theirs)


def a_wildcard_asked_for_itself(query, ours, theirs):
    """RFC 5155 §7.2.3: the NSEC3 of a name that is there says what it has not. Where the name is a wildcard's own, NSD also proves
    that it is not there by another wildcard; then its answer may be too long."""
    if any(record[0].startswith(b"\x01*") for record in theirs["answer"]) or query.question[0].name.is_wild():
        if ours["authority"] <= theirs["authority"] or theirs["flags"] & dns.flags.TC:
            for key in ("flags", "answer", "authority"):
                ours[key] = theirs[key]


def proofs_behind_a_dname(query, ours, theirs):
    """RFC 4035 §3.1.3: what a DNAME leads to is proven as any other name. NSD proves it by other names, or not at all; that ours is
    proven is shown by the resolver above."""
    if any(rtype == dns.rdatatype.DNAME for _, _, rtype, _ in ours["answer"]):
        for answer in (ours, theirs):
            answer["authority"] = {record for record in answer["authority"] if not is_of_proofs(record)}


def is_of_proofs(record):
    covered = struct.unpack("!H", record[3][:2])[0] if record[2] == dns.rdatatype.RRSIG else record[2]
    return covered in (dns.rdatatype.NSEC, dns.rdatatype.NSEC3)


def a_signature_that_wants_room(query, ours, theirs):
    """RFC 4035 §3.1.1: what is additional may be left out where there is no room, with its signatures or without them."""
    if ours["answer"] == theirs["answer"] and ours["authority"] == theirs["authority"]:
        theirs["additional"] = ours["additional"] = set()


ACCEPTED = [checking_disabled, cut_off, compression, a_wildcard_asked_for_itself, proofs_behind_a_dname, minimal_signed,
            a_signature_that_wants_room]


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
    assert count > 3_000
    shown = "\n".join(f"{question}: {differences}" for question, differences in wrong[:10])
    assert not wrong, f"{len(wrong)} of {count} differ (ours, NSD's):\n{shown}"


# --- keys, restarts and changes ---

ZONE = "$TTL 3600\n@ SOA ns1 hostmaster {serial} 14400 3600 1209600 300\n@ NS ns1\nns1 A 192.0.2.53\nwww A {www}\nother A 192.0.2.9\n"


@pytest.fixture
def shop(start, tmp_path):
    """A nines that signs a zone with a route, an alias and little else."""
    port = free_port()
    (tmp_path / "shop.zone").write_text(ZONE.format(serial=7, www="192.0.2.1"))
    answers = ", ".join(f'{{ addresses = ["192.0.2.{nth}", "2001:db8::{nth}"] }}' for nth in range(20, 24))
    nines = start(f"""
[dns]
listen = "127.0.0.1:{port}"
[dns.zone."shop.test"]
file = "{tmp_path}/shop.zone"
sign = true
[dns.zone."shop.test".route.app]
choose = ["healthy", "multivalue"]
values = 2
answers = [{answers}]
[dns.zone."shop.test".route."@"]
alias = "app"
{SITE}""")
    nines.dns, nines.zone = port, tmp_path / "shop.zone"
    return nines


def of_type(answer, rtype):
    return next((rrset for rrset in answer.answer + answer.authority if rrset.rdtype == rtype), None)


def signature(nines, name, rtype="A"):
    answer = ask(nines.dns, name, rtype)
    rrset = of_type(answer, dns.rdatatype.from_text(rtype))
    rrsig = of_type(answer, dns.rdatatype.RRSIG)
    keys = of_type(ask(nines.dns, "shop.test", "DNSKEY"), dns.rdatatype.DNSKEY)
    dns.dnssec.validate(rrset, rrsig, {keys.name: keys})
    return rrset, rrsig


def serial(nines):
    return signature(nines, "shop.test", "SOA")[0][0].serial


def test_what_a_route_chooses_is_signed(shop, tmp_path):
    seen = set()
    for _ in range(100):
        for name, rtype in (("app.shop.test", "A"), ("app.shop.test", "AAAA"), ("shop.test", "A")):
            rrset, _ = signature(shop, name, rtype)
            assert len(rrset) == 2
            seen.add((name, rtype, frozenset(rdata.address for rdata in rrset)))
    assert len(seen) == 3 * 6, "each pair of four, for two types, and for the alias"
    anchor = signers(shop)[0].split()
    (tmp_path / "anchors").write_text('trust-anchors {{ {} initial-ds {} {} {} "{}"; }};\n'.format(anchor[0], *anchor[3:]))
    for name in ("app.shop.test", "shop.test"):
        command = ["delv", "@127.0.0.1", "-p", str(shop.dns), "-a", tmp_path / "anchors", "+root=shop.test", name, "AAAA"]
        assert "; fully validated" in subprocess.run(command, capture_output=True, text=True, timeout=30).stdout


def test_a_change_signs_what_changed_and_the_serial_rises(shop):
    (_, www), (_, other), first = signature(shop, "www.shop.test"), signature(shop, "other.shop.test"), serial(shop)
    assert first == 7
    # The serial number was forgotten.
    shop.zone.write_text(ZONE.format(serial=7, www="192.0.2.2"))
    shop.reload()
    rrset, rrsig = signature(shop, "www.shop.test")
    assert rrset[0].address == "192.0.2.2" and rrsig != www
    assert signature(shop, "other.shop.test")[1] == other
    assert serial(shop) == 8
    shop.zone.write_text(ZONE.format(serial=2026, www="192.0.2.2"))
    shop.reload()
    assert serial(shop) == 2026
    assert shop.metric("nines_dns_zone_signature_expiry_seconds", zone="shop.test") > 0


def test_keys_and_serial_survive_a_kill(shop):
    keys, before = ask(shop.dns, "shop.test", "DNSKEY").answer[0], serial(shop)
    for _ in range(3):
        shop.process.kill()
        shop.process.wait(10)
        with open(shop.log, "ab") as log:
            shop.process = subprocess.Popen([shop.binary, "up", shop.file], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(lambda: answers(shop))
        assert ask(shop.dns, "shop.test", "DNSKEY").answer[0] == keys
        # The same where its signatures were kept; never an earlier one.
        assert serial(shop) >= before
        before = serial(shop)


def answers(nines):
    try:
        return bool(ask(nines.dns, "shop.test", "SOA").answer)
    except (OSError, EOFError, dns.exception.DNSException):
        return False


def test_a_key_of_bind_signs_beside_the_one_there_is(shop):
    folder = next(path for path in pathlib.Path(shop.file).parent.rglob("dns/keys/shop.test") if path.is_dir())
    made = subprocess.run(["dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "-K", folder, "shop.test"],
                          capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    shop.reload()
    tag = int(made.rsplit("+", 1)[1])
    keys = ask(shop.dns, "shop.test", "DNSKEY")
    assert {dns.dnssec.key_id(key) for key in of_type(keys, dns.rdatatype.DNSKEY)} > {tag}
    tags = {rrsig.key_tag for rrsig in of_type(ask(shop.dns, "www.shop.test", "A"), dns.rdatatype.RRSIG)}
    assert len(tags) == 2 and tag in tags
    assert tag in {cds.key_tag for cds in of_type(ask(shop.dns, "shop.test", "CDS"), dns.rdatatype.CDS)}


def test_a_zone_that_was_signed_elsewhere_is_served_as_nsd_serves_it(start, tmp_path, tmp_path_factory):
    """With NSEC3, salt, iterations and opt-out, by ldns."""
    (tmp_path / "z.zone").write_text("$ORIGIN z.test.\n" + ZONE.format(serial=1, www="192.0.2.1") + "*.w A 192.0.2.2\na.b.c A 192.0.2.3\n"
                                     "sub NS ns.sub\nns.sub A 192.0.2.4\ndeep.er NS ns.elsewhere.test.\nal CNAME x.w\n")
    keygen = ["ldns-keygen", "-a", "ECDSAP256SHA256"]
    names = [subprocess.run([*keygen, *more, "z.test"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()
             for more in (["-k"], [])]
    subprocess.run(["ldns-signzone", "-n", "-p", "-t", "5", "-s", "abcd", "-f", "signed", "z.zone", *names], cwd=tmp_path, check=True)
    port = free_port()
    nines = start(f'[dns]\nlisten = "127.0.0.1:{port}"\n[dns.zone."z.test"]\nfile = "{tmp_path}/signed"\n{SITE}')
    assert nines
    apex = dns.name.from_text("z.test")
    with running_nsd(tmp_path_factory.mktemp("nsd"), {"z.test": tmp_path / "signed"}) as other:
        names = [apex] + [dns.name.from_text(name, apex) for name in (
            "www", "no", "a.no", "w", "x.w", "y.x.w", "*.w", "b.c", "c", "x.c", "sub", "x.sub", "er", "deep.er", "x.deep.er", "al")]
        for name, rtype in itertools.product(names, ["A", "DS", "TXT", "NS", "NSEC3PARAM", "DNSKEY", "SOA"]):
            ours, theirs = (said(ask(at, name, rtype, tcp=False).to_wire()) for at in (port, other))
            for answer in (ours, theirs):
                answer["id"], answer["additional"] = 0, {record for record in answer["additional"] if answer["authority"]}
            wrong = {key for key in ours if ours[key] != theirs[key]}
            # As `a_wildcard_asked_for_itself`; and for DS NSD proves of it what is proven of a name without an NSEC3 (RFC 5155 §7.2.4).
            if name.is_wild():
                wrong -= {"authority"}
            assert not wrong, f"{name} {rtype} {ours} {theirs}"
