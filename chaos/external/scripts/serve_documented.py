"""A server of `chaos.external.documented`: ``python serve_documented.py PRESET PORT CLIENTS COUNT RATE``."""

from __future__ import annotations

import asyncio
import sys

from chaos.external.documented.dialogue import play
from chaos.external.documented.gateways import GATEWAYS
from chaos.external.documented.market_data import MARKET_DATA
from chaos.external.documented.protocols import PROTOCOLS

if __name__ == "__main__":
    dialogue = {**PROTOCOLS, **MARKET_DATA, **GATEWAYS}[sys.argv[1]]
    asyncio.run(play(dialogue, *map(int, sys.argv[2:6])))
