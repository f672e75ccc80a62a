"""Tests that block logs of external feeds in the form that was never released are refused."""

from __future__ import annotations

import msgspec
import pytest

from services.contract import blocklog
from services.contract.errors import UnsupportedVersion
from services.contract.jsonl import FIRST, fields, seal
from services.contract.unreleased_form import refuse_unreleased_form
from tests.unit.contract.test_blocklog_external import BLOCK, CONNECTION, OPEN

LINES = pytest.mark.parametrize("line", [BLOCK, OPEN, CONNECTION], ids=["block", "open", "connection"])


def old(line: blocklog.LogLine) -> bytes:
    """Return a line in the form that external feeds had before the first release."""
    renamed = {"external": "foreign", "positions": "heard"}
    values = {renamed.get(name, name): value for name, value in fields(line).items()}
    return seal(msgspec.json.encode(values | {"v": 1}), FIRST)[0]


@LINES
def test_the_form_before_the_first_release_is_refused(line: blocklog.LogLine) -> None:
    """A line of version 1 of an external feed is refused, and the reason says what it is."""
    with pytest.raises(UnsupportedVersion, match="version 1 of an external feed's block log"):
        blocklog.codec.decode(old(line))


@LINES
def test_released_lines_pass(line: blocklog.LogLine) -> None:
    """A line of an external feed as it is written today is not refused."""
    refuse_unreleased_form(blocklog.codec.encode(line, FIRST)[0])


@pytest.mark.parametrize("line", [b"", b"{}", b'{"v":1}', b'{"v":1,"kind":"end","foreign":{}}', b"\xff"])
def test_other_lines_pass(line: bytes) -> None:
    """What is not such a line is left to the codec."""
    refuse_unreleased_form(line)
