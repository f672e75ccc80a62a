"""How the garbage collector is kept from holding everybody up: what has stayed once is not looked at again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def settled() -> Iterator[None]:
    """Have full collections pass over what is here now, and all that earlier ones found in use, until the block ends.

    With 5,000 connections a full collection takes half a second, in which nobody is sent anything; they come again and
    again as connections do. What is passed over is freed all the same as soon as nothing refers to it, and a connection
    that is over leaves nothing behind that only a collection would find.
    """
    gc.callbacks.append(_freeze)
    gc.freeze()
    try:
        yield
    finally:
        gc.callbacks.remove(_freeze)
        gc.unfreeze()


def look_at_all() -> None:
    """Collect whatever there is, once, when nothing is due."""
    gc.unfreeze()
    gc.collect()


def _freeze(phase: str, facts: dict[str, int]) -> None:
    if phase == "stop" and facts["generation"] == 2:
        gc.freeze()
