"""Fuzzing tries every decoder, and finds what it is to find."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.fuzz import corpus
from chaos.fuzz.mutator import MOST_BYTES, mutated
from chaos.fuzz.target import Target
from chaos.fuzz.targets import TARGETS
from chaos.fuzz.worker import Worker
from services.contract import wire
from services.contract.errors import PeerError
from tests.integration.processes import ROOT, Process


def test_no_decoder_has_a_finding() -> None:
    """Every decoder takes all inputs of the corpus, and some that are new, as it declares."""
    with Process("chaos.fuzz", SECONDS=5) as fuzzing:
        assert 0 == fuzzing.wait(200), fuzzing.text
        assert "0 findings" == fuzzing.lines[-1]
        assert len(TARGETS) == sum(line.startswith("| ") for line in fuzzing.lines) - 1


def test_every_decoder_has_inputs_to_begin_with() -> None:
    """Every decoder has a folder in the corpus, and every folder a decoder."""
    assert sorted(target.name for target in TARGETS) == sorted(path.name for path in corpus.FOLDER.iterdir())


def test_the_corpus_is_that_of_the_kit(tmp_path: Path) -> None:
    """The seeds are those that are made of the conformance kit."""
    corpus.write(tmp_path, corpus.seeds())

    assert _seeds(corpus.FOLDER) == _seeds(tmp_path)


def _seeds(folder: Path) -> set[Path]:
    """Return the seeds of a folder without those that contain compressed data, which differs between libraries."""
    found = {path.relative_to(folder) for path in folder.glob("*/seed-*")}
    return {path for path in found if path.parts[0] not in ("external-frames", "part")}


def _broken_decoder(data: bytes) -> None:
    frame = wire.decode_from_client(data)
    if isinstance(frame, wire.Bye) and frame.last is not None and frame.last > 100:
        raise KeyError(frame.last)


def test_a_broken_decoder_is_found(tmp_path: Path) -> None:
    """An error that is not declared is found by changing inputs, shortened, and kept once."""
    target = Target("broken", _broken_decoder, (PeerError,))
    worker = Worker(
        target, [b'{"type":"bye","last":5,"reason":"long, and not needed for the error"}'], 1, tmp_path / "now"
    )
    worker.run(10)

    (found,) = worker.findings
    assert found.what.startswith("KeyError")
    assert b"reason" not in found.data
    with pytest.raises(KeyError):
        _broken_decoder(found.data)


@pytest.mark.parametrize("code", ["b'x' * (200 * 2**20)", "sum(range(10**8))"], ids=["memory", "time"])
def test_costs_are_found(tmp_path: Path, code: str) -> None:
    """An input that takes much memory or time is a finding."""
    # In a process of its own: that of the tests may once have had more memory than this takes.
    program = (
        "import pathlib; from chaos.fuzz.target import Target; from chaos.fuzz.worker import Worker\n"
        f"one = Worker(Target('costly', lambda _data: {code}), [b'x'], 1, pathlib.Path({str(tmp_path / 'now')!r}))\n"
        "one.run(0)\n"
        "print([found.what for found in one.findings])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, capture_output=True, text=True)

    assert done.stdout.startswith("['takes "), done.stderr


def test_a_process_that_ends_is_a_finding(tmp_path: Path) -> None:
    """The input that ended a process is in its file."""
    program = (
        "import os, pathlib; from chaos.fuzz.target import Target; from chaos.fuzz.worker import Worker\n"
        f"Worker(Target('x', lambda data: os._exit(9)), [b'deadly'], 1, pathlib.Path({str(tmp_path / 'now')!r})).run(1)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)

    assert 9 == done.returncode
    data = (tmp_path / "now").read_bytes()
    assert b"deadly" == data[8 : 8 + int.from_bytes(data[:8])]


def test_mutations_are_those_of_the_seed() -> None:
    """The same seed makes the same inputs, none longer than the bound."""
    made = [[mutated(b'{"a":[1,2]}' * 9000, random.Random(seed), [b"other"]) for seed in range(50)] for _ in range(2)]

    assert made[0] == made[1]
    assert all(len(data) <= MOST_BYTES for data in made[0])
