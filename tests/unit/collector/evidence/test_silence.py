"""Tests of services/collector/evidence/silence.py."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.ledger_evidence import ClientLedger
from services.collector.evidence.silence import LongestSilence, SilenceFinder, longest
from services.contract import ledger
from services.contract.scalars import utc_text
from services.contract.summary import ClientState
from tests.builders.runs import START_US, Session, block, leave, subscription

MS = 1000
START, END = START_US, START_US + 100 * MS


def taken(*blocks: tuple[int, int, list[int]]) -> SilenceFinder:
    """Return the silences of blocks: session, milliseconds of silence before, and milliseconds of messages."""
    silences = SilenceFinder()
    for session, idle_ms, moments in blocks:
        made = block(Session("a", session, 1, 0, []), 1, 1, 1, idle_ns=idle_ms * 1_000_000)
        silences.add_block(made, [START + at * MS for at in moments])
    return silences


def ledger_of(*events: tuple[str, int, int, int]) -> ClientLedger:
    """Return a client's ledger from ``join``, ``bye`` or ``lost``, session, fence and millisecond."""
    made = ClientLedger()
    for kind, number, fence, at_ms in events:
        session, at = Session("a", number, fence, 0, []), utc_text(START + at_ms * MS)
        if kind == "join":
            made.subscriptions[fence] = msgspec.structs.replace(subscription(session), at=at)
        else:
            cause: ledger.Cause = "bye" if kind == "bye" else "lost"
            made.leaves[fence] = msgspec.structs.replace(leave(session, 1, cause), at=at)
    return made


def silence(ms: int, at_ms: int) -> LongestSilence:
    """Return a silence in milliseconds of the run."""
    return LongestSilence(ms * 1_000_000, START + at_ms * MS)


def longest_of(silences: SilenceFinder, ledger: ClientLedger, state: ClientState = "finished") -> LongestSilence | None:
    """Return the longest silence of a client whose run lasted from 0 ms to 100 ms."""
    return longest(silences, ledger, state, START, END)


def test_silence_within_a_block() -> None:
    """The time between two messages of a block is a silence."""
    assert silence(7, 2) == taken((1, 0, [1, 2, 9, 10])).longest


def test_silence_between_blocks() -> None:
    """The idle time of a block is a silence that ends with its first message."""
    assert silence(7, 13) == taken((1, 0, [1, 2, 6]), (1, 7, [20])).longest


def test_one_moment_is_no_silence() -> None:
    """Messages with one arrival time have no silence between them."""
    assert taken((1, 0, [5])).longest is None


def test_silence_between_sessions() -> None:
    """The time from the last message of a session to the first of the next is a silence."""
    ledger = ledger_of(("join", 1, 1, 0), ("lost", 1, 1, 5), ("join", 2, 2, 30))

    assert silence(35, 5) == longest_of(taken((1, 0, [1, 5]), (2, 0, [40])), ledger)


def test_nobody_is_silent_while_it_is_gone() -> None:
    """The time between a goodbye and the next subscription is no silence."""
    ledger = ledger_of(("join", 1, 1, 0), ("bye", 1, 1, 17), ("join", 2, 2, 30))

    assert silence(12, 5) == longest_of(taken((1, 0, [1, 5]), (2, 0, [40])), ledger)
    assert silence(18, 30) == longest_of(taken((1, 0, [1, 5]), (2, 0, [48])), ledger)


def test_silence_before_the_first_message() -> None:
    """A client that subscribed before the start is silent from the first due record on."""
    for joined, expected in ((-50, silence(20, 0)), (8, silence(12, 8))):
        assert expected == longest_of(taken((1, 0, [20, 21])), ledger_of(("join", 1, 1, joined)))


def test_silence_at_the_end() -> None:
    """A lost client is silent to the end of the run, one that left until it left, a finished one not at the end."""
    silences = taken((1, 0, [0, 5]))
    ledger = ledger_of(("join", 1, 1, 0), ("bye", 1, 1, 15))

    assert silence(95, 5) == longest_of(silences, ledger_of(("join", 1, 1, 0), ("lost", 1, 1, 50)), "lost")
    assert silence(10, 5) == longest_of(silences, ledger, "left")
    assert silence(5, 0) == longest_of(silences, ledger_of(("join", 1, 1, 0)))


def test_who_received_nothing_at_all_is_silent_throughout() -> None:
    """A lost client without a log is silent from the first due record to the end of the run."""
    assert silence(100, 0) == longest_of(taken(), ledger_of(("join", 1, 1, -3)), "lost")


def test_without_a_ledger_the_blocks_alone_count() -> None:
    """Without a ledger the time before the first message is no silence."""
    assert silence(3, 5) == longest(taken((1, 0, [5, 8])), ClientLedger(), "running", None, None)


blocks = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 9), st.lists(st.integers(0, 50), min_size=1, max_size=5).map(sorted)),
    min_size=1,
    max_size=8,
)


@given(blocks.flatmap(lambda every: st.tuples(st.just(every), st.permutations(every))))
def test_the_order_of_blocks_does_not_matter(orders: tuple[list[tuple[int, int, list[int]]], ...]) -> None:
    """The longest silence is the same in any order of blocks; of equal ones it is the first."""
    first, second = (taken(*order) for order in orders)

    assert (first.longest, first.sessions) == (second.longest, second.sessions)
