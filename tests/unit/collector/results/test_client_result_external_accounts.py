"""Tests of telling one-sided books from others."""

from __future__ import annotations

from services.collector.results.client_result import ClientResult
from services.collector.results.client_result_external import ExternalClientResult, accounts
from tests.builders.external_runs import books, heard, log
from tests.builders.runs import fold, good_run


def test_the_logs_say_whose_feed_it_is() -> None:
    """Logs of a foreign feed give accounts with one side, all others with both."""
    assert [ExternalClientResult] == [type(one) for one in accounts(books(log("client-1", heard([1]))), final=True)]
    assert {ClientResult} == {type(one) for one in accounts(fold(good_run()), final=True)}
