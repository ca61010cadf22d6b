"""What a signed zone is made of, gathered from its answers: for `test_dns_signed.py`."""

import base64

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rdatatype
from zones import TYPES, ZONES, below, owners

TYPES = [*TYPES, "CDS", "CDNSKEY", "NSEC3PARAM", "NSEC3"]


def ask(port, name, rtype, tcp=True, **more):
    query = dns.message.make_query(name, rtype, use_edns=0, payload=1232, want_dnssec=True, **more)
    return (dns.query.tcp if tcp else dns.query.udp)(query, "127.0.0.1", 20, port)


def gathered(port, zone):
    """The records of a zone, as its answers show them: all of its names are asked for all types. What wildcards and DNAMEs made of
    them is left out. For each owner and type (of signatures also what they cover) the RRset."""
    apex = dns.name.from_text(zone)
    found = {}
    for name in owners(ZONES[zone], apex):
        # A name just behind shows the NSEC of a cut, which nobody else does.
        behind = name if name == apex else dns.name.Name((name.labels[0][:60] + b"\0", *name.labels[1:]))
        for asked in (name, below(name, "nothing-of-this-name"), behind):
            for rtype in TYPES if asked == name else ["A", "TXT"]:
                answer = ask(port, asked, rtype)
                signatures = signatures_of(answer)
                for section in (answer.answer, answer.authority, answer.additional):
                    for rrset in section:
                        keep(found, apex, rrset, signatures, answer)
    # And of what has no name that could be asked for, the NSEC3 of a cut that is signed: by a name whose hash is just behind it.
    labels = sorted((dns.dnssec.nsec3_hash(below(apex, f"n{nth}"), "", 0, "SHA1"), f"n{nth}") for nth in range(20_000))
    while gap := missing(found):
        after = next((label for digest, label in labels if digest > gap), labels[0][1])
        before = len(found)
        answer = ask(port, below(apex, after), "A")
        for rrset in answer.authority:
            keep(found, apex, rrset, signatures_of(answer), answer)
        assert len(found) > before, f"{zone}: nobody shows the NSEC3 of {gap}"
    return found


def missing(found):
    """The hash that an NSEC3 names as the next, and which is not there."""
    chain = {owner.labels[0].decode().upper(): rrset[0] for (owner, rtype, _), rrset in found.items()
             if rtype == dns.rdatatype.NSEC3}
    nexts = {base64.b32hexencode(rdata.next).decode() for rdata in chain.values()}
    return next(iter(sorted(nexts - chain.keys())), None)


def signatures_of(answer):
    return {(rrset.name, rrset.covers): rrset for section in (answer.answer, answer.authority, answer.additional)
            for rrset in section if rrset.rdtype == dns.rdatatype.RRSIG}


def keep(found, apex, rrset, signatures, answer):
    covered = rrset.covers if rrset.rdtype == dns.rdatatype.RRSIG else rrset.rdtype
    signature = signatures.get((rrset.name, covered))
    if not rrset.name.is_subdomain(apex):
        return
    if signature is not None:
        labels = len(rrset.name) - 1 - (rrset.name.labels[0] == b"*")
        if signature[0].signer != apex or signature[0].labels < labels:
            return
    elif rrset.rdtype == dns.rdatatype.CNAME and any(other.rdtype == dns.rdatatype.DNAME for other in answer.answer):
        return
    known = found.setdefault((rrset.name, rrset.rdtype, rrset.covers), rrset)
    # The TTL of an SOA is a lower one where it tells that something is not there.
    if rrset.ttl > known.ttl:
        found[rrset.name, rrset.rdtype, rrset.covers] = rrset


def text_of(zone, found):
    """As a zone file. Of a zone that is here too, the zone above is not asked for the servers."""
    lines = [f"{rrset.to_text()}\n" for rrset in found.values()]
    if zone == "example.test":
        lines.append("child.example.test. 3600 IN NS ns1.child.example.test.\nns1.child.example.test. 3600 IN A 192.0.2.53\n")
    return "".join(lines)
