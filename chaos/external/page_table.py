"""The matrix as a table of docs/reliability.md, with a line for each server. Pure.

A line of a server that was not tried this time stays as it was, with the day on which it was made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from chaos.external.conditions import CONDITIONS
from chaos.external.matrix import CLIENT_CONDITION, Row

BEGIN, END = "<!-- foreign: begin -->", "<!-- foreign: end -->"
_COLUMNS = (*(condition.name for condition in CONDITIONS), CLIENT_CONDITION)
_VERSION = re.compile(r"(?: [0-9][0-9.]*)?$")


def with_rows(page: str, rows: Sequence[Row], order: Sequence[tuple[str, str]], date: str) -> str:
    """Return a page with these rows in its table.

    Args:
        page: the text, with the table between the marks.
        rows: the rows of the servers that were tried.
        order: server and preset of every line that the table may have.
        date: the day on which the rows were made.
    """
    before, _, rest = page.partition(BEGIN)
    table, _, after = rest.partition(END)
    lines = {_key(line): line for line in table.splitlines() if line.startswith("| ")}
    for server, preset in dict.fromkeys((row.server, row.preset) for row in rows):
        line = _line([row for row in rows if (row.server, row.preset) == (server, preset)], date)
        lines[_key(line)] = line
    kept = [lines[name] for name in ((_without_version(server), preset) for server, preset in order) if name in lines]
    cells = [cell for line in kept for cell in _cells(line)[3:] if cell and not cell.startswith("not tried")]
    right = sum("**" not in cell for cell in cells)
    header = ["server", "preset", "tried on", *_COLUMNS]
    made = [
        f"{right} of {len(cells)} reports are right.",
        "",
        "| " + " | ".join(header) + " |",
        "|---" * len(header) + "|",
        *kept,
    ]
    return "\n".join([before + BEGIN, *made, END]) + after


def _line(rows: Sequence[Row], date: str) -> str:
    version = next((row.version for row in rows if row.version), "")
    found = {row.condition: _cell(row) for row in rows if row.tried}
    untried = next((f"not tried: {row.reported}" for row in rows if not row.tried), "")
    name = f"{_without_version(rows[0].server)} {version}".strip()
    words = [name, rows[0].preset, date, *(found.get(column, untried) for column in _COLUMNS)]
    return "| " + " | ".join(words) + " |"


def _cell(row: Row) -> str:
    return row.reported if row.is_right else f"**{row.reported}**, expected {row.expected}"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _key(line: str) -> tuple[str, str]:
    server, preset = _cells(line)[:2]
    return _without_version(server), preset


def _without_version(server: str) -> str:
    return _VERSION.sub("", server)
