"""Tests of telling which settings a feed's records confirm."""

from __future__ import annotations

import msgspec
import pytest

from services.client.feeds.confirmation import confirm
from services.client.feeds.proposal import Proposal
from services.contract.blocklog import ExternalMessage

PROPOSALS = [Proposal(key, "x", "y") for key in ("decode.records", "sequence.number", "decode.ignore", "time.path")]


def records(*seqs: int | None, latency_ns: int | None = None, **paths: list[int]) -> list[ExternalMessage]:
    """Return records with these numbers."""
    more = [dict(zip(paths, values, strict=True)) for values in zip(*paths.values(), strict=True)] or [{}] * len(seqs)
    return [
        ExternalMessage(
            seq=seq, received_at="2026-11-29T10:00:00.000000Z", latency_ns=latency_ns, transit_ns=None,
            record=msgspec.Raw(b"{}"), **facts,
        )
        for seq, facts in zip(seqs, more, strict=True)
    ]  # fmt: skip


def left(found: list[ExternalMessage]) -> list[str]:
    """Return the keys that remain to be proposed."""
    return [one.key for one in confirm(found).left(PROPOSALS)]


def test_numbers_that_rise_confirm_how_they_are_read() -> None:
    """Where the numbers rise by one, nothing else is proposed about records and numbers."""
    assert ["time.path"] == left(records(*range(9)))
    assert [] == left(records(*range(9), latency_ns=5))


def test_records_without_a_number_may_be_ignored() -> None:
    """Where some records have no number, the pattern for messages that are no records is still proposed."""
    assert ["decode.ignore", "time.path"] == left(records(*range(9), None))


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (records(3, 9, 10, 17), None),
        (records(3, 9, 10, 17, first_seq=[1, 4, 10, 11]), "range"),
        (records(3, 9, 10, 17, prev_seq=[2, 3, 9, 10]), "link"),
        (records(), None),
        (records(5, 5, 5, 5), None),
    ],
)
def test_ranges_and_links_are_confirmed_by_their_settings(found: list[ExternalMessage], kind: str | None) -> None:
    """Numbers that rise by any steps are confirmed only with the first or previous numbers that explain them."""
    numbering = confirm(found).numbering

    assert kind == (numbering.kind if numbering is not None else None)
