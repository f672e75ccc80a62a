"""The state of a run, folded from its ledger entries. Pure.

At start-up the server folds the entries of earlier processes; while the run goes on, the same code folds each new one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from services.contract import bounds, ledger
from services.contract.rangeset import RangeSet
from services.contract.scalars import MAX_INTEGER
from services.contract.wire import State
from services.server.feed.schedule import PlanProgress, RateSegment, Schedule

MAX_FORMER_INSTANCES = bounds.FORMER_INSTANCES.value
"""Number of earlier processes that are remembered for each name."""

MAX_OPEN_RANGES = 16

_MAX_INSTANCE_LENGTH = bounds.MARK_CHARACTERS.value


class RunStatus(NamedTuple):
    """What a run looks like at one time.

    Attributes:
        state: of the run.
        rate: records per second as last set, kept through a pause.
        head: last seq that is due, 0 for none.
    """

    state: State
    rate: float
    head: int


@dataclass(slots=True)
class RecordedClient:
    """The state of one client, as the ledger has it."""

    fence: int = 0
    session: int = 0
    instance: str = ""
    former_instances: tuple[str, ...] = ()
    """The last processes that lost the name to another one: none of them may have it again."""
    sent: RangeSet = field(default_factory=RangeSet)
    """Seqs that were or may have been sent, by subscriptions that are over."""
    open_ranges: dict[int, tuple[int, int]] = field(default_factory=dict)
    """The first and the last seq that may have been sent, by the fence of a subscription whose end is not recorded."""
    sent_count: int = 0
    """Number of records that were or may have been sent, each as often as it was sent."""
    receipted: int = 0
    """Last seq that a receipt covers."""
    # Ranges, because blocks are receipted nearly in order: a run of any length then needs a few numbers.
    receipts: dict[int, RangeSet] = field(default_factory=dict)
    """Numbers of the receipted blocks, by session."""
    receipt_count: int = 0
    """Number of receipt entries, repeated ones included."""
    receipted_records: int = 0
    """Number of records in these entries."""
    generated_records: int = 0
    """Number of records that this process has generated to see whether a receipt that no line explains is true."""
    mismatched: set[tuple[int, int]] = field(default_factory=set)
    """Session and block of the receipts whose digest did not match."""
    leave_cause: ledger.Cause | None = None
    """Why the last subscription ended; None while it is open."""

    def add_former_instance(self, former: str, current: str) -> None:
        """Remember that the process ``former`` lost the name to ``current``."""
        if former not in ("", current):
            others = (instance for instance in self.former_instances if instance != former)
            self.former_instances = (*others, former)[-MAX_FORMER_INSTANCES:]

    def begin_sending(self, fence: int, first: int) -> None:
        """Note that a subscription is to be sent the records from ``first`` on."""
        self.open_ranges.setdefault(fence, (first, first - 1))
        # Several are open only while a client moves from one server to another, or after crashes of servers.
        if len(self.open_ranges) > MAX_OPEN_RANGES:
            self._end_range(next(iter(self.open_ranges)))

    def may_be_sent(self, fence: int, through: int) -> None:
        """Note that a subscription may be sent the records through ``through``."""
        # Without the line of the subscription, which is damaged then, nothing shows that it did not begin with 1.
        first, last = self.open_ranges.get(fence, (1, 0))
        self.sent_count += max(through - last, 0)
        self.open_ranges[fence] = first, max(last, through)

    def end_sending(self, fence: int, last: int) -> None:
        """Note that a subscription is over, and the last record that it was sent."""
        if fence in self.open_ranges:
            first, may_be = self.open_ranges[fence]
            self.open_ranges[fence] = first, min(may_be, last)
            self._end_range(fence)

    def _end_range(self, fence: int) -> None:
        self.sent.add(*self.open_ranges.pop(fence))

    def sent_by_others(self, fence: int) -> RangeSet:
        """Return the seqs that may have been sent by all subscriptions but one."""
        return self.sent | RangeSet(span for other, span in self.open_ranges.items() if other != fence)

    def has_receipt(self, session: int, block: int) -> bool:
        """Return whether the ledger holds the receipt of a block."""
        return session in self.receipts and block in self.receipts[session]

    def add_receipt(self, entry: ledger.ReceiptEntry) -> None:
        """Add a receipt; a repeated one changes only the count."""
        self.receipted = max(self.receipted, entry.last)
        self.receipts.setdefault(entry.session, RangeSet()).add(entry.block, entry.block)
        self.receipt_count += 1
        self.receipted_records += entry.count
        if not entry.match:
            self.mismatched.add((entry.session, entry.block))


class RecordedRun:
    """The state of one run, as its ledger has it: schedule, clients (without observers) and end.

    Attributes:
        total: number of records.
        schedule: the rate segments recorded so far.
        progress: position in the rate plan.
        clients: by name.
        fence: highest fence that was given to a subscription.
        end: the last entry, None while the run has not ended.
        rate: records per second as last set, kept through a pause; None until the first rate is set.
        is_paused_by_operator: an operator paused the run, so a server that starts must not resume it by itself.
        late: names of clients that asked to take part after the end.
        boots: identities of the kernels under which the ledgers were written.
        expected: number of clients that the run waits for by the last `expect` entry; 0 without one.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.schedule = Schedule(total)
        self.progress = PlanProgress()
        self.clients: dict[str, RecordedClient] = {}
        self.fence = 0
        self.end: ledger.EndEntry | None = None
        self.rate: float | None = None
        self.is_paused_by_operator = False
        self.late: set[str] = set()
        self.boots: set[str] = set()
        self.expected = 0

    @property
    def state(self) -> State:
        """The state as recorded; stages of the plan that are due but not recorded do not count."""
        if self.end is not None:
            return "ended"
        if not self.schedule.has_started:
            return "waiting"
        return "paused" if self.schedule.is_paused else "running"

    @property
    def is_advancing(self) -> bool:
        """Whether the run proceeds by itself: it is running, or in a planned pause, which ends by itself."""
        return self.state == "running" or (self.state == "paused" and self.progress.is_running)

    @property
    def is_halted(self) -> bool:
        """Whether the run is paused until an operator, or the next server, resumes it."""
        return self.state == "paused" and not self.progress.is_running

    def apply(self, entry: ledger.Entry) -> None:
        """Update the state with the next entry."""
        match entry:
            case ledger.PaceEntry():
                self._apply_rate(entry)
            case ledger.SubscribeEntry():
                self._apply_subscription(entry)
            case ledger.SentEntry():
                self.clients.setdefault(entry.client, RecordedClient()).may_be_sent(entry.fence, entry.through)
            case ledger.ReceiptEntry():
                self.clients.setdefault(entry.client, RecordedClient()).add_receipt(entry)
            case ledger.LeaveEntry() if entry.client in self.clients:
                client = self.clients[entry.client]
                client.end_sending(entry.fence, entry.sent)
                # The end of an older subscription does not concern the one that superseded it.
                if entry.fence == client.fence:
                    client.leave_cause = entry.cause
            case ledger.ControlEntry():
                self._apply_control(entry)
            case ledger.EndEntry():
                self.end = entry
            case ledger.LateEntry() | ledger.ExpectEntry():
                self._apply_count(entry)
            case _:
                pass

    def _apply_count(self, entry: ledger.LateEntry | ledger.ExpectEntry) -> None:
        if isinstance(entry, ledger.ExpectEntry):
            self.expected = entry.clients
        else:
            self.late.add(entry.client)

    def add_progress(self, name: str, fence: int, sent: int, receipted: int) -> None:
        """Add how far another server has served a client.

        Args:
            name: of the client.
            fence: of the subscription.
            sent: the last seq that it may have been sent; 0 for not known.
            receipted: the last seq that a receipt covers; 0 for not known.
        """
        client = self.clients.setdefault(name, RecordedClient())
        if sent:
            client.may_be_sent(fence, sent)
        client.receipted = max(client.receipted, receipted)

    def _apply_rate(self, entry: ledger.PaceEntry) -> None:
        self.schedule.add(RateSegment(entry.first, entry.due_us, entry.rate))
        self.progress.apply(entry)
        self.rate = self.rate if entry.rate is None else entry.rate

    def _apply_control(self, entry: ledger.ControlEntry) -> None:
        if entry.request in ("pause", "resume"):
            self.is_paused_by_operator = entry.request == "pause"
        elif entry.request == "rate":
            self.rate = entry.value
            self.progress.end()

    def _apply_subscription(self, entry: ledger.SubscribeEntry) -> None:
        self.fence = max(self.fence, entry.fence)
        if entry.observe:
            return
        client = self.clients.setdefault(entry.client, RecordedClient())
        client.begin_sending(entry.fence, entry.first)
        # A server never grants a longer instance, so none will be compared with it; do not keep it in memory.
        instance = entry.instance if len(entry.instance) <= _MAX_INSTANCE_LENGTH else ""
        if entry.fence < client.fence:
            # Read out of order: this subscription is older than the one that holds the name.
            client.add_former_instance(instance, client.instance)
            return
        client.add_former_instance(client.instance, instance)
        client.fence, client.session, client.leave_cause = entry.fence, entry.session, None
        client.instance = instance

    @property
    def can_be_continued(self) -> bool:
        """Whether a server can continue the run: every record has a segment, and the fence can still rise."""
        # A damaged or forged fence near the limit would leave no numbers for later subscriptions.
        return self.schedule.is_complete and self.fence < MAX_INTEGER // 2

    def incomplete_clients(self) -> list[str]:
        """Return the clients that have not receipted the last seq and have not left with `bye`."""
        return [
            name
            for name, client in self.clients.items()
            if client.receipted < self.total and client.leave_cause != "bye"
        ]

    def is_complete(self) -> bool:
        """Return whether at least one client has receipted everything and no other is incomplete."""
        return any(client.receipted >= self.total for client in self.clients.values()) and not self.incomplete_clients()
