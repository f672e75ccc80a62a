"""What a peer may state about names, positions and receipts (T10); for a server whose ledger no verdict depends on."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from chaos.security.case import Case
from chaos.security.raw_peer import TEXT, RawPeer, message

TOTAL = 2000
"""Records of the run; they are sent as fast as they are read."""

BAD_NAMES = (
    "", ".", "..", "...", "-", "_", "~", "a/b", "../a", "a\\b", "a b", " a", "a ", "A", "Client-1", "é", "аdmin",
    "a\0", "a\n",
    "a\r\n", "a\x1b[2J", "a\u202eb", "a\u2028", "a:b", "a*", "a?", "a%2f", "$HOME", "`id`", ";id", "|id", "<script>",
    "'", '"',
    "a" * 64, "a" * 1000, "a" * 60_000, "client@1", "#", "+", "a,b", "a=b", "\ufeff",
)  # fmt: skip

_numbers = itertools.count(1)


def cases() -> Iterator[Case]:
    """Yield all cases of this module."""
    for name in BAD_NAMES:
        data = message("subscribe", client=name)
        yield Case("T11", f"name {name[:20]!r}", (MALFORMED,), functools.partial(_said, data))
    for length in (65, 1000, 60_000):
        data = message("subscribe", client="long", instance="x" * length)
        yield Case(
            "T17", f"an instance of {length} characters", ("error:malformed 4400",), functools.partial(_said, data)
        )
    for name, after, wait_for, changes, expected in _RECEIPTS:
        yield Case("T10", name, (expected,), functools.partial(_receipted, after, wait_for, changes))
    for name, attempt, expected in _NAMES:
        yield Case("T10", name, (expected,), attempt)


def receipt(**changes: Any) -> bytes:
    """Return a receipt of the first ten records with a wrong digest, or a changed one."""
    fields = {
        "session": 1,
        "block": 1,
        "first": 1,
        "last": 10,
        "count": 10,
        "digest": "x00000000",
        "took_ns": 1,
        **changes,
    }
    return message("receipt", **fields)


BAD, RECORDED, MALFORMED = "error:bad_receipt 4400", "open recorded", "error:malformed 4400"
_LAST = {"first": TOTAL, "last": TOTAL, "count": 1}
_RECEIPTS: tuple[tuple[str, int, int, dict[str, Any], str], ...] = (
    ("a receipt of all that a position claims", TOTAL, 0, {"last": TOTAL, "count": TOTAL}, BAD),
    ("a receipt of the first record that a position claims", TOTAL, 0, {"last": 1, "count": 1}, BAD),
    ("a receipt of all after the last one was sent", TOTAL - 1, TOTAL, {"last": TOTAL, "count": TOTAL}, BAD),
    (
        "a receipt of the last record, which was sent",
        TOTAL - 1,
        TOTAL,
        {"first": TOTAL, "last": TOTAL, "count": 1},
        RECORDED,
    ),
    ("a receipt across the position", 100, TOTAL, {"first": 100, "last": 101, "count": 2}, BAD),
    ("a receipt of what was sent", 0, TOTAL, {}, RECORDED),
    ("a receipt of all that was sent", 0, TOTAL, {"last": TOTAL, "count": TOTAL}, RECORDED),
    ("a receipt beyond the end", 0, TOTAL, {"last": TOTAL + 1, "count": TOTAL + 1}, BAD),
    ("a receipt through 2^53 - 1", 0, TOTAL, {"last": 2**53 - 1}, BAD),
    ("a receipt that ends before it begins", 0, TOTAL, {"first": 10, "last": 9, "count": 0}, BAD),
    ("a receipt of a later session", 0, TOTAL, {"session": 2}, BAD),
    ("a receipt of the last session of all", 0, TOTAL, {"session": 2**53 - 1}, BAD),
    ("a receipt of 100,001 messages", 0, TOTAL, {"count": 100_001}, BAD),
    ("a receipt with turned spans", 0, TOTAL, {"missing": [[5, 1], [2**53 - 1, 0]]}, RECORDED),
    ("a receipt with spans beyond its own", 0, TOTAL, {"missing": [[1, 2**53 - 1]]}, RECORDED),
    ("a receipt with 3,000 spans", 0, TOTAL, {"missing": [[n, n] for n in range(1, 3001)]}, RECORDED),
    ("block 2^53 - 1", 0, TOTAL, {"block": 2**53 - 1}, RECORDED),
    ("a duration before the beginning", 0, TOTAL, {"took_ns": -(2**53) + 1}, RECORDED),
)


def _name() -> str:
    return f"peer-{next(_numbers)}"


def _said(data: bytes, port: int) -> str:
    with RawPeer(port) as peer:
        peer.send(data)
        return peer.outcome()


def _subscribe(peer: RawPeer, name: str, after: int = 0, through: int = 0, **fields: Any) -> None:
    """Subscribe; return once the record ``through`` was received."""
    peer.send(message("subscribe", client=name, session=1, after=after, **fields))
    received = after
    for opcode, payload in peer.frames():
        if opcode == TEXT and payload.startswith(b'{"type":"records"'):
            received += payload.count(b"\n") - 1
        if (
            opcode == TEXT
            and payload.startswith((b'{"type":"subscribed"', b'{"type":"records"'))
            and received >= through
        ):
            return
    raise ConnectionError(f"{name} was not served")


def _receipted(after: int, through: int, changes: dict[str, Any], port: int) -> str:
    with RawPeer(port) as peer:
        _subscribe(peer, _name(), after, through, instance="one")
        peer.send(receipt(**changes))
        return peer.outcome()


def _repeated(port: int) -> str:
    with RawPeer(port) as peer:
        _subscribe(peer, _name(), 0, TOTAL)
        peer.send(receipt() * (2 * TOTAL + 1500))
        return _without_answers(peer.outcome())


def _ever_new(port: int) -> str:
    with RawPeer(port) as peer:
        _subscribe(peer, _name(), 0, TOTAL)
        peer.send(b"".join(receipt(last=1, count=1, block=number) for number in range(1, 2 * TOTAL + 1500)))
        return _without_answers(peer.outcome())


def _full_resend(port: int) -> str:
    """Send a receipt for each record, and all of them again on a second connection, as an honest client may."""
    name, all_of_them = _name(), b"".join(
        receipt(first=number, last=number, count=1, block=number) for number in range(1, TOTAL + 1)
    )  # fmt: skip
    outcome = ""
    for _ in range(2):
        with RawPeer(port) as peer:
            _subscribe(peer, name, 0, TOTAL, instance="one")
            peer.send(all_of_them)
            outcome = peer.outcome()
    return f"open, {outcome.count('recorded')} recorded" if outcome.startswith("open") else outcome


def _taken(port: int) -> str:
    name = _name()
    with RawPeer(port) as holder, RawPeer(port) as rival:
        _subscribe(holder, name, instance="one", through=TOTAL)
        rival.send(message("subscribe", client=name, instance="two"))
        # A ping of WebSocket asks the holder, which does not answer.
        return rival.outcome()


def _fence(port: int) -> str:
    with RawPeer(port) as greedy, RawPeer(port) as later:
        _subscribe(greedy, _name(), fence=2**53 - 1)
        _subscribe(later, _name())
        return later.outcome().split(" ")[0]


def _names(port: int) -> str:
    with RawPeer(port) as peer:
        peer.send(b"".join(message("subscribe", client=_name()) + message("bye") for _ in range(30)))
        return _without_answers(peer.outcome())


def _without_answers(outcome: str) -> str:
    return "open" if outcome.startswith("open") else outcome


_NAMES: tuple[tuple[str, Callable[[int], str], str], ...] = (
    ("one receipt again and again", _repeated, "error:too_many 4400"),
    ("ever new receipts of one record", _ever_new, "error:too_many 4400"),
    ("every receipt once more", _full_resend, f"open, {TOTAL} recorded"),
    ("the name of a silent process", _taken, "open subscribed"),
    ("the highest fence", _fence, "open"),
    ("a name with every subscription", _names, "error:too_many 4400"),
)
