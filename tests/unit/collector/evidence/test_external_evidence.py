"""Tests of the numbers in one client's log of an external feed."""

from __future__ import annotations

import random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.external_evidence import ExternalEvidence
from services.collector.evidence.numbers.arrival_times import ArrivalTimesOfBlock
from services.contract.blocklog import ExternalBlock, ExternalMessage
from services.contract.sequence_rules import PLAIN, SequenceRules

AT = "2026-11-22T07:30:00.000000Z"
SIZE = 5


def message(seq: int | None, key: str | None = None) -> ExternalMessage:
    """Return a message whose record is its number."""
    return ExternalMessage(seq, AT, None, None, msgspec.Raw(b"%d" % (seq or 0)), key)


def block(number: int, messages: list[ExternalMessage], session: int = 1) -> ExternalBlock:
    """Return a block, whose positions follow from its number."""
    first = (number - 1) * SIZE + 1
    return ExternalBlock(
        run="20261122T073000Z", client="client-1", session=session, block=number, first=None, last=None,
        positions=(first, first + len(messages) - 1), count=len(messages), closed_by="count", started_at=AT,
        ended_at=AT, duration_ns=0, idle_ns=0, digest="x00000000", messages=messages,
    )  # fmt: skip


def evidence_of(seqs: list[int], order: list[int] | None = None) -> ExternalEvidence:
    """Return the evidence of numbers received in blocks of five, a second apart, read in some order."""
    parts = [seqs[at : at + SIZE] for at in range(0, len(seqs), SIZE)]
    book = ExternalEvidence()
    for place in order if order is not None else range(len(parts)):
        made = block(place + 1, [message(seq) for seq in parts[place]])
        book.add_block(made, f"x{place:08x}", (place + 1) * 1_000_000)
    return book


@given(st.lists(st.integers(0, 60), min_size=1, max_size=60), st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_reading_does_not_matter(seqs: list[int], dice: object, asked: bool) -> None:
    """Neither the order of reading nor queries in between change the results."""
    order = list(range(-(-len(seqs) // SIZE)))
    dice.shuffle(order)  # type: ignore[attr-defined]
    book = evidence_of(seqs, order[: len(order) // 2])
    if asked:
        book.sequences()
    parts = [seqs[at : at + SIZE] for at in range(0, len(seqs), SIZE)]
    for place in order[len(order) // 2 :]:
        made = block(place + 1, [message(seq) for seq in parts[place]])
        book.add_block(made, f"x{place:08x}", (place + 1) * 1_000_000)

    assert vars(evidence_of(seqs).sequences()[None]) == vars(book.sequences()[None])


RULES = [
    PLAIN,
    SequenceRules(first="$.U"),
    SequenceRules(previous="$.p"),
    SequenceRules(step=3),
    SequenceRules(scope="connection"),
    SequenceRules(wrap="99", repeats="reconnect"),
]
number = st.one_of(st.integers(0, 40), st.sampled_from([97, 98, 99, 5000, 5001, 2_000_000]))
received = st.lists(
    st.tuples(number, st.sampled_from([None, None, None, "a"]), st.integers(0, 3), st.integers(-2, 3)),
    min_size=1,
    max_size=60,
)


def link(seq: int, key: str | None, text: int, back: int) -> ExternalMessage:
    """Return a message that covers some numbers and names one before; ``text`` is a part of its record."""
    record = msgspec.Raw(b'{"n":%d,"text":%d}' % (seq, text % 2))
    return ExternalMessage(seq, AT, None, None, record, key, None, max(0, seq - max(back, 0)), seq - 1 - back)


@given(received, st.sampled_from(RULES), st.integers(1, 5), st.randoms(use_true_random=False))
def test_over_several_connections_the_order_of_reading_does_not_matter(
    every: list[tuple[int, str | None, int, int]], rules: SequenceRules, connected: int, dice: random.Random
) -> None:
    """By any rules and over any connections, the blocks in any order give the same counts and the same findings."""
    messages = [link(*one) for one in every]
    parts = [messages[at : at + SIZE] for at in range(0, len(messages), SIZE)]
    made = []
    for order in (list(range(len(parts))), dice.sample(range(len(parts)), len(parts))):
        evidence = ExternalEvidence()
        evidence.add_rules(rules)
        for place in order:
            one = msgspec.structs.replace(block(place + 1, parts[place]), connection=1 + place // connected)
            at_us = (place + 1) * 1_000_000
            evidence.add_block(one, f"x{place:08x}", at_us, ArrivalTimesOfBlock.of([at_us, at_us + 900_000]), rules)
            if dice.random() < 0.2:
                evidence.courses()
        made.append({key: (vars(one.numbers), one.facts, one.jumps) for key, one in evidence.courses().items()})

    assert made[0] == made[1]


def test_messages_without_a_number_are_counted() -> None:
    """A message without a number is counted, and is in no sequence."""
    book = ExternalEvidence()
    book.add_block(block(1, [message(None), message(4)]), "x1", 0)

    assert (1, [(4, 4)]) == (book.unsequenced, book.sequences()[None].held.spans())


def test_what_had_come_by_a_time_is_known_by_block() -> None:
    """`last_before` returns the highest number of the last block that had ended by that time."""
    book = evidence_of(list(range(100, 115)))

    assert (None, 104, 114) == tuple(book.last_before(None, at) for at in (999_999, 1_999_999, 9_000_000))


def test_the_numbers_around_a_gap_are_known() -> None:
    """`around` returns the numbers before and after a gap in the positions, such as damage leaves."""
    book = evidence_of(list(range(100, 115)), [0, 2])

    assert (104, 110) == book.around(None, 1, 5, 11)
    assert (114, None) == book.around(None, 1, 15, None)


def test_the_last_time_of_each_sequence_is_known_at_any_time() -> None:
    """The end of the last block with a sequence counts, up to a time, also where many sequences are asked for."""
    made = ExternalEvidence()
    for number in range(1, 4):
        messages = [message(number, f"{key}") for key in range(20 - number)]
        made.add_block(block(number, messages), f"x{number}", number * 1_000_000)

    assert [3_000_000, 2_000_000, 1_000_000] == [made.last_time(key, 9_000_000) for key in ("16", "17", "18")]
    assert 1_000_000 == made.last_time("16", 1_999_999)
    assert [None, None] == [made.last_time("16", 999_999), made.last_time("none", 9_000_000)]
