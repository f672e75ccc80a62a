"""Summary and timeline depend only on the set of lines: copies, renames and reading order do not change them."""

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

ARRANGEMENTS = 800
"""Random arrangements of each volume, more than ten thousand together."""
READ = 40
"""Random arrangements of each volume that are read from real, growing files."""

Volume = dict[Source, bytes]


def _with_line_changed(source: Source, place: int, *instead: bytes) -> Volume:
    lines = damaged_run.intact_lines()[source]
    return {**damaged_run.intact_volume(), source: b"".join([*lines[:place], *instead, *lines[place + 1 :]])}


def _with_lines_changed(source: Source, instead: dict[int, bytes]) -> Volume:
    lines = [instead.get(place, line) for place, line in enumerate(damaged_run.intact_lines()[source])]
    return {**damaged_run.intact_volume(), source: b"".join(lines)}


def _two_servers() -> Volume:
    """Return the intact volume with a second server that recorded the end and repeated a receipt."""
    first = factory.ledger_source()
    lines = damaged_run.intact_lines()[first]
    entries = [ledger.codec.decode(line)[1] for line in lines]
    writer = factory.Writer(ledger.codec)
    for entry in (factory.opening(damaged_run.TOTAL, 2), *entries[-3:]):
        writer.put(entry)
    return {
        **damaged_run.intact_volume(),
        first: b"".join(lines[:-1]),
        factory.ledger_source("ff"): b"".join(writer.lines),
    }


def _joined_late(lines: Mapping[int, bytes] | None = None) -> Volume:
    """Return a volume whose clients joined during the run; with some lines of a first log changed."""
    sessions = reference.sessions(damaged_run.TOTAL, damaged_run.SIZE)[1:]
    for session, seqs in zip(sessions, (3, 20, 6, 18), strict=True):
        session.attempted_us = factory.START_US + seqs * 1000
    files = reference.run_files(sessions, damaged_run.TOTAL)
    # Put a block of the first session into the file of the second one, too.
    one, other = factory.log_source("client-2"), factory.log_source("client-2", 2)
    if lines is None:
        return reference.texts(files)
    files[other].insert(1, files[one][1])
    files[one] = [lines.get(number, line) for number, line in enumerate(files[one])]
    return reference.texts(files)


def _with_counts() -> Volume:
    """Return a volume with duplicates, reordered and corrupt records, and a block that was logged twice."""
    changes: dict[int, dict[str, Any]] = {
        2: {"duplicates": 3, "corrupt": [(5, 6)]},
        3: {"reordered": 2, "clock_error_us": 70},
    }
    session = factory.Session("client-2", 3, 2, 0, [(1, 4), (5, 8), (9, 12)], 4, changes=changes)
    return {**damaged_run.intact_volume(), **reference.texts(factory.log_files(session))}


def _external(*clients: Sequence[int | None], key: str | None = None) -> Volume:
    """Return the logs of clients of an external feed that received these sequence numbers."""
    logs = [
        external_runs.log(f"client-{at}", external_runs.numbered_messages(seqs, key=key))
        for at, seqs in enumerate(clients, 1)
    ]
    return {source: b"".join(lines) for one in logs for source, lines in one.items()}


def _external_sessions() -> Volume:
    """Return the logs of clients of an external feed whose sessions name different ends of the run."""
    logs = [
        external_runs.log(
            client,
            external_runs.numbered_messages(range(first, first + 9)),
            session=session,
            until_us=external_runs.UNTIL_US - 1_000_000 * session,
            silence_s=60 * session,
        )
        for client in ("client-1", "client-2")
        for session, first in ((1, 1), (2, 10), (3, 19))
    ]
    return {source: b"".join(lines) for one in logs for source, lines in one.items()}


@cache
def kinds_of_volume() -> dict[str, Volume]:
    """Return intact and damaged volumes by name."""
    one, two = factory.log_source("client-2", 2, 2), factory.log_source("client-3")
    line = damaged_run.intact_lines()[one][2]
    return {
        "intact": damaged_run.intact_volume(),
        "two servers": _two_servers(),
        "with counts": _with_counts(),
        "joined late": _joined_late(),
        "joined late, misfiled": _joined_late({}),
        "joined late, open line damaged": _joined_late({0: b"?\n"}),
        "flipped": _with_line_changed(one, 2, line[:90] + bytes([line[90] ^ 1]) + line[91:]),
        "dropped": _with_line_changed(one, 2),
        "open line damaged": _with_line_changed(one, 0, b"?\n"),
        "open line removed": _with_line_changed(one, 0),
        "ledger's open line removed": _with_line_changed(factory.ledger_source(), 0),
        "ledger flipped": _with_line_changed(factory.ledger_source(), 5, b"?\n"),
        "misfiled": _with_line_changed(two, 1, damaged_run.intact_lines()[one][3]),
        "torn": {**damaged_run.intact_volume(), two: damaged_run.intact_volume()[two] + line[:100]},
        "flipped and dropped": _with_lines_changed(one, {1: b"?\n", 3: b""}),
        "flipped twice": _with_lines_changed(one, {1: b"?\n", 3: b"!\n"}),
        "external": _external([3, 4, 4, 7, 6, 8, None, 9], [2, 3, 4, 5, 6, 7, 8, 9]),
        "external, without numbers": _external([None] * 12, [None] * 9),
        "external, with keys": _external([1, 2, 4, 4], [1, 2, 3, 4, 5], key="a"),
        "external, restarted": _external([*range(1500, 1512), 0, 1, 2, 3], [*range(1500, 1510), 1, 2, 3]),
        "external, sessions that differ": _external_sessions(),
        "misfiled and flipped": _with_lines_changed(one, {1: damaged_run.intact_lines()[two][1], 3: b"?\n"}),
    }


VOLUMES = pytest.mark.parametrize("kind", kinds_of_volume())


def rearrange(files: Volume, *, renames: bool, rng: random.Random) -> Volume:
    """Return the files with random copies, whole or in part, random renames, and in random order."""
    changed = []
    for source, data in files.items():
        if renames and rng.random() < 0.3:
            changed.append((_named(source, rng), data))
        else:
            changed.append((source, data))
        if rng.random() < 0.25:
            lines, tail = reference.split(data)
            part = data if rng.random() < 0.5 and not tail else b"".join(lines[: rng.randint(0, len(lines))])
            changed.append((_named(source, rng), part))
    rng.shuffle(changed)
    return dict(changed)


def _named(source: Source, rng: random.Random) -> Source:
    # A name of the logs' own form would claim a session that never existed, so a copy gets another form.
    number = f"{rng.getrandbits(40):013}"
    return Source(source.run, source.client, rng.choice((f"{number}.jsonl", f"copy of {number}.jsonl")))


def interleaved(files: Volume, rng: random.Random) -> Iterator[tuple[Source, bytes]]:
    """Yield the lines of the files: in order within a file, interleaved randomly between files."""
    waiting = [(source, reference.split(data)[0]) for source, data in files.items()]
    iterators = [(source, iter(lines)) for source, lines in waiting if lines]
    while iterators:
        source, lines = rng.choice(iterators)
        for _ in range(rng.choice((1, 2, 50))):
            line = next(lines, None)
            if line is None:
                iterators.remove((source, lines))
                break
            yield source, line


def encoded(result: Snapshot) -> bytes:
    """Return summary and timeline as bytes."""
    return summary.encode(result.summary) + timeline.encode(result.timeline)


def read_shuffled(files: Volume, rng: random.Random) -> bytes:
    """Return summary and timeline of files that are read in random order, with snapshots and restarts in between."""
    lines = list(interleaved(files, rng))
    if rng.random() < 0.1:
        # A collector that was killed after it had read and published a part.
        evidence = RunEvidence(factory.RUN)
        for source, line in lines[: rng.randint(0, len(lines))]:
            evidence.add_line(source, line)
        snapshot(evidence, final=False)
    evidence = RunEvidence(factory.RUN)
    query_index = rng.randrange(4 * len(lines))
    for index, (source, line) in enumerate(lines):
        evidence.add_line(source, line)
        if index == query_index:
            evidence.add_sources(files)
            snapshot(evidence, final=False)
    evidence.add_sources(files)
    evidence.add_tails(FileTail(source, tail) for source, data in files.items() if (tail := reference.split(data)[1]))
    return encoded(snapshot(evidence, final=True))


@VOLUMES
def test_any_history_gives_the_same_bytes(kind: str, count: Count) -> None:
    """Copies, renames, reading order, snapshots in between and restarts change no byte of summary and timeline."""
    files = kinds_of_volume()[kind]
    result = snapshot(damaged_run.fold(files), final=True)
    expected = encoded(result)
    # A fault is reported with its file's name, so a rename changes the summary of a damaged volume.
    renames = not result.summary.faults
    for seed in range(ARRANGEMENTS):
        rng = random.Random(f"{kind} {seed}")
        assert expected == read_shuffled(rearrange(files, renames=renames, rng=rng), rng), f"seed {kind} {seed}"
        count("any order")


@VOLUMES
def test_any_history_of_real_files_gives_the_same_bytes(kind: str, tmp_path: Path, count: Count) -> None:
    """Files that grow while one collector or several read them give the same summary and timeline."""
    files = kinds_of_volume()[kind]
    result = snapshot(damaged_run.fold(files), final=True)
    expected = encoded(result)
    for seed in range(READ):
        rng = random.Random(f"files {kind} {seed}")
        open_run = grow(files, tmp_path / str(seed), rng)
        while open_run.read(0, lambda: False) or open_run.is_behind:
            pass
        assert expected == encoded(open_run.snapshot((), final=True)), f"seed files {kind} {seed}"
        count("any order of real files")


def grow(files: Volume, folder: Path, rng: random.Random) -> OpenRun:
    """Write the files in pieces and read in between; return the last collector's state of the run."""
    open_run, rest = OpenRun(folder, factory.RUN, 0), {source: data for source, data in files.items() if data}
    while rest:
        source = rng.choice(list(rest))
        piece = rng.choice((1, 100, 1000, 10_000))
        path = folder / source.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(rest[source][:piece])
        rest[source] = rest[source][piece:]
        if not rest[source]:
            del rest[source]
        if rng.random() < 0.3:
            open_run.read(0, lambda: rng.random() < 0.05)
        if rng.random() < 0.03:
            open_run = OpenRun(folder, factory.RUN, 0)
    return open_run
