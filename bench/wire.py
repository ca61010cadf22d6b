"""Both ends of what layer 4 forwards, each a process of its own.

    python3 wire.py source PORT             a backend that sends without end to whoever connects
    python3 wire.py sink PORT SECONDS       takes it on some connections; prints {"bytes": …, "seconds": …}
    python3 wire.py echo PORT               a backend that sends every datagram back
    python3 wire.py flood PORT SECONDS      sends datagrams and waits for them; prints {"echoes": …, "lost": …, …}

They must cost little beside the server, since they share the machine's cores with it: bytes go from a file in memory
by sendfile(2) and are thrown away in the kernel, datagrams are sent and received many at a call.
"""

import ctypes
import json
import os
import socket
import struct
import sys
import threading
import time

STREAMS = 4  # connections of a sink
SOURCE_BYTES = 64 << 20
DATAGRAM_BYTES = 200
CLIENTS = 32  # sockets of a flood, each a client with a session of its own
WINDOW = 8  # datagrams of a client that are under way
PATIENCE_US = 500_000  # an echo that takes longer is lost
MSG_WAITFORONE = 0x10000


def source(port):
    page = os.memfd_create("page")
    os.ftruncate(page, SOURCE_BYTES)
    os.pwrite(page, bytes(range(256)) * (SOURCE_BYTES // 256), 0)
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    while True:
        threading.Thread(target=send_without_end, args=(listener.accept()[0], page), daemon=True).start()


def send_without_end(connection, page):
    offset = 0
    try:
        while True:
            sent = os.sendfile(connection.fileno(), page, offset, SOURCE_BYTES - offset)
            offset = (offset + sent) % SOURCE_BYTES
    except OSError:
        connection.close()


def sink(port, seconds):
    counts = [0] * STREAMS
    connections = [socket.create_connection(("127.0.0.1", port), 5) for _ in counts]
    begun = time.monotonic()
    until = begun + seconds

    def take(place):
        buffer = bytearray(1 << 20)
        while time.monotonic() < until:
            taken = connections[place].recv_into(buffer, len(buffer), socket.MSG_TRUNC)
            if not taken:
                sys.exit("a stream ended before its time")
            counts[place] += taken

    threads = [threading.Thread(target=take, args=(place,)) for place in range(STREAMS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"bytes": sum(counts), "seconds": time.monotonic() - begun, "idle": counts.count(0)}))


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint32), ("iov", ctypes.POINTER(Iovec)),
                ("iov_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
                ("flags", ctypes.c_int), ("padding", ctypes.c_int), ("length", ctypes.c_uint32)]


class Batch:
    """Datagrams of one length that are received or sent with one call; all addresses are IPv4."""

    def __init__(self, count, with_names):
        self.count = count
        self.messages = (Message * count)()
        self.data = [ctypes.create_string_buffer(DATAGRAM_BYTES) for _ in range(count)]
        self.names = [ctypes.create_string_buffer(16) for _ in range(count)]
        self.vectors = [Iovec(ctypes.addressof(data), DATAGRAM_BYTES) for data in self.data]
        for message, vector, name in zip(self.messages, self.vectors, self.names):
            message.iov, message.iov_count = ctypes.pointer(vector), 1
            if with_names:
                message.name, message.name_length = ctypes.addressof(name), 16
        self.libc = ctypes.CDLL(None, use_errno=True)

    def receive(self, file):
        """Waits for one, and takes what else is there; how many, or 0 when the socket's patience is at its end."""
        return max(0, self.libc.recvmmsg(file, self.messages, self.count, MSG_WAITFORONE, None))

    def send(self, file, count):
        sent = 0
        while sent < count:
            done = self.libc.sendmmsg(file, ctypes.byref(self.messages, sent * ctypes.sizeof(Message)), count - sent, 0)
            if done <= 0:
                return sent
            sent += done
        return sent


def echo(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        server.bind(("127.0.0.1", port))
        batch = Batch(64, with_names=True)
        while True:
            batch.send(server.fileno(), batch.receive(server.fileno()))


def client(port):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.connect(("127.0.0.1", port))
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, PATIENCE_US))
    return one


def flood(port, seconds):
    sockets = [client(port) for _ in range(CLIENTS)]
    files = [one.fileno() for one in sockets]
    batch = Batch(WINDOW, with_names=False)
    echoes = lost = 0
    begun = time.monotonic()
    while time.monotonic() < begun + seconds:
        for file in files:
            batch.send(file, WINDOW)
        for file in files:
            due = WINDOW
            while due > 0:
                received = batch.receive(file)
                if received == 0:
                    lost += due
                    break
                due -= received
                echoes += received
    print(json.dumps({"echoes": echoes, "lost": lost, "seconds": time.monotonic() - begun}))
    for one in sockets:
        one.close()


if __name__ == "__main__":
    role, numbers = sys.argv[1], [int(text) for text in sys.argv[2:]]
    {"source": source, "sink": sink, "echo": echo, "flood": flood}[role](*numbers)
