"""The state of a run, as its ledger tells it: the same fold at start-up over old lines and, live, over new ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.contract import ledger
from services.contract.rangeset import RangeSet
from services.contract.scalars import MAX_INTEGER
from services.contract.wire import State
from services.server.feed.schedule import PlanProgress, RateSegment, Schedule

MOST_FORMER = 16
"""How many processes that had a name before are remembered."""

_MOST_INSTANCE = 64


@dataclass(slots=True)
class RecordedClient:
    """What the ledger says of one client."""

    fence: int = 0
    session: int = 0
    instance: str = ""
    former: tuple[str, ...] = ()
    """The last processes that had the name before: another took it over, so none of them has it again."""
    sent: int = 0
    receipted: int = 0
    receipts: dict[int, RangeSet] = field(default_factory=dict)
    entered: int = 0
    """How many receipts the ledger holds."""
    mismatched: set[tuple[int, int]] = field(default_factory=set)
    left: ledger.Cause | None = None

    def follow(self, former: str, instance: str) -> None:
        """Remember a process that had the name before another one."""
        if former not in ("", instance):
            self.former = (*(it for it in self.former if it != former), former)[-MOST_FORMER:]

    def has_receipt(self, session: int, block: int) -> bool:
        """Tell whether the ledger holds the receipt of this block."""
        return session in self.receipts and block in self.receipts[session]

    def enter_receipt(self, entry: ledger.ReceiptEntry) -> None:
        """Take in a receipt; one that was there already changes nothing."""
        self.receipted = max(self.receipted, entry.last)
        self.receipts.setdefault(entry.session, RangeSet()).add(entry.block, entry.block)
        self.entered += 1
        if not entry.match:
            self.mismatched.add((entry.session, entry.block))


class RecordedRun:
    """One run: its schedule, its clients (observers stand outside), and how it ended."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.schedule = Schedule(total)
        self.progress = PlanProgress()
        self.clients: dict[str, RecordedClient] = {}
        self.fence = 0
        self.end: ledger.EndEntry | None = None
        self.rate: float | None = None
        """Records per second, as last set; it stays through a pause. None while nobody has set it."""
        self.held = False
        """An operator paused the run, so a server that starts does not resume it by itself."""
        self.late: set[str] = set()
        """The clients that asked to take part after the run had ended."""

    @property
    def state(self) -> State:
        """Where the run stands in its life."""
        if self.end is not None:
            return "ended"
        if not self.schedule.started:
            return "waiting"
        return "paused" if self.schedule.paused else "running"

    @property
    def goes(self) -> bool:
        """Whether the clock of the run goes, be it through a pause that is planned, which ends by itself."""
        return self.state == "running" or (self.state == "paused" and self.progress.on)

    @property
    def halted(self) -> bool:
        """Whether the run is paused until somebody, or the next server, resumes it."""
        return self.state == "paused" and not self.progress.on

    def apply(self, entry: ledger.Entry) -> None:
        """Take in one line of the ledger."""
        match entry:
            case ledger.PaceEntry():
                self._pace(entry)
            case ledger.SubscribeEntry():
                self._subscribe(entry)
            case ledger.SentEntry():
                client = self.clients.setdefault(entry.client, RecordedClient())
                client.sent = max(client.sent, entry.through)
            case ledger.ReceiptEntry():
                self.clients.setdefault(entry.client, RecordedClient()).enter_receipt(entry)
            case ledger.LeaveEntry() if entry.client in self.clients:
                client = self.clients[entry.client]
                if entry.fence == client.fence:
                    client.left = entry.cause
            case ledger.ControlEntry():
                self._control(entry)
            case ledger.EndEntry():
                self.end = entry
            case ledger.LateEntry():
                self.late.add(entry.client)
            case _:
                pass

    def _pace(self, entry: ledger.PaceEntry) -> None:
        self.schedule.enter(RateSegment(entry.first, entry.due_us, entry.rate))
        self.progress.apply(entry)
        self.rate = self.rate if entry.rate is None else entry.rate

    def _control(self, entry: ledger.ControlEntry) -> None:
        if entry.request in ("pause", "resume"):
            self.held = entry.request == "pause"
        elif entry.request == "rate":
            self.rate = entry.value
            self.progress.end()

    def _subscribe(self, entry: ledger.SubscribeEntry) -> None:
        self.fence = max(self.fence, entry.fence)
        if entry.observe:
            return
        client = self.clients.setdefault(entry.client, RecordedClient())
        # A longer one was never granted by a server that knows this bound, so nothing will be compared with it.
        instance = entry.instance if len(entry.instance) <= _MOST_INSTANCE else ""
        if entry.fence < client.fence:
            client.follow(instance, client.instance)
            return
        client.follow(client.instance, instance)
        client.fence, client.session, client.left = entry.fence, entry.session, None
        client.instance = instance

    @property
    def playable(self) -> bool:
        """Whether a server can go on from here: with every record in a stretch, and a fence that can still rise."""
        return self.schedule.whole and self.fence < MAX_INTEGER // 2

    def awaited(self) -> list[str]:
        """Return the clients that have not receipted the last seq and have not left on purpose."""
        return [name for name, client in self.clients.items() if client.receipted < self.total and client.left != "bye"]

    def finished(self) -> bool:
        """Tell whether at least one client holds everything and no other is awaited."""
        return any(client.receipted >= self.total for client in self.clients.values()) and not self.awaited()
