"""The document of the metrics names every exported metric, and no other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.collector.publish.web import prometheus
from services.collector.publish.web.self_metrics import CollectorEffort
from services.collector.results.build import build_result
from services.collector.verdict.threshold_parser import parse
from services.server.metrics import ServerMetrics
from services.server.streaming.stream import Stream
from tests.builders.runs import fold, good_run, judged
from tests.repo.markdown import plain, rows, section_of
from tests.repo.repository import text
from tests.unit.server.fakes import StoppedClock, new_run

Metric = tuple[str, str, tuple[str, ...]]
"""A metric's name, its type, the names of its labels."""


def by_collector() -> bytes:
    """Return the metrics of the collector for a run that was measured in full."""
    made = judged(good_run(), parse("missing==0"))
    durations = build_result(fold(good_run()), final=True).durations
    return prometheus.expose(made, durations, CollectorEffort(1, 1, 0.0), 0.0)


def exported(exposed: bytes) -> Iterator[Metric]:
    """Return the metrics of an answer."""
    for family in text_string_to_metric_families(exposed.decode()):
        labels = {label for sample in family.samples for label in sample.labels}
        yield family.name + "_total" * (family.type == "counter"), family.type, tuple(sorted(labels))


def described(service: str) -> Iterator[Metric]:
    """Return the metrics that the document describes for a service."""
    for name, kind, labels, *_ in rows(section_of(text("docs/reference/metrics.md"), service)):
        yield plain(name), kind, tuple(sorted(re.findall(r"`(\w+)`", labels)))


def by_server() -> bytes:
    """Return the metrics of the server for a run that has begun."""
    with TemporaryDirectory() as folder:
        clock = StoppedClock()
        run = new_run(Path(folder), clock)
        run.start()
        exposed = ServerMetrics(Stream(run, clock)).text().encode()
        run.ledger.close()
    return exposed


@pytest.mark.parametrize(("service", "by"), [("server", by_server), ("collector", by_collector)])
def test_every_metric_is_described(service: str, by: Callable[[], bytes]) -> None:
    """Name, type and labels in the document are those of the code."""
    assert sorted(exported(by())) == sorted(described(service))
