"""Tests of the sample of records that clients received under the same numbers."""

from __future__ import annotations

import random
from zlib import crc32

import pytest

from services.collector.evidence.comparison import kept_records
from services.collector.evidence.comparison.kept_records import CLUSTER, CLUSTERS, RecordSample
from services.contract.blocklog import ExternalMessage
from tests.builders.external_runs import numbered_messages


def add_messages(made: RecordSample, client: str, seqs: list[int], key: str | None = None) -> None:
    """Add messages of consecutive numbers, which arrived a millisecond after the start of their sequence."""
    messages = numbered_messages(seqs, key=key)
    texts = [b"%d" % seq for seq in seqs]
    moments = {one.received_at: 1000 + seqs[0] for one in messages}
    made.add_messages(client, key, seqs[0], range(len(seqs)), messages, texts, moments)


def test_a_short_run_is_kept_whole() -> None:
    """Every number of a short run has its digest, time of sending and time of arrival in the sample."""
    made = RecordSample()
    add_messages(made, "client-1", [3, 4])

    assert {
        "client-1": {(None, 3): (crc32(b"3"), b"3", 3, 1003), (None, 4): (crc32(b"4"), b"4", 3, 1003)}
    } == made.facts([None])


def test_a_number_that_came_twice_shows_nothing() -> None:
    """A number that a client received twice has no fact."""
    made = RecordSample()
    add_messages(made, "client-1", [3, 4])
    add_messages(made, "client-1", [4, 5])

    assert [(None, 3), (None, 5)] == sorted(made.facts([None])["client-1"])


def test_sequences_are_asked_for_by_key() -> None:
    """A feed without keys and one with an empty key are two sequences."""
    made = RecordSample()
    add_messages(made, "client-1", [3])
    add_messages(made, "client-1", [3], key="")

    assert [("", 3)] == list(made.facts([""])["client-1"])


def test_memory_is_bounded() -> None:
    """All clients keep the same few numbers of a long run."""
    made = RecordSample()
    for first in range(0, 100_000, 100):
        for client in ("client-1", "client-2"):
            add_messages(made, client, list(range(first, first + 100)))
    facts = made.facts([None])

    assert facts["client-1"].keys() == facts["client-2"].keys()
    assert CLUSTERS * CLUSTER - CLUSTER <= len(facts["client-1"]) <= CLUSTERS * CLUSTER


def test_many_clients_keep_fewer_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The facts of all clients together are bounded, but a few clusters are always kept."""
    monkeypatch.setattr(kept_records, "ENTRIES", 500)
    made = RecordSample()
    for client in range(20):
        add_messages(made, f"client-{client}", list(range(800)))

    assert {kept_records.LEAST * CLUSTER} == {len(facts) for facts in made.facts([None]).values()}


def test_the_same_numbers_are_kept_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The selected numbers depend only on the records, not on the order of reading."""
    monkeypatch.setattr(kept_records, "CLUSTERS", 5)
    monkeypatch.setattr(kept_records, "ENTRIES", 60)
    parts: list[tuple[str, list[int], str | None]] = [
        (client, list(range(first, first + 10)), key)
        for client in ("client-1", "client-2", "client-3")
        for first in range(0, 300, 10)
        for key in (None, "a")
    ]
    found = []
    for seed in range(5):
        made = RecordSample()
        random.Random(seed).shuffle(parts)
        for place, (client, seqs, key) in enumerate(parts):
            add_messages(made, client, seqs, key)
            if place % 40 == seed:
                made.facts([None])
        found.append(made.facts([None, "a"]))

    assert [found[0]] * 5 == found


def test_the_version_rises_with_what_is_sampled() -> None:
    """The version of a sample changes only when something is added."""
    made = RecordSample()
    add_messages(made, "client-1", [3])
    version = made.version
    made.facts([None])

    assert version == made.version
    add_messages(made, "client-1", [4])
    assert version < made.version


def test_a_message_without_a_time_of_sending_has_none() -> None:
    """A fact has no time of sending if the record has none."""
    made = RecordSample()
    message = ExternalMessage(3, "x", None, None, numbered_messages([3])[0].record)
    made.add_messages("client-1", None, 3, [0], [message], [b"y"], {"x": 5})

    assert {(None, 3): (crc32(b"y"), b"y", None, 5)} == made.facts([None])["client-1"]


def test_of_a_long_record_a_digest_is_kept() -> None:
    """Of long records digests are kept, which are equal if the records differ only in a time."""
    at_us, found = 1_795_332_600_000_000, []
    for text in (b"2026-11-22T07:30:00Z", b"2026-11-22T07:31:00Z", b"else"):
        made = RecordSample()
        message = ExternalMessage(3, "x", None, None, numbered_messages([3])[0].record)
        made.add_messages("client-1", None, 3, [0], [message], [text + b"." * 2000], {"x": at_us})
        found.append(made.facts([None])["client-1"][None, 3].text)

    assert found[0] == found[1] != found[2]
    assert 8 == len(found[0])
