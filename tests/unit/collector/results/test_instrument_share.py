"""Tests of services/collector/results/instrument_share.py."""

from __future__ import annotations

from services.collector.evidence.saturation import SaturationEvidence
from services.collector.results.client_result import ClientResult
from services.collector.results.instrument_share import client_share, run_share
from services.contract.summary import InstrumentShare

MS = 1_000_000
S_US = 1_000_000


def test_a_share_is_made_of_lag_and_clock_and_stall() -> None:
    """The share of the p99 has the longest stall only if reading was stopped for more than 1 % of the run."""
    brief, long = (
        client_share(
            ClientResult(
                client="client-1",
                state="finished",
                first_us=0,
                last_us=10 * S_US,
                clock_error_us=300,
                saturation=SaturationEvidence(2 * MS, 9 * MS),
                stalled_ns=stalled_ns,
                longest_stall_ns=80 * MS,
            )
        )
        for stalled_ns in (100 * MS, 110 * MS)
    )

    assert (2_300_000, 89_300_000) == (brief.p99, brief.max)
    assert (82_300_000, 89_300_000) == (long.p99, long.max)
    assert (2 * MS, 9 * MS, 110 * MS, 80 * MS, 300_000) == (
        long.loop_lag_p99, long.loop_lag_max, long.stalled, long.stall_max, long.clock_error
    )  # fmt: skip


def test_an_unknown_lag_makes_the_share_unknown() -> None:
    """Without a measured lag, the share is null; a long time without reading is known nevertheless."""
    unknown = ClientResult(client="client-1", state="finished", clock_error_us=300, stalled_ns=0, longest_stall_ns=0)
    stalled = ClientResult(
        client="client-2", state="finished", first_us=0, last_us=S_US, stalled_ns=500 * MS, longest_stall_ns=400 * MS
    )

    assert (None, None) == (client_share(unknown).p99, client_share(unknown).max)
    assert (400 * MS, None) == (client_share(stalled).p99, client_share(stalled).max)
    assert InstrumentShare() == client_share(ClientResult(client="client-3", state="lost"))


def test_the_share_of_a_run_is_that_of_the_worst_client() -> None:
    """Each value of a run is the greatest of any client, null if no client has it."""
    one = ClientResult(client="client-1", state="finished", saturation=SaturationEvidence(MS, 9 * MS))
    other = ClientResult(client="client-2", state="finished", saturation=SaturationEvidence(2 * MS, 3 * MS))

    found = run_share([one, other])
    assert (2 * MS, 9 * MS, None) == (found.p99, found.max, found.clock_error)
    assert InstrumentShare() == run_share([])
