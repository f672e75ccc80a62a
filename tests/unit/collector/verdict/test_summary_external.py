"""Tests of the summary of an external feed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from services.collector.publish.files.run_files import render_files
from services.collector.verdict.snapshot import snapshot
from services.collector.verdict.summary import reconcile
from services.contract import summary
from services.contract.scalars import MAX_INTEGER
from services.contract.sequence_rules import SequenceRules
from services.contract.summary import Summary
from tests.builders.external_runs import books, heard, log

STREAM = SequenceRules(scope="stream")


def made(*logs: Any) -> Summary:
    """Return the summary of a run that is over."""
    return reconcile(books(*logs), final=True)


def test_what_cannot_be_known_is_null() -> None:
    """Counts that need a ledger are null, and never 0."""
    told = made(log("client-1", heard([1, 2, 4])))

    assert ("one-sided", "ws://feed", None, None) == (told.books, told.feed, told.total, told.rate)
    assert (None, None, None) == (told.totals.residual, told.totals.corrupt, told.totals.logged_not_receipted)
    assert (4, 3, 1, 0) == (told.totals.expected, told.totals.received, told.totals.missing, told.totals.duplicates)
    causes = told.missing_by_cause
    assert (None, None, 1, 0) == (causes.never_sent, causes.receipted_not_logged, causes.not_seen, causes.corrupt_block)
    assert (None, None) == (told.clients[0].clock_error_us, told.clients[0].residual)


def test_without_numbers_nothing_is_said_to_be_complete() -> None:
    """What rests on numbers is null, and the headline says why; the rest is judged as usual."""
    told = made(log("client-1", heard([None] * 3)), log("client-2", heard([None] * 3)))

    assert "PASS" == told.verdict
    assert (None, None, None, None) == (
        told.totals.expected, told.totals.missing, told.totals.duplicates, told.totals.reordered
    )  # fmt: skip
    assert (6, 6, None) == (told.totals.received, told.totals.unsequenced, told.totals.restarts)
    assert "without numbers, missing records are not detected" in told.headline
    assert {None} == {check.ok for check in told.checks if check.name in ("complete", "in order", "once")}


def test_a_good_run_says_whose_times_these_are() -> None:
    """The headline says that the feed is external, and that latency is by the sender's time."""
    told = made(log("client-1", heard(range(10))), log("client-2", heard(range(10))))

    assert "PASS" == told.verdict
    assert "2 clients · 90.0 ms · 20 of 20 received · p99 1.0 ms from the sender's time · external feed" == (
        told.headline
    )


def test_a_sequence_that_began_again_is_in_the_headline() -> None:
    """Losses at the restart of a feed cannot be known, so a run that passes reports the restart."""
    other = [msgspec.structs.replace(one, record=msgspec.Raw(b'{"other":1}')) for one in heard([1, 2])]
    told = made(log("client-1", [*heard([1, 2, 3]), *other]))

    assert ("PASS", 1) == (told.verdict, told.totals.restarts)
    assert "sequences begun again: 1" in told.headline


def test_numbers_from_2_53_on_are_texts_and_counts_stay_below() -> None:
    """JSON readers keep no larger integer exact, so none is written to any file."""
    logs = [log(f"client-{number}", heard([2**53 - 2, 2**53 + 3, 2**64 - 1]), rules=STREAM) for number in (1, 2)]
    shown = snapshot(books(*logs), final=True)
    told = shown.summary
    ranges = [(2**53 - 1, f"{2**53 + 2}"), (f"{2**53 + 4}", f"{2**64 - 2}")]

    assert ranges == told.clients[0].missing_ranges
    assert (MAX_INTEGER, MAX_INTEGER) == (told.totals.missing, told.totals.expected)
    assert f"{2**53 - 1:,}–{2**53 + 2:,}, {2**53 + 4:,}–{2**64 - 2:,}" in told.headline
    assert told == summary.decode(summary.encode(told))
    for name, data in render_files(shown).items():
        if name.endswith(".json"):
            found = json.loads(data, parse_int=int)
            assert all(number <= MAX_INTEGER for number in _integers(found)), name
    assert f"{2**53 + 4}-{2**64 - 2}" in render_files(shown)["clients.csv"].decode()


def _integers(found: object) -> Iterator[int]:
    if isinstance(found, dict):
        yield from (number for one in found.values() for number in _integers(one))
    elif isinstance(found, list):
        yield from (number for one in found for number in _integers(one))
    elif isinstance(found, int):
        yield found


def test_a_summary_survives_its_json() -> None:
    """A reader of our summaries reads one of a foreign feed."""
    told = made(log("client-1", heard([1, 2, 4])))

    assert told == summary.decode(summary.encode(told))
