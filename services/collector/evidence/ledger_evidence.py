"""The servers' side of the books: what the ledger of one run says, whatever the order of reading its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from services.collector.evidence.block_check import number
from services.collector.evidence.compact_index import CompactIndex, IndexRow
from services.collector.evidence.line_chain import LineChain
from services.collector.evidence.server_processes import RateChange, ServerProcess
from services.collector.evidence.timestamps import bounded, moment
from services.collector.scan import Source
from services.contract import ledger
from services.contract.jsonl import Sealed
from services.contract.rangeset import RangeSet
from services.contract.summary import RunState


@dataclass
class ClientLedger:
    """What the ledger says of one client: subscriptions and departures by fence, receipts by session and block.

    ``twice`` are the fences under which two different subscriptions stand: two servers granted them.
    """

    subscriptions: dict[int, ledger.SubscribeEntry] = field(default_factory=dict)
    leaves: dict[int, ledger.LeaveEntry] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    receipts: CompactIndex = field(default_factory=CompactIndex)
    receipted: RangeSet = field(default_factory=RangeSet)
    receipt_fences: set[int] = field(default_factory=set)
    twice: set[int] = field(default_factory=set)
    _lines: dict[int, str] = field(default_factory=dict)

    def subscribe(self, entry: ledger.SubscribeEntry, crc: str) -> None:
        """Enter a subscription; of two lines with one fence the later counts, whichever is read first."""
        if self._lines.setdefault(entry.fence, crc) != crc:
            self.twice.add(entry.fence)
        self.subscriptions[entry.fence] = _later(self.subscriptions.get(entry.fence, entry), entry)

    def leave(self, entry: ledger.LeaveEntry) -> None:
        """Enter a departure; of two lines with one fence the later counts, whichever is read first."""
        self.leaves[entry.fence] = _later(self.leaves.get(entry.fence, entry), entry)

    @property
    def first_session(self) -> tuple[int, int] | None:
        """The fence and the session of the first subscription that was granted, None when there was none."""
        return min(
            ((fence, entry.session) for fence, entry in self.subscriptions.items() if not entry.observe), default=None
        )

    @property
    def through(self) -> int:
        """The highest seq that may have been sent to the client."""
        observing = {fence for fence, entry in self.subscriptions.items() if entry.observe}
        return max((through for fence, through in self.sent.items() if fence not in observing), default=0)

    @property
    def is_client(self) -> bool:
        """Whether it is a client of the run and not an observer, who stands outside the books."""
        return any(not entry.observe for entry in self.subscriptions.values()) or not self.subscriptions

    @property
    def has_left(self) -> bool:
        """Whether it said goodbye and has not come back since."""
        if not self.leaves:
            return False
        fence = max(self.leaves)
        return self.leaves[fence].cause == "bye" and fence >= max(self.subscriptions, default=0)


Dated = TypeVar("Dated", ledger.SubscribeEntry, ledger.LeaveEntry)


def _order(entry: ledger.Entry) -> tuple[str, bytes]:
    """Return the key by which lines are put in order that may have the same time."""
    return entry.at, msgspec.json.encode(entry)


def _later(one: Dated, other: Dated) -> Dated:
    return one if one == other else max(one, other, key=_order)


class LedgerEvidence:
    """Everything the servers entered in one run."""

    def __init__(self) -> None:
        self.opens: dict[str, ledger.OpenEntry] = {}
        self.clients: dict[str, ClientLedger] = {}
        self.ends: dict[str, ledger.EndEntry] = {}
        self.controls: dict[str, ledger.ControlEntry] = {}
        self.servers: dict[str, ServerProcess] = {}
        """By the digest of the open line: copies of one ledger are one server."""
        self._expects: dict[str, ledger.ExpectEntry] = {}
        self._late: set[str] = set()
        self._paces: dict[str, RateChange] = {}
        self._files: dict[Source, LedgerFileReader] = {}

    def take(self, source: Source, line: bytes) -> None:
        """Enter one line of one file."""
        self.file(source).take(line)

    def file(self, source: Source) -> LedgerFileReader:
        """Return what is known of a file, from its first mention on."""
        if source not in self._files:
            self._files[source] = LedgerFileReader(self, source)
        return self._files[source]

    @property
    def files(self) -> list[LedgerFileReader]:
        """The ledger's files."""
        return list(self._files.values())

    @property
    def open(self) -> ledger.OpenEntry | None:
        """The open line of the server that opened the run."""
        return min(self.opens.values(), key=lambda entry: (entry.at, entry.instance), default=None)

    @property
    def end(self) -> ledger.EndEntry | None:
        """The line that ended the run; of several servers that of the last one, for then the run was over."""
        if len(self.ends) == 1:
            return next(iter(self.ends.values()))
        return max(self.ends.values(), key=_order, default=None)

    @property
    def expected(self) -> ledger.ExpectEntry | None:
        """How many clients the run waited for at last, and where the number came from; None without such a line."""
        return max(self._expects.values(), key=_order, default=None)

    @property
    def wanted(self) -> int:
        """How many clients are to take part, at least."""
        if self.expected is not None:
            return self.expected.clients
        return self.open.clients if self.open else 1

    @property
    def late(self) -> list[str]:
        """The clients that asked to take part when the run had ended, and took no part in it, by name."""
        return sorted(name for name in self._late if self.clients.get(name, ClientLedger()).first_session is None)

    @property
    def paces(self) -> list[ledger.PaceEntry]:
        """Every change of the schedule, in the order of the feed; of equal ``first`` the last line counts."""
        return [one.pace for one in sorted(self._paces.values(), key=RateChange.order)]

    @property
    def bounds_us(self) -> list[int]:
        """The moments at which the run began and ended, as far as it did, by every line that tells of it."""
        began = [bounded(one.pace.due_us) for one in self._paces.values() if one.pace.first == 1]
        return began + [at_us for entry in self.ends.values() if (at_us := moment(entry.at)) is not None]

    @property
    def pace(self) -> ledger.PaceEntry | None:
        """The schedule that is on: of equal ``first`` the last line counts."""
        return max(self._paces.values(), key=RateChange.order).pace if self._paces else None

    @property
    def start_us(self) -> int | None:
        """When the first record was due."""
        return min(self._paces.values(), key=RateChange.order).pace.due_us if self._paces else None

    @property
    def rate(self) -> float | int | None:
        """The rate that is on, or was before a pause."""
        known = [pace.rate for pace in self.paces if pace.rate is not None]
        return known[-1] if known else (self.open.rate if self.open else None)

    @property
    def state(self) -> RunState:
        """Where the run stands in its life."""
        if self.ends:
            return "ended"
        if not self.opens:
            return "opened"
        if self.pace is None:
            return "waiting"
        return "paused" if self.pace.rate is None else "running"

    def client(self, name: str) -> ClientLedger:
        """Return what is known of a client, from its first mention on."""
        return self.clients.setdefault(name, ClientLedger())

    def enter(self, sealed: Sealed, entry: ledger.Entry, number: int) -> None:
        """Enter one good line."""
        match entry:
            case ledger.OpenEntry():
                self.opens[sealed.crc] = entry
            case ledger.PaceEntry():
                known = self._paces.get(sealed.crc)
                number = number if known is None else min(number, known.number)
                self._paces[sealed.crc] = RateChange(entry, number, sealed.crc)
            case ledger.SubscribeEntry():
                self.client(entry.client).subscribe(entry, sealed.crc)
            case ledger.SentEntry():
                sent = self.client(entry.client).sent
                sent[entry.fence] = max(entry.through, sent.get(entry.fence, 0))
            case ledger.ReceiptEntry():
                self._receipt(entry)
            case ledger.LeaveEntry():
                self.client(entry.client).leave(entry)
            case ledger.EndEntry():
                self.ends[sealed.crc] = entry
            case ledger.ControlEntry() | ledger.ExpectEntry() | ledger.LateEntry():
                self._enter_aside(sealed, entry)

    def _enter_aside(self, sealed: Sealed, entry: ledger.ControlEntry | ledger.ExpectEntry | ledger.LateEntry) -> None:
        """Enter what is not about a subscription or the schedule."""
        match entry:
            case ledger.ControlEntry():
                self.controls[sealed.crc] = entry
            case ledger.ExpectEntry():
                self._expects[sealed.crc] = entry
            case ledger.LateEntry():
                self._late.add(entry.client)

    def _receipt(self, entry: ledger.ReceiptEntry) -> None:
        client = self.client(entry.client)
        note = IndexRow(entry.first, entry.last, entry.count, number(entry.digest), int(entry.match))
        client.receipts.add((entry.session, entry.block), note)
        client.receipt_fences.add(entry.fence)
        at = entry.first
        for first, last in sorted(entry.missing):
            client.receipted.add(at, first - 1)
            at = max(at, last + 1)
        client.receipted.add(at, entry.last)


class LedgerFileReader:
    """One server process's ledger, read in sequence."""

    def __init__(self, book: LedgerEvidence, source: Source) -> None:
        self.book = book
        self.source = source
        self.chain: LineChain[ledger.Entry] = LineChain(source, ledger.codec)
        self.is_well_named = False
        self.servers: list[ServerProcess] = []
        self.has_end = False

    @property
    def is_ended(self) -> bool:
        """Whether nothing more is to come of the servers whose lines stand here: they ended, or were continued."""
        every = self.book.servers.values()
        if not self.servers:
            return self.has_end
        return all(one.ends or one.is_continued(every) for one in self.servers)

    def take(self, line: bytes) -> None:
        """Enter the next line."""
        found = self.chain.read(line)
        if found is None:
            return
        sealed, entry = found
        begins = isinstance(entry, ledger.OpenEntry)
        if isinstance(entry, ledger.OpenEntry) and entry.run != self.source.run:
            self.chain.note_foreign(f"the line belongs to run {entry.run}")
            return
        if isinstance(entry, ledger.OpenEntry):
            self.is_well_named = self.source.name == f"{entry.instance}.jsonl"
        if not begins and self.chain.number == 1:
            self.chain.note("line_missing", "the file does not begin with its open line", raw=sealed.text)
            self.chain.excuse()
        elif begins and self.chain.number > 1:
            self.chain.note("misplaced", "an open line inside the file")
        if self.chain.link(sealed):
            self.book.enter(sealed, entry, self.chain.number)
            if isinstance(entry, ledger.OpenEntry):
                self.servers.append(self.book.servers.setdefault(sealed.crc, ServerProcess(entry, entry.at)))
            self.has_end |= isinstance(entry, ledger.EndEntry)
            if self.servers:
                self.servers[-1].enter(entry, self.chain.number, sealed.crc)
