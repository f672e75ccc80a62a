"""The cases of the kit, and the files that are made of them: volumes, expected summaries, the tables of the page."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from services.collector.commands import verify
from services.contract.summary import Causes, Summary
from tests.builders.scripted_runs import Files
from tests.conformance import damaged, external, external_kinds, good
from tests.repo.repository import ROOT

KIT = ROOT / "docs" / "conformance"
VOLUMES = KIT / "volumes"
PAGE = KIT / "README.md"
EXPECTED = "expected.json"

Case = Callable[[], Files]
TABLES: dict[str, tuple[Case, ...]] = {
    "good": good.CASES,
    "at rest": damaged.AT_REST,
    "in the run": damaged.IN_THE_RUN,
    "measurement": damaged.MEASUREMENT,
    "foreign": external.CASES,
    "foreign kinds": external_kinds.CASES,
}
"""The cases by the table of the page that they stand in."""
_HEAD = "| case | what is in it | verdict | answered with no | named |\n|---|---|---|---|---|\n"
_TABLE = re.compile(r"(?<=<!-- cases: )([a-z ]+)( -->\n)(.*?)(?=<!-- end -->)", re.DOTALL)


def cases() -> Iterator[tuple[str, Case]]:
    """Return the name of every case, which is its folder's, and what makes its files."""
    for some in TABLES.values():
        for case in some:
            yield name_of(case), case


def name_of(case: Case) -> str:
    """Return the folder of a case."""
    return getattr(case, "__name__", "").replace("_", "-")


def write(files: Files, volumes: Path) -> None:
    """Write files into a volumes folder."""
    for name, lines in files.items():
        path = volumes / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(lines))


def judged(volumes: Path) -> list[Summary]:
    """Return the summary of every run of a folder, as `verify` makes it."""
    return [verified.summary for verified in verify.check(volumes)]


def expected(summaries: list[Summary]) -> str:
    """Return the output of `verify --json` for these summaries."""
    return "".join(map(verify.json_line, summaries))


def page(text: str, summaries: dict[str, list[Summary]]) -> str:
    """Return the text of the page with new tables."""

    def table(found: re.Match[str]) -> str:
        rows = "".join(_row(case, summaries[name_of(case)]) for case in TABLES[found[1]])
        return "".join((found[1], found[2], _HEAD, rows))

    return _TABLE.sub(table, text)


def _row(case: Case, summaries: list[Summary]) -> str:
    what = " ".join((case.__doc__ or "").split())
    made = summaries[0]
    verdicts = ", ".join(f"{one.verdict}" for one in summaries)
    wrong = ", ".join(check.name for check in made.checks if check.ok is False)
    named = "; ".join(_named(made)) or ("" if made.verdict == "PASS" else made.headline)
    return f"| [`{name_of(case)}`](volumes/{name_of(case)}) | {what} | {verdicts} | {wrong} | {named} |\n"


def _named(made: Summary) -> Iterator[str]:
    for fault in made.faults:
        where = re.sub(rf"^(logs|ledger)/{made.run}/?", lambda side: "" if side[1] == "logs" else "ledger ", fault.file)
        yield f"`{fault.kind}` at {where.strip()}" + (f", line {fault.line}" if fault.line else "")
    for client in made.clients:
        causes = [name for name in Causes.__struct_fields__ if getattr(client.missing_by_cause, name)]
        spans = ", ".join(f"{first}–{last}" if first != last else f"{first}" for first, last in client.missing_ranges)
        if spans:
            # How many messages a gap between ranges or links hides is not known, and so neither are their causes.
            named = ", ".join(f"`{cause}`" for cause in causes) or "a number of messages that is not known"
            yield f"{client.client} misses {spans}: {named}"
        for what in ("duplicates", "reordered", "residual"):
            if count := getattr(client, what):
                yield f"{client.client}: {what} {count}"


def write_anew(kit: Path = KIT) -> None:
    """Write the whole kit except for its prose, and remove the folders of cases that no longer exist."""
    shutil.rmtree(kit / VOLUMES.name, ignore_errors=True)
    found = {}
    for name, case in cases():
        folder = kit / VOLUMES.name / name
        write(case(), folder)
        found[name] = judged(folder)
        (folder / EXPECTED).write_text(expected(found[name]), encoding="utf-8")
    (kit / PAGE.name).write_text(page(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
