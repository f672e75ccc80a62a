"""Sends the rest of a run at another rate, once the faults of a test are over, by a control request from loopback."""

from __future__ import annotations

from tests.integration.stack import Stack

_SET_RATE = """
import asyncio, json, sys, websockets

async def main():
    async with websockets.connect("ws://127.0.0.1:8765", proxy=None) as peer:
        await peer.send(json.dumps({"type": "control", "set": {"rate": int(sys.argv[1])}}))
        while json.loads((await peer.recv()).split("\\n")[0])["type"] != "controlled":
            pass

asyncio.run(main())
"""


def set_rate(stack: Stack, rate: int) -> None:
    """Set the rate of the rest of the run, in records per second."""
    stack.exec("server", "python", "-c", _SET_RATE, str(rate))
