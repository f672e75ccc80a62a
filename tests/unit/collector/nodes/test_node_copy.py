"""Tests of copying the files of a node."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.nodes.node_copy import SAMPLE, NodeCopy, PassReport, node_prefix
from services.contract import bounds
from services.contract.nodes import NodeFile, NodeListing, encoded_name

RUN = "20261122T073000Z"
PIECE = 1000


class FakeNode:
    """A node with files in memory, which hands out `PIECE` bytes at a time, or more than a sample."""

    def __init__(self, piece: int = SAMPLE + PIECE) -> None:
        self.files: dict[tuple[str | None, bytes], bytes] = {}
        self.changed_ns, self.reads, self._piece = 1_000_000_000, 0, piece

    def listing(self) -> NodeListing:
        """Return its files."""
        return NodeListing(
            run=RUN,
            files=[
                NodeFile(client=client, name=encoded_name(name), size=len(data), changed_ns=self.changed_ns)
                for (client, name), data in self.files.items()
            ],
        )

    def read(self, file: NodeFile, first: int) -> bytes:
        """Return a piece of a file."""
        self.reads += 1
        return self.files[file.client, file.raw_name][first : first + self._piece]


def pulled(folder: Path, node: FakeNode, copy: NodeCopy | None = None) -> PassReport:
    """Pull once, by default as a process that has just started."""
    return (copy or NodeCopy(folder, "n:1")).pull(node.listing(), node.read)


def place(folder: Path) -> Path:
    """Return where the log of client-1 is copied to."""
    return folder / "logs" / RUN / "client-1" / "n%3A1~0001-0001.jsonl"


@pytest.fixture
def node() -> FakeNode:
    """Return a node with a log of two pieces and a ledger."""
    made = FakeNode()
    made.files["client-1", b"0001-0001.jsonl"] = b"0123456789" * 1200
    made.files[None, b"abc.jsonl"] = b"ledger\n"
    return made


def test_files_are_copied_under_the_name_of_their_node(tmp_path: Path, node: FakeNode) -> None:
    """All bytes are copied, and the time of the last change; the next pass finds nothing new."""
    copy = NodeCopy(tmp_path, "n:1")
    first, second = pulled(tmp_path, node, copy), pulled(tmp_path, node, copy)

    assert b"0123456789" * 1200 == place(tmp_path).read_bytes()
    assert b"ledger\n" == (tmp_path / "ledger" / RUN / "n%3A1~abc.jsonl").read_bytes()
    assert 1_000_000_000 == place(tmp_path).stat().st_mtime_ns
    assert (True, False) == (first.has_changed, second.has_changed)
    assert (2, True, []) == (second.files, second.is_complete, second.faults)


@given(cuts=st.lists(st.integers(0, 20_000), max_size=6), restarts=st.booleans())
def test_a_copy_is_always_a_prefix(tmp_path_factory: pytest.TempPathFactory, cuts: list[int], restarts: bool) -> None:
    """However the file grows, and whether the collector starts again between, the copy is its beginning."""
    folder, whole = tmp_path_factory.mktemp("copy"), bytes(range(256)) * 80
    node, copy = FakeNode(), NodeCopy(folder, "n:1")
    for cut in [*sorted(cuts), len(whole)]:
        node.files["client-1", b"0001-0001.jsonl"] = whole[:cut]
        report = pulled(folder, node, None if restarts else copy)
        assert [] == report.faults
        assert whole[:cut] == place(folder).read_bytes()


def test_a_file_that_shrank_is_named(tmp_path: Path, node: FakeNode) -> None:
    """A file with fewer bytes than its copy is named, and the copy stays."""
    pulled(tmp_path, node)
    node.files["client-1", b"0001-0001.jsonl"] = b"0123456789"
    report = pulled(tmp_path, node)

    assert [f"logs/{RUN}/client-1/0001-0001.jsonl has 10 bytes, of which 12,000 were pulled before"] == report.faults
    assert 12_000 == place(tmp_path).stat().st_size


@pytest.mark.parametrize("longer", [False, True])
def test_another_file_of_the_same_name_is_named(tmp_path: Path, node: FakeNode, *, longer: bool) -> None:
    """A file whose bytes are not those of its copy is named, also if it has as many bytes."""
    copy = NodeCopy(tmp_path, "n:1")
    pulled(tmp_path, node, copy)
    node.files["client-1", b"0001-0001.jsonl"] = b"9876543210" * (1300 if longer else 1200)
    node.changed_ns += 1
    report = pulled(tmp_path, node, copy)

    assert [f"logs/{RUN}/client-1/0001-0001.jsonl is another file than the one that was pulled before"] == report.faults
    assert b"0123456789" * 1200 == place(tmp_path).read_bytes()


def test_a_file_that_is_gone_is_named(tmp_path: Path, node: FakeNode) -> None:
    """A file that the node no longer has is named, with its copied bytes; those of another node are not meant."""
    pulled(tmp_path, node)
    NodeCopy(tmp_path, "n:12").pull(node.listing(), node.read)
    del node.files["client-1", b"0001-0001.jsonl"]
    report = pulled(tmp_path, node)

    said = f"logs/{RUN}/client-1/0001-0001.jsonl is no longer there, of which 12,000 bytes were pulled"
    assert [said] == report.faults


def test_a_file_with_a_hole_is_named(tmp_path: Path) -> None:
    """A file with a hole is copied up to it, and named: its end looks like that of a whole file."""
    file = NodeFile(name="a.jsonl", size=3, changed_ns=1, has_hole=True)
    report = NodeCopy(tmp_path, "n:1").pull(NodeListing(run=RUN, files=[file]), lambda _file, first: b"abc"[first:])

    assert [f"ledger/{RUN}/a.jsonl has a hole after 3 bytes, as no log has"] == report.faults


def test_a_node_that_serves_less_than_it_lists_is_incomplete(tmp_path: Path, node: FakeNode) -> None:
    """A pass in which a file ends before its size is not complete."""
    listing = node.listing()
    node.files["client-1", b"0001-0001.jsonl"] = b"0123456789"

    assert not NodeCopy(tmp_path, "n:1").pull(listing, node.read).is_complete


def test_a_long_pass_continues_later(tmp_path: Path, node: FakeNode) -> None:
    """A pass over much data ends after some seconds, and the next one continues where it was."""
    times = iter(range(0, 1000, 6))
    copy = NodeCopy(tmp_path, "n:1", lambda: float(next(times)))
    passes = 1
    while place(tmp_path).stat().st_size < 12_000 if place(tmp_path).exists() else True:
        pulled(tmp_path, node, copy)
        passes += 1
        assert passes < 20

    assert passes > 3
    assert node.files[None, b"abc.jsonl"] == (tmp_path / "ledger" / RUN / "n%3A1~abc.jsonl").read_bytes()


@pytest.mark.parametrize(("node", "prefix"), [("a", "a~"), ("[::1]:8768", "%5B%3A%3A1%5D%3A8768~"), ("a~b", "a%7Eb~")])
def test_the_name_of_a_node_ends_at_the_first_tilde(node: str, prefix: str) -> None:
    """No two nodes have the same copies, and no name leads out of a folder."""
    assert prefix == node_prefix(node)


def test_a_long_name_of_a_node_is_replaced_by_its_digest() -> None:
    """The name of a copy has at most 255 bytes, however long that of its node is, and differs for two nodes."""
    one, other = (node_prefix("n" * 200 + end) for end in "ab")

    assert one != other
    assert all(len(prefix) + 64 + len(".jsonl") <= 255 for prefix in (one, other))


def test_a_copy_leaves_room_on_the_disk(tmp_path: Path, node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is added when the disk has less room than the bound, and what is complete stays so."""
    copy = NodeCopy(tmp_path, "n:1")
    pulled(tmp_path, node, copy)
    monkeypatch.setattr("services.collector.nodes.node_copy.FREE_BYTES", bounds.FREE_BYTES._replace(value=2**62))
    assert pulled(tmp_path, node, copy).is_complete

    node.files["client-1", b"0001-0001.jsonl"] += b"more\n"
    with pytest.raises(OSError, match="No space left"):
        pulled(tmp_path, node, copy)
    assert 12_000 == place(tmp_path).stat().st_size
