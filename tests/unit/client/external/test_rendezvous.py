"""Tests of agreeing on a run."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path

import msgspec
import pytest

from services.client.external import rendezvous
from services.client.external.rendezvous import AgreedRun, JoinPolicy
from services.runtime import invocation
from services.runtime.invocation import NOTE
from tests.unit.client.fakes import RUN, START_US

URL = "ws://feed"
INVOCATION = f"{RUN}.0123456789ab"
OTHER = f"{RUN}.ba9876543210"


QUICK = JoinPolicy(settle_seconds=0.05, iterations=2)
"""Shortens the waits and the computation of digests."""

join = partial(rendezvous.join, policy=QUICK)


def test_the_first_opens_a_run(tmp_path: Path) -> None:
    """A run has the name of its opening time, and a note with its feed and its end."""
    opened = join(tmp_path, URL, 60, START_US)
    expected = AgreedRun(run=RUN, url=URL, opened_at="2026-11-22T07:30:00.000000Z", until="2026-11-22T07:31:00.000000Z")

    assert expected == msgspec.structs.replace(opened, settings="")
    assert rendezvous.is_of(opened.settings, b"", QUICK.iterations)
    assert opened == msgspec.json.decode((tmp_path / RUN / NOTE).read_bytes(), type=AgreedRun)


def test_others_join_it(tmp_path: Path) -> None:
    """A client that starts during a run joins it."""
    assert join(tmp_path, URL, 60, START_US) == join(tmp_path, URL, 60, START_US + 59_000_000)


@pytest.mark.parametrize(("url", "later_us"), [(URL, 60_000_000), ("ws://other", 1)])
def test_a_run_that_is_over_or_another_feed_is_not_joined(tmp_path: Path, url: str, later_us: int) -> None:
    """After its time, and for another feed, a new run is opened."""
    assert join(tmp_path, URL, 60, START_US) != join(tmp_path, url, 60, START_US + later_us)


def test_a_client_with_other_settings_opens_a_run_of_its_own(tmp_path: Path) -> None:
    """Clients with different settings do not share a run, even with equal addresses; clients with equal settings do."""
    first = join(tmp_path, URL, 60, START_US, b"one")
    second = join(tmp_path, URL, 60, START_US + 1, b"two")

    assert first.run != second.run
    assert (first, second) == (
        join(tmp_path, URL, 60, START_US + 2, b"one"),
        join(tmp_path, URL, 60, START_US + 2, b"two"),
    )


@pytest.mark.parametrize(
    "damage",
    [
        {"settings": ""},
        {"settings": "x"},
        {"run": "../elsewhere"},
        {"run": "20261122T072959Z"},
        {"opened_at": "yesterday"},
        {"until": "tomorrow"},
        {"until": "2026-11-22T08:00:00"},
        {"url": 7},
        {"invocation": INVOCATION},
    ],
    ids=str,
)
def test_a_note_that_is_not_as_it_was_written_is_not_joined(tmp_path: Path, damage: dict[str, object]) -> None:
    """A note that was changed, copied or written by other software is ignored, and no client fails because of it."""
    opened = join(tmp_path, URL, 60, START_US)
    note = tmp_path / RUN / NOTE
    note.write_bytes(msgspec.json.encode({**msgspec.json.decode(note.read_bytes()), **damage}))

    assert opened.run != join(tmp_path, URL, 60, START_US + 6_000_000).run
    assert not (tmp_path.parent / "elsewhere").exists()


def test_neither_links_nor_pipes_are_read(tmp_path: Path) -> None:
    """A link to another folder, a pipe as a note and a file named like a run are ignored."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    logs = tmp_path / "logs"
    logs.mkdir()
    opened = join(elsewhere, URL, 60, START_US)
    (logs / opened.run).symlink_to(elsewhere / opened.run)
    (logs / "20261122T073001Z").mkdir()
    os.mkfifo(logs / "20261122T073001Z" / NOTE)
    (logs / "20261122T073002Z").touch()

    assert "20261122T073010Z" == join(logs, URL, 60, START_US + 10_000_000).run


def test_the_clients_of_an_invocation_share_a_run_of_their_own(tmp_path: Path) -> None:
    """The clients of an invocation join no other run, and no other client joins theirs."""
    containers = join(tmp_path, URL, 60, START_US)
    own = join(tmp_path, URL, 60, START_US + 1, invoked_by=INVOCATION)
    other = join(tmp_path, URL, 60, START_US + 2, invoked_by=OTHER)

    assert 3 == len({containers.run, own.run, other.run})
    assert own == join(tmp_path, URL, 60, START_US + 3, b"other settings", INVOCATION)
    assert own.run == invocation.own_run(tmp_path, INVOCATION)
    assert containers == join(tmp_path, URL, 60, START_US + 3)


def test_a_client_that_returns_too_late_opens_no_second_run(tmp_path: Path) -> None:
    """An invocation has one run, even after its end; a run without an end lasts as long as the invocation."""
    own = join(tmp_path, URL, 1, START_US, invoked_by=INVOCATION)
    endless = join(tmp_path, URL, 0, START_US, invoked_by=OTHER)

    assert own == join(tmp_path, URL, 1, START_US + 2_000_000, invoked_by=INVOCATION)
    assert not own.is_on(START_US + 2_000_000)
    assert endless.is_on(START_US + 10 * 86_400_000_000)


def test_a_name_in_the_ledger_is_taken(tmp_path: Path) -> None:
    """A run of this project's server in the same second is another run, even before a client has logged it."""
    (tmp_path / "ledger" / RUN).mkdir(parents=True)
    (tmp_path / "logs").mkdir()

    assert f"{RUN}-2" == join(tmp_path / "logs", URL, 60, START_US, invoked_by=INVOCATION).run


def test_simultaneous_clients_of_an_invocation_agree(tmp_path: Path) -> None:
    """If many processes open the run at the same time, there is one run, and no other file is left in the folder."""
    found: list[str] = []
    ready = threading.Barrier(8)

    def come() -> None:
        ready.wait()
        found.append(join(tmp_path, URL, 60, START_US, invoked_by=INVOCATION).run)

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [RUN] * 8 == found
    assert [RUN] == [path.name for path in tmp_path.iterdir()]


def test_a_run_without_an_end_is_joined_on_its_day(tmp_path: Path) -> None:
    """A run without a fixed end can be joined for a day."""
    opened = join(tmp_path, URL, 0, START_US)

    assert opened.until is None
    assert opened == join(tmp_path, URL, 0, START_US + 3_600_000_000)
    assert opened != join(tmp_path, URL, 0, START_US + 90_000_000_000)


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    """Two runs of one second have different names."""
    join(tmp_path, "ws://other", 60, START_US)

    assert f"{RUN}-2" == join(tmp_path, URL, 60, START_US).run


@pytest.mark.parametrize("damaged", [b"{", b"\xff", b'{"x":' + b"[" * 60_000], ids=["cut", "bytes", "deep"])
def test_a_folder_without_its_note_is_not_joined(tmp_path: Path, damaged: bytes) -> None:
    """A run of this project's server, and a note that is damaged, are ignored."""
    (tmp_path / "20261122T072959Z").mkdir()
    (tmp_path / "20261122T072958Z").mkdir()
    (tmp_path / "20261122T072958Z" / NOTE).write_bytes(damaged)

    assert RUN == join(tmp_path, URL, 60, START_US, policy=QUICK._replace(looks=2)).run


def test_simultaneous_processes_agree(tmp_path: Path) -> None:
    """Processes that open runs at the same time, also in different seconds, agree on one run."""
    found: list[AgreedRun] = []
    threads = [
        threading.Thread(target=lambda late=late: found.append(join(tmp_path, URL, 60, START_US + late)))
        for late in (0, 1, 999_999, 1_000_000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {min(one.run for one in found)} == {one.run for one in found}
    assert [found[0].run] == [path.name for path in tmp_path.iterdir()]
