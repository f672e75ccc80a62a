"""Tests of services/server/streaming/permission.py."""

import pytest

from services.contract import wire
from services.runtime.access.tokens import EVERYTHING, NOTHING, OPERATOR, PARTICIPANT, Grant
from services.server.streaming.admission import SubscriptionRefused
from services.server.streaming.permission import refuse_unpermitted

FEED, LOOK = Grant(frozenset({"feed"}), "edge-*"), Grant(frozenset({"observe"}))


@pytest.mark.parametrize(
    ("grant", "client", "observe", "permitted"),
    [
        (PARTICIPANT, "client-1", False, True),
        (PARTICIPANT, "client-1", True, True),
        (EVERYTHING, "client-1", False, True),
        (FEED, "edge-1", False, True),
        (FEED, "client-1", False, False),
        (FEED, "edge-1", True, False),
        (LOOK, "client-1", True, True),
        (LOOK, "client-1", False, False),
        (OPERATOR, "client-1", True, True),
        (OPERATOR, "client-1", False, False),
        (NOTHING, "client-1", False, False),
    ],
)
def test_a_subscription_needs_role_and_name(grant: Grant, client: str, *, observe: bool, permitted: bool) -> None:
    """To take part and to observe are roles of their own, and a token is for its names only."""
    request = wire.Subscribe(client=client, observe=observe)
    if permitted:
        refuse_unpermitted(grant, request)
        return
    with pytest.raises(SubscriptionRefused) as refusal:
        refuse_unpermitted(grant, request)
    assert wire.CLOSE_UNAUTHORIZED == refusal.value.code
    assert isinstance(refusal.value.frame, wire.Error)
    assert "unauthorized" == refusal.value.frame.code
