"""Tests of decisions: files that are put in place by links."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from services.contract import ledger
from services.server.runs.decisions import Decision, DecisionLog, supports_links

AT = "2026-11-22T07:30:00.000000Z"
PACE = ledger.PaceEntry(at=AT, first=1, due_us=1, rate=None)


def decision(instance: str = "a") -> Decision:
    """Return a decision that a server has made."""
    return Decision(at=AT, instance=instance, entries=(PACE,))


def test_a_decision_is_read_by_others(tmp_path: Path) -> None:
    """A decision is read once by every other log of the folder, and not by the one that made it."""
    one, other = DecisionLog(tmp_path / "decided"), DecisionLog(tmp_path / "decided")
    assert one.decide(decision())

    assert ([], [decision()], []) == (one.news(), other.news(), other.news())
    assert ["00000001"] == [path.name for path in (tmp_path / "decided").iterdir()]


def test_the_first_one_decides(tmp_path: Path) -> None:
    """A decision is refused while another one was not read; after that it is the next."""
    one, other = DecisionLog(tmp_path / "decided"), DecisionLog(tmp_path / "decided")
    assert one.decide(decision("a"))
    assert not other.decide(decision("b"))
    assert [decision("a")] == other.news()
    assert other.decide(decision("b"))

    assert [decision("b")] == one.news()


def test_of_many_at_once_one_decides(tmp_path: Path) -> None:
    """Of many logs that decide at the same time exactly one has decided, each time."""
    logs, rounds = [DecisionLog(tmp_path / "decided") for _ in range(8)], 20
    barrier, wins = threading.Barrier(len(logs)), []

    def compete(log: DecisionLog) -> None:
        for _ in range(rounds):
            barrier.wait(30)
            wins.append(log.decide(decision()))
            barrier.wait(30)
            log.news()

    threads = [threading.Thread(target=compete, args=(log,)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert rounds == sum(wins)
    assert rounds == len(list((tmp_path / "decided").iterdir()))


@pytest.mark.parametrize("content", [b"", b"half a decision", b'{"crc":"x00000000","prev":"x00000000","at":1}\n'])
def test_a_damaged_decision_is_skipped(tmp_path: Path, content: bytes) -> None:
    """A file that a power cut emptied is skipped, and its number stays taken."""
    one = DecisionLog(tmp_path / "decided")
    (tmp_path / "decided").mkdir()
    (tmp_path / "decided" / "00000001").write_bytes(content)
    assert not one.decide(decision())
    assert [] == one.news()
    assert one.decide(decision())

    assert [decision()] == DecisionLog(tmp_path / "decided").news()


def test_without_a_folder_nothing_was_decided(tmp_path: Path) -> None:
    """A folder that does not exist has no decisions; a removed one takes none."""
    log = DecisionLog(tmp_path / "run" / "decided")

    assert [] == log.news()
    with pytest.raises(FileNotFoundError):
        log.decide(decision())


def test_links_are_tried_without_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the file system has links is found out by making one; nothing is left behind."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    assert supports_links(tmp_path)
    assert not supports_links(tmp_path / "none")
    monkeypatch.setattr("services.server.runs.decisions.os.link", refuse)
    assert not supports_links(tmp_path)
    assert [] == list(tmp_path.iterdir())
