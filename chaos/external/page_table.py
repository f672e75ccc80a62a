"""The matrix as a table of docs/reliability.md, with a row for each server. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.external.matrix import Row

BEGIN, END = "<!-- foreign: begin -->", "<!-- foreign: end -->"


def table(rows: Sequence[Row], date: str) -> str:
    """Return the table as Markdown, with the day on which it was made."""
    conditions = list(dict.fromkeys(row.condition for row in rows if row.tried))
    right = sum(row.is_right is True for row in rows)
    lines = [
        f"{right} of {sum(row.tried for row in rows)} reports were right on {date}.",
        "",
        "| server | preset | " + " | ".join(conditions) + " |",
        "|---|---" + "|---" * len(conditions) + "|",
    ]
    for server, preset in dict.fromkeys((row.server, row.preset) for row in rows):
        found = [row for row in rows if (row.server, row.preset) == (server, preset)]
        version = next((row.version for row in found if row.version), "")
        cells = {row.condition: _cell(row) for row in found}
        untried = next((f"not tried: {row.reported}" for row in found if not row.tried), "")
        name = f"{server.rpartition(' ')[0]} {version}" if version and server[-1].isdigit() else f"{server} {version}"
        words = [cells.get(condition, untried) for condition in conditions]
        lines.append("| " + " | ".join([name.strip(), preset, *words]) + " |")
    return "\n".join(lines)


def replaced(page: str, made: str) -> str:
    """Return a page with another table between the marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}"


def _cell(row: Row) -> str:
    return row.reported if row.is_right else f"**{row.reported}**, expected {row.expected}"
