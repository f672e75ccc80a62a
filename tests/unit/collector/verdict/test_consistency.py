"""Tests of services/collector/verdict/consistency.py."""

import pytest

from services.collector.verdict.consistency import fault_sentence
from services.collector.verdict.summary import reconcile
from services.contract import ledger
from services.contract.nodes import PulledNode, PulledRun
from services.contract.summary import Fault, Summary
from tests.builders.runs import (
    RUN,
    Files,
    Writer,
    end,
    fold,
    good_run,
    good_sessions,
    judged,
    ledger_source,
    log_files,
    log_source,
    opening,
)


def rewritten(drop: type[ledger.Entry] | None = None, client: str | None = None, **changes: object) -> Files:
    """Return a good run whose ledger was written again without some lines, so that its chain is intact."""
    files, writer = good_run(), Writer(ledger.codec)
    for line in files[ledger_source()]:
        entry = ledger.codec.decode(line)[1]
        if not (drop is not None and isinstance(entry, drop) and client in (None, getattr(entry, "client", None))):
            writer.put(entry)
    return {**files, ledger_source(): writer.lines}


def reasons(files: Files) -> list[str]:
    """Return the reasons of a run that is INVALID only for inconsistent evidence."""
    made: Summary = judged(files)
    assert "INVALID" == made.verdict
    return made.reasons


def test_a_client_without_subscription_is_reported() -> None:
    """A log without a subscription in the ledger is reported."""
    assert "client-1: no subscription in the ledger" in reasons(rewritten(ledger.SubscribeEntry, "client-1"))


def test_a_hole_in_the_receipts_is_reported() -> None:
    """A block without a receipt before one with a receipt is reported."""
    files, writer = good_run(), Writer(ledger.codec)
    for line in files[ledger_source()]:
        entry = ledger.codec.decode(line)[1]
        if not (isinstance(entry, ledger.ReceiptEntry) and (entry.client, entry.block) == ("client-1", 2)):
            writer.put(entry)

    assert ["client-1: logged but without a receipt, though later ones have one: 11–20"] == reasons(
        {**files, ledger_source(): writer.lines}
    )


def test_receipts_on_their_way_are_harmless() -> None:
    """Blocks after the last receipt are in the totals and fail no check."""
    sessions = good_sessions()
    sessions[0].cuts = set()
    files, writer = good_run(), Writer(ledger.codec)
    for line in files[ledger_source()]:
        entry = ledger.codec.decode(line)[1]
        if not (isinstance(entry, ledger.ReceiptEntry) and (entry.client, entry.block) == ("client-1", 6)):
            writer.put(entry)
    made = judged({**files, ledger_source(): writer.lines})

    assert ("PASS", 10) == (made.verdict, made.totals.logged_not_receipted)


def test_an_unsealed_log_is_reported() -> None:
    """A client that finished or left without an end line is reported."""
    files = good_run()
    del files[log_source("client-1", 1, 2)][-1]

    assert ["client-1: session 1 was not sealed: its log has no end line"] == reasons(files)

    files = good_run()
    del files[log_source("client-2", 1)][-1]

    assert ["client-2: session 1 was not sealed: its log has no end line"] == reasons(files)


def test_a_session_without_any_file_is_reported() -> None:
    """A session in the ledger without any file is reported."""
    files = good_run()
    del files[log_source("client-2", 2)]
    made = judged(files)

    assert "client-2: subscribed as session 2, but the log has no file of it" in made.reasons


def test_two_contents_of_one_block_are_reported() -> None:
    """Two different lines of one block are reported."""
    sessions = good_sessions()
    sessions[0].changes[1] = {"closed_by": "time"}
    files = good_run()
    other = log_files(sessions[0])[log_source("client-1")]
    made = judged({**files, log_source("client-1", 9): other})

    assert "client-1: session 1 block 1 is in the log with 2 different contents" in made.reasons


@pytest.mark.parametrize(("entry", "says"), [(opening(99, 2), "different feeds"), (end(50), "2 different ways")])
def test_servers_that_disagree_are_reported(entry: ledger.OpenEntry | ledger.EndEntry, says: str) -> None:
    """Servers with different feeds or ends in one run are reported."""
    writer = Writer(ledger.codec)
    writer.put(opening(60, 2) if isinstance(entry, ledger.EndEntry) else entry)
    if isinstance(entry, ledger.EndEntry):
        writer.put(entry)
    made = judged({**good_run(), ledger_source("second"): writer.lines})

    assert [reason for reason in made.reasons if says in reason]


@pytest.mark.parametrize(
    ("line", "missing", "text"),
    [
        (3, (11, 20), "logs/r/a/f.jsonl:3: gone; seq 11–20 missing there"),
        (3, None, "logs/r/a/f.jsonl:3: gone"),
        (0, None, "logs/r/a/f.jsonl: gone"),
    ],
)
def test_a_fault_is_reported_with_its_place(line: int, missing: tuple[int, int] | None, text: str) -> None:
    """A fault is reported with file, line and the hidden seqs."""
    fault = Fault(file="logs/r/a/f.jsonl", line=line, kind="k", client="a", missing=missing, detail="gone")

    assert text == fault_sentence(fault)


def test_an_end_before_the_last_record_is_reported() -> None:
    """A run that ended before all records that it was opened for is no PASS, although all sent ones arrived."""
    files, writer = good_run(), Writer(ledger.codec)
    writer.put(opening(6000, 2))
    for line in files[ledger_source()][1:]:
        writer.put(ledger.codec.decode(line)[1])

    assert [f"ledger/{RUN}: the run was opened for 6,000 records, and ended after 60"] == reasons(
        {**files, ledger_source(): writer.lines}
    )


def pulled_run(*nodes: PulledNode) -> Summary:
    """Return the summary of a good run that was pulled from these nodes."""
    evidence = fold(good_run())
    evidence.pulled = PulledRun(run=RUN, nodes=list(nodes))
    return reconcile(evidence, final=True)


def test_a_run_whose_nodes_are_complete_passes() -> None:
    """A pulled run is judged as any other if everything is here."""
    assert "PASS" == pulled_run(PulledNode(node="a", files=3, is_complete=True)).verdict


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (PulledNode(node="b", trouble="connection refused"), "not all files of node b are here: connection refused"),
        (PulledNode(node="b", files=1), "not all files of node b are here"),
        (PulledNode(node="b", is_complete=True), "node b has no file of this run"),
        (PulledNode(node="b", files=1, is_complete=True, faults=["it shrank"]), "node b: it shrank"),
    ],
)
def test_a_run_of_which_a_node_is_missing_is_invalid(node: PulledNode, says: str) -> None:
    """What is not known to be here makes the run INVALID, before every other reason."""
    made = pulled_run(PulledNode(node="a", files=3, is_complete=True), node)

    assert ("INVALID", says) == (made.verdict, made.headline)


def test_a_node_that_cannot_be_read_is_named_during_the_run() -> None:
    """While the run goes on the headline names the node, and there is no verdict."""
    evidence = fold(good_run())
    evidence.pulled = PulledRun(run=RUN, nodes=[PulledNode(node="b", trouble="connection refused")])
    made = reconcile(evidence, final=False)

    assert (None, True) == (made.verdict, made.headline.endswith("; node b: connection refused"))
