"""The result of one client: every count, range and histogram that the verdict and the reports are made of.

Pure data. Two builders make it, `ledger_builder` for our own feed and `external_builder` for another one. What cannot
be known of a client is None from the beginning; no code after the builders reads the evidence again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec

from services.collector.evidence.saturation import SaturationEvidence
from services.collector.evidence.silence import LongestSilence
from services.collector.evidence.sparse_histogram import EMPTY, SparseHistogram
from services.collector.results.connection_history import ConnectionHistory
from services.collector.results.silence_limit import FeedRhythm, StoppedSequence
from services.contract.feed_description import FeedDescription
from services.contract.rangeset import RangeSet
from services.contract.scalars import Span
from services.contract.sequence_rules import PLAIN, SequenceRules
from services.contract.summary import Causes, ClientState, Fault
from services.contract.unread_data import UnreadKind

BlockKey = tuple[int, int]
"""Session and block number."""
EXTERNAL_CAUSES = ("corrupt_block", "sent_not_logged", "not_seen")
"""The causes that can be known without a ledger, in the order in which they are tried: each explains those records that
no earlier cause explains."""
IN_FLIGHT_US = 1_000_000
"""A client of an external feed should have what others received until this long before its end: later records may have
been in flight."""
NO_CAUSES = Causes()
NO_CONNECTIONS = ConnectionHistory()
NOT_MEASURED = SaturationEvidence()
GapTimes = tuple[int | None, int | None]
"""When the messages on both sides of a gap were received, the earlier first, epoch microseconds; None for unknown."""


@dataclass(frozen=True, kw_only=True)
class ClientConsistency:
    """Whether the ledger's lines about a client and the lines of its log agree.

    Attributes:
        receipts: how many blocks have a receipt.
        differing_receipts: blocks whose receipt differs from the feed or from the log.
        is_subscribed: the ledger has a subscription of the client.
        unsealed_sessions: sessions whose log should have an end line and has none; 0 for a client without any log.
        sessions_without_file: sessions that the ledger names and the log does not have.
        fences_without_subscription: fences in log or ledger for which the ledger has no subscription.
        fences_granted_twice: fences that two servers granted.
        receipt_holes: messages that are logged and lack a receipt although later ones have one.
    """

    receipts: int
    differing_receipts: tuple[BlockKey, ...]
    is_subscribed: bool
    unsealed_sessions: tuple[int, ...]
    sessions_without_file: tuple[int, ...]
    fences_without_subscription: tuple[int, ...]
    fences_granted_twice: tuple[int, ...]
    receipt_holes: RangeSet


class Contradiction(NamedTuple):
    """What shows that the numbers of a feed are not what the settings say.

    Attributes:
        kind: ``mixed``: numbers of several sequences. ``steps``: they do not rise by one, or by `FEED_STEP`. ``links``:
            most records name another number than the one before, or cover a range that does not join it. ``first``,
            ``previous``, ``key``: the path of this setting leads to a value in no message. ``scope``: one number stands
            for several records. ``wrap``: there are numbers above `FEED_WRAP`. ``falls``: most are below an earlier
            one. ``restarts``: they begin again after few messages. ``many keys``: there are too many sequences.
            ``unique keys``: nearly every record has a key of its own.
        key: of the sequence, None for the one of a feed without keys.
        numbers: examples, in the order received; for ``steps`` also the usual step, or 0, before them; for ``restarts``
            after how many messages; for ``many keys`` how many are followed; for ``unique keys`` how many there are,
            and in how many messages.
        text: the setting that is contradicted; for ``mixed`` "again" if numbers come again with other records.
    """

    kind: Literal[
        "mixed", "steps", "links", "first", "previous", "key", "scope", "wrap", "falls", "restarts", "many keys",
        "unique keys",
    ]  # fmt: skip
    key: str | None = None
    numbers: tuple[int, ...] = ()
    text: str = ""


class Unheard(NamedTuple):
    """That other clients received records of a sequence after the last one that a client received.

    Attributes:
        others: these clients.
        behind_us: for how long the last of them did, in microseconds; None if the client received none at all.
    """

    others: tuple[str, ...]
    behind_us: int | None


@dataclass(frozen=True, kw_only=True)
class LogConflicts:
    """Lines of a log that cannot all be right: different lines in the place of one.

    Attributes:
        blocks: blocks that are logged with several contents, and with how many.
        lines: kind, segment and number of the open and end lines that exist in several versions.
    """

    blocks: tuple[tuple[BlockKey, int], ...] = ()
    lines: tuple[tuple[str, BlockKey, int], ...] = ()


NO_CONFLICTS = LogConflicts()


@dataclass(frozen=True, kw_only=True)
class ExternalClientFacts:
    """Facts that exist only for a client of an external feed; of our own feed none of them is known.

    Attributes:
        feed: how the feed was read, None for not known.
        number_path: the operator's path to the number in a message, None for no number.
        expected_clients: how many clients were to take part (``CLIENTS``), None if that was not set.
        silence_s: how long the feed may be silent, in seconds; None to derive it from the feed's rhythm.
        until_us: when the run was to end, epoch microseconds; None for not known.
        lost_sessions: numbers of sessions before the last one that have no file.
        missing: the missing numbers of each sequence.
        missed_away: the missing numbers between the last record before an absence and the first one after it, or after
            the last record of a client that was not connected at its end.
        missed_stalled: those of them that belong to an absence right after a time in which the client did not read.
        missing_before_restart: the numbers of each sequence that were missing when it began again.
        unreadable: the missing numbers of each sequence that unreadable records may account for.
        unreadable_before_restart: those of them that were missing when it began again.
        restarts_by_connection: how often a sequence began again with a new connection.
        rules: how the numbers are read.
        gaps: the number of gaps between messages that cover ranges or name the number before; None for other feeds.
        jumps: the numbers of each sequence that were passed over faster than its rate explains, and that the
            clients did not receive either: not known to exist.
        uncertain_beginnings: the numbers before the first one of each sequence, of a client that seems to be numbered
            for itself, if the sequence began with a lower one at another client; those before any first number, if they
            are too many for a loss.
        beside_wraps: the missing numbers next to a wrap that may also be a new beginning.
        uncertain_ends: the numbers that other clients received before a sequence began again in mid-connection, and
            this one did not.
        unheard: sequences that are not compared by number, and of which other clients received further records.
        restarts_elsewhere: how often a sequence began again in mid-connection at another number than before.
        unlinked: messages in mid-connection that name no number before, of a feed whose messages name it.
        doubtful_wraps: recognised wraps that do not show whether the counter has a 0.
        unkeyed: messages with a number and without a key, of a feed with keys.
        repeated: messages received again right after a reconnect.
        differing: numbers that came again in mid-connection with another record.
        silent_keys: sequences that had many records, and none since the client reconnected.
        outlasted_by: clients that received higher numbers long after a close or a message had ended the feed here.
        stopped: sequences that had no record any more when the client's run ended, though others had.
        contradictions: why the numbers are not what the settings say.
        unread: what its unreadable records seem to be, None without any.
        connection: when the client was connected.
        rhythm: of the records, None if it is not known until when records were expected.
    """

    feed: FeedDescription | None = None
    number_path: str | None = None
    expected_clients: int | None = None
    silence_s: float | None = None
    until_us: int | None = None
    lost_sessions: RangeSet = field(default_factory=RangeSet)
    missing: Mapping[str | None, RangeSet] = field(default_factory=dict)
    missed_away: Mapping[str | None, RangeSet] = field(default_factory=dict)
    missed_stalled: Mapping[str | None, RangeSet] = field(default_factory=dict)
    missing_before_restart: Mapping[str | None, Sequence[Span]] = field(default_factory=dict)
    unreadable: Mapping[str | None, RangeSet] = field(default_factory=dict)
    unreadable_before_restart: Mapping[str | None, Sequence[Span]] = field(default_factory=dict)
    restarts_by_connection: int = 0
    rules: SequenceRules = PLAIN
    gaps: int | None = None
    jumps: Mapping[str | None, RangeSet] = field(default_factory=dict)
    uncertain_beginnings: Mapping[str | None, RangeSet] = field(default_factory=dict)
    beside_wraps: Mapping[str | None, RangeSet] = field(default_factory=dict)
    uncertain_ends: Mapping[str | None, RangeSet] = field(default_factory=dict)
    unheard: Mapping[str | None, Unheard] = field(default_factory=dict)
    restarts_elsewhere: int = 0
    unlinked: int = 0
    doubtful_wraps: int = 0
    unkeyed: int = 0
    repeated: int = 0
    differing: int = 0
    silent_keys: tuple[str | None, ...] = ()
    outlasted_by: tuple[str, ...] = ()
    stopped: tuple[StoppedSequence, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    unread: UnreadKind | None = None
    connection: ConnectionHistory = NO_CONNECTIONS
    rhythm: FeedRhythm | None = None

    @property
    def is_missed_away(self) -> bool:
        """Whether every missing number belongs to an absence."""
        return self._are_all(self.missed_away)

    @property
    def is_missed_stalled(self) -> bool:
        """Whether every missing number belongs to an absence right after a time without reading."""
        return self._are_all(self.missed_stalled)

    def _are_all(self, part: Mapping[str | None, RangeSet]) -> bool:
        missing = sum(numbers.count for numbers in self.missing.values())
        return 0 < missing == sum(numbers.count for numbers in part.values()) and not self.missing_before_restart

    @property
    def allowed_repeats(self) -> int | None:
        """How many messages were received again after a reconnect, None for a feed that may not repeat any."""
        return self.repeated if self.rules.repeats == "reconnect" else None


NO_EXTERNAL_FACTS = ExternalClientFacts()


# Not a dataclass: it has so many fields that each object would take a kilobyte more, and a run has many clients.
class ClientResult(msgspec.Struct, frozen=True, kw_only=True):
    """The finished figures of one client.

    Attributes:
        client: its name.
        state: how it ended, or that the run goes on.
        has_log: it claimed a file of a block log, at least; otherwise only the ledger names it.
        block_size: messages per block, as configured; None for not known.
        blocks: how many blocks are logged, ``sessions`` by how many of its processes.
        messages: how many messages are logged, repeated ones included; ``bytes`` are those of their records.
        expected: how many records it should hold; None without sequence numbers.
        received: how many of these it holds.
        missing: how many it lacks.
        duplicates: messages received again, ``reordered`` those received after a later one.
        corrupt: records that were damaged on the way.
        residual: missing records without a cause; negative when more was logged than sent.
        logged_not_receipted: messages that no receipt covers.
        restarts: how often a sequence began again.
        unsequenced: messages without a usable number.
        unreadable: number of missing numbers that unreadable records may account for.
        without_key: messages without a key, ``without_time`` without a time, of a feed with such a path.
        ignored: messages that were ignored, ``pings`` that were pings; neither are logged.
        missing_seqs: the missing records, of a feed with one sequence.
        lost: the missing records by cause, in the order in which causes are tried.
        missing_by_cause: their numbers, of all sequences together.
        gap_times: by the first number of each range of ``missing_seqs``.
        repeated_seqs: records that are logged in more than one block.
        corrupt_seqs: records that were damaged on the way.
        torn_bytes: bytes of incomplete last lines.
        clock_offset_us: the server's clock minus the client's, by the last block.
        clock_error_us: by how much that offset may be wrong, at worst.
        first_us: when the first message was received, ``last_us`` the last one; epoch microseconds.
        latency: from due to received, of all messages that were not caught up; empty without a schedule.
        catch_up: from due to received, of messages that were due before the client first tried to take part.
        transit: from sent to received.
        block_duration: from a block's first message to its last.
        silence: the longest time in which the client received nothing.
        saturation: what its processes measured of themselves.
        stalled_ns: for how long it did not read, because too much waited for its disk; None without a log.
        longest_stall_ns: the longest time of these.
        faults: of its files.
        conflicts: of its lines.
        consistency: None for an external feed, and while the run goes on: it takes a pass over all blocks.
        external: `NO_EXTERNAL_FACTS` for our own feed.
    """

    client: str
    state: ClientState
    has_log: bool = False
    block_size: int | None = None
    blocks: int = 0
    sessions: int = 0
    messages: int = 0
    bytes: int = 0
    expected: int | None = None
    received: int = 0
    missing: int | None = None
    duplicates: int | None = None
    reordered: int | None = None
    corrupt: int | None = None
    residual: int | None = None
    logged_not_receipted: int | None = None
    restarts: int | None = None
    unsequenced: int | None = None
    unreadable: int | None = None
    without_key: int | None = None
    without_time: int | None = None
    ignored: int | None = None
    pings: int | None = None
    missing_seqs: RangeSet = msgspec.field(default_factory=RangeSet)
    lost: Mapping[str, RangeSet] = msgspec.field(default_factory=dict)
    missing_by_cause: Causes = NO_CAUSES
    gap_times: Mapping[int, GapTimes] = msgspec.field(default_factory=dict)
    repeated_seqs: RangeSet = msgspec.field(default_factory=RangeSet)
    corrupt_seqs: RangeSet = msgspec.field(default_factory=RangeSet)
    torn_bytes: int = 0
    clock_offset_us: int | None = None
    clock_error_us: int | None = None
    first_us: int | None = None
    last_us: int | None = None
    latency: SparseHistogram = EMPTY
    # None for not known; empty if nothing was caught up. A limit on its duration holds for the latter alone.
    catch_up: SparseHistogram | None = None
    transit: SparseHistogram = EMPTY
    block_duration: SparseHistogram = EMPTY
    silence: LongestSilence | None = None
    saturation: SaturationEvidence = NOT_MEASURED
    stalled_ns: int | None = None
    longest_stall_ns: int | None = None
    faults: tuple[Fault, ...] = ()
    conflicts: LogConflicts = NO_CONFLICTS
    consistency: ClientConsistency | None = None
    external: ExternalClientFacts = NO_EXTERNAL_FACTS

    def around(self, seq: int) -> GapTimes:
        """Return when the messages before and after the gap with a missing record were received."""
        gap = self.missing_seqs.span_of(seq)
        return self.gap_times.get(gap[0], (None, None)) if gap else (None, None)


def client_order(name: str) -> tuple[str, int, str]:
    """Return the key by which clients are sorted: client-2 before client-10."""
    stem = name.rstrip("0123456789")
    # The name comes last, so that client-1 and client-01 have a fixed order too.
    return stem, int(name[len(stem) :] or 0), name
