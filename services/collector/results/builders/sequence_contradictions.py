"""Finds what shows that the numbers of an external feed are not what the settings say they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice, pairwise

from services.collector.evidence.external_evidence import ExternalEvidence
from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.numbers.number_ranges import SequenceName
from services.collector.evidence.numbers.sequence_course import SequenceCourse
from services.collector.results.client_result import Contradiction
from services.contract.rangeset import RangeSet
from services.contract.sequence_key import unfound_paths
from services.contract.sequence_rules import MOST_SEQUENCES, SequenceRules, wrap_span
from services.contract.sequence_tracker import SequenceTracker

FEWEST_GAPS = 3
"""With fewer gaps, records were lost: that the numbers do not rise by one shows only in several."""
FEWEST_FALLS = 10
"""With fewer falls, or if they are not most of all messages, records are out of order, or a sequence began again."""
RESTART_PART = 20
"""A sequence that begins again has at least this number of messages, on the average."""
FEWEST_KEYS, FOLLOWED_PART = 100, 10
"""With so many keys, at least this part of the records has to follow another one of its key."""
_LOOK = 2000
"""Most gaps that are searched for a usual step."""


def contradictions(
    log: LogEvidence,
    together: Mapping[SequenceName, RangeSet],
    gaps: Mapping[SequenceName, int],
    *,
    is_divided: bool,
) -> tuple[Contradiction, ...]:
    """Return what contradicts the settings in the log of one client.

    Args:
        log: of the client.
        together: what it and the clients that are compared with it received of each sequence, where that is known.
        gaps: how many ranges of numbers are missing of each sequence.
        is_divided: whether clients received different records under the same numbers.
    """
    evidence, rules = log.external, log.external.rules
    courses = evidence.courses()
    if evidence.has_too_many_keys:
        return (Contradiction("many keys", numbers=(MOST_SEQUENCES,)),)
    if _is_key_of_records(evidence):
        return (Contradiction("unique keys", numbers=(len(courses), evidence.numbered)),)
    found = list(_paths(log))
    found += [Contradiction("scope", text=f"FEED_SCOPE={rules.scope}")] * (rules.is_shared and is_divided)
    counter = wrap_span(rules.wrap)
    for key, course in sorted(courses.items(), key=lambda item: item[0] or ""):
        if counter is not None and course.numbers.last > counter[1]:
            found.append(Contradiction("wrap", key, (course.numbers.last,), f"FEED_WRAP={rules.wrap}"))
        jumps = len(course.jumps) + sum(1 for earlier in course.earlier_jumps for _ in earlier)
        is_broken = _is_broken(course.numbers, gaps.get(key, 0) + jumps)
        found += _of_sequence(key, course, rules, together.get(key), is_broken=is_broken)
    return tuple(found)


def _is_key_of_records(evidence: ExternalEvidence) -> bool:
    """Return whether nearly every record has a key of its own, so that hardly any number follows another."""
    keys = len(evidence.courses())
    return keys >= FEWEST_KEYS and (evidence.numbered - keys) * FOLLOWED_PART < evidence.numbered


def _paths(log: LogEvidence) -> Iterator[Contradiction]:
    """Yield the paths that lead to a value in no message."""
    evidence, rules = log.external, log.external.rules
    if not evidence.numbered:
        return
    if rules.first is not None and not evidence.with_first:
        yield Contradiction("first", text=rules.first)
    # The first message may name no number before, and some feeds then name a negative one.
    if rules.previous is not None and not evidence.with_previous:
        yield Contradiction("previous", text=rules.previous)
    if log.feed is not None and log.feed.key:
        for path in unfound_paths(log.feed.key, set(evidence.courses())):
            yield Contradiction("key", text=path)


def _of_sequence(
    key: SequenceName, course: SequenceCourse, rules: SequenceRules, together: RangeSet | None, *, is_broken: bool
) -> Iterator[Contradiction]:
    numbers, facts = course.numbers, course.facts
    if rules.is_shared and numbers.restarts_by_connection:
        yield Contradiction("scope", key, (numbers.start or 0,), f"FEED_SCOPE={rules.scope}")
    all_messages, restarts = numbers.messages + numbers.duplicates, numbers.restarts - numbers.restarts_by_connection
    if numbers.reordered >= FEWEST_FALLS and 2 * numbers.reordered > all_messages:
        yield Contradiction("falls", key, facts.fall)
    elif facts.are_mixed(all_messages, numbers.duplicates - numbers.repeated):
        yield Contradiction("mixed", key, facts.example, "again" if facts.come_again else "")
    elif restarts >= FEWEST_FALLS and restarts * RESTART_PART > all_messages:
        yield Contradiction("restarts", key, (all_messages // restarts,))
    elif is_broken:
        if rules.first is not None or rules.previous is not None:
            text = f"FEED_FIRST={rules.first}" if rules.first is not None else f"FEED_PREVIOUS={rules.previous}"
            yield Contradiction("links", key, text=text)
        elif together is None or rules.step > 1 or not _rises_by_one(together):
            yield Contradiction("steps", key, _steps(numbers), f"FEED_STEP={rules.step}" if rules.step > 1 else "")


def _is_broken(numbers: SequenceTracker, gaps: int) -> bool:
    """Return whether most numbers do not follow the one before."""
    # A message that names itself as its predecessor is a sign of life, and no record.
    broken = max(gaps, numbers.unheld_signs)
    return broken >= FEWEST_GAPS and 2 * broken > numbers.messages - 1


def _rises_by_one(together: RangeSet) -> bool:
    gaps = sum(1 for _ in together) - 1
    return 2 * gaps <= together.count - 1


def _steps(numbers: SequenceTracker) -> tuple[int, ...]:
    """Return the step of most messages, 0 without one, and the first numbers around a gap."""
    spans = list(islice(numbers.held, _LOOK))
    if len(spans) < 2:
        spans = list(islice(numbers.gaps_before, _LOOK))
        return (0, spans[0][0] - 1, spans[0][1] + 1) if spans else (0,)
    steps = Counter(after[0] - before[1] for before, after in pairwise(spans))
    step, count = steps.most_common(1)[0]
    # Where some numbers follow the one before, no other step is that of the feed.
    followed = sum(last - first for first, last in spans)
    is_usual = 2 * count > len(spans) - 1 and followed <= count // 10
    return (step if is_usual else 0, spans[0][1], spans[1][0])
