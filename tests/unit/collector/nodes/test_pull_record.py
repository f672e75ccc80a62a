"""Tests of reading the record of a pulled run."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.collector.nodes.pull_record import path_of, read_record
from services.contract.nodes import PulledNode, PulledRun
from tests.builders.runs import RUN


def test_a_folder_of_this_hosts_services_has_no_record(tmp_path: Path) -> None:
    """Without a record the files were not pulled."""
    assert read_record(tmp_path, RUN) is None


def test_a_record_is_read(tmp_path: Path) -> None:
    """The record is what was written."""
    record = PulledRun(run=RUN, nodes=[PulledNode(node="a", files=1)])
    path_of(tmp_path, RUN).parent.mkdir()
    path_of(tmp_path, RUN).write_bytes(msgspec.json.encode(record))

    assert record == read_record(tmp_path, RUN)


@pytest.mark.parametrize("content", [b"", b"{", b'{"v":9,"run":"20261122T073000Z","nodes":[]}'])
def test_a_damaged_record_is_not_complete(tmp_path: Path, content: bytes) -> None:
    """Without a readable record it is not known whether everything was pulled."""
    path_of(tmp_path, RUN).parent.mkdir()
    path_of(tmp_path, RUN).write_bytes(content)
    found = read_record(tmp_path, RUN)

    assert found is not None
    assert not found.is_complete
