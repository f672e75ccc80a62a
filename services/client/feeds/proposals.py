"""Proposes the settings of a feed from the messages that it sent. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import msgspec

from services.client.external.record_values import UNITS, UTC, epoch_ns
from services.client.feeds.embedded_json import escaped, is_json
from services.client.feeds.feed_notes import binary_note, message_notes, number_notes, varying_names
from services.client.feeds.framing import find_framings, find_protocol
from services.client.feeds.ignorable import find_ignorable, repeating, with_snapshots
from services.client.feeds.json_columns import Columns, Scalar, columns_of, lists_in, step_of
from services.client.feeds.numbering import Numbering, describe, find_numbering, integer_of
from services.client.feeds.proposal import Proposal
from services.client.feeds.text_numbers import find_text_numbers

_DAY_NS = 86_400 * 10**9
_AHEAD_NS = 60 * 10**9
"""How far a sender's clock may be ahead of this machine's."""
_MIN_SHARE = 0.9
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
    raw = [message.data for message in messages]
    preset = find_protocol(raw)
    parts = [[data] for data in raw]
    framings: list[Proposal] = []
    if sum(map(is_json, raw)) < len(raw) / 2:
        framings, parts = find_framings(raw)
    texts = [(part, message.received_ns) for message, inner in zip(messages, parts, strict=True) for part in inner]
    values = [(value, at) for data, at in texts if (value := _decoded(data)) is not None]
    if len(values) < len(texts) / 2 or not values:
        return _of_texts([part for part, _ in texts], framings, preset)
    rows, listed = _best_rows(values)
    columns = rows.columns
    times = [path for path in columns if _lags(columns[path], rows.received_ns)[0]]
    is_whole = rows.where in (None, "$")
    repeats = repeating(rows.values, columns) if is_whole else set()
    numbering = find_numbering({path: _without(column, repeats) for path, column in columns.items()}, times)
    time = _find_time(columns, rows.received_ns, "" if numbering is None else numbering.number)
    proposals = [*framings, *listed, *_numbers(numbering), *time]
    if numbering is not None and is_whole:
        proposals += _other_names(rows.values, numbering) or find_ignorable(rows.values, columns, numbering, repeats)
    if numbering is not None:
        proposals = with_snapshots(proposals, rows.messages)
    records = rows.values
    if numbering is not None and any(one.key == "decode.ignore" for one in proposals) and not varying_names(records):
        records = [value for index, value in enumerate(records) if index in columns[numbering.number]]
    notes = [*number_notes(numbering, columns, records), *message_notes([value for value, _ in values])]
    first = None if numbering is None else integer_of(next(iter(columns[numbering.number].values())))
    return Analysis(tuple(proposals), tuple(notes), preset, numbering, first)


def _other_names(values: Sequence[Any], numbering: Numbering) -> list[Proposal]:
    """Propose to ignore the records with other names, where the name of a record's only part varies."""
    name = next((name for name in varying_names(values) if numbering.number.startswith(f"${step_of(name)}")), None)
    if name is None:
        return []
    pattern = rf'^(?!\{{\s*"{escaped(name)}")'
    return [Proposal("decode.ignore", pattern, f"records with another name than {name}")]


def _without(column: Mapping[int, Scalar], indexes: Collection[int]) -> Mapping[int, Scalar]:
    return {at: value for at, value in column.items() if at not in indexes} if indexes else column


def _of_texts(raw: Sequence[bytes], framings: Sequence[Proposal], preset: str | None) -> Analysis:
    """Return what messages suggest that contain no JSON."""
    if not raw:
        return Analysis((), (), preset, None)
    found = find_text_numbers([data.decode("utf-8", "replace") for data in raw])
    if found is None:
        return Analysis(tuple(framings), (binary_note(raw),), preset, None)
    proposals = [
        Proposal("decode.match", found.pattern, f"the number in a text, such as {found.example}"),
        Proposal("sequence.number", "$", f"the number is all that is read; it rises by {found.step}"),
    ]
    if found.step != 1:
        proposals.append(Proposal("sequence.step", str(found.step), "the number rises by this step"))
    note = "no message is JSON: a record is then its number alone, so times and other contents are not read"
    return Analysis(tuple(proposals), (note,), preset, None)


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
    times = [path for path in columns if _lags(columns[path], rows.received_ns)[0]]
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


def _lags(column: Mapping[int, Scalar], received_ns: Sequence[int]) -> tuple[list[int], str | None]:
    """Return how long before its arrival each record was made, if the column holds such times; else nothing.

    The second value is `UTC` if the times have no zone and are right in UTC.
    """
    for zone in (None, UTC):
        lags = []
        for index, value in column.items():
            sent = epoch_ns(value, zone)
            if sent is not None and -_AHEAD_NS <= received_ns[index] - sent <= _DAY_NS:
                lags.append(received_ns[index] - sent)
        if lags and len(lags) >= _MIN_SHARE * len(column):
            return lags, zone
    return [], None


def _find_time(columns: Columns, received_ns: Sequence[int], number: str) -> list[Proposal]:
    """Return path and unit of the sender's time: of those in most records the one that is closest to the arrival.

    Of the same times the one that is closest to the path of the number is taken.
    """
    found = {path: lags for path, column in columns.items() if (lags := _lags(column, received_ns))[0]}
    most = max((len(lags) for lags, _ in found.values()), default=0)
    # By whole milliseconds: the items of one list have the same times, and the first one is in every list.
    closest = min(
        (path for path, (lags, _) in found.items() if len(lags) >= 0.8 * most),
        key=lambda path: (
            not _are_beside(path, number) and len(found[path][0]) < most,
            abs(round(median(found[path][0]), -6)),
            not _are_beside(path, number),
            len(path),
            path,
        ),
        default=None,
    )
    if closest is None:
        return []
    before_ns, zone = found[closest]
    value = next(iter(columns[closest].values()))
    unit = zone or _unit(value)
    before_ms = median(before_ns) / 1e6
    when = f"{before_ms:.1f} ms before" if before_ms >= 0 else f"{-before_ms:.1f} ms after"
    note = "; in whole seconds, so is the latency" if unit == "s" and isinstance(value, int) else ""
    path = Proposal("time.path", closest, f"times{' without a zone' if zone else ''}, {when} the arrival{note}")
    why = "they are right in UTC" if zone else "its unit, by the size of the numbers"
    return [path, Proposal("time.unit", unit, why)] if unit else [path]


def _are_beside(path: str, other: str) -> bool:
    return path.rpartition(".")[0] == other.rpartition(".")[0]


def _unit(value: Scalar) -> str | None:
    """Return the unit of an epoch number; None for a date."""
    number = float(value) if isinstance(value, int | float) else integer_of(value)
    if number is None:
        return None
    return next((unit for unit, size in UNITS.items() if epoch_ns(value) == epoch_ns(value, unit) and size), None)
