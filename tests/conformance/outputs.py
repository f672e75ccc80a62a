"""Checks that the commands print and write the same as before for every case of the kit.

``outputs.txt`` has a digest of each output of each case, so that no figure and no word changes unnoticed. After a
change on purpose, ``python -m tests.conformance.outputs`` writes it again. With ``--from CHECKOUT`` the code and the
volumes of an older commit make the outputs, and ``renamed.toml`` translates the words that were renamed since: if the
test passes with those digests, nothing else has changed. ``--keep FOLDER`` keeps the outputs themselves for diff.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
VOLUMES = Path("docs/conformance/volumes")
DIGESTS = ROOT / "tests/conformance/outputs.txt"
RENAMED = ROOT / "tests/conformance/renamed.toml"
REFERENCE = "one-client"
"""The case that `compare` compares the others with."""
LIMITS = (
    "latency.p99<50ms, latency{client:*}.max<=2ms, transit.med>1ns, block.avg<1s, missing==0, missing{client:*}<2,"
    " duplicates==0, catch_up==0, catch_up.max<1ms, clients>1, rate>50, silence{client:client-2}<10ms"
)
KINDS = (
    "verify.txt", "verify.json", "thresholds.txt", "prove.txt", "salvage.txt", "salvaged",
    "terminal.txt", "compare.txt", "messages.jsonl", "messages.txt",
    "summary.json", "timeline.json", "report.json", "summary.md", "junit.xml", "clients.csv",
)  # fmt: skip
"""The columns of ``outputs.txt``: what commands print, the tree of a salvaged copy, and the files of a run.

``report.json`` is the data in ``report.html``. The page around them is the same in every report.
"""

_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)

Digests = dict[str, dict[str, str]]
"""By case and kind."""


def make_outputs(volumes: Path, out: Path) -> None:
    """Write all outputs of all cases.

    Args:
        volumes: the folder of the cases.
        out: an empty folder. Each case gets a folder there.
    """
    cases = sorted(volumes.iterdir(), key=lambda path: (path.name != REFERENCE, path.name))
    for case in cases:
        folder = out / case.name
        shutil.copytree(case, folder / "volumes")
        # Relative paths, because commands print them.
        with contextlib.chdir(folder):
            _make_case()
        if case.name == REFERENCE:
            (summary,) = folder.glob("*/summary.json")
            shutil.copyfile(summary, out / "reference.json")
    for case in cases:
        with contextlib.chdir(out / case.name):
            for summary in Path().glob("*/summary.json"):
                _print(str(summary.with_name("compare.txt")), "compare", "../reference.json", str(summary), "--force")
        shutil.rmtree(out / case.name / "volumes")
    (out / "reference.json").unlink()


def _make_case() -> None:
    """Write the outputs of the case in the folder ``volumes`` to the working folder."""
    _print("verify.txt", "verify", "volumes")
    _print("verify.json", "verify", "volumes", "--json")
    _print("thresholds.txt", "verify", "volumes", "--thresholds", LIMITS)
    _print("prove.txt", "prove", "volumes")
    _print("salvage.txt", "verify", "volumes", "--salvage", "salvaged")
    for run in sorted({path.name for path in Path("volumes").glob("l*/*")}):
        _print(f"{run}/terminal.txt", "report", "volumes", "--run", run, "--out", run)
        _print(f"{run}/messages.jsonl", "messages", "volumes", "--run", run)
        _print(f"{run}/messages.txt", "messages", "volumes", "--run", run, "--text")
        page = Path(run, "report.html")
        page.with_suffix(".json").write_text(_DATA.findall(page.read_text(encoding="utf-8"))[-1], encoding="utf-8")
        page.unlink()


def _print(name: str, *arguments: str) -> None:
    """Write what a command prints, and its exit code, to a file."""
    # Imported here: with `--from` it is the command line of the other checkout.
    from services.collector.__main__ import main  # noqa: PLC0415

    printed = io.BytesIO()
    with io.TextIOWrapper(printed, encoding="utf-8", write_through=True) as stream:
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            code = main(arguments)
        stream.flush()
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(printed.getvalue() + b"exit code %d\n" % code)


def translate(out: Path, renames: Path) -> None:
    """Replace in the outputs of older code the words that were renamed since, as ``renamed.toml`` lists them."""
    from tests.conformance.lines import resealed  # noqa: PLC0415

    rules: list[dict[str, Any]] = tomllib.loads(renames.read_text(encoding="utf-8"))["rename"]
    for path in _files(out):
        before = after = path.read_text(encoding="utf-8")
        for rule in rules:
            if any(fnmatch(path.relative_to(out).as_posix(), f"*/{pattern}") for pattern in rule["files"]):
                old = rule["pattern"] if "pattern" in rule else re.escape(rule["old"])
                new = rule["new"] if "pattern" in rule else rule["new"].replace("\\", r"\\")
                after = re.sub(old, new, after)
        if after == before:
            continue
        content = after.encode()
        if path.suffix == ".jsonl" and "salvaged" in path.relative_to(out).parts:
            # A field was renamed, so the checksums of its line and of those after it are others.
            content = b"".join(resealed(content.splitlines(keepends=True), lambda _number, line: line))
        path.write_bytes(content)


def digests(out: Path) -> Digests:
    """Return the digests of all outputs in a folder."""
    return {case.name: {kind: _digest(case, kind) for kind in KINDS} for case in sorted(out.iterdir())}


def _digest(case: Path, kind: str) -> str:
    """Return the digest of one kind of output; of several runs, or files of a copy, all together."""
    hashed = hashlib.sha256()
    found = sorted(chain(case.glob(kind), case.glob(f"*/{kind}")))
    for path in chain.from_iterable(_files(path) if path.is_dir() else [path] for path in found):
        content = path.read_bytes()
        hashed.update(b"%b %d\n%b" % (path.relative_to(case).as_posix().encode(), len(content), content))
    return hashed.hexdigest()[:8] if found else "-"


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def write_digests(table: Digests) -> None:
    """Write ``outputs.txt``: a row for each case, a column for each kind of output."""
    width = max(map(len, table))
    rows = [("", KINDS), *((case, [f"{row[kind]:<{len(kind)}}" for kind in KINDS]) for case, row in table.items())]
    text = "".join(
        f"{case:<{width}}  {'  '.join(f'{cell:<8}' for cell in cells)}".rstrip() + "\n" for case, cells in rows
    )
    DIGESTS.write_text(text, encoding="utf-8")


def read_digests() -> Digests:
    """Return the digests in ``outputs.txt``."""
    rows = (line.split() for line in DIGESTS.read_text(encoding="utf-8").splitlines()[1:])
    return {case: dict(zip(KINDS, cells, strict=True)) for case, *cells in rows}


def main(arguments: Sequence[str]) -> None:
    """Write ``outputs.txt``, by this code or by that of another checkout."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.outputs", description=__doc__)
    parser.add_argument("--from", dest="checkout", metavar="CHECKOUT", type=Path, help="code and volumes to use")
    parser.add_argument(
        "--keep", metavar="FOLDER", type=Path, help="a new folder for the outputs; no digest is written"
    )
    parser.add_argument("--only-make", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "outputs") if chosen.keep is None else chosen.keep.resolve()
        out.mkdir()
        checkout = ROOT if chosen.checkout is None else chosen.checkout.resolve()
        if chosen.only_make or chosen.checkout is None:
            make_outputs(checkout / VOLUMES, out)
        else:
            _make_elsewhere(checkout, out)
            translate(out, RENAMED)
        if chosen.keep is None:
            write_digests(digests(out))


def _make_elsewhere(checkout: Path, out: Path) -> None:
    """Make the outputs in a process that imports the code of another checkout."""
    out.rmdir()
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, __file__, "--only-make", "--from", str(checkout), "--keep", str(out)]
    subprocess.run(command, env=environment, cwd=checkout, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
