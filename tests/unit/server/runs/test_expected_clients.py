"""Tests of how many clients a run waits for when ``CLIENTS`` is not set."""

from __future__ import annotations

from services.server.runs.expected_clients import AT_MOST_SECONDS, KNOWN_SECONDS, UNCHANGED_SECONDS, ExpectedClients


def after(*answers: tuple[float, int | None], connections: int = 1) -> ExpectedClients:
    """Return what is known after some answers of the name server, each with its time."""
    made = ExpectedClients("client", connections)
    for now, addresses in answers:
        made.add_answer(now, addresses)
    return made


def test_nothing_is_known_at_first() -> None:
    """Without an answer, with one that says nothing, or with no address, there is no number."""
    assert not after().is_known(0)
    assert not after((0, None)).is_known(0)
    assert not after((0, 0)).is_known(0)


def test_each_container_is_as_many_clients_as_it_has_connections() -> None:
    """The number is that of the addresses times that of the connections, and says where it comes from."""
    made = after((0, 5), connections=4)

    assert made.is_known(0)
    assert (20, "addresses of client: 5, CONNECTIONS: 4") == (made.clients, made.source)


def test_waits_for_all_and_until_no_more_are_started() -> None:
    """The run may start when all are there and the number has been the same for a second, and not before."""
    made = after((0, 2), (0.3, 3), (0.3 + UNCHANGED_SECONDS, 3))
    now = 0.3 + UNCHANGED_SECONDS

    assert not made.may_start(now, 2, 0)
    assert made.may_start(now, 3, 0)
    made.add_answer(now + 0.3, 4)
    assert not made.may_start(now + 0.3, 4, 0)
    made.add_answer(now + 0.3 + UNCHANGED_SECONDS, 4)
    assert made.may_start(now + 0.3 + UNCHANGED_SECONDS, 4, 0)


def test_what_was_not_looked_at_is_not_known_to_be_unchanged() -> None:
    """One answer alone does not tell that the number stays, however long ago it came."""
    assert not after((0, 2)).may_start(UNCHANGED_SECONDS + 1, 2, 0)


def test_does_not_wait_for_ever() -> None:
    """A client that does not come holds up the start for its time, counted from the first subscription."""
    made = after((0, 3), (AT_MOST_SECONDS + 6, 3))

    assert not made.may_start(AT_MOST_SECONDS + 6.9, 2, 7)
    assert made.may_start(AT_MOST_SECONDS + 7, 2, 7)


def test_an_answer_that_does_not_come_changes_nothing_for_a_while() -> None:
    """A question that was not answered in time is no news, until there has been none for some seconds."""
    made = after((0, 3), (0.3, None), (1.2, 3))

    assert made.may_start(1.2, 3, 0)
    assert made.is_known(1.2 + KNOWN_SECONDS)
    assert not made.is_known(1.3 + KNOWN_SECONDS)
    made.add_answer(20, 3)
    assert made.is_known(20)
    assert not made.may_start(20, 3, 0)
