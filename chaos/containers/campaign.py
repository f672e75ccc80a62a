"""Plays games of faults side by side, each on a stack of its own, and holds what is left on disk to the feed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from chaos.containers.container_lookup import COLLECTOR, SERVER, clients_of
from chaos.containers.injector import Lanes
from chaos.containers.invariants import Held, assert_all_held, held
from chaos.containers.ledger_follower import Follower
from chaos.containers.memory import Memory
from chaos.containers.plan import Game
from chaos.tally import Tally
from services.contract.summary import Summary
from tests.integration.stack import UP_SECONDS, Stack
from tests.poll import poll_until

SETTINGS = {"BLOCK_SIZES": "5,10,25", "BLOCK_SECONDS": 0.5, "GRACE_SECONDS": 20, "SEND_SECONDS": 5}
"""Small blocks, so that filling one does not count as recovery."""
DRAIN = """
from websockets.sync.client import connect
from services.contract import wire
with connect("ws://127.0.0.1:8765", subprotocols=[wire.SUBPROTOCOL], compression=None) as server:
    server.send(wire.encode(wire.Control(set={"rate": 0})).decode())
    while wire.decode_from_server(server.recv(decode=False))[0].__class__ is not wire.Controlled:
        pass
"""
"""What is left of the run is played flat out once the last fault is healed."""
GAME_SECONDS = 540.0
"""A machine that is too slow for all faults is told so, and what it did until then is held to the feed."""
COLLECTOR_MIB = 64.0
GROWTH_MIB = 16.0

_ups = threading.Lock()


@dataclass(frozen=True)
class Outcome:
    """What became of one game: what the logs hold, and how much memory server and collector took."""

    game: Game
    stack: Stack
    held: Held
    said: str
    seconds: float
    server_mib: float
    growth_mib: float
    collector_mib: float

    @property
    def names(self) -> list[str]:
        """The clients that were there from the beginning."""
        return [str(place) for place in clients_of(self.game.clients)]

    def assert_held(self) -> Summary:
        """Hold it to everything: disk, both sides of the books, summary, memory."""
        found = assert_all_held(self.stack.volumes, self.game.records, self.names)
        assert self.collector_mib <= COLLECTOR_MIB
        assert self.growth_mib <= GROWTH_MIB
        return found


def play_all(games: Sequence[Game], folder: Path, seed: int, tally: Tally) -> list[Outcome]:
    """Play games at the same time; note in the tally what was injected and what the logs hold."""
    together = Together(threading.Barrier(len(games), timeout=UP_SECONDS), threading.Event())
    with ThreadPoolExecutor(len(games)) as pool, limited(together.over):
        started = [pool.submit(together.play, game, folder / game.name, seed, tally) for game in games]
    outcomes = [future.result() for future in sorted(started, key=lambda one: isinstance(one.exception(), Elsewhere))]
    for outcome in outcomes:
        found = outcome.held
        tally.held(found.checked, lost=found.lost, duplicated=found.duplicated, undetected=found.undetected)
    return outcomes


@contextlib.contextmanager
def limited(over: threading.Event) -> Iterator[None]:
    """Let no turn be begun after ``GAME_SECONDS``."""
    timer = threading.Timer(GAME_SECONDS, over.set)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Elsewhere(Exception):
    """Another stack did not come up."""


@dataclass(frozen=True)
class Together:
    """Stacks that begin when all are up, and end when one has failed or the time is over."""

    up: threading.Barrier
    over: threading.Event

    def play(self, game: Game, folder: Path, seed: int, tally: Tally) -> Outcome:
        """Play one game from up to down; return what became of it."""
        try:
            return self._play(game, folder, seed, tally)
        except threading.BrokenBarrierError as broken:
            raise Elsewhere from broken
        except BaseException:
            self.over.set()
            self.up.abort()
            raise

    def _play(self, game: Game, folder: Path, seed: int, tally: Tally) -> Outcome:
        folder.mkdir(parents=True)
        began = time.monotonic()
        settings = {"RATE": game.rate, "RECORDS": game.records, "CLIENTS": game.clients, **SETTINGS}
        with Stack(folder, **settings) as stack, Follower(stack.volumes, game.records) as follower:
            with _ups:  # each would build the same images
                stack.up(clients=game.clients)
            names = [str(place) for place in clients_of(game.clients)]
            poll_until(lambda: all(map(follower.receipted, names)), "all clients have receipted something", 60)
            lanes = Lanes(stack, game, seed, follower, tally, self.over)
            self.up.wait()
            with Memory(lanes.containers) as memory:
                for place in (SERVER, COLLECTOR):
                    lanes.containers.init(place)
                lanes.play()
            stack.exec("server", "python", "-c", DRAIN)
            _, said = stack.wait(timeout=180)
            return Outcome(
                game=game,
                stack=stack,
                held=held(stack.volumes, game.records, names),
                said=said,
                seconds=time.monotonic() - began,
                server_mib=memory.most_mib(SERVER),
                growth_mib=memory.growth_mib(SERVER),
                collector_mib=memory.most_mib(COLLECTOR),
            )
