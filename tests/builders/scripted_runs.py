"""Writes the ledger and the block logs of one small run as its processes would: the same bytes every time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from services.contract import block_text, blocklog, ledger
from services.contract.jsonl import FIRST
from services.contract.scalars import Span, utc_text, utc_us
from services.contract.wire import due_us
from tests.builders.runs import Writer

RUN = "20261122T073000Z"
SERVER = "5e7f00d1c0de"
BOOT = "049380bc-8f0a-4ef7-b2f5-5f490d9426cb"
STEP_US = 1000
"""Most events are a millisecond apart."""

Files = dict[str, list[bytes]]
"""The lines of every file, by its path in the volumes folder."""
Changes = dict[str, Any]
"""Fields of a line that differ from the default."""
Feed = Callable[[int], bytes]

_NAMES = ("Ada", "Björn", "Chloé", "Dániel", "Eva", "Frédéric", "Gül")


def record(seq: int) -> bytes:
    """Return the record of a seq."""
    return b'{"id":%d,"name":"%b"}' % (seq, _NAMES[seq % len(_NAMES)].encode())


class Books:
    """One run: times are milliseconds from its opening, the first record is due after ``start`` of them."""

    def __init__(
        self, total: int = 6, *, clients: int = 1, rate: float = 100, run: str = RUN, plan: str | None = None,
        start: int | None = 1000, feed: Feed = record,
    ) -> None:  # fmt: skip
        self.run, self.total, self.rate, self.feed = run, total, rate, feed
        self.opened_us = utc_us(f"{run[:4]}-{run[4:6]}-{run[6:11]}:{run[11:13]}:{run[13:15]}Z")
        self.fence = 0
        self._clients, self._plan = clients, plan
        self._paces: list[tuple[int, int, float | None]] = []
        self._servers: list[tuple[int, str]] = []
        self._entries: list[tuple[int, ledger.Entry]] = []
        self._tails: dict[str, bytes] = {}
        self.sessions: list[Session] = []
        self.serve(0)
        if start is not None:
            self.pace(1, start, rate, at=start - 20, stage=1 if plan else None)

    def at_us(self, ms: float) -> int:
        """Return a timestamp of the run in epoch microseconds."""
        return self.opened_us + round(ms * 1000)

    def text(self, ms: float) -> str:
        """Return a timestamp of the run in the format of a line."""
        return utc_text(self.at_us(ms))

    def enter(self, ms: float, entry: ledger.Entry) -> None:
        """Append a line to the ledger of the server that runs at this time; set its ``at``."""
        self._entries.append((self.at_us(ms), msgspec.structs.replace(entry, at=self.text(ms))))

    def serve(self, ms: int, instance: str = SERVER) -> None:
        """Begin the ledger of a server process."""
        self._servers.append((self.at_us(ms), instance))
        opening = ledger.OpenEntry(
            at="", run=self.run, instance=instance, boot=BOOT, software="example/1", feed="example-42", seed=42,
            schema="example", locale="en_US", faker="40.54.0", pool=7, total=self.total, rate=self.rate,
            clients=self._clients, plan=self._plan,
        )  # fmt: skip
        self.enter(ms, opening)

    def crash(self, tail: bytes = b"") -> None:
        """End the newest ledger in the middle of a line, as when its server crashes."""
        self._tails[self._servers[-1][1]] = tail

    def pace(
        self, first: int, ms: int, rate: float | None, *, at: float | None = None, stage: int | None = None
    ) -> None:
        """Begin a schedule, or a pause."""
        self._paces.append((first, self.at_us(ms), rate))
        entry = ledger.PaceEntry(at="", first=first, due_us=self.at_us(ms), rate=rate, stage=stage)
        self.enter(ms if at is None else at, entry)

    def control(self, ms: float, wish: str, **fields: Any) -> None:
        """Write an operator's request to the ledger."""
        self.enter(ms, ledger.ControlEntry(at="", request=wish, peer="127.0.0.1", via="console", **fields))

    def due_us(self, seq: int) -> int:
        """Return when a record is due; without a schedule this is when it is sent."""
        first, since_us, rate = [pace for pace in self._paces if pace[0] <= seq and pace[2] is not None][-1]
        return due_us(since_us, seq - first, rate) if rate else since_us + (seq - first) * STEP_US

    def end(self, ms: float | None = None, **changes: Any) -> None:
        """End the run, by default shortly after its last record was due."""
        entry = ledger.EndEntry(
            at="", last=self.total, count=self.total, reason="complete",
            late_p99_ns=800_000 if self.rate else None, late_max_ns=900_000 if self.rate else None,
        )  # fmt: skip
        last_ms = (self.due_us(self.total) - self.opened_us) / 1000
        self.enter(last_ms + 20 if ms is None else ms, msgspec.structs.replace(entry, **changes))

    def files(self) -> Files:
        """Return the files of the run."""
        made: Files = {}
        for (since_us, instance), until_us in zip(
            self._servers, [*(at_us for at_us, _ in self._servers[1:]), 2**60], strict=True
        ):
            writer = Writer(ledger.codec)
            for _, entry in sorted(
                (one for one in self._entries if since_us <= one[0] < until_us), key=lambda one: one[0]
            ):
                writer.put(entry)
            tail = self._tails.get(instance)
            made[f"ledger/{self.run}/{instance}.jsonl"] = [*writer.lines, *([tail] if tail else [])]
        for session in self.sessions:
            made.update(session.files)
        return made


class Session:
    """What one client process receives, logs in blocks and receipts, from its subscription on."""

    def __init__(
        self, books: Books, client: str = "client-1", number: int = 1, *, after: int = 0, size: int = 2,
        at: float | None = None, later_us: int = 0, offset_us: int = 0, error_us: int = 0,
        through: int | None = None, torn: Sequence[blocklog.Torn] = (),
    ) -> None:  # fmt: skip
        self.books, self.client, self.number, self.size = books, client, number, size
        self.files: Files = {}
        self.later_us, self._offset_us, self._error_us = later_us, offset_us, error_us
        self._own_boot = bool(offset_us or error_us)
        self.after = self._highest = after
        self._opened_at, self._torn = 0.0, list(torn)
        self._block, self._segment, self._prev, self._ended_us = 0, 0, FIRST, 0
        self._lines: list[bytes] = []
        books.sessions.append(self)
        self.subscribe(200 + 10 * books.fence if at is None else at, after, through)
        self._begin()

    def subscribe(self, ms: float, after: int, through: int | None = None) -> None:
        """Enter the subscription, and the records that may be sent, by default all, into the ledger."""
        books = self.books
        books.fence += 1
        self.fence, self._opened_at = books.fence, ms
        entry = ledger.SubscribeEntry(
            at="", client=self.client, session=self.number, instance=f"{self.client}.{self.number}", fence=self.fence,
            first=after + 1, block_size=self.size,
        )  # fmt: skip
        books.enter(ms, entry)
        through = books.total if through is None else through
        books.enter(max(ms, 981), ledger.SentEntry(at="", client=self.client, fence=self.fence, through=through))

    def _begin(self) -> None:
        self._segment += 1
        self._lines = self.files[
            f"logs/{self.books.run}/{self.client}/{blocklog.file_name(self.number, self._segment)}"
        ] = []
        opening = blocklog.OpenLine(
            run=self.books.run, client=self.client, session=self.number, segment=self._segment,
            instance=f"{self.client}.{self.number}", fence=self.fence, block_size=self.size, fsync="block",
            after=self.after, boot="c0ffee00" if self._own_boot else BOOT, host="example", software="example/1",
            opened_at=self.books.text(self._opened_at + 1), torn=self._torn,
        )  # fmt: skip
        self._torn = []
        self._put(opening)

    def _put(self, entry: blocklog.LogLine) -> None:
        line, self._prev = blocklog.codec.encode(entry, self._prev)
        self._lines.append(line)

    def receive(self, *seqs: int, receipted: bool = True, receipt: Changes | None = None, **changes: Any) -> None:
        """Log a block of these records, in the order received, and receipt it; fields of both may be changed."""
        block = msgspec.structs.replace(self._made(seqs), **changes)
        self._block, self._highest = block.block, max(self._highest, block.last)
        self._put(block)
        if receipted:
            entry = ledger.ReceiptEntry(
                at="", client=self.client, session=self.number, fence=self.fence, block=block.block, first=block.first,
                last=block.last, count=block.count, missing=block.missing, digest=block.digest, match=True,
            )  # fmt: skip
            ms = (self._ended_us - self.books.opened_us) / 1000 + 2
            self.books.enter(ms, msgspec.structs.replace(entry, **(receipt or {})))

    def receive_all(self, first: int, last: int) -> None:
        """Log and receipt blocks of this client's size, until nothing is left."""
        for start in range(first, last + 1, self.size):
            seqs = range(start, min(start + self.size, last + 1))
            self.receive(*seqs, closed_by="count" if len(seqs) == self.size else "end")

    def _made(self, seqs: Sequence[int]) -> blocklog.Block:
        messages = [self._message(seq, max(seqs[: place + 1])) for place, seq in enumerate(seqs)]
        arrived = [self._arrived_us(max(seqs[: place + 1])) for place, _ in enumerate(seqs)]
        first, last = min(seqs), max(seqs)
        idle_us = arrived[0] - self._ended_us if self._block else 0
        self._ended_us = arrived[-1]
        return blocklog.Block(
            run=self.books.run, client=self.client, session=self.number, block=self._block + 1, first=first, last=last,
            count=len(seqs), missing=spans(set(range(min(first, self._highest + 1), last + 1)) - set(seqs)),
            closed_by="count", started_at=utc_text(arrived[0]), ended_at=utc_text(arrived[-1]),
            duration_ns=(arrived[-1] - arrived[0]) * 1000, idle_ns=idle_us * 1000, clock_offset_us=self._offset_us,
            clock_error_us=self._error_us, digest=block_text.block_digest(messages), messages=messages,
        )  # fmt: skip

    def _arrived_us(self, seq: int) -> int:
        """Return when a record arrives by this client's clock."""
        return self.books.due_us(seq) + 1500 + 40 * (seq % 5) + self.later_us - self._offset_us

    def _message(self, seq: int, with_seq: int) -> blocklog.OwnMessage:
        # One that is out of order arrives with the one before it in the block.
        arrived_us = self._arrived_us(with_seq)
        late_us = arrived_us + self._offset_us - self.books.due_us(seq)
        sent_us = late_us if not self.books.rate else late_us - 700
        record = msgspec.Raw(self.books.feed(seq))
        return blocklog.OwnMessage(seq, utc_text(arrived_us), late_us * 1000, sent_us * 1000, record)

    def rotate(self, reason: blocklog.FileEndReason = "rotated") -> None:
        """Close the file and continue in the next one."""
        self.end(reason)
        self._begin()

    def end(self, reason: blocklog.FileEndReason = "finished", **changes: Any) -> None:
        """End the file with its ``end`` line."""
        text = b"".join(self._lines)
        blocks = [entry for _, entry in map(blocklog.codec.decode, self._lines) if isinstance(entry, blocklog.Block)]
        entry = blocklog.EndLine(
            reason=reason, block_count=len(blocks), message_count=sum(block.count for block in blocks),
            byte_count=len(text), sha256=hashlib.sha256(text).hexdigest(),
        )  # fmt: skip
        self._put(msgspec.structs.replace(entry, **changes))

    def leave(self, ms: float, cause: ledger.Cause, sent: int | None = None) -> None:
        """Record in the ledger that this subscription has ended."""
        sent = self._highest if sent is None else sent
        entry = ledger.LeaveEntry(
            at="", client=self.client, fence=self.fence, sent=sent, receipted=self._highest, cause=cause
        )
        self.books.enter(ms, entry)


def spans(seqs: Iterable[int]) -> list[Span]:
    """Return seqs as inclusive ranges in ascending order."""
    found: list[Span] = []
    for seq in sorted(seqs):
        if found and found[-1][1] == seq - 1:
            found[-1] = (found[-1][0], seq)
        else:
            found.append((seq, seq))
    return found
