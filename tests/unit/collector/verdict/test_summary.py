"""Tests of services/collector/verdict/summary.py: the summary as a function of the lines."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.scan import Source
from services.collector.verdict.summary import reconcile
from services.collector.verdict.threshold_parser import parse
from services.contract import ledger, summary
from services.contract.jsonl import FIRST
from services.contract.summary import Quantiles, Silence, Summary
from tests.builders.runs import (
    FIT,
    RUN,
    START_US,
    Files,
    Session,
    at,
    blocks_of,
    end,
    fold,
    good_ledger,
    good_run,
    good_sessions,
    judged,
    leave,
    ledger_source,
    log_files,
    log_source,
)

GOOD = good_run()
SUMMARY = summary.encode(judged(GOOD))
EVERY_LINE = [
    pytest.param(source, number, id=f"{source.path}:{number + 1}-{json.loads(line)['kind']}")
    for source, lines in GOOD.items()
    for number, line in enumerate(lines)
]


def ended(
    sessions: list[Session], *, rate: float = 1000, total: int = 60, clients: int | None = None, **changes: Any
) -> Files:
    """Return ledger and logs of sessions in a run that has ended."""
    writer = good_ledger(sessions, total, rate, clients)
    writer.put(end(total, **changes))
    files: Files = {ledger_source(): writer.lines}
    for session in sessions:
        files.update(log_files(session))
    return files


def failed(made: Summary) -> list[str]:
    """Return the checks that failed."""
    return [check.name for check in made.checks if check.ok is False]


def test_a_good_run_passes() -> None:
    """Two clients with three sessions in four files that have everything are a PASS without reasons."""
    made = judged(GOOD)

    assert ("PASS", "closed", [], [], 0) == (made.verdict, made.state, made.reasons, made.faults, made.totals.residual)
    assert "2 clients · 59.3 ms · 120 of 120 delivered · p99 1.0 ms" == made.headline
    assert [True] * 10 == [check.ok for check in made.checks]
    assert ["client-1", "client-2"] == [client.client for client in made.clients]


@pytest.mark.parametrize(("source", "number"), EVERY_LINE)
def test_removing_any_line_is_noticed(source: Source, number: int) -> None:
    """A run without any one of its lines does not pass, and the reason names place and kind."""
    lines = GOOD[source]
    made = judged({**GOOD, source: lines[:number] + lines[number + 1 :]})

    assert made.verdict in ("FAIL", "INVALID")
    assert [reason for reason in made.reasons if source.run in reason or (source.client or "ledger") in reason]


@pytest.mark.parametrize(("source", "number"), EVERY_LINE)
def test_damaging_any_line_is_noticed(source: Source, number: int) -> None:
    """A flipped bit in any line is a fault with its place."""
    lines = list(GOOD[source])
    middle = len(lines[number]) // 2
    flipped = bytes([lines[number][middle] ^ 1])
    lines[number] = lines[number][:middle] + flipped + lines[number][middle + 1 :]
    made = judged({**GOOD, source: lines})

    assert made.verdict in ("FAIL", "INVALID")
    assert (source.path, number + 1) in [(fault.file, fault.line) for fault in made.faults]


@pytest.mark.parametrize(("source", "number"), EVERY_LINE)
def test_repeating_any_line_is_noticed(source: Source, number: int) -> None:
    """A line that is twice in a file is a fault, and counts once."""
    lines = GOOD[source]
    made = judged({**GOOD, source: [*lines, lines[number]]})

    assert "repeated" in [fault.kind for fault in made.faults]
    assert (120, 0) == (made.totals.received, made.totals.duplicates)


@given(st.permutations(list(GOOD)), st.lists(st.sampled_from(list(GOOD)), max_size=4), st.randoms())
def test_order_copies_and_rereads_change_nothing(order: list[Source], copied: list[Source], chance: Any) -> None:
    """The summary is byte for byte the same for any order of lines of different files, with copies of some."""
    copies = {Source(RUN, one.client, f"copy-{number}.jsonl"): GOOD[one] for number, one in enumerate(copied)}
    files = {**{source: GOOD[source] for source in order}, **copies}
    books, waiting = RunEvidence(RUN), {source: list(lines) for source, lines in files.items()}
    while waiting:
        source = chance.choice(sorted(waiting, key=lambda one: one.path))
        books.add_line(source, waiting[source].pop(0))
        if not waiting[source]:
            del waiting[source]

    assert SUMMARY == summary.encode(reconcile(books, final=True))


def test_a_part_of_a_file_beside_it_changes_nothing() -> None:
    """An incomplete copy of a file is no fault."""
    part = {log_source("client-1", 7): GOOD[log_source("client-1")][:2]}

    assert summary.encode(judged(GOOD)) == summary.encode(judged({**GOOD, **part}))


def test_an_open_run_has_no_verdict() -> None:
    """An open run has figures and no verdict."""
    made = reconcile(fold({**GOOD, ledger_source(): GOOD[ledger_source()][:-1]}), parse("missing==0"), final=False)

    assert ("running", None, []) == (made.state, made.verdict, made.reasons)
    assert {None} == {check.ok for check in made.checks} | {limit.ok for limit in made.thresholds}
    assert "2 clients · 59.3 ms · 120 of 120 delivered · p99 1.0 ms" == made.headline


def test_a_run_that_waits_states_for_how_many() -> None:
    """The headline of a waiting run has the numbers of clients."""
    lines = GOOD[ledger_source()]
    made = reconcile(fold({ledger_source(): [lines[0]]}), final=False)

    assert ("waiting", "waiting: 0 of 2 clients") == (made.state, made.headline)


def test_without_a_ledger_nothing_is_known() -> None:
    """Logs without a ledger are INVALID."""
    files = {source: lines for source, lines in GOOD.items() if source.client}
    made = judged(files)

    assert ("INVALID", "closed") == (made.verdict, made.state)
    assert made.headline.startswith("there is no ledger of this run")


def test_a_lost_ledger_is_named_at_once() -> None:
    """Logs of an open run without a ledger are damage; an empty run, or a claimed file, is not."""
    logs = {source: lines for source, lines in GOOD.items() if source.client}
    made = reconcile(fold(logs), final=False)

    assert [(f"ledger/{RUN}", "ledger_missing")] == [(fault.file, fault.kind) for fault in made.faults]
    headline = "there is no ledger of this run: it is not known which records were sent"
    assert (None, headline) == (made.verdict, made.headline)
    assert [] == reconcile(fold({source: [] for source in logs}), final=False).faults


def test_nothing_measured_is_invalid() -> None:
    """A run without a single message is INVALID."""
    made = judged(ended([]))

    assert ("INVALID", "nothing was measured: no client logged a message") == (made.verdict, made.headline)


def test_an_abandoned_run_is_invalid() -> None:
    """A run that was interrupted and not continued is INVALID even if all was delivered."""
    made = judged(ended(good_sessions(), reason="abandoned"))

    assert ("INVALID", "the run was abandoned: it was interrupted and not continued") == (made.verdict, made.headline)


def test_missing_messages_fail_and_are_named() -> None:
    """The headline of a FAIL has client, seqs and cause."""
    files = good_run()
    del files[log_source("client-1", 1, 2)][1]
    made = judged(files)

    assert "client-1: 10 messages missing, 21–30 (receipted, not logged)" == made.headline
    assert ("FAIL", 0, 10) == (made.verdict, made.totals.residual, made.missing_by_cause.receipted_not_logged)


def test_a_lost_client_fails_and_is_named() -> None:
    """A lost client is expected to have the whole run, and is named."""
    files = ended([*good_sessions()[:1], Session("client-2", 1, 2, 0, [(1, 10)], reason=None)])
    made = judged(files)

    assert ("FAIL", ["present", "complete"]) == (made.verdict, failed(made))
    assert "client-2 is lost: 50 messages missing, 11–60 (never sent)" == made.headline


def test_the_longest_silence_is_reported() -> None:
    """The longest silence of a run is that of the client that waited for block 2."""
    sessions = [
        Session("client-1", 1, 1, 0, blocks_of(1, 60, 10)),
        Session("client-2", 1, 2, 0, blocks_of(1, 60, 10), changes={2: {"idle_ns": 7_000_000}}),
    ]
    made = judged(ended(sessions))
    found = Silence(client="client-2", at=at(4), duration_ns=7_000_000)

    assert (found, found.duration_ns, found.at) == (
        made.silence,
        made.clients[1].silence_ns,
        made.clients[1].silence_at,
    )
    assert (1_000_000, at(0)) == (made.clients[0].silence_ns, made.clients[0].silence_at)


def test_clients_that_left_are_named_in_the_headline() -> None:
    """A client that left is expected to have the records with a receipt, is named, and the run can pass."""
    gone = Session("client-2", 1, 2, 0, [(1, 10)], reason="shutdown")
    made = judged(ended([good_sessions()[0], gone], clients=1))

    assert ("PASS", 70) == (made.verdict, made.totals.expected)
    assert made.headline.endswith("70 of 70 delivered · p99 1.0 ms, 1 left: client-2")


def test_a_threshold_that_does_not_hold_fails() -> None:
    """The reason has the threshold and the measured value."""
    made = judged(GOOD, parse("latency.p99<1us, missing==0"))

    assert ("FAIL", "threshold latency.p99<1us does not hold: measured 1.0 ms") == (made.verdict, made.headline)
    assert [False, True] == [limit.ok for limit in made.thresholds]


def test_without_a_schedule_there_is_no_latency() -> None:
    """At rate 0 the latency is null, the generator cannot be late, and transit is measured."""
    made = judged(ended(good_sessions(), rate=0, late_p99_ns=None, late_max_ns=None))

    assert ("PASS", Quantiles()) == (made.verdict, made.latency_ns)
    assert made.transit_ns.p99 is not None
    assert "no schedule" == next(check.detail for check in made.checks if check.name == "generator on time")


@pytest.mark.parametrize(("late_ns", "on_time"), [(1_000_000, True), (300_000_000, False), (None, None)])
def test_a_run_that_ends_at_full_speed_had_a_schedule(late_ns: int | None, on_time: bool | None) -> None:
    """Latency, catch-up and lateness of the records before a last rate of 0 are judged like any other."""
    sessions = good_sessions()
    writer = good_ledger(sessions)
    writer.put(ledger.PaceEntry(at=at(59), first=60, due_us=START_US + 59_000, rate=0))
    writer.put(end(60, late_p99_ns=late_ns, late_max_ns=late_ns))
    files = {ledger_source(): writer.lines}
    for session in sessions:
        files.update(log_files(session))
    made = judged(files, parse("latency.p99<1us"))

    assert ("FAIL", [False]) == (made.verdict, [limit.ok for limit in made.thresholds])
    assert (0, True) == (made.rate, (made.latency_ns.p99 or 0) > 1000)
    assert [on_time] == [check.ok for check in made.checks if check.name == "generator on time"]


@pytest.mark.parametrize(("late_ns", "verdict"), [(250_000_000, "PASS"), (250_000_001, "INVALID")])
def test_a_late_server_makes_the_run_invalid(late_ns: int, verdict: str) -> None:
    """A server that was late for its own schedule makes the run INVALID."""
    assert verdict == judged(ended(good_sessions(), late_p99_ns=late_ns)).verdict


@pytest.mark.parametrize(
    ("strain", "reason"),
    [
        ({"loop_lag_p99_ns": 250_000_000}, None),
        ({"loop_lag_p99_ns": 400_000_000}, "event loop was 400.0 ms late (p99)"),
        ({"throttled_ns": 2_900_000}, None),
        ({"throttled_ns": 3_000_000}, "was throttled for 3.0 ms of 59.3 ms by its CPU limit"),
        (dict.fromkeys(FIT), None),
    ],
)
def test_a_strained_process_makes_the_run_invalid(strain: dict[str, Any], reason: str | None) -> None:
    """A saturated process makes the run INVALID; the reason names the process, the measurement and the value."""
    sessions = good_sessions()
    sessions[0].ends = strain
    of_client, of_server = judged(ended(sessions)), judged(ended(good_sessions(), **strain))

    for made, name in ((of_client, "client-1"), (of_server, "the server")):
        reason_text = f"{name}'s {reason}" if reason and reason.startswith("event") else f"{name} {reason}"
        assert ([reason_text] if reason else []) == made.reasons
        assert ("INVALID" if reason else "PASS") == made.verdict
        assert (["instrument on time"] if reason else []) == failed(made)


def test_a_run_without_evidence_passes() -> None:
    """Logs of earlier versions, without measurements of their processes, pass and are reported as not measured."""
    nothing: dict[str, Any] = dict.fromkeys(FIT)
    sessions = good_sessions()
    for session in sessions:
        session.ends = nothing
    made = judged(ended(sessions, **nothing))

    assert "PASS" == made.verdict
    assert ("instrument on time", None, "not measured") in [(one.name, one.ok, one.detail) for one in made.checks]


@pytest.mark.parametrize(
    ("change", "verdict", "check"),
    [
        ({"duplicates": 1}, "FAIL", "once"),
        ({"reordered": 1}, "FAIL", "in order"),
        ({"corrupt": [(1, 1)]}, "FAIL", "intact"),
        ({"digest": "x00000000"}, "FAIL", "intact"),
        ({"clock_error_us": 1000}, "PASS", None),
        ({"clock_error_us": 1100}, "INVALID", "clocks"),
    ],
)
def test_what_a_block_states_reaches_its_check(change: dict[str, Any], verdict: str, check: str | None) -> None:
    """Each fault that a block states fails its check."""
    sessions = good_sessions()
    sessions[0].changes[1] = change
    made = judged(ended(sessions))

    assert verdict == made.verdict
    assert check is None or check in failed(made)


def test_a_run_is_a_function_of_its_lines_alone() -> None:
    """The summary is a function of the lines, except for `made_at`."""
    one, other = (reconcile(fold(GOOD), final=True, made_at=at) for at in ("a", "b"))

    assert one != other
    assert msgspec.structs.replace(one, made_at="b") == other


def test_the_departure_is_no_part_of_the_verdict_after_the_end() -> None:
    """A client that leaves after the end of the run changes nothing."""
    sessions = good_sessions()
    writer = good_ledger(sessions)
    writer.put(end(60))
    writer.put(leave(sessions[0], 60, "bye"))
    made = judged({**GOOD, ledger_source(): writer.lines})

    assert ("PASS", ["finished", "finished"]) == (made.verdict, [client.state for client in made.clients])


def test_damage_in_two_ledgers_is_reported_twice_and_of_a_copy_once() -> None:
    """Damage at the same line of two servers' ledgers is two faults; damage in a copy is reported for the original."""
    files = good_run()
    lines = files[ledger_source()]
    opening = msgspec.structs.replace(ledger.codec.decode(lines[0])[1], instance="other")
    files[ledger_source()] = damaged = [*lines[:2], b"?\n", *lines[3:]]
    files[ledger_source("copy")] = damaged
    first, crc = ledger.codec.encode(opening, FIRST)
    second, _ = ledger.codec.encode(ledger.codec.decode(lines[1])[1], crc)
    files[ledger_source("other")] = [first, second, b"?\n"]

    found = [(fault.file.rsplit("/")[-1], fault.line) for fault in judged(files).faults if fault.kind == "corrupt_line"]
    assert [("0123456789ab.jsonl", 3), ("other.jsonl", 3)] == found
