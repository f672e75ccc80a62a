"""Tests of services/server/runs/opening.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.server.runs.opening import differences, has_same_settings, open_entry
from tests.unit.server.fakes import START_US, StoppedClock, feed, new_run, settings


def test_an_open_line_has_the_settings_it_was_made_from(tmp_path: Path, clock: StoppedClock) -> None:
    """A server with the settings of a run finds them in its open line, and no difference."""
    run = new_run(tmp_path, clock)
    opening = open_entry(run, "a", "process")

    assert (run.name, "a", "process", None) == (opening.run, opening.instance, opening.process, opening.start_us)
    assert has_same_settings(opening, feed(), run.settings)
    assert [] == differences(opening, feed(), run.settings)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"records": 77}, "RECORDS 77, here "),
        ({"rate": 7}, "RATE 7, here "),
        ({"start_at": START_US + 10_000_000, "rate": 10}, "START_AT set, here not set"),
    ],
)
def test_other_settings_are_named_with_both_values(
    tmp_path: Path, clock: StoppedClock, changed: dict[str, Any], says: str
) -> None:
    """A server with other settings does not join the run, and each setting is named."""
    opening = open_entry(new_run(tmp_path, clock, **changed), "a", None)
    own = settings(tmp_path)

    assert not has_same_settings(opening, feed(), own)
    assert any(found.startswith(says) for found in differences(opening, feed(), own))
