"""Tests of the fault plans: the seed alone decides them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from chaos.containers import plan
from chaos.containers.container_lookup import Target
from chaos.containers.test_faults import FAULTS, OF_EACH_KIND

SEEDS = range(20)


def test_the_seed_decides_what_is_injected() -> None:
    """The same seed gives the same faults, targets and durations in every lane; another seed gives others."""
    assert [plan.full(seed) for seed in SEEDS] == [plan.full(seed) for seed in SEEDS]
    assert len(SEEDS) == len({str(plan.full(seed)) for seed in SEEDS})


def test_every_kind_is_injected_often_enough() -> None:
    """With any seed, a full plan has three hundred faults, and at least ten of every kind."""
    for seed in SEEDS:
        counts = Counter(
            fault.kind
            for stack_plan in plan.full(seed)
            for lane in stack_plan.lanes
            for sequence in lane.sequences
            for fault in sequence
        )
        assert FAULTS <= sum(counts.values())
        assert OF_EACH_KIND <= min(counts.values()), counts


def test_scaling_ends_with_the_usual_number() -> None:
    """Every sequence of scalings ends with the stack's number of clients, so that the next fault finds its target."""
    fleet = plan.full(0)[0]
    series = [sequence for lane in fleet.lanes for sequence in lane.sequences if len(sequence) > 1]
    assert series
    for sequence in series:
        assert fleet.clients == len(sequence[-1].targets)
        for before, step in pairwise(
            [tuple(Target("client") for _ in range(fleet.clients)), *(s.targets for s in sequence)]
        ):
            assert len(before) != len(step)
