"""The operator's thresholds, from the setting ``THRESHOLDS`` or from the option of a command."""

from __future__ import annotations

from collections.abc import Mapping

from services.collector.verdict import threshold_parser
from services.collector.verdict.thresholds import ThresholdLimit
from services.runtime.errors import BadSettings
from services.runtime.settings import read


def read_limits(name: str, text: str) -> tuple[ThresholdLimit, ...]:
    """Read thresholds; ``name`` is the setting or option that errors refer to.

    Raises:
        BadSettings: points at the first character that is wrong.
    """
    try:
        return threshold_parser.parse(text)
    except threshold_parser.MalformedThreshold as error:
        raise BadSettings([f"{name}: {error}"]) from error


def chosen_limits(option: str | None, environment: Mapping[str, str]) -> tuple[ThresholdLimit, ...]:
    """Return the thresholds of a command: those of its option ``--thresholds``, or without it those of ``THRESHOLDS``.

    The other settings are those of the service: a command does not use them, so it does not read them either.

    Raises:
        BadSettings: they are malformed, or the environment has a name that resembles that of a setting.
    """
    if option is not None:
        return read_limits("--thresholds", option)
    return read_limits("THRESHOLDS", read(environment, ["THRESHOLDS"])["thresholds"])
