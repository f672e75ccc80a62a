"""Tests of how the garbage collector is kept short."""

from __future__ import annotations

import gc

from services.runtime import eventloop


class Ring:
    """Something that refers to itself."""

    gone = 0

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        Ring.gone += 1


def test_what_has_stayed_is_passed_over() -> None:
    """What a full collection found in use is not looked at by the next ones, until all is looked at."""
    Ring.gone = 0
    with eventloop.settled():
        rings = [Ring()]
        gc.collect()
        rings.clear()
        gc.collect()
        assert 0 == Ring.gone

        eventloop.look_at_all()
        assert 1 == Ring.gone


def test_what_is_new_is_collected() -> None:
    """What has become garbage before a full collection is found by it."""
    Ring.gone = 0
    with eventloop.settled():
        gc.collect()
        Ring()
        gc.collect()

        assert 1 == Ring.gone


def test_the_end_leaves_the_collector_as_it_was() -> None:
    """After the block full collections look at everything again."""
    before = gc.callbacks[:]
    with eventloop.settled():
        gc.collect()
        assert 0 < gc.get_freeze_count()

    assert (0, before) == (gc.get_freeze_count(), gc.callbacks)
