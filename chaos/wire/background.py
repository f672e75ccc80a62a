"""An event loop in a thread of its own, so that a test that waits does not stop the proxy it waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Value = TypeVar("Value")


class Background:
    """A running loop; whatever touches what lives in it goes through `run` or `call`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Value], timeout: float = 10.0) -> Value:
        """Run a coroutine to its end, and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def call(self, fn: Callable[[], Value]) -> Value:
        """Call a function in the loop, between two of its steps."""

        async def called() -> Value:
            return fn()

        return self.run(called())

    def close(self) -> None:
        """Cancel what still runs, and end the loop."""

        async def cancelled() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(cancelled())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
