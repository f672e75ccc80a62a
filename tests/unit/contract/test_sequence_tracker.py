"""Tests of tracking an external feed's numbers."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import assume, given
from hypothesis import strategies as st

from services.contract.sequence_rules import PLAIN, SequenceRules
from services.contract.sequence_tracker import SPARE, TOPS, SequenceTracker

LINKS = SequenceRules(previous="$.previous")


def tracker_of(seqs: Iterable[int], rules: SequenceRules = PLAIN) -> SequenceTracker:
    """Return the tracker after some numbers, whose records depend on the number."""
    sequence = SequenceTracker(rules)
    for seq in seqs:
        sequence.accept(seq, seq)
    return sequence


@given(st.integers(0, 50), st.integers(1, 60), st.data())
def test_faults_are_counted_exactly(start: int, count: int, data: st.DataObject) -> None:
    """For k drops, k duplicates and k swaps, exactly these are counted."""
    whole = list(range(start, start + count))
    dropped = set(data.draw(st.lists(st.sampled_from(whole[1:-1]), unique=True)) if count > 2 else [])
    kept = [seq for seq in whole if seq not in dropped]
    doubled = data.draw(st.lists(st.sampled_from(kept), unique=True))
    sequence = tracker_of(seq for one in kept for seq in [one] * (2 if one in doubled else 1))

    assert (len(dropped), len(doubled), 0, 0) == (
        sequence.missing().count,
        sequence.duplicates,
        sequence.reordered,
        sequence.restarts,
    )


def test_what_comes_late_is_reordered_and_not_missing() -> None:
    """A number after a higher one is reordered, and closes its gap."""
    sequence = tracker_of([5, 7, 6, 8])

    assert (1, 0) == (sequence.reordered, sequence.missing().count)


def test_the_first_that_comes_begins() -> None:
    """Records before the first received number are not missing, and a late one below it extends the sequence."""
    assert [] == tracker_of([5000, 5001]).missing().spans()
    assert [(4999, 4999)] == tracker_of([5000, 4998]).missing().spans()


def test_missing_can_be_asked_from_a_number_on() -> None:
    """With ``after``, only missing numbers after it are returned."""
    assert [(6, 6)] == tracker_of([1, 3, 5, 7]).missing(after=5).spans()
    assert not SequenceTracker().missing()


def test_another_record_under_the_first_number_is_a_restart() -> None:
    """A feed that begins again with other records is another sequence, and the records before stay counted."""
    sequence = tracker_of([0, 1, 2, 3])
    for seq in (0, 1):
        sequence.accept(seq, 99 + seq)

    assert (1, 4, 0) == (sequence.restarts, sequence.past, sequence.duplicates)
    assert [(0, 1)] == sequence.held.spans()


def test_the_same_record_again_is_a_duplicate() -> None:
    """A first number with the same record again is a duplicate, however late."""
    assert (3, 0) == ((again := tracker_of([1, 2, 3, 1, 2, 3])).duplicates, again.restarts)


def test_falling_back_far_is_a_restart() -> None:
    """A fall from the middle of a feed to a first number is a restart; near its beginning it is a late record."""
    assert 1 == tracker_of([SPARE + 2, 1, 2]).restarts
    assert 1 == tracker_of([17, 18, 1, 2]).restarts
    assert (0, 1) == ((near := tracker_of([16, *range(17, 34), 1])).restarts, near.reordered)


@given(st.integers(2, 40), st.integers(34, 500), st.integers(0, 1), st.integers(1, 300))
def test_a_stream_that_was_joined_near_its_beginning_begins_again(start: int, more: int, first: int, new: int) -> None:
    """A client that joins at any number and sees the stream begin again at 0 or 1 lacks nothing."""
    # Near the highest number of a counter it would be a wrap.
    assume(not any(0 <= top - (start + more - 1) <= top // 20 for top in TOPS))
    sequence = SequenceTracker()
    for seq in range(start, start + more):
        sequence.accept(seq, seq)
    for seq in range(first, first + new):
        sequence.accept(seq, -seq)

    assert (1, 0, 0, []) == (sequence.restarts, sequence.duplicates, sequence.reordered, list(sequence.missing()))
    assert more + new == sequence.messages


def test_a_first_number_of_a_shared_stream_may_be_late() -> None:
    """Of a stream that all connections share, a first number is late as long as any other number would be."""
    shared = SequenceRules(scope="stream")

    assert (0, 1) == ((late := tracker_of([SPARE, 1], shared)).restarts, late.reordered)
    assert 1 == tracker_of([SPARE + 2, 1, 2], shared).restarts


def test_a_gap_of_any_length_before_a_restart_costs_no_memory() -> None:
    """A feed that jumps up to the largest number and begins again leaves one range."""
    assert [(2, 2**53 - 1)] == tracker_of([1, 2**53, 0, 1]).gaps_before


def test_a_small_fall_over_a_new_connection_is_a_restart() -> None:
    """Over a new connection a fall to a first number is a restart, unless it is the same record."""
    for first, count in ((5, 1), (0, 1), (1, 0)):
        sequence = tracker_of([first, first + 1, first + 2])
        sequence.reconnected()
        sequence.accept(0 if first == 0 else 1, 99 if count else 1)

        assert (count, count) == (sequence.restarts, sequence.restarts_by_connection)
        assert 1 - count == sequence.duplicates + sequence.reordered


def test_a_new_connection_concerns_the_next_number_alone() -> None:
    """After the first number over a new connection, a small fall is a late record again."""
    for first, last in ((8, 8), (8, 9), (5, 5)):
        sequence = tracker_of([5, 6, 7])
        sequence.reconnected()
        sequence.accept_run(first, last, first)
        sequence.accept(1, 1)

        assert (0, 1) == (sequence.restarts, sequence.reordered)
    own = tracker_of([1, 2])
    own.accept(1, 99)
    assert (1, 0) == (own.restarts, own.restarts_by_connection)


def test_what_was_missing_at_a_restart_stays_known() -> None:
    """The gaps before a restart are kept."""
    sequence = tracker_of([1, 2, 4, 7])
    sequence.accept(1, 99)

    assert ([(3, 3), (5, 6)], []) == (sequence.gaps_before, sequence.missing().spans())


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=30))
def test_a_run_is_its_numbers(runs: list[tuple[int, int]]) -> None:
    """Adding a range gives the same result as adding its numbers one by one, over several connections."""
    together, apart = SequenceTracker(), SequenceTracker()
    for first, more in runs:
        if more == 0:
            together.reconnected()
            apart.reconnected()
        seqs = [first] if first in (0, 1) else list(range(first, first + more + 1))
        together.accept_run(seqs[0], seqs[-1], first)
        for seq in seqs:
            apart.accept(seq, first if seq == first else 0)

    assert vars(apart) == vars(together)


def linked(pairs: Iterable[tuple[int | None, int]], rules: SequenceRules = LINKS) -> SequenceTracker:
    """Return the tracker after messages with these previous numbers and numbers."""
    sequence = SequenceTracker(rules)
    for previous, seq in pairs:
        sequence.accept_message(seq, seq, None, previous)
    return sequence


def chain(steps: Iterable[int], start: int = 100) -> list[tuple[int, int]]:
    """Return the links of a feed whose numbers rise by these steps, after a snapshot that names no number."""
    pairs, last = [(-1, start)], start
    for step in steps:
        pairs.append((last, last + step))
        last += step
    return pairs


steps = st.lists(st.integers(1, 50), min_size=3, max_size=60)


@given(steps, st.data())
def test_every_broken_link_is_a_gap(made: list[int], data: st.DataObject) -> None:
    """Of messages that name the number before, k removed ones with others between them leave exactly k gaps."""
    pairs = chain(made)
    removed = data.draw(st.sets(st.sampled_from(range(2, len(pairs) - 1)))) if len(pairs) > 4 else set()
    removed -= {place + 1 for place in removed}
    kept = linked(pair for place, pair in enumerate(pairs) if place not in removed)

    assert len(removed) == len(kept.missing().spans())
    assert len(pairs) - len(removed) == kept.messages
    assert (0, 0, 0) == (kept.duplicates, kept.reordered, kept.restarts)


@given(steps, st.data())
def test_every_passed_over_range_is_a_gap(made: list[int], data: st.DataObject) -> None:
    """Of messages that cover ranges, the numbers of the removed ones are missing; overlapping ones lack nothing."""
    pairs = chain(made)[1:]
    overlap = data.draw(st.integers(0, 3))
    removed = data.draw(st.sets(st.sampled_from(range(1, len(pairs) - 1)))) if len(pairs) > 3 and not overlap else set()
    sequence = SequenceTracker(SequenceRules(first="$.U"))
    for place, (previous, seq) in enumerate(pairs):
        if place not in removed:
            sequence.accept_message(seq, seq, min(seq, previous + 1 - (overlap if place else 0)))

    assert sum(pairs[place][1] - pairs[place][0] for place in removed) == sequence.missing().count
    assert (0, 0) == (sequence.restarts, sequence.reordered)


@given(st.integers(2, 50), st.integers(0, 1000), st.integers(5, 60), st.data())
def test_records_between_steps_are_counted(step: int, start: int, count: int, data: st.DataObject) -> None:
    """Of numbers that rise by a step, each removed one leaves one step."""
    whole = [start + step * place for place in range(count)]
    removed = data.draw(st.sets(st.sampled_from(whole[1:-1])))
    sequence = SequenceTracker(SequenceRules(step=step))
    for seq in whole:
        if seq not in removed:
            sequence.accept_message(seq, seq)

    assert step * len(removed) == sequence.missing().count


def test_a_sign_of_life_is_no_message() -> None:
    """A message that repeats the last number, as its own and as the one before, is no duplicate."""
    sequence = linked([(-1, 10), (10, 10), (10, 15), (15, 15)])

    assert (2, 0, []) == (sequence.messages, sequence.duplicates, sequence.missing().spans())


def test_a_sign_of_life_shows_that_a_message_is_missing() -> None:
    """A message that repeats a number that was not received shows that this number was sent."""
    assert [(11, 20)] == linked([(-1, 10), (20, 20)]).missing().spans()


def test_a_late_link_closes_its_gap() -> None:
    """A message that comes after its successor is out of order, and nothing is missing."""
    sequence = linked([(-1, 10), (15, 20), (10, 15), (20, 22)])

    assert (1, []) == (sequence.reordered, sequence.missing().spans())


def test_a_linked_fall_loses_nothing() -> None:
    """A counter that is set back by a message that names the last number goes on without a gap."""
    sequence = linked([(-1, 10), (10, 15), (15, 3), (3, 5)])

    assert (0, 1, []) == (sequence.restarts, sequence.wraps, sequence.gaps_before)
    assert [(3, 5)] == sequence.held.spans()


def test_a_message_that_names_no_number_begins_anew() -> None:
    """In mid-connection it leaves open which records were sent before; over a new connection it is a restart there."""
    sequence = linked([(-1, 10), (10, 15), (None, 40), (40, 42)])
    assert (1, 0, 1) == (sequence.restarts, sequence.restarts_by_connection, sequence.unlinked)
    sequence.reconnected()
    sequence.accept_message(90, 90, None, -1)

    assert (2, 1, 1) == (sequence.restarts, sequence.restarts_by_connection, sequence.unlinked)


def test_a_snapshot_with_the_last_number_lacks_nothing() -> None:
    """After a reconnect a snapshot with the number received last shows that nothing was sent in between."""
    sequence = linked([(-1, 10), (10, 15)])
    sequence.reconnected()
    sequence.accept_message(15, 15, None, -1)
    sequence.accept_message(18, 18, None, 15)

    assert (0, [], 3) == (sequence.restarts, sequence.missing().spans(), sequence.messages)


@given(st.integers(0, 400), st.sets(st.integers(1, 698)), st.sampled_from([2**16 - 1, 2**32 - 1, 999_999]))
def test_a_counter_that_wraps_around_is_followed(before: int, removed: set[int], high: int) -> None:
    """By its setting, and recognised by itself, a wrapped counter lacks exactly the removed numbers."""
    for rules in (SequenceRules(wrap=str(high)), PLAIN):
        sequence, lost = SequenceTracker(rules), 0
        for place in range(700):
            seq = (high - 350 + place) % (high + 1)
            # Around the wrap itself few are removed: with many, the fall might be another beginning.
            if place in removed and not (rules == PLAIN and abs(place - 350) <= 1):
                lost += 1
            else:
                sequence.accept_message(seq, before + place)

        assert (lost, 1, 0) == (
            sequence.missing().count + sum(gaps.count for gaps in sequence.gaps),
            sequence.wraps,
            sequence.restarts + sequence.duplicates + sequence.reordered,
        )


def test_losses_around_a_wrap_are_counted() -> None:
    """The numbers before the end of the counter and after its beginning are missing."""
    sequence = tracker_of([*range(65_300, 65_534), 2, 3])

    assert ([(65_534, 65_535)], [(0, 1)], 1) == (
        sequence.gaps_before,
        sequence.missing().spans(),
        sequence.wraps,
    )


def test_a_record_late_by_a_turn_is_out_of_order() -> None:
    """The last number of the counter, received after the first one, closes its gap."""
    for high in (255, 65_535):
        sequence = tracker_of([*range(high - 100, high), 0, high, 1, 2])

        assert (1, 0, 0) == (sequence.reordered, sequence.missing().count, len(sequence.gaps_before))


def test_a_counter_may_have_no_zero() -> None:
    """If 1 follows the highest number, the setting says whether 0 is missing; without it that is left open."""
    seqs = [*range(65_500, 65_536), 1, 2]
    by_rule = {}
    for text in ("65535", "1-65535", ""):
        sequence = SequenceTracker(SequenceRules(wrap=text))
        for place, seq in enumerate(seqs):
            sequence.accept_message(seq, place)
        by_rule[text] = (sequence.missing().spans(), sequence.doubtful_wraps)

    assert {"65535": ([(0, 0)], 0), "1-65535": ([], 0), "": ([], 1)} == by_rule


def test_a_fall_below_the_first_number_over_a_new_connection_is_a_restart() -> None:
    """Over a new connection a sequence may begin again anywhere below; a higher number continues it."""
    for first, restarts in ((600_000, 1), (27_000_003, 0), (27_000_001, 0)):
        sequence = tracker_of(range(27_000_000, 27_000_003))
        sequence.reconnected()
        sequence.accept(first, 1)

        assert restarts == sequence.restarts_by_connection


def test_numbers_of_a_connection_begin_anew_with_each() -> None:
    """With the scope of a connection, every new connection begins again, also with a higher number."""
    sequence = SequenceTracker(SequenceRules(scope="connection"))
    for seq in (1, 2):
        sequence.accept_message(seq, seq)
    sequence.reconnected()
    sequence.accept_run(5, 9, 5)

    assert (1, 1, [1], 5) == (sequence.restarts, sequence.restarts_by_connection, sequence.starts, sequence.start)
    assert (7, []) == (sequence.messages, sequence.gaps_before)


def test_repeats_after_a_reconnect_are_counted_apart() -> None:
    """Records that come again before the first new one over a new connection are counted as repeated, too."""
    sequence = tracker_of(range(10, 31))
    sequence.reconnected()
    for seq in (*range(25, 33), 32):
        sequence.accept(seq, seq)

    assert (7, 6, 0) == (sequence.duplicates, sequence.repeated, sequence.restarts)


def test_a_restart_in_mid_connection_at_another_number_is_told() -> None:
    """A fall far below the first number, to neither 0 nor 1, begins again elsewhere."""
    assert (1, 1) == ((far := tracker_of([5_000_000, 5_000_001, 70, 71])).restarts, far.restarts_elsewhere)
    assert (1, 0) == ((first := tracker_of([5_000_000, 5_000_001, 1, 2])).restarts, first.restarts_elsewhere)


def test_repeats_may_come_between_new_records() -> None:
    """Records from before a reconnect are repeated also after the first new one, but not much later."""
    sequence = tracker_of(range(10, 31))
    sequence.reconnected()
    for seq in (31, 25, 32, 26, 33, 33, *range(34, 31 + SPARE), 27, 31 + SPARE, 28):
        sequence.accept(seq, seq)

    assert (5, 3) == (sequence.duplicates, sequence.repeated)


def test_an_older_record_of_a_shared_stream_is_late_on_a_new_connection() -> None:
    """Over a new connection a number below the first one begins a sequence, unless all connections share one stream."""
    restarts = {}
    for scope in ("auto", "stream", "key"):
        sequence = SequenceTracker(SequenceRules(scope=scope))
        for seq in (10, 11):
            sequence.accept_message(seq, seq)
        sequence.reconnected()
        sequence.accept_message(5, 5)
        restarts[scope] = (sequence.restarts, sequence.reordered)

    assert {"auto": (1, 0), "stream": (0, 1), "key": (0, 1)} == restarts


def test_a_late_record_of_an_earlier_turn_comes_soon() -> None:
    """A number that was missing before a wrap closes its gap soon after the wrap, and later is a jump ahead."""
    found = []
    for last in (100, 1100):
        sequence = SequenceTracker(SequenceRules(wrap="65535"))
        for seq in (65000, 65535, *range(last + 1), 65100):
            sequence.accept_message(seq, seq)
        found.append((sequence.last, sequence.reordered, len(sequence.gaps_before)))

    assert [(100, 1, 2), (65100, 0, 1)] == found


def test_a_counter_of_each_connection_begins_again_with_a_connection() -> None:
    """With its own counter a new connection begins again, also where the fall would be a wrap on one connection."""
    own = tracker_of(range(200, 251), SequenceRules(scope="connection", wrap="255"))
    own.reconnected()
    own.accept(0, 99)

    assert (0, 1, [], 0) == (own.wraps, own.restarts_by_connection, own.gaps_before, own.start)


def test_the_first_record_again_is_no_wrap() -> None:
    """A record under a first number that comes again, near the highest number of a counter, is a duplicate."""
    for rules in (PLAIN, SequenceRules(wrap="255")):
        again = tracker_of([*range(251), 0], rules)

        assert (1, 0, 0) == (again.duplicates, again.wraps, again.restarts)


def test_a_first_number_is_compared_with_that_of_its_own_turn() -> None:
    """After a new beginning with 1 a late 0 is late, although another record had this number before."""
    sequence = tracker_of([0, 1, 2])
    for seq, digest in ((1, 91), (2, 92), (0, 90)):
        sequence.accept(seq, digest)

    assert (1, 1, 0) == (sequence.restarts, sequence.reordered, sequence.start)


def test_what_is_late_by_a_turn_is_so_for_a_while_only() -> None:
    """A number from before a wrap is late at first, and ahead after the counter has counted on."""
    rules, seqs = SequenceRules(wrap="65535"), [*range(65_500, 65_535), *range(3)]

    assert (1, []) == ((late := tracker_of([*seqs, 65_535], rules)).reordered, late.gaps_before)
    far = tracker_of([*seqs, *range(3, SPARE + 3), 65_535], rules)
    assert (0, [(SPARE + 3, 65_534)], [(65_535, 65_535)]) == (far.reordered, far.missing().spans(), far.gaps_before)


@given(st.integers(2, 200), st.sets(st.integers(2, 150), max_size=3), st.integers(2, 30))
def test_a_count_from_one_may_begin_again_with_zero(last: int, dropped: set[int], more: int) -> None:
    """After numbers from 1, a 0 that 1 follows with another record begins again; it is neither late nor missing."""
    sequence = SequenceTracker()
    first = [seq for seq in range(1, last + 1) if seq not in dropped or seq == last]
    for place, seq in enumerate([*first, *range(more)]):
        sequence.accept_message(seq, place)

    assert (1, 0, 0) == (sequence.restarts, sequence.reordered, sequence.duplicates)
    assert ([1], 0, len(first) + more) == (sequence.starts, sequence.start, sequence.messages)
    assert (last - len(first), 0) == (sequence.gaps[0].count, sequence.missing().count)


def test_a_late_zero_stays_in_its_sequence() -> None:
    """A 0 after which the numbers go on, or others came before the next beginning, was late."""
    late, later = SequenceTracker(), SequenceTracker()
    for place, seq in enumerate([1, 2, 3, 0, 4]):
        late.accept_message(seq, place)
    for place, seq in enumerate([1, 2, 3, 0, 4, 1, 2]):
        later.accept_message(seq, place)

    assert (0, 1, 0) == (late.restarts, late.reordered, late.start)
    assert (1, 1, 1) == (later.restarts, later.reordered, later.start)
