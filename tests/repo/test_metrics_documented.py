"""docs/reference/metrics.md describes every exported metric, and no other."""

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
from tests.builders.external_runs import log, numbered_messages
from tests.builders.runs import fold, good_run, judged
from tests.repo.markdown import plain, rows, section_of
from tests.repo.repository import text
from tests.unit.server.fakes import StoppedClock, new_run

Exported = tuple[str, str, tuple[str, ...]]
"""Name, type and label names of a metric."""


def collector_metrics() -> bytes:
    """Return the collector's answer for a run with every kind of figure."""
    made = judged(good_run(), parse("missing==0"))
    durations = build_result(fold(good_run()), final=True).durations
    external = judged(log("client-1", course=[("opened", 0.0), numbered_messages([1]), ("sealed", 3.0)]))
    return prometheus.expose(made, durations, CollectorEffort(1, 1, 0.0), 0.0) + prometheus.expose(
        external, None, None, 0.0
    )


def exported(exposed: bytes) -> Iterator[Exported]:
    """Yield the metrics in an answer of `/metrics`."""
    # A family without samples shows no labels; another run has them.
    for family in filter(lambda family: family.samples, text_string_to_metric_families(exposed.decode())):
        labels = {label for sample in family.samples for label in sample.labels}
        yield family.name + "_total" * (family.type == "counter"), family.type, tuple(sorted(labels))


def described(service: str) -> Iterator[Exported]:
    """Yield the metrics that the page describes for a service."""
    for name, kind, labels, *_ in rows(section_of(text("docs/reference/metrics.md"), service)):
        yield plain(name), kind, tuple(sorted(re.findall(r"`(\w+)`", labels)))


def server_metrics() -> bytes:
    """Return the server's answer for a run that has begun."""
    with TemporaryDirectory() as folder:
        clock = StoppedClock()
        run = new_run(Path(folder), clock)
        run.start()
        exposed = ServerMetrics(Stream(run, clock)).text().encode()
        run.ledger.close()
    return exposed


@pytest.mark.parametrize(("service", "answer"), [("server", server_metrics), ("collector", collector_metrics)])
def test_every_metric_is_described(service: str, answer: Callable[[], bytes]) -> None:
    """Names, types and labels on the page are those of the code."""
    assert sorted(set(exported(answer()))) == sorted(described(service))
