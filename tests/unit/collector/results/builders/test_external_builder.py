"""Tests of services/collector/results/builders/external_builder.py."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.builders.external_builder import external_run_result
from services.collector.results.client_result import EXTERNAL_CAUSES, ClientResult
from services.collector.scan import Source
from services.collector.verdict.snapshot import snapshot
from services.contract import blocklog, summary, timeline
from services.contract.blocklog import ExternalMessage
from services.contract.jsonl import FIRST
from tests.builders.external_runs import STEP_US, evidence_of, log, message, numbered_messages
from tests.builders.runs import RUN, START_US, Writer, fold_in_turns


def results(*logs: Any, final: bool = True) -> tuple[ClientResult, ...]:
    """Return the results of some clients."""
    return external_run_result(evidence_of(*logs), final=final).clients


def by_cause(client: ClientResult) -> dict[str, int]:
    """Return how many messages are missing, by each cause with any."""
    counts = {cause: getattr(client.missing_by_cause, cause) for cause in EXTERNAL_CAUSES}
    return {cause: count for cause, count in counts.items() if count}


WHOLE = log("client-2", numbered_messages(range(1, 101)))
"""The log of a client that received the first hundred messages."""


@given(st.data())
def test_exactly_what_was_harmed_is_reported(data: st.DataObject) -> None:
    """For k drops, k duplicates and k swaps at one client, exactly these are its faults, and the other has none."""
    places = list(range(5, 95, 4))
    chosen = data.draw(st.permutations(places))
    k = data.draw(st.integers(0, 6))
    drops, doubles, swaps = (set(chosen[at * k : (at + 1) * k]) for at in range(3))
    came: list[int] = []
    for seq in range(1, 101):
        if seq in drops or seq in swaps:
            continue
        came += [seq] * (2 if seq in doubles else 1)
        came += [seq - 1] if seq - 1 in swaps else []
    harmed, whole = results(log("client-1", numbered_messages(came)), WHOLE)

    assert (k, k, k) == (harmed.missing, harmed.duplicates, harmed.reordered)
    assert ({"sent_not_logged": k} if k else {}) == by_cause(harmed)
    assert drops == {seq for first, last in harmed.missing_seqs for seq in range(first, last + 1)}
    assert (100, 0, 0, 0) == (whole.received, whole.missing, whole.duplicates, whole.reordered)


def test_what_nobody_saw_is_distinguished() -> None:
    """A number that no client received is missing with the cause ``not_seen``."""
    first, second = results(
        log("client-1", numbered_messages([1, 2, 4, 6])), log("client-2", numbered_messages([1, 2, 4, 5, 6]))
    )

    assert {"sent_not_logged": 1, "not_seen": 1} == by_cause(first)
    assert {"not_seen": 1} == by_cause(second)


def test_a_client_answers_from_its_first_record_on() -> None:
    """A client that connected late does not miss earlier records."""
    late, _ = results(log("client-1", numbered_messages([50, 51])), log("client-2", numbered_messages(range(1, 52))))

    assert (2, 0) == (late.expected, late.missing)


def test_a_lost_tail_shows_by_the_others() -> None:
    """A client that stayed to the end misses what others had received a second before the end."""
    until_us = START_US + 100 * STEP_US + 1_000_000
    deaf, whole = results(
        log("client-1", numbered_messages(range(1, 41)), until_us=until_us),
        log("client-2", numbered_messages(range(1, 101)), until_us=until_us),
    )

    assert (100, 60) == (deaf.expected, deaf.missing)
    assert 0 == whole.missing


def test_what_is_in_flight_at_the_end_is_nobodys_loss() -> None:
    """A record that another client received within the last second is not missing."""
    until_us = START_US + 50 * STEP_US
    behind, _ = results(
        log("client-1", numbered_messages(range(1, 41)), until_us=until_us),
        log("client-2", numbered_messages(range(1, 51)), until_us=until_us),
    )

    assert 0 == behind.missing


def test_sequences_are_distinguished_by_key() -> None:
    """With keys each sequence is evaluated by itself, and the missing numbers are added."""
    messages = [
        message(seq, place, key=key) for place, (seq, key) in enumerate([(1, "a"), (7, "b"), (3, "a"), (9, "b")])
    ]
    (client,) = results(log("client-1", messages))
    missing = client.external.missing

    assert {"a": [(2, 2)], "b": [(8, 8)]} == {key: gaps.spans() for key, gaps in missing.items()}
    assert (2, 6, 4) == (client.missing, client.expected, client.received)


def test_a_feed_that_began_again_is_not_compared() -> None:
    """After a restart a client misses only numbers of its own sequence, not those of others."""
    restarted, _ = results(
        log("client-1", [*numbered_messages([5000, 5001]), *(message(seq, 2 + seq) for seq in (1, 2))]),
        log("client-2", numbered_messages(range(1, 20))),
    )

    assert (1, 0, 4) == (restarted.restarts, restarted.missing, restarted.received)


def test_a_feed_without_numbers_expects_nothing() -> None:
    """Without numbers every message counts as received, and the missing records are unknown."""
    (client,) = results(log("client-1", numbered_messages([None] * 7)))

    assert (None, 7, 7, None) == (client.expected, client.received, client.unsequenced, client.missing)


def test_damage_hides_what_lies_between() -> None:
    """Numbers that a damaged line hides have the cause ``corrupt_block``."""
    files = log("client-1", numbered_messages(range(1, 16)))
    (source,) = files
    files[source][3] = files[source][3].replace(b"record 7", b"record x")
    damaged, _ = results(files, log("client-2", numbered_messages(range(1, 16))))

    assert {"corrupt_block": 5} == by_cause(damaged)
    assert ["corrupt_block"] == [fault.kind for fault in damaged.faults]


def in_segments(files: dict[Source, list[bytes]], at: int) -> dict[Source, list[bytes]]:
    """Return the log of one client as two files, the second of which begins before the line at this place."""
    ((source, lines),) = files.items()
    entries = [blocklog.codec.decode(line)[1] for line in lines]
    opened, ended = entries[0], entries[-1]
    assert isinstance(opened, blocklog.OpenLine)
    assert isinstance(ended, blocklog.EndLine)
    made, prev = {}, FIRST
    for segment, part, reason in ((1, entries[1:at], "rotated"), (2, entries[at:-1], "finished")):
        writer = Writer(blocklog.codec, prev)
        writer.put(msgspec.structs.replace(opened, segment=segment))
        for entry in part:
            writer.put(entry)
        blocks = [entry for entry in part if isinstance(entry, blocklog.ExternalBlock)]
        text = b"".join(writer.lines)
        writer.put(
            msgspec.structs.replace(
                ended, reason=reason, block_count=len(blocks), message_count=sum(block.count for block in blocks),
                byte_count=len(text), sha256=hashlib.sha256(text).hexdigest(),
            )
        )  # fmt: skip
        made[Source(source.run, source.client, blocklog.file_name(1, segment))] = writer.lines
        prev = writer.prev
    return made


def test_the_beginning_of_a_segment_hides_nothing() -> None:
    """A log in several files has no damage where one continues another: numbers that are missing have another cause."""
    numbers = [seq for seq in range(1, 31) if seq not in (3, 4, 17)]
    files = in_segments(log("client-1", numbered_messages(numbers)), 3)

    lossy, _ = results(files, log("client-2", numbered_messages(range(1, 31))))

    assert ({"sent_not_logged": 3}, ()) == (by_cause(lossy), lossy.faults)


def test_how_a_client_ended_is_reported_by_its_log() -> None:
    """A log sealed at the end has finished, sealed before it has left; an open one is running, or finally lost."""
    ends: list[tuple[Any, int | None]] = [("finished", 1), ("shutdown", 1), ("shutdown", None), (None, 1)]
    logs = [
        log(f"client-{number}", numbered_messages([1]), reason=reason, until_us=until_us and START_US + 10_000_000)
        for number, (reason, until_us) in enumerate(ends)
    ]

    assert ["finished", "left", "finished", "lost"] == [one.state for one in results(*logs)]
    assert "running" == results(*logs, final=False)[-1].state


came = st.lists(
    st.tuples(st.none() | st.integers(0, 9), st.sampled_from([None, None, "a"]), st.booleans()), max_size=25
)


@given(came, came, st.integers(1, 7), st.lists(st.integers(0, 1), max_size=3), st.randoms(use_true_random=False))
def test_order_copies_and_questions_change_nothing(
    first: Any, second: Any, size: int, copied: list[int], chance: random.Random
) -> None:
    """Summary and timeline are the same for any order of files, with copies and with queries in between."""
    logs = [log(f"client-{number}", _messages(one), size=size) for number, one in enumerate((first, second), 1)]
    originals = [next(iter(one.items())) for one in logs]
    expected = outputs_of(evidence_of(*logs))
    files = dict(originals)
    for number, at in enumerate(copied):
        source, lines = originals[at]
        files[Source(RUN, source.client, f"copy-{number}.jsonl")] = lines[: chance.randint(1, len(lines))]

    assert expected == outputs_of(fold_in_turns(files, chance, partial(snapshot, final=False), 0.1))


def _messages(every: Sequence[tuple[int | None, str | None, bool]]) -> list[ExternalMessage]:
    """Return messages, some with other content under the same number, as after a restart."""
    made = [message(seq, place, key=key) for place, (seq, key, _) in enumerate(every)]
    other = msgspec.Raw(b'{"other":true}')
    return [
        msgspec.structs.replace(one, record=other) if is_other else one
        for one, (_, _, is_other) in zip(made, every, strict=True)
    ]


def outputs_of(made: RunEvidence) -> bytes:
    """Return summary and timeline of a run, encoded."""
    found = snapshot(made, final=True)
    return summary.encode(found.summary) + timeline.encode(found.timeline)


def test_what_was_passed_over_is_the_sum_of_blocks_and_connections() -> None:
    """Messages that were passed over after the last block of a connection are counted in its line."""
    ((source, lines),) = log(
        "client-1",
        course=[("opened", 0.0), numbered_messages(range(1, 11)), ("sealed", 9.0)],
        counts={"ignored": 2},
        reason=None,
    ).items()
    sealed = blocklog.codec.decode(lines[-1])[1]
    assert isinstance(sealed, blocklog.ConnectionLine)
    prev = blocklog.codec.decode(lines[-2])[0].crc
    line, _ = blocklog.codec.encode(msgspec.structs.replace(sealed, ignored=3, pings=1), prev)
    [client] = results({source: [*lines[:-1], line]}, final=False)

    assert (7, 1) == (client.ignored, client.pings)
