"""Compares the runs of two folders: medians, what changed, and whether that is more than noise."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec

from services.collector import formatting, retention
from services.collector.commands import mann_whitney
from services.collector.commands.comparison import Change, apart, compare
from services.collector.commands.run_loader import books_of
from services.collector.publish.files import run_files
from services.collector.publish.files.markdown import escaped
from services.collector.scan import find_runs, ledger_sources, read_file
from services.collector.verdict.summary import reconcile
from services.contract import ledger, summary
from services.contract.errors import LineError
from services.contract.scalars import run_order
from services.contract.summary import EXIT_CODES, Summary
from services.runtime.cli import Commands
from services.runtime.errors import OperatorError


class NoComparableRuns(OperatorError):
    """One side has no run that could be compared."""


@dataclass(frozen=True)
class Workload:
    """What a run had to do, in words: only runs that had to do the same can be compared."""

    feed: str
    records: str
    rate: str
    clients: str
    blocks: str

    def __str__(self) -> str:
        return f"{self.records} at {self.rate} · {self.clients}, {self.blocks} · feed {self.feed}"


@dataclass(frozen=True)
class RunSet:
    """What is compared: the runs that count, and the names of those that were left out, with the reason."""

    name: str
    runs: list[Summary]
    workloads: list[Workload]
    left_out: list[str]


def side(place: Path) -> RunSet:
    """Read the runs of a volumes folder, or the one of a ``summary.json``.

    A run whose measurement cannot be trusted is left out. The collector's own summary is taken where there is one.

    Raises:
        NoRuns: no run is left.
    """
    found = [(one, None) for one in _single(place)] if place.is_file() else _runs(place)
    good = [(made, opened) for made, opened in found if made.verdict in ("PASS", "FAIL")]
    left_out = [
        f"{place}: run {made.run} is {made.verdict or made.state} and left out: {made.headline}"
        for made, _ in found
        if made.verdict not in ("PASS", "FAIL")
    ]
    if not good:
        why = "; ".join(left_out) or "no run, and no summary.json"
        raise NoComparableRuns(f"{place}: nothing to compare: {why}")
    return RunSet(str(place), [made for made, _ in good], [workload(*one) for one in good], left_out)


def workload(made: Summary, opened: ledger.OpenEntry | None) -> Workload:
    """Return what a run had to do; the ledger's open line, where it is known, tells of a plan too."""
    rate = made.rate if opened is None else opened.rate
    sizes = sorted(client.block_size or 0 for client in made.clients)
    return Workload(
        feed=made.feed or "-",
        records=formatting.several(made.total or 0, "record"),
        rate=opened.plan if opened and opened.plan else f"{formatting.number(rate)}/s" if rate else "full speed",
        clients=formatting.several(len(made.clients), "client"),
        blocks=f"blocks of {', '.join(str(size) if size else '-' for size in sizes)}",
    )


def differences(workloads: list[Workload]) -> list[str]:
    """Return in which respects workloads differ, one line each."""
    found = []
    for field in fields(Workload):
        values = list(dict.fromkeys(getattr(one, field.name) for one in workloads))
        if len(values) > 1:
            found.append(f"{field.name}: {' and '.join(values)}")
    return found


def _single(place: Path) -> list[Summary]:
    try:
        return [summary.decode(place.read_bytes())]
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise NoComparableRuns(f"{place}: no summary.json: {problem}") from problem


def _runs(volumes: Path) -> list[tuple[Summary, ledger.OpenEntry | None]]:
    names = sorted({*find_runs(volumes), *retention.summed_up(volumes)}, key=run_order)
    return [(_made(volumes, name), _opened(volumes, name)) for name in names]


def _made(volumes: Path, run: str) -> Summary:
    published = run_files.load(volumes, run)
    if published is not None and published.state == "closed":
        return published
    return reconcile(books_of(volumes, run), final=True)


def _opened(volumes: Path, run: str) -> ledger.OpenEntry | None:
    for source in ledger_sources(volumes, run):
        try:
            for line in read_file(volumes, source):
                entry = ledger.codec.decode(line)[1]
                if isinstance(entry, ledger.OpenEntry):
                    return entry
                break
        except (OSError, LineError):
            continue
    return None


EXITS = "exit codes: 0 nothing got worse, 99 something did, 104 bad configuration, or workloads that differ"
HEADS = ("", "A", "B", "change", "p", "")
KEY = (
    "±: the run farthest from the median; p: how often noise alone gives such a difference (Mann–Whitney U, exact)",
    "~: p is 0.05 or more, so it may be noise",
)
_ADVICE = "play each side 5 times (RUNS=5)"


class DifferentWorkloads(OperatorError):
    """The runs had to do different things, so their numbers say nothing of each other."""


class ComparisonResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. ``worse`` names the metrics that decide the exit code."""

    a: str
    b: str
    a_runs: list[str]
    b_runs: list[str]
    workload: str
    worse_than: float
    changes: list[Change]
    worse: list[str]
    notes: list[str]

    @property
    def verdict(self) -> str:
        """All of it in one sentence."""
        limit = f"{self.worse_than:.0%}".replace("%", " %")
        facts = [one.metric for one in self.changes if one.outcome == "worse" and one.chance is None]
        slower = [name for name in self.worse if name not in facts]
        parts = [f"worse by more than {limit}: {', '.join(slower)}"] if slower else []
        parts += [f"worse: {', '.join(facts)}"] if facts else []
        if parts:
            return "; ".join(parts)
        if any(one.outcome == "unknown" for one in self.changes):
            return "no count got worse; times were not judged"
        better = [one.metric for one in self.changes if one.outcome == "better"]
        return "nothing got worse" + (f"; better: {', '.join(better)}" if better else "")


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "compare",
        "compare the runs of two folders: what changed, and whether it is more than noise",
        run,
        {
            "compare before after": "each a volumes folder with several runs (RUNS=5) of one workload",
            "compare main.json volumes --worse-than 20%": "a summary.json that was kept, and a folder",
            'compare before after --markdown >> "$GITHUB_STEP_SUMMARY"': "a table for a pull request",
        },
        EXITS,
    )
    parser.add_argument("a", metavar="A", type=Path, help="what is compared with: a volumes folder or a summary.json")
    parser.add_argument("b", metavar="B", type=Path, help="what is held to it: another one")
    parser.add_argument(
        "--worse-than", metavar="SHARE", type=_share, default=0.1, help="so much worse is borne (default 10%%)"
    )
    parser.add_argument("--force", action="store_true", help="compare different workloads too")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    form.add_argument("--json", action="store_true", help="print one line of JSON")


def run(chosen: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    """Compare the two sides that were chosen; return the exit code."""
    found = compared(side(chosen.a), side(chosen.b), chosen.worse_than, force=chosen.force)
    if chosen.json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        sys.stdout.write("\n".join(markdown(found) if chosen.markdown else text(found)) + "\n")
    return EXIT_CODES["FAIL" if found.worse else "PASS"]


def compared(a: RunSet, b: RunSet, worse_than: float, *, force: bool = False) -> ComparisonResult:
    """Hold one side to the other.

    Raises:
        DifferentWorkloads: they had to do different things, and it is not to be done by ``force``.
    """
    differ = differences([*a.workloads, *b.workloads])
    if differ and not force:
        listed = "".join(f"\n    {one}" for one in differ)
        raise DifferentWorkloads(f"the workloads differ, so the numbers say nothing; --force compares them{listed}")
    changes = compare(a.runs, b.runs, worse_than)
    return ComparisonResult(
        a=a.name,
        b=b.name,
        a_runs=[made.run for made in a.runs],
        b_runs=[made.run for made in b.runs],
        workload=str(a.workloads[0]),
        worse_than=worse_than,
        changes=changes,
        worse=[change.metric for change in changes if change.outcome == "worse"],
        notes=[*(f"different workloads: {one}" for one in differ), *a.left_out, *b.left_out, *_few(a, b)],
    )


def _few(a: RunSet, b: RunSet) -> Iterator[str]:
    counts = len(a.runs), len(b.runs)
    if 1 in counts:
        yield f"{_counted(counts)}: nobody knows the noise, so only counts are judged; {_ADVICE}"
    elif not mann_whitney.can_tell(*counts):
        yield f"{_counted(counts)}: too few to tell any change from noise; {_ADVICE}"


def _counted(counts: tuple[int, int]) -> str:
    one, other = counts
    return (
        f"{formatting.several(one, 'run')} a side"
        if one == other
        else f"{formatting.several(one, 'run')} and {other:,}"
    )


def text(found: ComparisonResult) -> Iterator[str]:
    """Yield the lines of a comparison for the terminal."""
    width = max(len(found.a), len(found.b))
    for label, name, runs in (("A", found.a, found.a_runs), ("B", found.b, found.b_runs)):
        yield f"{label}  {name:<{width}}  {formatting.several(len(runs), 'run')}, {_span(runs)}"
    yield f"   {found.workload}"
    yield ""
    rows = [HEADS, *map(_cells, found.changes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    for row in rows:
        name, *values, outcome = row
        cells = [f"{value:>{size}}" for value, size in zip(values, widths[1:-1], strict=True)]
        yield f"  {name:<{widths[0]}}   {'   '.join(cells)}   {outcome}".rstrip()
    yield ""
    if any(change.chance is not None for change in found.changes):
        yield from (f"  {line}" for line in KEY)
    for note in found.notes:
        yield f"  note: {note}"
    yield f"  {found.verdict}"


def markdown(found: ComparisonResult) -> Iterator[str]:
    """Yield the lines of a comparison as Markdown."""
    yield f"**{found.verdict[0].upper()}{found.verdict[1:]}**"
    yield ""
    heads = ["", f"A: {escaped(found.a)}", f"B: {escaped(found.b)}", *HEADS[3:]]
    yield f"| {' | '.join(heads)} |"
    yield "|---|--:|--:|--:|--:|---|"
    for change in found.changes:
        *cells, outcome = _cells(change)
        yield f"| {' | '.join([*cells, f'**{outcome}**' if outcome == 'worse' else outcome])} |"
    yield ""
    yield f"{formatting.several(len(found.a_runs), 'run')} and {len(found.b_runs):,} · {escaped(found.workload)}"
    for note in [*(KEY if any(change.chance is not None for change in found.changes) else ()), *found.notes]:
        yield f"\n{escaped(note)}"


def _span(runs: Sequence[str]) -> str:
    return runs[0] if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"


def _cells(change: Change) -> tuple[str, ...]:
    share = "" if change.change is None else f"{change.change:+.1%}".replace("%", " %")
    shown = {"noise": "~", "same": "same"}.get(change.outcome, share or "more")
    return (
        change.metric,
        _value(change, change.a, change.a_values),
        _value(change, change.b, change.b_values),
        shown,
        "" if change.chance is None else f"{change.chance:.3f}",
        change.outcome if change.outcome in ("better", "worse") else "",
    )


def _value(change: Change, value: float, values: Sequence[float]) -> str:
    shown = {"ns": formatting.duration, "msg/s": formatting.rate}.get(change.unit, formatting.number)(value)
    farthest = apart(values) if change.unit else None
    return shown if farthest is None else f"{shown} ±{math.ceil(100 * farthest):>3} %"


def _share(text: str) -> float:
    number = text.strip().removesuffix("%").strip()
    try:
        share = float(number) / (100 if "%" in text else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share < math.inf:
        raise argparse.ArgumentTypeError(f"expected a share such as 10%, found {text!r}")
    return share
