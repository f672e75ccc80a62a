"""The rows of the matrix: every server in every condition, what is expected and what is reported."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers.install import NotAvailable
from chaos.external.conditions import SIZE, Condition, Faults
from chaos.external.servers import ExternalServer, FeedSize
from chaos.external.verification import VerifiedRun, verify_server

CLIENT_CONDITION = "vendor's client"
_UNKNOWN = Faults(None, None, None)


class Row(NamedTuple):
    """One line of the table; ``is_right`` is None where the server could not be tried."""

    server: str
    preset: str
    condition: str
    expected: str
    reported: str
    is_right: bool | None
    headline: str = ""
    version: str = ""

    @property
    def tried(self) -> bool:
        """Return whether the server could be tried."""
        return self.is_right is not None


def rows(
    servers: Sequence[ExternalServer], conditions: Sequence[Condition], pool: Executor, *, has_clients: bool = True
) -> Iterator[Row]:
    """Yield the rows, in the order of the servers; a server that cannot be installed has one row.

    Args:
        servers: which to try.
        conditions: in which conditions.
        pool: makes several runs at a time.
        has_clients: whether the vendors' clients check the servers of this project as well.
    """
    pairs: list[tuple[ExternalServer, Condition | None]] = []
    for server in servers:
        pairs += [(server, condition) for condition in conditions]
        if has_clients and server.client is not None:
            pairs.append((server, None))
    missing: set[str] = set()
    for (server, _), row in zip(pairs, pool.map(lambda pair: _row(*pair), pairs), strict=True):
        if row.tried:
            yield row
        elif server.name not in missing:
            missing.add(server.name)
            yield row


def _row(server: ExternalServer, condition: Condition | None) -> Row:
    name = CLIENT_CONDITION if condition is None else condition.name
    try:
        if condition is None:
            return _client_row(server, name)
        run = verify_server(server, condition)
    except NotAvailable as reason:
        return Row(server.name, server.preset, "all", "", str(reason), None)
    except (AssertionError, OSError, ValueError, LookupError, StopIteration) as problem:
        # A server that starts no more, after an update of its package for example, is no reason to end the others.
        return Row(server.name, server.preset, name, "", "no summary", False, f"{type(problem).__name__}: {problem}")
    condition = _as_seen(server, condition)
    expected, others = expected_faults(run, condition)
    reported = run.reported
    return Row(
        server.name,
        server.preset,
        name,
        f"{text(expected)} {condition.verdict}",
        f"{text(reported)} {run.verdict}",
        is_right(run, condition, expected, others),
        run.summary["headline"],
        run.version,
    )


def _as_seen(server: ExternalServer, condition: Condition) -> Condition:
    """Return what a summary can report of a condition.

    In a feed without numbers it sees that two clients did not receive the same records, but not which of them is right,
    and not in which order they were sent.
    """
    if server.losses != "none" or not any(condition.faults):
        return condition
    drops, duplicates, _ = condition.faults
    if drops or duplicates:
        return replace(condition, verdict="INVALID", headline="not known without numbers", check="complete")
    return replace(condition, verdict="PASS", headline="without numbers, records that no client received", check="")


def expected_faults(run: VerifiedRun, condition: Condition) -> tuple[Faults, Faults]:
    """Return what has to be reported of the client with the faults, and of the others."""
    if not condition.needs_server or run.server.losses == "none":
        return _UNKNOWN, _UNKNOWN
    return run.injected, Faults()


def is_right(run: VerifiedRun, condition: Condition, expected: Faults, others: Faults) -> bool:
    """Return whether a run reports exactly what happened in a condition, and for the right client only."""
    return (
        # All planned faults were injected; a frame with several records counts as many.
        _is_injected(run.injected, condition.faults)
        and run.reported == expected
        and run.others == others
        and run.verdict == condition.verdict
        and condition.headline in run.summary["headline"]
        and (not condition.check or run.check(condition.check) is not True)
    )


def _is_injected(injected: Faults, planned: tuple[int, int, int]) -> bool:
    pairs = zip(injected, planned, strict=True)
    return all((number or 0) >= plan if plan else not number for number, plan in pairs)


def _client_row(server: ExternalServer, name: str) -> Row:
    """Have the vendor's own client read a server of this project, which shows that the server speaks the protocol."""
    assert server.client is not None
    size = FeedSize(1, SIZE.records, SIZE.rate)
    numbers: list[int] = []
    with tempfile.TemporaryDirectory() as folder, server.start(size, Path(folder)) as running:
        command = server.client(running.url)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if re.fullmatch(r"\d+\n", line):
                    numbers.append(int(line))
                if len(numbers) == size.records:
                    break
            process.kill()
    wanted = list(range(1, size.records + 1))
    return Row(
        server.name, server.preset, name, f"{size.records} records", f"{len(numbers)} records", numbers == wanted,
        f"{numbers[:3]} … {numbers[-3:]}",
    )  # fmt: skip


def text(faults: Faults) -> str:
    """Return numbers as text: 4 missing; 0."""
    if faults == _UNKNOWN:
        return "-"
    words = [f"{'?' if value is None else value} {name}" for name, value in faults._asdict().items() if value != 0]
    return ", ".join(words) or "0"
