"""Removing any line from the ledger or a log of a good run changes the verdict, which names the place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.sync.client import connect

from services.collector.commands.verify import check
from services.contract import blocklog, summary, wire
from tests.integration.conftest import GoodStack
from tests.integration.processes import System, verify
from tests.poll import poll_until
from tests.readers import Volumes, lines_of

LEDGER = ("open", "pace", "subscribe", "sent", "receipt", "leave", "control", "end")
BLOCK_LOG = ("open", "block", "end")
CODES = {"FAIL": 99, "INVALID": 98}


@dataclass(frozen=True)
class Place:
    """A line: its file relative to the volumes folder, its number (from 1) and its kind."""

    file: str
    number: int
    kind: str

    @property
    def side(self) -> str:
        """The top folder of the file: ``ledger`` or ``logs``."""
        return self.file.partition("/")[0]


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Volumes:
    """A passing run with every kind of line: a client left, another was dropped and returned, the rate changed."""
    folder = tmp_path_factory.mktemp("volumes")
    with System(folder, RECORDS=400, RATE=200, CLIENTS=2) as system:
        system.start("collector")
        system.server()
        clients = [system.client(f"client-{number}") for number in (1, 2, 3)]
        poll_until(lambda: system.volumes.head("client-1") >= 100, "client-1 has receipted 100", 15)
        with connect(system.url, proxy=None, max_queue=None) as operator:
            for request in (wire.Control(do="drop", client="client-2"), wire.Control(set={"rate": 400})):
                operator.send(wire.encode(request).decode())
        poll_until(lambda: system.volumes.head("client-3") >= 150, "client-3 has receipted 150", 15)
        clients[2].stop()
        code, text = system.wait()
        assert 0 == code, text
    return system.volumes


@pytest.fixture
def copy(volumes: Volumes, tmp_path: Path) -> Path:
    """A copy of the files, for damage."""
    return Path(shutil.copytree(volumes.root, tmp_path / "copy"))


def places(volumes: Volumes) -> Iterator[Place]:
    """Yield every line of ledger and logs, except the goodbyes after the ledger's end, which nothing depends on."""
    files = [path for client in volumes.clients() for path in volumes.files(client)]
    for path in [*volumes.ledger_files(), *files]:
        for number, line in enumerate(lines_of(path), 1):
            kind = json.loads(line)["kind"]
            yield Place(str(path.relative_to(volumes.root)), number, kind)
            if kind == "end":
                break


def without(root: Path, place: Place) -> bytes:
    """Remove one line, and return it."""
    path = root / place.file
    lines = lines_of(path)
    path.write_bytes(b"".join(lines[: place.number - 1] + lines[place.number :]))
    return lines[place.number - 1]


def judged(root: Path) -> summary.Summary:
    """Return the verdict on the one run of a folder."""
    (verified,) = check(root)
    return verified.summary


def test_the_unchanged_run_passes(volumes: Volumes) -> None:
    """The unchanged run passes offline and contains every kind of line."""
    code, text = verify(volumes.root)
    assert 0 == code, text
    found = {(place.side, place.kind) for place in places(volumes)}
    assert {("ledger", kind) for kind in LEDGER} | {("logs", kind) for kind in BLOCK_LOG} == found


@pytest.mark.parametrize(
    ("side", "kind"), [("ledger", kind) for kind in LEDGER] + [("logs", kind) for kind in BLOCK_LOG]
)
def test_verify_misses_every_kind_of_line(side: str, kind: str, volumes: Volumes, copy: Path) -> None:
    """If a line of any kind is removed, ``verify`` reports FAIL or INVALID and names the file or the client."""
    # Not the first line, which is easier to detect: the file would begin with the wrong kind.
    chosen = [place for place in places(volumes) if (place.side, place.kind) == (side, kind)][-1]
    without(copy, chosen)
    code, text = verify(copy)
    verdict = text.split()[1]
    assert CODES[verdict] == code, text
    named = [chosen.file, "the ledger has no end"] if side == "ledger" else [chosen.file, chosen.file.split("/")[2]]
    assert any(name in text for name in named), text


def test_no_line_goes_unnoticed(volumes: Volumes, copy: Path) -> None:
    """Removing any single line loses the PASS; restoring it restores the PASS."""
    unnoticed = []
    for place in places(volumes):
        path = copy / place.file
        before = path.read_bytes()
        without(copy, place)
        if judged(copy).verdict not in CODES:
            unnoticed.append(place)
        path.write_bytes(before)
    assert [] == unnoticed
    assert "PASS" == judged(copy).verdict


def test_a_missing_block_is_placed(volumes: Volumes, copy: Path) -> None:
    """A removed block makes the run FAIL: its seqs have a receipt and are not logged, and the line is named."""
    blocks = [place for place in places(volumes) if place.kind == "block" and "client-1/" in place.file]
    place = blocks[len(blocks) // 2]
    gone = blocklog.codec.decode(without(copy, place))[1]
    assert isinstance(gone, blocklog.Block)
    made = judged(copy)
    assert "FAIL" == made.verdict
    assert [(place.file, place.number, "client-1", (gone.first, gone.last))] == [
        (fault.file, fault.line, fault.client, fault.missing) for fault in made.faults
    ]
    assert (gone.count, 0) == (made.missing_by_cause.receipted_not_logged, made.totals.residual)
    of_client = next(client for client in made.clients if client.client == "client-1")
    assert [(gone.first, gone.last)] == of_client.missing_ranges


def test_a_damaged_block_is_placed(volumes: Volumes, copy: Path) -> None:
    """One changed byte in a block makes the run FAIL: its seqs are missing, and the damaged line is named."""
    place = next(place for place in places(volumes) if place.kind == "block" and "client-2/" in place.file)
    path = copy / place.file
    lines = lines_of(path)
    gone = blocklog.codec.decode(lines[place.number - 1])[1]
    assert isinstance(gone, blocklog.Block)
    spoilt = bytearray(lines[place.number - 1])
    spoilt[len(spoilt) // 2] ^= 1
    path.write_bytes(b"".join([*lines[: place.number - 1], bytes(spoilt), *lines[place.number :]]))
    made = judged(copy)
    assert "FAIL" == made.verdict
    assert (gone.count, 0) == (made.missing_by_cause.corrupt_block, made.totals.residual)
    assert [(place.file, place.number, "corrupt_block")] == [(f.file, f.line, f.kind) for f in made.faults]


def test_a_missing_sent_line_shows_in_the_residual(volumes: Volumes, copy: Path) -> None:
    """Without the ledger's ``sent`` lines of a client the run is INVALID, with the residual."""
    path = copy / str(next(place.file for place in places(volumes) if place.side == "ledger"))
    kept = [line for line in lines_of(path) if b'"kind":"sent"' not in line or b'"client-1"' not in line]
    path.write_bytes(b"".join(kept))
    made = judged(copy)
    assert ("INVALID", -400) == (made.verdict, made.totals.residual)
    assert made.headline.startswith("client-1: the books do not close, residual -400")


@pytest.mark.containers
def test_a_container_proves_that_damage_is_caught(good_stack: GoodStack) -> None:
    """``prove`` works on read-only volumes: it damages a copy in twelve ways and finds all of them."""
    done = good_stack.stack.exec("collector", "python", "-m", "services.collector", "prove", "/volumes", "--json")
    results = [json.loads(line) for line in done.stdout.splitlines()]

    assert [True] * 12 == [one["caught"] for one in results]
