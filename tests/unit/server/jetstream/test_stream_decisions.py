"""Tests of decisions in a stream."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.server.jetstream.stream_decisions import StreamDecisions
from services.server.runs.decisions import Decision
from tests.unit.server.jetstream.fakes import FakeClient, FakeStream

SUBJECT = "test.decided.run"


class FollowedStream:
    """A stream, and clients whose reading is done at once."""

    def __init__(self) -> None:
        self.stream = FakeStream()
        self.client = FakeClient(self.stream)
        self.client.start()

    def decisions(self) -> tuple[StreamDecisions, list[tuple[int, bytes]]]:
        """Return the decisions as one server sees them, and what it has read."""
        read: list[tuple[int, bytes]] = []
        return StreamDecisions(self.client, SUBJECT, read, lambda _: self.read_into(read)), read

    def read_into(self, read: list[tuple[int, bytes]]) -> None:
        """Read what is new."""
        read += [(message.seq, message.data) for message in self.stream.messages[len(read) :]]


@pytest.fixture
def followed() -> Iterator[FollowedStream]:
    """A stream without messages."""
    made = FollowedStream()
    yield made
    made.client.close()


def decision(run: str) -> Decision:
    """Return a decision that can be recognised."""
    return Decision(at="2026-11-22T07:30:00.000000Z", instance="a", next_run=run)


def test_the_first_one_decides(followed: FollowedStream) -> None:
    """A decision is refused while another one was not read; after that it is the next."""
    (one, _), (other, _) = followed.decisions(), followed.decisions()
    assert one.decide(decision("x"))
    assert not other.decide(decision("y"))
    assert [decision("x")] == other.news()

    assert other.decide(decision("y"))
    assert [] == other.news()


def test_a_lost_answer_comes_back_as_news(followed: FollowedStream) -> None:
    """A decision that was stored without an answer is reported as unknown, and comes by the next read, once."""
    one, read = followed.decisions()
    followed.stream.lost_answers = 1
    with pytest.raises(OSError, match="not answered"):
        one.decide(decision("x"))
    followed.read_into(read)

    assert ([decision("x")], []) == (one.news(), one.news())
    assert 1 == len(followed.stream.messages)


def test_patience_repeats_until_it_is_known(followed: FollowedStream) -> None:
    """Where no record is due, a decision without an answer is tried again; one that was stored is not made twice."""
    one, _ = followed.decisions()
    followed.stream.lost_answers = 1

    assert not one.decide(decision("x"), patiently=True)
    assert [decision("x")] == one.news()
    assert 1 == len(followed.stream.messages)


def test_damage_is_skipped(followed: FollowedStream) -> None:
    """A message that is no decision changes nothing, and the next one is read."""
    one, read = followed.decisions()
    followed.stream.store(SUBJECT, b"{")
    followed.read_into(read)
    assert [] == one.news()

    assert one.decide(decision("x"))


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.booleans()), max_size=15))
def test_all_servers_apply_the_same_decisions(steps: list[tuple[int, bool, bool]]) -> None:
    """Whichever servers decide, with answers lost, each applies every stored decision once and in one order."""
    followed = FollowedStream()
    try:
        servers = [followed.decisions() for _ in range(3)]
        applied: list[list[str]] = [[], [], []]
        for number, (server, is_lost, reads_first) in enumerate(steps):
            decisions, read = servers[server]
            decisions._paused_until = 0
            if reads_first:
                followed.read_into(read)
                applied[server] += [one.next_run for one in decisions.news()]
            followed.stream.lost_answers = int(is_lost)
            try:
                if decisions.decide(decision(str(number))):
                    applied[server].append(str(number))
            except OSError:
                pass
        for (decisions, read), names in zip(servers, applied, strict=True):
            followed.read_into(read)
            names += [one.next_run for one in decisions.news()]

        assert applied[0] == applied[1] == applied[2]
        assert len(followed.stream.messages) == len(applied[0])
    finally:
        followed.client.close()
