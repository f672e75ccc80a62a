"""An operator's control requests: which peers may send them, and how they change the run."""

from __future__ import annotations

import hmac
from collections.abc import Collection

from services.contract import bounds, ledger, wire
from services.server.runs.run import Run
from services.server.streaming.stream import Stream

_ATTEMPTS = 5
"""Attempts to decide a request while other servers decide something else."""


class RequestRefused(Exception):
    """A control request is refused and nothing was changed; ``frame`` has the reason."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.frame = wire.Error(code=code, detail=detail)


def may_control(authorization: Collection[str], token: str, *, local: bool) -> bool:
    """Return whether a peer may control the run: it is on this machine's loopback, or sends the token.

    Args:
        authorization: values of ``Authorization`` in its opening request; more than one is treated as none.
        token: the required token; empty if there is none.
        local: whether the peer is on loopback.
    """
    if local:
        return True
    if not token or len(authorization) != 1:
        return False
    (value,) = authorization
    # In constant time, so that the duration of a refusal does not reveal how much of a guess is right.
    return hmac.compare_digest(value.encode(errors="replace"), f"Bearer {token}".encode())


def apply_request(control: wire.Control, stream: Stream, peer: str) -> wire.Controlled:
    """Record a control request in the ledger and carry it out; return the status of the run afterwards.

    Args:
        control: the request.
        stream: of the current run.
        peer: address that the request came from.

    Raises:
        RequestRefused: it cannot be carried out in the run's present state.
    """
    rate = control.set.get("rate") if control.set else None
    request = "rate" if rate is not None else control.do
    if request is None:
        raise RequestRefused("malformed", "the request neither sets a rate nor names an action")
    if request == "status":
        return _status(stream)
    run = stream.run
    for _ in range(_ATTEMPTS):
        # Another server may have decided something, and a stage that is due may be a pause, or end one: the request is
        # judged by the state after that.
        run.follow()
        run.advance()
        _refuse_impossible(stream, request, control.client)
        entry = ledger.ControlEntry(
            at=run.at(), request=request, value=rate, client=control.client, peer=peer, via=control.via
        )
        if _decide(run, entry):
            return _status(stream)
    obstacle = run.agreement.obstacle or "other servers of the run decide something at the same time"
    raise RequestRefused("not_now", f"{obstacle}: try again")


def _decide(run: Run, entry: ledger.ControlEntry) -> bool:
    """Decide a request together with the change of the rate that it causes; return whether it was decided."""
    is_advancing = run.recorded.is_advancing
    if entry.request == "pause" and is_advancing:
        return run.set_rate(None, before=(entry,))
    if entry.request == "resume" and run.recorded.state == "paused":
        return run.resume(entry)
    if entry.request == "rate" and is_advancing:
        # Before the start and during a pause nothing is scheduled: the recorded request holds from the next segment on.
        return run.set_rate(entry.value, before=(entry,))
    return run.decide(entry)


def _refuse_impossible(stream: Stream, request: str, client: str | None) -> None:
    run, status = stream.run, stream.run.status()
    if request == "drop":
        if client not in stream.subscriptions and client not in stream.run.agreement.connected():
            raise RequestRefused("no_client", f"no client is named {client}" if client else "drop names no client")
    elif status.state == "ended":
        raise RequestRefused("not_now", f"run {run.name} is over")
    elif run.times is not None:
        raise RequestRefused("not_now", f"the schedule of run {run.name} follows from START_AT and cannot be changed")
    elif request != "rate" and status.state == "waiting":
        raise RequestRefused("not_now", f"run {run.name} has not begun: there is nothing to {request}")
    elif status.head >= run.total:
        raise RequestRefused("not_now", f"every record of run {run.name} is due already")


def _status(stream: Stream) -> wire.Controlled:
    status = stream.run.status()
    # A client that was just dropped is still in the table until its handler notices the lost connection.
    clients = [
        name
        for name, subscription in stream.subscriptions.items()
        if subscription.is_open and subscription.cause != "dropped"
    ]
    clients += stream.run.agreement.connected().keys() - stream.subscriptions.keys()
    return wire.Controlled(
        run=stream.run.name,
        state=status.state,
        rate=None if status.state == "paused" else status.rate,
        head=status.head,
        clients=_names_that_fit(sorted(clients)),
    )


def _names_that_fit(names: list[str]) -> list[str]:
    """Return the first of the names, as many as fit into a frame."""
    left = bounds.CONTROL_NAMES_BYTES.value
    for index, name in enumerate(names):
        # Two quotes and a comma surround each name.
        left -= len(name) + 3
        if left < 0:
            return names[:index]
    return names
