"""A model of power cuts: receipted blocks survive any loss of sectors and names that were not synced."""

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
    """Replaces the module ``os`` where files are written; records the synced sizes and names."""

    def __init__(self) -> None:
        self.names: set[Path] = set()
        self.sizes: dict[Path, int] = {}
        self._paths: dict[int, Path] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        """Open a file, and record its path."""
        fd = os.open(path, flags, mode)
        self._paths[fd] = Path(path)
        return fd

    def fsync(self, fd: int) -> None:
        """Record a file's bytes or a folder's names as durable."""
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        if path.is_dir():
            self.names |= set(path.iterdir())
        else:
            self.sizes[path] = os.fstat(fd).st_size

    fdatasync = fsync

    def crash(self, folder: Path, draw: st.DataObject) -> None:
        """Keep the synced part of every file; cut the rest off anywhere, and zero some of its sectors."""
        for path in sorted(folder.iterdir()):
            if path not in self.names and draw.draw(st.booleans(), "name lost"):
                path.unlink()
                continue
            data, synced_size = path.read_bytes(), self.sizes.get(path, 0)
            remaining = bytearray(data[: draw.draw(st.integers(min(synced_size, len(data)), len(data)), "size left")])
            lost = draw.draw(
                st.sets(st.integers(synced_size // SECTOR, len(remaining) // SECTOR), max_size=3), "zeroed"
            )
            for sector in lost if len(remaining) > synced_size else ():
                start, stop = max(synced_size, sector * SECTOR), min(len(remaining), (sector + 1) * SECTOR)
                remaining[start:stop] = bytes(max(0, stop - start))
            path.write_bytes(remaining)
            self.names.add(path)
            self.sizes[path] = len(remaining)


class PowerCuts(RuleBasedStateMachine):
    """A client that logs, syncs and rotates, loses power at any point, and restarts."""

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
        for patch_ in self.patches:
            patch_.start()
        self.written: dict[tuple[int, int], blocklog.Block] = {}
        self.receipted: set[tuple[int, int]] = set()
        self.restart()

    def restart(self) -> None:
        """Claim a session, read the logs and cut off torn tails, as the client's session does."""
        self.session = recovery.last_session(self.folder) + 1
        file = durable_file.LineFile(self.folder / blocklog.file_name(self.session, 1))
        history = recovery.read(self.folder)
        # The client sends receipts for blocks that it reads back.
        self.receipted |= {(receipt.session, receipt.block) for receipt in history.receipts}
        torn = recovery.cut_all(history.tails)
        # The blocks read back must have no gap: the client asks only for the records after the last one.
        assert history.held.spans() in ([], [(1, history.held.last)])
        self.after, self.number = history.held.last, 0
        place = SessionKey(RUN, "client-1", self.session)
        first = opening(place, 1, self.after, client_config(self.folder, fsync=self.fsync), torn, START_US)
        self.log = BlockLog(file, first, StoppedClock(), SaturationMonitor().window())

    @rule(count=st.integers(1, 8))
    def put(self, count: int) -> None:
        """Add a full block to the log."""
        self.number += 1
        session = factory.Session("client-1", self.session, 1, 0, [])
        block = factory.block(session, self.number, self.after + 1, self.after + count)
        self.after += count
        self.written[self.session, self.number] = block
        self.log.put(PendingLine(fields(block), block.count, block.first))

    @rule()
    def push(self) -> None:
        """Write the waiting blocks, and take the receipts of the durable ones."""
        self.receipted |= {(line.fields["session"], line.fields["block"]) for line in self.log.write()}

    @rule()
    def sync(self) -> None:
        """Sync at the end of an interval."""
        self.receipted |= {(line.fields["session"], line.fields["block"]) for line in self.log.sync()}

    @rule(data=st.data())
    def cut_power(self, data: st.DataObject) -> None:
        """Cut the power, and restart the client."""
        self.log.close()
        self.disk.crash(self.folder, data)
        type(self).cuts += 1
        self.restart()

    @invariant()
    def receipted_blocks_are_intact(self) -> None:
        """Every receipted block is in the log as it was written, and no other block is."""
        blocks = {}
        for path in sorted(self.folder.iterdir()):
            for line in split(path.read_bytes())[0]:
                try:
                    entry = blocklog.codec.decode(line)[1]
                except LineError:
                    continue
                if isinstance(entry, blocklog.Block):
                    assert (entry.session, entry.block) not in blocks
                    blocks[entry.session, entry.block] = entry
        type(self).checked += len(blocks)
        assert self.receipted <= set(blocks)
        assert all(self.written[key].digest == block.digest for key, block in blocks.items())

    def teardown(self) -> None:
        """Restore the module ``os``."""
        self.log.close()
        for patch_ in self.patches:
            patch_.stop()
        self.temporary.cleanup()


class PowerCutsBetweenSyncs(PowerCuts):
    """The same with FSYNC=interval: receipts follow the sync."""

    fsync: ClassVar[Literal["block", "interval"]] = "interval"


def run_machine(machine: type[PowerCuts], tally: Tally) -> None:
    """Run many random histories of a client, and count the power cuts in them."""
    machine.cuts = machine.checked = 0
    undetected = 1
    try:
        limits = settings(max_examples=150, stateful_step_count=30, deadline=None)
        run_state_machine_as_test(machine, settings=limits)
        undetected = 0
    finally:
        tally.add_fault("modelled power cut", f"{machine.fsync}, {machine.cuts:,} times")
        tally.add_checks(machine.checked, undetected=undetected)


def test_a_power_cut_takes_nothing_that_was_synced(tally: Tally) -> None:
    """With any loss of unsynced sectors and names, receipted blocks survive, and no gap is left."""
    run_machine(PowerCuts, tally)


def test_a_power_cut_between_two_syncs_takes_nothing_that_was_receipted(tally: Tally) -> None:
    """With a sync at an interval, receipts follow the sync, and receipted blocks survive."""
    run_machine(PowerCutsBetweenSyncs, tally)
