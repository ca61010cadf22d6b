"""The real clients behind one face: make these requests, say what came back and how many connections it took."""

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import requests

JS = Path(__file__).parent / "js"


@dataclass
class Wish:
    """A request. `file` is sent as the body; in chunks, or with its length."""

    url: str
    method: str = "GET"
    headers: dict = field(default_factory=dict)
    body: bytes | None = None
    file: Path | None = None
    chunked: bool = False


@dataclass
class Answer:
    """What came back; `body` only when it is small."""

    status: int
    headers: dict
    length: int
    sha256: str
    body: bytes | None

    @property
    def json(self):
        return json.loads(self.body)


def answer(status, headers, parts):
    total, length, kept = hashlib.sha256(), 0, b""
    for part in parts:
        total.update(part)
        length += len(part)
        if length <= 65_536:
            kept += part
    headers = {name.lower(): value for name, value in headers}
    return Answer(status, headers, length, total.hexdigest(), kept if length <= 65_536 else None)


def curl(wishes, folder):
    command = ["curl", "--silent", "--show-error", "--http1.1", "--max-time", "60"]
    for number, wish in enumerate(wishes):
        if number:
            command += ["--next", "--silent", "--show-error", "--http1.1", "--max-time", "60"]
        command += [wish.url, "-o", f"{folder}/body-{number}", "-D", f"{folder}/head-{number}", "-H", "Expect:",
                    "-w", "%{http_code} %{num_connects}\\n"]
        command += ["--head"] if wish.method == "HEAD" else ["-X", wish.method]
        for name, value in wish.headers.items():
            command += ["-H", f"{name}: {value}"]
        if wish.file or wish.body is not None:
            source = wish.file or Path(folder) / f"wish-{number}"
            if not wish.file:
                source.write_bytes(wish.body)
            command += ["-H", "Transfer-Encoding: chunked"] if wish.chunked else []
            command += ["-T", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers, connections = [], 0
    for number, line in enumerate(done.stdout.split("\n")[:len(wishes)]):
        status, connects = map(int, line.split())
        connections += connects
        body = Path(folder) / f"body-{number}"
        raw = body.read_bytes() if body.exists() and wishes[number].method != "HEAD" else b""
        lines = (Path(folder) / f"head-{number}").read_text("latin-1").splitlines()
        headers = [line.split(": ", 1) for line in lines if ": " in line]
        answers.append(answer(status, headers, [raw]))
    return answers, connections


def with_requests(wishes, _folder):
    answers = []
    with requests.Session() as session:
        for wish in wishes:
            body = content(wish)
            with session.request(wish.method, wish.url, headers=wish.headers, data=body, stream=True, timeout=60,
                                 allow_redirects=False) as got:
                raw = got.raw.stream(65_536, decode_content=False)
                answers.append(answer(got.status_code, got.headers.items(), raw))
        pools = session.adapters["http://"].poolmanager.pools
        connections = sum(pools[key].num_connections for key in pools.keys())
    return answers, connections


def with_httpx(wishes, _folder):
    answers, ports = [], set()
    with httpx.Client(timeout=60) as client:
        for wish in wishes:
            body = content(wish)
            headers = dict(wish.headers)
            if wish.file and not wish.chunked:
                headers["Content-Length"] = str(wish.file.stat().st_size)
            with client.stream(wish.method, wish.url, headers=headers, content=body) as got:
                ports.add(got.extensions["network_stream"].get_extra_info("client_addr"))
                answers.append(answer(got.status_code, got.headers.multi_items(), got.iter_raw()))
    return answers, len(ports)


def content(wish):
    """A body for Python's clients: a file is sent with its length, a generator in chunks."""
    if wish.chunked:
        return pieces(wish.file.open("rb")) if wish.file else iter([wish.body])
    return wish.file.open("rb") if wish.file else wish.body


def pieces(file):
    with file:
        while part := file.read(65_536):
            yield part


def undici(wishes, folder):
    listed = []
    for number, wish in enumerate(wishes):
        file = wish.file
        if file is None and wish.chunked:
            file = Path(folder) / f"wish-{number}"
            file.write_bytes(wish.body)
        headers = dict(wish.headers)
        if file and not wish.chunked:
            headers["content-length"] = str(file.stat().st_size)
        body = wish.body.decode("latin-1") if wish.body is not None and not file else None
        listed.append({"url": wish.url, "method": wish.method, "headers": headers, "body": body,
                       "file": str(file) if file else None})
    done = subprocess.run(["node", JS / "fetch.mjs"], input=json.dumps(listed), capture_output=True, text=True,
                          env=os.environ, timeout=80, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    answers = [Answer(one["status"], one["headers"], one["length"], one["sha256"],
                      None if one["body"] is None else one["body"].encode("latin-1")) for one in result["answers"]]
    return answers, result["connections"]


PROGRAMS = {"curl": curl, "requests": with_requests, "httpx": with_httpx, "undici": undici}
