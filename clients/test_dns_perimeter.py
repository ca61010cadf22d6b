"""DNS: what stands around the answers. Limits, logs, encrypted transports, the names of services, and what a check finds."""

import socket
import subprocess

import dns.message
import dns.query
from conftest import free_port

SITE = '[site.default.route]\n"/" = { respond = { body = "http" } }\n'
ZONE = """
[dns.zone."shop.test"]
records = ["@ 1h SOA ns1 admin 7 1h 10m 1d 5m", "@ NS ns1", "@ NS ns2", "ns1 A 192.0.2.53", "ns2 A 192.0.2.54", "www A 192.0.2.1"]
"""


def dns_file(port, more=""):
    return f'[dns]\nlisten = "127.0.0.1:{port}"\n{more}\n{ZONE}\n{SITE}'


def tool(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout


# --- limits ---

def test_a_flood_is_limited_and_dig_gets_its_answer_over_tcp_or_with_a_cookie(start):
    port = free_port()
    nines = start(dns_file(port, 'limit = { responses_per_client = "1/m", slip = 1 }'))
    query = dns.message.make_query("www.shop.test", "A").to_wire()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(10)
        for _ in range(50):
            client.send(query)
            client.recv(4096)
    assert nines.metric("nines_dns_limited_total", outcome="slipped") >= 48
    text = tool("dig", "@127.0.0.1", "-p", str(port), "+nocookie", "www.shop.test")
    assert "retrying in TCP mode" in text and "192.0.2.1" in text
    text = tool("kdig", "@127.0.0.1", "-p", str(port), "+cookie", "+ignore", "www.shop.test")
    assert "192.0.2.1" in text or " tc" in text
    cookie = next(line.split()[2] for line in tool("dig", "@127.0.0.1", "-p", str(port), "+ignore", "www.shop.test").splitlines()
                  if "COOKIE:" in line)
    text = tool("dig", "@127.0.0.1", "-p", str(port), "+ignore", f"+cookie={cookie}", "www.shop.test")
    assert "192.0.2.1" in text and " tc" not in text
