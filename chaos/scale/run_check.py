"""What must hold for a run of several servers, beside the verdict of its summary."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from chaos.scale.part import PartOutcome
from services.contract import ledger
from tests.integration.processes import verify
from tests.integration.shared_runs import ledgers, schedules
from tests.readers import Volumes


def judge(folder: Path, *, runs: int, servers: int) -> PartOutcome:
    """Return the outcome of runs that are over: each must have PASS, one schedule, and one receipt for each block.

    Args:
        folder: with the volumes.
        runs: number of runs.
        servers: number of server processes with a ledger in the first run.
    """
    outcome, volumes = PartOutcome(), Volumes(folder)
    if runs != len(volumes.runs()):
        outcome.problems.append(f"{runs} runs were expected, and there are {', '.join(volumes.runs()) or 'none'}")
    for number, run in enumerate(volumes.runs()):
        _judge_run(volumes, run, outcome)
        count = len(volumes.ledger_files(run))
        if number == 0 and count != servers:
            outcome.problems.append(f"{run}: {servers} servers were expected, and {count} have a ledger")
    code, text = verify(folder)
    if code:
        outcome.problems.append(f"verify ends with {code}:\n{text}")
    return outcome


def _judge_run(volumes: Volumes, run: str, outcome: PartOutcome) -> None:
    summary = volumes.verdict(run)
    verdict, headline = (summary.verdict, summary.headline) if summary is not None else (None, "no verdict")
    played, blocks, receipts = schedules(volumes, run), _blocks(volumes, run), _receipts(volumes, run)
    outcome.lines.append(f"{verdict}  {headline}")
    outcome.lines.append(
        f"{run}: {len(volumes.ledger_files(run))} ledgers, {len(played)} schedule, {len(blocks):,} blocks,"
        f" {receipts.total():,} receipts"
    )
    if verdict != "PASS":
        outcome.problems.append(f"{run}: {verdict}: {headline}")
    if len(played) != 1:
        outcome.problems.append(f"{run}: its ledgers have {len(played)} schedules: {sorted(played)}")
    if blocks != set(receipts):
        outcome.problems.append(f"{run}: blocks without receipt or the reverse: {sorted(blocks ^ set(receipts))[:5]}")


def _blocks(volumes: Volumes, run: str) -> set[tuple[str, int, int]]:
    """Return client, session and number of each block in the logs."""
    return {
        (client, block.session, block.block) for client in volumes.clients(run) for block in volumes.blocks(client, run)
    }


def _receipts(volumes: Volumes, run: str) -> Counter[tuple[str, int, int]]:
    """Return client, session and block of each receipt in the ledgers."""
    entries = (entry for entries in ledgers(volumes, run) for entry in entries)
    return Counter(
        (entry.client, entry.session, entry.block) for entry in entries if isinstance(entry, ledger.ReceiptEntry)
    )
