"""Tests of services/runtime/invocation.py."""

from __future__ import annotations

import json
import os
from itertools import islice
from pathlib import Path

import pytest

from services.runtime import invocation
from services.runtime.invocation import NOTE, VARIABLE

US = 1_795_332_600_000_000
STEM = "20261122T073000Z"
NAME = f"{STEM}.0123456789ab"


def test_every_invocation_has_a_name_of_its_own() -> None:
    """Two invocations that start in the same microsecond have different names."""
    first, second = invocation.draw(US), invocation.draw(US)

    assert first != second
    assert [first] == [invocation.current({VARIABLE: first})]
    assert first.startswith(f"{STEM}.")


@pytest.mark.parametrize("text", ["", "x", STEM, f"{NAME}\n", f"{STEM}.0123456789AB", f"../{NAME}"])
def test_a_malformed_name_is_ignored(text: str) -> None:
    """A text that is not exactly the form of a name is ignored."""
    assert invocation.current({VARIABLE: text}) is None
    assert invocation.current({}) is None


def test_clients_of_an_invocation_try_the_same_names() -> None:
    """The name of the run is the time of the invocation, with a number if that is taken."""
    assert [STEM, f"{STEM}-2", f"{STEM}-3"] == list(islice(invocation.run_names(NAME), 3))


def note(logs: Path, run: str, content: object) -> None:
    """Create a run's folder with a note."""
    (logs / run).mkdir(parents=True)
    (logs / run / NOTE).write_text(json.dumps(content))


def test_a_run_is_found_by_its_invocation_alone(tmp_path: Path) -> None:
    """Neither another run nor a folder that only looks like a run is returned."""
    note(tmp_path, STEM, {"invocation": f"{STEM}.ffffffffffff"})
    note(tmp_path, f"{STEM}-2", {"invocation": None})
    note(tmp_path, f"{STEM}-3", [NAME])
    note(tmp_path, f"{STEM}.x", {"invocation": NAME})
    note(tmp_path, "20260101T000000Z", {"invocation": NAME})
    (tmp_path / f"{STEM}-4").write_text("a file")
    (tmp_path / f"{STEM}-5").symlink_to(tmp_path / f"{STEM}.x")

    assert invocation.own_run(tmp_path / "none", NAME) is None
    assert invocation.own_run(tmp_path, NAME) is None
    note(tmp_path, f"{STEM}-6", {"invocation": NAME})
    assert f"{STEM}-6" == invocation.own_run(tmp_path, NAME)


def test_only_a_small_regular_file_is_read(tmp_path: Path) -> None:
    """A pipe, which would block, a link, which leads elsewhere, and a huge file are not read."""
    for name in ("pipe", "link", "giant", "folder", "deep"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "pipe" / NOTE)
    (tmp_path / "link" / NOTE).symlink_to("/etc/hostname")
    with (tmp_path / "giant" / NOTE).open("wb") as giant:
        giant.truncate(1 << 40)
    (tmp_path / "folder" / NOTE).mkdir()
    (tmp_path / "deep" / NOTE).write_bytes(b"[" * 60_000)

    assert [None] * 5 == [invocation.read_note(tmp_path / name) for name in ("pipe", "link", "giant", "folder", "none")]
    assert invocation._invocation_of(tmp_path / "deep") is None
