"""Whatever is altered in a healthy run of an external feed, it passes only where the evidence cannot show it.

What may still pass is named beside each property. Everything else is FAIL or INVALID.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.collector.verdict.summary import reconcile
from services.contract import blocklog
from services.contract.blocklog import ExternalMessage
from services.contract.summary import Summary
from tests.builders.external_plans import TICK, Files, Plan, plans
from tests.builders.external_runs import evidence_of, message
from tests.builders.runs import Writer

altered = settings(max_examples=40)
"""An example reads up to six logs."""
places = st.integers(0, 10**6)
FLIGHT = 10
"""Records of a second, which may be in flight at the end."""


def judged(logs: Sequence[Files]) -> Summary:
    """Return the summary of a run that is over."""
    return reconcile(evidence_of(*logs), final=True)


def stamp(place: int) -> str:
    """Return when the record at a place was received."""
    return message(None, place * TICK).received_at


def sequence(plan: Plan, place: int) -> list[int]:
    """Return the places of the records of one sequence, from one beginning to the next."""
    fields = [plan.numbering.number(at, 0) for at in range(plan.count)]
    of_key = [at for at in range(plan.count) if fields[at].get("key") == fields[place].get("key")]
    turns = [at for at in of_key if plan.kind == "begins again" and fields[at]["seq"] == 1]
    begin = max((at for at in turns if at <= place), default=of_key[0])
    return [at for at in of_key if begin <= at and not any(begin < turn <= at for turn in turns)]


def is_at_an_end(plan: Plan, names: Sequence[str], place: int) -> bool:
    """Return whether a record is the first or last one of its sequence, or may have been in flight to one client."""
    same = sequence(plan, place)
    is_in_flight = len(names) < len(plan.courses) and place >= plan.count - FLIGHT - plan.size
    return place in (same[0], same[-1]) or is_in_flight


def without(step: list[ExternalMessage], at: int) -> None:
    """Remove a record."""
    del step[at]


def unnumbered(step: list[ExternalMessage], at: int) -> None:
    """Take a record's number away."""
    step[at] = msgspec.structs.replace(step[at], seq=None)


def unreadable(step: list[ExternalMessage], at: int) -> None:
    """Make a record one that cannot be read."""
    step[at] = msgspec.structs.replace(step[at], seq=None, form="text")


def keyless(step: list[ExternalMessage], at: int) -> None:
    """Take a record's key away."""
    step[at] = msgspec.structs.replace(step[at], key=None)


def other(step: list[ExternalMessage], at: int) -> None:
    """Replace the content of a record."""
    step[at] = msgspec.structs.replace(step[at], record=msgspec.Raw(b'{"other":true}'))


def another_text(step: list[ExternalMessage], at: int) -> None:
    """Replace the content of a record by one that is not strict JSON, in which the number was found all the same."""
    step[at] = msgspec.structs.replace(step[at], record=msgspec.Raw(b'"{\\"other\\":NaN}"'), form="text")


def is_first_over_a_connection(plan: Plan, name: str, place: int) -> bool:
    """Return whether a client received the record at a place before any other of its key over the same connection."""
    found: list[bool] = []

    def look(step: list[ExternalMessage], at: int) -> None:
        """Compare the key with those of the records before."""
        found.append(all(before.key != step[at].key for before in step[:at]))

    plan.changed([name], place, look)
    return found == [True]


@altered
@given(plans())
def test_a_healthy_run_passes(plan: Plan) -> None:
    """Reconnects, restarts of clients, ranges, links, steps, wraps and keys raise no alarm if nothing is lost."""
    reported = judged(plan.files())

    assert ("PASS", []) == (reported.verdict, reported.reasons)


@altered
@given(plans(), st.sampled_from([without, unnumbered, unreadable]), places, st.booleans())
def test_a_number_that_nobody_or_one_client_lacks_is_seen(plan: Plan, change: Any, at: int, is_for_all: bool) -> None:
    """A record that is gone, has no number or cannot be read is noticed, between two others of its sequence.

    May pass: the first or the last record of a sequence, and for one client records of the last second, which may have
    been in flight, together with those of the block that holds this moment.
    """
    names, place = [*plan.courses][: None if is_for_all else 1], at % plan.count
    reported = judged(plan.changed(names, place, change).files())

    assert is_at_an_end(plan, names, place) or reported.verdict != "PASS", reported.headline


@altered
@given(plans(["keys"]), places, st.booleans())
def test_a_key_that_is_gone_is_seen(plan: Plan, at: int, is_for_all: bool) -> None:
    """A record without its key is missing from its sequence. May pass: as for a record that is gone."""
    names, place = [*plan.courses][: None if is_for_all else 1], at % plan.count
    reported = judged(plan.changed(names, place, keyless).files())

    assert is_at_an_end(plan, names, place) or reported.verdict != "PASS", reported.headline


@altered
@given(plans(), places, st.booleans(), st.booleans())
def test_a_repeated_or_late_record_fails(plan: Plan, at: int, is_for_all: bool, is_late: bool) -> None:
    """A record that comes again, or behind the next one of its sequence over the same connection, fails the run.

    May pass: records that change places where the numbers begin again, and a record that names no predecessor and
    repeats the last number, which is a sign of life.
    """
    names, place = [*plan.courses][: None if is_for_all else 1], at % plan.count
    changed = []

    def again(step: list[ExternalMessage], index: int) -> None:
        """Repeat a record, or move it behind the next one."""
        if not is_late:
            step.insert(index, step[index])
        elif index + 1 < len(step) and step[index].key == step[index + 1].key:
            step[index], step[index + 1] = step[index + 1], step[index]
        else:
            return
        changed.append(step)

    reported = judged(plan.changed(names, place, again).files())

    may_pass = place in (10, 11, 12, 13) if is_late else place == 0
    assert not changed or (may_pass and plan.kind in ("begins again", "links")) or "FAIL" == reported.verdict, (
        reported.headline
    )


@altered
@given(plans(), places, st.sampled_from([other, another_text]))
def test_another_record_under_a_number_fails(plan: Plan, at: int, change: Any) -> None:
    """If one of several clients has another record under a number, the run fails.

    May pass: a single client, and sequences in which one number is several records. If the record is the first one over
    a connection at this client and at none of the others, or at all of the others alone, it may be a snapshot: then the
    check says that it is not compared.
    """
    place = at % plan.count
    is_first = {name: is_first_over_a_connection(plan, name, place) for name in plan.courses}
    changed, *others = is_first.values()
    reported = judged(plan.changed([*plan.courses][:1], place, change).files())
    detail = next(check.detail for check in reported.checks if check.name == "intact")

    if others and plan.numbering.is_compared:
        is_said = changed not in others and "1 first record over a connection not compared" in detail
        assert is_said or "FAIL" == reported.verdict, reported.headline


@altered
@given(plans(), places)
def test_the_end_of_one_client_is_seen(plan: Plan, at: int) -> None:
    """A client that receives nothing more, although others do for more than a second and a block, is noticed.

    Where numbers are not compared, it is noticed after another second: what others have is known by the time alone.
    """
    most = FLIGHT if plan.numbering.is_compared else 2 * FLIGHT
    place = at % max(1, plan.count - most - plan.size - 1)
    assume(place < plan.count - most - plan.size - 1)
    changed = plan
    for later in range(place + 1, plan.count):
        changed = changed.changed([*plan.courses][:1], later, without)
    reported = judged(changed.files())

    assert len(plan.courses) == 1 or reported.verdict != "PASS", reported.headline


def chosen(plan: Plan, at: int) -> tuple[list[Files], Files, Any, int]:
    """Return the logs of a run, one of them, one of its files, and the index of a line."""
    logs = plan.files()
    every = [(one, source, index) for one in logs for source in one for index in range(len(one[source]))]
    one, source, index = every[at % len(every)]
    return logs, one, source, index


def is_of_an_earlier_process(one: Files, source: Any, line: bytes) -> bool:
    """Return whether a line says how an earlier process of a client ended; one that was killed writes no such line."""
    _, entry = blocklog.codec.decode(line)
    is_end = isinstance(entry, blocklog.EndLine) or getattr(entry, "event", "") == "sealed"
    return is_end and source != list(one)[-1]


@altered
@given(plans(), places, st.integers(0, 10**6))
def test_a_line_that_is_gone_or_damaged_is_seen(plan: Plan, at: int, bit: int) -> None:
    """Without a line, or with a bit of it flipped, a run does not pass. May pass: the end of an earlier process."""
    logs, one, source, index = chosen(plan, at)
    lines, line = one[source], one[source][index]
    may_pass = is_of_an_earlier_process(one, source, line)
    one[source] = lines[:index] + lines[index + 1 :]
    reported = judged(logs)
    byte, damaged = (bit // 8) % (len(line) - 1), bytearray(line)
    damaged[byte] ^= 1 << bit % 8
    one[source] = [*lines[:index], bytes(damaged), *lines[index + 1 :]]

    assert may_pass or reported.verdict != "PASS", reported.headline
    assert judged(logs).verdict != "PASS"


@altered
@given(plans(), places)
def test_a_line_that_was_never_written_is_seen(plan: Plan, at: int) -> None:
    """A log that lacks a line, and is whole otherwise, does not pass.

    May pass: an attempt that was refused, the end of an earlier process, and a block at the ends of its sequence.
    """
    logs, one, source, index = chosen(plan, at)
    _, left_out = blocklog.codec.decode(one[source][index])
    may_pass = is_of_an_earlier_process(one, source, one[source][index])
    may_pass = may_pass or getattr(left_out, "event", "") == "refused"
    if isinstance(left_out, blocklog.ExternalBlock):
        stamps = {one.received_at for one in left_out.messages}
        left_places = [place for place in range(plan.count) if stamp(place) in stamps]
        kept = [place for place in sequence(plan, left_places[0]) if place not in left_places]
        may_pass = not kept or kept[0] > left_places[0] or kept[-1] < left_places[0]
        may_pass = may_pass or left_places[-1] >= plan.count - FLIGHT - plan.size
        # A block around a new beginning has the last records before it and the first ones after it.
        may_pass = may_pass or (plan.kind == "begins again" and left_places[0] <= 12 <= left_places[-1] + 1)
    one[source] = rewritten(one[source], index)

    assert may_pass or judged(logs).verdict != "PASS"


def rewritten(lines: Sequence[bytes], left_out: int) -> list[bytes]:
    """Return a file as a client would have written it without one line."""
    writer, blocks, messages = Writer(blocklog.codec), 0, 0
    for line in [*lines[:left_out], *lines[left_out + 1 :]]:
        _, entry = blocklog.codec.decode(line)
        if isinstance(entry, blocklog.ExternalBlock):
            blocks, messages = blocks + 1, messages + entry.count
        if isinstance(entry, blocklog.EndLine):
            text = b"".join(writer.lines)
            entry = msgspec.structs.replace(
                entry, block_count=blocks, message_count=messages, byte_count=len(text),
                sha256=hashlib.sha256(text).hexdigest(),
            )  # fmt: skip
        writer.put(entry)
    return writer.lines


@altered
@given(plans(), places)
def test_a_file_that_is_gone_is_seen(plan: Plan, at: int) -> None:
    """Without one of its files a run does not pass.

    May pass: a client of which nothing is left, where ``CLIENTS`` does not say how many there were; and the last
    process of a client whose process before was stopped by the operator, which the headline then says.
    """
    logs, one, source, _ = chosen(plan, at)
    is_last, is_only = source == list(one)[-1], len(one) == 1
    del one[source]
    if not any(logs):
        return
    reported = judged(logs)

    if is_only:
        assert ("PASS" if plan.wanted is None else "FAIL") == reported.verdict, reported.headline
    elif is_last:
        assert reported.verdict != "PASS" or f"1 left: {source.client}" in reported.headline
    else:
        assert reported.verdict != "PASS", reported.headline
