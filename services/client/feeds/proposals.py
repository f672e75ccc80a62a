"""Proposes the settings of a feed from the messages that it sent. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import msgspec

from services.client.external.record_values import UNITS, epoch_ns
from services.client.feeds.framing import find_framing, find_protocol, is_json
from services.client.feeds.json_columns import Columns, Scalar, columns_of, lists_in
from services.client.feeds.numbering import Numbering, describe, find_numbering, integer_of
from services.client.feeds.proposal import Proposal

_DAY_NS = 86_400 * 10**9
_AHEAD_NS = 60 * 10**9
"""How far a sender's clock may be ahead of this machine's."""
_MIN_SHARE = 0.9
_MAX_IGNORED = 4
# Each number is tried with each key and each pair of keys, so the time grows with the records; these show enough.
_MAX_MESSAGES, _MAX_ROWS = 600, 1200


class ReceivedMessage(NamedTuple):
    """A message as it came.

    Attributes:
        data: its payload.
        received_ns: arrival time, epoch nanoseconds.
    """

    data: bytes
    received_ns: int


class Analysis(NamedTuple):
    """What the messages of a feed show.

    Attributes:
        proposals: settings, each key once.
        notes: what else was seen, a sentence each.
        preset: the preset whose protocol the messages speak, None for none.
        numbering: how the records are numbered, None without numbers.
        first: the first number, None without numbers.
    """

    proposals: tuple[Proposal, ...]
    notes: tuple[str, ...]
    preset: str | None
    numbering: Numbering | None
    first: int | None = None


class _Rows(NamedTuple):
    """Records: where they are in their messages, the message of each, and when they came."""

    where: str | None
    values: list[Any]
    messages: list[Any]
    received_ns: list[int]

    @property
    def columns(self) -> dict[str, dict[int, Scalar]]:
        """The columns of the records; of records in a list also those of the message, whose paths begin with ``$$``."""
        columns = columns_of(self.values)
        if self.where is not None:
            inside = f"${self.where}["
            around = columns_of(self.messages, "$$")
            columns |= {path: column for path, column in around.items() if not path.startswith(inside)}
        return columns


def analyse(messages: Sequence[ReceivedMessage]) -> Analysis:
    """Return the settings that the first messages of a feed suggest, in the order of their arrival."""
    messages = messages[:_MAX_MESSAGES]
    preset = find_protocol(message.data for message in messages)
    framings: list[Proposal] = []
    texts = [(message.data, message.received_ns) for message in messages]
    if sum(is_json(data) for data, _ in texts) < len(texts) / 2:
        found = find_framing([data for data, _ in texts])
        if found is not None:
            proposal, parts_of_each = found
            framings.append(proposal)
            texts = [(part, at) for (_, at), parts in zip(texts, parts_of_each, strict=True) for part in parts]
    values = [(value, at) for data, at in texts if (value := _decoded(data)) is not None]
    if not values:
        note = "no message is JSON: FEED_MATCH can name the part that is" if messages else "no message came"
        return Analysis(tuple(framings), (note,), preset, None)
    rows, listed = _best_rows(values)
    columns = rows.columns
    time = _find_time(columns, rows.received_ns)
    times = [path for path in columns if _lags(columns[path], rows.received_ns)]
    numbering = find_numbering(columns, times)
    notes = [] if numbering is not None else ["no value rises from record to record: without numbers nothing is missed"]
    proposals = [*framings, *listed, *_numbers(numbering), *time]
    if numbering is not None and rows.where in (None, "$"):
        proposals += _ignorable(rows.values, numbering)
    notes += _other_notes([value for value, _ in values])
    first = None if numbering is None else integer_of(next(iter(columns[numbering.number].values())))
    return Analysis(tuple(proposals), tuple(notes), preset, numbering, first)


def _decoded(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _best_rows(values: Sequence[tuple[Any, int]]) -> tuple[_Rows, list[Proposal]]:
    """Return the records, and the proposals that say where they are: the messages, or the items of a list in each."""
    messages = [value for value, _ in values]
    whole = _Rows(None, messages, messages, [at for _, at in values])
    is_framed = sum(isinstance(value, list) for value in whole.values) > len(values) / 2
    at_items = Counter(path for value in whole.values for path, _ in lists_in(value))
    several = {path for value in whole.values for path, items in lists_in(value) if len(items) > 1}
    if not is_framed and _is_numbered(whole, several):
        return whole, []
    # The list that is in most messages, if its items have numbers and the messages have none.
    for path, _ in at_items.most_common(3):
        rows = _items_at(path, values)
        if _is_numbered(rows):
            proposal = Proposal("decode.records", path, f"a message has a list of records at {path}")
            return rows, [] if path == "$" else [proposal]
    if not is_framed:
        return whole, []
    if at_items["$"] < len(values) / 2:
        return whole, [Proposal("decode.list", "record", "a message is a list with values at fixed places")]
    return _items_at("$", values), []


def _items_at(path: str, values: Sequence[tuple[Any, int]]) -> _Rows:
    found = [
        (item, value, at) for value, at in values for where, items in lists_in(value) if where == path for item in items
    ]
    return _Rows(path, *(list(column) for column in zip(*found[:_MAX_ROWS], strict=True)))


def _is_numbered(rows: _Rows, lists: Iterable[str] = ()) -> bool:
    """Return whether most records have a number that shows missing records, and that is in none of these lists."""
    columns = rows.columns
    times = [path for path in columns if _lags(columns[path], rows.received_ns)]
    found = find_numbering(columns, times)
    if found is None or found.kind == "rising" or found.numbered <= len(rows.values) / 2:
        return False
    return not any(found.number.startswith(f"{path}[") for path in lists)


def _numbers(found: Numbering | None) -> list[Proposal]:
    if found is None:
        return []
    proposals = [Proposal("sequence.number", found.number, describe(found))]
    if found.first is not None:
        proposals.append(Proposal("sequence.first", found.first, f"the first number of a range is at {found.first}"))
    if found.previous is not None:
        proposals.append(Proposal("sequence.previous", found.previous, f"the number before is at {found.previous}"))
    if found.step != 1:
        proposals.append(Proposal("sequence.step", str(found.step), "the number rises by this step"))
    if found.key:
        proposals.append(Proposal("sequence.key", ",".join(found.key), "each has a sequence of its own"))
    return proposals


def _lags(column: Mapping[int, Scalar], received_ns: Sequence[int]) -> list[int]:
    """Return how long before its arrival each record was made, if the column holds such times; else nothing."""
    lags = []
    for index, value in column.items():
        sent = epoch_ns(value)
        if sent is not None and -_AHEAD_NS <= received_ns[index] - sent <= _DAY_NS:
            lags.append(received_ns[index] - sent)
    return lags if lags and len(lags) >= _MIN_SHARE * len(column) else []


def _find_time(columns: Columns, received_ns: Sequence[int]) -> list[Proposal]:
    """Return path and unit of the sender's time: of those in most records the one that is closest to the arrival."""
    found = {path: lags for path, column in columns.items() if (lags := _lags(column, received_ns))}
    most = max(map(len, found.values()), default=0)
    closest = min(
        (path for path, lags in found.items() if len(lags) >= 0.8 * most),
        key=lambda path: (len(found[path]) < most, abs(median(found[path])), len(path), path),
        default=None,
    )
    if closest is None:
        return []
    value = next(iter(columns[closest].values()))
    unit = _unit(value)
    before_ms = median(found[closest]) / 1e6
    when = f"{before_ms:.1f} ms before" if before_ms >= 0 else f"{-before_ms:.1f} ms after"
    note = "; in whole seconds, so is the latency" if unit == "s" and isinstance(value, int) else ""
    path = Proposal("time.path", closest, f"times, {when} the arrival{note}")
    return [path, Proposal("time.unit", unit, "its unit, by the size of the numbers")] if unit else [path]


def _unit(value: Scalar) -> str | None:
    """Return the unit of an epoch number; None for a date."""
    number = float(value) if isinstance(value, int | float) else integer_of(value)
    if number is None:
        return None
    return next((unit for unit, size in UNITS.items() if epoch_ns(value) == epoch_ns(value, unit) and size), None)


def _ignorable(values: Sequence[Any], numbering: Numbering) -> list[Proposal]:
    """Propose a pattern for the messages without a number, by a name and a text that no numbered message has."""
    numbered = set(columns_of(values).get(numbering.number, {}))
    others = [value for index, value in enumerate(values) if index not in numbered]
    taken = {pair for index in numbered for pair in _marks(values[index])}
    patterns: list[str] = []
    while others and len(patterns) < _MAX_IGNORED:
        marks = Counter(pair for value in others for pair in _marks(value) if pair not in taken)
        if not marks:
            break
        ((name, text), _), *_ = marks.most_common(1)
        patterns.append(f'"{re.escape(name)}": ?"{re.escape(text)}"')
        others = [value for value in others if (name, text) not in _marks(value)]
    why = "messages without a number, such as acknowledgements"
    return [Proposal("decode.ignore", "|".join(patterns), why)] if patterns else []


def _marks(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return []
    return [(name, text) for name, text in value.items() if isinstance(text, str) and len(text) <= 40]


def _other_notes(values: Sequence[Any]) -> list[str]:
    words = [
        {*value, *(text.lower() for _, text in _marks(value))} if isinstance(value, dict) else () for value in values
    ]
    pings = [value for value, found in zip(values, words, strict=True) if "ping" in found]
    if not pings:
        return []
    shown = msgspec.json.encode(pings[0])[:80].decode("utf-8", "replace")
    return [
        f"the server sends pings: {shown}; if it wants an answer, FEED_PING matches them and FEED_PONG is the answer"
    ]
