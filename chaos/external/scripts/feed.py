"""The feed of the Python servers: numbered records at a fixed rate."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator


async def records(count: int, rate: float) -> AsyncIterator[str]:
    """Yield ``count`` records, each when it is due at ``rate`` records per second."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for seq in range(1, count + 1):
        await asyncio.sleep(began + seq / rate - loop.time())
        yield json.dumps({"seq": seq, "ts": time.time_ns() // 1_000_000, "text": f"record {seq}"})
