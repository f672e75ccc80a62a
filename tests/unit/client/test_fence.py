"""Tests of the fence between two processes with one name."""

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
from tests.unit.client.fakes import RUN, START_US, client_config


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses of a fence between two looks, without taking them."""
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
    line, _ = blocklog.codec.encode(opening(place, 2, after, client_config(folder), [], START_US), FIRST)
    claim(folder, session).write_bytes(line)


def test_without_a_later_claim_nothing_is_delayed(tmp_path: Path, looks: list[float]) -> None:
    """Own segments, older sessions and other files do not delay a write."""
    claim(tmp_path, 1).write_text("an older session")
    claim(tmp_path, 2)
    stands = Fence(tmp_path, 2)
    (tmp_path / file_name(2, 2)).write_text("a later segment")
    (tmp_path / "notes.txt").touch()
    stands.check()

    assert [] == looks


def test_a_claim_that_is_withdrawn_holds_for_so_long(tmp_path: Path) -> None:
    """While a later session is claimed nothing is written; when it is withdrawn, writing continues."""
    stands, over = Fence(tmp_path, 1), threading.Event()
    claimed = claim(tmp_path, 2)

    def hold() -> None:
        stands.check()
        over.set()

    waiting = threading.Thread(target=hold)
    waiting.start()
    held = not over.wait(0.1)
    claimed.unlink()
    waiting.join(5)

    assert held
    assert over.is_set()


def test_a_later_session_that_has_begun_ends_this_one(tmp_path: Path, looks: list[float]) -> None:
    """Once a later session's file has a first line, this process never writes again."""
    stands = Fence(tmp_path, 1)
    begin(tmp_path, 2)
    for _ in range(2):
        with pytest.raises(Superseded, match="another process logs in") as other:
            stands.check()
        assert 40 == other.value.after

    assert [] == looks


def test_a_later_session_may_not_be_the_next(tmp_path: Path) -> None:
    """If the first of two new claims is withdrawn, only the second one counts."""
    claim(tmp_path, 1)
    stands = Fence(tmp_path, 1)
    begin(tmp_path, 3)

    with pytest.raises(Superseded):
        stands.check()


def test_a_claim_whose_process_crashed_is_forgotten(tmp_path: Path, looks: list[float]) -> None:
    """A claim that stays undecided delays one write by three seconds."""
    stands = Fence(tmp_path, 1)
    claim(tmp_path, 2)
    stands.check()
    held = sum(looks)
    stands.check()

    assert 3 == pytest.approx(held)
    assert held == sum(looks)


def test_a_claim_may_vanish_under_the_look(tmp_path: Path, looks: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that is withdrawn between listing and reading counts as not begun."""
    stands = Fence(tmp_path, 1)
    monkeypatch.setattr(os, "listdir", lambda _: [file_name(2, 1)])
    stands.check()

    assert fence._LOOKS == len(looks)


def test_a_number_may_be_claimed_again(tmp_path: Path) -> None:
    """A claim that was pending when the name was granted, and withdrawn, does not hide the next one of that number."""
    pending = claim(tmp_path, 2)
    stands = Fence(tmp_path, 1)
    pending.unlink()
    begin(tmp_path, 2)

    with pytest.raises(Superseded):
        stands.check()


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
    stands.check()

    assert (fence._LOOKS if kind == "giant" else 0) == len(looks)
