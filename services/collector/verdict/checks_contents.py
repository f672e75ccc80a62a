"""Sentences about the contents of records without numbers, by which clients of an external feed are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.collector import formatting
from services.collector.results.run_result import (
    DifferingContents,
    FeedComparison,
    RecurringDifference,
    UnnumberedComparison,
)

_SETTINGS = (
    "FEED_IGNORE passes over messages that are no records, and with FEED_SCOPE=connection clients are not compared"
)


def compared_clients(comparison: FeedComparison | None) -> tuple[str, ...]:
    """Return the clients whose contents were compared."""
    return _unnumbered(comparison).alike


def compared(comparison: FeedComparison | None) -> str:
    """Return the clause about the clients whose contents were compared or could not be; empty without any."""
    found = _unnumbered(comparison)
    parts = []
    if found.alike and not found.differing:
        sample = ", by a sample" if found.is_sampled else ""
        parts.append(f"{formatting.names(found.alike)} received the same records while connected together{sample}")
    if found.apart:
        parts.append(f"most records of {formatting.names(found.apart)} are different, so these are not compared")
    if found.recurring:
        parts.append(_recurring(found.recurring))
    return "".join(f"; {part}" for part in parts)


def differing(comparison: FeedComparison | None) -> tuple[str, ...]:
    """Return a sentence for each client that lacks records which another one received while both were connected."""
    found = _unnumbered(comparison)
    return (
        *(_sentence(one, is_sampled=found.is_sampled) for one in found.differing),
        *(sentence for one in found.recurring for sentence in _recurrence(one)),
    )


def _recurring(found: Sequence[RecurringDifference]) -> str:
    names = formatting.names(sorted({one.client for one in found}))
    if not all(one.records for one in found):
        return f"the same few contents recur at {names}, too shortly to compare how many each received"
    chance = max(one.chance for one in found)
    return (
        f"the same few contents recur at {names}, so only their counts and turns are compared: up to {chance:,} records"
        " that are missing make no difference there"
    )


def _recurrence(one: RecurringDifference) -> Iterator[str]:
    why = "the same few contents recur, so which ones is not known"
    if one.fewer:
        yield (
            f"{one.client} received about {one.fewer:,} records fewer than {one.other}, of about {one.records:,}, while"
            f" both were connected: {why}; {_SETTINGS}"
        )
    if one.out_of_turn:
        count = formatting.several(one.out_of_turn, "record")
        yield (
            f"{one.client} received {count} out of the turn in which the same contents always came at {one.other}:"
            f" whether records were lost, sent twice or out of order is not known without numbers; {_SETTINGS}"
        )


def _sentence(differing: DifferingContents, *, is_sampled: bool) -> str:
    session, block = differing.block
    where = f"block {block} of {differing.other}" + (f", session {session}" if session > 1 else "")
    least = "at least " * is_sampled
    if not differing.lacking:
        count = formatting.several(differing.fewer, "record")
        return (
            f"{differing.client} received {least}{count} less often than {differing.other} while both were connected,"
            f" the first in {where}: sent twice or lost once, which is not known without numbers"
        )
    again = f", and {differing.fewer:,} less often" if differing.fewer else ""
    count = formatting.several(differing.lacking, "record")
    return (
        f"{differing.client} lacks {least}{count} that {differing.other} received while both were connected{again}, the"
        f" first in {where}: whether {'it was' if differing.lacking == 1 else 'they were'} lost is not known without"
        f" numbers; {_SETTINGS}"
    )


def _unnumbered(comparison: FeedComparison | None) -> UnnumberedComparison:
    found = comparison.unnumbered if comparison else None
    return UnnumberedComparison() if found is None else found
