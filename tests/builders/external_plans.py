"""Healthy runs of external feeds of every kind of numbering, with reconnects, restarts and several clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from services.collector.scan import Source
from services.contract.blocklog import ExternalMessage
from services.contract.sequence_rules import PLAIN, SequenceRules
from tests.builders.external_runs import STEP_US, log, message
from tests.builders.runs import START_US

TICK = 10
"""Records come every tenth of a second: ten steps of the builder of messages."""
Step = Any
"""What happened to a connection, or the list of messages that came over it."""
Files = dict[Source, list[bytes]]


@dataclass(frozen=True)
class Numbering:
    """How a feed numbers its records, and the settings that say so.

    Attributes:
        rules: the settings.
        number: returns the fields of the record at a place, by its place and the number before the first one.
        has_keys: whether the feed has several sequences.
        is_compared: whether one number is one record in the whole run.
    """

    rules: SequenceRules
    number: Callable[[int, int], dict[str, Any]]
    has_keys: bool = False
    is_compared: bool = True


def _of_steps(place: int) -> int:
    """Return a sum of steps from 1 to 9."""
    return sum(1 + at * 7 % 9 for at in range(place + 1))


NUMBERINGS = {
    "by one": Numbering(PLAIN, lambda place, base: {"seq": base + place + 1}),
    "stream": Numbering(SequenceRules(scope="stream"), lambda place, base: {"seq": base + place + 1}),
    "by ten": Numbering(SequenceRules(step=10), lambda place, base: {"seq": base + 10 * place + 10}),
    "ranges": Numbering(
        SequenceRules(first="$.U"),
        lambda place, base: {"seq": base + _of_steps(place), "first": base + _of_steps(place - 1) + 1},
    ),
    "links": Numbering(
        SequenceRules(previous="$.p"),
        lambda place, base: {
            "seq": base + _of_steps(place),
            "previous": base + _of_steps(place - 1) if place else -1,
        },
    ),
    "keys": Numbering(PLAIN, lambda place, base: {"seq": base + place // 2 + 1, "key": "ab"[place % 2]}, has_keys=True),
    "wrap": Numbering(
        SequenceRules(wrap="255"), lambda place, base: {"seq": (base + 210 + place) % 256}, is_compared=False
    ),
    "begins again": Numbering(
        PLAIN, lambda place, base: {"seq": base + 2000 + place if place < 12 else place - 11}, is_compared=False
    ),
}
"""By a name for the kind."""


@dataclass(frozen=True)
class Plan:
    """A run of an external feed.

    Attributes:
        kind: the name of its numbering.
        count: how many records the feed sends.
        size: messages per block.
        wanted: the setting ``CLIENTS``.
        courses: for each client, and each of its processes, what happened.
    """

    kind: str
    count: int
    size: int
    wanted: int | None
    courses: dict[str, list[list[Step]]]

    @property
    def numbering(self) -> Numbering:
        """How the feed numbers its records."""
        return NUMBERINGS[self.kind]

    def files(self) -> list[Files]:
        """Return the log of each client."""
        return [self._log(name, sessions) for name, sessions in self.courses.items()]

    def _log(self, name: str, sessions: Sequence[list[Step]]) -> Files:
        made: Files = {}
        for number, course in enumerate(sessions, 1):
            made |= log(
                name, course=course, session=number, reason="finished" if number == len(sessions) else "shutdown",
                until_us=START_US + round(_second(self.count) * 1e6), silence_s=None, seq="$.seq", size=self.size,
                key="$.key" if self.numbering.has_keys else None, rules=self.numbering.rules, clients=self.wanted,
            )  # fmt: skip
        return made

    def changed(self, names: Sequence[str], place: int, change: Callable[[list[ExternalMessage], int], None]) -> Plan:
        """Return a plan in which the list with the record at a place is changed, at some of the clients."""
        stamp = message(None, place * TICK).received_at
        courses = {name: [[*course] for course in sessions] for name, sessions in self.courses.items()}
        for course in (course for name in names for course in courses[name]):
            for number, step in enumerate(course):
                at = [one.received_at for one in step].index(stamp) if _holds(step, stamp) else None
                if at is not None:
                    course[number] = [*step]
                    change(course[number], at)
        return replace(self, courses=courses)


def _holds(step: Step, stamp: str) -> bool:
    return isinstance(step, list) and any(one.received_at == stamp for one in step)


def _second(place: int) -> float:
    return place * TICK * STEP_US / 1e6


@st.composite
def plans(draw: st.DrawFn, kinds: Sequence[str] = tuple(NUMBERINGS)) -> Plan:
    """Draw a run in which every client received every record, over all its connections and processes."""
    kind, count = draw(st.sampled_from(kinds)), draw(st.sampled_from([20, 45, 70]))
    base = draw(st.sampled_from([0, 1, 700, 2**53 - 20])) if kind not in ("wrap", "begins again") else 0
    sent = [
        message(place=place * TICK, text=f"record {place}", **NUMBERINGS[kind].number(place, base))
        for place in range(count)
    ]
    names = [f"client-{number}" for number in range(1, 1 + draw(st.integers(1, 3)))]
    courses = {name: draw(_courses(sent)) for name in names}
    wanted = draw(st.sampled_from([None, len(names)]))
    return Plan(kind, count, draw(st.sampled_from([3, 5, 10])), wanted, courses)


@st.composite
def _courses(draw: st.DrawFn, sent: Sequence[ExternalMessage]) -> list[list[Step]]:
    """Draw what happened to one client: cuts between two records, after which it reconnects or is started again."""
    # With a new connection right before its new beginning, a sequence would seem to be numbered for each connection.
    begins = {place for place, (one, after) in enumerate(pairwise(sent), 1) if after.seq == 1 and (one.seq or 0) > 1}
    cuts = sorted(draw(st.sets(st.integers(2, len(sent) - 2), max_size=2)) - begins)
    refused = ("refused", 0.0, 503, "HTTP 503: not yet")
    sessions: list[list[Step]] = [[*([refused] if draw(st.booleans()) else []), ("opened", 0.0)]]
    for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        sessions[-1].append([*sent[begin:end]])
        at_s = _second(end) - 0.05
        if end == len(sent):
            sessions[-1].append(("sealed", _second(end)))
        elif draw(st.booleans()):
            sessions[-1].append(("sealed", at_s))
            sessions.append([("opened", at_s + 0.01)])
        else:
            sessions[-1] += [("closed", at_s, 1006, "cut"), ("opened", at_s + 0.01)]
    return sessions
