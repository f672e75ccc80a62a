"""The text that the command ``feeds`` prints: the presets, and the report on a feed."""

from __future__ import annotations

import base64
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from services.client.external.profiles.profile import NAMES_BY_KEY, Profile, is_path, load
from services.client.external.settings import FeedSettings
from services.client.feeds.confirmation import confirm
from services.client.feeds.look import LookedAt
from services.client.feeds.numbering import Numbering
from services.client.feeds.profile_text import completed, from_variables, profile_text
from services.client.feeds.proposal import Proposal
from services.client.feeds.proposals import Analysis
from services.contract.blocklog import ExternalMessage
from services.contract.scalars import utc_text, utc_us
from services.runtime.settings import BY_NAME

SHOWN_MESSAGES = 10


def _python() -> str:
    # In a virtual environment `python` may be another one, so its path is needed, as short as it can be.
    if sys.prefix == sys.base_prefix:
        return "python"
    folder = Path.cwd()
    path = Path(sys.executable)
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


_UNSEEN = "–"
PYTHON = _python()
"""How an operator calls this interpreter."""
_SECRET = re.compile("token|pass|secret|auth|payload|key", re.IGNORECASE)
"""Names of variables whose values are not printed."""
_OWN = "feeds/mine.toml"
_JUDGE = "make judge FEED={} SECONDS=60 CLIENTS=3"


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
            ["", "messages, none of which is a record", *(shortened(f"  {_printable(text)}", width) for text in shown)]
        )
    missing = list(_not_found(seen, settings))
    if missing:
        yield "\n".join(["", "not found", *(f"  {line}" for line in missing)])
    confirmed = confirm(seen.records, settings.sequence.step)
    if confirmed.numbering is not None:
        yield f"\n{_confirmation(confirmed.numbering, len(seen.records))}"
    differing = _differing(confirmed.left(analysis.proposals), settings)
    notes = [
        *_preset_note(analysis, settings),
        *_connection_notes(seen, settings),
        *_scope_note(analysis, settings),
        *(() if confirmed.numbering is not None else analysis.notes),
    ]
    if notes:
        yield "\n".join(["", "seen", *(_indented(note, 2, width) for note in notes)])
    if differing:
        yield "\n".join(["", "proposed", *_proposed(differing, width)])
    elif confirmed.numbering is not None or (seen.records and analysis.proposals):
        yield "\nnothing else is proposed"
    if seen.records and (differing or confirmed.numbering is not None):
        yield from _next(differing, settings, width)


def _next(differing: Sequence[Proposal], settings: FeedSettings, width: int) -> Iterator[str]:
    """Yield the whole profile where the operator has to write one, and the commands that come next."""
    feed = settings.given.get("FEED", "").strip()
    is_file = is_path(feed)
    is_preset = not is_file and feed not in ("", "foreign")
    if is_preset:
        more = [*_given_beside(feed, settings), *((name, text) for name, text, _ in _assignments(differing))]
        yield _commands(
            ["judge it", " ".join([_JUDGE.format(feed), *(f"{name}={_quoted(text)}" for name, text in more)])]
        )
        return
    if not differing and is_file:
        compose = f"FEED={feed} FEED_SECONDS=60 CLIENTS=3 docker compose -f deploy/judge.yml run --rm verdict"
        yield _commands(["judge it", _JUDGE.format(feed), compose])
        return
    document = (
        tomllib.loads(Path(feed).read_text(encoding="utf-8"))
        if is_file
        else from_variables(settings.given, settings.reach.shown)
    )
    where = feed if is_file else _OWN
    secret = settings.reach.url != settings.reach.shown and not is_file
    yield f"\nthe whole profile, for {where}"
    if secret:
        yield _indented("its address lacks password and query, which may be secrets", 2, width)
    yield ""
    yield profile_text(completed(document, differing))
    # A value that is not printed has to be given again.
    needed = [name for name, facts in document.get("variables", {}).items() if "default" not in facts]
    given = f"FEED_VARIABLES='{' '.join(f'{name}=…' for name in needed)}' " if needed else ""
    check = f"{given}{PYTHON} -m services.client feeds check {where}"
    yield _commands(["next", check, f"{given}{_JUDGE.format(where)}"])


def _given_beside(preset: str, settings: FeedSettings) -> Iterator[tuple[str, str]]:
    """Yield what the operator gave beside the name of a preset; a value that may be a secret is left out."""
    if "SERVER_URL" not in load(preset).texts:
        yield "URL", settings.reach.shown
    given = settings.given.get("FEED_VARIABLES", "").strip()
    if given:
        values: Mapping[str, str] = BY_NAME["FEED_VARIABLES"].read(given)
        shown = {name: "…" if _SECRET.search(name) else text for name, text in values.items()}
        yield "FEED_VARIABLES", " ".join(f"{name}={_value_of_variable(text)}" for name, text in shown.items())


def _value_of_variable(text: str) -> str:
    # In double quotation marks, since a shell has single ones around all.
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return text if re.fullmatch(r"[^\s\"'\\]+", text) else f'"{escaped}"'


def _commands(lines: Sequence[str]) -> str:
    # Whole, so that they can be copied.
    return "\n".join(["", lines[0], *(f"  {line}" for line in lines[1:])])


def _preset_note(analysis: Analysis, settings: FeedSettings) -> Iterator[str]:
    if analysis.preset not in (None, settings.given.get("FEED")):
        shown = f"{PYTHON} -m services.client feeds show {analysis.preset}"
        yield f"looks like the preset {analysis.preset} (FEED={analysis.preset}): {shown}"


def _connection_notes(seen: LookedAt, settings: FeedSettings) -> Iterator[str]:
    closed = sum(line.event == "closed" for line in seen.connections)
    if closed and not settings.given.get("FEED_HEARTBEAT", "").strip():
        times = "once" if closed == 1 else f"{closed} times"
        yield (
            f"the server closed the connection {times}: some want a message first (FEED_HELLO), or one now and then"
            " (FEED_HEARTBEAT, heartbeat.send in a profile)"
        )


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
        text, key = _text_of(record), record.key or _UNSEEN
        cells.append((_UNSEEN if record.seq is None else str(record.seq), _printable(key), sent, _printable(text)))
    sizes = [min(max(len(row[column]) for row in cells), 24) for column in range(3)]
    return [
        shortened(
            "  ".join([*(f"{shortened(cell, size):<{size}}" for cell, size in zip(row, sizes, strict=False)), row[3]]),
            width,
        )
        for row in cells
    ]


def _text_of(record: ExternalMessage) -> str:
    """Return a record as it came; bytes as hexadecimal digits."""
    data = bytes(record.record)
    if record.form is None:
        return data.decode("utf-8", "replace")
    text = msgspec.json.decode(data, type=str)
    return base64.b64decode(text).hex(" ") if record.form == "binary" else text


def _printable(text: str) -> str:
    # A name in a record, which a proposed path has in it, may have escape sequences as well as a record.
    names = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
    return "".join(letter if letter.isprintable() else names.get(letter) or f"\\x{ord(letter):02x}" for letter in text)


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


def _assignments(proposals: Sequence[Proposal]) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and reason of the variables that say what proposals say."""
    units = {one.key: one.text for one in proposals}
    for one in proposals:
        if one.key != "time.unit":
            has_unit = one.key == "time.path" and "time.unit" in units
            text = f"{one.text} {units['time.unit']}" if has_unit else one.text
            yield NAMES_BY_KEY.get(one.key, one.key), text, one.why


def _proposed(proposals: Sequence[Proposal], width: int) -> Iterator[str]:
    for name, text, why in _assignments(proposals):
        yield f"  {name}={_quoted(text)}"
        yield _indented(why, 6, width)


def _quoted(text: str) -> str:
    """Return a text in single quotes, which a shell passes on unchanged."""
    return "'" + text.replace("'", "'\\''") + "'"


def _indented(text: str, columns: int, width: int) -> str:
    return textwrap.fill(
        text, width, initial_indent=" " * columns, subsequent_indent=" " * (columns + 2), break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip
