"""Clients that hold the addresses behind a name, as DNS gives them, and try a request again elsewhere when a connection
fails them: what browsers and libraries do with a GET. They say how often that was, and on which node."""

import http.client
import subprocess
import threading
import time

from processes import die_with_parent, wait_until

TRIES_MAX = 3  # of one request
KEPT_REQUESTS = 20  # on one connection, so that clients come back to a node that does
TIMEOUT_S = 10
BROKEN = (OSError, http.client.HTTPException)


class Connection:
    """To one address. `node` is who answers there: known beforehand, or from the first answer (`X-Node`)."""

    def __init__(self, address, port, node, source):
        self.node, self.requests = node, 0
        self.http = http.client.HTTPConnection(address, port, TIMEOUT_S, (source, 0))

    def ask(self):
        """The status of an answer that is whole."""
        self.requests += 1
        self.http.request("GET", "/1k", headers={"Host": "bench.test"})
        answer = self.http.getresponse()
        self.node = answer.headers["x-node"] or self.node
        answer.read()
        return answer.status


class Client:
    """Asks again and again, first at the address that it prefers."""

    def __init__(self, addresses, port, prefers, nodes, source):
        self.addresses, self.port, self.prefers = addresses, port, prefers
        self.nodes, self.source = nodes, source
        self.answered, self.broken, self.micros = {}, {}, []
        self.again = self.status = self.given_up = 0

    def run(self, goes_on):
        connection = None
        while goes_on():
            begun = time.perf_counter()
            connection = self.request(connection)
            self.micros.append((time.perf_counter() - begun) * 1e6)

    def request(self, connection):
        if connection and connection.requests >= KEPT_REQUESTS:
            connection.http.close()
            connection = None
        for tried in range(TRIES_MAX):
            self.again += tried > 0
            connection = connection or self.connect(self.prefers + tried)
            try:
                status = connection.ask()
            except BROKEN:
                self.broken[connection.node] = self.broken.get(connection.node, 0) + 1
                connection.http.close()
                connection = None
                continue
            self.answered[connection.node] = self.answered.get(connection.node, 0) + 1
            self.status += status != 200
            return connection
        self.given_up += 1
        return None

    def connect(self, number):
        address = self.addresses[number % len(self.addresses)]
        return Connection(address, self.port, address if address in self.nodes else None, self.source)


class Retrying:
    """Many such clients, until they are counted; `survivor` is the node at which no connection may break."""

    def __init__(self, addresses, port, nodes, survivor, clients=8, source="127.0.3.1"):
        self.begun, self.counted, self.survivor = time.monotonic(), threading.Event(), survivor
        self.clients = [Client(addresses, port, number, nodes, source) for number in range(clients)]
        self.threads = [threading.Thread(target=client.run, args=(self.goes_on,), daemon=True)
                        for client in self.clients]
        for thread in self.threads:
            thread.start()

    def goes_on(self):
        return not self.counted.is_set()

    def answered(self, node=None):
        """Answers so far, of one node or of all."""
        counts = [dict(client.answered) for client in self.clients]
        return sum(count.get(node, 0) if node else sum(count.values()) for count in counts)

    def wait_for(self, count, node=None):
        """Waits for so many more answers."""
        wanted = self.answered(node) + count
        wait_until(lambda: self.answered(node) >= wanted, f"{count} answers of {node or 'anybody'}")

    def counts(self):
        self.counted.set()
        for thread in self.threads:
            thread.join()
        micros = sorted(value for client in self.clients for value in client.micros)
        return {
            "requests": self.answered(), "seconds": time.monotonic() - self.begun,
            "p99_us": micros[int(len(micros) * 0.99)] if micros else 0,
            "again": sum(client.again for client in self.clients),
            "status": sum(client.status for client in self.clients),
            "given up": sum(client.given_up for client in self.clients),
            "broken at the survivor": sum(client.broken.get(self.survivor, 0) for client in self.clients),
        }


class Curl:
    """curl in a loop until it is counted: it tries all addresses of a name, and again after a reset."""

    def __init__(self, addresses, port):
        self.begun, self.counted = time.monotonic(), threading.Event()
        self.command = ["curl", "--silent", "--show-error", "--fail", "--max-time", str(TIMEOUT_S),
                        "--resolve", f"bench.test:{port}:{','.join(addresses)}", "--interface", "127.0.3.2",
                        "--retry", str(TRIES_MAX - 1), "--retry-all-errors", "--output", "/dev/null",
                        f"http://bench.test:{port}/1k"]
        self.requests = self.given_up = 0
        self.micros, self.says = [], ""
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def goes_on(self):
        return not self.counted.is_set()

    def run(self):
        while self.goes_on():
            begun = time.perf_counter()
            done = subprocess.run(self.command, capture_output=True, text=True, check=False,
                                  preexec_fn=die_with_parent)
            self.micros.append((time.perf_counter() - begun) * 1e6)
            if done.returncode:
                self.given_up += 1
                self.says = done.stderr.strip()
            else:
                self.requests += 1

    def counts(self):
        self.counted.set()
        self.thread.join()
        if self.says:
            print(f"curl: {self.says}")
        return {"requests": self.requests, "seconds": time.monotonic() - self.begun,
                "p99_us": sorted(self.micros)[int(len(self.micros) * 0.99)], "given up": self.given_up}
