"""Starts processes, measures what they cost, and ends every one of them by its id.

CPU time is the sum of `/proc/PID/task/*/schedstat` (nanoseconds on a processor, user and system together) over all
processes of a server: `utime` and `stime` would give the same in ticks of 10 ms. Memory is PSS, so that pages shared
by the workers of one server count once.
"""

import atexit
import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)
running = []


class Failure(Exception):
    """A measurement or a check that cannot be trusted or did not hold."""


class Process:
    """A child, with all its descendants."""

    def __init__(self, name, command, log, env=None):
        self.name, self.log = name, Path(log)
        with open(log, "ab") as out:
            self.child = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={**os.environ, **(env or {})}, preexec_fn=die_with_parent, start_new_session=True)
        running.append(self)

    @property
    def pid(self):
        return self.child.pid

    def pids(self):
        return tree(self.pid)

    def cpu_ns(self):
        return sum(cpu_ns(pid) for pid in self.pids())

    def pss_bytes(self):
        return sum(pss_bytes(pid) for pid in self.pids())

    def alive(self):
        return self.child.poll() is None

    def signal(self, number):
        self.child.send_signal(number)

    def stop(self, wait=5):
        """SIGTERM, then SIGKILL to what is left of the family, each by its id."""
        if self in running:
            running.remove(self)
        family = self.pids()
        if self.alive():
            self.child.terminate()
            try:
                self.child.wait(wait)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        for pid in family[1:]:
            if parent_of(pid) is not None and pid in own_descendants:
                kill(pid)

    def tail(self, lines=15):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


own_descendants = set()


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def parent_of(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])


def tree(root):
    """A process and its descendants, the root first."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            parent = parent_of(entry)
            if parent is not None:
                children.setdefault(parent, []).append(int(entry))
    family, unseen = [], [root]
    while unseen:
        pid = unseen.pop()
        family.append(pid)
        unseen += children.get(pid, [])
    own_descendants.update(family)
    return family


def cpu_ns(pid):
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    except OSError:  # it ended in between
        pass
    return total


def pss_bytes(pid):
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def free_port(host="127.0.0.1"):
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def wait_until(holds, what, seconds=15, process=None):
    deadline = time.monotonic() + seconds
    while not holds():
        if process is not None and not process.alive():
            raise Failure(f"{process.name} ended while waiting for {what}:\n{process.tail()}")
        if time.monotonic() > deadline:
            raise Failure(f"gave up waiting for {what} after {seconds} s"
                          + (f":\n{process.tail()}" if process else ""))
        time.sleep(0.02)


def accepts(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), 0.5).close()
        return True
    except OSError:
        return False


def raise_open_files(wanted=65_536):
    """As many open files as we may have, up to `wanted`; children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (wanted, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            return limit
        except (ValueError, OSError):
            continue
    return soft


def stop_all():
    for process in reversed(list(running)):
        process.stop()


def on_signal(number, _frame):
    sys.exit(128 + number)


atexit.register(stop_all)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, on_signal)
