"""Headers of the PROXY protocol, versions 1 and 2, written and read."""

import ipaddress
import socket
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6 = 0x11, 0x21


def v1(source, destination="192.0.2.80", source_port=1111, port=80):
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {destination} {source_port} {port}\r\n".encode()


def v2(source, destination=None, source_port=1111, port=80, tlvs=b"", command=PROXY):
    address = ipaddress.ip_address(source)
    destination = ipaddress.ip_address(destination or ("2001:db8::80" if address.version == 6 else "192.0.2.80"))
    family = TCP6 if address.version == 6 else TCP4
    body = address.packed + destination.packed + struct.pack(">HH", source_port, port) + tlvs
    return SIGNATURE + struct.pack(">BBH", command, family, len(body)) + body


def local():
    """A connection of the proxy's own, such as a health check."""
    return SIGNATURE + struct.pack(">BBH", LOCAL, 0, 0)


def read(connection):
    """Reads a header from a socket: (version, source, destination), both with ports; None for LOCAL and UNKNOWN."""
    head = exactly(connection, 12)
    if head != SIGNATURE:
        while not head.endswith(b"\r\n"):
            assert len(head) < 107, head
            head += exactly(connection, 1)
        word, family, *rest = head.decode().split()
        assert word == "PROXY"
        if family == "UNKNOWN":
            return 1, None, None
        source, destination, source_port, port = rest
        return 1, (source, int(source_port)), (destination, int(port))
    command, family, size = struct.unpack(">BBH", exactly(connection, 4))
    body = exactly(connection, size)
    if command == LOCAL:
        return 2, None, None
    assert command == PROXY and family in (TCP4, TCP6)
    kind, size = (socket.AF_INET, 4) if family == TCP4 else (socket.AF_INET6, 16)
    ports = struct.unpack(">HH", body[2 * size:2 * size + 4])
    return 2, (socket.inet_ntop(kind, body[:size]), ports[0]), (socket.inet_ntop(kind, body[size:2 * size]), ports[1])


def exactly(connection, size):
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, f"the connection ended after {data!r}"
        data += part
    return data
