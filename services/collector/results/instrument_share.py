"""How much of a latency is the instrument's own: event loop lag, time without reading, and the error of the clock.

The lag of a timer is a sample of how late the process handles anything, so it is an estimate for messages. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.collector.results.client_result import ClientResult
from services.contract.summary import InstrumentShare

_REACHES_P99 = 0.01
"""Part of the run from which on a time without reading is in the 99th percentile."""


def client_share(client: ClientResult) -> InstrumentShare:
    """Return the instrument's share of the latencies of one client."""
    lag, stalled, longest = client.saturation, client.stalled_ns, client.longest_stall_ns
    error_ns = None if client.clock_error_us is None else client.clock_error_us * 1000
    known_error_ns, longest_known_ns = error_ns or 0, longest or 0
    p99_ns = None if lag.p99_ns is None else lag.p99_ns + known_error_ns
    if stalled and stalled > _REACHES_P99 * _duration_ns(client):
        p99_ns = (p99_ns or known_error_ns) + longest_known_ns
    return InstrumentShare(
        p99=p99_ns,
        max=None if lag.max_ns is None else lag.max_ns + known_error_ns + longest_known_ns,
        loop_lag_p99=lag.p99_ns,
        loop_lag_max=lag.max_ns,
        stalled=stalled,
        stall_max=longest,
        clock_error=error_ns,
    )


def run_share(clients: Sequence[ClientResult]) -> InstrumentShare:
    """Return the greatest share of any client, value by value."""
    shares = [client_share(client) for client in clients]
    values = {
        name: [value for share in shares if (value := getattr(share, name)) is not None]
        for name in InstrumentShare.__struct_fields__
    }
    return InstrumentShare(**{name: max(known, default=None) for name, known in values.items()})


def _duration_ns(client: ClientResult) -> int:
    return 0 if client.first_us is None or client.last_us is None else (client.last_us - client.first_us) * 1000
