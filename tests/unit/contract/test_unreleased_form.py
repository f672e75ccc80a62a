"""Tests that block logs of external feeds in the form that was never released are refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.contract import blocklog
from services.contract.errors import UnreleasedForm
from services.contract.jsonl import FIRST, fields, seal
from services.contract.unreleased_form import refuse_unreleased_form
from tests.unit.contract.test_blocklog_external import BLOCK, CONNECTION, OPEN

UNRELEASED_LOG = (Path(__file__).parent / "unreleased_external_log.jsonl").read_bytes().splitlines(keepends=True)
"""The log of ``client-1`` as it was written before the first release: open line, two blocks, end line."""

LINES = pytest.mark.parametrize("line", [BLOCK, OPEN, CONNECTION], ids=["block", "open", "connection"])


def old(line: blocklog.LogLine) -> bytes:
    """Return a line in the form that external feeds had before the first release."""
    renamed = {"external": "foreign", "positions": "heard"}
    values = {renamed.get(name, name): value for name, value in fields(line).items()}
    return seal(msgspec.json.encode(values | {"v": 1}), FIRST)[0]


@LINES
def test_the_form_before_the_first_release_is_refused(line: blocklog.LogLine) -> None:
    """A line of version 1 of an external feed is refused, and the reason names that version."""
    with pytest.raises(UnreleasedForm, match="version 1 of an external feed's block log"):
        blocklog.codec.decode(old(line))


def test_a_log_of_that_time_is_refused() -> None:
    """Every line is refused except the end line, which has had the same form ever since."""
    *lines, end = UNRELEASED_LOG

    assert isinstance(blocklog.codec.decode(end)[1], blocklog.EndLine)
    for line in lines:
        with pytest.raises(UnreleasedForm, match="record the run again"):
            blocklog.codec.decode(line)


@LINES
def test_released_lines_pass(line: blocklog.LogLine) -> None:
    """A line of an external feed as it is written today is not refused."""
    refuse_unreleased_form(blocklog.codec.encode(line, FIRST)[0])


@pytest.mark.parametrize("line", [b"", b"{}", b'{"v":1}', b'{"v":1,"kind":"end","foreign":{}}', b"\xff"])
def test_other_lines_pass(line: bytes) -> None:
    """An error for any other line is left to the codec."""
    refuse_unreleased_form(line)
