"""The `open` line of a server's ledger: made from its settings, and compared with those of another server. Pure."""

from __future__ import annotations

from services import SOFTWARE
from services.contract import ledger
from services.server.feed.faker_pools import POOL
from services.server.feed.feed import Feed
from services.server.feed.generator import FAKER_VERSION
from services.server.runs.run import Run
from services.server.settings import ServerSettings


def open_entry(run: Run, instance: str, process: str | None) -> ledger.OpenEntry:
    """Return the first line of a server's ledger.

    Args:
        run: that the server plays.
        instance: identity of its process.
        process: how others recognise whether that has ended; None if this system does not say.
    """
    return ledger.OpenEntry(
        at=run.at(),
        run=run.name,
        instance=instance,
        boot=run.boot,
        software=SOFTWARE,
        feed=run.feed.identity,
        seed=run.feed.seed,
        schema=run.feed.schema,
        locale=run.feed.locale,
        faker=FAKER_VERSION,
        pool=POOL,
        total=run.total,
        rate=run.plan.rate,
        clients=run.settings.min_clients,
        plan=run.plan.text,
        process=process,
        lock=run.ledger.lock,
        start_us=None if run.times is None else run.times.start_us,
        end_us=None if run.times is None else run.times.end_us,
    )


def has_same_settings(opening: ledger.OpenEntry, feed: Feed, settings: ServerSettings) -> bool:
    """Return whether a run was opened with the same settings."""
    plan = settings.rate
    current = (feed.identity, settings.records, plan.rate, plan.text, settings.start_at is None)
    return current == (opening.feed, opening.total, opening.rate, opening.plan, opening.start_us is None)


def differences(opening: ledger.OpenEntry, feed: Feed, settings: ServerSettings) -> list[str]:
    """Return the settings that differ from those with which a run was opened, each with both values."""
    plan = settings.rate
    pairs = [
        ("feed", opening.feed, feed.identity),
        ("RECORDS", opening.total, settings.records),
        ("RATE", opening.plan or f"{opening.rate:g}", plan.text or f"{plan.rate:g}"),
        ("START_AT", _is_set(opening.start_us), _is_set(settings.start_at)),
    ]
    return [f"{name} {there}, here {here}" for name, there, here in pairs if there != here]


def _is_set(start_us: int | None) -> str:
    return "not set" if start_us is None else "set"
