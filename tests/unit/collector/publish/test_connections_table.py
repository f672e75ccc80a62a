"""Tests of services/collector/publish/connections_table.py, and of the outputs that show the connections."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import msgspec

from services.collector.publish.connections_table import MAX_ROWS, connections_table
from services.collector.publish.files.csv_export import clients_csv
from services.collector.publish.files.junit import junit
from services.collector.publish.view_model import View, view
from services.collector.publish.web import prometheus
from services.collector.verdict.snapshot import Snapshot, empty
from services.contract.summary import Summary
from tests.builders.external_runs import Happened, log, numbered_messages
from tests.builders.runs import RUN, good_run, judged

OPENED: Happened = ("opened", 0.0)
CUT: list[Any] = [
    OPENED, numbered_messages(range(1, 10)), ("closed", 2.0, 1006, "gone"), ("refused", 3.0, 503, "later"),
    ("opened", 4.0), numbered_messages(range(10, 12)), ("sealed", 10.0),
]  # fmt: skip


def run_of(course: list[Any]) -> Summary:
    """Return the summary of a run with one client whose connections went like this."""
    return judged(log("client-1", course=course))


def view_of(summary: Summary) -> View:
    """Return the view of a run."""
    return view(Snapshot(summary, empty(RUN)), "")


def test_a_client_has_a_row_and_its_connections_follow() -> None:
    """The first row has the sums, the others one connection each."""
    rows = [[cell.text for cell in row] for row in connections_table(run_of(CUT)).rows]

    assert [
        ["client-1", "2 in all", "", "", "8.0 s of 10.0 s", "", "1 failed attempt, the last one: HTTP 503: later"],
        ["client-1", "1", "07:30:00.000 UTC", "07:30:02.000 UTC", "2.0 s", "1006", "gone"],
        ["client-1", "2", "07:30:04.000 UTC", "07:30:10.000 UTC", "6.0 s", "", ""],
    ] == rows


def test_a_table_has_a_limit() -> None:
    """The table ends with the number of rows that are left out."""
    made = run_of(CUT)
    many = msgspec.structs.replace(made, clients=made.clients * 200)

    assert MAX_ROWS + 1 == len(connections_table(many).rows)
    assert "and 100 more rows in summary.json" == connections_table(many).rows[-1][0].text


def test_the_delivery_names_the_least_connected_client() -> None:
    """Terminal and page name the client that was connected for the shortest part of its time."""
    whole = log("client-2", course=[OPENED, numbered_messages(range(1, 12)), ("sealed", 10.0)])
    made = judged({**log("client-1", course=CUT), **whole})
    (row,) = [row for row in view_of(made).delivery if row.label == "connected"]

    assert ["8.0 s of 10.0 s", "client-1, the least", "3 connections in all"] == row.texts


def test_junit_has_a_property_for_each_connection() -> None:
    """The properties have the sums of each client and every listed connection."""
    suite = ET.fromstring(junit(view_of(run_of(CUT)))).find("testsuite")
    assert suite is not None
    found = {one.get("name"): one.get("value") for one in suite.iterfind("properties/property")}

    assert {
        "client-1 connections": "2 in all, 8.0 s of 10.0 s, 1 failed attempt, the last one: HTTP 503: later",
        "client-1 connection 1": "opened 07:30:00.000 UTC, ended 07:30:02.000 UTC, lasted 2.0 s, code 1006,"
        " reason gone",
        "client-1 connection 2": "opened 07:30:04.000 UTC, ended 07:30:10.000 UTC, lasted 6.0 s",
    } == found


def test_metrics_have_the_seconds_and_counts() -> None:
    """The seconds connected and asked for, the connections and the failed attempts are metrics of a client."""
    exposed = prometheus.expose(run_of(CUT), None, None, 0.0).decode()

    for line in (
        'streamgauge_client_connected_seconds{client="client-1"} 8.0',
        'streamgauge_client_asked_seconds{client="client-1"} 10.0',
        'streamgauge_client_connections_total{client="client-1"} 2.0',
        'streamgauge_client_refused_attempts_total{client="client-1"} 1.0',
    ):
        assert line in exposed


def test_the_own_feed_has_no_connections() -> None:
    """Outputs of the own feed have no connections: its server's ledger has them."""
    own = judged(good_run())

    assert not isinstance(view_of(own).connections, type(connections_table(own)))
    assert b"connected_seconds" not in prometheus.expose(own, None, None, 0.0)


def test_the_csv_has_the_sums() -> None:
    """The CSV has a column for each sum, and as many values as columns."""
    head, row = (line.split(",") for line in clients_csv(run_of(CUT)).decode().splitlines())

    assert len(head) == len(row)
    assert "8000000000" == dict(zip(head, row, strict=True))["connections_connected_ns"]
