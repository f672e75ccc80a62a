"""Plays a game of faults on a stack: one thread per lane, each injecting, healing and measuring one after the other."""

from __future__ import annotations

import contextlib
import random
import threading
import time

from chaos.containers import recovery
from chaos.containers.active_faults import Board
from chaos.containers.container_lookup import COLLECTOR, SERVER, Containers, Place, clients_of
from chaos.containers.faults import fault
from chaos.containers.ledger_follower import Follower
from chaos.containers.log_excerpt import said
from chaos.containers.plan import Game, Lane, Strike, Turn
from chaos.tally import Tally
from tests.integration.stack import Stack
from tests.poll import poll_until

SLOW_SECONDS = 3.0
"""What takes longer is printed with what the containers said meanwhile."""
POLITE = 0.8
"""So often a lane waits until what it strikes is back from the faults before, so that their recovery can be told."""
LAST_SECONDS = 15.0
"""Records must be due for so long after a fault ends, or its recovery could not be seen."""


class Lanes:
    """One stack's lanes, played until each has taken all its turns, or until ``over`` is set."""

    def __init__(
        self, stack: Stack, game: Game, seed: int, follower: Follower, tally: Tally, over: threading.Event
    ) -> None:
        self.containers, self.board = Containers(stack), Board()
        self._stack, self._game, self._seed, self._follower, self._tally = stack, game, seed, follower, tally
        people = clients_of(game.clients)
        self._locks = {place: threading.Lock() for place in (*people, COLLECTOR, SERVER)}
        self._over = over
        self._problems: list[Exception] = []
        self._began = time.monotonic()

    def play(self) -> None:
        """Inject and heal; returns when all lanes are done.

        Raises:
            Exception: the first of what went wrong in any lane.
        """
        self._began = time.monotonic()
        threads = [threading.Thread(target=self._play, args=(lane,), name=lane.name) for lane in self._game.lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._problems:
            raise self._problems[0]

    def _play(self, lane: Lane) -> None:
        rest = random.Random(f"{self._seed} {self._game.name} {lane.name} rest")
        try:
            for turn in lane.turns:
                if self._over.wait(rest.uniform(*lane.rest)):
                    return
                self._assert_long_enough(turn)
                if rest.random() < POLITE:
                    self._let_recover(turn)
                self._take(turn)
        except Exception as problem:  # noqa: BLE001 - raised where the lanes were started
            problem.add_note(f"in lane {lane.name} of {self._game.name}, {self._elapsed:.1f} s after its start")
            self._problems.append(problem)
            self._over.set()

    def _assert_long_enough(self, turn: Turn) -> None:
        left = self._game.records - self._follower.head(time.time())
        wanted = self._game.rate * (LAST_SECONDS + sum(strike.seconds for strike in turn))
        assert left > wanted, f"the run is too short for this machine: {left} records are left before {turn[0]}"

    def _let_recover(self, turn: Turn) -> None:
        clients = [place for strike in turn for place in self._struck(strike) if place in self._locks]
        poll_until(
            lambda: self._over.is_set() or not recovery.under_way(self.board, self._follower, clients),
            f"{turn[0]} may begin",
            60,
        )

    def _take(self, turn: Turn) -> None:
        with contextlib.ExitStack() as held:
            # Always in the same order, so that no two wait for each other.
            for place in sorted({place for strike in turn for place in strike.places} & set(self._locks)):
                held.enter_context(self._locks[place])
            for strike in turn[:-1]:
                self._measure(*self._strike(strike))
            ended = self._strike(turn[-1])
        self._measure(*ended)

    def _strike(self, strike: Strike) -> tuple[Strike, float, bool]:
        """Inject a fault, let it last, heal it; return it, when it ended (epoch s), and whether others were there."""
        injected = self.board.begin(strike, time.time())
        wound, ended = fault(strike.kind, self.containers, strike.places), 0.0
        try:
            wound.inject()
            # Not to the end when all is over.
            self._over.wait(strike.seconds)
        finally:
            try:
                ended = wound.heal()
            finally:
                self.board.end(injected, ended or time.time())
        return strike, ended, injected.beside

    def _measure(self, strike: Strike, ended: float, beside: bool) -> None:
        took, why = self._recovery(strike, ended)
        place = str(strike.places[0]) if len(strike.places) == 1 else "all"
        self._tally.fault(strike.kind, f"{self._game.name} {place}", took, beside=beside)
        back = "the next came first" if took is None else f"back in {took:.2f} s"
        mark = "+" if beside else " "
        print(f"{self._elapsed:6.1f} s  {self._game.name:8} {mark} {strike}  {back}{why}\n", end="", flush=True)

    def _recovery(self, strike: Strike, ended: float) -> tuple[float | None, str]:
        """Wait until what was struck is back; return after how long, and what its containers said when it was slow."""
        if strike.places == (COLLECTOR,):
            return recovery.of_collector(self._stack.volumes, ended), ""
        if strike.concerns_all:
            found = recovery.of_all(self.board, self._follower, self._struck(strike))
        else:
            found = recovery.of_client(self.board, self._follower, strike.places[0])
        if found is None or found.seconds is None:
            return None, ""
        slow = found.seconds > SLOW_SECONDS
        return found.seconds, self._said(found.client, found.since, found.seconds) if slow else ""

    def _said(self, client: str, since: float, seconds: float) -> str:
        places = (Place("client", int(client.rpartition("-")[2])), SERVER)
        try:
            return "\n" + said(self.containers, places, since - 2.0, since + seconds + 0.5)
        except AssertionError as gone:  # what a container that was replaced said went with it
            return f"\n{gone}"

    def _struck(self, strike: Strike) -> list[Place]:
        # Who joins in mid-run is sent all of it first: that is no recovery.
        usual = clients_of(self._game.clients)
        clients = [place for place in strike.places if place in usual]
        return clients or (list(usual) if strike.concerns_all else [])

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._began
