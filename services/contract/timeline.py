"""The course of a run over time, for charts, lanes and sparklines. Format: ``docs/formats/summary.md``.

Like the summary it is a pure function of the set of valid lines. Its size is bounded, also for long runs: time is
divided into at most `MOST_SLOTS` slots of one width, and at most `MOST_BLOCKS` blocks of a client are kept, at regular
distances.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from services.contract.sequence_text import SeqSpan

VERSION: Final = 1
MOST_SLOTS = 600
MOST_BLOCKS = 512
MOST_BARS = 32_768
"""Most blocks of all clients together, but at least 16 of each."""
# Without these limits the timeline would grow with the run: with its lost ranges, its events and its clients.
MOST_GAPS = 100
MOST_MARKS = 500
MOST_LANES = 256
ROWS_PER_OCTAVE = 2
"""Rows of the heat map per doubling of the latency."""

MarkKind = Literal["start", "rate", "pause", "resume", "drop", "join", "reconnect", "leave", "end"]


class TimeSlot(msgspec.Struct, frozen=True, kw_only=True):
    """The messages that all clients received within one slot of time, by the clients' clocks plus clock offset.

    ``latency`` is from the due time, ``transit`` from the send time, each as ``[p50, p99, max]`` in nanoseconds; null
    if it does not apply. ``heat`` has ``[row, count]``: the number of messages with a latency (without a schedule a
    transit) in that row; row ``r`` is from ``2**(r/2)`` to ``2**((r+1)/2)`` nanoseconds.
    """

    at_us: int
    messages: int
    bytes: int
    latency: tuple[int, int, int] | None
    transit: tuple[int, int, int] | None
    heat: list[tuple[int, int]]


class Bar(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One block in the lane of its client. ``start_us`` is the time of its first message by the server's clock."""

    session: int
    block: int
    start_us: int
    duration_ns: int
    first: int
    last: int
    count: int


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Missing seqs of a client, and when it received the messages before and after them (null: unknown)."""

    seqs: SeqSpan
    cause: str
    from_us: int | None
    to_us: int | None


class ClientLane(msgspec.Struct, frozen=True, kw_only=True):
    """One client over time. With ``stride`` n, ``bars`` has each block of a session whose number is a multiple of n.

    ``worst`` is the longest latency (without a schedule transit) in nanoseconds per slot, in the order of
    `Timeline.slots`, null if the client received nothing.
    """

    client: str
    stride: int
    bars: list[Bar]
    gaps: list[Gap]
    worst: list[int | None]


class TimelineEvent(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """An event of the run: a change of the rate, a control request, or a client that joined, left or reconnected."""

    at_us: int
    kind: MarkKind
    client: str | None = None
    detail: str = ""


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """One run over time. ``start_us``: when the first record was due, without a schedule when it was received.

    Slot ``i`` begins at ``slots[i].at_us``, a multiple of ``step_us``, and is ``step_us`` wide. Slots without any
    message are included, so that silence is drawn as silence.
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
    """Return the row of the heat map for a duration; durations below 1 ns are in row 0."""
    # Twice the binary logarithm of a number is the binary logarithm of its square.
    return int(max(duration_ns, 1) ** ROWS_PER_OCTAVE).bit_length() - 1


def encode(timeline: Timeline) -> bytes:
    """Return the timeline as JSON, on one line with a final newline."""
    return msgspec.json.encode(timeline) + b"\n"


def decode(text: bytes) -> Timeline:
    """Read a timeline.

    Raises:
        msgspec.MsgspecError: the text is not a timeline.
    """
    return msgspec.json.decode(text, type=Timeline)
