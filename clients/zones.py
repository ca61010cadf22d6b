"""Zones with all that is hard about them, and questions about them: for `test_dns.py`."""

import itertools

import dns.edns
import dns.name

HEAD = "$TTL 3600\n@ SOA ns1 hostmaster 1 14400 3600 1209600 300\n@ NS ns1\n@ NS ns2.elsewhere.test.\nns1 A 192.0.2.53\n"

BIG = "\n".join(f'big TXT "{nth:0>60}"' for nth in range(60))
WIDE = "\n".join(f"wide A 192.0.2.{nth}\nwide AAAA 2001:db8::{nth:x}" for nth in range(1, 60))

ZONES = {
    "example.test": HEAD + r"""
@            A      192.0.2.80
@            AAAA   2001:db8::80
@            MX     10 mail
@            MX     20 mail.elsewhere.test.
@            TXT    "v=spf1 mx -all" "second"
@            CAA    0 issue "ca.example"
www          CNAME  @
mail         A      192.0.2.25
mail         AAAA   2001:db8::25
mail    60   A      192.0.2.26
_25._tcp.mail TLSA  3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
_sip._tcp    SRV    1 2 5060 mail
_sip._tcp    SRV    1 3 5060 www
_sip._udp    SRV    0 0 0 .
host         HINFO  "cpu" "os"
host         SSHFP  4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
host         A      192.0.2.9
naptr        NAPTR  100 10 "u" "E2U+sip" "!^.*$!sip:info@example.test!" .
svc          SVCB   1 mail alpn=h2,h3 ipv4hint=192.0.2.25
web          HTTPS  1 . alpn=h2 port=8443
web          A      192.0.2.88
alias        HTTPS  0 web
ptr          PTR    www
rp           RP     hostmaster txt
unknown      TYPE65280 \# 4 0a000001
deep.down.the.tree A 192.0.2.77
*.mx         MX     5 mail
*.wild       A      192.0.2.100
*.wild       TXT    "wild"
exact.wild   AAAA   2001:db8::100
a.b.wild     A      192.0.2.101
*.alias-wild CNAME  www
*.out-wild   CNAME  www.elsewhere.test.
star.*.mid   A      192.0.2.102
c1           CNAME  c2
c2           CNAME  c3
c3           CNAME  c4
c4           CNAME  www
loop1        CNAME  loop2
loop2        CNAME  loop1
self         CNAME  self
dangling     CNAME  nowhere.wild.down.the.tree
to-nodata    CNAME  deep.down.the
to-wild      CNAME  anything.wild
to-cut       CNAME  www.sub
to-out       CNAME  www.elsewhere.test.
to-sibling   CNAME  www.plain.test.
dn           DNAME  the.tree
dn           TXT    "beside"
dn-out       DNAME  elsewhere.test.
dn-self      DNAME  wild
to-dn        CNAME  deep.down.dn
sub          NS     ns.sub
sub          NS     ns.elsewhere.test.
ns.sub       A      192.0.2.60
ns.sub       AAAA   2001:db8::60
signed       NS     ns1
signed       DS     12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
lame         NS     nowhere.elsewhere.test.
cut.below    NS     ns.other.cut
ns.other.cut A      192.0.2.61
UPPER.Case   A      192.0.2.103
\000\255.\.dot  A   192.0.2.104
sp\032ace    TXT    "with \"quotes\" and \\ and \200"
""" + BIG + "\n" + WIDE + "\n",
    "plain.test": HEAD + "www A 192.0.2.7\n@ TXT \"plain\"\n*.w CNAME www\n",
    # A zone of its own below one that is here too.
    "child.example.test": HEAD + "@ A 192.0.2.110\nwww A 192.0.2.111\n",
    "2.0.192.in-addr.arpa": HEAD + "1 PTR www.example.test.\n80 PTR example.test.\n80 PTR www.example.test.\n",
}
# The cut that leads to it.
ZONES["example.test"] += "child NS ns1.child\nns1.child A 192.0.2.53\nchild DS 1 13 2 " + "ab" * 32 + "\n"

TYPES = ["A", "AAAA", "NS", "SOA", "CNAME", "DNAME", "MX", "TXT", "SRV", "PTR", "CAA", "TLSA", "SVCB", "HTTPS", "NAPTR",
         "SSHFP", "HINFO", "RP", "DS", "DNSKEY", "NSEC", "RRSIG", "TYPE65280", "TYPE65281", "ANY"]


def owners(text, apex):
    """The names of a zone file as simple as those above, and the names between them and the apex."""
    found = {apex}
    for line in text.splitlines():
        word = line.split()[0] if line[:1].strip() else ""
        if not word or word.startswith("$"):
            continue
        name = apex if word == "@" else dns.name.from_text(word, apex)
        while name != apex:
            found.add(name)
            name = name.parent()
    return found


def cased(name, rng):
    return "".join(rng.choice((letter.lower(), letter.upper())) for letter in name.to_text())


def below(name, label):
    try:
        return dns.name.from_text(label, name)
    except dns.name.NameTooLong:
        return name


def questions(rng):
    """Names, types and how they are asked, without end to the names that are not there."""
    names = set()
    for zone, text in ZONES.items():
        apex = dns.name.from_text(zone)
        for name in owners(text, apex):
            names |= {name, below(name, "x"), below(name, "y.x"), below(name, "*"), below(name, "www")}
            names.add(name.parent() if name != apex else name)
        names |= {below(apex, label) for label in ("nothing", "zzz.nothing", "www.sub.more", "a" * 63, "*.*", "0", "_")}
    names |= {dns.name.from_text(name) for name in ("elsewhere.test", "test", ".", "com", "aexample.test", "xplain.test")}
    ordered = sorted(names)
    for name, rtype in itertools.product(ordered, TYPES):
        yield cased(name, rng), rtype, shape(rng)


def shape(rng):
    """How a question is asked: over what, and with what EDNS."""
    options = {"tcp": rng.random() < 0.1, "flags": rng.choice((0, 0, 0x100, 0x10))}
    kind = rng.randrange(8)
    if kind >= 3:
        options |= {"use_edns": 0, "payload": rng.choice((512, 600, 1232, 1232, 4096, 65_535, 0))}
    if kind == 6:
        options["want_dnssec"] = True
    if kind == 7:
        options["options"] = [dns.edns.GenericOption(rng.choice((65_001, 12)), bytes(rng.randrange(20)))]
    return options
