"""The text that the command ``feeds`` prints: the presets, and the report on a feed."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence

from services.client.external.profiles.profile import NAMES_BY_KEY, Profile
from services.client.external.settings import FeedSettings
from services.client.feeds.confirmation import confirm
from services.client.feeds.look import LookedAt
from services.client.feeds.numbering import Numbering
from services.client.feeds.proposal import Proposal
from services.client.feeds.proposals import Analysis
from services.contract.blocklog import ExternalMessage
from services.contract.scalars import utc_text, utc_us

SHOWN_MESSAGES = 10
_LISTS = ("sequence.key", "decode.encoding", "connect.subprotocols")
_UNSEEN = "–"


def preset_list(presets: Sequence[Profile], width: int) -> str:
    """Return the presets with their variables, one variable a line."""
    lines = []
    for preset in presets:
        lines.append(_hanging(f"{preset.feed:<22}{preset.about}", width))
        for name, variable in preset.variables.items():
            if variable.default is None:
                given = "needed"
            else:
                given = f"default {variable.default}" if variable.default else "optional"
            lines.append(_hanging(f"{'':<22}{name}: {variable.about} ({given})", width))
        if "SERVER_URL" not in preset.texts:
            lines.append(f"{'':<22}SERVER_URL: the address of the server (needed)")
    return "\n".join(lines)


def _hanging(text: str, width: int) -> str:
    return textwrap.fill(text, width, subsequent_indent=" " * 24, break_on_hyphens=False)


def of_look(seen: LookedAt, settings: FeedSettings, analysis: Analysis, seconds: float, width: int) -> Iterator[str]:
    """Yield the parts of the report on a feed, without characters by which its server could control the terminal.

    Args:
        seen: its messages, records and connections.
        settings: with which it was read.
        analysis: of the messages.
        seconds: how long the feed was received.
        width: columns of the terminal.
    """
    for part in _parts(seen, settings, analysis, seconds, width):
        yield "\n".join(map(_printable, part.split("\n")))


def _parts(seen: LookedAt, settings: FeedSettings, analysis: Analysis, seconds: float, width: int) -> Iterator[str]:
    yield _summary(seen, seconds)
    if seen.records:
        yield "\n".join(["", *_table(seen.records[:SHOWN_MESSAGES], width)])
    elif seen.messages:
        shown = [message.data.decode("utf-8", "backslashreplace") for message in seen.messages[:SHOWN_MESSAGES]]
        yield "\n".join(
            ["", "messages, none of which is a record", *(shortened(f"  {text!r}", width) for text in shown)]
        )
    missing = list(_not_found(seen, settings))
    if missing:
        yield "\n".join(["", "not found", *(f"  {line}" for line in missing)])
    confirmed = confirm(seen.records, settings.sequence.step)
    if confirmed.numbering is not None:
        yield f"\n{_confirmation(confirmed.numbering, len(seen.records))}"
    differing = _differing(confirmed.left(analysis.proposals), settings)
    if analysis.preset not in (None, settings.given.get("FEED")):
        yield f"\nlooks like the preset {analysis.preset}: python -m services.client feeds show {analysis.preset}"
    notes = [*_scope_note(analysis, settings), *(() if confirmed.numbering is not None else analysis.notes)]
    if notes:
        yield "\n".join(["", "seen", *(f"  {note}" for note in notes)])
    if differing:
        yield "\n".join(["", "proposed", *_proposed(differing)])
        yield "\n".join(["", "in a profile, such as feeds/mine.toml", "", *_toml(differing)])
    elif confirmed.numbering is not None or (seen.records and analysis.proposals):
        yield "\nnothing else is proposed"


def _scope_note(analysis: Analysis, settings: FeedSettings) -> Iterator[str]:
    if analysis.first in (0, 1) and not settings.given.get("FEED_SCOPE", "").strip():
        begins = f"the numbers begin at {analysis.first}"
        yield f"{begins}: if every connection counts for itself, FEED_SCOPE (sequence.scope) is connection"


def _differing(proposals: Sequence[Proposal], settings: FeedSettings) -> list[Proposal]:
    differing = [one for one in proposals if not _is_given(settings, one)]
    if any(one.key == "time.path" for one in differing):
        # Another path has its own unit, also if it is the same.
        return [one for one in proposals if one in differing or one.key == "time.unit"]
    return differing


def _confirmation(found: Numbering, records: int) -> str:
    step = "one" if found.step == 1 else found.step
    what = {"one": f"rise by {step}", "range": "come as ranges without a gap", "link": "each name the one before"}
    share = "" if found.share == 1 else f", in {found.share:.1%} of the steps"
    return f"the numbers of {found.numbered:,} of {records:,} records {what.get(found.kind, 'rise')}{share}"


def shortened(text: str, width: int) -> str:
    """Return a text of at most ``width`` characters, with an ellipsis where it was cut."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _summary(seen: LookedAt, seconds: float) -> str:
    lines: list[str] = []
    for line in seen.connections:
        if line.event in ("refused", "closed", "sealed") and (line.reason or line.code):
            code = "" if line.code is None else f" {line.code}"
            said = f"{code}: {line.reason or 'without a reason'}"
            # The last line of a log repeats why there was no connection.
            if said not in "\n".join(lines):
                lines.append(f"{'' if line.event == 'sealed' else line.event}{said}".removeprefix(": "))
    rate = f", {seen.total / seconds:.3g} a second" if seen.total else ""
    messages = f"{seen.total:,} message{'' if seen.total == 1 else 's'}"
    lines.append(f"{messages}{rate}; records in them: {len(seen.records):,}")
    if not seen.total and {line.event for line in seen.connections} == {"opened", "sealed"}:
        lines.append("connected, and nothing came: many feeds want a message first (FEED_HELLO, hello in a profile)")
    return "\n".join([*lines, *(f"client: {remark}" for remark in seen.remarks if remark not in "\n".join(lines))])


def _table(records: Sequence[ExternalMessage], width: int) -> list[str]:
    cells = [("number", "key", "time", "record")]
    for record in records:
        sent = _UNSEEN if record.latency_ns is None else _time_of(record)
        text, key = bytes(record.record).decode("utf-8", "replace"), record.key or _UNSEEN
        cells.append((_UNSEEN if record.seq is None else str(record.seq), _printable(key), sent, _printable(text)))
    sizes = [min(max(len(row[column]) for row in cells), 24) for column in range(3)]
    return [
        shortened(
            "  ".join([*(f"{shortened(cell, size):<{size}}" for cell, size in zip(row, sizes, strict=False)), row[3]]),
            width,
        )
        for row in cells
    ]


def _printable(text: str) -> str:
    # A name in a record, which a proposed path has in it, may have escape sequences as well as a record.
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def _time_of(record: ExternalMessage) -> str:
    sent_us = utc_us(record.received_at) - (record.latency_ns or 0) // 1000
    return utc_text(sent_us)[11:23]


def _not_found(seen: LookedAt, settings: FeedSettings) -> Iterator[str]:
    total = len(seen.records)
    described = settings.feed
    found = {
        "number": (described.seq, sum(record.seq is not None for record in seen.records)),
        "key": (described.key, sum(record.key is not None for record in seen.records)),
        "time": (described.time, sum(record.latency_ns is not None for record in seen.records)),
    }
    for name, (path, count) in found.items():
        if path is not None and count < total:
            yield f"{name}: {path} is in {count:,} of {total:,} records"


def _is_given(settings: FeedSettings, one: Proposal) -> bool:
    """Return whether a setting has the proposed value already."""
    text = settings.given.get(NAMES_BY_KEY.get(one.key, ""), "").strip()
    path, _, unit = text.partition(" ")
    if one.key == "time.path":
        return path == one.text
    if one.key == "time.unit":
        # Without a unit it follows from the size of the number, as the proposed one does.
        return bool(path) and unit in ("", one.text)
    return text == one.text


def _proposed(proposals: Sequence[Proposal]) -> Iterator[str]:
    units = {one.key: one.text for one in proposals}
    for one in proposals:
        if one.key == "time.unit":
            continue
        text = f"{one.text} {units['time.unit']}" if one.key == "time.path" and "time.unit" in units else one.text
        name = NAMES_BY_KEY.get(one.key, one.key)
        yield f"  {name}='{text}'"
        yield f"      {one.why}"


def _toml(proposals: Sequence[Proposal]) -> Iterator[str]:
    table = ""
    for one in sorted(proposals, key=lambda one: one.key.partition(".")[0]):
        name, _, key = one.key.partition(".")
        if name != table:
            yield from ([""] if table else [])
            yield f"[{name}]"
            table = name
        yield f"{key} = {_toml_value(one)}"


def _toml_value(one: Proposal) -> str:
    if one.key in _LISTS and "," in one.text:
        return f"[{', '.join(map(_toml_text, one.text.split(',')))}]"
    return _toml_text(one.text)


def _toml_text(text: str) -> str:
    """Return a TOML string; a literal one where possible, since paths and patterns have backslashes."""
    return f"'{text}'" if "'" not in text and text.isprintable() else json.dumps(text, ensure_ascii=False)
