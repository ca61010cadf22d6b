"""NSD, to compare with."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess

import dns.exception
import dns.message
import dns.query
from conftest import eventually, free_port


@contextlib.contextmanager
def running_nsd(folder, files):
    """NSD on zone files by the names of their zones, in the foreground, on a port and in a folder of its own. The port."""
    program, port = shutil.which("nsd") or shutil.which("nsd", path="/usr/sbin"), free_port()
    user = pwd.getpwuid(os.geteuid()).pw_name
    tables = "".join(f'zone:\n  name: "{name}"\n  zonefile: "{path}"\n' for name, path in files.items())
    (folder / "nsd.conf").write_text(f"""
server:
  ip-address: 127.0.0.1@{port}
  username: "{user}"
  zonesdir: "{folder}"
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  zonelistfile: "{folder}/zone.list"
  database: ""
  server-count: 1
  minimal-responses: yes
  refuse-any: no
  hide-version: yes
  hide-identity: yes
  ipv4-edns-size: 1232
  rrl-ratelimit: 0
remote-control:
  control-enable: no
{tables}""")
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([program, "-d", "-c", folder / "nsd.conf"], stdout=log, stderr=log,
                                   start_new_session=True)

    def answers():
        assert process.poll() is None, (folder / "log").read_text()
        try:
            dns.query.udp(dns.message.make_query(next(iter(files)), "SOA"), "127.0.0.1", 1, port)
            return True
        except (OSError, dns.exception.DNSException):
            return False

    try:
        eventually(answers, 30)
        yield port
    finally:
        # Its children are in its session, and nobody else.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
