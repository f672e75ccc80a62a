"""Has what is left of a run played fast, once all rounds of a test are over: by an operator's wish, from loopback."""

from __future__ import annotations

from tests.integration.stack import Stack

_ASK = """
import asyncio, json, sys, websockets

async def main():
    async with websockets.connect("ws://127.0.0.1:8765", proxy=None) as peer:
        await peer.send(json.dumps({"type": "control", "set": {"rate": int(sys.argv[1])}}))
        while json.loads((await peer.recv()).split("\\n")[0])["type"] != "controlled":
            pass

asyncio.run(main())
"""


def hurry(stack: Stack, rate: int) -> None:
    """Let the rest of the run come at ``rate`` records per second."""
    stack.exec("server", "python", "-c", _ASK, str(rate))
