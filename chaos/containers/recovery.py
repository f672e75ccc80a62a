"""How long it takes until what was struck does its work again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaos.containers.active_faults import Board
from chaos.containers.container_lookup import Place
from chaos.containers.ledger_follower import Follower
from tests.poll import poll_until
from tests.readers import Volumes

GONE_SECONDS = 60.0
"""Beyond which a client that no fault concerns counts as gone for good; how long all others take is judged together."""


@dataclass
class Recovery:
    """One client's way back, from the moment at which no fault concerns it any more.

    Attributes:
        seconds: from that moment until it had a receipt for a record that was not due then; None when the next fault
            came first.
    """

    board: Board
    follower: Follower
    client: str
    since: float = 0.0
    seconds: float | None = None

    def over(self) -> bool:
        """Look again; tell whether there is nothing more to wait for.

        Raises:
            AssertionError: it is not back though nothing is in its way.
        """
        now = time.time()
        standing = self.board.standing(self.client)
        if not self.since:
            self.since = 0.0 if standing.struck else standing.ended
            return False
        at = self.follower.fresh(self.client, self.since)
        again = standing.began > self.since
        if at is not None and not (again and at > standing.began):
            self.seconds = round(at - self.since, 3)
            return True
        assert again or now - self.since <= GONE_SECONDS, (
            f"{self.client} is not back {GONE_SECONDS} s after the last fault, {self.since:.3f}: it has receipted "
            f"{self.follower.receipted(self.client)}, due were {self.follower.head(self.since)}"
        )
        return again


def under_way(board: Board, follower: Follower, places: Iterable[Place]) -> bool:
    """Tell whether any of these clients is struck by nothing and yet not back."""
    for name in map(str, places):
        standing = board.standing(name)
        if standing.ended and not standing.struck and follower.fresh(name, standing.ended) is None:
            return True
    return False


def of_client(board: Board, follower: Follower, place: Place, patience: float = 300.0) -> Recovery:
    """Wait until a client is back, or struck again."""
    found = Recovery(board, follower, str(place))
    poll_until(found.over, f"{place} is struck by nothing", patience)
    return found


def of_all(board: Board, follower: Follower, places: Sequence[Place]) -> Recovery | None:
    """Wait until all clients are back that nothing else concerns now; return the slowest one's way."""
    free = [str(place) for place in places if not board.standing(str(place)).struck]
    found = [Recovery(board, follower, name) for name in free]
    waiting = list(found)

    def all_over() -> bool:
        waiting[:] = [one for one in waiting if not one.over()]
        return not waiting

    poll_until(all_over, "all are back", 2 * GONE_SECONDS)
    return max((one for one in found if one.seconds is not None), key=lambda one: one.seconds or 0.0, default=None)


def of_collector(volumes: Volumes, since: float) -> float:
    """Wait until the collector has published again since a time; return how long it took."""
    path = volumes.root / "summary" / volumes.newest() / "summary.json"
    at = poll_until(
        lambda: path.stat().st_mtime if path.exists() and path.stat().st_mtime > since else 0.0,
        "the collector has published again",
        GONE_SECONDS,
    )
    return round(at - since, 3)
