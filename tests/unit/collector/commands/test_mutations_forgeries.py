"""Tests of services/collector/commands/mutations.py."""

from pathlib import Path
from random import Random

import pytest

from services.collector.commands import mutations
from services.collector.commands.mutations import NotApplicable, RunFileSet
from services.contract import blocklog
from tests.builders.runs import RUN, Files, Session, good_run, judged, log_files, write

GOOD = good_run()


def run(volumes: Path, files: Files | None = None, seed: int = 1) -> RunFileSet:
    """Return the files of a run, a good one unless another is given."""
    write(GOOD if files is None else files, volumes)
    return RunFileSet(volumes, RUN, Random(seed))


def records(line: bytes) -> tuple[bytes, ...]:
    """Return the records of a line."""
    _, entry = blocklog.codec.decode(line)
    return tuple(bytes(one.record) for one in entry.messages) if isinstance(entry, blocklog.Block) else ()


@pytest.mark.parametrize("seed", range(10))
def test_a_forged_latency_is_a_good_line(tmp_path: Path, seed: int) -> None:
    """A forged latency is a tenth of the original, and its line has a right checksum."""
    damaged = mutations.latency_forged(run(tmp_path, seed=seed))
    ((source, lines),) = damaged.files.items()
    ((old, new),) = [(old, new) for old, new in zip(GOOD[source], lines or [], strict=True) if old != new]
    before, after = blocklog.codec.decode(old)[1], blocklog.codec.decode(new)[1]
    assert isinstance(before, blocklog.Block)
    assert isinstance(after, blocklog.Block)
    ((was, made),) = [
        (a.latency_ns, b.latency_ns) for a, b in zip(before.messages, after.messages, strict=True) if a != b
    ]

    assert was // 10 == made
    assert (f"{source.path}:{(lines or []).index(new) + 2}",) == damaged.named


@pytest.mark.parametrize("seed", range(20))
def test_of_a_forged_record_the_log_shows_nothing(tmp_path: Path, seed: int) -> None:
    """After a forged record the log alone has no fault, and exactly one record has changed."""
    damaged = mutations.record_forged(run(tmp_path, seed=seed))
    ((source, lines),) = damaged.files.items()
    made = judged({**GOOD, source: lines or []})
    was, now = (set(map(records, of)) for of in (GOOD[source], lines or []))

    assert [] == made.faults
    assert (1, 1) == (len(was - now), len(now - was))
    assert [f"1 receipt differs from the feed or the log: {damaged.named[0]}"] == [
        reason.partition(": ")[2] for reason in made.reasons
    ]


def test_without_blocks_nothing_is_forged(tmp_path: Path) -> None:
    """A run without messages has no record and no latency to change."""
    files = log_files(Session("client-1", 1, 1, 0, []))

    for forgery in (mutations.latency_forged, mutations.record_forged):
        with pytest.raises(NotApplicable):
            forgery(run(tmp_path, files))
