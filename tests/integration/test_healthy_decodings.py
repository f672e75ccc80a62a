"""Every kind of decoding that ``make foreign`` judges is read whole, whatever the values, sizes and cuts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.external.decodings import DECODINGS, record
from tests.unit.client.external.fakes import feed_settings

NOW_MS = 1_795_961_505_000


@pytest.mark.parametrize("kind", DECODINGS)
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 60))
def test_every_record_is_read(kind: str, seed: int, count: int) -> None:
    """A reader with the settings of a kind finds every record in the frames of a feed, with number and time."""
    chance = random.Random(seed)
    records = [record(seq, NOW_MS + seq, chance) for seq in range(1, count + 1)]
    reader = feed_settings(**DECODINGS[kind].settings).frame_reader()

    found = [one for frame in DECODINGS[kind].frames(iter(records), chance) for one in reader.read(frame).records]

    assert count == len(found)
    assert [] == [one for one in found if one.seq is None or one.sent_ns is None or one.form is not None]
