"""Tests of services/collector/settings.py."""

from pathlib import Path

import pytest

from services.collector.settings import CollectorSettings
from services.runtime.errors import BadSettings


def test_defaults_are_those_of_the_table() -> None:
    """Without a setting the collector reads /volumes, serves on 8766, and sends control requests to the server."""
    settings = CollectorSettings.read({})

    assert ("ws://server:8765", "") == (settings.server_url, settings.control_token)

    assert (Path("/volumes"), (), "127.0.0.1", 8766, 0) == (
        settings.volumes, settings.limits, settings.page_host, settings.page_port, settings.keep_runs,
    )  # fmt: skip


def test_all_mistakes_are_reported_together() -> None:
    """A malformed threshold does not hide a malformed port."""
    with pytest.raises(BadSettings) as caught:
        CollectorSettings.read({"THRESHOLDS": "latency<1", "PAGE_PORT": "x"})

    assert ["THRESHOLDS", "PAGE_PORT"] == [
        problem[: problem.index(sign)] for problem, sign in zip(caught.value.problems, ":=", strict=True)
    ]


@pytest.mark.parametrize(("environment", "colour"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)])
def test_no_color_is_respected(environment: dict[str, str], colour: bool) -> None:
    """Any value of NO_COLOR that is not empty forbids colours."""
    assert colour is CollectorSettings.read(environment).colour
