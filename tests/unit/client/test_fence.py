"""Tests of who may write where another process claims the name."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from services.client import fence
from services.client.block_encoder import SessionKey, opening
from services.client.fence import Fence, Superseded
from services.contract import blocklog
from services.contract.blocklog import file_name
from services.contract.jsonl import FIRST
from tests.unit.client.fakes import RUN, START_US, conditions


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the naps that a fence takes between two looks, none of which takes any time."""
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    return naps


def claim(folder: Path, session: int) -> Path:
    """Claim a session as another process does."""
    path = folder / file_name(session, 1)
    path.touch()
    return path


def begin(folder: Path, session: int, after: int = 40) -> None:
    """Write what another process writes first, once it has the name."""
    place = SessionKey(RUN, "client-1", session)
    line, _ = blocklog.codec.encode(opening(place, 2, after, conditions(folder), [], START_US), FIRST)
    claim(folder, session).write_bytes(line)


def test_nobody_else_is_not_waited_for(tmp_path: Path, looks: list[float]) -> None:
    """Own segments, older sessions and other files hold nothing up."""
    claim(tmp_path, 1).write_text("an older session")
    claim(tmp_path, 2)
    stands = Fence(tmp_path, 2)
    (tmp_path / file_name(2, 2)).write_text("a later segment")
    (tmp_path / "notes.txt").touch()
    stands.hold()

    assert [] == looks


def test_a_claim_that_is_withdrawn_holds_for_so_long(tmp_path: Path) -> None:
    """While a later session is claimed nothing is written; when it is withdrawn, writing goes on."""
    stands, over = Fence(tmp_path, 1), threading.Event()
    claimed = claim(tmp_path, 2)

    def hold() -> None:
        stands.hold()
        over.set()

    waiting = threading.Thread(target=hold)
    waiting.start()
    held = not over.wait(0.1)
    claimed.unlink()
    waiting.join(5)

    assert held
    assert over.is_set()


def test_a_later_session_that_has_begun_ends_this_one(tmp_path: Path, looks: list[float]) -> None:
    """Once something stands in a later session's file, this one never writes again."""
    stands = Fence(tmp_path, 1)
    begin(tmp_path, 2)
    for _ in range(2):
        with pytest.raises(Superseded, match="another process logs in") as other:
            stands.hold()
        assert 40 == other.value.after

    assert [] == looks


def test_a_later_session_may_not_be_the_next(tmp_path: Path) -> None:
    """Of two newcomers the first may have withdrawn: its number is free, and the other's counts."""
    claim(tmp_path, 1)
    stands = Fence(tmp_path, 1)
    begin(tmp_path, 3)

    with pytest.raises(Superseded):
        stands.hold()


def test_a_claim_whose_process_crashed_is_forgotten(tmp_path: Path, looks: list[float]) -> None:
    """A claim that stays undecided holds writing up for three seconds, once."""
    stands = Fence(tmp_path, 1)
    claim(tmp_path, 2)
    stands.hold()
    held = sum(looks)
    stands.hold()

    assert 3 == pytest.approx(held)
    assert held == sum(looks)


def test_a_claim_may_vanish_under_the_look(tmp_path: Path, looks: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that is withdrawn between being listed and being looked at has not begun."""
    stands = Fence(tmp_path, 1)
    monkeypatch.setattr(os, "listdir", lambda _: [file_name(2, 1)])
    stands.hold()

    assert fence._LOOKS == len(looks)


def test_a_number_may_be_claimed_again(tmp_path: Path) -> None:
    """A claim that was pending when the name was granted, and withdrawn, does not hide the next one of that number."""
    pending = claim(tmp_path, 2)
    stands = Fence(tmp_path, 1)
    pending.unlink()
    begin(tmp_path, 2)

    with pytest.raises(Superseded):
        stands.hold()


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "giant"])
def test_what_is_no_claim_holds_nothing_up(tmp_path: Path, looks: list[float], kind: str) -> None:
    """A pipe, a link or a folder with a later session's name is no claim; a giant one is not read into memory."""
    earlier, later = tmp_path / file_name(1, 1), tmp_path / file_name(9, 1)
    for path in (earlier, later):
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "link":
            path.symlink_to("/dev/zero")
        elif kind == "folder":
            path.mkdir()
        else:
            path.touch()
            os.truncate(path, 3 * 2**30)
    stands = Fence(tmp_path, 2)
    stands.hold()

    assert (fence._LOOKS if kind == "giant" else 0) == len(looks)
