"""Tests of wishes in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import wire
from services.runtime.control.commands import COMMANDS, NotACommand, parse, standing


def wish(**said: Any) -> wire.Control:
    """Return a wish that was typed at the console."""
    return wire.Control(via="console", **said)


def stands(**changed: Any) -> wire.Controlled:
    """Return how a run stands that is in its midst."""
    values = {"run": "20261122T073000Z", "state": "running", "rate": 200, "head": 1234, "clients": ["client-1"]}
    return wire.Controlled(**{**values, **changed})


@pytest.mark.parametrize(
    ("typed", "wishes"),
    [
        ("pause", [wish(do="pause")]),
        ("  resume ", [wish(do="resume")]),
        ("status", [wish(do="status")]),
        ("rate 500", [wish(set={"rate": 500})]),
        ("rate 0.5", [wish(set={"rate": 0.5})]),
        ("rate 0", [wish(set={"rate": 0})]),
        ("drop client-3", [wish(do="drop", client="client-3")]),
        ("rate 500 resume status", [wish(set={"rate": 500}), wish(do="resume"), wish(do="status")]),
        ("", []),
    ],
)
def test_what_is_typed_is_a_wish(typed: str, wishes: list[wire.Control]) -> None:
    """A line says one wish or several, whether the shell has split it or not."""
    assert wishes == parse([typed], "console") == parse(typed.split(), "console")


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("puase", "'puase' is no command; there are: rate N, pause, resume, drop CLIENT, status"),
        ("rate", "rate needs a number: rate 500"),
        ("drop", "drop needs a client: drop client-2"),
        ("rate fast", "rate 'fast': expected 0 or a number from 0.000001 to 10,000,000"),
        ("rate -1", "rate '-1': expected 0 or a number from 0.000001 to 10,000,000"),
        ("rate nan", "rate 'nan': expected 0 or a number from 0.000001 to 10,000,000"),
        ("rate 5e-324", "rate '5e-324': expected 0 or a number from 0.000001 to 10,000,000"),
        ("rate inf", "rate 'inf': expected 0 or a number from 0.000001 to 10,000,000"),
        ("drop Client/3", "drop 'Client/3': expected the name of a client"),
        ("pause rate", "rate needs a number: rate 500"),
    ],
)
def test_what_is_no_wish_is_said(typed: str, why: str) -> None:
    """A slip is answered with the word, and with what was expected."""
    with pytest.raises(NotACommand) as slip:
        parse([typed], "console")

    assert why == str(slip.value)


@given(st.text())
def test_nothing_else_comes_of_what_is_typed(typed: str) -> None:
    """Whatever is typed gives frames that a server reads, or is said to be no wish."""
    try:
        wishes = parse([typed], "console")
    except NotACommand:
        return

    assert wishes == [wire.decode_from_client(wire.encode(one)) for one in wishes]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_understood(command: str) -> None:
    """What the help lists can be typed."""
    assert parse([command.replace("CLIENT", "client-1").replace("N", "500")], "console")


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (stands(), "running at 200 records/s: 1,234 of 6,000 due; 1 client: client-1"),
        (stands(rate=0.5, clients=[]), "running at 0.5 records/s: 1,234 of 6,000 due; no client"),
        (stands(rate=0), "running as fast as clients take them: 1,234 of 6,000 due; 1 client: client-1"),
        (stands(rate=None, state="paused"), "paused: 1,234 of 6,000 due; 1 client: client-1"),
        (stands(state="waiting", head=0), "waiting, then 200 records/s: 0 of 6,000 due; 1 client: client-1"),
        (stands(state="ended", head=6000), "ended: 6,000 of 6,000 due; 1 client: client-1"),
    ],
)
def test_a_standing_is_one_line(said: wire.Controlled, text: str) -> None:
    """State, rate, how much is due, and who is connected."""
    assert f"20261122T073000Z {text}" == standing(said, 6000)


def test_many_clients_are_counted() -> None:
    """Of a thousand clients ten are named."""
    text = standing(stands(clients=[f"client-{number}" for number in range(1000)]), 6000)

    assert text.endswith("; 1,000 clients: " + ", ".join(f"client-{n}" for n in range(10)) + " and 990 more")
