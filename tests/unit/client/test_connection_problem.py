"""Tests of services/client/connection_problem.py."""

from __future__ import annotations

import errno
import ssl

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import InvalidMessage, InvalidStatus
from websockets.http11 import Response

from services.client.connection_problem import ConnectionProblem, problem_of
from services.runtime.jsonlogs import RateLimitedLog


def status(code: int, body: bytes = b"") -> InvalidStatus:
    """Return the exception of an answer with a status."""
    return InvalidStatus(Response(code, "", Headers(), body))


@pytest.mark.parametrize(
    ("problem", "has_token", "uses_tls", "says", "is_firm"),
    [
        (status(401), False, True, "the server needs a token: HTTP 401; FEED_TOKEN_FILE names it", True),
        (status(401), True, True, "the server does not know the token in FEED_TOKEN_FILE: HTTP 401", True),
        (status(403, b"a proxy\x1b[2J forwards\n"), True, True, "HTTP 403: a proxy [2J forwards", True),
        (status(503, b"draining\n"), True, False, "the server answered HTTP 503: draining", False),
        (InvalidMessage("no"), False, False, "SERVER_URL has to begin with wss:", False),
        (InvalidMessage("no"), False, True, "InvalidMessage: no", False),
        (ConnectionResetError(errno.ECONNRESET, "reset"), False, True, "SERVER_URL has to begin with ws:", False),
        (ConnectionResetError(), False, True, "SERVER_URL has to begin with ws:", False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), False, True, "ConnectionRefusedError", False),
        (ConnectionResetError(errno.ECONNRESET, "reset"), False, False, "ConnectionResetError", False),
        (OSError(errno.EMFILE, "too many"), False, False, "raise the limit of open files", False),
        (OSError("see ws://me:secret@host/?key=1"), False, False, "OSError: see ws://host/", False),
    ],
)
def test_a_problem_says_who_has_to_act(
    problem: Exception, says: str, *, has_token: bool, uses_tls: bool, is_firm: bool
) -> None:
    """Each failed attempt has its own sentence; only what an operator has to change makes a client wait longer."""
    found = problem_of(problem, has_token=has_token, uses_tls=uses_tls)

    assert says in found.why
    assert is_firm is found.is_firm


def test_a_certificate_that_is_not_trusted_is_firm() -> None:
    """A certificate that cannot be verified stays the same until an operator acts."""
    problem = ssl.SSLCertVerificationError(1, "x")
    problem.verify_message = "certificate has expired"

    assert problem_of(problem, has_token=False, uses_tls=True).is_firm


def test_the_same_cause_is_logged_once_a_minute() -> None:
    """A cause that stays is logged once a minute, another one at once, and an outage once a second."""
    log, firm, other = RateLimitedLog(), ConnectionProblem("a", is_firm=True), ConnectionProblem("b", is_hint=True)
    outage = ConnectionProblem("c")

    assert [True, False, False, True] == [firm.may_be_logged(log, now) for now in (0.0, 5.0, 59.0, 60.0)]
    assert [True, False] == [other.may_be_logged(log, now) for now in (60.0, 61.0)]
    assert [True, False, True] == [outage.may_be_logged(log, now) for now in (60.0, 60.5, 61.0)]
