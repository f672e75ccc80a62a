"""`compare`: compares the runs of two folders metric by metric, and distinguishes changes from noise."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from services.collector import formatting
from services.collector.commands.comparison import Change, can_be_significant, compare, relative_range
from services.collector.commands.run_set import RunSet, differences, read_run_set
from services.collector.publish.files.markdown import escaped
from services.contract.summary import EXIT_CODES
from services.runtime.cli import Commands
from services.runtime.errors import OperatorError

EXITS = "exit codes: 0 nothing got worse, 99 something did, 104 bad configuration, or workloads that differ"
HEADS = ("", "A", "B", "change", "p", "")
KEY = (
    "±: the run farthest from the median; p: how often noise alone gives such a difference (Mann–Whitney U, exact)",
    "~: p is 0.05 or more, so it may be noise",
)
_ADVICE = "run each side 5 times (RUNS=5)"


class DifferentWorkloads(OperatorError):
    """The runs have different workloads, so their numbers cannot be compared."""


class ComparisonResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a comparison. ``worse`` has the names of the metrics that decide the exit code."""

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
        """The result as one sentence."""
        limit = f"{self.worse_than:.0%}".replace("%", " %")
        # Counts have no tolerance, so the limit is not named with them.
        counts = [change.metric for change in self.changes if change.outcome == "worse" and change.chance is None]
        measures = [name for name in self.worse if name not in counts]
        parts = [f"worse by more than {limit}: {', '.join(measures)}"] if measures else []
        parts += [f"worse: {', '.join(counts)}"] if counts else []
        if parts:
            return "; ".join(parts)
        # With one run a side this must not read as if the times had been found equal.
        if any(change.outcome == "unknown" for change in self.changes):
            return "no count got worse; times were not judged"
        better = [change.metric for change in self.changes if change.outcome == "better"]
        return "nothing got worse" + (f"; better: {', '.join(better)}" if better else "")


def add(commands: Commands) -> None:
    """Add the command to the command line."""
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
    parser.add_argument("a", metavar="A", type=Path, help="the reference: a volumes folder or a summary.json")
    parser.add_argument("b", metavar="B", type=Path, help="the runs to compare with it: another one")
    parser.add_argument(
        "--worse-than",
        metavar="SHARE",
        type=_share,
        default=0.1,
        help="tolerated regression of a time or rate (default 10%%)",
    )
    parser.add_argument("--force", action="store_true", help="compare different workloads too")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    form.add_argument("--json", action="store_true", help="print one line of JSON")


def run(chosen: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    """Compare the two chosen sides; return the exit code."""
    result = compare_run_sets(read_run_set(chosen.a), read_run_set(chosen.b), chosen.worse_than, force=chosen.force)
    if chosen.json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        sys.stdout.write("\n".join(markdown(result) if chosen.markdown else text(result)) + "\n")
    return EXIT_CODES["FAIL" if result.worse else "PASS"]


def compare_run_sets(a: RunSet, b: RunSet, worse_than: float, *, force: bool = False) -> ComparisonResult:
    """Compare side ``b`` with side ``a``.

    Args:
        a: the reference.
        b: the other side.
        worse_than: tolerated relative regression of a measured metric: 0.1 for 10 %.
        force: compare different workloads too.

    Raises:
        DifferentWorkloads: the workloads differ, and ``force`` is not set.
    """
    differing = differences([*a.workloads, *b.workloads])
    if differing and not force:
        listed = "".join(f"\n    {part}" for part in differing)
        raise DifferentWorkloads(
            f"the workloads differ, so the numbers cannot be compared; --force compares them nevertheless{listed}"
        )
    changes = compare(a.runs, b.runs, worse_than)
    return ComparisonResult(
        a=a.name,
        b=b.name,
        a_runs=[summary.run for summary in a.runs],
        b_runs=[summary.run for summary in b.runs],
        workload=str(a.workloads[0]),
        worse_than=worse_than,
        changes=changes,
        worse=[change.metric for change in changes if change.outcome == "worse"],
        notes=[
            *(f"different workloads: {part}" for part in differing),
            *a.left_out,
            *b.left_out,
            *_sample_size_notes(a, b),
        ],
    )


def _sample_size_notes(a: RunSet, b: RunSet) -> Iterator[str]:
    counts = len(a.runs), len(b.runs)
    if 1 in counts:
        yield f"{_run_counts(counts)}: the noise is unknown, so only counts are judged; {_ADVICE}"
    # With 3 runs a side even the most extreme order has a probability of 0.1.
    elif not can_be_significant(*counts):
        yield f"{_run_counts(counts)}: too few to distinguish any change from noise; {_ADVICE}"


def _run_counts(counts: tuple[int, int]) -> str:
    one, other = counts
    return (
        f"{formatting.several(one, 'run')} a side"
        if one == other
        else f"{formatting.several(one, 'run')} and {other:,}"
    )


def text(result: ComparisonResult) -> Iterator[str]:
    """Yield the lines of a comparison for the terminal."""
    width = max(len(result.a), len(result.b))
    for label, name, runs in (("A", result.a, result.a_runs), ("B", result.b, result.b_runs)):
        yield f"{label}  {name:<{width}}  {formatting.several(len(runs), 'run')}, {_span(runs)}"
    yield f"   {result.workload}"
    yield ""
    rows = [HEADS, *map(_cells, result.changes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    for row in rows:
        name, *values, outcome = row
        cells = [f"{value:>{size}}" for value, size in zip(values, widths[1:-1], strict=True)]
        yield f"  {name:<{widths[0]}}   {'   '.join(cells)}   {outcome}".rstrip()
    yield ""
    if any(change.chance is not None for change in result.changes):
        yield from (f"  {line}" for line in KEY)
    for note in result.notes:
        yield f"  note: {note}"
    yield f"  {result.verdict}"


def markdown(result: ComparisonResult) -> Iterator[str]:
    """Yield the lines of a comparison as Markdown."""
    yield f"**{result.verdict[0].upper()}{result.verdict[1:]}**"
    yield ""
    heads = ["", f"A: {escaped(result.a)}", f"B: {escaped(result.b)}", *HEADS[3:]]
    yield f"| {' | '.join(heads)} |"
    yield "|---|--:|--:|--:|--:|---|"
    for change in result.changes:
        *cells, outcome = _cells(change)
        yield f"| {' | '.join([*cells, f'**{outcome}**' if outcome == 'worse' else outcome])} |"
    yield ""
    yield f"{formatting.several(len(result.a_runs), 'run')} and {len(result.b_runs):,} · {escaped(result.workload)}"
    for note in [*(KEY if any(change.chance is not None for change in result.changes) else ()), *result.notes]:
        yield f"\n{escaped(note)}"


def _span(runs: Sequence[str]) -> str:
    return runs[0] if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"


def _cells(change: Change) -> tuple[str, ...]:
    share = "" if change.change is None else f"{change.change:+.1%}".replace("%", " %")
    text = {"noise": "~", "same": "same"}.get(change.outcome, share or "more")
    return (
        change.metric,
        _value(change, change.a, change.a_values),
        _value(change, change.b, change.b_values),
        text,
        "" if change.chance is None else f"{change.chance:.3f}",
        change.outcome if change.outcome in ("better", "worse") else "",
    )


def _value(change: Change, value: float, values: Sequence[float]) -> str:
    text = {"ns": formatting.duration, "msg/s": formatting.rate}.get(change.unit, formatting.number)(value)
    # A count is the highest value of its side, so it has no distance from the median.
    spread = relative_range(values) if change.unit else None
    return text if spread is None else f"{text} ±{math.ceil(100 * spread):>3} %"


def _share(text: str) -> float:
    number = text.strip().removesuffix("%").strip()
    try:
        share = float(number) / (100 if "%" in text else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share < math.inf:
        raise argparse.ArgumentTypeError(f"expected a share such as 10%, found {text!r}")
    return share
