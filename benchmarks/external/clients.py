"""Runs clients with a feed of `sender`: the own one, npm ``ws``, and the bare reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import InvalidRun, cpu_clock, environment, free_port
from benchmarks.peers import install
from services.contract import blocklog

_DEADLINE_SECONDS = 120
_QUIET_SECONDS = 0.5
_HERE = Path(__file__).parent
_TAIL_BYTES = 2048


class Load(NamedTuple):
    """The number of messages of a run, and how many are sent each second, 0 for as many as the client takes."""

    messages: int
    rate: int = 0


class Cost(NamedTuple):
    """Processor time per message of the client's process and of the sender's, microseconds."""

    client_us: float
    sender_us: float


class Latencies(NamedTuple):
    """The latency of every message from its tick to its read, by the client's log and by the bare reader, ns."""

    own_ns: list[int]
    bare_ns: list[int]


def own_cost(folder: Path, load: Load, product: Path | None = None) -> Cost:
    """Measure the own client, which stamps, checks, logs and syncs each message.

    Args:
        folder: for its log; created.
        load: of the run.
        product: a checkout with the client, None for this one.

    Raises:
        InvalidRun: its log is not complete.
    """
    with _sending(load) as (sender, port), _own_client(port, folder, product) as client:
        cost = _cost(sender, client, load, lambda: _is_sealed(folder))
    logged = sum(block.count for block in _blocks(folder))
    if logged != load.messages:
        raise InvalidRun(f"the client logged {logged} of {load.messages} messages")
    return cost


def npm_cost(folder: Path, load: Load) -> Cost:
    """Measure a client of npm ``ws`` that parses each message, checks its number and appends a line.

    Arguments as for the own client.

    Raises:
        NotAvailable: Node.js or the package is missing.
        InvalidRun: its file is not complete.
    """
    node, modules = install.npm("ws").command
    folder.mkdir()
    lines = folder / "lines.jsonl"
    with _sending(load) as (sender, port):
        command = [node, str(_HERE / "ws_client.js"), modules, f"ws://127.0.0.1:{port}", str(lines)]
        with _started(command, stdout=subprocess.PIPE) as client:
            cost = _cost(sender, client, load, lambda: _line_after(client, "end") == "0")
    logged = lines.read_bytes().count(b"\n")
    if logged != load.messages:
        raise InvalidRun(f"npm ws logged {logged} of {load.messages} messages")
    return cost


def latencies(folder: Path, load: Load, product: Path | None = None) -> Latencies:
    """Give the own client and the bare reader the same messages at the same time.

    Arguments as for the own client.

    Raises:
        InvalidRun: a message is missing on either side.
    """
    reader = [sys.executable, "-m", "benchmarks.external.bare_reader"]
    with (
        _sending(load, readers=2) as (sender, port),
        _own_client(port, folder, product),
        _started([*reader, str(port)], stdout=subprocess.PIPE) as bare,
    ):
        _start(sender)
        bare_ns = json.loads(_line_after(bare, "end"))
        _wait(lambda: _is_sealed(folder))
    own_ns = [message.latency_ns or 0 for block in _blocks(folder) for message in block.messages]
    if not len(own_ns) == len(bare_ns) == load.messages:
        raise InvalidRun(f"{len(own_ns)} and {len(bare_ns)} messages arrived instead of {load.messages}")
    return Latencies(own_ns, bare_ns)


@contextmanager
def _sending(load: Load, readers: int = 1) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a sender that waits for its connections; yield it and its port."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.external.sender", *map(str, (port, *load, readers))]
    with _started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sender:
        _line_after(sender, "listening")
        yield sender, port


@contextmanager
def _own_client(port: int, folder: Path, product: Path | None) -> Iterator[subprocess.Popen[str]]:
    folder.mkdir()
    variables = environment(
        SERVER_URL=f"ws://127.0.0.1:{port}",
        FEED="foreign",
        FEED_SEQ="$.seq",
        FEED_TIME="$.ts",
        FEED_KEY="$.sym",
        FEED_END="close 1000",
        CLIENT_ID="one",
        BLOCK_SIZES=1000,
        FSYNC="block",
        VOLUMES=folder,
    )
    with (folder / "output").open("wb") as output:
        command = [sys.executable, "-m", "services.client"]
        with _started(command, env=variables, cwd=product, stdout=output, stderr=output) as client:
            yield client


@contextmanager
def _started(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a process, and end it afterwards."""
    process: subprocess.Popen[str] = subprocess.Popen(command, **{"env": environment(), "text": True, **options})
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def _cost(
    sender: subprocess.Popen[str], client: subprocess.Popen[str], load: Load, has_ended: Callable[[], bool]
) -> Cost:
    before = _start(sender, lambda: cpu_clock(client.pid))
    sender_us = float(_line_after(sender, "")) / load.messages * 1e6
    _wait(has_ended)
    return Cost((cpu_clock(client.pid) - before) / load.messages * 1e6, sender_us)


def _start(sender: subprocess.Popen[str], reading: Callable[[], float] = time.monotonic) -> float:
    """Let the sender begin once its connections are quiet; return what was read just before."""
    _line_after(sender, "connected")
    time.sleep(_QUIET_SECONDS)
    before = reading()
    if sender.stdin is not None:
        sender.stdin.write("begin\n")
        sender.stdin.flush()
    return before


def _line_after(process: subprocess.Popen[str], beginning: str) -> str:
    """Return what follows this beginning in the next line that a process prints."""
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line.startswith(beginning):
        raise InvalidRun(f"a process of the benchmark printed {line!r} instead of {beginning!r}")
    return line.removeprefix(beginning).strip()


def _wait(has_ended: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not has_ended():
        if time.monotonic() > deadline:
            raise InvalidRun(f"the client did not end the run within {_DEADLINE_SECONDS} s")
        time.sleep(0.02)


def _is_sealed(folder: Path) -> bool:
    """Return whether the log of the client has its last line."""
    files = sorted((folder / "logs").glob("*/*/*.jsonl"))
    if not files:
        return False
    with files[-1].open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
        return b'"kind":"end","reason":"finished"' in file.read()


def _blocks(folder: Path) -> Iterator[blocklog.ExternalBlock]:
    for path in sorted((folder / "logs").glob("*/*/*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                entry = blocklog.codec.decode(line)[1]
                if isinstance(entry, blocklog.ExternalBlock):
                    yield entry
