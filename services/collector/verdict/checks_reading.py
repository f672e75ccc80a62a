"""Sentences about what clients did not find at the operator's paths, and about what they passed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from services.collector import formatting
from services.collector.results.client_result import ClientResult
from services.contract.unread_data import UnreadKind

_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000}
_UNIT_WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}
_UNREAD: Mapping[UnreadKind, str] = {
    "gzip": "they seem to be gzip: set FEED_ENCODING=gzip",
    "deflate": "they seem to be compressed: set FEED_ENCODING=deflate",
    "zlib-stream": "they seem to be parts of one compressed stream: set FEED_ENCODING=zlib-stream",
    "base64": "they seem to be compressed data in base64, which is not supported",
    "lines": r"they have several lines of JSON: set FEED_SPLIT='\n'",
    "joined": "they have several JSON texts without a separator, which is not supported",
    "damaged": "they begin as JSON, and are cut off or malformed",
    "inside": "they have JSON inside of another text: set FEED_MATCH, which finds it",
    "binary": "they are binary data and not JSON; formats such as protobuf or MessagePack are not supported",
    "text": "they are texts and not JSON; FEED_MATCH finds a number or JSON in a text",
}


def unfound_key(client: ClientResult, path: str) -> str:
    """Return the sentence about a path of the key that finds nothing: the sequences would be taken for one."""
    return (
        f"none of its {formatting.several(client.messages, 'message')} has a key at {path}, so its sequences are not"
        f" told apart{path_hint(client, path)}"
    )


def path_hint(client: ClientResult, path: str | None) -> str:
    """Return a proposal where a path that finds nothing may begin at the wrong place, with a semicolon before it."""
    feed = client.external.feed
    if feed is None or path is None or path.startswith("$$"):
        return ""
    if feed.records is not None:
        return f"; ${path} reads it from the message, beside the list of records"
    return "; FEED_LIST=record reads a message that is a list as one record" * (
        path.startswith("$[") and not feed.message_list
    )


def number_hint(client: ClientResult) -> str:
    """Return a proposal where no number was found, with a semicolon before it; empty without one."""
    return unread_hint(client) or path_hint(client, client.external.number_path)


def unread_hint(client: ClientResult) -> str:
    """Return what the unreadable records of a client seem to be, with a semicolon before it; empty if not known."""
    kind, feed = client.external.unread, client.external.feed
    if kind is None or feed is None or kind not in _UNREAD:
        return ""
    encodings = [] if isinstance(feed.encoding, msgspec.UnsetType) else feed.encoding.split(",")
    if kind in encodings:
        return f"; they cannot be decoded as FEED_ENCODING={feed.encoding}"
    if kind in ("text", "inside") and feed.match is not None:
        return f"; FEED_MATCH={feed.match} finds nothing in them"
    return f"; {_UNREAD[kind]}"


def unfound_time(clients: Sequence[ClientResult]) -> str:
    """Return the clause about a path of the time at which nothing was found, empty if there is no such path."""
    paths = {client.external.feed.time for client in clients if client.external.feed and client.messages}
    found = sorted(path for path in paths if path is not None)
    count = sum(client.messages for client in clients)
    return f": none of {formatting.several(count, 'message')} has one at {', '.join(found)}" if found else ""


def timeless(clients: Sequence[ClientResult]) -> list[str]:
    """Return what the headline says if no record has a time at its path, nothing without such a path."""
    is_timeless = not any(client.latency.count for client in clients)
    return ["no sender's time was found"] if is_timeless and unfound_time(clients) else []


def cut_to(clients: Sequence[ClientResult]) -> str:
    """Return the clause about the unit to which the sender cuts its time, for the headline; empty if not known."""
    units = _units(clients)
    return f", which is cut to {_UNIT_WORDS[units[0]]}" if units else ""


def precision(clients: Sequence[ClientResult]) -> str:
    """Return the clauses about the error that the unit of the time causes, and about messages without a time."""
    parts = [
        f"; its time is cut to {_UNIT_WORDS[unit]}: latencies are up to {formatting.duration(_UNIT_NS[unit])} too long"
        for unit in _units(clients)[:1]
    ]
    return "".join(parts) + untimed(clients)


def untimed(clients: Sequence[ClientResult]) -> str:
    """Return the clause about the messages that have no time, and so no latency; empty if all have one."""
    without = sum(client.without_time or 0 for client in clients)
    return f"; {formatting.several(without, 'message')} without a time" if without else ""


def _units(clients: Sequence[ClientResult]) -> list[str]:
    known = {client.external.feed.precision for client in clients if client.external.feed}
    return [unit for unit in _UNIT_NS if unit in known]


def passed_over(client: ClientResult) -> str:
    """Return the clause about the messages that were passed over, for beside a gap: a pattern may match too much."""
    parts = [
        f"{formatting.several(count, 'message')} that {setting} matches"
        for count, setting in ((client.ignored, "FEED_IGNORE"), (client.pings, "FEED_PING"))
        if count
    ]
    return f"; passed over beside these: {' and '.join(parts)}" if parts else ""
