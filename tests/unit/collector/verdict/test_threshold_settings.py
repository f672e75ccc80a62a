"""Tests of services/collector/verdict/threshold_settings.py."""

import re

import pytest

from services.collector.verdict.threshold_settings import chosen_limits
from services.runtime.errors import BadSettings


def expressions(option: str | None, **environment: str) -> list[str]:
    """Return the thresholds that are in force."""
    return [limit.expression for limit in chosen_limits(option, environment)]


def test_the_option_comes_before_the_setting() -> None:
    """Without the option the setting counts, and an empty option means no threshold."""
    assert ["missing==0"] == expressions("missing==0", THRESHOLDS="duplicates==0")
    assert ["duplicates==0"] == expressions(None, THRESHOLDS="duplicates==0")
    assert [] == expressions("", THRESHOLDS="duplicates==0")
    assert [] == expressions(None)


@pytest.mark.parametrize(
    ("option", "environment", "named"),
    [
        ("missing=0", {}, "--thresholds"),
        (None, {"THRESHOLDS": "missing=0"}, "THRESHOLDS"),
        (None, {"THRESHOLD": "missing==0"}, "did you mean THRESHOLDS?"),
    ],
)
def test_a_mistake_names_where_it_was_made(option: str | None, environment: dict[str, str], named: str) -> None:
    """The error names option or setting; a misspelt setting is not passed over, as no thresholds."""
    with pytest.raises(BadSettings, match=re.escape(named)):
        chosen_limits(option, environment)


def test_other_settings_are_not_read() -> None:
    """A setting of the service that is malformed does not stop a command that has no use for it."""
    assert ["missing==0"] == expressions(None, THRESHOLDS="missing==0", PAGE_PORT="abc")
