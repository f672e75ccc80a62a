"""Tests of services/collector/results/evidence_codec.py."""

from __future__ import annotations

import contextlib
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.time_sample import TimeSample
from services.collector.results import evidence_codec
from services.collector.results.evidence_codec import UnknownClass, UnreadableEvidence
from services.collector.scan import Source
from services.collector.verdict.snapshot import snapshot
from services.contract.bounds import EVIDENCE_BYTES
from tests.builders.external_runs import evidence_of, log, numbered_messages

CATCH_UP = "services.collector.evidence.catch_up.CatchUp"
RUN = "services.collector.evidence.run_evidence.RunEvidence"
ARRIVALS = "services.collector.evidence.numbers.arrival_times.ArrivalTimesOfBlock"


def example() -> RunEvidence:
    """Return the evidence of a client that misses a record."""
    return evidence_of(log("client-1", numbered_messages([1, 2, 4]), seq="$.seq", time="$.ts"))


def packed(tree: object) -> bytes:
    """Return the bytes of a tree."""
    return zlib.compress(msgspec.msgpack.encode(tree))


def test_evidence_is_read_as_it_was_written() -> None:
    """What is published of evidence is the same after writing and reading it, and it can be added to."""
    evidence = example()
    copy = evidence_codec.decode(evidence_codec.encode(evidence), RunEvidence)

    for one in (evidence, copy):
        for source, lines in log("client-2", numbered_messages([1, 2, 3, 4]), seq="$.seq", time="$.ts").items():
            for line in lines:
                one.add_line(source, line)
    assert msgspec.json.encode(snapshot(evidence, final=True)) == msgspec.json.encode(snapshot(copy, final=True))


@pytest.mark.parametrize(
    "value",
    [
        2**80,
        -(2**70),
        [1, "a", None, (2.5, b"x")],
        {(1, "a"): {2}, "b": frozenset({3})},
        Counter({"a": 2}),
        [Source("run", None, "a.jsonl")],
    ],
)
def test_values_keep_their_types(value: object) -> None:
    """Numbers of any size, containers within containers and objects are read as what they were."""
    evidence: Any = RunEvidence("20261129T000000Z")
    evidence.pulled = value
    copy: Any = evidence_codec.decode(evidence_codec.encode(evidence), RunEvidence)

    assert (type(value), value) == (type(copy.pulled), copy.pulled)


def test_an_object_stays_one_object() -> None:
    """An object that evidence refers to twice is one object after reading."""
    evidence: Any = RunEvidence("20261129T000000Z")
    evidence.pulled = [evidence.times, evidence]
    copy: Any = evidence_codec.decode(evidence_codec.encode(evidence), RunEvidence)

    assert copy.times is copy.pulled[0]
    assert copy is copy.pulled[1]


@pytest.mark.parametrize("value", [Path("/"), print, object(), ValueError("no")])
def test_other_objects_are_not_written(value: object) -> None:
    """Evidence that holds something else than data is a mistake of the program, which names the class."""
    evidence: Any = RunEvidence("20261129T000000Z")
    evidence.pulled = value

    with pytest.raises(UnknownClass, match=f"{type(value).__name__} is no class of evidence"):
        evidence_codec.encode(evidence)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (["object", "os.system", ["true"], []], "class 'os.system' is not part of any evidence"),
        (["object", "builtins.eval", []], "class 'builtins.eval' is not part of any evidence"),
        (["object", "services.contract.jsonl.re", []], "class 'services.contract.jsonl.re' is not part of"),
        (["object", "services.collector.scan.RunFiles", [], []], "RunFiles' is not part of any evidence"),
        (["object", ["list", []], []], "a class .* is not part of any evidence"),
        (["object", RUN, ["__class__"], [1]], "RunEvidence has no attribute '__class__'"),
        (["object", RUN, ["merge"], [1]], "RunEvidence.merge is no attribute of its objects"),
        (["object", RUN, [5], [1]], "RunEvidence has no attribute 5"),
        (["object", RUN, ["run"], [1, 2]], "longer"),
        (["object", ARRIVALS, ["a"]], "ArrivalTimesOfBlock has 1 values"),
        (["method", ["object", RUN, [], []], "merge"], "RunEvidence.merge is not part of any evidence"),
        (["method", ["object", CATCH_UP, [], []], "merge"], "CatchUp.merge is not part of any evidence"),
        (["method", ["Counter", [], []], "update"], "Counter.update is not part of any evidence"),
        (["same", 0], "refers to an object that it does not have"),
        (["object", ARRIVALS, [["same", 0], 1, 2, 3]], "refers to an object that it does not have"),
        (["same", -1], "refers to an object that it does not have"),
        (["set", [["list", []]]], "unhashable"),
        (["list", "ab"], "no list where there has to be one"),
        (["array", "w", b""], "bad typecode"),
        (["array", "q", b"1"], "multiple of item size"),
        (["int", "1" * 101], "a number of 101 digits"),
        (["int", "1.5"], "invalid literal"),
        (["constant", "other"], "KeyError"),
        (["object", "services.contract.rangeset.RangeSet", ["other"], [1]], "AttributeError"),
        (["eval", "1"], "a value of an unknown kind"),
        ([], "a value of an unknown kind"),
        ({"a": 1}, "a value of an unknown kind"),
        (5, "int in place of RunEvidence"),
    ],
)
def test_anything_but_evidence_is_refused(tree: object, message: str) -> None:
    """A tree that names a function, another class or an attribute of a class, or contradicts itself, is refused."""
    with pytest.raises(UnreadableEvidence, match=message):
        evidence_codec.decode(packed(tree), RunEvidence)


def test_the_depth_is_bounded() -> None:
    """Values that are nested deeper than those of any evidence are refused."""
    tree: object = ["list", []]
    for _ in range(300):
        tree = ["list", [tree]]

    with pytest.raises(UnreadableEvidence, match="nested in more than 200 levels"):
        evidence_codec.decode(packed(tree), RunEvidence)


def test_the_size_is_bounded() -> None:
    """Bytes that expand beyond the bound are refused before they are all expanded."""
    packer = zlib.compressobj()
    pieces = [packer.compress(bytes(2**20)) for _ in range(EVIDENCE_BYTES.value // 2**20 + 1)]

    with pytest.raises(UnreadableEvidence, match="it is cut, or has over 134,217,728 bytes"):
        evidence_codec.decode(b"".join([*pieces, packer.flush()]), RunEvidence)


@pytest.mark.parametrize("data", [b"", b"hello", zlib.compress(b""), zlib.compress(b"\xc1"), packed(1)[:-3]])
def test_other_bytes_are_no_evidence(data: bytes) -> None:
    """Bytes that are no evidence are refused."""
    with pytest.raises(UnreadableEvidence):
        evidence_codec.decode(data, RunEvidence)


BYTES = zlib.decompress(evidence_codec.encode(example()))


@given(st.lists(st.tuples(st.integers(0, len(BYTES) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_altered_bytes_are_refused_or_evidence(changes: list[tuple[int, int]]) -> None:
    """Whatever bytes are altered, the result is evidence or a refusal."""
    altered = bytearray(BYTES)
    for at, byte in changes:
        altered[at] = byte
    found: object = None
    with contextlib.suppress(UnreadableEvidence):
        found = evidence_codec.decode(zlib.compress(altered), RunEvidence)

    assert found is None or isinstance(found, RunEvidence)


def test_evidence_of_another_kind_is_refused() -> None:
    """The evidence of a run is not taken for a sample of its times."""
    with pytest.raises(UnreadableEvidence, match="RunEvidence in place of TimeSample"):
        evidence_codec.decode(evidence_codec.encode(evidence_of(log("client-1"))), TimeSample)
