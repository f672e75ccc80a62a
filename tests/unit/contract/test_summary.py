"""Tests of the summary of a run."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from services.contract import summary
from services.contract.histogram import Histogram
from services.contract.summary import Quantiles, Summary
from services.runtime.errors import EXIT_ABORTED, EXIT_BAD_SETTINGS
from tests.unit.contract.strategies import by_type, instances

SCHEMA = summary.schema()


@given(instances(Summary))
def test_round_trip(made: Summary) -> None:
    """A summary is decoded to the value that was encoded."""
    assert made == summary.decode(summary.encode(made))


@given(instances(Summary))
def test_obeys_its_schema(made: Summary) -> None:
    """Every summary conforms to the published schema."""
    Draft202012Validator(SCHEMA).validate(json.loads(summary.encode(made)))


def test_schema_is_one() -> None:
    """The published schema is valid, and requires every field without a default."""
    Draft202012Validator.check_schema(SCHEMA)

    assert {"run", "verdict", "totals", "clients", "missing_by_cause"} <= {*SCHEMA["$defs"]["Summary"]["required"]}


@by_type
@given(instances(Summary))
def test_is_made_to_be_read(made: Summary) -> None:
    """The text is indented and ends in a newline, so that `cat` and `diff` show it well."""
    text = summary.encode(made)

    assert text.endswith(b"}\n")
    assert text.startswith(b'{\n  "v": 1,\n  "run": ')


@by_type
@given(instances(Summary))
def test_ignores_unknown_fields(made: Summary) -> None:
    """A field that this reader does not know is ignored, at any depth."""
    content = json.loads(summary.encode(made)) | {"mood": "good"}
    content["totals"]["mood"] = "good"

    assert made == summary.decode(json.dumps(content).encode())


@by_type
@given(instances(Summary))
def test_refuses_an_unknown_version(made: Summary) -> None:
    """A summary of another version is refused."""
    content = json.loads(summary.encode(made)) | {"v": summary.VERSION + 1}

    with pytest.raises(msgspec.ValidationError, match=r"\$\.v"):
        summary.decode(json.dumps(content).encode())


@pytest.mark.parametrize("text", [b"", b"{}", b"null", b'{"v":1', b"\xff"])
def test_refuses_garbage(text: bytes) -> None:
    """A text that is no summary is refused."""
    with pytest.raises(msgspec.MsgspecError):
        summary.decode(text)


def test_begins_at_nothing() -> None:
    """Sums without any addend are 0, and values that were not measured are null."""
    assert not any(msgspec.structs.astuple(summary.Totals()))
    assert not any(msgspec.structs.astuple(summary.Causes()))
    assert summary.Totals().messages_per_second is None


def test_quantiles_of_nothing() -> None:
    """A value that was not measured is null everywhere, never 0."""
    assert Quantiles() == Quantiles.of(Histogram())


def test_quantiles_of_a_histogram() -> None:
    """Quantiles have the exact minimum and maximum, and the percentiles of the histogram."""
    histogram = Histogram()
    histogram.record(range(1, 101))

    assert Quantiles(min=1, p50=50, p90=90, p95=95, p99=99, p99_9=100, max=100) == Quantiles.of(histogram)


@pytest.mark.parametrize(("verdict", "code"), [("PASS", 0), ("FAIL", 99), ("INVALID", 98)])
def test_exit_codes(verdict: str, code: int) -> None:
    """Each verdict has its documented exit code."""
    assert code == summary.EXIT_CODES[verdict]


def test_exit_codes_differ() -> None:
    """No two verdicts have the same exit code."""
    codes: list[Any] = [*summary.EXIT_CODES.values(), EXIT_BAD_SETTINGS, EXIT_ABORTED]

    assert len(codes) == len(set(codes))
    assert (EXIT_BAD_SETTINGS, EXIT_ABORTED) == (104, 105)
