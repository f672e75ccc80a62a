"""Refuses subscriptions that a peer's token does not permit."""

from __future__ import annotations

from services.contract import wire
from services.runtime.access.tokens import Grant
from services.server.streaming.admission import SubscriptionRefused


def refuse_unpermitted(grant: Grant, request: wire.Subscribe) -> None:
    """Return if a peer may subscribe like this.

    Args:
        grant: what the peer may do.
        request: to subscribe.

    Raises:
        SubscriptionRefused: its token does not permit it.
    """
    if request.observe:
        if not grant.permits("observe"):
            raise _unauthorized("this token does not permit to observe the feed")
    elif not grant.permits("feed"):
        raise _unauthorized("this token does not permit to take part in a run")
    elif not grant.permits_name(request.client):
        raise _unauthorized(f"this token is for clients named {grant.names}")


def _unauthorized(detail: str) -> SubscriptionRefused:
    return SubscriptionRefused(wire.Error(code="unauthorized", detail=detail), wire.CLOSE_UNAUTHORIZED)
