"""A part of ``make scale`` that takes seconds."""

from __future__ import annotations

from pathlib import Path

from chaos.scale.merged_parts import splits


def test_random_divisions_merge_to_the_whole(tmp_path: Path) -> None:
    """Runs of the conformance kit, divided at random and merged, have the summary of the whole."""
    assert splits(tmp_path).startswith("18 random splits into 2 to 6 parts merged")
