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
    """Return the silences of blocks, as session, milliseconds of idling before, and milliseconds of messages."""
    silences = SilenceFinder()
    for session, idle_ms, moments in blocks:
        made = block(Session("a", session, 1, 0, []), 1, 1, 1, idle_ns=idle_ms * 1_000_000)
        silences.add_block(made, [START + at * MS for at in moments])
    return silences


def books(*events: tuple[str, int, int, int]) -> ClientLedger:
    """Return a client's ledger: ``join`` or ``bye`` or ``lost``, session, fence, and the millisecond."""
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


def told(silences: SilenceFinder, ledger: ClientLedger, state: ClientState = "finished") -> LongestSilence | None:
    """Return the longest silence of a client whose run began at 0 ms and ended at 100 ms."""
    return longest(silences, ledger, state, START, END)


def test_silence_within_a_block() -> None:
    """Between two messages of one block nothing came."""
    assert silence(7, 2) == taken((1, 0, [1, 2, 9, 10])).longest


def test_silence_between_blocks() -> None:
    """What a block says of the time before it is silence up to its first message."""
    assert silence(7, 13) == taken((1, 0, [1, 2, 6]), (1, 7, [20])).longest


def test_one_moment_is_no_silence() -> None:
    """Messages that came together leave no time between them."""
    assert taken((1, 0, [5])).longest is None


def test_silence_between_sessions() -> None:
    """From a crash until the first message of the next session nothing came."""
    ledger = books(("join", 1, 1, 0), ("lost", 1, 1, 5), ("join", 2, 2, 30))

    assert silence(35, 5) == told(taken((1, 0, [1, 5]), (2, 0, [40])), ledger)


def test_nobody_is_silent_while_it_is_gone() -> None:
    """From its goodbye until it is back a client is not part of the run; before and after it is."""
    ledger = books(("join", 1, 1, 0), ("bye", 1, 1, 17), ("join", 2, 2, 30))

    assert silence(12, 5) == told(taken((1, 0, [1, 5]), (2, 0, [40])), ledger)
    assert silence(18, 30) == told(taken((1, 0, [1, 5]), (2, 0, [48])), ledger)


def test_silence_before_the_first_message() -> None:
    """A client that has subscribed waits from the time at which the first record is due."""
    for joined, expected in ((-50, silence(20, 0)), (8, silence(12, 8))):
        assert expected == told(taken((1, 0, [20, 21])), books(("join", 1, 1, joined)))


def test_silence_at_the_end() -> None:
    """A lost client is silent until the run ended, one that left until it left, one that finished not at all."""
    silences = taken((1, 0, [0, 5]))
    ledger = books(("join", 1, 1, 0), ("bye", 1, 1, 15))

    assert silence(95, 5) == told(silences, books(("join", 1, 1, 0), ("lost", 1, 1, 50)), "lost")
    assert silence(10, 5) == told(silences, ledger, "left")
    assert silence(5, 0) == told(silences, books(("join", 1, 1, 0)))


def test_who_received_nothing_at_all_is_silent_throughout() -> None:
    """A lost client without a log was silent from the first due record to the end."""
    assert silence(100, 0) == told(taken(), books(("join", 1, 1, -3)), "lost")


def test_without_a_ledger_the_blocks_alone_count() -> None:
    """Where the start of the run is not known, the time before the first message does not count."""
    assert silence(3, 5) == longest(taken((1, 0, [5, 8])), ClientLedger(), "running", None, None)


blocks = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 9), st.lists(st.integers(0, 50), min_size=1, max_size=5).map(sorted)),
    min_size=1,
    max_size=8,
)


@given(blocks.flatmap(lambda every: st.tuples(st.just(every), st.permutations(every))))
def test_the_order_of_blocks_does_not_matter(orders: tuple[list[tuple[int, int, list[int]]], ...]) -> None:
    """In any order of blocks the silence is the same; of equally long ones it is the first."""
    first, second = (taken(*order) for order in orders)

    assert (first.longest, first.sessions) == (second.longest, second.sessions)
