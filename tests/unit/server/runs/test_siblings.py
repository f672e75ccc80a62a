"""Tests of what a server learns from the ledgers of the others."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from services.contract import ledger
from services.contract.jsonl import FIRST, seal
from services.runtime.clock import boot_id
from services.runtime.durable_file import LineFile
from services.server.runs import ledger_lock
from services.server.runs.run_state import RecordedRun
from services.server.runs.siblings import ALIVE_SECONDS, ClientProgress, SiblingEntry, Siblings
from tests.unit.server.fakes import StoppedClock, new_run

AT = "2026-11-22T07:30:00.000000Z"


def subscription(client: str, fence: int, *, observe: bool = False) -> ledger.SubscribeEntry:
    """Return a subscription."""
    return ledger.SubscribeEntry(
        at=AT, client=client, session=1, instance="i", fence=fence, first=1, block_size=10, observe=observe
    )


def leave(client: str, fence: int) -> ledger.LeaveEntry:
    """Return the end of a subscription."""
    return ledger.LeaveEntry(at=AT, client=client, fence=fence, sent=0, receipted=0, cause="lost")


def lines(*entries: ledger.Entry) -> bytes:
    """Return the lines of entries."""
    return b"".join(ledger.codec.encode(entry, FIRST)[0] for entry in entries)


class Folder:
    """The folder of a run with this server's ledger, and a clock that the test moves."""

    def __init__(self, path: Path, known: dict[str, int] | None = None) -> None:
        self.path, self.now = path, 100.0
        (path / "own.jsonl").touch()
        self.siblings = Siblings(path, "own.jsonl", lambda: self.now, known)

    def add(self, name: str, *entries: ledger.Entry, text: bytes = b"") -> Path:
        """Append to the ledger of another server."""
        path = self.path / f"{name}.jsonl"
        with path.open("ab") as file:
            file.write(lines(*entries) + text)
        return path

    def news(self) -> list[SiblingEntry | ClientProgress]:
        """Return what is new."""
        return list(self.siblings.news())

    def living(self, *, proven: bool = False) -> set[str]:
        """Return the instances that live."""
        return {sibling.instance for sibling in self.siblings.living(proven=proven)}


def test_each_entry_is_read_once(tmp_path: Path) -> None:
    """What other servers enter about clients is read once; a line that is not complete is read later."""
    folder = Folder(tmp_path)
    line = lines(subscription("client-2", 2))
    folder.add("b", subscription("client-1", 1), text=line[:30])
    assert [subscription("client-1", 1)] == folder.news()
    folder.add("b", text=line[30:])
    folder.add("c", leave("client-1", 1))

    assert [subscription("client-2", 2), leave("client-1", 1)] == folder.news()
    assert [] == folder.news()


def receipt(client: str, last: int) -> ledger.ReceiptEntry:
    """Return the receipt of a block."""
    return ledger.ReceiptEntry(
        at=AT, client=client, session=1, fence=1, block=last, first=last, last=last, count=1, digest="x00000000",
        match=True,
    )  # fmt: skip


def sent(client: str, through: int) -> ledger.SentEntry:
    """Return a sent range."""
    return ledger.SentEntry(at=AT, client=client, fence=1, through=through)


def test_of_sent_ranges_and_receipts_only_the_seqs_are_read(tmp_path: Path) -> None:
    """What was sent to a client and what it has receipted is the highest seq of the lines up to the next entry."""
    folder = Folder(tmp_path)
    folder.add("b", sent("client-1", 30), receipt("client-1", 20), subscription("client-2", 2), receipt("client-1", 10))
    folder.add("c", sent("client-2", 7))

    assert [
        ("client-1", 1, 30, 20),
        subscription("client-2", 2),
        ("client-1", 1, 0, 10),
        ("client-2", 1, 7, 0),
    ] == folder.news()
    folder.add("c", receipt("client-2", 5))
    assert [("client-2", 1, 0, 5)] == folder.news()


def test_progress_is_read_in_the_order_of_the_lines(tmp_path: Path) -> None:
    """The records that a subscription was sent end where it ended, also if all its lines are read at once."""
    folder, run = Folder(tmp_path), RecordedRun(100)
    end = ledger.LeaveEntry(at=AT, client="client-1", fence=1, sent=30, receipted=0, cause="lost")
    folder.add("b", subscription("client-1", 1), sent("client-1", 50), end)

    for entry in folder.news():
        if isinstance(entry, ClientProgress):
            run.add_progress(*entry)
        else:
            run.apply(entry)

    assert [(1, 30)] == list(run.clients["client-1"].sent_by_others(2))


def test_lines_of_another_writer_are_decoded(tmp_path: Path) -> None:
    """A sent range or receipt whose fields have another order is decoded."""
    folder = Folder(tmp_path)
    content = msgspec.json.encode({"kind": "sent", "v": 1, "through": 9, "fence": 1, "client": "client-1", "at": AT})
    folder.add("b", text=seal(content, FIRST)[0])

    assert [sent("client-1", 9)] == folder.news()


def test_damaged_lines_and_other_files_are_skipped(tmp_path: Path) -> None:
    """A damaged line, a link, a folder, and this server's own ledger are skipped."""
    folder = Folder(tmp_path)
    folder.add("own", subscription("client-1", 1))
    folder.add("b", text=b"damaged\n" + lines(subscription("client-2", 2)) + b'{"crc"\n')
    (tmp_path / "c.jsonl").symlink_to(tmp_path / "b.jsonl")
    (tmp_path / "d.jsonl").mkdir()

    assert [subscription("client-2", 2)] == folder.news()
    assert {"b"} == folder.living()


def test_decided_entries_are_left_to_the_decisions(tmp_path: Path) -> None:
    """Rates, requests and the end are not taken from the ledgers of others."""
    folder = Folder(tmp_path)
    folder.add("b", ledger.PaceEntry(at=AT, first=1, due_us=1, rate=1), subscription("client-1", 1))

    assert [subscription("client-1", 1)] == folder.news()


def test_clients_are_connected_until_they_leave(tmp_path: Path) -> None:
    """A client is connected from its subscription until the end of that one; an observer is not."""
    folder = Folder(tmp_path)
    folder.add("b", subscription("client-1", 1), subscription("client-2", 2), subscription("page", 3, observe=True))
    folder.add("c", subscription("client-1", 7))
    folder.news()
    assert {"client-1": 7, "client-2": 2} == folder.siblings.connected()
    folder.add("b", leave("client-2", 2), leave("client-1", 9))
    folder.add("c", leave("client-1", 7))
    folder.news()

    assert {"client-1": 1} == folder.siblings.connected()


def test_a_server_lives_while_its_ledger_changes(tmp_path: Path) -> None:
    """A server whose ledger has not changed for some seconds is gone until it changes again."""
    folder = Folder(tmp_path)
    path = folder.add("b", subscription("client-1", 1))
    folder.news()
    folder.now += ALIVE_SECONDS - 0.1
    assert {"b"} == folder.living() == folder.living(proven=True)
    folder.now += 0.1
    assert set() == folder.living()
    assert {} == folder.siblings.connected()
    os.utime(path, (1, 1))

    assert {"b"} == folder.living(proven=True)


@pytest.mark.parametrize("age", [0, 7])
def test_a_ledger_that_was_there_is_of_a_server_that_may_live(tmp_path: Path, age: int) -> None:
    """A ledger that was there before and was changed lately may be of a live server; a change proves it."""
    path = Folder(tmp_path).add("b", subscription("client-1", 1))
    changed = path.stat().st_mtime - age
    os.utime(path, (changed, changed))
    os.utime(tmp_path / "own.jsonl")
    folder = Folder(tmp_path, {"b.jsonl": path.stat().st_size})
    assert (set() if age else {"b"}) == folder.living()
    assert set() == folder.living(proven=True)
    assert ([] if age else [subscription("client-1", 1)]) == folder.news()
    os.utime(path, (changed + 1, changed + 1))

    assert {"b"} == folder.living(proven=True)


def test_a_server_that_leaves_is_gone(tmp_path: Path) -> None:
    """A server that has announced that it stops does not count, although its ledger still changes."""
    folder = Folder(tmp_path)
    folder.add("b")
    folder.add("c")
    folder.siblings.add_departure("b")

    assert {"c"} == folder.living()


def test_a_closed_ledger_is_of_no_server(tmp_path: Path, clock: StoppedClock) -> None:
    """The clients of a server that had a lock are connected until its ledger is closed, not for seconds after it."""
    run = new_run(tmp_path / "runs", clock)
    _, opening = ledger.codec.decode(run.ledger.path.read_bytes().splitlines(keepends=True)[0])
    assert isinstance(opening, ledger.OpenEntry)
    fields = {name: getattr(opening, name) for name in opening.__struct_fields__}
    folder = Folder(tmp_path)
    writer = LineFile(tmp_path / "b.jsonl")
    changed = {"boot": boot_id(), "process": None, "lock": ledger_lock.hold(writer.fileno())}
    writer.append(lines(ledger.OpenEntry(**{**fields, **changed}), subscription("client-1", 1)))
    folder.news()

    assert {"client-1": 1} == folder.siblings.connected()

    writer.close()

    assert {} == folder.siblings.connected()


def test_a_removed_ledger_is_forgotten(tmp_path: Path) -> None:
    """A ledger that an operator removed is of no server."""
    folder = Folder(tmp_path)
    path = folder.add("b", subscription("client-1", 1))
    folder.news()
    path.unlink()

    assert ([], set(), {}) == (folder.news(), folder.living(), folder.siblings.connected())
