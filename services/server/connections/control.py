"""An operator's wishes for the run: who may have them, and how they are granted."""

from __future__ import annotations

import hmac
from collections.abc import Collection

from services.contract import ledger, wire
from services.server.stream import Stream

_MOST_NAMES_BYTES = 192 * 1024
"""Of the names in one answer: a frame holds them, whatever the number of clients."""


class RequestRefused(Exception):
    """The wish is not granted, and nothing was changed. ``frame`` says why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.frame = wire.Error(code=code, detail=detail)


def may_control(authority: Collection[str], token: str, *, local: bool) -> bool:
    """Tell whether a peer may control the run: it is on this machine's loopback, or holds the token.

    Args:
        authority: the values of ``Authorization`` in its opening request; more than one is as good as none.
        token: what it has to hold; empty when there is none.
        local: whether it is on loopback.
    """
    if local:
        return True
    if not token or len(authority) != 1:
        return False
    (said,) = authority
    return hmac.compare_digest(said.encode(errors="replace"), f"Bearer {token}".encode())


def grant(control: wire.Control, stream: Stream, peer: str) -> wire.Controlled:
    """Enter a wish into the ledger and fulfil it; return how the run stands then.

    Args:
        control: the wish.
        stream: of the run that is on.
        peer: the address it came from.

    Raises:
        Declined: it cannot be fulfilled, as the run stands.
    """
    rate = control.set.get("rate") if control.set else None
    wish = "rate" if rate is not None else control.do
    if wish is None:
        raise RequestRefused("malformed", "control sets or does nothing")
    if wish != "status":
        _decline_impossible(stream, wish, control.client)
        run, goes = stream.run, stream.run.book.goes
        run.enter(
            ledger.ControlEntry(
                at=run.at(), request=wish, value=rate, client=control.client, peer=peer, via=control.via
            )
        )
        _obey(stream, wish, rate, control.client, goes=goes)
    return _standing(stream)


def _decline_impossible(stream: Stream, wish: str, client: str | None) -> None:
    run = stream.run
    if wish == "drop":
        if client not in stream.sessions:
            raise RequestRefused("no_client", f"nobody is {client}" if client else "drop names nobody")
    elif run.state == "ended":
        raise RequestRefused("not_now", f"run {run.name} is over")
    elif wish != "rate" and run.state == "waiting":
        raise RequestRefused("not_now", f"run {run.name} has not begun: there is nothing to {wish}")
    elif run.head() >= run.book.total:
        raise RequestRefused("not_now", f"every record of run {run.name} is due already")


def _obey(stream: Stream, wish: str, rate: float | None, client: str | None, *, goes: bool) -> None:
    run = stream.run
    if wish == "drop":
        session = stream.sessions[client or ""]
        session.cause = "dropped"
        session.connection.transport.abort()
    elif wish == "pause" and goes:
        run.pace(None)
    elif wish == "resume" and run.state == "paused":
        run.resume()
    elif rate is not None and goes:
        # Before it begins, or while it is paused, the book remembers the rate for when it goes on.
        run.pace(rate)


def _standing(stream: Stream) -> wire.Controlled:
    run = stream.run
    # Who was just dropped hears of it in a moment.
    here = [name for name, session in stream.sessions.items() if session.open and session.cause != "dropped"]
    return wire.Controlled(
        run=run.name,
        state=run.state,
        rate=None if run.state == "paused" else run.rate,
        head=run.head(),
        clients=_fitting(sorted(here)),
    )


def _fitting(names: list[str]) -> list[str]:
    """Return as many names as go into a frame."""
    room = _MOST_NAMES_BYTES
    for place, name in enumerate(names):
        room -= len(name) + 3
        if room < 0:
            return names[:place]
    return names
