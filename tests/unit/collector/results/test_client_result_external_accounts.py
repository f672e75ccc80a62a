"""Tests of telling one-sided books from others."""

from __future__ import annotations

from services.collector.results.client_result import Account
from services.collector.results.client_result_external import HeardAccount, accounts
from tests.unit.collector.books_factory import fold, good_run
from tests.unit.collector.heard_factory import books, heard, log


def test_the_logs_say_whose_feed_it_is() -> None:
    """Logs of a foreign feed give accounts with one side, all others with both."""
    assert [HeardAccount] == [type(one) for one in accounts(books(log("client-1", heard([1]))), final=True)]
    assert {Account} == {type(one) for one in accounts(fold(good_run()), final=True)}
