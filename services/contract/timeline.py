"""How a run went over time: what charts, lanes and sparklines are drawn from. Specification: ``docs/summary.md``.

Like the summary a pure function of the set of valid lines, and of bounded size however long the run: time is cut into
at most `MOST_SLOTS` slots of one width, and of a client's blocks at most `MOST_BLOCKS` are kept, evenly chosen.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from services.contract.sequence_text import SeqSpan

VERSION: Final = 1
MOST_SLOTS = 600
MOST_BLOCKS = 512
MOST_BARS = 32_768
"""… and of all clients together, but for 16 of each."""
MOST_GAPS = 100
MOST_MARKS = 500
MOST_LANES = 256
ROWS_PER_OCTAVE = 2
"""Rows of the heat map to a doubling of the latency."""

MarkKind = Literal["start", "rate", "pause", "resume", "drop", "join", "reconnect", "leave", "end"]


class TimeSlot(msgspec.Struct, frozen=True, kw_only=True):
    """What all clients received within one slot of time, by the clients' own stamps (corrected by clock offset).

    ``latency`` is from the due time, ``transit`` from the send time, each as ``[p50, p99, max]`` in nanoseconds; null
    where it does not apply. ``heat`` holds ``[row, count]``: so many messages of that row of latency (of transit where
    nothing is due); row ``r`` reaches from ``2**(r/2)`` to ``2**((r+1)/2)`` nanoseconds.
    """

    at_us: int
    messages: int
    bytes: int
    latency: tuple[int, int, int] | None
    transit: tuple[int, int, int] | None
    heat: list[tuple[int, int]]


class Bar(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One block in its client's lane. ``start_us`` is epoch time of its first message, on the server's clock."""

    session: int
    block: int
    start_us: int
    duration_ns: int
    first: int
    last: int
    count: int


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Seqs that a client does not hold, and between which two receipts they should have come (null: unknown)."""

    seqs: SeqSpan
    cause: str
    from_us: int | None
    to_us: int | None


class ClientLane(msgspec.Struct, frozen=True, kw_only=True):
    """One client over time. ``stride`` n means that every n-th block of a session is in ``bars``, by block number.

    ``worst`` is the longest latency (transit where nothing is due) in nanoseconds per slot, in the order of
    `Timeline.slots`, null where the client received nothing.
    """

    client: str
    stride: int
    bars: list[Bar]
    gaps: list[Gap]
    worst: list[int | None]


class TimelineEvent(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Something that happened at one moment: a change of pace, a control, a client that came, went or came back."""

    at_us: int
    kind: MarkKind
    client: str | None = None
    detail: str = ""


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """One run over time. ``start_us``: when the first record was due, else received; slots start at its multiples.

    Slot ``i`` of the run begins at ``slots[i].at_us`` and is ``step_us`` wide; slots in which nobody received anything
    stand there with 0 messages, so that silence is drawn as silence.
    """

    v: Literal[1] = VERSION
    run: str
    start_us: int | None
    end_us: int | None
    step_us: int
    slots: list[TimeSlot]
    lanes: list[ClientLane]
    marks: list[TimelineEvent]


def heat_row(duration_ns: int) -> int:
    """Return the row of the heat map that a duration falls into; below 1 ns all is row 0."""
    # Twice the binary logarithm, rounded down, is that of the square.
    return int(max(duration_ns, 1) ** ROWS_PER_OCTAVE).bit_length() - 1


def encode(timeline: Timeline) -> bytes:
    """Return the timeline as JSON, on one line with a final newline."""
    return msgspec.json.encode(timeline) + b"\n"


def decode(text: bytes) -> Timeline:
    """Read a timeline.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return msgspec.json.decode(text, type=Timeline)
