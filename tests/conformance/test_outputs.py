"""The commands print and write for every case of the kit what ``outputs.txt`` has a digest of."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.contract.jsonl import FIRST, seal
from tests.conformance import outputs
from tests.conformance.lines import resealed

ADVICE = """
To see the differences, make the outputs of the last commit and of this code, and compare them:
    git worktree add /tmp/before HEAD
    python -m tests.conformance.outputs --keep /tmp/outputs-before --from /tmp/before
    python -m tests.conformance.outputs --keep /tmp/outputs-now
    diff -r /tmp/outputs-before /tmp/outputs-now
If each of them is meant, run `python -m tests.conformance.outputs` and commit outputs.txt."""


def test_no_output_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every output of every case has the digest that it had before."""
    monkeypatch.delenv("THRESHOLDS", raising=False)
    outputs.make_outputs(outputs.ROOT / outputs.VOLUMES, tmp_path)

    before, now = outputs.read_digests(), outputs.digests(tmp_path)
    changed = {
        case: [kind for kind in outputs.KINDS if before.get(case, {}).get(kind) != now.get(case, {}).get(kind)]
        for case in sorted({*before, *now})
    }
    report = [f"{case}: {', '.join(kinds)}" for case, kinds in changed.items() if kinds]

    assert not report, "outputs that differ from outputs.txt:\n" + "\n".join(report) + "\n" + ADVICE


def test_renamed_words_are_translated_and_nothing_else(tmp_path: Path) -> None:
    """Translating old outputs replaces the renamed word, seals changed lines again, and leaves other files alone."""
    log = tmp_path / "case/salvaged/logs/run/client/0001-0001.jsonl"
    renames, report = tmp_path.parent / "renamed.toml", tmp_path / "case/run/terminal.txt"
    renames.write_text('[[rename]]\nfiles = ["salvaged/logs/*.jsonl"]\nold = "heard"\nnew = "positions"\n')
    old, new = (
        resealed([seal(b'{"%b":[1,3]}' % name, FIRST)[0]], lambda _, line: line) for name in (b"heard", b"positions")
    )
    for path, content in ((log, old[0]), (report, b"heard\n")):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)

    outputs.translate(tmp_path, renames)

    assert log.read_bytes() == new[0]
    assert report.read_bytes() == b"heard\n"
