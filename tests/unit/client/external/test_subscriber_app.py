"""Tests of the clients of an external feed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.client.external.run_participants import external_subscribers
from services.runtime import invocation
from services.runtime.clock import Clock
from services.runtime.errors import BadSettings
from services.runtime.jsonlogs import RateLimitedLog
from tests.poll import poll_until
from tests.unit.client.external.fakes import feed_settings
from tests.unit.client.fakes import client_config


async def test_all_clients_of_a_process_are_in_one_run(tmp_path: Path) -> None:
    """Every connection of a process has its own name, and all of them join one run."""
    clients = [(name, client_config(tmp_path)) for name in ("client-1.1", "client-1.2")]
    made = await external_subscribers(feed_settings(), clients, Clock(), RateLimitedLog())

    assert ["client-1.1", "client-1.2"] == [one.name for one in made]
    assert 1 == len({one._run.run for one in made})


async def test_a_late_client_of_an_invocation_makes_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the end of the run a client that crashed leaves its log as it is; one without a log logs its attempt."""
    clock = Clock()
    monkeypatch.setenv(invocation.VARIABLE, invocation.draw(clock.now_us()))
    clients = [(name, client_config(tmp_path)) for name in ("client-1", "client-2")]
    settings = feed_settings(FEED_SECONDS="0.01")
    first = await external_subscribers(settings, clients[:1], clock, RateLimitedLog())
    run = first[0]._run
    (tmp_path / run.run / "client-1").mkdir()
    await asyncio.to_thread(poll_until, lambda: not run.is_on(clock.now_us()), "the run is over", 10, 0.01)

    assert ["client-2"] == [one.name for one in await external_subscribers(settings, clients, clock, RateLimitedLog())]


@pytest.mark.parametrize("setting", ["FEED_AUTHORIZATION_FILE", "FEED_HEADERS_FILE", "FEED_HELLO_FILE"])
async def test_a_missing_secret_stops_the_start(tmp_path: Path, setting: str) -> None:
    """A configured file that does not exist stops the process before a run is opened."""
    settings = feed_settings(**{setting: str(tmp_path / "none")})
    with pytest.raises(BadSettings):
        await external_subscribers(
            settings, [("client-1", client_config(tmp_path / "logs"))], Clock(), RateLimitedLog()
        )

    assert not (tmp_path / "logs").exists()
