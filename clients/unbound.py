"""Unbound, as a resolver that validates."""

import contextlib
import shutil
import subprocess

import dns.exception
import dns.message
import dns.query
import dns.rcode
from conftest import eventually, free_port


@contextlib.contextmanager
def running_unbound(folder, anchors, stubs, ready, aggressive="yes"):
    """Unbound with these DS records to trust, and the ports of the servers of these zones; it answers once `ready` is answered. Its port; what it says
    is in `log` of the folder."""
    program, port = shutil.which("unbound") or shutil.which("unbound", path="/usr/sbin"), free_port()
    trusted = "".join(f'  trust-anchor: "{line}"\n' for line in anchors)
    zones = "".join(f'  local-zone: "{zone}" nodefault\n' for zone in (*stubs, "test"))
    servers = "".join(f'stub-zone:\n  name: "{zone}"\n  stub-addr: 127.0.0.1@{at}\n' for zone, at in stubs.items())
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
  aggressive-nsec: {aggressive}
  num-threads: 1
{trusted}{zones}
remote-control:
  control-enable: no
{servers}""")
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([program, "-d", "-p", "-c", folder / "unbound.conf"], stdout=log, stderr=log)

    def answers():
        assert process.poll() is None, (folder / "log").read_text()
        try:
            query = dns.message.make_query(ready, "SOA", want_dnssec=True)
            return dns.query.udp(query, "127.0.0.1", 5, port).rcode() == dns.rcode.NOERROR
        except (OSError, dns.exception.DNSException):
            return False

    try:
        eventually(answers, 30)
        yield port
    finally:
        process.terminate()
        process.wait(10)
