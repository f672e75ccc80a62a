"""The naive client: one python-json-logger call per record, into a standard file handler."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time

from pythonjsonlogger.json import JsonFormatter
from websockets.asyncio.client import connect


async def main() -> None:
    """Log every record until the server closes, and print the time at which the last one was logged."""
    port, path = sys.argv[1:]
    handler = logging.FileHandler(path)
    handler.setFormatter(JsonFormatter())
    log = logging.getLogger("client")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    async with connect(f"ws://127.0.0.1:{port}", compression=None) as feed:
        async for message in feed:
            log.info("received", extra={"record": json.loads(message)})
    print(time.monotonic())


if __name__ == "__main__":
    asyncio.run(main())
