"""Opening requests, WebSocket frames, JSON and orders of frames that a peer may try, with the right answers."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator

from chaos.security.case import Case
from chaos.security.raw_peer import BINARY, CLOSE, PING, PONG, TEXT, UPGRADE, RawPeer, frame, message, request

BAD = "error:malformed 4400"
OPEN = "open"
OBSERVE = message("subscribe", client="case", observe=True)


def cases() -> Iterator[Case]:
    """Yield all cases of this module."""
    yield from _requests()
    yield from _frames()
    yield from _texts()
    yield from _talks()


def _status(opening: bytes, port: int) -> str:
    with RawPeer(port, opening) as peer:
        return peer.status


def _outcome(data: bytes, port: int) -> str:
    with RawPeer(port) as peer:
        peer.send(data)
        return peer.outcome()


def _requests() -> Iterator[Case]:
    for threat, name, expected, opening in _opening_requests():
        yield Case(threat, name, expected, functools.partial(_status, opening))


def _opening_requests() -> Iterator[tuple[str, str, tuple[str, ...], bytes]]:
    yield from _origins_and_hosts()
    yield from _malformed_requests()
    yield from _large_requests()


def _origins_and_hosts() -> Iterator[tuple[str, str, tuple[str, ...], bytes]]:
    for origin in ("http://evil.example", "null", "http://localhost", "http://127.0.0.1:8765", "", "https://localhost"):
        yield "T1", f"Origin {origin!r}", ("403",), request(*UPGRADE, f"Origin: {origin}")
    yield "T1", "two Origins", ("400", "403"), request(*UPGRADE, "Origin: http://a", "Origin: http://b")
    for path in ("/healthz", "/metrics", "/metrics?x=1"):
        for host in ("evil.example", "evil.example:8765", "localhost.", "127.0.0.1.nip.io", ":8765"):
            yield "T1", f"{path} for Host {host!r}", ("421",), request("X: y", path=path, host=host)
        for host in ("localhost", "127.0.0.1:8765", "[::1]:8765", "server"):
            yield "T1", f"{path} for Host {host!r}", ("200",), request("X: y", path=path, host=host)
        yield "T1", f"{path} without Host", ("400",), request("X: y", path=path, host="")
    yield "T1", "an upgrade without Host", ("400",), request(host="")
    yield "T1", "an upgrade with two Hosts", ("400",), request(*UPGRADE, "Host: evil.example")


def _malformed_requests() -> Iterator[tuple[str, str, tuple[str, ...], bytes]]:
    for path in ("http://[", "//[", "*", "/" + "a" * 500, "/../../etc/passwd", "/%00", "http://[::1]:x/"):
        yield "T8", f"an upgrade at {path[:20]!r}", ("101",), request(path=path)
        yield "T8", f"a page at {path[:20]!r}", ("426",), request("X: y", path=path)
    for method in ("POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "G\u00c9T"):
        yield "T8", f"method {method}", ("", "405"), request(method=method)
    for index, line in enumerate(UPGRADE):
        others = [other for other in UPGRADE if other != line]
        yield "T8", f"without {line.partition(':')[0]}", ("400", "426"), request(*others)
        yield "T8", f"two of {line.partition(':')[0]}", ("400", "426", "101"), request(*UPGRADE, line)
        wrong = [*UPGRADE[:index], line.partition(":")[0] + ": nonsense", *UPGRADE[index + 1 :]]
        yield "T8", f"nonsense as {line.partition(':')[0]}", ("400", "426"), request(*wrong)


def _large_requests() -> Iterator[tuple[str, str, tuple[str, ...], bytes]]:
    for count, expected in ((20, "101"), (40, "431"), (200, "431"), (2000, "431")):
        yield "T3", f"{count} header lines", (expected,), request(*UPGRADE, *(f"X-{n}: y" for n in range(count)))
    for size, expected in ((900, "101"), (1100, "431"), (8000, "431"), (100_000, "431")):
        yield "T3", f"a header line of {size} bytes", (expected,), request(*UPGRADE, "X: " + "y" * size)
    yield "T3", "a path of 100,000 bytes", ("414",), request(path="/" + "a" * 100_000)
    fat = [f"Authorization: {'x' * 7900}"] * 120
    yield "T3", "a megabyte of Authorization", ("431",), request(*UPGRADE, *fat)
    yield "T2", "two Authorizations", ("101",), request(*UPGRADE, "Authorization: Bearer a", "Authorization: Bearer b")
    yield "T7", "deflate is offered", ("101",), request(*UPGRADE, "Sec-WebSocket-Extensions: permessage-deflate")
    for junk in (b"\0" * 100, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"SSH-2.0-x\r\n", b"GET /\r\n\r\n"):
        yield "T8", f"no HTTP: {junk[:8]!r}", ("", "400"), junk + b"\r\n\r\n"


def _frames() -> Iterator[Case]:
    yield from _control_frames()
    yield from _messages()


def _control_frames() -> Iterator[Case]:
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield _case("T8", f"opcode {opcode}", "1002", frame("", opcode))
    for bits in range(1, 8):
        for opcode in (TEXT, PING):
            yield _case(
                "T7", f"reserved bits {bits} with opcode {opcode}", "1002", frame("{}", opcode, first=0x80 | bits << 4)
            )
    for opcode in (TEXT, BINARY, PING, PONG, CLOSE):
        yield _case("T8", f"opcode {opcode} unmasked", "1002", frame("x", opcode, masked=False))
    for opcode in (CLOSE, PING, PONG):
        yield _case("T6", f"opcode {opcode} with 126 bytes", "1002", frame("x" * 126, opcode))
        yield _case("T6", f"opcode {opcode} in fragments", "1002", frame("", opcode, first=0))
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535):
        yield _case("T8", f"close code {code}", "1002", frame(code.to_bytes(2), CLOSE))
    for code in (1000, 1001, 1008, 3000, 4999):
        yield _case("T8", f"close code {code}", str(code), frame(code.to_bytes(2), CLOSE))
    yield _case("T8", "a close of one byte", "1002", frame(b"\x03", CLOSE))
    yield _case("T8", "a close whose reason is not UTF-8", "1007", frame(b"\x03\xe8\xff", CLOSE))


def _messages() -> Iterator[Case]:
    yield _case("T8", "a continuation of nothing", "1002", frame("x", 0))
    yield _case("T8", "a message within a message", "1002", frame("{", first=0) + frame("{}"))
    yield _case("T8", "a frame in two fragments", OPEN, frame('{"type":"bye"', first=0) + frame("}", 0))
    yield _case(
        "T8", "a ping between fragments", OPEN, frame('{"type":', first=0) + frame("", PING) + frame('"bye"}', 0)
    )
    for count in (1000, 5000, 100_000):
        yield _case("T6", f"{count:,} empty fragments", "1009", frame("", first=0) + frame("", 0, first=0) * count)
    yield _case("T6", "60,000 fragments of a byte", "1009", frame("x", first=0) + frame("x", 0, first=0) * 60_000)
    for size in (65_537, 200_000):
        yield _case("T6", f"a message of {size:,} bytes", "1009", frame("x" * size))
    yield _case("T6", "a frame that claims 2^62 bytes", "1009", b"\x81\xff" + (2**62).to_bytes(8) + bytes(4))
    yield _case("T6", "a frame that claims 2^63 bytes", "1009 or 1002", b"\x81\xff" + (2**63).to_bytes(8) + bytes(4))
    for data in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"):
        yield _case("T8", f"text {data!r}", "1007", frame(data))
        inside = b'{"type":"bye","x":"' + data + b'"}'
        yield _case("T8", f"text {data!r} in a field that is ignored", "1007", frame(inside))
    for data in (b"", b"\0", b'{"type":"bye"}', b"\xff" * 1000):
        yield _case("T8", f"a binary message {data[:14]!r}", BAD, frame(data, BINARY))


def _case(threat: str, name: str, expected: str, data: bytes) -> Case:
    return Case(threat, name, tuple(expected.split(" or ")), functools.partial(_outcome, data))


def _texts() -> Iterator[Case]:
    deep = 5000
    for text in (
        "", " ", "hello", "null", "true", "1", '"subscribe"', "[]", "[[]]", "{", "}", "{}", "{]", '{"type"}',
        '{"type":}',
        '{"type":null}', '{"type":1}', '{"type":[]}', '{"type":{}}', '{"type":"nonsense"}', '{"type":"Subscribe"}',
        '{"type":"welcome"}', '{"type":"records"}', '{"type":"end"}', '{"type":"error"}', '{"type":"idle"}',
        '{"type":"subscribe"}', '{"type":"ping"}', '{"type":"pong","t1_us":1}', '{"type":"receipt"}', "{'type':'bye'}",
        '{"type":"bye",}', '{"type":"bye"}x', '{"type":"bye"}{"type":"bye"}', '{"type":"ping","t1_us":01}',
        '{"type":"ping","t1_us":+1}', '{"type":"ping","t1_us":1e}', '{"type":"ping","t1_us":Infinity}',
        '{"type":"bye","reason":"\\ud800"}', '{"type":"bye","reason":"\\x41"}', '\ufeff{"type":"bye"}', "\0", "\x1b[2J",
        "[" * deep + "]" * deep, '{"a":' * deep + "1" + "}" * deep,
        '{"type":"bye","x":' + "[" * deep + "]" * deep + "}",
    ):  # fmt: skip
        yield _case("T8", f"text {text[:30]!r}", BAD, frame(text))
    for text in (
        '{"type":"bye","unknown":1}', ' {"type":"bye"} ', '{"reason":"x","type":"bye"}',
        '{"type":"bye","reason":"\\u0000"}',
        '{"type":"bye","x":' + json.dumps("\u202e\u2028</script>") + "}", '{"type":"bye","x":' + "9" * 5000 + "}",
    ):  # fmt: skip
        yield _case("T8", f"text {text[:30]!r} is accepted", OPEN, frame(text))


def _talks() -> Iterator[Case]:
    receipt = message("receipt", session=1, block=1, first=1, last=1, count=1, digest="x00000000", took_ns=1)
    for threat, name, expected, data in (
        ("T10", "a receipt without a subscription", "error:not_subscribed 4400", receipt),
        ("T10", "a receipt of an observer", "error:not_subscribed 4400", OBSERVE + receipt),
        ("T10", "a second subscription", "error:subscribed 4400", OBSERVE + OBSERVE),
        ("T10", "a position beyond the end", "error:bad_after 4400", message("subscribe", client="x", after=2**53 - 1)),
        ("T10", "an observer beyond the end", "error:bad_after 4400",
         message("subscribe", client="x", after=2**53 - 1, observe=True)),
        ("T10", "another run", OPEN, message("subscribe", client="x", run="20200101T000000Z")),
        ("T10", "a bye before all", OPEN, message("bye", last=5)),
        ("T2", "a drop of an unknown client", "open error:no_client", message("control", do="drop", client="unknown")),
        ("T2", "a control of nothing", "open error:malformed", message("control")),
        ("T9", "300 messages", "error:too_many 4400", message("bye") * 300),
        ("T9", "300 pings of WebSocket", "cut", frame("", PING) * 300),
        ("T9", "300 pongs of WebSocket", "cut", frame("", PONG) * 300),
        ("T9", "300 messages of an observer", "error:too_many 4400", OBSERVE + message("bye") * 300),
        ("T9", "subscriptions and byes", "error:too_many 4400", (OBSERVE + message("bye")) * 50),
        ("T9", "control after control", "error:too_many 4400", message("control", do="status") * 300),
    ):  # fmt: skip
        attempt: Callable[[int], str] = functools.partial(_short_outcome, data)
        yield Case(threat, name, (expected,), attempt)


def _short_outcome(data: bytes, port: int) -> str:
    """Return an outcome without the answers before an error, since their number depends on the limits."""
    outcome = _outcome(data, port)
    if outcome.startswith("open") and "error" not in outcome:
        return "open"
    return outcome
