"""Summary and timeline are functions of the set of lines: whatever happens to the files, their bytes are the same."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from chaos.atrest import damaged_run, reference
from chaos.atrest.conftest import Count
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.open_run import OpenRun
from services.collector.scan import FileTail, Source
from services.collector.verdict.snapshot import Snapshot, snapshot
from services.contract import ledger, summary, timeline
from tests.builders import external_runs
from tests.builders import runs as factory

HISTORIES = 800
"""Random histories of each volume: more than ten thousand together."""
READ = 40
"""… of which so many are read from real files that grow meanwhile."""

Volume = dict[Source, bytes]


def _with(source: Source, place: int, *instead: bytes) -> Volume:
    lines = damaged_run.sound()[source]
    return {**damaged_run.volume(), source: b"".join([*lines[:place], *instead, *lines[place + 1 :]])}


def _doubly(source: Source, instead: dict[int, bytes]) -> Volume:
    lines = [instead.get(place, line) for place, line in enumerate(damaged_run.sound()[source])]
    return {**damaged_run.volume(), source: b"".join(lines)}


def _two_servers() -> Volume:
    """Return the sound volume, with a second server that entered the end and repeated a receipt."""
    first = factory.ledger_source()
    lines = damaged_run.sound()[first]
    entries = [ledger.codec.decode(line)[1] for line in lines]
    writer = factory.Writer(ledger.codec)
    for entry in (factory.opening(damaged_run.TOTAL, 2), *entries[-3:]):
        writer.put(entry)
    return {**damaged_run.volume(), first: b"".join(lines[:-1]), factory.ledger_source("ff"): b"".join(writer.lines)}


def _caught_up(lines: Mapping[int, bytes] | None = None) -> Volume:
    """Return a volume whose clients came when the run went on already; with some lines of a first log changed."""
    made = reference.sessions(damaged_run.TOTAL, damaged_run.SIZE)[1:]
    for session, seqs in zip(made, (3, 20, 6, 18), strict=True):
        session.attempted_us = factory.START_US + seqs * 1000
    files = reference.books(made, damaged_run.TOTAL)
    # A block of the first session stands in a file of the second one, too.
    one, other = factory.log_source("client-2"), factory.log_source("client-2", 2)
    if lines is None:
        return reference.texts(files)
    files[other].insert(1, files[one][1])
    files[one] = [lines.get(number, line) for number, line in enumerate(files[one])]
    return reference.texts(files)


def _counted() -> Volume:
    """Return a volume whose client counted duplicates, reordered and corrupt records, and logged one block twice."""
    changes: dict[int, dict[str, Any]] = {
        2: {"duplicates": 3, "corrupt": [(5, 6)]},
        3: {"reordered": 2, "clock_error_us": 70},
    }
    session = factory.Session("client-2", 3, 2, 0, [(1, 4), (5, 8), (9, 12)], 4, changes=changes)
    return {**damaged_run.volume(), **reference.texts(factory.log_files(session))}


def _heard(*clients: Sequence[int | None], key: str | None = None) -> Volume:
    """Return the logs of clients of a feed that is not ours, which received these numbers."""
    logs = [external_runs.log(f"client-{at}", external_runs.heard(seqs, key=key)) for at, seqs in enumerate(clients, 1)]
    return {source: b"".join(lines) for one in logs for source, lines in one.items()}


@cache
def kinds_of_volume() -> dict[str, Volume]:
    """Return volumes, sound and damaged."""
    one, two = factory.log_source("client-2", 2, 2), factory.log_source("client-3")
    line = damaged_run.sound()[one][2]
    return {
        "sound": damaged_run.volume(),
        "two servers": _two_servers(),
        "counted": _counted(),
        "caught up": _caught_up(),
        "caught up, and mixed up": _caught_up({}),
        "caught up, headless": _caught_up({0: b"?\n"}),
        "flipped": _with(one, 2, line[:90] + bytes([line[90] ^ 1]) + line[91:]),
        "dropped": _with(one, 2),
        "headless": _with(one, 0, b"?\n"),
        "beheaded": _with(one, 0),
        "ledger beheaded": _with(factory.ledger_source(), 0),
        "ledger flipped": _with(factory.ledger_source(), 5, b"?\n"),
        "foreign": _with(two, 1, damaged_run.sound()[one][3]),
        "torn": {**damaged_run.volume(), two: damaged_run.volume()[two] + line[:100]},
        "flipped and dropped": _doubly(one, {1: b"?\n", 3: b""}),
        "flipped twice": _doubly(one, {1: b"?\n", 3: b"!\n"}),
        "not ours": _heard([3, 4, 4, 7, 6, 8, None, 9], [2, 3, 4, 5, 6, 7, 8, 9]),
        "not ours, without numbers": _heard([None] * 12, [None] * 9),
        "not ours, with keys": _heard([1, 2, 4, 4], [1, 2, 3, 4, 5], key="a"),
        "not ours, begun again": _heard([*range(1500, 1512), 0, 1, 2, 3], [*range(1500, 1510), 1, 2, 3]),
        "foreign and flipped": _doubly(one, {1: damaged_run.sound()[two][1], 3: b"?\n"}),
    }


KINDS = pytest.mark.parametrize("kind", kinds_of_volume())


def relive(files: Volume, *, renames: bool, dice: random.Random) -> Volume:
    """Return the files after people copied them, whole or in part, renamed them, and listed them in another order."""
    changed = []
    for source, data in files.items():
        if renames and dice.random() < 0.3:
            changed.append((_named(source, dice), data))
        else:
            changed.append((source, data))
        if dice.random() < 0.25:
            lines, tail = reference.split(data)
            part = data if dice.random() < 0.5 and not tail else b"".join(lines[: dice.randint(0, len(lines))])
            changed.append((_named(source, dice), part))
    dice.shuffle(changed)
    return dict(changed)


def _named(source: Source, dice: random.Random) -> Source:
    # Of the log's own kind it would claim a session that never was; a copy's name is the longer one.
    number = f"{dice.getrandbits(40):013}"
    return Source(source.run, source.client, dice.choice((f"{number}.jsonl", f"copy of {number}.jsonl")))


def interleaved(files: Volume, dice: random.Random) -> Iterator[tuple[Source, bytes]]:
    """Return the lines of the files, each file's in its order, the files in any and by turns."""
    waiting = [(source, reference.split(data)[0]) for source, data in files.items()]
    begun = [(source, iter(lines)) for source, lines in waiting if lines]
    while begun:
        source, lines = dice.choice(begun)
        for _ in range(dice.choice((1, 2, 50))):
            line = next(lines, None)
            if line is None:
                begun.remove((source, lines))
                break
            yield source, line


def told(made: Snapshot) -> bytes:
    """Return all that is told of a run, in numbers and over time."""
    return summary.encode(made.summary) + timeline.encode(made.timeline)


def read(files: Volume, dice: random.Random) -> bytes:
    """Return what is told of files read in a random order, by a collector that is asked meanwhile or restarted."""
    lines = list(interleaved(files, dice))
    if dice.random() < 0.1:
        # It read this much, told it, was killed, and began again.
        books = RunEvidence(factory.RUN)
        for source, line in lines[: dice.randint(0, len(lines))]:
            books.add_line(source, line)
        snapshot(books, final=False)
    books = RunEvidence(factory.RUN)
    asked = dice.randrange(4 * len(lines))
    for index, (source, line) in enumerate(lines):
        books.add_line(source, line)
        if index == asked:
            books.add_sources(files)
            snapshot(books, final=False)
    books.add_sources(files)
    books.add_tails(FileTail(source, tail) for source, data in files.items() if (tail := reference.split(data)[1]))
    return told(snapshot(books, final=True))


@KINDS
def test_any_history_gives_the_same_bytes(kind: str, count: Count) -> None:
    """Copies, renames, interleavings, questions in between and restarts change no byte of summary and timeline."""
    files = kinds_of_volume()[kind]
    made = snapshot(damaged_run.fold(files), final=True)
    expected = told(made)
    # A fault is told with the name of its file, so there a rename is seen, and rightly.
    renames = not made.summary.faults
    for seed in range(HISTORIES):
        dice = random.Random(f"{kind} {seed}")
        assert expected == read(relive(files, renames=renames, dice=dice), dice), f"seed {kind} {seed}"
        count("any order")


@KINDS
def test_any_history_of_real_files_gives_the_same_bytes(kind: str, tmp_path: Path, count: Count) -> None:
    """Files that grow piece by piece while they are read, rewritten or read again by another collector: the same."""
    files = kinds_of_volume()[kind]
    made = snapshot(damaged_run.fold(files), final=True)
    expected = told(made)
    for seed in range(READ):
        dice = random.Random(f"files {kind} {seed}")
        follow = grow(files, tmp_path / str(seed), dice)
        while follow.read(0, lambda: False) or follow.is_behind:
            pass
        assert expected == told(follow.snapshot((), final=True)), f"seed files {kind} {seed}"
        count("any order of real files")


def grow(files: Volume, folder: Path, dice: random.Random) -> OpenRun:
    """Write the files by pieces, reading between them; return the collector that is there in the end."""
    follow, rest = OpenRun(folder, factory.RUN, 0), {source: data for source, data in files.items() if data}
    while rest:
        source = dice.choice(list(rest))
        piece = dice.choice((1, 100, 1000, 10_000))
        path = folder / source.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(rest[source][:piece])
        rest[source] = rest[source][piece:]
        if not rest[source]:
            del rest[source]
        if dice.random() < 0.3:
            follow.read(0, lambda: dice.random() < 0.05)
        if dice.random() < 0.03:
            follow = OpenRun(folder, factory.RUN, 0)
    return follow
