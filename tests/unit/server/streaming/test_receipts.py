"""Tests of judging receipts: only for records that were sent to the name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.contract import bounds, ledger, wire
from services.server.runs.run_state import RecordedClient
from services.server.runs.timetable import RunTimes
from services.server.streaming import receipts
from services.server.streaming.stream import Stream
from services.server.streaming.subscription import Subscription
from tests.unit.server.fakes import StoppedClock, admitted, feed, new_run


@pytest.fixture
def stream(tmp_path: Path, clock: StoppedClock) -> Stream:
    """Return a running stream of 100 records a second."""
    run = new_run(tmp_path, clock, rate=100)
    run.set_rate(100)
    return Stream(run, clock)


def receipt(first: int, last: int) -> wire.Receipt:
    """Return the receipt of a whole block."""
    digest = feed().digest(first, last)
    return wire.Receipt(session=1, block=1, first=first, last=last, count=last - first + 1, digest=digest, took_ns=0)


def sent(subscription: Subscription, through: int) -> Subscription:
    """Record that a subscription was sent the records through a seq; its ledger allows 100 more."""
    entry = ledger.SentEntry(
        at=subscription.run.at(), client=subscription.name, fence=subscription.fence, through=through + 100
    )
    subscription.run.append(entry)
    subscription.sent = through
    return subscription


def is_possible(subscription: Subscription, first: int, last: int) -> bool:
    """Return whether a receipt can be true."""
    return not receipts.impossible(receipt(first, last), subscription)


def test_what_was_sent_is_receipted(stream: Stream) -> None:
    """Records that this subscription was sent may be receipted, and those that the ledger only allows to send not."""
    subscription = sent(admitted(stream)[0], 50)

    assert [True, True, False] == [is_possible(subscription, *span) for span in ((1, 50), (50, 50), (50, 51))]


def test_a_position_proves_nothing(stream: Stream) -> None:
    """The position from which a client asks, and the records after it, prove nothing about those before."""
    subscription = admitted(stream, after=5000)[0]
    assert not is_possible(subscription, 1, 5000)
    sent(subscription, 5010)

    assert is_possible(subscription, 5001, 5010)
    assert not is_possible(subscription, 5000, 5010)
    assert not is_possible(subscription, 1, 1)


def test_earlier_subscriptions_count(stream: Stream) -> None:
    """Records that earlier subscriptions of the name were sent may be receipted, also together with later ones."""
    sent(admitted(stream)[0], 50).leave("lost")
    subscription = sent(admitted(stream, after=50)[0], 80)

    assert is_possible(subscription, 41, 60)
    assert not is_possible(sent(admitted(stream, "client-2", after=50)[0], 80), 41, 60)


def test_a_subscription_whose_server_crashed_counts_as_allowed(stream: Stream) -> None:
    """Without the end of a subscription, all records count that the ledger allowed to send."""
    sent(admitted(stream)[0], 50)
    subscription = admitted(stream, after=150)[0]

    assert [True, False] == [is_possible(subscription, *span) for span in ((41, 150), (41, 151))]


def test_a_ledger_of_another_kernel_may_lack_lines(stream: Stream) -> None:
    """If a ledger may have lost its last lines with the power, the client's position counts, and nothing beyond it."""
    subscription = admitted(stream, after=500)[0]
    assert not is_possible(subscription, 1, 500)
    stream.run.recorded.boots.add("before the power cut")

    assert [True, False] == [is_possible(subscription, *span) for span in ((1, 500), (1, 501))]


def test_an_older_copy_of_the_ledger_lacks_lines(stream: Stream) -> None:
    """Records that were due before a server took the run over may be receipted by who can show that it has them."""
    subscription = admitted(stream, after=500)[0]
    stream.run.taken_over_at = 400

    assert [True, False] == [is_possible(subscription, *span) for span in ((1, 400), (1, 401))]
    guessed = msgspec.structs.replace(receipt(1, 400), digest="x00000000")
    assert receipts.impossible(guessed, subscription)


def test_a_server_of_another_folder_may_have_sent_records(stream: Stream) -> None:
    """With START_AT a client may come from a server whose ledger is elsewhere, with receipts that were not recorded."""
    subscription = admitted(stream, after=500)[0]
    stream.run.times = RunTimes(0, 10)

    assert [True, False] == [is_possible(subscription, *span) for span in ((1, 500), (1, 501))]
    guessed = msgspec.structs.replace(receipt(1, 400), digest="x00000000")
    assert receipts.impossible(guessed, subscription)


def test_guesses_are_not_compared_without_end(stream: Stream) -> None:
    """A name whose receipts are wrong again and again soon has no further record generated for it."""
    subscription = admitted(stream, after=500)[0]
    stream.run.taken_over_at = 500
    guessed = msgspec.structs.replace(receipt(1, 500), digest="x00000000")
    most = 2 * 500 + bounds.RECEIPTED_RECORDS.value
    refusals = [receipts.impossible(guessed, subscription) for _ in range(most // 500)]

    assert all(refusals)
    assert not is_possible(subscription, 1, 500)


def test_a_whole_run_may_be_receipted_at_another_server(stream: Stream) -> None:
    """A client that starts again beside a server of another folder sends the receipts of everything that it has."""
    run, client = stream.run, RecordedClient(receipt_count=300_000, receipted_records=300_000)
    assert receipts.excess(receipt(1, 10), client, run)
    run.times, run.total = RunTimes(0, 10), 200_000

    assert not receipts.excess(receipt(1, 10), client, run)


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 20), (7, 13), (20, 20)])
def test_a_full_resend_passes(stream: Stream, first: int, last: int) -> None:
    """Every block of every size is accepted again after any number of reconnections."""
    for after in (0, 5, 10, 15):
        sent(admitted(stream, after=after)[0], after + 5).leave("lost")

    assert is_possible(admitted(stream, after=20)[0], first, last)
