"""What is injected is decided by the seed alone."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from chaos.containers import plan
from chaos.containers.container_lookup import Place
from chaos.containers.test_faults import FAULTS, OF_EACH_KIND

SEEDS = range(20)


def test_the_seed_decides_what_is_injected() -> None:
    """The same seed gives the same faults at the same places for as long, in every lane; another gives others."""
    assert [plan.full(seed) for seed in SEEDS] == [plan.full(seed) for seed in SEEDS]
    assert len(SEEDS) == len({str(plan.full(seed)) for seed in SEEDS})


def test_every_kind_is_injected_often_enough() -> None:
    """Whatever the seed, a full game has three hundred faults, and of every kind at least ten."""
    for seed in SEEDS:
        counts = Counter(
            strike.kind for game in plan.full(seed) for lane in game.lanes for turn in lane.turns for strike in turn
        )
        assert FAULTS <= sum(counts.values())
        assert OF_EACH_KIND <= min(counts.values()), counts


def test_scaling_ends_with_the_usual_number() -> None:
    """Every series of scalings ends with as many clients as the stack had, so that the next fault finds its place."""
    fleet = plan.full(0)[0]
    series = [turn for lane in fleet.lanes for turn in lane.turns if len(turn) > 1]
    assert series
    for turn in series:
        assert fleet.clients == len(turn[-1].places)
        for before, step in pairwise([tuple(Place("client") for _ in range(fleet.clients)), *(s.places for s in turn)]):
            assert len(before) != len(step)
