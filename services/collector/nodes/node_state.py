"""What a collector knows of each node whose files it pulls, and of how far each run was pulled. Pure."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.collector.nodes.node_address import NodeAddress
from services.collector.nodes.node_copy import PassReport
from services.contract.bounds import LISTED_RUNS, NODES
from services.contract.nodes import NodeInfo, PulledNode, PulledRun
from services.contract.scalars import run_order

NOT_REACHED = "it was not reached yet"
_PULLING = "its files are still being pulled"
_REPLACED_SECONDS = 10.0
"""A name that another address had until less long ago belongs to a node that may live."""
_MOST_FAULTS = 20
_NEVER = float("-inf")


@dataclass
class NodeState:
    """What is known of one node.

    Attributes:
        folder: identity of its volumes folder; empty before it was reached.
        address: where it was reached last.
        tried: where it was not reached.
        reached_at: when, monotonic seconds.
        trouble: why it cannot be read, empty if it can.
        files: how many files it has, by run.
        faults: what contradicts that files only grow, by run.
        clean_at: when the last pass began that found every file complete, by run; monotonic seconds.
    """

    folder: str = ""
    address: NodeAddress | None = None
    tried: NodeAddress | None = None
    reached_at: float = _NEVER
    trouble: str = NOT_REACHED
    files: dict[str, int] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    clean_at: dict[str, float] = field(default_factory=dict)

    def record(self, node: str, run: str, since: float | None) -> PulledNode:
        """Return how far a run was pulled.

        Args:
            node: its name.
            run: the run.
            since: a pass that began after this time shows that everything is here; None while the run goes on.
        """
        is_complete = since is not None and self.clean_at.get(run, _NEVER) > since
        return PulledNode(
            node=node,
            files=self.files.get(run, 0),
            is_complete=is_complete,
            trouble="" if is_complete else self.trouble or ("" if since is None else _PULLING),
            faults=list(self.faults.get(run, [])),
        )


class NodeTable:
    """The nodes, by name. May be used from any thread.

    Args:
        names: of the nodes that are known from the beginning: a run is not complete without them.
        runs: that are known from the beginning.
        keep_runs: only the newest of the runs are pulled; 0 for all.
        is_one_name: the nodes are the addresses of one name.
    """

    def __init__(self, names: Iterable[str], runs: Iterable[str], keep_runs: int, *, is_one_name: bool = False) -> None:
        self._is_one_name = is_one_name
        self._lock = threading.Lock()
        self._nodes = {name: NodeState() for name in names}
        self._runs, self._closed, self._keep_runs = set(runs), set[str](), keep_runs

    def open_runs(self) -> list[str]:
        """Return the runs that are pulled, oldest first."""
        with self._lock:
            newest = sorted(self._runs, key=run_order)[-self._keep_runs or None :]
            return [run for run in newest if run not in self._closed]

    def close(self, run: str) -> None:
        """Pull a run no longer: its verdict is final."""
        with self._lock:
            self._closed.add(run)

    def claim(self, name: str, address: NodeAddress, info: NodeInfo, now: float) -> str:
        """Note that a node was reached under a name; return why it cannot have that name, empty if it can.

        Args:
            name: of the node.
            address: where it was reached.
            info: what it says of itself.
            now: monotonic seconds.
        """
        with self._lock:
            # Those with a verdict do not count: a collector may run for months.
            if len(self._runs.union(info.runs) - self._closed) > LISTED_RUNS.value:
                return f"there are more than {LISTED_RUNS.value:,} runs with its own: set KEEP_RUNS on the hosts"
            if name not in self._nodes and len(self._nodes) >= NODES.value:
                return f"there are more than {NODES.value:,} nodes"
            node = self._nodes.setdefault(name, NodeState())
            is_recent = node.address not in (None, address) and now - node.reached_at < _REPLACED_SECONDS
            if is_recent and node.folder != info.folder:
                other = node.address.host if node.address is not None else ""
                return f"the node at {other} has the same host name, {name}: give each host a name of its own"
            node.folder, node.address, node.reached_at = info.folder, address, now
            self._runs.update(info.runs)
            return ""

    def is_pulled_elsewhere(self, name: str, address: NodeAddress, folder: str, now: float) -> bool:
        """Return whether a node is pulled at another of its addresses."""
        with self._lock:
            node = self._nodes.get(name)
            if node is None or node.address in (None, address) or node.folder != folder:
                return False
            return now - node.reached_at < _REPLACED_SECONDS

    def note_pass(self, name: str, run: str, began: float, report: PassReport) -> None:
        """Note what a pass over the files of a run has found, which began at ``began``."""
        with self._lock:
            node = self._nodes[name]
            node.files[run] = report.files
            known = node.faults.setdefault(run, [])
            known += [fault for fault in report.faults if fault not in known][: _MOST_FAULTS - len(known)]
            if report.is_complete and not report.has_changed:
                node.clean_at[run] = began

    def note_trouble(self, name: str, address: NodeAddress, trouble: str, now: float) -> bool:
        """Note why a node cannot be read at an address, empty if it can; return whether that is news."""
        with self._lock:
            node = self._nodes.setdefault(name, NodeState())
            # It may have got another address meanwhile, and answer there.
            if trouble and node.address not in (None, address) and now - node.reached_at < _REPLACED_SECONDS:
                return False
            # The other addresses of a node that is reached are not asked, so they say nothing about it.
            if not trouble and node.address not in (None, address):
                return False
            is_news, node.trouble, node.tried = node.trouble != trouble, trouble, address
            return is_news

    def forget(self, name: str) -> None:
        """Forget a node that was never reached under this name."""
        with self._lock:
            node = self._nodes.get(name)
            if node is not None and node.address is None:
                del self._nodes[name]

    def complete_from(self, run: str) -> float:
        """Return since when every node is known to have given every byte of a run, monotonic seconds.

        Everything that a node had at that time is here.
        """
        with self._lock:
            return min((node.clean_at.get(run, _NEVER) for _, node in self._required()), default=_NEVER)

    def record(self, run: str, since: float | None = None) -> PulledRun:
        """Return how far a run was pulled; ``since`` is that of `NodeState.record`."""
        with self._lock:
            nodes = [node.record(name, run, since) for name, node in self._required()]
        return PulledRun(run=run, nodes=nodes)

    def _required(self) -> list[tuple[str, NodeState]]:
        """Return the nodes of which a run needs the files, by name.

        A host has addresses of IPv4 and IPv6, and its node may listen on one of them. So an address of the one name
        that never answered counts only if another one of its kind did, or none did at all.
        """
        reached = {":" in node.address.host for node in self._nodes.values() if node.address is not None}
        return [
            (name, node)
            for name, node in sorted(self._nodes.items())
            if not self._is_one_name
            or not reached
            or node.address is not None
            or node.tried is None
            or (":" in node.tried.host) in reached
        ]
