"""The board that the page's listeners look at: the newest snapshot, put into bytes once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from time import monotonic, thread_time

import msgspec

from services.collector.publish.files.chart_data import drawing
from services.collector.publish.view_model import Tile, view
from services.collector.publish.web.prometheus import CollectorEffort
from services.collector.results.run_durations import RunDurations
from services.collector.verdict.snapshot import Snapshot

PING_SECONDS = 2.0
"""So long a listener hears nothing at most; after a few times that it takes the connection for lost."""
DRAWING_SECONDS = 1.0
"""Charts are the greater part of an event, and nobody sees them change more often."""
SHARE = 10
"""Making events takes at most one part in so many of a processor."""
RETRY_MS = 500


class SnapshotBoard:
    """The newest snapshot, what the collector costs, and a bell for those who wait for news."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.durations: RunDurations | None = None
        self.effort: CollectorEffort | None = None
        self.cost: Sequence[Tile] = ()
        self.closed = False
        self.version = 0
        self._places, self._due_at = "", float("-inf")
        self._bell = asyncio.Event()
        self._made: dict[str, tuple[int, bytes]] = {}

    def show(self, made: Snapshot | None, places: str = "", durations: RunDurations | None = None) -> None:
        """Show a snapshot; the same one again is no news.

        Args:
            made: the newest snapshot, None before the first run.
            places: where its files are.
            durations: what it was measured by.
        """
        if made is not None and made is not self.snapshot:
            self.snapshot, self.durations, self._places = made, durations, places
            self._ring()

    def tell(self, effort: CollectorEffort, cost: Sequence[Tile]) -> None:
        """Take what it took and what it costs; listeners hear of it with the next news, or soon."""
        self.effort, self.cost = effort, cost

    def close(self) -> None:
        """Send the listeners away."""
        self.closed = True
        self._ring()

    async def changed(self, seen: int, timeout: float) -> bool:
        """Wait until there is something newer than version ``seen``; return whether there is."""
        if self.version == seen:
            try:
                await asyncio.wait_for(self._bell.wait(), timeout)
            except TimeoutError:
                return False
        return True

    async def events(
        self, now: Callable[[], float] = monotonic, used: Callable[[], float] = thread_time
    ) -> AsyncIterator[bytes]:
        """Yield the events of one listener, what is shown now first, until the board is closed.

        An event without a name is an object of ``view``, ``tool`` and, once a second at most, ``drawing``; between
        them one named ``tool`` tells that the page lives. Who is slow to read misses what was replaced meanwhile.
        ``used`` is the processor time of the thread that calls, in seconds.
        """
        yield b"retry: %d\n\n" % RETRY_MS
        seen = drawn = -1
        drawn_at = float("-inf")
        while True:
            wait = drawn_at + DRAWING_SECONDS - now() if drawn != self.version else PING_SECONDS
            changed = await self.changed(seen, min(PING_SECONDS, max(0.0, wait)))
            # What takes long to make, with hundreds of clients, is not made as often.
            await asyncio.sleep(max(0.0, self._due_at - now()))
            if self.closed:
                return
            seen = self.version
            if self.snapshot is None or (not changed and drawn == seen):
                yield b"event: tool\ndata: %b\n\n" % msgspec.json.encode(self.cost)
                continue
            parts, began = [b'"tool":' + msgspec.json.encode(self.cost)], used()
            if changed:
                parts.append(b'"view":' + self._view(self.snapshot))
            if drawn != seen and now() >= drawn_at + DRAWING_SECONDS:
                parts.append(b'"drawing":' + self._drawing(self.snapshot))
                drawn, drawn_at = seen, now()
            self._due_at = max(self._due_at, now() + SHARE * (used() - began))
            yield b"data: {%b}\n\n" % b",".join(parts)

    def _view(self, snapshot: Snapshot) -> bytes:
        return self._once("view", lambda: msgspec.json.encode(view(snapshot, self._places)))

    def _drawing(self, snapshot: Snapshot) -> bytes:
        return self._once("drawing", lambda: msgspec.json.encode(drawing(snapshot.timeline)))

    def _once(self, part: str, make: Callable[[], bytes]) -> bytes:
        version, made = self._made.get(part, (-1, b""))
        if version != self.version:
            made = make()
            self._made[part] = (self.version, made)
        return made

    def _ring(self) -> None:
        self.version += 1
        self._bell.set()
        self._bell = asyncio.Event()
