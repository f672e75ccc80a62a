"""The dashboard is one that Grafana can show: well laid out, of the source provisioned, of metrics that exist."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml

from tests.repo.markdown import plain, rows
from tests.repo.repository import compose, text

GRAFANA = "deploy/monitoring/grafana"
DASHBOARD: dict[str, Any] = json.loads(text(f"{GRAFANA}/dashboards/streamgauge.json"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
KINDS = {"stat", "timeseries", "heatmap"}
COLUMNS = 24

every_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])


def known() -> set[str]:
    """Return the names of the series that the document of the metrics describes."""
    names = set()
    for name, kind, *_ in rows(text("docs/reference/metrics.md")):
        names |= {plain(name) + part for part in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))}
    return names


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    """Return the cells of the grid that a panel covers."""
    grid = panel["gridPos"]
    return {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}


def test_panels_are_laid_out() -> None:
    """No panel reaches beyond the grid or covers another, and each has a number of its own."""
    assert len(PANELS) == len({panel["id"] for panel in PANELS})
    assert not [one["title"] for one in PANELS if max(x for x, _ in cells(one)) >= COLUMNS]
    assert not [(one["title"], other["title"]) for one, other in combinations(PANELS, 2) if cells(one) & cells(other)]


@every_panel
def test_panel_is_complete(panel: dict[str, Any]) -> None:
    """A panel has a description, a unit and a data source."""
    source = yaml.safe_load(text(f"{GRAFANA}/provisioning/datasources/prometheus.yml"))["datasources"][0]
    expected = {"type": source["type"], "uid": source["uid"]}

    assert panel["type"] in KINDS
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in {"none", "s", "bytes", "Bps", "cps", "percentunit"}
    assert [expected] * (1 + len(panel["targets"])) == [one["datasource"] for one in (panel, *panel["targets"])]
    assert len(panel["targets"]) == len({target["refId"] for target in panel["targets"]})


@every_panel
def test_panel_asks_for_what_is_told(panel: dict[str, Any]) -> None:
    """Every metric that a panel asks for is described."""
    asked = {
        name for target in panel["targets"] for name in re.findall(r"\b(?:streamgauge|process)_\w+", target["expr"])
    }

    assert asked
    assert not asked - known()


def test_alerts_ask_for_what_is_told() -> None:
    """Every metric that an alert asks for is described, but for the one that is Prometheus' own."""
    rules = yaml.safe_load(text("deploy/monitoring/alerts.yml"))["groups"][0]["rules"]
    asked = {name for rule in rules for name in re.findall(r"\bstreamgauge_\w+|^up\b", rule["expr"])}

    assert "up" in asked
    assert not asked - known() - {"up"}


def test_everything_is_where_it_is_looked_for() -> None:
    """The compose file mounts dashboard, source and rules at the paths in the settings of Grafana and Prometheus."""
    services = compose()["services"]
    mounts = {mount["target"]: mount["source"] for mount in services["grafana"]["volumes"]}
    (provider,) = yaml.safe_load(text(f"{GRAFANA}/provisioning/dashboards/streamgauge.yml"))["providers"]
    (source,) = yaml.safe_load(text(f"{GRAFANA}/provisioning/datasources/prometheus.yml"))["datasources"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    assert f"./{GRAFANA}/dashboards" == mounts[provider["options"]["path"]]
    assert f"./{GRAFANA}/provisioning" == mounts["/etc/grafana/provisioning"]
    assert f"{provider['options']['path']}/streamgauge.json" == home
    assert services["prometheus"]["ports"][0].endswith(source["url"].rpartition("http://prometheus")[2])
    assert "--config.file=/etc/prometheus/prometheus.yml" in services["prometheus"]["command"]


def test_every_alert_is_described() -> None:
    """The document has each alert, in the order of the file, and no other."""
    rules = yaml.safe_load(text("deploy/monitoring/alerts.yml"))["groups"][0]["rules"]

    assert [rule["alert"] for rule in rules] == [
        plain(row[0]) for row in rows(text("docs/reference/metrics.md")) if len(row) == 2
    ]
