"""What a node hands out of its volumes folder by HTTP, and what a collector that pulls it keeps of each run.

The requests are in ``docs/formats/nodes.md``. Names of files may be any bytes, so they are percent-encoded.
"""

from __future__ import annotations

from typing import Annotated, TypeVar
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec
from msgspec import Meta

from services.contract.bounds import LISTED_FILES, LISTED_RUNS
from services.contract.errors import MalformedListing
from services.contract.scalars import Count, Name, Run

VERSION = 1
SUFFIX = b".jsonl"

HostName = Annotated[str, Meta(pattern=r"^[!-~]{1,64}\Z")]
"""The name of a host, as its kernel has it: at most 64 bytes."""
FolderIdentity = Annotated[str, Meta(max_length=200)]
"""Identity of a volumes folder. It is only compared."""


class NodeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A node and the runs of which it has files.

    Attributes:
        node: its host name.
        folder: identity of its volumes folder: changes when the folder is another one.
    """

    v: int = VERSION
    node: HostName
    folder: FolderIdentity
    runs: Annotated[list[Run], Meta(max_length=LISTED_RUNS.value)]


class NodeFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file of a run at a node.

    Attributes:
        client: whose block log it is; None for a ledger.
        name: percent-encoded.
        size: bytes that can be read, up to the first hole in the file.
        changed_ns: when it was changed last, nanoseconds by the node's file system.
        has_hole: it has a hole, so it is no file that a service of this project wrote.
    """

    name: str
    size: Count
    changed_ns: int
    client: Name | None = None
    has_hole: bool = False

    def __post_init__(self) -> None:
        """Raise an error for a name that is not that of a log file in its folder."""
        if not is_log_name(unquote_to_bytes(self.name)):
            raise ValueError(f"not the name of a log file: {self.name[:100]}")

    @property
    def raw_name(self) -> bytes:
        """The name of the file in its folder."""
        return unquote_to_bytes(self.name)


class NodeListing(msgspec.Struct, frozen=True, kw_only=True):
    """All files of a run at a node."""

    v: int = VERSION
    run: Run
    files: Annotated[list[NodeFile], Meta(max_length=LISTED_FILES.value)]


class PulledNode(msgspec.Struct, frozen=True, kw_only=True):
    """How far the files of one run were pulled from a node.

    Attributes:
        node: its name.
        files: how many files of the run it has.
        is_complete: the run was over and every byte of its files was here when its verdict was given.
        trouble: why the node cannot be read, empty if it can.
        faults: what contradicts that files only grow, a sentence each.
    """

    node: str
    files: Count = 0
    is_complete: bool = False
    trouble: str = ""
    faults: list[str] = []


class PulledRun(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run was pulled from each node: the file ``nodes/<run>.json`` of the collector that pulls."""

    v: int = VERSION
    run: Run
    nodes: list[PulledNode]

    @property
    def is_complete(self) -> bool:
        """Whether everything was pulled from every node."""
        return all(node.is_complete for node in self.nodes)


Format = TypeVar("Format", NodeInfo, NodeListing, PulledRun)


def decode(data: bytes, kind: type[Format]) -> Format:
    """Decode a listing or a record.

    Raises:
        MalformedListing: the data is nothing of this kind.
    """
    try:
        found = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise MalformedListing(str(problem), data) from problem
    if found.v != VERSION:
        raise MalformedListing(f"version {found.v}, expected {VERSION}", data)
    return found


def is_log_name(name: bytes) -> bool:
    """Return whether a file of this name, directly in its folder, is read as a log or a ledger."""
    return name.endswith(SUFFIX) and not name.startswith(b".") and b"/" not in name and b"\0" not in name


def encoded_name(name: bytes) -> str:
    """Return a name percent-encoded: without any character that is special in a path, a URL or a terminal."""
    return quote_from_bytes(name, safe="")
