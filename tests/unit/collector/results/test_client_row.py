"""Tests of services/collector/results/client_row.py."""

from __future__ import annotations

import msgspec

from services.collector.results.build import build_result
from services.collector.results.client_row import ClientRow
from services.collector.results.measured_durations import NOTHING, Measured
from tests.builders.runs import fold, good_run


def test_the_result_of_a_row_is_that_of_its_client() -> None:
    """The result of a whole client is the same again, with the chosen percentiles in place of each histogram."""
    for client in build_result(fold(good_run()), final=True).clients:
        measured = {
            "latency": Measured.of(client.latency, [42.0]),
            "transit": Measured.of(client.transit, [42.0]),
            "catch_up": NOTHING,
            "block_duration": Measured.of(client.block_duration, [42.0]),
        }

        expected = msgspec.structs.asdict(client) | {"lost": {}} | measured
        assert expected == msgspec.structs.asdict(ClientRow.of(client, [42.0]).result())


def test_a_row_of_a_whole_client_leaves_out_what_says_nothing() -> None:
    """Of a client that lacks nothing there are no ranges, and its receipts are a number."""
    client = build_result(fold(good_run()), final=True).clients[0]
    row = msgspec.json.decode(msgspec.json.encode(ClientRow.of(client, []), enc_hook=list))

    assert not {"lost", "conflicts", "faults", "torn_bytes"} & row.keys()
    assert isinstance(row["consistency"], int)
