"""The ledger of one run, as its servers wrote it. The order in which its files are read does not matter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from services.collector.evidence.block_check import number
from services.collector.evidence.compact_index import CompactIndex, IndexRow
from services.collector.evidence.line_chain import LineChain
from services.collector.evidence.server_processes import RateChange, ServerProcess
from services.collector.scan import Source
from services.contract import ledger
from services.contract.jsonl import Sealed
from services.contract.rangeset import RangeSet
from services.contract.summary import RunState


@dataclass
class ClientLedger:
    """The ledger lines about one client.

    Attributes:
        subscriptions: its subscriptions by fence.
        leaves: its departures by fence.
        sent: the highest seq that may have been sent, by fence.
        receipts: its receipts by session and block.
        receipted: the seqs that receipts cover.
        receipt_fences: the fences of its receipts.
        twice: fences with two different subscriptions, which two servers granted.
        granted_by: the server that granted each fence, by its kernel.
        first_session: the lowest fence of a subscription that is not an observer's, and its session; None without one.
    """

    subscriptions: dict[int, ledger.SubscribeEntry] = field(default_factory=dict)
    leaves: dict[int, ledger.LeaveEntry] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    receipts: CompactIndex = field(default_factory=CompactIndex)
    receipted: RangeSet = field(default_factory=RangeSet)
    receipt_fences: set[int] = field(default_factory=set)
    twice: set[int] = field(default_factory=set)
    granted_by: dict[int, str] = field(default_factory=dict)
    first_session: tuple[int, int] | None = None
    _lines: dict[int, str] = field(default_factory=dict)

    def add_subscription(self, entry: ledger.SubscribeEntry, crc: str) -> None:
        """Add a subscription. Of two lines with one fence the later line counts, in any order of reading."""
        # A copy of the line has the same digest. Another one means that a second server granted the fence.
        if self._lines.setdefault(entry.fence, crc) != crc:
            self.twice.add(entry.fence)
        self.subscriptions[entry.fence] = _later(self.subscriptions.get(entry.fence, entry), entry)
        if not entry.observe:
            self.first_session = min(self.first_session or (entry.fence, entry.session), (entry.fence, entry.session))

    def add_leave(self, entry: ledger.LeaveEntry) -> None:
        """Add a departure. Of two lines with one fence the later line counts, in any order of reading."""
        self.leaves[entry.fence] = _later(self.leaves.get(entry.fence, entry), entry)

    def servers_by_session(self) -> dict[int, list[tuple[int, str]]]:
        """Return the first record and the server's kernel of each subscription, by session and in their order."""
        found: dict[int, list[tuple[int, str]]] = {}
        for fence, entry in sorted(self.subscriptions.items()):
            if not entry.observe and fence in self.granted_by:
                found.setdefault(entry.session, []).append((entry.first, self.granted_by[fence]))
        return found

    def add_receipts(self, entries: Sequence[ledger.ReceiptEntry]) -> None:
        """Add receipts, at least one."""
        session, blocks = entries[0].session, [entry.block for entry in entries]
        rows = [
            (entry.block, entry.first, entry.last, entry.count, number(entry.digest), int(entry.match))
            for entry in entries
        ]
        is_one_session = all(entry.session == session for entry in entries)
        # Nearly always the client has sent its receipts in the order of its blocks, each once.
        if is_one_session and self.receipts.is_above(session, blocks[0]) and blocks == sorted(set(blocks)):
            self.receipts.extend(session, rows)
        else:
            for entry, (block, *row) in zip(entries, rows, strict=True):
                self.receipts.add((entry.session, block), IndexRow(*row))
        self.receipt_fences.update([entry.fence for entry in entries])
        for entry in entries:
            begin = entry.first
            # A right checksum does not prove that the writer was right: the ranges may be unsorted and overlap.
            for first, last in sorted(entry.missing):
                self.receipted.add(begin, first - 1)
                begin = max(begin, last + 1)
            self.receipted.add(begin, entry.last)

    @property
    def through(self) -> int:
        """The highest seq that may have been sent to the client."""
        # An observer is not part of the run, so records that were sent to it are not expected in any log.
        observing = {fence for fence, entry in self.subscriptions.items() if entry.observe}
        return max((through for fence, through in self.sent.items() if fence not in observing), default=0)

    @property
    def is_client(self) -> bool:
        """Whether the client takes part in the run, as an observer does not."""
        return any(not entry.observe for entry in self.subscriptions.values()) or not self.subscriptions

    @property
    def has_left(self) -> bool:
        """Whether the client left on purpose and has not subscribed again since."""
        if not self.leaves:
            return False
        fence = max(self.leaves)
        return self.leaves[fence].cause == "bye" and fence >= max(self.subscriptions, default=0)


Dated = TypeVar("Dated", ledger.SubscribeEntry, ledger.LeaveEntry)


def _order(entry: ledger.Entry) -> tuple[str, bytes]:
    """Return the key by which lines are sorted: time, then content, since times may be equal."""
    return entry.at, msgspec.json.encode(entry)


def _later(one: Dated, other: Dated) -> Dated:
    return one if one == other else max(one, other, key=_order)


class LedgerEvidence:
    """Everything that the servers recorded in one run."""

    def __init__(self) -> None:
        self.opens: dict[str, ledger.OpenEntry] = {}
        self.clients: dict[str, ClientLedger] = {}
        self.ends: dict[str, ledger.EndEntry] = {}
        self.controls: dict[str, ledger.ControlEntry] = {}
        self.servers: dict[str, ServerProcess] = {}
        """By the digest of the open line, so copies of one ledger file count as one server."""
        self._expects: dict[str, ledger.ExpectEntry] = {}
        self._late: set[str] = set()
        self._paces: dict[str, RateChange] = {}
        self._files: dict[Source, LedgerFileReader] = {}

    def add_lines(self, source: Source, lines: Iterable[bytes]) -> list[ledger.Entry]:
        """Add lines of one file; return the content of those that are not receipts, damaged or misfiled."""
        return self.file(source).add_lines(lines)

    def file(self, source: Source) -> LedgerFileReader:
        """Return the reader of a file; a new file is added."""
        if source not in self._files:
            self._files[source] = LedgerFileReader(self, source)
        return self._files[source]

    @property
    def files(self) -> list[LedgerFileReader]:
        """The readers of all files."""
        return list(self._files.values())

    @property
    def open(self) -> ledger.OpenEntry | None:
        """The open line of the server that opened the run, None if it is missing."""
        return min(self.opens.values(), key=lambda entry: (entry.at, entry.instance), default=None)

    @property
    def end(self) -> ledger.EndEntry | None:
        """The line that ended the run, with several servers the last such line; None while the run goes on."""
        if len(self.ends) == 1:
            return next(iter(self.ends.values()))
        return max(self.ends.values(), key=_order, default=None)

    @property
    def expected(self) -> ledger.ExpectEntry | None:
        """The last line with the number of clients to wait for and the origin of that number; None without one."""
        return max(self._expects.values(), key=_order, default=None)

    @property
    def wanted(self) -> int:
        """The number of clients that have to take part, at least."""
        if self.expected is not None:
            return self.expected.clients
        # Servers of START_AT do not see each other, so each names the number by itself, and all of them count.
        timed = [entry.clients for entry in self.opens.values() if entry.start_us is not None]
        return max([*timed, self.open.clients if self.open else 1])

    @property
    def late(self) -> list[str]:
        """The names of clients that first asked to take part after the run had ended."""
        return sorted(name for name in self._late if self.clients.get(name, ClientLedger()).first_session is None)

    @property
    def paces(self) -> list[ledger.PaceEntry]:
        """All changes of the rate, in the order of the feed; of lines with equal ``first`` the last one comes last."""
        return [change.pace for change in sorted(self._paces.values(), key=RateChange.order)]

    @property
    def pace(self) -> ledger.PaceEntry | None:
        """The last change of the rate; of lines with equal ``first`` the last one counts."""
        return max(self._paces.values(), key=RateChange.order).pace if self._paces else None

    @property
    def start_us(self) -> int | None:
        """When the first record was due, epoch microseconds; None before that is known."""
        return min(self._paces.values(), key=RateChange.order).pace.due_us if self._paces else None

    @property
    def rate(self) -> float | int | None:
        """The current rate in records per second, in a pause the rate before it; None for not known."""
        known = [pace.rate for pace in self.paces if pace.rate is not None]
        return known[-1] if known else (self.open.rate if self.open else None)

    @property
    def is_scheduled(self) -> bool:
        """Whether any record has a due time of its own: at a rate of 0, a record is due when it is sent."""
        # Not by the last rate alone: an operator may end a run at full speed whose records were due by a schedule. Of
        # lines with equal `first` the last one counts.
        paces = {pace.first: pace.rate for pace in self.paces}
        rates = [rate for rate in paces.values() if rate is not None] or ([self.open.rate] if self.open else [])
        return any(rates) or not rates

    @property
    def state(self) -> RunState:
        """Where the run is in its life."""
        if self.ends:
            return "ended"
        if not self.opens:
            return "opened"
        if self.pace is None:
            return "waiting"
        return "paused" if self.pace.rate is None else "running"

    def client(self, name: str) -> ClientLedger:
        """Return the lines about a client; a new client is added."""
        return self.clients.setdefault(name, ClientLedger())

    def add_entry(self, sealed: Sealed, entry: ledger.Entry, number: int) -> None:
        """Add a good line that is not a receipt, which has this number in its file."""
        match entry:
            case ledger.OpenEntry():
                self.opens[sealed.crc] = entry
            case ledger.PaceEntry():
                known = self._paces.get(sealed.crc)
                # A copy of the file that lacks lines has the same line under a lower number; the order of reading must
                # not decide.
                number = number if known is None else min(number, known.number)
                self._paces[sealed.crc] = RateChange(entry, number, sealed.crc)
            case ledger.SubscribeEntry():
                self.client(entry.client).add_subscription(entry, sealed.crc)
            case ledger.SentEntry():
                sent = self.client(entry.client).sent
                sent[entry.fence] = max(entry.through, sent.get(entry.fence, 0))
            case ledger.LeaveEntry():
                self.client(entry.client).add_leave(entry)
            case ledger.EndEntry():
                self.ends[sealed.crc] = entry
            case ledger.ControlEntry() | ledger.ExpectEntry() | ledger.LateEntry():
                self._add_aside(sealed, entry)

    def _add_aside(self, sealed: Sealed, entry: ledger.ControlEntry | ledger.ExpectEntry | ledger.LateEntry) -> None:
        """Add a line that is not about a subscription or the schedule."""
        match entry:
            case ledger.ControlEntry():
                self.controls[sealed.crc] = entry
            case ledger.ExpectEntry():
                self._expects[sealed.crc] = entry
            case ledger.LateEntry():
                self._late.add(entry.client)


class LedgerFileReader:
    """Reads one file of the ledger, which one server process wrote, line by line."""

    def __init__(self, evidence: LedgerEvidence, source: Source) -> None:
        self.ledger = evidence
        self.source = source
        self.chain: LineChain[ledger.Entry] = LineChain(source, ledger.codec)
        self.is_well_named = False
        self.servers: list[ServerProcess] = []
        self.has_end = False

    @property
    def is_ended(self) -> bool:
        """Whether the servers that wrote the file are gone: each recorded the end, or a later one continued the run."""
        if not self.servers:
            return self.has_end
        # A ledger has no last line of its own, since it stays open as long as its server lives: other lines have to
        # show it.
        servers = self.ledger.servers.values()
        return all(server.ends or server.is_continued(servers) for server in self.servers)

    def add_lines(self, lines: Iterable[bytes]) -> list[ledger.Entry]:
        """Add the next lines; return the content of those that are not receipts, damaged or misfiled."""
        found: list[ledger.Entry] = []
        receipts: dict[str, list[ledger.ReceiptEntry]] = {}
        for line in lines:
            entry = self._add_line(line)
            # Most lines are receipts, and those of a client are added together.
            if isinstance(entry, ledger.ReceiptEntry):
                receipts.setdefault(entry.client, []).append(entry)
            elif entry is not None:
                found.append(entry)
        for client, entries in receipts.items():
            self.ledger.client(client).add_receipts(entries)
        return found

    def _add_line(self, line: bytes) -> ledger.Entry | None:
        """Add a line, but not yet a receipt to its client; return its content, None if it is damaged or misfiled."""
        decoded = self.chain.read(line)
        if decoded is None:
            return None
        sealed, entry = decoded
        is_receipt = isinstance(entry, ledger.ReceiptEntry)
        # A receipt may be anywhere except in the first line.
        if (not is_receipt or self.chain.number == 1) and not self._is_of_file(sealed, entry):
            return None
        if not self.chain.link(sealed):
            return None
        if not is_receipt:
            self._add_entry(sealed, entry)
        elif self.servers:
            self.servers[-1].note_line(entry)
        return entry

    def _is_of_file(self, sealed: Sealed, entry: ledger.Entry) -> bool:
        """Return whether a line belongs to the file; record a fault if it does not, or if it is in the wrong place."""
        is_open = isinstance(entry, ledger.OpenEntry)
        if isinstance(entry, ledger.OpenEntry) and entry.run != self.source.run:
            self.chain.add_misfiled(f"the line belongs to run {entry.run}")
            return False
        if isinstance(entry, ledger.OpenEntry):
            self.is_well_named = self.source.name == f"{entry.instance}.jsonl"
        if not is_open and self.chain.number == 1:
            self.chain.add_fault("line_missing", "the file does not begin with its open line", raw=sealed.text)
            # The line does not continue the beginning of the file either, which would be the same fault again.
            self.chain.excuse()
        elif is_open and self.chain.number > 1:
            self.chain.add_fault("misplaced", "an open line inside the file")
        return True

    def _add_entry(self, sealed: Sealed, entry: ledger.Entry) -> None:
        self.ledger.add_entry(sealed, entry, self.chain.number)
        if isinstance(entry, ledger.OpenEntry):
            self.servers.append(self.ledger.servers.setdefault(sealed.crc, ServerProcess(entry, entry.at)))
        self.has_end |= isinstance(entry, ledger.EndEntry)
        if self.servers:
            self.servers[-1].add_entry(entry, self.chain.number, sealed.crc)
            if isinstance(entry, ledger.SubscribeEntry):
                granted_by, boot = self.ledger.client(entry.client).granted_by, self.servers[-1].open.boot
                granted_by[entry.fence] = min(boot, granted_by.get(entry.fence, boot))
