"""An event loop in its own thread, so that a blocking test does not block the proxy that it uses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Value = TypeVar("Value")


class Background:
    """A running event loop; access its objects only through `run` and `call`, since they are not thread-safe."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Value], timeout: float = 10.0) -> Value:
        """Run a coroutine in the loop, and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def call(self, fn: Callable[[], Value]) -> Value:
        """Call a function in the loop, and return its result."""

        async def call_it() -> Value:
            return fn()

        return self.run(call_it())

    def close(self) -> None:
        """Cancel all tasks, and stop the loop."""

        async def cancel_all() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
