"""Whether ledger and block logs of a run agree: every line is there, every log is sealed, and nothing contradicts."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from services.collector import formatting
from services.collector.results.client_result import ClientConsistency, ClientResult
from services.collector.results.run_result import RunResult
from services.contract.scalars import Span
from services.contract.summary import Fault

HARMLESS = frozenset({"torn"})
"""A crash cuts the last line of a log short; the records in it are missing, and counted as such."""


def fault_sentence(fault: Fault) -> str:
    """Return a fault in words, with its place."""
    where = f"{fault.file}:{fault.line}" if fault.line else fault.file
    return f"{where}: {fault.detail}{_hides(fault.missing)}"


def _hides(missing: Span | None) -> str:
    return f"; seq {formatting.span(*missing)} missing there" if missing else ""


def problems(result: RunResult, faults: Iterable[Fault], elsewhere: Collection[str]) -> list[str]:
    """Return a sentence for each contradiction or gap in the evidence of a run, worst first.

    Args:
        result: of the run.
        faults: of all files.
        elsewhere: kinds of fault in a log that another check reports.
    """
    found = [*not_pulled(result), *residuals(result.clients), *without_end(result), *several_servers(result)]
    found += fault_sentences(faults, elsewhere)
    found += _of_ledger(result)
    for client in result.clients:
        found += [f"{client.client}: {problem}" for problem in _of_client(client)]
    return found


def fault_sentences(faults: Iterable[Fault], elsewhere: Collection[str] = ()) -> list[str]:
    """Return a sentence for each fault that makes evidence inconsistent, without the kinds in ``elsewhere``."""
    return [
        fault_sentence(fault)
        for fault in faults
        # A missing ledger is reported as the first reason of the run already.
        if fault.kind not in HARMLESS | {"ledger_missing"}
        and not (fault.client is not None and fault.kind in elsewhere)
    ]


def residuals(clients: Iterable[ClientResult]) -> list[str]:
    """Return a sentence for each client that logged more than was sent according to the ledger."""
    return [
        f"{client.client}: the books do not close, residual {client.residual:,}:"
        " more was logged than the ledger says was sent"
        for client in clients
        if client.residual
    ]


def not_pulled(result: RunResult) -> list[str]:
    """Return a sentence for each node of which it is not known that all its files of the run are here."""
    found = []
    for node in result.pulled.nodes if result.pulled is not None else ():
        found += [f"node {node.node}: {fault}" for fault in node.faults]
        if not node.is_complete:
            why = f": {node.trouble}" if node.trouble else ""
            found.append(f"not all files of node {node.node} are here{why}")
        elif not node.files:
            found.append(f"node {node.node} has no file of this run")
    return found


def node_troubles(result: RunResult) -> list[str]:
    """Return a clause for each node that cannot be read at present."""
    nodes = result.pulled.nodes if result.pulled is not None else ()
    return [f"node {node.node}: {node.trouble}" for node in nodes if node.trouble]


def awaited_servers(result: RunResult) -> list[str]:
    """Return a clause for each server that keeps a run open which has ended for others."""
    return [f"server {name} lives and has not entered the end: its disk may be full" for name in result.awaited]


def without_end(result: RunResult) -> list[str]:
    """Return the sentence for a ledger without an end of the run; empty if it has one."""
    # Without an open line the ledger is missing, which is reported already, or the feed is an external one.
    if result.ledger_facts.ends or not result.ledger_facts.is_opened:
        return []
    return ["the ledger has no end: the run is open, was interrupted, or its last lines are gone"]


def several_servers(result: RunResult) -> list[str]:
    """Return a sentence for each reason why ledgers of servers that ran side by side are not those of one run."""
    found = []
    if result.ledger_facts.schedule_conflict is not None:
        one, other, record = result.ledger_facts.schedule_conflict
        found.append(
            f"its servers played different schedules in one run: {one} and {other} differ from record {record:,} on"
        )
    for client in result.clients:
        fences = client.consistency.fences_granted_twice if client.consistency else ()
        found += [f"{client.client}: fence {fence:,} was given twice" for fence in fences]
    return found


def _of_ledger(result: RunResult) -> Iterable[str]:
    for instance in result.ledger_facts.unmeasured_servers:
        yield (
            f"server {instance}: its ledger has no end, and no later server continued it:"
            " whether it was on time is not known"
        )
    facts = result.ledger_facts
    if facts.last is not None and facts.total is not None and facts.last != facts.total and not facts.is_abandoned:
        yield f"ledger/{result.run}: the run was opened for {facts.total:,} records, and ended after {facts.last:,}"
    if differences := result.ledger_facts.feed_differences:
        yield f"ledger/{result.run}: its servers played different feeds in one run: {'; '.join(differences)}"
    if result.ledger_facts.end_variants > 1:
        yield f"ledger/{result.run}: the run ended in {result.ledger_facts.end_variants} different ways"


def _of_client(client: ClientResult) -> Iterable[str]:
    known = client.consistency
    if known is not None:
        yield from _of_ledger_and_log(known)
    if client.external.lost_sessions:
        yield f"its log has no file of session {formatting.ranges(client.external.lost_sessions)}"
    for (session, block), count in client.conflicts.blocks:
        yield f"session {session} block {block} is in the log with {count} different contents"
    for kind, (session, segment), count in client.conflicts.lines:
        yield f"session {session}, segment {segment} has {count} different {kind} lines"
    if known is not None and known.receipt_holes:
        yield f"logged but without a receipt, though later ones have one: {formatting.ranges(known.receipt_holes)}"


def _of_ledger_and_log(client: ClientConsistency) -> Iterable[str]:
    if not client.is_subscribed:
        yield "no subscription in the ledger"
    for session in client.unsealed_sessions:
        yield f"session {session} was not sealed: its log has no end line" if session else "it has no log"
    if client.sessions_without_file:
        sessions = formatting.names(map(str, client.sessions_without_file))
        yield f"subscribed as session {sessions}, but the log has no file of it"
    if client.fences_without_subscription:
        fences = formatting.names(map(str, client.fences_without_subscription))
        yield f"the ledger lacks the subscription with fence {fences}"
