"""An example feed, in place of your own: ticks with a number and a time, the same for every connection.

A client starts it with ``{"op":"subscribe"}``, or continues after a tick with ``{"op":"subscribe","from":42}``.
``RATE`` ticks are due per second; with ``LOSE=100`` every connection lacks one tick in a hundred, each a different one.
"""

import asyncio
import contextlib
import itertools
import json
import os
import time

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

PORT, RATE = int(os.environ.get("PORT") or 9000), float(os.environ.get("RATE") or 50)
LOSE = int(os.environ.get("LOSE") or 0)
BEGAN = time.time()
numbers = itertools.count()


async def ticks(connection: ServerConnection) -> None:
    """Send one connection every tick when it is due, until it is closed."""
    number = next(numbers)
    with contextlib.suppress(ConnectionClosed):
        request = json.loads(await connection.recv())
        for seq in itertools.count(request.get("from", int((time.time() - BEGAN) * RATE) + 1)):
            due = BEGAN + seq / RATE
            await asyncio.sleep(due - time.time())
            if not LOSE or (seq + number) % LOSE:
                await connection.send(json.dumps({"seq": seq, "ts": int(due * 1000), "price": 100 + seq * 7 % 13}))


async def main() -> None:
    """Serve until stopped."""
    async with serve(ticks, "0.0.0.0", PORT) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
