"""Tests of the number of clients that a run waits for when ``CLIENTS`` is not set."""

from __future__ import annotations

from services.server.runs.run_lifecycle import EXPECT_AT_MOST_SECONDS, KNOWN_SECONDS, UNCHANGED_SECONDS, ExpectedClients


def after(*answers: tuple[float, int | None], connections: int = 1) -> ExpectedClients:
    """Return the expected clients after answers of the name server, each with its time."""
    made = ExpectedClients("client", connections)
    for now, addresses in answers:
        made.add_answer(now, addresses)
    return made


def test_nothing_is_known_at_first() -> None:
    """The number is unknown before the first answer, after an empty answer, and with no address."""
    assert not after().is_known(0)
    assert not after((0, None)).is_known(0)
    assert not after((0, 0)).is_known(0)


def test_containers_times_connections() -> None:
    """The number is that of the addresses times the connections, and its source is described."""
    made = after((0, 5), connections=4)

    assert made.is_known(0)
    assert (20, "addresses of client: 5, CONNECTIONS: 4") == (made.clients, made.source)


def test_waits_for_all_and_for_a_settled_number() -> None:
    """A run may start once all clients are subscribed and their number has not changed for a second."""
    made = after((0, 2), (0.3, 3), (0.3 + UNCHANGED_SECONDS, 3))
    now = 0.3 + UNCHANGED_SECONDS

    assert not made.may_start(now, 2, 0)
    assert made.may_start(now, 3, 0)
    made.add_answer(now + 0.3, 4)
    assert not made.may_start(now + 0.3, 4, 0)
    made.add_answer(now + 0.3 + UNCHANGED_SECONDS, 4)
    assert made.may_start(now + 0.3 + UNCHANGED_SECONDS, 4, 0)


def test_one_answer_is_not_settled() -> None:
    """A single answer does not prove that the number is settled, however old it is."""
    assert not after((0, 2)).may_start(UNCHANGED_SECONDS + 1, 2, 0)


def test_the_wait_is_bounded() -> None:
    """A missing client delays the start for a bounded time after the first subscription."""
    made = after((0, 3), (EXPECT_AT_MOST_SECONDS + 6, 3))

    assert not made.may_start(EXPECT_AT_MOST_SECONDS + 6.9, 2, 7)
    assert made.may_start(EXPECT_AT_MOST_SECONDS + 7, 2, 7)


def test_a_number_expires() -> None:
    """A number stays known without answers for some seconds only."""
    made = after((0, 3), (0.3, None), (1.2, 3))

    assert made.may_start(1.2, 3, 0)
    assert made.is_known(1.2 + KNOWN_SECONDS)
    assert not made.is_known(1.3 + KNOWN_SECONDS)
    made.add_answer(20, 3)
    assert made.is_known(20)
    assert not made.may_start(20, 3, 0)
