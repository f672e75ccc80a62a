"""Pulls the files of all nodes at the same time into the collector's folder.

Each node has a thread of its own, so one that hangs delays only itself; a thread holds at most one piece of a file.
"""

from __future__ import annotations

import fcntl
import functools
import ipaddress
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from services.collector.nodes.node_address import NodeAddress
from services.collector.nodes.node_client import NodeClient, NodeUnreachable
from services.collector.nodes.node_copy import NodeCopy
from services.collector.nodes.node_state import NodeTable
from services.collector.nodes.pull_record import path_of, read_record
from services.collector.nodes.shared_files import folder_id
from services.collector.scan import find_runs, log_clients
from services.contract.bounds import NODES
from services.contract.nodes import NodeInfo, PulledRun
from services.runtime import durable_file
from services.runtime.access.tls import ClientTls
from services.runtime.errors import OperatorError
from services.runtime.jsonlogs import RateLimitedLog

log = logging.getLogger(__name__)

_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 5.0
_LOOK_UP_SECONDS = 2.0
_STOP_SECONDS = 2.0
_LOG_SECONDS = 60.0

Identify = Callable[[NodeInfo], tuple[str, NodeCopy]]
"""Returns the name of a node by what it says of itself, and the copies of its files."""
LookUp = Callable[[str, int], Sequence[NodeAddress]]


class FolderInUse(OperatorError):
    """The folder into which a collector is to pull is that of services of this host, or of another such collector."""


def look_up(host: str, port: int) -> list[NodeAddress]:
    """Return all addresses of a name. Blocks for seconds if the name server does not answer.

    Raises:
        OSError: the name is not known.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(NodeAddress(str(address[0]), port) for *_, address in found))


def refuse_own_files(volumes: Path) -> None:
    """Refuse a folder with files that were not pulled: they would mix with the copies.

    Raises:
        FolderInUse: with one of these files.
    """
    for run in find_runs(volumes):
        folders = [volumes / "ledger" / run, *(volumes / "logs" / run / client for client in log_clients(volumes, run))]
        own = next((path for folder in folders for path in folder.glob("*.jsonl") if "~" not in path.name), None)
        if own is not None:
            raise FolderInUse(
                f"NODES: {own} was written by a service of this host; give the collector that pulls another VOLUMES"
            )


class NodePulls:
    """Pulls the files of nodes, each in a thread.

    Args:
        volumes: the collector's folder.
        nodes: several nodes, or one name with all their addresses.
        token: that the nodes require.
        keep_runs: only the newest runs are pulled; 0 for all.
        find: looks up a name.
        now: returns monotonic seconds.
        ca_file: certificates to trust by TLS; empty for those of the system.
    """

    def __init__(
        self,
        volumes: Path,
        nodes: Sequence[NodeAddress],
        token: str,
        keep_runs: int = 0,
        find: LookUp = look_up,
        now: Callable[[], float] = time.monotonic,
        ca_file: str = "",
    ) -> None:
        self._tls = ClientTls(ca_file)
        self._volumes, self._nodes, self._token, self._find, self._now = volumes, nodes, token, find, now
        self._is_one_name = len(nodes) == 1 and not _is_address(nodes[0].host)
        records = {run: record for run in find_runs(volumes) if (record := read_record(volumes, run)) is not None}
        # They may not answer at present, but a run that was pulled from them is not complete without them.
        recorded = {node.node for record in records.values() if not record.is_complete for node in record.nodes}
        # Not an address that never answered: no host name has a colon.
        recorded = {name for name in recorded if ":" not in name}
        names = recorded if self._is_one_name else {_name(node, nodes) for node in nodes}
        self.table = NodeTable(names, records, keep_runs, is_one_name=self._is_one_name)
        self._written = {run: record for run, record in records.items() if record.is_complete}
        for run in self._written:
            self.table.close(run)
        self._own_folder = folder_id(volumes)
        self._stop, self._threads = threading.Event(), list[threading.Thread]()
        self._addresses, self._pulled = set[NodeAddress](), set[NodeAddress]()
        self._lookup_log, self._write_log = RateLimitedLog(_LOG_SECONDS), RateLimitedLog(_LOG_SECONDS)
        self._write_lock = threading.Lock()
        self._folder: int | None = None

    def start(self) -> None:
        """Begin to pull.

        Raises:
            FolderInUse: another collector pulls into the folder.
        """
        self._lock_folder()
        if self._is_one_name:
            self._run(self._follow_name, self._nodes[0])
        else:
            for node in self._nodes:
                self._run(self._pull_named, node, _name(node, self._nodes))

    def stop(self) -> None:
        """Stop pulling; a thread that waits for a node ends with the process."""
        self._stop.set()
        until = self._now() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(max(until - self._now(), 0))
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None

    def _lock_folder(self) -> None:
        """Hold a lock on the folder of the records: two collectors would append the same bytes to one copy."""
        folder = path_of(self._volumes, "").parent
        folder.mkdir(exist_ok=True)
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(f"NODES: another collector pulls into {self._volumes}; stop it, or set VOLUMES") from None
        except OSError as problem:  # a file system without locks
            log.info("folder not locked", extra={"path": str(folder), "why": str(problem)})

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def complete_from(self, run: str) -> float:
        """Return `NodeTable.complete_from`."""
        return self.table.complete_from(run)

    def is_settled(self, run: str) -> bool:
        """Return whether everything of a run that was over is here."""
        with self._write_lock:
            return run in self._written and self._written[run].is_complete

    def close(self, run: str) -> None:
        """Pull a run no longer."""
        self.table.close(run)

    def seal(self, run: str, since: float) -> PulledRun:
        """Record how far a run was pulled, for its verdict; return that.

        Args:
            run: the run.
            since: when it was over, monotonic seconds.

        Raises:
            OSError: the record cannot be written. Without it the verdict would not know of a missing node.
        """
        record = self.table.record(run, since)
        self._write(record)
        return record

    def _follow_name(self, name: NodeAddress) -> None:
        """Pull from every address that the name has."""
        while not self._stop.is_set():
            try:
                found = self._find(name.host, name.port)
                self._addresses = {address._replace(tls_name=name.tls_name) for address in found}
            except OSError as problem:
                # Addresses that are known are pulled on: a name server may be away for a while.
                if self._lookup_log.allow(self._now()):
                    log.warning("name of the nodes not found", extra={"node": name.host, "why": str(problem)})
            for address in sorted(self._addresses - self._pulled)[: NODES.value - len(self._pulled)]:
                self._pulled.add(address)
                self._run(self._pull_address, address)
            self._stop.wait(_LOOK_UP_SECONDS)

    def _pull_named(self, address: NodeAddress, name: str) -> None:
        """Pull from a node that the operator has named, until this is stopped."""
        client, copy = NodeClient(address, self._token, tls=self._tls), NodeCopy(self._volumes, name)
        while not self._stop.is_set():
            self._pull(client, address, lambda _info: (name, copy), name)

    def _pull_address(self, address: NodeAddress) -> None:
        """Pull from an address of the one name, while the name has it or it answers; the node there names itself."""
        client, unknown = NodeClient(address, self._token, tls=self._tls), f"{address.host}:{address.port}"
        copies: dict[str, NodeCopy] = {}
        name = unknown

        def identify(info: NodeInfo) -> tuple[str, NodeCopy]:
            return info.node, copies.setdefault(info.node, NodeCopy(self._volumes, info.node))

        while not self._stop.is_set():
            name, is_reached = self._pull(client, address, identify, name)
            if name != unknown:
                self.table.forget(unknown)
            if not is_reached and address not in self._addresses:
                break
        # An address that never answered and is gone was no node: name servers list containers that have ended.
        self.table.forget(unknown)
        self._pulled.discard(address)

    def _pull(self, client: NodeClient, address: NodeAddress, identify: Identify, name: str) -> tuple[str, bool]:
        """Pull once and pause; return the name of the node, and whether it was reached."""
        began, trouble = self._now(), ""
        try:
            name = self._pull_once(client, address, identify)
        except NodeUnreachable as problem:
            trouble = str(problem)
        except OSError as problem:
            trouble = f"its copies cannot be written: {problem.strerror or problem}"
        except Exception as problem:
            # A fault in pulling one node must not end its thread: the node would be missing for good.
            log.exception("node not pulled", extra={"node": name})
            trouble = f"its files cannot be pulled: {type(problem).__name__}"
        finally:
            # The node would end a connection that is idle during the pause, perhaps with the next request under way.
            client.close()
        if self.table.note_trouble(name, address, trouble, self._now()):
            level = logging.WARNING if trouble else logging.INFO
            log.log(level, "node not reached" if trouble else "node reached", extra={"node": name, "why": trouble})
        self._note_progress()
        self._stop.wait(min(max(self._now() - began, _PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS))
        return name, not trouble

    def _pull_once(self, client: NodeClient, address: NodeAddress, identify: Identify) -> str:
        info = client.info()
        if info.folder == self._own_folder:
            raise NodeUnreachable("it hands out this collector's own folder: give the collector another VOLUMES")
        name, copy = identify(info)
        if self.table.is_pulled_elsewhere(name, address, info.folder, self._now()):
            return name
        if conflict := self.table.claim(name, address, info, self._now()):
            raise NodeUnreachable(conflict)
        for run in self.table.open_runs():
            if self._stop.is_set():
                break
            began = self._now()
            report = copy.pull(client.listing(run), functools.partial(client.part, run))
            self.table.note_pass(name, run, began, report)
        return name

    def _note_progress(self) -> None:
        """Write the records of all runs that are pulled, for commands that read the folder meanwhile."""
        for run in self.table.open_runs():
            try:
                self._write(self.table.record(run))
            except OSError as problem:
                if self._write_log.allow(self._now()):
                    log.warning("record of a pulled run not written", extra={"run": run, "why": str(problem)})

    def _write(self, record: PulledRun) -> None:
        with self._write_lock:
            known = self._written.get(record.run)
            # What was sealed for a verdict is not replaced by what is known of a run that goes on.
            if known == record or (known is not None and known.is_complete):
                return
            path = path_of(self._volumes, record.run)
            path.parent.mkdir(exist_ok=True)
            durable_file.replace(path, msgspec.json.encode(record) + b"\n", durable=False)
            self._written[record.run] = record


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _name(node: NodeAddress, nodes: Sequence[NodeAddress]) -> str:
    """Return the name of a node that the operator has named: its host, with the port if there are several on one."""
    is_unique = sum(other.host == node.host for other in nodes) == 1
    return node.host if is_unique else f"{node.host}:{node.port}"
