"""Tests of services/collector/results/evidence_codec.py."""

from __future__ import annotations

import os
import pickle
import zlib
from collections import Counter
from functools import partial

import msgspec
import pytest

from services.collector.evidence.catch_up import CatchUp
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.time_sample import TimeSample
from services.collector.results import evidence_codec
from services.collector.results.evidence_codec import UnreadableEvidence
from services.collector.scan import RunFiles
from services.collector.verdict.snapshot import snapshot
from services.contract import jsonl
from tests.builders.external_runs import evidence_of, log, numbered_messages


class Forged:
    """Stands for whatever a forged file names, and calls when it is read."""

    def __init__(self, call: object, *arguments: object) -> None:
        self._reduced = call, arguments

    def __reduce__(self) -> tuple[object, ...]:
        """Return what is called."""
        return self._reduced


def test_evidence_is_read_as_it_was_written() -> None:
    """What is published of evidence is the same after writing and reading it, and it can be added to."""
    evidence = evidence_of(log("client-1", numbered_messages([1, 2, 4]), seq="$.seq", time="$.ts"))
    copy = evidence_codec.decode(evidence_codec.encode(evidence), RunEvidence)

    for one in (evidence, copy):
        for source, lines in log("client-2", numbered_messages([1, 2, 3, 4]), seq="$.seq", time="$.ts").items():
            for line in lines:
                one.add_line(source, line)
    assert msgspec.json.encode(snapshot(evidence, final=True)) == msgspec.json.encode(snapshot(copy, final=True))


@pytest.mark.parametrize(
    ("forged", "name"),
    [
        (Forged(os.system, "true"), "posix.system"),
        (Forged(eval, "1"), "builtins.eval"),
        (Forged(getattr, CatchUp(print), "merge"), "builtins.print"),
        (Forged(getattr, Counter(), "update"), "Counter.update"),
        (Forged(getattr, Counter(), "__class__"), "Counter.__class__"),
        (Forged(partial(print)), "functools.partial"),
        (Forged(jsonl.seal, b"{}", ""), "services.contract.jsonl.seal"),
        (Forged(RunFiles, "/", "run"), "services.collector.scan.RunFiles"),
        (Forged(pickle.loads, b""), "_pickle.loads"),
    ],
)
def test_nothing_but_evidence_is_looked_up(forged: object, name: str) -> None:
    """A function, a class that reads files, a method or any other attribute is refused by its name."""
    with pytest.raises(UnreadableEvidence, match=f"{name} is not part of any evidence"):
        evidence_codec.decode(zlib.compress(pickle.dumps(forged)), RunEvidence)


@pytest.mark.parametrize(
    "name", [b"services.contract.jsonl\nre.compile", b"services.contract.jsonl\nre", b"services.contract.none\nThing"]
)
def test_what_a_module_has_imported_is_not_its_own(name: bytes) -> None:
    """A name with dots, another module, and a module that is not loaded are refused."""
    with pytest.raises(UnreadableEvidence, match="is not part of any evidence"):
        evidence_codec.decode(zlib.compress(b"c" + name + b"\n."), RunEvidence)


@pytest.mark.parametrize("data", [b"", b"hello", zlib.compress(b""), zlib.compress(b"hello"), zlib.compress(b"(((")])
def test_other_bytes_are_no_evidence(data: bytes) -> None:
    """Bytes that are no evidence are refused."""
    with pytest.raises(UnreadableEvidence):
        evidence_codec.decode(data, RunEvidence)


def test_evidence_of_another_kind_is_refused() -> None:
    """The evidence of a run is not taken for a sample of its times, nor a value for evidence."""
    with pytest.raises(UnreadableEvidence, match="RunEvidence in place of TimeSample"):
        evidence_codec.decode(evidence_codec.encode(evidence_of(log("client-1"))), TimeSample)
    with pytest.raises(UnreadableEvidence, match="list in place of RunEvidence"):
        evidence_codec.decode(zlib.compress(pickle.dumps([])), RunEvidence)
