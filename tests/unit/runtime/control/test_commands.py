"""Tests of parsing commands and of formatting replies."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import wire
from services.runtime.control.commands import COMMANDS, NotACommand, parse, status_text


def request(**fields: Any) -> wire.Control:
    """Return a control request from the console."""
    return wire.Control(via="console", **fields)


def reply(**changed: Any) -> wire.Controlled:
    """Return the reply about a run in progress."""
    values = {"run": "20261122T073000Z", "state": "running", "rate": 200, "head": 1234, "clients": ["client-1"]}
    return wire.Controlled(**{**values, **changed})


@pytest.mark.parametrize(
    ("typed", "requests"),
    [
        ("pause", [request(do="pause")]),
        ("  resume ", [request(do="resume")]),
        ("status", [request(do="status")]),
        ("rate 500", [request(set={"rate": 500})]),
        ("rate 0.5", [request(set={"rate": 0.5})]),
        ("rate 0", [request(set={"rate": 0})]),
        ("drop client-3", [request(do="drop", client="client-3")]),
        ("rate 500 resume status", [request(set={"rate": 500}), request(do="resume"), request(do="status")]),
        ("", []),
    ],
)
def test_commands_are_parsed(typed: str, requests: list[wire.Control]) -> None:
    """A line has one command or several, and is parsed alike if the shell has split it."""
    assert requests == parse([typed], "console") == parse(typed.split(), "console")


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
def test_a_slip_is_explained(typed: str, why: str) -> None:
    """The error has the wrong word and the expected words."""
    with pytest.raises(NotACommand) as slip:
        parse([typed], "console")

    assert why == str(slip.value)


@given(st.text())
def test_parsed_requests_are_valid_frames(typed: str) -> None:
    """Every text either parses to frames that a server accepts or raises NotACommand."""
    try:
        requests = parse([typed], "console")
    except NotACommand:
        return

    assert requests == [wire.decode_from_client(wire.encode(item)) for item in requests]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_listed_command_is_parsed(command: str) -> None:
    """Every command that the help lists can be parsed."""
    assert parse([command.replace("CLIENT", "client-1").replace("N", "500")], "console")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (reply(), "running at 200 records/s: 1,234 of 6,000 due; 1 client: client-1"),
        (reply(rate=0.5, clients=[]), "running at 0.5 records/s: 1,234 of 6,000 due; no client"),
        (reply(rate=0), "running as fast as the clients receive: 1,234 of 6,000 due; 1 client: client-1"),
        (reply(rate=None, state="paused"), "paused: 1,234 of 6,000 due; 1 client: client-1"),
        (reply(state="waiting", head=0), "waiting, then 200 records/s: 0 of 6,000 due; 1 client: client-1"),
        (reply(state="ended", head=6000), "ended: 6,000 of 6,000 due; 1 client: client-1"),
    ],
)
def test_a_status_is_one_line(message: wire.Controlled, text: str) -> None:
    """A status has the state, the rate, the number of due records and the connected clients."""
    assert f"20261122T073000Z {text}" == status_text(message, 6000)


def test_many_clients_are_counted() -> None:
    """The first ten of a thousand clients are named, the others are counted."""
    text = status_text(reply(clients=[f"client-{number}" for number in range(1000)]), 6000)

    assert text.endswith("; 1,000 clients: " + ", ".join(f"client-{n}" for n in range(10)) + " and 990 more")
