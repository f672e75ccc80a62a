"""Writes the figures of this checkout into the table of docs/architecture.md.

``python -m tools.house.page_table`` measures the column *after* and keeps *before*; with ``--before PATH`` it measures
that checkout for the column *before*.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/architecture.md"
BEGIN, END = "<!-- house: begin -->", "<!-- house: end -->"


def main() -> None:
    """Rewrite the table of the page."""
    parser = argparse.ArgumentParser(prog="python -m tools.house.page_table", description=__doc__)
    parser.add_argument("--before", type=Path, metavar="PATH", help="root of the checkout before the rebuild")
    arguments = parser.parse_args()
    head, _, rest = PAGE.read_text().partition(BEGIN)
    old_table, _, tail = rest.partition(END)
    before = figures(arguments.before) if arguments.before else column_before(old_table)
    PAGE.write_text(f"{head}{BEGIN}\n{table(before, figures(ROOT))}{END}{tail}")


def figures(checkout: Path) -> dict[str, str]:
    """Return the figures of a checkout by label, without the names of files that the gauge lists behind some."""
    command = [sys.executable, "-m", "tools.house", str(checkout)]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return parse(printed)


def parse(printed: str) -> dict[str, str]:
    """Return the figures in the gauge's output; a label that ends in a colon is the head of the indented ones below."""
    by_label, group = {}, ""
    for line in printed.splitlines():
        label, _, figure = line.strip().partition("  ")
        group = group if line.startswith(" ") else ""
        if figure.strip():
            by_label[group + label] = re.split(r"[:;]|  ", figure.strip())[0]
        elif label.endswith(":"):
            group = f"{label} "
    return by_label


def column_before(old_table: str) -> dict[str, str]:
    """Return the figures in the second column of the table."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in old_table.splitlines() if line.startswith("|")]
    return {label: before for label, before, _ in rows[2:]}


def table(before: dict[str, str], after: dict[str, str]) -> str:
    """Return the table in Markdown."""
    rows = [f"| {label} | {before.get(label, '')} | {figure} |\n" for label, figure in after.items()]
    return "| | before | after |\n|---|--:|--:|\n" + "".join(rows)


if __name__ == "__main__":
    main()
