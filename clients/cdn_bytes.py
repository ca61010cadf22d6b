"""Bodies of which every byte is known, and the check that an answer has these and no others.

A byte follows from the URL, the version, what `Vary` chose, and its place. The head says which body it belongs to (`X-Body`), so
that a head with another's body, a mixed, shifted or torn one is found wherever it came from.
"""

import functools
import hashlib
import re
from dataclasses import dataclass

from wire import Response

PAGE = 4096


@dataclass(frozen=True)
class Body:
    """One version of what is at a path, for one choice of what varies."""

    path: str
    version: int
    size: int
    variant: str = ""

    def bytes(self, start=0, stop=None):
        stop = self.size if stop is None else min(stop, self.size)
        pages = b"".join(page(self.path, self.version, self.variant, at) for at in range(start // PAGE, -(-stop // PAGE)))
        first = start // PAGE * PAGE
        return pages[start - first:stop - first]

    @property
    def told(self):
        """The value of `X-Body`."""
        return f"{self.version};{self.size};{self.variant}"

    @classmethod
    def of(cls, path, told):
        version, size, variant = told.split(";", 2)
        return cls(path, int(version), int(size), variant)


@functools.lru_cache(4096)
def page(path, version, variant, at):
    return hashlib.shake_128(f"{path}|{version}|{variant}|{at}".encode()).digest(PAGE)


class Wrong(AssertionError):
    """An answer with a byte that is not the one that belongs there."""


@dataclass
class Got:
    """An answer that was checked. `whole` says whether its end was seen; what there is of it is right either way."""

    response: Response
    whole: bool
    body: Body | None

    @property
    def status(self):
        return self.response.status

    @property
    def version(self):
        return self.body and self.body.version

    @property
    def age(self):
        return int(self.response.get("age", 0))


def checked(path, response, method="GET", whole=True):
    """The answer, if its bytes are those that its head says. Raises `Wrong`."""
    told = response.all("x-body")
    if len(told) > 1:
        raise Wrong(f"{path}: two bodies' heads in one: {told}")
    if not told and response.status in (200, 206):
        raise Wrong(f"{path}: {response.status} without the origin's own field: {response.headers}")
    body = Body.of(path, told[0]) if told else None
    if body:
        try:
            check(body, response, method, whole)
        except Wrong as wrong:
            raise Wrong(f"{wrong}\nin answer to {method}: {response.status} {response.headers}") from None
    return Got(response, whole, body)


def check(body, response, method, whole):
    length = response.get("content-length")
    if method == "HEAD":
        if length is not None and response.status == 200 and int(length) != body.size:
            raise Wrong(f"HEAD says {length} bytes of {body}")
    elif response.status == 206 and response.get("content-type", "").startswith("multipart/byteranges"):
        check_parts(body, response, whole)
    elif response.status == 206:
        same(body, response.body, *place(body, response.get("content-range")), whole)
    elif response.status == 200:
        same(body, response.body, 0, body.size, whole)


def place(body, value):
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", value or "")
    if not found or int(found[3]) != body.size or not int(found[1]) <= int(found[2]) < body.size:
        raise Wrong(f"Content-Range: {value!r} of {body}")
    return int(found[1]), int(found[2]) + 1


def check_parts(body, response, whole):
    if not whole:
        return
    boundary = re.search(r'boundary="?([^";]+)', response.get("content-type"))[1].encode()
    parts = (b"\r\n" + response.body).split(b"\r\n--" + boundary)
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise Wrong(f"multipart without an end: {response.body[-80:]!r}")
    for part in parts[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        start, stop = place(body, re.search(rb"(?i)content-range: *([^\r]*)", head)[1].decode())
        same(body, data, start, stop, True)


def same(body, got, start, stop, whole):
    wanted = body.bytes(start, stop)
    if got == wanted or (not whole and wanted.startswith(got)):
        return
    first = next((at for at, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
    raise Wrong(f"{body}: {len(got)} bytes for {start}..{stop}, wrong from byte {start + first} on{whose(body, got, start, first)}")


def whose(body, got, start, first):
    """What the wrong bytes are, where that can be told."""
    sample = got[first:first + 64]
    if not sample:
        return " (too few)"
    for version in range(max(1, body.version - 20), body.version + 20):
        other = Body(body.path, version, max(body.size, start + first + len(sample)), body.variant)
        if other.bytes(start + first, start + first + len(sample)) == sample:
            return f" (they are of version {version})" if version != body.version else " (too many)"
        at = other.bytes().find(sample)
        if at >= 0:
            return f" (they are those from byte {at} on, of version {version})"
    return f": {sample[:16].hex()}"
