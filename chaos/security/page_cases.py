"""What a browser, a page of another site or a program may ask the page for, with the right answers."""

from __future__ import annotations

import functools
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from chaos.security.case import Case
from chaos.security.raw_peer import SECONDS, request, status_of

PLAIN = ("X: y",)
_JSON = "Content-Type: application/json"
_OWN = "Origin: http://localhost"
_OTHER_HOSTS = (
    "evil.example", "localhost.", "localhost.evil.example", "127.1", "0.0.0.0", "2130706433", "127.0.0.1.", "%6c", " ",
    "evil.example:8766", "localhost@evil.example", "localhost:8766:1", "[::ffff:127.0.0.1]",
)  # fmt: skip
_NO_REQUESTS = (
    b"", b"null", b"[]", b"{", b'{"set":{}}', b'{"set":{"rate":-1}}', b'{"set":{"rate":1e300}}', b"\xff", b"[" * 1000,
    b'{"do":"drop"}', b'{"do":"x"}', b'{"do":"status","set":{"rate":1}}', b'{"do":"pause","client":"a"}',
    b'{"do":"drop","client":"../x"}', b'{"do":"status","x":1}', b'{"set":{"rate":5e-324}}',
)  # fmt: skip
_REPORTS_AT_ONCE, _IDLE = 100, 300


def cases() -> Iterator[Case]:
    """Yield all cases; the port is that of a page that shows a run."""
    yield from _hosts()
    yield from _sites()
    yield from _control_requests()
    yield from _paths()
    yield from _requests()
    yield Case("T3", f"page: {_REPORTS_AT_ONCE} requests for the report at once", ("answered",), ask_for_reports)
    yield Case("T4", f"page: {_IDLE} peers that say nothing", ("200",), _crowd)
    yield Case("T5", "page: 64 peers that do not read", ("200",), _deaf)
    yield Case("T4", "page: half a request", ("closed in time",), functools.partial(_waits, b"GET / HTTP/1.1\r\nHo"))
    yield Case("T4", "page: no request", ("closed in time",), functools.partial(_waits, b""))


def _case(threat: str, name: str, expected: str, opening: bytes) -> Case:
    return Case(threat, f"page: {name}", tuple(expected.split(" or ")), functools.partial(status_of, opening))


def _hosts() -> Iterator[Case]:
    for host in ("localhost", "127.0.0.1", "[::1]", "collector", "LOCALHOST", "localhost:1", "127.0.0.1:8766"):
        yield _case("T1", f"Host {host!r}", "200", request(*PLAIN, host=host))
    for host in _OTHER_HOSTS:
        yield _case("T1", f"Host {host!r}", "421 or 400", request(*PLAIN, host=host))
    yield _case("T1", "no Host", "421 or 400", request(*PLAIN, host=""))
    yield _case("T1", "two Hosts", "400", request("Host: evil.example"))
    yield _case("T1", "an absolute address", "421 or 404 or 400", request(*PLAIN, path="http://evil.example/"))


def _sites() -> Iterator[Case]:
    for path in ("/", "/summary.json", "/report.html", "/events", "/metrics", "/control", "/messages"):
        yield _case("T1", f"{path} from another site", "403", request("Sec-Fetch-Site: cross-site", path=path))
    link = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
    yield _case("T1", "a link on another site", "200", request(*link))
    yield _case("T1", "a link on another site to the report", "403", request(*link, path="/report.html"))
    yield _case("T1", "a frame on another site", "403", request(*link[:2], "Sec-Fetch-Dest: iframe"))
    yield Case("T14", "page: number of lines of metrics", ("bounded",), _metrics)
    for name, line in {
        "no sniffing": "x-content-type-options: nosniff", "no embedding": "cross-origin-resource-policy: same-origin",
        "no frames": "frame-ancestors 'none'", "no scripts of others": "default-src 'none'",
    }.items():  # fmt: skip
        yield Case("T13", f"page: {name}", ("stated",), functools.partial(_states, line))


def _control_requests() -> Iterator[Case]:
    good = json.dumps({"set": {"rate": 5}}).encode()
    for name, lines in {
        "no Origin": (_JSON,), "Origin null": (_JSON, "Origin: null"), "another port": (_JSON, _OWN + ":1"),
        "another site": (_JSON, "Origin: http://evil.example"), "a longer name": (_JSON, _OWN + ".evil.example"),
        "another scheme": (_JSON, "Origin: file://localhost"), "two names": (_JSON, _OWN + " http://evil.example"),
        "a site of the same site": (_JSON, _OWN, "Sec-Fetch-Site: cross-site"),
    }.items():  # fmt: skip
        yield _case("T1", f"a control request of {name}", "403", _post(good, *lines))
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", ""):
        yield _case("T1", f"a control request as {kind!r}", "415", _post(good, _OWN, f"Content-Type: {kind}"))
    for body in _NO_REQUESTS:
        yield _case("T8", f"a control request {body[:24]!r}", "400", _post(body, _OWN, _JSON))
    yield _case("T6", "a control request of 5,000 bytes", "413", _post(b" " * 5000 + good, _OWN, _JSON))
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"):
        yield _case("T1", f"{method} of a control request", "405", request(_JSON, _OWN, path="/control", method=method))


def _post(body: bytes, *lines: str) -> bytes:
    return request(*lines, f"Content-Length: {len(body)}", path="/control", method="POST") + body


def _paths() -> Iterator[Case]:
    for path in ("/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/ledger/control.token", "/static/../server.py",
                 "/summary.json/..", "//evil.example", "/\\evil", "/.env", "/logs/", "/ledger/control.token", "/docs",
                 "/openapi.json", "/favicon.ico/../x", "/report.html%00.png"):  # fmt: skip
        yield _case("T11", f"path {path!r}", "404", request(*PLAIN, path=path))
    for query in ("", "run=..&client=x&file=y&block=1", "run=20261122T073000Z&client=../..&file=a.jsonl&block=1",
                  "run=20261122T073000Z&client=client-1&block=1&file=" + quote("../../../etc/passwd", safe=""),
                  "client=client-1&block=9999999999999999999999&session=1", "block=-1", "block=1e9",
                  "client=" + "a" * 3000 + "&block=1"):  # fmt: skip
        yield _case("T11", f"messages of {query[:50]!r}", "400 or 404", request(*PLAIN, path=f"/messages?{query}"))


def _requests() -> Iterator[Case]:
    yield _case("T8", "junk", "400 or ", b"\x16\x03\x01\x02\0\x01" + bytes(50) + b"\r\n\r\n")
    yield _case("T8", "HTTP/0.9", "400 or ", b"GET /\r\n\r\n")
    yield _case("T8", "HTTP/2", "400 or 505 or 421 or ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    yield _case("T6", "a head of 100 KB", "400 or 431 or ", request("X: " + "y" * 100_000))
    many = (f"X-{number}: {'y' * 20}" for number in range(1000))
    yield _case("T6", "1,000 header lines", "400 or 431 or ", request(*many))
    yield _case("T6", "a path of 100 KB", "400 or 414 or ", request(*PLAIN, path="/" + "a" * 100_000))
    both = request("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n"
    yield _case("T8", "a length and chunks", "400 or 200", both)
    yield _case("T8", "two lengths", "400 or 200", request("Content-Length: 0", "Content-Length: 9"))
    yield _case("T8", "a folded header", "400 or 200", request("X: a\r\n b"))
    yield _case("T8", "a header with a zero byte", "400", request("X: a\0b"))
    yield _case("T8", "an upgrade", "200 or 400", request("Upgrade: websocket", "Connection: Upgrade"))


def _states(line: str, port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), SECONDS) as peer:
        peer.sendall(request(*PLAIN))
        head = peer.recv(65_536).partition(b"\r\n\r\n")[0].decode("latin-1").lower()
    return "stated" if line in head else head


def _metrics(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), SECONDS) as peer:
        peer.sendall(request("Connection: close", path="/metrics"))
        text = b"".join(iter(lambda: peer.recv(65_536), b""))
    return "bounded" if b"200 OK" in text and 50 < text.count(b"\n") < 2000 else f"{len(text)} bytes"


def ask_for_reports(port: int) -> str:
    """Ask for the report many times at once; return "answered" if it was sent, and every refusal was a right one."""
    opening = request(*PLAIN, path="/report.html")
    with ThreadPoolExecutor(_REPORTS_AT_ONCE) as pool:
        found = set(pool.map(lambda _: _patient_status(opening, port), range(_REPORTS_AT_ONCE)))
    return "answered" if "200" in found and found <= {"200", "503", ""} else f"{sorted(found)}"


def _patient_status(opening: bytes, port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), 60) as peer:
        try:
            peer.sendall(opening)
            head = peer.recv(100)
            while peer.recv(2**20):
                pass
        except OSError:
            return ""
    return head.split(b" ")[1].decode("ascii")


def _crowd(port: int) -> str:
    peers = [socket.create_connection(("127.0.0.1", port), SECONDS) for _ in range(_IDLE)]
    try:
        return status_of(request(*PLAIN, path="/healthz"), port)
    finally:
        for peer in peers:
            peer.close()


def _deaf(port: int) -> str:
    peers = [socket.create_connection(("127.0.0.1", port), SECONDS) for _ in range(64)]
    try:
        for peer in peers:
            peer.sendall(request(*PLAIN, path="/report.html") * 3)
        return status_of(request(*PLAIN, path="/healthz"), port)
    finally:
        for peer in peers:
            peer.close()


def _waits(data: bytes, port: int) -> str:
    until = time.monotonic() + 30
    with socket.create_connection(("127.0.0.1", port), 30) as peer:
        peer.sendall(data)
        try:
            while peer.recv(4096):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return "open"
    return "closed in time" if time.monotonic() < until else "open"
