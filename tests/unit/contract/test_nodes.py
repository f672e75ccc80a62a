"""Tests of what a node hands out, and of the record of a pulled run."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import bounds
from services.contract.errors import MalformedListing
from services.contract.nodes import (
    NodeFile,
    NodeInfo,
    NodeListing,
    PulledNode,
    PulledRun,
    decode,
    encoded_name,
    is_log_name,
)

RUN = "20261122T073000Z"


@given(name=st.binary(max_size=60))
def test_any_name_of_a_log_is_handed_over(name: bytes) -> None:
    """A name of any bytes arrives as it is, in ASCII without special characters; a name with a path does not."""
    name += b".jsonl"
    made = NodeFile(name=encoded_name(name), size=1, changed_ns=1) if is_log_name(name) else None

    assert (b"/" in name or b"\0" in name or name.startswith(b".")) is (made is None)
    if made is not None:
        listing = NodeListing(run=RUN, files=[made])
        assert listing == decode(msgspec.json.encode(listing), NodeListing)
        assert name == made.raw_name
        assert made.name.isascii()


@pytest.mark.parametrize(
    "data",
    [
        b'{"v":1,"run":"20261122T073000Z","files":[{"name":"..%2F..%2Fup.jsonl","size":1,"changed_ns":1}]}',
        b'{"v":1,"run":"20261122T073000Z","files":[{"name":"../up.jsonl","size":1,"changed_ns":1}]}',
        b'{"v":1,"run":"20261122T073000Z","files":[{"name":"control.token","size":1,"changed_ns":1}]}',
        b'{"v":1,"run":"20261122T073000Z","files":[{"name":"a.jsonl","client":"../a","size":1,"changed_ns":1}]}',
        b'{"v":1,"run":"20261122T073000Z","files":[{"name":"a.jsonl","size":-1,"changed_ns":1}]}',
        b'{"v":1,"run":"../run","files":[]}',
        b'{"v":2,"run":"20261122T073000Z","files":[]}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_a_listing_that_leads_elsewhere_is_refused(data: bytes) -> None:
    """A listing with a path, another kind of file or another version is no listing."""
    with pytest.raises(MalformedListing):
        decode(data, NodeListing)


def test_a_node_and_a_record_are_decoded() -> None:
    """The two other answers survive encoding."""
    info = NodeInfo(node="one", folder="x:1:2", runs=[RUN])
    record = PulledRun(run=RUN, nodes=[PulledNode(node="one", files=2, is_complete=True), PulledNode(node="two")])

    assert info == decode(msgspec.json.encode(info), NodeInfo)
    assert record == decode(msgspec.json.encode(record), PulledRun)
    assert not record.is_complete


@pytest.mark.parametrize("node", ["", "a" * 65, "a b", "a\n", "\x1b[2J", "é"])
def test_a_host_name_is_short_and_printable(node: str) -> None:
    """A node's name is that of a host: it becomes a part of the names of files, and is printed."""
    data = msgspec.json.encode({"v": 1, "node": node, "folder": "x", "runs": []})

    with pytest.raises(MalformedListing):
        decode(data, NodeInfo)


def test_the_numbers_of_runs_and_files_are_bounded() -> None:
    """A listing with more runs or files than the bounds is refused, and one with as many is not."""
    file = {"name": "a.jsonl", "size": 1, "changed_ns": 1}
    for more in (0, 1):
        info = {"v": 1, "node": "a", "folder": "x", "runs": [RUN] * (bounds.LISTED_RUNS.value + more)}
        listing = {"v": 1, "run": RUN, "files": [file] * (bounds.LISTED_FILES.value + more)}
        with pytest.raises(MalformedListing) if more else contextlib.nullcontext():
            decode(msgspec.json.encode(info), NodeInfo)
        with pytest.raises(MalformedListing) if more else contextlib.nullcontext():
            decode(msgspec.json.encode(listing), NodeListing)
