"""The server's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from faker.config import AVAILABLE_LOCALES

from services.runtime.errors import BadSettings
from services.runtime.plan import Plan
from services.runtime.settings import read

NAMES = (
    "RATE", "RECORDS", "RUNS", "KEEP_RUNS", "SEED", "LOCALE", "SCHEMA", "CLIENTS",
    "GRACE_SECONDS", "RESUME_SECONDS", "SEND_SECONDS", "PORT", "CONTROL_TOKEN", "VOLUMES",
)  # fmt: skip


@dataclass(frozen=True)
class ServerSettings:
    """What the operator chose; meanings in ``services.runtime.settings.SETTINGS``."""

    rate: Plan
    records: int
    runs: int
    keep_runs: int
    seed: int
    locale: str
    schema: str
    clients: int
    grace_seconds: float
    resume_seconds: float
    send_seconds: float
    port: int
    control_token: str
    volumes: Path

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> ServerSettings:
        """Read the settings from an environment.

        Raises:
            BadSettings: with all that is wrong.
        """
        problems: list[str] = []
        locale = environment.get("LOCALE", "").strip()
        if locale and locale not in AVAILABLE_LOCALES:
            problems.append(f"LOCALE={locale!r}: expected a locale that Faker has, such as en_US, de_DE or ja_JP")
        try:
            values = read(environment, NAMES)
        except BadSettings as found:
            raise BadSettings([*found.problems, *problems]) from found
        if problems:
            raise BadSettings(problems)
        return cls(**{**values, "volumes": Path(values["volumes"])})
