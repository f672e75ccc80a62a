"""lnav reads the services' own logs and the block logs with the formats in deploy/lnav."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import CLIENTS, RECORDS, GoodRun
from tests.integration.processes import ROOT
from tests.integration.programs import output_of, program

NOTHING = "<NULL>"
Ask = Callable[..., list[dict[str, str]]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Run an SQL query in lnav on files, with our formats only; return the rows."""
    monkeypatch.setenv("HOME", str(tmp_path))
    command = program("lnav", "lnav")

    def asked(question: str, *files: Path) -> list[dict[str, str]]:
        arguments = ["-I", str(ROOT / "deploy" / "lnav"), "-n", "-c", f";{question}", "-c", ":write-csv-to -"]
        return list(csv.DictReader(output_of(command, *arguments, *map(str, files)).splitlines()))

    return asked


def services_log(run: GoodRun, folder: Path) -> Path:
    """Write the services' own logs of a run, in the form of ``docker compose logs --no-log-prefix``, by time.

    Lines of several services may be milliseconds out of order in the terminal, and lnav gives a line that is earlier
    than the one before it the time of that one.
    """
    path = folder / "services.jsonl"
    lines = re.findall(r"^\S+ +\| (\{.*\})$", run.text, flags=re.MULTILINE)
    lines.sort(key=lambda line: json.loads(line)["at"])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_services_are_read(good_run: GoodRun, ask: Ask, tmp_path: Path) -> None:
    """Every line of every service is an event with its time, level, service and client."""
    log = services_log(good_run, tmp_path)
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    rows = ask("SELECT log_time, log_level, service, log_body, client FROM streamgauge_services", log)
    expected = Counter(
        (line["level"].lower(), line["service"], line["event"], line.get("client", NOTHING)) for line in lines
    )

    assert expected == Counter(tuple(row.values())[1:] for row in rows)
    assert sorted(line["at"][:23].replace("T", " ") for line in lines) == [row["log_time"] for row in rows]
    assert {"server", "client", "collector"} == {row["service"] for row in rows}


def test_the_block_logs_are_read(good_run: GoodRun, ask: Ask) -> None:
    """Every block of every client is an entry with its figures, at its end time."""
    files = list(good_run.volumes.root.glob("logs/*/*/*.jsonl"))
    rows = ask("SELECT * FROM streamgauge_blocks WHERE kind = 'block' ORDER BY client, block", *files)
    blocks = [block for number in range(1, CLIENTS + 1) for block in good_run.volumes.blocks(f"client-{number}")]

    for name in ("run", "client", "block", "first", "last", "count", "duration_ns", "closed_by", "digest"):
        assert [str(getattr(block, name)) for block in blocks] == [row[name] for row in rows], name
    assert [block.ended_at[:23].replace("T", " ") for block in blocks] == [row["log_time"] for row in rows]


def test_messages_are_read(good_run: GoodRun, ask: Ask) -> None:
    """The messages inside a block can be queried."""
    files = good_run.volumes.files("client-5", good_run.name)
    question = """SELECT count(*) AS n, max(json_extract(value, '$.latency_ns')) AS worst
        FROM streamgauge_blocks, json_each(messages)"""
    worst = max(message.latency_ns for message in good_run.volumes.messages("client-5"))

    assert [{"n": str(RECORDS), "worst": str(worst)}] == ask(question, *files)
