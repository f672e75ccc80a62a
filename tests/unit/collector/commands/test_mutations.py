"""Tests of services/collector/commands/mutations.py."""

from pathlib import Path
from random import Random

import pytest

from services.collector.commands import mutations
from services.collector.commands.mutations import Mutation, NotApplicable, RunFileSet
from services.collector.scan import Source
from services.contract.errors import LineError
from services.contract.jsonl import unseal
from tests.builders.runs import RUN, Files, good_run, ledger_source, log_files, log_source, write
from tests.builders.runs import Session as Logged

GOOD = good_run()


def run(volumes: Path, files: Files | None = None, seed: int = 1) -> RunFileSet:
    """Return the files of a run, a good one unless another is given."""
    write(GOOD if files is None else files, volumes)
    return RunFileSet(volumes, RUN, Random(seed))


def changed(damaged: Mutation) -> tuple[Source, list[bytes], list[bytes]]:
    """Return the one file that a damage changes, with its lines before and after."""
    ((source, lines),) = damaged.files.items()
    return source, GOOD[source], lines or []


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_one_bit_is_flipped(tmp_path: Path, header: bool, seed: int) -> None:
    """One bit of one block differs, before or within the messages, and the line is refused."""
    damaged = mutations.bit_flipped(run(tmp_path, seed=seed), header=header)
    source, before, after = changed(damaged)
    ((at, old, new),) = [
        (at, old, new) for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new
    ]  # fmt: skip
    ((byte, bits),) = [(byte, a ^ b) for byte, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]

    assert 1 == bits.bit_count()
    assert header is (byte < old.index(b'"messages":['))
    assert (mutations.place(source, at),) == damaged.named
    with pytest.raises(LineError):
        unseal(new)


def test_a_line_is_removed(tmp_path: Path) -> None:
    """One line is removed, and the line after it is to be named."""
    damaged = mutations.line_removed(run(tmp_path))
    source, before, after = changed(damaged)
    at = int(damaged.where.rpartition(":")[2]) - 1

    assert before[:at] + before[at + 1 :] == after
    assert (f"{source.path}:{at + 1}",) == damaged.named


def test_a_file_is_removed(tmp_path: Path) -> None:
    """One file of a log is removed, and its client is to be named."""
    damaged = mutations.file_removed(run(tmp_path))
    ((source, lines),) = damaged.files.items()

    assert None is lines
    assert f"{source.client}: " == damaged.named[0]


def test_two_lines_are_swapped(tmp_path: Path) -> None:
    """Two adjacent lines are swapped."""
    _, before, after = changed(mutations.lines_swapped(run(tmp_path)))
    at = next(at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new)

    assert [*before[:at], before[at + 1], before[at], *before[at + 2 :]] == after


def test_a_line_is_repeated(tmp_path: Path) -> None:
    """A line follows itself."""
    _, before, after = changed(mutations.line_repeated(run(tmp_path)))

    assert len(before) + 1 == len(after)
    assert set(before) == set(after)


def test_a_file_is_cut_within_its_last_block(tmp_path: Path) -> None:
    """The truncated file ends within the last block."""
    _, before, after = changed(mutations.tail_cut(run(tmp_path)))

    assert before[: len(after) - 1] == after[:-1]
    assert before[len(after) - 1].startswith(after[-1])
    assert not after[-1].endswith(b"\n")
    assert mutations.indexes(before, "block")[-1] == len(after) - 1


def test_a_line_is_another_clients(tmp_path: Path) -> None:
    """A line is replaced by one of another client's log."""
    source, before, after = changed(mutations.line_of_another(run(tmp_path)))
    ((line,),) = ([new for old, new in zip(before, after, strict=True) if old != new],)

    assert line in [one for other, lines in GOOD.items() if other.client != source.client for one in lines]


@pytest.mark.parametrize(
    ("damage", "kind"), [(mutations.receipt_removed, b'"receipt"'), (mutations.end_removed, b'"kind":"end"')]
)
def test_a_line_of_the_ledger_is_removed(tmp_path: Path, damage: type, kind: bytes) -> None:
    """One line of that kind is removed from the ledger."""
    source, before, after = changed(damage(run(tmp_path)))
    ((line,),) = ([line for line in before if line not in after],)

    assert ledger_source() == source
    assert kind in line
    assert len(before) - 1 == len(after)


@pytest.mark.parametrize(
    "damage",
    [
        mutations.line_removed, mutations.lines_swapped, mutations.tail_cut, mutations.receipt_removed,
        mutations.end_removed, mutations.line_of_another,
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_damaged(tmp_path: Path, damage: type) -> None:
    """A run without blocks or a ledger cannot be damaged, and the error names the missing part."""
    files = log_files(Logged("client-1", 1, 1, 0, []))

    with pytest.raises(NotApplicable, match="has"):
        damage(run(tmp_path, files))


def test_a_single_client_has_no_other(tmp_path: Path) -> None:
    """With one client no line of another one can be inserted."""
    files = {source: lines for source, lines in GOOD.items() if source.client in (None, "client-1")}

    with pytest.raises(NotApplicable, match="no other client"):
        mutations.line_of_another(run(tmp_path, files))


def test_the_same_seed_chooses_the_same_place(tmp_path: Path) -> None:
    """The same seed selects the same bit, another seed another one."""
    places = [mutations.bit_flipped(run(tmp_path, seed=seed), header=False).where for seed in (1, 1, 2)]

    assert places[0] == places[1] != places[2]


def test_a_place_is_counted_from_one() -> None:
    """The place of a line counts from 1, as in reports."""
    assert f"{log_source('a').path}:1" == mutations.place(log_source("a"), 0)


def test_an_incomplete_line_is_not_damaged_again() -> None:
    """A torn last line is of no kind: a run with a copy of a file that ends in one may pass."""
    whole = GOOD[log_source("client-1")]
    torn = [*whole[:2], whole[2][:60]]

    assert mutations.indexes(whole, "block")[:2] == [1, 2]
    assert mutations.indexes(torn, "block") == [1]
