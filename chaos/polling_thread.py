"""A background thread that calls a function at an interval, for as long as a ``with`` block lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class PollingThread:
    """Calls ``poll`` every ``interval_s`` seconds inside a ``with`` block, for the first time after one interval."""

    def __init__(self, poll: Callable[[], object], interval_s: float) -> None:
        self._poll, self._interval_s = poll, interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._poll()
