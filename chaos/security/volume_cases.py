"""Files beside and inside an honest client's log (T11, T12, T15, T17): each must be judged, whatever it is.

``python -m chaos.security.volume_cases`` judges the folders that are named on its standard input.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from chaos.security.case import CaseResult
from services.collector.__main__ import main as collector
from services.contract.jsonl import FIRST, seal

HONEST = Path("docs/conformance/volumes/one-client")
RUN = "20261122T073000Z"
LOG, LEDGER = f"logs/{RUN}/client-1", f"ledger/{RUN}"
MOST_SECONDS, MOST_BYTES = 20.0, 400 * 2**20
_RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

Make = Callable[[Path], None]


class VolumeCase(NamedTuple):
    """Something that is put into a copy of an honest run; ``make`` is given the copy."""

    threat: str
    name: str
    make: Make


def cases() -> Iterator[VolumeCase]:
    """Yield all cases."""
    for place, path in _PLACES.items():
        for kind, make in _KINDS.items():
            yield VolumeCase("T11", f"{kind} as {place}", _placed(make, path))
    for folder in (LOG, LEDGER, "logs", f"logs/{RUN}"):
        for file in _NAMES:
            path = f"{folder}/{os.fsdecode(file)}"
            yield VolumeCase("T12", f"file {file!r} in {folder}", _placed(_filled(b"junk\n"), path))
    for side, folder in (("log", LOG), ("ledger", LEDGER)):
        for number, line in enumerate(_lines(folder)):
            for field in line.keys() - {"crc", "prev"}:
                for value in _VALUES:
                    name = f"{side} line {number + 1}: {field} is {value!r:.30}"
                    yield VolumeCase("T15", name, _changed(folder, number, field, value))


_PLACES = {
    "a log": f"{LOG}/0002-0001.jsonl",
    "a ledger": f"{LEDGER}/aaaa.jsonl",
    "a client": f"logs/{RUN}/client-2",
    "a run": "logs/20261123T000000Z",
    "a run's ledger": "ledger/20261123T000000Z",
}


def _filled(contents: bytes) -> Make:
    def write(path: Path) -> None:
        path.write_bytes(contents)

    return write


def _socket(path: Path) -> None:
    # The path of a socket has at most 107 bytes, which a temporary folder may exceed.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(before)


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 3 * 2**30)


_KINDS: dict[str, Make] = {
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a folder": Path.mkdir,
    "an empty file": Path.touch,
    "junk": _filled(b"junk\n"),
    "zeros": _filled(bytes(2**20)),
    "a line of 40 MB": _filled(b"{" * 40 * 2**20),
    "3 GB that take no disk": _sparse,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to a log": lambda path: path.symlink_to((HONEST / LOG).resolve() / "0001-0001.jsonl"),
    "a link to an honest run": lambda path: path.symlink_to((HONEST / "logs" / RUN).resolve()),
    "a link to the system": lambda path: path.symlink_to("/etc"),
}
_NAMES = (
    b"\xff.jsonl", b"a\xc3.jsonl", b"a\nPASS run 20261122T073000Z.jsonl", b"a\r.jsonl", b"\x1b[2J.jsonl",
    b"\x1b]0;x\x07.jsonl",
    "\x9b31m.jsonl".encode(), "\u202egnp.jsonl".encode(), "\u2028.jsonl".encode(), "\u2066x.jsonl".encode(),
    b"-rf.jsonl",
    b"--help.jsonl", b"*.jsonl", b"$(id).jsonl", b"`id`.jsonl", b"%s%n.jsonl", b"<script>alert(1)<script>.jsonl",
    b"'.jsonl",
    b'".jsonl', b" .jsonl", b".jsonl", b"..jsonl", b"=1+1.jsonl", b"a" * 249 + b".jsonl", b"9999-9999.jsonl",
    b"0001-0001.jsonl.bak",
)  # fmt: skip
_VALUES: tuple[object, ...] = (
    None, True, -1, 2**53, 1e300, 5e-324, "", "x" * 70_000, "\x1b[2J\u202e\n", [], [[5, 1]], [[1, 2**53 - 1]], {"a": 1},
    "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00.000000Z",
)  # fmt: skip


def _placed(make: Make, path: str) -> Make:
    def put(folder: Path) -> None:
        target = folder / path
        if not target.exists():
            make(target)

    return put


def _lines(folder: str) -> list[dict[str, object]]:
    (path,) = (HONEST / folder).glob("*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _changed(folder: str, number: int, field: str, value: object) -> Make:
    """Return what writes a log whose line has another value, and whose checksums are right."""

    def write(copy: Path) -> None:
        (path,) = (copy / folder).glob("*.jsonl")
        prev, written = FIRST, list[bytes]()
        for index, line in enumerate(_lines(folder)):
            fields = {name: line[name] for name in line if name not in ("crc", "prev")}
            if index == number:
                fields[field] = value
            sealed, prev = seal(json.dumps(fields, separators=(",", ":")).encode(), prev)
            written.append(sealed)
        path.write_bytes(b"".join(written))

    return write


def judge(folder: str) -> str:
    """Verify a folder; return "judged", or what is wrong with how that was done."""
    began, output = time.monotonic(), io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = collector(["verify", folder])
    except Exception:  # noqa: BLE001
        return traceback.format_exc().splitlines()[-1]
    if time.monotonic() - began > MOST_SECONDS:
        return f"{time.monotonic() - began:.0f} s"
    if (raw := _RAW.search(output.getvalue())) is not None:
        return f"prints {raw.group()!r}"
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > MOST_BYTES:
        return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB"
    return "judged" if code in (0, 98, 99) else f"exit code {code}"


def attempt_all(folder: Path, every: int = 1) -> Iterator[CaseResult]:
    """Judge every case, or every so manieth, each in a copy of the honest run below a folder."""
    chosen = list(cases())[::every]
    with subprocess.Popen(
        [sys.executable, "-m", "chaos.security.volume_cases"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as judging:
        assert judging.stdin is not None
        assert judging.stdout is not None
        for number, case in enumerate(chosen):
            copy = folder / str(number)
            shutil.copytree(HONEST, copy)
            case.make(copy)
            judging.stdin.write(f"{copy}\n")
            judging.stdin.flush()
            yield CaseResult(case.threat, case.name, "judged", judging.stdout.readline().strip() or "ended")
            shutil.rmtree(copy)
        judging.stdin.close()


if __name__ == "__main__":
    for named in sys.stdin:
        print(judge(named.rstrip("\n")), flush=True)
