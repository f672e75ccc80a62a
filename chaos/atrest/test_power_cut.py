"""Power cuts, modelled: what was receipted is on disk, whatever became of the sectors that were not synced."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from chaos.atrest.reference import SECTOR, split
from chaos.tally import Tally
from services.client import recovery
from services.client.block_encoder import PendingLine, SessionKey, opening
from services.client.block_log import BlockLog
from services.contract import blocklog
from services.contract.errors import LineError
from services.contract.jsonl import fields
from services.runtime import durable_file
from services.runtime.saturation import SaturationMonitor
from tests.builders import runs as factory
from tests.unit.client.fakes import RUN, START_US, StoppedClock, client_config


class FakeDisk:
    """Stands for the module ``os`` where files are written: knows what was synced, and which names were."""

    def __init__(self) -> None:
        self.names: set[Path] = set()
        self.sizes: dict[Path, int] = {}
        self._paths: dict[int, Path] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        """Open a file and remember which it is."""
        fd = os.open(path, flags, mode)
        self._paths[fd] = Path(path)
        return fd

    def fsync(self, fd: int) -> None:
        """Note what is durable from now on: a file's bytes, or a folder's names."""
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        if path.is_dir():
            self.names |= set(path.iterdir())
        else:
            self.sizes[path] = os.fstat(fd).st_size

    fdatasync = fsync

    def crash(self, folder: Path, draw: st.DataObject) -> None:
        """Leave of every file what was synced, and of the rest any number of sectors, some of them zero."""
        for path in sorted(folder.iterdir()):
            if path not in self.names and draw.draw(st.booleans(), "name lost"):
                path.unlink()
                continue
            data, good = path.read_bytes(), self.sizes.get(path, 0)
            left = bytearray(data[: draw.draw(st.integers(min(good, len(data)), len(data)), "size left")])
            lost = draw.draw(st.sets(st.integers(good // SECTOR, len(left) // SECTOR), max_size=3), "zeroed")
            for sector in lost if len(left) > good else ():
                start, stop = max(good, sector * SECTOR), min(len(left), (sector + 1) * SECTOR)
                left[start:stop] = bytes(max(0, stop - start))
            path.write_bytes(left)
            self.names.add(path)
            self.sizes[path] = len(left)


class PowerCuts(RuleBasedStateMachine):
    """A client that logs, syncs, rotates, loses power at any point, and comes back."""

    fsync: ClassVar[Literal["block", "interval"]] = "block"
    cuts: ClassVar[int] = 0
    checked: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.temporary = TemporaryDirectory()
        self.folder = Path(self.temporary.name).resolve()
        self.disk = FakeDisk()
        patches: list[Any] = [patch.object(module, "os", self.disk) for module in (durable_file, recovery)]
        self.patches = [*patches, patch.object(blocklog, "SEGMENT_BYTES", 3000)]
        for one in self.patches:
            one.start()
        self.written: dict[tuple[int, int], blocklog.Block] = {}
        self.receipted: set[tuple[int, int]] = set()
        self.begin()

    def begin(self) -> None:
        """Claim a session, read back what is there, cut off torn tails: as the client's account does."""
        self.session = recovery.last_session(self.folder) + 1
        claimed = durable_file.LineFile(self.folder / blocklog.file_name(self.session, 1))
        held = recovery.read(self.folder)
        # What is read back is receipted, if it never was.
        self.receipted |= {(receipt.session, receipt.block) for receipt in held.receipts}
        torn = recovery.cut_all(held.tails)
        # Nothing is behind a hole: what lay there comes again, and nobody would ask for the hole.
        assert held.held.spans() in ([], [(1, held.held.last)])
        self.after, self.number = held.held.last, 0
        place = SessionKey(RUN, "client-1", self.session)
        first = opening(place, 1, self.after, client_config(self.folder, fsync=self.fsync), torn, START_US)
        self.log = BlockLog(claimed, first, StoppedClock(), SaturationMonitor().window())

    @rule(count=st.integers(1, 8))
    def put(self, count: int) -> None:
        """A block is full."""
        self.number += 1
        session = factory.Session("client-1", self.session, 1, 0, [])
        made = factory.block(session, self.number, self.after + 1, self.after + count)
        self.after += count
        self.written[self.session, self.number] = made
        self.log.put(PendingLine(fields(made), made.count, made.first))

    @rule()
    def push(self) -> None:
        """The writer writes what waits, and receipts what is durable."""
        self.receipted |= {(line.fields["session"], line.fields["block"]) for line in self.log.write()}

    @rule()
    def sync(self) -> None:
        """The interval is over."""
        self.receipted |= {(line.fields["session"], line.fields["block"]) for line in self.log.sync()}

    @rule(data=st.data())
    def cut_power(self, data: st.DataObject) -> None:
        """The power goes, and the client comes back."""
        self.log.close()
        self.disk.crash(self.folder, data)
        type(self).cuts += 1
        self.begin()

    @invariant()
    def what_was_receipted_is_there(self) -> None:
        """Every receipted block stands in the log as it was written, and nothing that was not written does."""
        found = {}
        for path in sorted(self.folder.iterdir()):
            for line in split(path.read_bytes())[0]:
                try:
                    entry = blocklog.codec.decode(line)[1]
                except LineError:
                    continue
                if isinstance(entry, blocklog.Block):
                    assert (entry.session, entry.block) not in found
                    found[entry.session, entry.block] = entry
        type(self).checked += len(found)
        assert self.receipted <= set(found)
        assert all(self.written[key].digest == block.digest for key, block in found.items())

    def teardown(self) -> None:
        """Put the real disk back."""
        self.log.close()
        for one in self.patches:
            one.stop()
        self.temporary.cleanup()


class PowerCutsBetweenSyncs(PowerCuts):
    """The same with the sync every so often: receipts follow it."""

    fsync: ClassVar[Literal["block", "interval"]] = "interval"


def play(machine: type[PowerCuts], tally: Tally) -> None:
    """Try many lives of a client, and count the power cuts in them."""
    machine.cuts = machine.checked = 0
    undetected = 1
    try:
        limits = settings(max_examples=150, stateful_step_count=30, deadline=None)
        run_state_machine_as_test(machine, settings=limits)
        undetected = 0
    finally:
        tally.fault("modelled power cut", f"{machine.fsync}, {machine.cuts:,} times")
        tally.held(machine.checked, undetected=undetected)


def test_a_power_cut_takes_nothing_that_was_synced(tally: Tally) -> None:
    """Whatever becomes of unsynced sectors and names, what was receipted stays, and no hole is left behind."""
    play(PowerCuts, tally)


def test_a_power_cut_between_two_syncs_takes_nothing_that_was_receipted(tally: Tally) -> None:
    """The same with a sync every so often: receipts follow it."""
    play(PowerCutsBetweenSyncs, tally)
