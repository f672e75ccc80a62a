"""The newest snapshot as server-sent events for any number of listeners, each part encoded once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from time import monotonic, thread_time

import msgspec

from services.collector.cpu_yield import POLICY, CpuPolicy
from services.collector.publish.files.chart_data import chart_data
from services.collector.publish.view_model import Tile, view
from services.collector.publish.web.self_metrics import CollectorEffort
from services.collector.results.run_result import RunDurations
from services.collector.verdict.snapshot import Snapshot

PING_SECONDS = 2.0
"""A listener gets an event at least this often; when several are missing it reconnects."""
CHARTS_SECONDS = 1.0
"""Chart data is most of an event, and charts that change more often are no more useful."""
RETRY_MS = 500
"""The delay after which a browser reconnects."""


class SnapshotBoard:
    """The newest snapshot, and an event that wakes the listeners.

    Args:
        policy: limits the processor time for making events.
        ping_seconds: time between two events when nothing changes.

    Attributes:
        snapshot: the newest snapshot, None before the first run.
        durations: the histograms of its run, if known.
        effort: what the collector has read.
        tiles: what the collector costs.
        version: grows with every snapshot.
        is_closed: the listeners are to be disconnected.
    """

    def __init__(self, policy: CpuPolicy = POLICY, ping_seconds: float = PING_SECONDS) -> None:
        self.snapshot: Snapshot | None = None
        self.durations: RunDurations | None = None
        self.effort: CollectorEffort | None = None
        self.tiles: Sequence[Tile] = ()
        self.version = 0
        self.is_closed = False
        self._policy, self._ping_seconds = policy, ping_seconds
        self._places, self._next_event_at = "", float("-inf")
        self._changed = asyncio.Event()
        self._encoded: dict[str, tuple[int, bytes]] = {}

    def show(self, snapshot: Snapshot | None, places: str = "", durations: RunDurations | None = None) -> None:
        """Show a snapshot; the snapshot that is shown already changes nothing.

        Args:
            snapshot: the newest one, None before the first run.
            places: the line that names the folders of its files.
            durations: the histograms of its run.
        """
        if snapshot is not None and snapshot is not self.snapshot:
            self.snapshot, self.durations, self._places = snapshot, durations, places
            self._wake_listeners()

    def set_effort(self, effort: CollectorEffort, tiles: Sequence[Tile]) -> None:
        """Set what the collector has read and costs; it is sent with the next event."""
        self.effort, self.tiles = effort, tiles

    def close(self) -> None:
        """End all event streams."""
        self.is_closed = True
        self._wake_listeners()

    async def wait_for_change(self, seen_version: int, timeout: float) -> bool:
        """Wait for a version newer than ``seen_version``; return whether there is one."""
        if self.version == seen_version:
            try:
                await asyncio.wait_for(self._changed.wait(), timeout)
            except TimeoutError:
                return False
        return True

    async def events(
        self, now: Callable[[], float] = monotonic, used: Callable[[], float] = thread_time
    ) -> AsyncIterator[bytes]:
        """Yield the events of one listener, the current snapshot first, until the board is closed.

        An unnamed event is an object with ``tool``, and if they changed ``view`` and, at most once a second,
        ``charts``. While nothing changes, an event named ``tool`` shows that the connection is alive. A slow listener
        misses snapshots that were replaced in the meantime.

        Args:
            now: returns monotonic seconds.
            used: returns the processor time of the calling thread, in seconds.
        """
        yield b"retry: %d\n\n" % RETRY_MS
        seen = drawn = -1
        drawn_at = float("-inf")
        while True:
            wait = drawn_at + CHARTS_SECONDS - now() if drawn != self.version else self._ping_seconds
            has_changed = await self.wait_for_change(seen, min(self._ping_seconds, max(0.0, wait)))
            # With hundreds of clients an event takes long to make, so events are made less often.
            await asyncio.sleep(max(0.0, self._next_event_at - now()))
            if self.is_closed:
                return
            seen = self.version
            if self.snapshot is None or (not has_changed and drawn == seen):
                yield b"event: tool\ndata: %b\n\n" % msgspec.json.encode(self.tiles)
                continue
            parts, used_before = [b'"tool":' + msgspec.json.encode(self.tiles)], used()
            if has_changed:
                parts.append(b'"view":' + self._encoded_view(self.snapshot))
            # `drawn` may be older than `seen`: the charts of the last version follow even if no newer one arrives.
            if drawn != seen and now() >= drawn_at + CHARTS_SECONDS:
                parts.append(b'"charts":' + self._encoded_charts(self.snapshot))
                drawn, drawn_at = seen, now()
            pause = self._policy.events.pause(used() - used_before)
            self._next_event_at = max(self._next_event_at, now() + pause)
            yield b"data: {%b}\n\n" % b",".join(parts)

    def _encoded_view(self, snapshot: Snapshot) -> bytes:
        return self._encode_once("view", lambda: msgspec.json.encode(view(snapshot, self._places)))

    def _encoded_charts(self, snapshot: Snapshot) -> bytes:
        return self._encode_once("charts", lambda: msgspec.json.encode(chart_data(snapshot.timeline)))

    def _encode_once(self, part: str, encode: Callable[[], bytes]) -> bytes:
        version, encoded = self._encoded.get(part, (-1, b""))
        if version != self.version:
            encoded = encode()
            self._encoded[part] = (self.version, encoded)
        return encoded

    def _wake_listeners(self) -> None:
        self.version += 1
        # A new event each time, so that a listener that comes later does not find the old one set.
        self._changed.set()
        self._changed = asyncio.Event()
