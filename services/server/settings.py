"""The server's settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faker.config import AVAILABLE_LOCALES

from services.runtime.access.access_control import usable_rules
from services.runtime.access.listen_rules import ListenRules, plain_text_problem
from services.runtime.errors import BadSettings
from services.runtime.rate_plan import Plan
from services.runtime.setting_tables.nats_address import NatsAddress
from services.runtime.settings import BY_NAME, read
from services.server.feed.faker_pools import validate
from services.server.feed.record_schema import NAMED, BadSchema, load
from services.server.runs.timetable import Timetable, timetable

NAMES = (
    "RATE", "RECORDS", "RUNS", "KEEP_RUNS", "SEED", "LOCALE", "SCHEMA", "CLIENTS", "START_AT", "CLIENT_SERVICE",
    "COMPOSE_PROJECT_NAME", "CONNECTIONS", "GRACE_SECONDS", "RESUME_SECONDS", "SEND_SECONDS", "PORT", "HOST", "SERVERS",
    "LEDGER", "SOURCE", "CONTROL_TOKEN", "VOLUMES",
)  # fmt: skip


@dataclass(frozen=True)
class ServerSettings:
    """The validated settings; meanings in ``services.runtime.settings.SETTINGS``. ``clients`` is 0 when not set.

    Attributes:
        start_at: when the first run starts, epoch microseconds; None if that is decided by the clients.
    """

    rate: Plan
    records: int
    runs: int
    keep_runs: int
    seed: int
    locale: str
    schema: str
    clients: int
    start_at: int | None
    client_service: str
    compose_project_name: str
    connections: int
    grace_seconds: float
    resume_seconds: float
    send_seconds: float
    port: int
    host: tuple[str, ...]
    servers: int
    ledger: NatsAddress | None
    source: NatsAddress | None
    control_token: str
    volumes: Path
    access: ListenRules = field(default_factory=ListenRules)

    @property
    def min_clients(self) -> int:
        """Number of clients that a run needs to start: 1 if ``CLIENTS`` is not set."""
        return max(self.clients, 1)

    @property
    def timetable(self) -> Timetable | None:
        """When the runs begin and end, if that follows from the settings."""
        if self.start_at is None:
            return None
        return timetable(self.start_at, self.rate, self.records, self.grace_seconds, self.runs)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> ServerSettings:
        """Read the settings from an environment.

        Raises:
            BadSettings: with all mistakes together.
        """
        problems: list[str] = []
        values: dict[str, Any] = {}
        try:
            values = read(environment, NAMES)
        except BadSettings as mistakes:
            problems += mistakes.problems
        access = ListenRules()
        try:
            access = usable_rules(environment, "HOST", values.get("host", ()))
        except BadSettings as mistakes:
            problems += mistakes.problems
        problems += _plain_text_problems(values, access.exposure)
        if values.get("start_at") is not None and not values["rate"].rate:
            problems.append("RATE=0: expected a rate above 0 with START_AT, since at full speed a run has no known end")
        if values.get("start_at") is not None and values["ledger"] is not None:
            problems.append("START_AT, LEDGER: expected one of both: with START_AT the servers have nothing to decide")
        locale, schema = (environment.get(name, "").strip() or BY_NAME[name].default for name in ("LOCALE", "SCHEMA"))
        if locale not in AVAILABLE_LOCALES:
            problems.append(f"LOCALE={locale!r}: expected a locale that Faker has, such as en_US, de_DE or ja_JP")
        try:
            loaded = load(schema)
            # The unit tests validate the named schemas, so a start need not.
            if schema not in NAMED and locale in AVAILABLE_LOCALES:
                validate(loaded, locale)
        except BadSchema as mistakes:
            problems += mistakes.problems
        if problems:
            # A misspelt name is reported with every group of settings that is read.
            raise BadSettings(list(dict.fromkeys(problems)))
        return cls(**{**values, "volumes": Path(values["volumes"]), "access": access})


def _plain_text_problems(values: Mapping[str, Any], exposure: str) -> Iterator[str]:
    """Yield the streams that would be reached in plain text beyond this machine."""
    for name in ("ledger", "source"):
        if (address := values.get(name)) is not None:
            problem = plain_text_problem(name.upper(), address.plain_hosts, "tls://…", exposure)
            if problem is not None:
                yield problem
