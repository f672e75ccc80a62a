"""The collector's settings, read once from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.collector.verdict import threshold_parser
from services.collector.verdict.thresholds import ThresholdLimit
from services.runtime.errors import BadSettings
from services.runtime.settings import is_external_feed, read

NAMES = ("VOLUMES", "THRESHOLDS", "PAGE_PORT", "PAGE_HOST", "KEEP_RUNS", "SERVER_URL", "CONTROL_TOKEN")


@dataclass(frozen=True)
class CollectorSettings:
    """Where the books are, what is asked of them, and where the page listens.

    Attributes:
        volumes: the folder that holds ``logs/``, ``ledger/`` and ``summary/``.
        limits: the operator's thresholds.
        page_host: the address the page listens on.
        page_port: and its port; 0 takes any free one.
        keep_runs: how many closed runs stay on disk; 0 keeps all.
        server_url: where an operator's wishes are handed on to; None when the feed is not ours.
        control_token: by which they are granted; empty takes the one that the server hands on.
        colour: a terminal may be given colours.
    """

    volumes: Path
    limits: tuple[ThresholdLimit, ...]
    page_host: str
    page_port: int
    keep_runs: int
    server_url: str | None
    control_token: str
    colour: bool

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> CollectorSettings:
        """Read the settings from an environment.

        Raises:
            BadSettings: with everything that is wrong, one line each.
        """
        problems: list[str] = []
        values: dict[str, Any] = {}
        limits: tuple[ThresholdLimit, ...] = ()
        try:
            limits = read_limits("THRESHOLDS", environment.get("THRESHOLDS", ""))
        except BadSettings as mistake:
            problems.extend(mistake.problems)
        try:
            values = read(environment, NAMES)
        except BadSettings as others:
            problems.extend(others.problems)
        if problems:
            raise BadSettings(problems)
        return cls(
            volumes=Path(values["volumes"]),
            limits=limits,
            page_host=values["page_host"],
            page_port=values["page_port"],
            keep_runs=values["keep_runs"],
            server_url=None if is_external_feed(environment) else values["server_url"],
            control_token=values["control_token"],
            # Not ours but everybody's, by https://no-color.org: any value that is not empty.
            colour=not environment.get("NO_COLOR"),
        )


def read_limits(name: str, text: str) -> tuple[ThresholdLimit, ...]:
    """Read thresholds that the operator gave under this name.

    Raises:
        BadSettings: pointing at the first character that is wrong.
    """
    try:
        return threshold_parser.parse(text)
    except threshold_parser.MalformedThreshold as problem:
        raise BadSettings([f"{name}: {problem}"]) from problem
