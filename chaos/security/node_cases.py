"""A node that hands out its files, and requests that it must refuse; and nodes that hand out anything at all."""

from __future__ import annotations

import functools
import itertools
import json
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from chaos.security.case import Case, CaseResult
from chaos.security.honest import resident_bytes
from chaos.security.hostile_server import START_SECONDS, stop
from chaos.security.raw_peer import SECONDS, request, status_of
from tests.integration.processes import Process

TOKEN = "a-token-of-sixteen-or-more"
RUN = "20261122T073000Z"
FILE = f"/file?run={RUN}&client=client-1&name=0001-0001.jsonl"
_BEARER, _RANGE = f"Authorization: Bearer {TOKEN}", "Range: bytes=0-9"
OBSERVED_SECONDS = 2.5
MOST_BYTES, MOST_LINES = 300 * 2**20, 100


def make_files(folder: Path) -> None:
    """Write what a node hands out, and what it must not."""
    log, ledger = folder / "logs" / RUN / "client-1", folder / "ledger" / RUN
    for made in (log, ledger, folder / "logs" / RUN / "client-2", folder / "summary"):
        made.mkdir(parents=True)
    for path in (log / "0001-0001.jsonl", ledger / "aaaa.jsonl", folder / "secret.jsonl", folder / "summary/x.jsonl"):
        path.write_bytes(b"0123456789" * 100)
    (log / "notes.txt").write_bytes(b"x")
    (log / ".hidden.jsonl").write_bytes(b"x")
    (log / "folder.jsonl").mkdir()
    os.mkfifo(log / "pipe.jsonl")
    (log / "link.jsonl").symlink_to(folder / "secret.jsonl")
    (folder / "logs" / RUN / "client-3").symlink_to(log)
    (folder / "logs" / "20261123T000000Z").symlink_to(folder / "summary")


# ------------------------------------------------------------------------------------------ requests to a node


def cases() -> Iterator[Case]:
    """Yield the requests; the port is that of a node with the files of `make_files`."""
    for name, lines in _CREDENTIALS.items():
        for path in ("/node", f"/files?run={RUN}", FILE):
            yield _case("T2", f"node: {name} at {path[:6]}", ("401",), path, *lines, _RANGE)
    yield _case("T2", "node: the token in the address", ("401",), f"/node?token={TOKEN}", "X: y")
    for name, query in _NOT_HANDED_OUT.items():
        yield _case("T11", f"node: {name}", ("404",), f"/file?{query}", _BEARER, _RANGE)
    for run in _NO_RUNS:
        yield _case("T11", f"node: files of run {run[:20]!r}", ("404",), f"/files?run={quote(run)}", _BEARER)
    for name, line in _RANGES.items():
        yield _case("T8", f"node: {name}", ("416",), FILE, _BEARER, *line)
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"):
        yield _case("T8", f"node: {method}", ("405",), "/node", _BEARER, method=method)
    yield _case("T3", "node: a head of 100 KB", ("431", "400", ""), "/node", _BEARER, "X: " + "y" * 100_000)
    yield _case("T8", "node: two lengths", ("400", "200"), "/node", _BEARER, "Content-Length: 0", "Content-Length: 5")
    yield _case("T2", "node: the right token", ("200",), "/node", _BEARER)
    yield _case("T2", "node: a probe without a token", ("200",), "/healthz", "X: y")
    yield _case("T2", "node: a part of a file", ("206",), FILE, _BEARER, _RANGE)
    yield Case("T3", "node: 200 peers that say nothing", ("200",), _crowd)


_CREDENTIALS: dict[str, tuple[str, ...]] = {
    "no token": ("X: y",),
    "an empty token": ("Authorization: Bearer ",),
    "another token": ("Authorization: Bearer " + "x" * len(TOKEN),),
    "a part of the token": (f"Authorization: Bearer {TOKEN[:-1]}",),
    "more than the token": (f"Authorization: Bearer {TOKEN}x",),
    "the token in capitals": (f"Authorization: Bearer {TOKEN.upper()}",),
    "the token twice": (_BEARER, _BEARER),
    "the right token and a wrong one": (_BEARER, "Authorization: Bearer x"),
    "the token as a login": (f"Authorization: Basic {TOKEN}",),
    "the token without a scheme": (f"Authorization: {TOKEN}",),
    "the token in another header": (f"X-Authorization: Bearer {TOKEN}",),
    "a token that is not ASCII": ("Authorization: Bearer \xff\xfe",),
}
_NOT_HANDED_OUT = {
    "nothing": "",
    "a file above": f"run={RUN}&client=client-1&name=" + quote("../../../secret.jsonl", safe=""),
    "a file above, encoded twice": f"run={RUN}&client=client-1&name=" + quote(quote("../../../secret.jsonl", safe="")),
    "a client above": f"run={RUN}&client=..&name=secret.jsonl",
    "a client that is a path": f"run={RUN}&client=" + quote("../..", safe="") + "&name=secret.jsonl",
    "a run above": "run=..&client=logs&name=secret.jsonl",
    "a run that is a path": "run=" + quote("../summary", safe="") + "&name=x.jsonl",
    "an absolute path": f"run={RUN}&name=" + quote("/etc/passwd.jsonl", safe=""),
    "a zero byte": f"run={RUN}&client=client-1&name=0001-0001.jsonl%2500.jsonl",
    "another ending": f"run={RUN}&client=client-1&name=notes.txt",
    "a hidden file": f"run={RUN}&client=client-1&name=.hidden.jsonl",
    "a folder": f"run={RUN}&client=client-1&name=folder.jsonl",
    "a pipe": f"run={RUN}&client=client-1&name=pipe.jsonl",
    "a link": f"run={RUN}&client=client-1&name=link.jsonl",
    "a linked client": f"run={RUN}&client=client-3&name=0001-0001.jsonl",
    "a linked run": "run=20261123T000000Z&client=x&name=x.jsonl",
    "a client without files": f"run={RUN}&client=client-2&name=0001-0001.jsonl",
    "a name of 5,000 characters": f"run={RUN}&client=client-1&name={'x' * 5000}.jsonl",
    "a name that is not UTF-8": f"run={RUN}&client=client-1&name=%25FF.jsonl",
}
_NO_RUNS = "", "..", "../logs", f"{RUN}/..", "20261122T073000", "x" * 5000, "\0", "\u0660" * 8 + "T000000Z"
_RANGES: dict[str, tuple[str, ...]] = {
    "no range": (),
    "a suffix": ("Range: bytes=-5",),
    "two ranges": ("Range: bytes=0-1,3-4",),
    "a range behind the end": ("Range: bytes=1000-1009",),
    "a range at 10^15": ("Range: bytes=999999999999999-",),
    "a range of 20 digits": ("Range: bytes=99999999999999999999-",),
    "a range that ends before it begins": ("Range: bytes=5-1",),
    "a negative range": ("Range: bytes=--5",),
    "a range of letters": ("Range: bytes=a-b",),
    "another unit": ("Range: lines=0-5",),
    "an empty range": ("Range: bytes=",),
}


def _case(threat: str, name: str, expected: tuple[str, ...], path: str, *lines: str, method: str = "GET") -> Case:
    return Case(threat, name, expected, functools.partial(status_of, request(*lines, path=path, method=method)))


def _crowd(port: int) -> str:
    peers = [socket.create_connection(("127.0.0.1", port), SECONDS) for _ in range(200)]
    try:
        return status_of(request(_BEARER, path="/node"), port)
    finally:
        for peer in peers:
            peer.close()


# ------------------------------------------------------------------------------------------ nodes that break the rules

Pieces = Iterator[bytes]
Answer = Callable[[str], bytes | Pieces]
"""Returns what a node answers to the request of a path."""


class HostileNode(NamedTuple):
    """A node that breaks the rules."""

    threat: str
    name: str
    answer: Answer


def _http(body: bytes, status: str = "200 OK", *lines: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""])
    return head.encode("latin-1") + body


def _json(**fields: Any) -> bytes:
    return _http(json.dumps(fields).encode())


def _node(**changes: Any) -> bytes:
    return _json(**{"v": 1, "node": "host1", "folder": "f", "runs": [RUN], **changes})


def _endless(head: bytes, piece: bytes) -> Pieces:
    yield head
    while True:
        yield piece


def _always(reply: bytes) -> Answer:
    return lambda _path: reply


def _without_end(head: bytes, piece: bytes) -> Answer:
    return lambda _path: _endless(head, piece)


def _part(data: bytes, first: int = 0) -> bytes:
    return _http(data, "206 Partial Content", f"Content-Range: bytes {first}-{first + len(data) - 1}/1000000")


def _other_runs(number: int) -> list[str]:
    return [f"{RUN}-{number * 5000 + other}" for other in range(2, 5000)]


def _of_another_run(path: str) -> bytes:
    return _node() if path.startswith("/node") else _json(v=1, run=f"{RUN}-2", files=[])


def _with_files(*files: dict[str, Any]) -> Answer:
    """Return a node whose run has these files, each of a million bytes."""

    def answer(path: str) -> bytes:
        if path.startswith("/node"):
            return _node()
        if path.startswith("/files"):
            usual = {"name": "a.jsonl", "size": 10**6, "changed_ns": 1}
            return _json(v=1, run=RUN, files=[{**usual, **one} for one in files])
        return _part(b"x" * 1000)

    return answer


def _with_parts(reply: Callable[[str], bytes | Pieces]) -> Answer:
    usual = _with_files({})
    return lambda path: reply(path) if path.startswith("/file?") else usual(path)


def _ever_other(make: Callable[[int], bytes]) -> Answer:
    numbers = itertools.count()
    return lambda _path: make(next(numbers))


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: "
NODES: tuple[HostileNode, ...] = (
    HostileNode("T4", "says nothing", lambda _path: iter(())),
    HostileNode("T8", "speaks another protocol", _always(b"220 mail.example ESMTP\r\n")),
    HostileNode("T12", "has a status of control characters", _always(b"HTTP/1.1 200 \x1b[2J\x9b\xe2\x80\xae\r\n\r\n")),
    HostileNode("T6", "has a head without end", _without_end(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 1000 + b"\r\n")),
    HostileNode("T6", "has a status line without end", _without_end(b"HTTP/1.1 200 ", b"O" * 65_536)),
    HostileNode("T6", "continues without end", _without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100)),
    HostileNode("T6", "has a body without end", _without_end(b"HTTP/1.1 200 OK\r\n\r\n", b"[" * 65_536)),
    HostileNode("T6", "has chunks without end", _without_end(_CHUNKED, b"1000\r\n" + b" " * 4096 + b"\r\n")),
    HostileNode("T6", "has a chunk of 2^60 bytes", _without_end(_CHUNKED + b"1000000000000000\r\n", b" " * 65_536)),
    HostileNode("T6", "has a trailer without end", _without_end(_CHUNKED + b"0\r\n", b"A: b\r\n" * 100)),
    HostileNode("T6", "claims 2^62 bytes", _without_end(_LENGTH + b"4611686018427387904\r\n\r\n", b" " * 65_536)),
    HostileNode("T8", "claims -1 bytes", _always(_LENGTH + b"-1\r\n\r\n{}")),
    HostileNode("T8", "is nested 100,000 times", _always(_http(b"[" * 100_000))),
    HostileNode("T8", "has a number of 10,000 digits", _always(_http(b'{"v":' + b"1" * 10_000 + b"}"))),
    HostileNode("T8", "redirects to itself", _always(_http(b"", "302 Found", "Location: /node"))),
    HostileNode("T8", "compresses", _always(_http(b"\x1f\x8b" + bytes(50), "200 OK", "Content-Encoding: gzip"))),
    HostileNode("T17", "has 200,000 runs", _always(_node(runs=[f"{RUN}-{n}" for n in range(2, 200_000)]))),
    HostileNode("T17", "has ever other runs", _ever_other(lambda number: _node(runs=_other_runs(number)))),
    HostileNode("T11", "has a run that is a path", _always(_node(runs=["../../x"]))),
    HostileNode("T11", "has a run with a newline", _always(_node(runs=[RUN + "\n"]))),
    HostileNode("T11", "has a name of a megabyte", _always(_node(node="x" * 2**20))),
    HostileNode("T11", "has a name that is a path", _always(_node(node="../../../x"))),
    HostileNode("T12", "has a name of control characters", _always(_node(node="\x1b[2J\n"))),
    HostileNode("T11", "has ever other names", _ever_other(lambda n: _node(node=f"host-{n}"))),
    HostileNode("T17", "has 300,000 files", _with_files(*({"name": f"{n}.jsonl"} for n in range(300_000)))),
    HostileNode("T11", "has a file above", _with_files({"name": "..%2F..%2Fevil.jsonl"}, {"name": "../evil.jsonl"})),
    HostileNode("T11", "has an absolute path", _with_files({"name": "/tmp/evil.jsonl"})),
    HostileNode("T11", "has a client above", _with_files({"client": ".."}, {"client": "../.."})),
    HostileNode("T11", "has a file with a zero byte", _with_files({"name": "a%00.jsonl"})),
    HostileNode("T11", "has a name of 5,000 characters", _with_files({"name": "x" * 5000 + ".jsonl"})),
    HostileNode("T12", "has a file of control characters", _with_files({"name": "%1B%5B2J%0A%E2%80%AE.jsonl"})),
    HostileNode("T10", "has a file of 2^53 - 1 bytes", _with_files({"size": 2**53 - 1})),
    HostileNode("T10", "has a file of -1 bytes", _with_files({"size": -1})),
    HostileNode("T10", "has a file from before all time", _with_files({"changed_ns": -(10**30)})),
    HostileNode("T10", "has a file from after all time", _with_files({"changed_ns": 10**300})),
    HostileNode("T11", "has one file twice", _with_files({}, {}, {"client": "client-1"}, {"client": "client-1"})),
    HostileNode("T8", "has files of another run", _of_another_run),
    HostileNode("T6", "sends more than was asked for", _with_parts(_always(_part(b"x" * 2**21)))),
    HostileNode("T10", "sends another part", _with_parts(_always(_part(b"x", first=7)))),
    HostileNode("T8", "sends a part without a range", _with_parts(_always(_http(b"x" * 100)))),
    HostileNode("T17", "sends ever other bytes", _with_parts(_ever_other(lambda number: _part(b"%d" % number * 100)))),
    HostileNode("T4", "sends a part and stops", _with_parts(_always(_part(b"x" * 100)[:-50]))),
)  # fmt: skip


class _Serving:
    """A hostile node in threads of its own."""

    def __init__(self, answer: Answer) -> None:
        class Handler(socketserver.StreamRequestHandler):
            timeout = 20

            def handle(self) -> None:
                while (line := self.rfile.readline(65_536)) and b" " in line:
                    while self.rfile.readline(65_536) not in (b"\r\n", b""):
                        pass
                    reply = answer(line.split(b" ")[1].decode("latin-1"))
                    for piece in [reply] if isinstance(reply, bytes) else reply:
                        self.wfile.write(piece)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Do nothing: the collector has closed the connection."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def attempt(node: HostileNode, folder: Path) -> CaseResult:
    """Let a real collector pull from a hostile node; return whether it bears it."""
    (volumes := folder / "volumes").mkdir()
    (token := folder / "token").write_text(TOKEN, encoding="ascii")
    with _Serving(node.answer) as serving:
        settings = {"NODES": f"127.0.0.1:{serving.port}", "NODE_TOKEN_FILE": token, "PAGE_PORT": 0, "VOLUMES": volumes}
        with Process("services.collector", **settings) as collector:
            collector.wait_for_line('"ready"', START_SECONDS)
            time.sleep(OBSERVED_SECONDS)
            answer = _fault(collector, folder) or stop(collector)
    return CaseResult(node.threat, f"a node that {node.name}", "bears it", answer)


def _fault(collector: Process, folder: Path) -> str:
    if collector.code is not None:
        return f"ended with {collector.code}"
    if "Traceback" in collector.text:
        return "traceback"
    if (size := resident_bytes(collector.pid)) > MOST_BYTES:
        return f"{size >> 20} MB"
    allowed = {"ledger", "logs", "nodes", "summary"}
    outside = [path for path in folder.iterdir() if path.name not in ("volumes", "token")]
    outside += [path for path in (folder / "volumes").iterdir() if path.name not in allowed]
    if outside:
        return f"wrote {outside[0]}"
    if any(ord(character) < 32 for line in collector.lines for character in line):
        return "control characters in its log"
    return f"{len(collector.lines)} lines of its log" if len(collector.lines) > MOST_LINES else ""
