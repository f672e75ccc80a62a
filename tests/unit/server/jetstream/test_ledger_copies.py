"""Tests of the copies of other servers' ledgers."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.server.jetstream.ledger_copies import LedgerCopies

RUN, OWN, OTHER = "20261122T073000Z", "a" * 12, "b" * 12
LEDGER = bytes(range(256))

pieces = st.tuples(st.integers(0, 255), st.integers(0, 256)).map(lambda span: (span[0], LEDGER[span[0] : span[1]]))


@given(st.lists(pieces, max_size=12))
def test_a_copy_is_the_beginning_of_its_original(added: list[tuple[int, bytes]]) -> None:
    """Whatever pieces arrive, in any order and repeated, the copy is a beginning of the ledger, without a gap."""
    with TemporaryDirectory() as folder:
        copies, length = LedgerCopies(Path(folder), OWN), 0
        for offset, data in added:
            copies.add(RUN, OTHER, offset, data, 0)
            length = max(length, offset + len(data)) if offset <= length else length
        path = Path(folder) / RUN / f"{OTHER}.jsonl"

        assert LEDGER[:length] == (path.read_bytes() if path.exists() else b"")


def test_a_longer_original_is_not_changed(tmp_path: Path) -> None:
    """A ledger that another server of this folder writes itself keeps its bytes, whatever a piece has."""
    path = tmp_path / RUN / f"{OTHER}.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"original")
    LedgerCopies(tmp_path, OWN).add(RUN, OTHER, 0, b"another", 0)

    assert b"original" == path.read_bytes()


def test_own_pieces_are_counted_and_not_written(tmp_path: Path) -> None:
    """A piece of this server's own ledger makes no file."""
    copies = LedgerCopies(tmp_path, OWN)
    copies.add(RUN, OWN, 0, b"own", 0)

    assert ({(RUN, OWN): 3}, []) == (copies.sizes, list(tmp_path.iterdir()))


@pytest.mark.parametrize(("age_seconds", "is_old"), [(0.5, False), (3600, True)])
def test_old_pieces_look_old(tmp_path: Path, age_seconds: float, is_old: bool) -> None:
    """A copy made of old pieces has their time, so that its server does not seem to live."""
    LedgerCopies(tmp_path, OWN).add(RUN, OTHER, 0, b"x", round((time.time() - age_seconds) * 1_000_000))
    changed = (tmp_path / RUN / f"{OTHER}.jsonl").stat().st_mtime

    assert is_old == (time.time() - changed > 1800)
