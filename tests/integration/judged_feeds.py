"""External feeds that a script sends, received by real clients and judged by a collector."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from websockets.asyncio.server import ServerConnection

from services.contract.blocklog import ExternalMessage
from services.contract.summary import Summary, decode
from tests.integration.processes import Process
from tests.poll import poll_until
from tests.readers import Volumes
from tests.unit.client.external.fakes import Script, external_server


def sends(*frames: Any, then_goes: bool = False) -> Script:
    """Return a script that sends these messages, other types as JSON, and then waits or closes the connection."""

    async def script(connection: ServerConnection) -> None:
        for frame in frames:
            await connection.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
        if not then_goes:
            await connection.wait_closed()

    return script


def numbered(*seqs: Any, **more: Any) -> list[dict[str, Any]]:
    """Return records with these numbers."""
    return [{"seq": seq, **more} for seq in seqs]


class Case(NamedTuple):
    """A server's script per connection, the number of messages to log, and the expected log lines.

    ``final_line`` is part of a line that every client logs before it is stopped.
    """

    scripts: tuple[Script, ...]
    logged: int
    settings: Mapping[str, object] = MappingProxyType({})
    final_line: str = '"listening"'


class Judged(NamedTuple):
    """Log lines and blocks of the clients, and the summary."""

    log_lines: list[dict[str, Any]]
    messages: list[ExternalMessage]
    summary: Summary

    @property
    def warnings(self) -> list[str]:
        """The reason of every warning."""
        return [line["why"] for line in self.log_lines if line["level"] == "WARNING"]

    def answer(self, name: str) -> tuple[bool | None, str]:
        """Return the result and the detail of a check."""
        check = next(check for check in self.summary.checks if check.name == name)
        return check.ok, check.detail

    @property
    def summary_text(self) -> str:
        """Return all sentences of the summary."""
        return " | ".join([self.summary.headline, *(check.detail for check in self.summary.checks)])


async def judged(case: Case, folder: Path, clients: int = 1, **served: Any) -> Judged:
    """Have a feed judged; with several clients each plays the first script."""
    async with external_server(*case.scripts, **served) as url:
        return await asyncio.to_thread(_judged, url, case, folder, clients)


def _judged(url: str, case: Case, folder: Path, clients: int) -> Judged:
    given = {
        "SERVER_URL": url, "FEED_SEQ": "$.seq", "FEED_SECONDS": 0, "BLOCK_SECONDS": 0.1, "VOLUMES": folder,
        # A few records are not enough to derive a limit for silence.
        "FEED_SILENCE": 30,
    }  # fmt: skip
    names, volumes = [f"client-{number}" for number in range(1, clients + 1)], Volumes(folder)
    started = [Process("services.client", CLIENT_ID=name, **{**given, **case.settings}) for name in names]
    try:
        for one in started:
            one.wait_for_line(case.final_line)

        def all_logged() -> bool:
            return all(sum(block.count for block in volumes.external_blocks(name)) >= case.logged for name in names)

        poll_until(all_logged, f"{case.logged} messages are logged; output: {started[0].text}", 20)
        codes = [one.stop() for one in started]
        assert [0] * clients == codes, started[0].text
    finally:
        for one in started:
            one.close()
    with Process("services.collector", "verify", "--json", str(folder)) as audit:
        audit.wait()
        summary = decode(audit.lines[-1].encode())
    log_lines = [json.loads(line) for one in started for line in one.lines]
    return Judged(
        log_lines, [message for block in volumes.external_blocks("client-1") for message in block.messages], summary
    )
