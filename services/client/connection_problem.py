"""Why a client of the own feed has no connection, in words that say which party has to act. Pure."""

from __future__ import annotations

import errno
from http import HTTPStatus
from typing import NamedTuple

from websockets.exceptions import InvalidMessage, InvalidStatus

from services.client.external.connection_failure import MAX_REASON_LENGTH, brief
from services.runtime.access.tls import handshake_problem
from services.runtime.jsonlogs import RateLimitedLog

FIRM_SECONDS = 5.0
"""Pause after a refusal that only an operator can change."""

_SAME_SECONDS = 60.0


class ConnectionProblem(NamedTuple):
    """Why a connection could not be made.

    Attributes:
        why: one line of printable characters.
        is_firm: another attempt soon would fail for the same reason.
        is_hint: it probably has a cause that only an operator can remove.
    """

    why: str
    is_firm: bool = False
    is_hint: bool = False

    def may_be_logged(self, log: RateLimitedLog, now: float) -> bool:
        """Return whether to log it at ``now`` (monotonic seconds): seldom if it stays the same until someone acts."""
        return log.allow(now, self.why, _SAME_SECONDS) if self.is_firm or self.is_hint else log.allow(now)


def problem_of(problem: Exception, *, has_token: bool, uses_tls: bool) -> ConnectionProblem:
    """Return why an attempt to connect failed.

    Args:
        problem: the exception.
        has_token: whether a token was sent.
        uses_tls: whether the address asks for TLS.
    """
    if (tls := handshake_problem(problem, "TLS_CA_FILE")) is not None:
        return ConnectionProblem(tls, is_firm=True)
    if isinstance(problem, InvalidStatus):
        return _of_status(problem, has_token=has_token)
    if isinstance(problem, OSError) and problem.errno in (errno.EMFILE, errno.ENFILE):
        return ConnectionProblem("no file descriptor is left: raise the limit of open files (ulimit -n)", is_hint=True)
    # Neither is proved: a server that is being stopped may end a handshake in the same ways.
    if isinstance(problem, InvalidMessage) and not uses_tls:
        return ConnectionProblem(
            "the server did not answer in HTTP: if it expects TLS, SERVER_URL has to begin with wss:", is_hint=True
        )
    if isinstance(problem, ConnectionError) and uses_tls and problem.errno in (None, errno.ECONNRESET):
        return ConnectionProblem(
            "the server ended the TLS handshake: if it does not speak TLS, SERVER_URL has to begin with ws:",
            is_hint=True,
        )
    return ConnectionProblem(brief(f"{type(problem).__name__}: {problem}", ()))


def _of_status(problem: InvalidStatus, *, has_token: bool) -> ConnectionProblem:
    status = problem.response.status_code
    if status == HTTPStatus.UNAUTHORIZED:
        why = "the server does not know the token in FEED_TOKEN_FILE" if has_token else "the server needs a token"
        return ConnectionProblem(f"{why}: HTTP 401" + ("" if has_token else "; FEED_TOKEN_FILE names it"), is_firm=True)
    said = bytes(problem.response.body[:MAX_REASON_LENGTH]).decode("utf-8", "replace").strip()
    why = f"the server answered HTTP {status}" + (f": {said}" if said else "")
    return ConnectionProblem(brief(why, ()), is_firm=status == HTTPStatus.FORBIDDEN)
