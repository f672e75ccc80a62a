"""Decisions and ledgers through one stream of NATS JetStream, for servers that have no common folder.

Subjects, below the name of the stream: ``run`` (names of new runs), ``decided.<run>``, ``ledger.<run>.<instance>``
(pieces of ledgers, with their offset), and, without being stored, ``alive.<run>.<instance>``.

A run and a decision are published with the sequence of the last message under their subject, so that of several servers
one succeeds. JetStream carries copies only: the evidence is what each server has on its own disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from services.contract.scalars import is_run, run_order
from services.runtime.errors import UnusableStream
from services.runtime.volumes import run_name, run_names
from services.server.jetstream.client import EXPECTED, JetStreamClient, OutdatedSequence, StreamMessage
from services.server.jetstream.ledger_copies import LedgerCopies
from services.server.jetstream.ledger_shipper import OFFSET, LedgerShipper
from services.server.jetstream.stream_decisions import StreamDecisions

log = logging.getLogger(__name__)

LEAD_US = 2_000_000
"""With other servers, a rate begins this long after it was decided. A read that hits a lost node takes 0.4 s, and the
connection to another node as long again."""
POLL_SECONDS = 0.05
"""Interval between two reads, as between two looks at a common folder."""
CLAIM_ANSWER_SECONDS = 2.5
OPENED_SECONDS = 10.0
"""A server that has claimed a run has this long to open it."""
CLAIM_SECONDS = 30.0
"""How long a start tries to claim a run; a new stream needs some seconds to elect a leader."""
_CATCH_UP_SECONDS = 60.0
_RETRY_SECONDS = 0.2
_INSTANCE = "Streamgauge-Instance"


class RunClaim(NamedTuple):
    """The message by which a server claims a new run.

    Attributes:
        seq: of the message.
        run: name of the run.
        instance: the server process.
        read_at: when it was read, monotonic seconds.
    """

    seq: int
    run: str
    instance: str
    read_at: float


class JetStreamExchange:
    """The exchange of one server process. See `services.server.runs.exchange`.

    Args:
        client: not started yet.
        root: folder of the ledgers.
        instance: this server process.
    """

    lead_us = LEAD_US

    def __init__(self, client: JetStreamClient, root: Path, instance: str) -> None:
        self.client, self.root, self.instance = client, root, instance
        self.prefix = client.address.stream
        self._copies = LedgerCopies(root, instance)
        self._decided: defaultdict[str, list[tuple[int, bytes]]] = defaultdict(list)
        self._claims: list[RunClaim] = []
        self._last_claim = self._settled = 0
        self._next, self._is_current = 1, False
        self._progress = threading.Condition()
        self._shippers: list[LedgerShipper] = []

    def start(self) -> None:
        """Connect, and copy what other servers have written about the newest run. Blocks for up to a minute.

        Raises:
            UnusableStream: there is no server, or the stream cannot be made or read.
        """
        self.client.start()
        why, replicas = "it could not be read within a minute", 0
        try:
            subjects = [f"{self.prefix}.run", f"{self.prefix}.decided.*", f"{self.prefix}.ledger.*.*"]
            replicas = self.client.run(self.client.ensure_stream(subjects), 15)
            self.client.run(self.client.listen(f"{self.prefix}.alive.*.*", self._note_alive), 5)
            self._next = self.client.run(self._newest_claim(), _CATCH_UP_SECONDS)
            self.client.begin(self._follow())
            with self._progress:
                is_current = self._progress.wait_for(lambda: self._is_current, _CATCH_UP_SECONDS)
        except (OSError, TimeoutError) as problem:
            is_current, why = False, str(problem) or why
        if not is_current:
            self.client.close()
            fix = "check that the servers are one cluster, and that JetStream is on"
            raise UnusableStream("LEDGER", self.client.address.shown, why, fix)
        self._ship_remains()
        log.info("ledgers are exchanged", extra={"stream": self.prefix, "replicas": replicas})

    async def _newest_claim(self) -> int:
        """Return the sequence of the message that names the newest run; 1 without one. Nothing before it matters."""
        while True:
            try:
                return max(await self.client.last_sequence(f"{self.prefix}.run"), 1)
            except OSError as problem:
                # A new stream has no leader for some seconds.
                log.info("stream not readable yet", extra={"why": str(problem)})
                await asyncio.sleep(_RETRY_SECONDS)

    def _ship_remains(self) -> None:
        """Send what the newest run's ledgers have and the stream lacks, after a crash of the server that wrote them."""
        newest = self.newest_run()
        for path in (self.root / newest).glob("*.jsonl") if newest else ():
            size = path.read_bytes().rfind(b"\n") + 1
            sent = self._copies.sizes.get((newest, path.stem), 0)
            if size > sent:
                shipper = LedgerShipper(self.client, self.prefix, newest, path, sent)
                self._shippers.append(shipper)
                shipper.synced(size)

    def newest_run(self) -> str:
        """Return the newest run that a server has claimed; empty without one."""
        return max((claim.run for claim in self._claims), key=run_order, default="")

    # ------------------------------------------------------------------------------------- reading the stream

    async def _follow(self) -> None:
        while True:
            messages = await self.client.read(self._next)
            for message in messages or ():
                if not self._add(message):
                    # Read again, from this message on.
                    await asyncio.sleep(_RETRY_SECONDS)
                    messages = None
                    break
                self._next = message.seq + 1
            if messages is not None:
                with self._progress:
                    self._is_current |= not messages or messages[-1].pending == 0
                    self._progress.notify_all()
            if not messages or messages[-1].pending == 0:
                await asyncio.sleep(POLL_SECONDS)

    def _add(self, message: StreamMessage) -> bool:
        """Add a message; return False if the disk refuses it."""
        try:
            match message.subject.removeprefix(f"{self.prefix}.").split("."):
                case ["run"]:
                    self._add_claim(message)
                case ["decided", run] if is_run(run):
                    self._decided[run].append((message.seq, message.data))
                case ["ledger", run, instance]:
                    offset = message.headers.get(OFFSET, "")
                    place = int(offset) if re.fullmatch(r"[0-9]{1,15}", offset) else -1
                    self._copies.add(run, instance, place, message.data, message.at_us)
        except OSError as problem:
            log.warning("copy of a ledger not written, trying again", extra={"why": str(problem)})
            return False
        return True

    def _add_claim(self, message: StreamMessage) -> None:
        self._last_claim, run = message.seq, message.data.decode(errors="replace")
        if is_run(run):
            (self.root / run).mkdir(parents=True, exist_ok=True)
            instance = message.headers.get(_INSTANCE, "")
            self._claims.append(RunClaim(message.seq, run, instance, time.monotonic()))

    def _note_alive(self, subject: str) -> None:
        run, instance = subject.split(".")[-2:]
        self._copies.touch(run, instance)

    def await_read(self, seconds: float) -> None:
        """Wait until a read that begins now has ended, or the time is over."""
        with self._progress:
            # The read that is under way may have begun before the message that is awaited.
            for _ in range(2):
                self._progress.wait(seconds)

    # ------------------------------------------------------------------------------- see runs.exchange.LedgerExchange

    def settle(self, is_stopped: Callable[[], bool]) -> None:
        """Return once the newest run that a server has claimed has a ledger, or that server has had its time."""
        while not is_stopped():
            claims = list(self._claims)
            is_open = not claims or any((self.root / claims[-1].run).glob("*.jsonl"))
            if is_open or time.monotonic() - claims[-1].read_at > OPENED_SECONDS:
                self._settled = len(claims)
                return
            time.sleep(POLL_SECONDS)

    def claim_run(self, now_us: int) -> str | None:
        """Claim a new run, make its folder and return its name; None if another server has claimed one."""
        if len(self._claims) > self._settled:
            # Read after the caller has looked for a run to join.
            return None
        name = next(name for name in run_names(run_name(now_us)) if not (self.root / name).exists())
        until, before = time.monotonic() + CLAIM_SECONDS, len(self._claims)
        # A claim without an answer may have succeeded: then it is read, and no other one can succeed in its place.
        while len(self._claims) == before:
            try:
                self.client.run(self._publish_claim(name), CLAIM_ANSWER_SECONDS)
                break
            except OutdatedSequence:
                self.await_read(1.0)
                self._forget_removed_claims()
            except (OSError, TimeoutError) as problem:
                if time.monotonic() > until:
                    fix = "check that a majority of the NATS servers runs"
                    raise UnusableStream("LEDGER", self.client.address.shown, str(problem), fix) from None
                time.sleep(_RETRY_SECONDS)
        else:
            if self._claims[before].instance != self.instance:
                return None
        (self.root / name).mkdir(parents=True, exist_ok=True)
        return name

    async def _publish_claim(self, run: str) -> None:
        headers = {EXPECTED: str(self._last_claim), _INSTANCE: self.instance}
        await self.client.publish(f"{self.prefix}.run", run.encode(), headers)

    def _forget_removed_claims(self) -> None:
        """Note the last claim that the stream still has: it may remove old messages."""
        with contextlib.suppress(OSError, TimeoutError):
            last = self.client.run(self.client.last_sequence(f"{self.prefix}.run"), CLAIM_ANSWER_SECONDS)
            # A later one is noted when it is read.
            self._last_claim = min(last, self._last_claim)

    def announce_run(self, run: str) -> None:
        """Let servers that start later begin with this run."""
        self.client.begin(self._announce_run(run))

    async def _announce_run(self, run: str) -> None:
        # Without this message they begin with an earlier run, and read more.
        with contextlib.suppress(OutdatedSequence, OSError):
            await self._publish_claim(run)

    def decisions(self, run: str) -> StreamDecisions:
        """Return the decisions about a run."""
        return StreamDecisions(self.client, f"{self.prefix}.decided.{run}", self._decided[run], self.await_read)

    def listener(self, run: str) -> LedgerShipper:
        """Return what is to be informed of this server's ledger of a run."""
        path = self.root / run / f"{self.instance}.jsonl"
        shipper = LedgerShipper(self.client, self.prefix, run, path)
        self._shippers.append(shipper)
        return shipper

    def close(self, seconds: float = 3.0) -> None:
        """Send what is left of this server's ledgers, for this long at most, and disconnect."""
        until = time.monotonic() + seconds
        for shipper in self._shippers:
            if not shipper.await_sent(until):
                log.warning("ledger not sent to the other servers", extra={"path": str(shipper.path)})
        self.client.close()
