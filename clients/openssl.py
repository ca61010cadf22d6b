"""`openssl s_client`, and what it says about a handshake."""

import json
import re
import subprocess
from dataclasses import dataclass, field

from cryptography import x509


@dataclass
class Handshake:
    """What s_client printed; `status` is its own, not 0 if there was no handshake."""

    status: int
    text: str = field(repr=False)

    @property
    def certificate(self):
        return x509.load_pem_x509_certificate(re.search(
            "-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", self.text, re.DOTALL)[0].encode())

    @property
    def version(self):
        found = re.search(r"^(?:New|Reused), (TLSv[\d.]+),", self.text, re.MULTILINE)
        return found and found[1]

    @property
    def alpn(self):
        found = re.search("^ALPN protocol: (.*)$", self.text, re.MULTILINE)
        return found and found[1]

    @property
    def is_resumed(self):
        assert self.version, self.text
        return re.search("^Reused, ", self.text, re.MULTILINE) is not None

    @property
    def alert(self):
        """The number of the alert with which the server refused, or None (RFC 8446 §6)."""
        found = re.search(r"SSL alert number (\d+)", self.text)
        return found and int(found[1])

    @property
    def json(self):
        """The object that came back, as `backend.describe` makes it."""
        return json.JSONDecoder().raw_decode(self.text[self.text.index('{"backend"'):])[0]


def s_client(port, *words, name="shop.test", data=None, host=None):
    """One handshake; `data` is sent afterwards, a request by default, and what comes back is read to its end."""
    if data is None:
        data = f"GET / HTTP/1.1\r\nHost: {host or name or '127.0.0.1'}\r\nConnection: close\r\n\r\n"
    server_name = ["-servername", name] if name else ["-noservername"]
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *server_name,
                           *(["-ign_eof"] if data else []), *words],
                          input=data.encode(), capture_output=True, timeout=30, check=False)
    return Handshake(done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace"))
