"""The least of DNS that is needed to see whether a server answers."""

import socket
import struct


def answers(port, name, host="127.0.0.1"):
    """Whether an A query for this name gets a record."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        try:
            client.connect((host, port))
            client.send(query)
            answer = client.recv(4096)
        except OSError:
            return False
    flags, _, records = struct.unpack(">3H", answer[2:8])
    return flags & 15 == 0 and records > 0
